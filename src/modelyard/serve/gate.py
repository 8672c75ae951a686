"""Who may ask, and what it costs them: the accounts at the door of the service.

    Authorization: Bearer yard_… -> caller (before the body is read) -> reserve -> the answer is computed -> settle -> it leaves

A request reserves what it may use at most before it runs, and is billed for what it used before its answer leaves; where anything
fails in between, nothing is billed. With an `Idempotency-Key` a client may repeat a request as often as it likes: it is billed once, and
gets the same answer again. Without accounts the gate lets everybody through. It knows nothing about models.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from modelyard.errors import DatabaseFault
from modelyard.serve.refusing import Refused

if TYPE_CHECKING:
    from modelyard.accounts.earning import Machine
    from modelyard.accounts.ledger import Reserved
    from modelyard.accounts.till import Till

LONGEST_IDEMPOTENCY = 255
STATUS = {
    "unknown_key": 401, "revoked": 401, "expired": 401, "scope": 403, "no_plan": 403, "rate_limited": 429,
    "quota_exceeded": 429, "idempotency_conflict": 422, "answer_expired": 409,
}  # fmt: skip
"""What a refusal of the accounts is in HTTP."""
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="modelyard"'}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a customer by a key, or, without accounts, anybody."""

    customer: str = ""
    key: str = ""
    digest: str = ""
    shown: str = ""
    """What may be shown of the key."""


