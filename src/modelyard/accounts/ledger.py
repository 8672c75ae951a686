"""The ledger: a request reserves before it runs and settles after. Functions of an open transaction, a writer and its time.

`reserve` asks key, idempotency key, rate limit and quota, and holds back the most the request can use. `settle` removes the
reservation only if this writer still owns it, appends the entry, moves the balance and keeps the answer, all in one transaction;
an answer may leave only after its commit. `release` gives back what failed. So a request is billed once or not at all, however
often its client retries with the same key and whatever dies on the way. Balances are a cache: entries and reservations sum to them.

Call `writers.hold` first in the transaction (`writers.writing` and the till do). It knows nothing about HTTP, models or money.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from modelyard.accounts import answers, keys, writers
from modelyard.accounts.answers import Box
from modelyard.accounts.chain import append, canonical
from modelyard.accounts.customers import customer as find_customer
from modelyard.accounts.database import Transaction
from modelyard.accounts.plans import TARIFFS, Plan, first_month, subscription
from modelyard.accounts.times import SECOND, check_month, month_of, next_month, starts
from modelyard.accounts.writers import Writer
from modelyard.errors import AccountError

AGAIN = 1.0
"""Seconds after which a client may ask again for a request that still runs."""
OWN = "own:"
"""What begins the idempotency key of a request that came without one."""
UNIT = 100
"""Characters of a unit's name at most."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """A reservation. `kept`: the client gave an idempotency key, the answer will be kept for it."""

    writer: str
    customer: str
    key: str
    idempotency: str
    request: str
    body: str
    month: str
    tariff: str
    units: Mapping[str, int]

    @property
    def kept(self) -> bool:
        """Whether the client can retry with the same key."""
        return not self.idempotency.startswith(OWN)


@dataclass(frozen=True, slots=True)
class Replay:
    """This key was settled: its answer again, nothing is billed."""

    answer: bytes
    request: str
    units: Mapping[str, int]
    customer: str


@dataclass(frozen=True, slots=True)
class InProgress:
    """The same key runs already; ask again in so many seconds."""

    retry_after: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not: unknown_key, revoked, expired, scope, no_plan, rate_limited, quota_exceeded, idempotency_conflict, answer_expired."""

    code: str
    says: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """What was billed."""

    request: str
    units: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Lost:
    """This writer no longer owned the reservation: nothing was billed, the answer may not leave, the client tries again."""


Asked = Reserved | Replay | InProgress | Refusal


def authenticate(held: Transaction, writer: Writer, key_id: str, secret_hash: str, scope: str) -> keys.Key | Refusal:
    """The key, if it may do this now."""
    key = writer.recall((key_id, secret_hash), lambda: keys.check(held, key_id, secret_hash))
    if key is None:
        return Refusal("unknown_key", "no such key.")
    why = key.refusal(held.now)
    if why is not None:
        return Refusal(why, f"the key {key.shown} is {why}. Use another one.")
    if scope not in key.scopes:
        return Refusal("scope", f"the key {key.shown} may {', '.join(key.scopes)}, not {scope}.")
    return key


def reserve(
    held: Transaction,
    writer: Writer,
    box: Box,
    *,
    key_id: str,
    secret_hash: str,
    idempotency: str | None,
    body: str,
    bound: Mapping[str, int],
    request: str,
    tariff: str = "standard",
    scope: str = "predict",
) -> Asked:
    """Hold back `bound`, the most of each unit that the request can use. `body` is a hash of what was asked, `request` a fresh id."""
    assert tariff in TARIFFS and all(count >= 0 and len(unit) <= UNIT for unit, count in bound.items())
    key = authenticate(held, writer, key_id, secret_hash, scope)
    if isinstance(key, Refusal):
        return key
    customer = key.customer
    held.lock("flow", "customer", customer)  # PostgreSQL: one at a time for each customer, so limits are exact
    once = OWN + request if idempotency is None else sha256(idempotency.encode()).hexdigest()
    earlier = _earlier(held, writer, box, customer, once, body=body, request=request)
    if earlier is not None:
        return earlier
    first = writer.recall((customer, "first"), lambda: first_month(held, customer))
    month = max(month_of(held.now), first or "")  # a clock that went back bills no time before the first
    refused = _limited(held, writer, customer, month, bound)
    if refused is not None:
        return refused
    return _hold_back(
        held, Reserved(writer.id, customer, key.id, once, request, body, month, tariff, dict(sorted(bound.items())))
    )


def _earlier(
    held: Transaction, writer: Writer, box: Box, customer: str, once: str, *, body: str, request: str
) -> Asked | None:
    """What became of the same idempotency key before; None where it is new, or its writer died."""
    place = (customer, once)
    if not once.startswith(OWN):
        entry = held.one("SELECT body, request, units FROM entries WHERE customer = ? AND idempotency = ?", place)
        if entry is not None:
            return _again(held, box, place, entry, body)
    row = held.one(
        "SELECT writer, body, request, key, month, tariff, units FROM reservations WHERE customer = ? AND idempotency = ?",
        place,
    )
    if row is None:
        return None
    owner, asked, before, key, month, tariff, units = row
    if asked != body:
        return _conflict()
    found = Reserved(owner, customer, key, once, before, asked, month, tariff, json.loads(units))
    if owner == writer.id:  # the same call again, after a commit whose outcome was not known; else a second one
        return found if before == request else InProgress(AGAIN)
    if not writers.dead(held, owner):
        return InProgress(AGAIN)
    drop(held, found)
    return None


def _again(held: Transaction, box: Box, place: tuple[str, str], entry: tuple[Any, ...], body: str) -> Replay | Refusal:
    if entry[0] != body:
        return _conflict()
    answer = answers.kept(held, box, *place)
    if answer is None:
        return Refusal("answer_expired", "this idempotency key was answered and billed, and its answer is no longer kept. Send a new key.")  # fmt: skip
    return Replay(answer, entry[1], json.loads(entry[2]), place[0])


def _conflict() -> Refusal:
    return Refusal("idempotency_conflict", "this idempotency key was used for another request. Send a new key.")


def _limited(held: Transaction, writer: Writer, customer: str, month: str, bound: Mapping[str, int]) -> Refusal | None:
    sold = writer.recall((customer, month, "plan"), lambda: subscription(held, customer, month))
    if sold is None:
        return Refusal("no_plan", f"the customer {customer} has no plan yet.")
    for unit, most in writer.recall((customer, month, "limits"), lambda: sold.limits(month)).items():
        if bound.get(unit, 0) == 0:
            continue
        taken = _taken(held, customer, month, unit)
        if taken + bound[unit] > most:
            wait = (starts(next_month(month)) - held.now) / SECOND
            return Refusal("quota_exceeded", f"the plan has {most} of the unit {unit!r} in {month}; {taken} are used or held back, this request may need {bound[unit]}.", wait)  # fmt: skip
    return _rate(held, customer, sold.plan)


def _taken(held: Transaction, customer: str, month: str, unit: str) -> int:
    row = held.one(
        "SELECT sum(used + reserved) FROM balances WHERE customer = ? AND month = ? AND unit = ?",
        (customer, month, unit),
    )
    return int(row[0]) if row is not None and row[0] is not None else 0


def _rate(held: Transaction, customer: str, plan: Plan) -> Refusal | None:
    """GCRA (ITU-T I.371): the theoretical arrival of the next request; one that comes too early changes nothing."""
    interval = plan.interval
    if interval is None:
        return None
    row = held.one("SELECT arrival FROM flow WHERE customer = ?", (customer,))
    # never farther ahead than a full burst: after a clock went back nobody waits longer
    arrival = min(row[0] if row else 0, held.now + plan.at_once * interval)
    early = arrival - held.now - (plan.at_once - 1) * interval
    if early > 0:
        return Refusal("rate_limited", f"the plan has {plan.rate_limit} requests a second, {plan.at_once} at once.", early / SECOND)  # fmt: skip
    held.run("UPDATE flow SET arrival = ? WHERE customer = ?", (max(arrival, held.now) + interval, customer))
    return None


def _hold_back(held: Transaction, new: Reserved) -> Reserved:
    held.run(
        "INSERT INTO reservations (customer, idempotency, writer, request, key, body, month, tariff, units, made) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (new.customer, new.idempotency, new.writer, new.request, new.key, new.body, new.month, new.tariff,
         canonical(new.units), held.now),
    )  # fmt: skip
    _move(held, new.customer, new.month, new.tariff, {unit: (0, count) for unit, count in new.units.items()})
    return new


def _move(held: Transaction, customer: str, month: str, tariff: str, by: Mapping[str, tuple[int, int]]) -> None:
    """Add (used, reserved) to balances."""
    for unit, (used, reserved) in sorted(by.items()):
        if used or reserved:
            held.run(
                "INSERT INTO balances (customer, month, unit, tariff, used, reserved) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (customer, month, unit, tariff) DO UPDATE SET "
                "used = balances.used + excluded.used, reserved = balances.reserved + excluded.reserved",
                (customer, month, unit, tariff, used, reserved),
            )


def settle(
    held: Transaction,
    writer: Writer,
    box: Box,
    reserved: Reserved,
    *,
    units: Mapping[str, int],
    answer: bytes | None,
    model: str,
    version: str,
) -> Settled | Lost:
    """Bill what was used, of each unit at most what was reserved, in the month of the reservation. Twice is once."""
    assert set(units) <= set(reserved.units), f"units {sorted(units)} were not all reserved: {sorted(reserved.units)}"
    assert all(count >= 0 for count in units.values())
    held.lock("flow", "customer", reserved.customer)
    billed = {unit: min(count, reserved.units[unit]) for unit, count in units.items()}
    if reserved.writer != writer.id or not _take(held, reserved):
        return _settled_before(held, reserved)
    append(
        held, writer, kind="use", customer=reserved.customer, month=reserved.month, tariff=reserved.tariff, units=billed,
        key=reserved.key, idempotency=reserved.idempotency, request=reserved.request, body=reserved.body, model=model,
        version=version,
    )  # fmt: skip
    moved = {unit: (billed.get(unit, 0), -count) for unit, count in reserved.units.items()}
    _move(held, reserved.customer, reserved.month, reserved.tariff, moved)
    if answer is not None and reserved.kept:
        answers.keep(held, box, reserved.customer, reserved.idempotency, answer)
    return Settled(reserved.request, billed)


def _take(held: Transaction, reserved: Reserved) -> bool:
    """Remove the reservation, if it is still this writer's."""
    return (
        held.run(
            "DELETE FROM reservations WHERE customer = ? AND idempotency = ? AND writer = ? AND request = ?",
            (reserved.customer, reserved.idempotency, reserved.writer, reserved.request),
        )
        == 1
    )