ANYBODY = Caller()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it leaves, and as it is kept to be sent again."""

    body: bytes
    media: str = "application/json"
    status: int = 200
    replayed: bool = False

    def packed(self) -> bytes:
        """As it is kept: a line of JSON, then the body."""
        return to_json({"status": self.status, "media": self.media}) + b"\n" + self.body

    @staticmethod
    def unpacked(kept: bytes) -> Answer:
        """One that was kept."""
        head, _, body = kept.partition(b"\n")
        told = from_json(head)
        return Answer(body, told["media"], told["status"], replayed=True)


@dataclass(frozen=True, slots=True)
class Used:
    """What a request used, by unit of sale, and which version of which model answered it."""

    units: Mapping[str, int]
    model: str
    version: str


class Gate:
    """The accounts of this process; without a `till` everybody may ask and nothing is billed."""

    def __init__(self, till: Till | None = None, *, admin_token: str | None = None) -> None:
        self.till = till
        self._started = False
        self._admin = None if admin_token is None else sha256(admin_token.encode()).digest()

    @property
    def open(self) -> bool:
        """Whether no key is needed."""
        return self.till is None

    def few_when(self, few: Callable[[], bool]) -> None:
        """How it is known that few requests are here: each then commits on the spot."""
        if self.till is not None:
            self.till.few = few

    @property
    def healthy(self) -> bool:
        """Whether the ledger can be written."""
        return self.till is None or (self._started and self.till.healthy)

    def start(self) -> None:
        """Open the ledger for this process; blocks. DatabaseFault where it cannot be used."""
        if self.till is not None:
            self.till.start()
            self._started = True

    async def stop(self) -> None:
        """Finish what waits, and end."""
        if self.till is not None and self._started:
            await self.till.stop()
            self.till.database.close()

    async def caller(self, headers: Mapping[str, str], scope: str) -> Caller:
        """Who asks; 401 without a key that is known, 403 where the key may not do this."""
        if self.till is None:
            return ANYBODY
        from modelyard.accounts.keys import split
        from modelyard.accounts.ledger import Refusal

        given = _bearer(headers)
        if given is None:
            raise Refused(
                401, "no_key", "a key is needed: send it as `Authorization: Bearer yard_…`.", headers=CHALLENGE
            )
        presented = split(given)
        if presented is None:
            raise Refused(401, "unknown_key", "no such key.", headers=CHALLENGE)
        with _ledger_told():
            found = await self.till.caller(*presented, scope)
        if isinstance(found, Refusal):
            raise _refused(found)
        return Caller(found.customer, presented[0], presented[1], found.shown)

    def check_admin(self, headers: Mapping[str, str]) -> None:
        """401 unless the administrator's token is sent; 404 where the service has none."""
        if self._admin is None:
            raise Refused(404, "not_found", "this service runs without accounts and has no administration.")
        given = _bearer(headers) or ""
        if not hmac.compare_digest(sha256(given.encode()).digest(), self._admin):
            raise Refused(401, "not_the_administrator", "the administrator's token is needed.", headers=CHALLENGE)

    async def usage(self, caller: Caller) -> dict[str, Any]:
        """What the caller's customer used this month: the number that quota and invoice read."""
        assert self.till is not None
        from modelyard.accounts import ledger, plans
        from modelyard.accounts.times import month_of

        def read(held: Any) -> dict[str, Any]:
            month = month_of(held.now)
            sold = plans.subscription(held, caller.customer, month)
            return {
                "month": month,
                "plan": sold.plan.name if sold else None,
                "limits": sold.limits(month) if sold else {},
                "usage": ledger.usage(held, caller.customer, month),
            }

        with _ledger_told():
            return await self.till.run(read)

    async def earning(self, machine: Machine | None) -> list[dict[str, Any]]:
        """What is earned and spent this month until now."""
        if self.till is None:
            return []
        from modelyard.accounts.earning import earning

        with _ledger_told():
            return [one.describe() for one in await self.till.run(lambda held: earning(held, machine))]

    async def included(self) -> list[tuple[str, int, int]]:
        """Customers whose plan includes a volume: (id, used this month, included)."""
        if self.till is None:
            return []
        from modelyard.accounts import customers, ledger, plans
        from modelyard.accounts.times import month_of

        def read(held: Any) -> list[tuple[str, int, int]]:
            month, found = month_of(held.now), []
            for one in customers.all_customers(held):
                sold = plans.subscription(held, one.id, month) if one.closed is None else None
                included = sold.included(month) if sold is not None else None
                if included:
                    usage = ledger.usage(held, one.id, month)
                    found.append((one.id, sum(units.get("request", 0) for units in usage.values()), included))
            return found

        with _ledger_told():
            return await self.till.run(read)

    async def reserve(
        self, caller: Caller, *, idempotency: str | None, body: bytes, bound: Mapping[str, int], scope: str = "predict",
        tariff: str = "standard",
    ) -> Reserved | Answer | None:  # fmt: skip
        """Hold back what the request may use at most: the reservation, the answer that was given before, or None without accounts."""
        if self.till is None:
            return None
        from modelyard.accounts.ledger import InProgress, Refusal, Replay

        with _ledger_told():
            found = await self.till.reserve(
                caller.key, caller.digest, idempotency, sha256(body).hexdigest(), bound, tariff=tariff, scope=scope
            )
        if isinstance(found, Replay):
            return Answer.unpacked(found.answer)
        if isinstance(found, InProgress):
            raise Refused(
                409, "in_progress", "a request with this idempotency key is being answered. Ask again soon.",
                headers={"Retry-After": str(math.ceil(found.retry_after))},
            )  # fmt: skip
        if isinstance(found, Refusal):
            raise _refused(found)
        return found

    async def settle(self, reserved: Reserved | None, answer: Answer, used: Used) -> None:
        """Bill a request; its answer may leave when this returns. 503 where it could not be: nothing is billed, ask again."""
        if self.till is None or reserved is None:
            return
        from modelyard.accounts.ledger import Lost

        units = {unit: count for unit, count in used.units.items() if unit in reserved.units}
        with _ledger_told():
            done = await self.till.settle(reserved, units, answer.packed(), model=used.model, version=used.version)
        if isinstance(done, Lost):
            raise Refused(
                503, "try_again", "this process lost the request to another. Send it again; nothing was billed.",
                headers={"Retry-After": "1"},
            )  # fmt: skip

    async def release(self, reserved: Reserved | None) -> None:
        """Nothing was answered: nothing is billed."""
        if self.till is not None and reserved is not None:
            await self.till.release(reserved)

    async def metered(
        self,
        caller: Caller,
        work: Callable[[], Awaitable[tuple[Answer, Used]]],
        *,
        idempotency: str | None,
        body: bytes,
        bound: Mapping[str, int],
        scope: str = "predict",
        tariff: str = "standard",
    ) -> Answer:
        """An answer that was reserved, computed and billed; or the one that was billed before."""
        reserved = await self.reserve(
            caller, idempotency=idempotency, body=body, bound=bound, scope=scope, tariff=tariff
        )
        if isinstance(reserved, Answer):
            return reserved
        try:
            answer, used = await work()
        except BaseException:
            await self.release(reserved)
            raise
        await self.settle(reserved, answer, used)
        return answer


def idempotency_of(headers: Mapping[str, str]) -> str | None:
    """The client's idempotency key; 400 where it is too long or not plain."""
    given = headers.get("idempotency-key")
    if given is not None and not (0 < len(given) <= LONGEST_IDEMPOTENCY and given.isprintable()):
        raise Refused(
            400, "bad_idempotency_key", f"Idempotency-Key must have 1 to {LONGEST_IDEMPOTENCY} printable characters."
        )
    return given


def _bearer(headers: Mapping[str, str]) -> str | None:
    """The token of `Authorization: Bearer …`; None where there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _refused(refusal: Any) -> Refused:
    headers = dict(CHALLENGE) if STATUS[refusal.code] == 401 else {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after)))
    return Refused(STATUS[refusal.code], refusal.code, refusal.says, headers=headers)


class _ledger_told:
    """The ledger's troubles as 503: nothing was billed."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, DatabaseFault):
            raise Refused(
                503, "ledger_unavailable", "the ledger cannot be written now, so nothing is answered or billed. Try again.",
                headers={"Retry-After": "2"},
            ) from error  # fmt: skip