def _settled_before(held: Transaction, reserved: Reserved) -> Settled | Lost:
    """The entry of the very same call, where its commit went through without our knowing it."""
    row = held.one(
        "SELECT units FROM entries WHERE customer = ? AND idempotency = ? AND request = ?",
        (reserved.customer, reserved.idempotency, reserved.request),
    )
    return Lost() if row is None else Settled(reserved.request, json.loads(row[0]))


def release(held: Transaction, reserved: Reserved) -> bool:
    """Nothing was answered, nothing is billed; whether there was still something to give back."""
    held.lock("flow", "customer", reserved.customer)
    return drop(held, reserved)


def drop(held: Transaction, reserved: Reserved) -> bool:
    """Remove a reservation and what it held back; the customer's row is locked."""
    if not _take(held, reserved):
        return False
    back = {unit: (0, -count) for unit, count in reserved.units.items()}
    _move(held, reserved.customer, reserved.month, reserved.tariff, back)
    return True


def abandon(held: Transaction, writer: Writer, reserved: Reserved) -> None:
    """The answer never left and nobody can ask for it again: release it, or, where it was billed after all, take it back."""
    if release(held, reserved) or reserved.kept:
        return
    billed = _settled_before(held, reserved)
    note = f"request {reserved.request}: the answer never left"
    if isinstance(billed, Settled) and not _noted(held, reserved, note):
        _correct(
            held,
            writer,
            reserved.customer,
            reserved.month,
            reserved.tariff,
            {u: -c for u, c in billed.units.items()},
            note,
        )


def _noted(held: Transaction, reserved: Reserved, note: str) -> bool:
    where = "SELECT 1 FROM entries WHERE customer = ? AND month = ? AND kind = 'correction' AND note = ?"
    return held.one(where, (reserved.customer, reserved.month, note)) is not None


def abandon_request(held: Transaction, writer: Writer, request: str) -> None:
    """The same for a reservation whose making was not known to have succeeded."""
    for row in held.all(OF_WRITER + " AND request = ?", (writer.id, request)):
        release(held, reservation(row))


OF_WRITER = (
    "SELECT writer, customer, key, idempotency, request, body, month, tariff, units FROM reservations WHERE writer = ?"
)


def reservation(row: tuple[Any, ...]) -> Reserved:
    values = list(row)
    values[8] = json.loads(row[8])
    return Reserved(*values)


def reap(held: Transaction) -> int:
    """End every dead writer and its reservations; how many of those. Any process may, at any time."""
    ended = []
    for id in writers.dead_writers(held):
        lock = "" if held.sqlite else " FOR UPDATE SKIP LOCKED"  # held by itself: not so dead; by another: being reaped
        if held.one("SELECT 1 FROM writers WHERE id = ? AND state = 'open'" + lock, (id,)) and writers.dead(held, id):
            ended.append(id)
    found = [reservation(row) for id in ended for row in held.all(OF_WRITER, (id,))]
    for each in sorted(found, key=lambda each: each.customer):
        release(held, each)
    for id in ended:
        writers.end(held, id)
    return len(found)


def correct(
    held: Transaction, writer: Writer, customer_id: str, *, unit: str, amount: int, reason: str, month: str | None = None,
    tariff: str = "standard",
) -> None:  # fmt: skip
    """Add `amount` (negative: a credit) to what a customer used in a month; an entry like any other, with its reason."""
    find_customer(held, customer_id)
    chosen = month_of(held.now) if month is None else check_month(month)
    if not reason.strip():
        raise AccountError("a correction needs a reason")
    if tariff not in TARIFFS:
        raise AccountError(f"no tariff {tariff!r}. Allowed: {', '.join(TARIFFS)}")
    held.lock("flow", "customer", customer_id)
    used = usage(held, customer_id, chosen).get(tariff, {}).get(unit, 0)
    if used + amount < 0:
        raise AccountError(f"{customer_id} used {used} of the unit {unit!r} in {chosen} at the {tariff} tariff: {-amount} cannot be taken off")  # fmt: skip
    _correct(held, writer, customer_id, chosen, tariff, {unit: amount}, reason)


def _correct(
    held: Transaction, writer: Writer, customer: str, month: str, tariff: str, units: Mapping[str, int], note: str
) -> None:
    append(held, writer, kind="correction", customer=customer, month=month, tariff=tariff, units=units, note=note)
    _move(held, customer, month, tariff, {unit: (count, 0) for unit, count in units.items()})


def usage(held: Transaction, customer: str, month: str) -> dict[str, dict[str, int]]:
    """What a customer used in a month: {tariff: {unit: count}}. Metrics, quota and invoice read this number."""
    found: dict[str, dict[str, int]] = {}
    for tariff, unit, used in held.all(
        "SELECT tariff, unit, used FROM balances WHERE customer = ? AND month = ? ORDER BY tariff, unit",
        (customer, month),
    ):
        if used:
            found.setdefault(tariff, {})[unit] = int(used)
    return found


def requests_by_customer(held: Transaction, month: str) -> dict[str, int]:
    """Requests that each customer made in a month, of all tariffs; whoever made none is left out."""
    rows = held.all(
        "SELECT customer, sum(used) FROM balances WHERE month = ? AND unit = 'request' GROUP BY customer", (month,)
    )
    return {customer: int(used) for customer, used in rows}


def open_reservations(held: Transaction, customer: str, month: str) -> int:
    """Requests of a month that still run: its invoice is final when there are none."""
    row = held.one("SELECT count(*) FROM reservations WHERE customer = ? AND month = ?", (customer, month))
    return int(row[0]) if row else 0
