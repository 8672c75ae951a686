"""The administrator's side of the API, which the console uses: models, customers, keys, usage, invoices, what happens now.

Every action that changes something is told to the audit log (`state/admin.jsonl`, one line each, and the service's own log) with who,
when and what, never with a secret. It knows nothing about how requests are answered.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError
from pydantic_core import from_json

from modelyard.errors import DatabaseFault, UserError
from modelyard.frozen import Frozen
from modelyard.serve.fleet import Entry, Fleet
from modelyard.serve.gate import Gate
from modelyard.serve.limits import Limits
from modelyard.serve.lines import say
from modelyard.serve.live import Live
from modelyard.serve.reading import check_headers, read_body
from modelyard.serve.refusing import Refused
from modelyard.serve.watching import Watch

if TYPE_CHECKING:
    from modelyard.accounts.database import Transaction
    from modelyard.accounts.earning import Machine
    from modelyard.accounts.till import Till
    from modelyard.serve.deployment import DeploymentFile
    from modelyard.serve.feedback import Feedback

Json = dict[str, Any]
LOG = "admin.jsonl"
LIMITS = Limits(max_body=64 * 1024)


class Nothing(Frozen):
    """A body that holds nothing."""


class RollBack(Frozen):
    """Why a version is taken back."""

    reason: str = Field("", max_length=500)
    """Kept in the list of events."""


class NewCustomer(Frozen):
    """A customer to be."""

    name: str
    """For people."""
    plan: str
    """One of the plans on offer."""


class NewKey(Frozen):
    """A key to be."""

    label: str = Field("", max_length=100)
    """What it is for."""
    scopes: tuple[str, ...] | None = None
    """What it may do; null: everything."""
    days: float | None = Field(None, gt=0, le=36500)
    """Days until it ends; null: never."""


class AuditLog:
    """Who changed what and when."""

    def __init__(self, state: Path | None) -> None:
        self._path = None if state is None else state / LOG
        self._lock = threading.Lock()

    def add(self, action: str, **facts: Any) -> None:
        """One line, on the disk when this returns."""
        say("admin", action=action, **facts)
        if self._path is None:
            return
        line = json.dumps({"at": round(time.time(), 3), "action": action, **facts}, ensure_ascii=False) + "\n"
        with self._lock:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, line.encode())
                os.fsync(handle)
            finally:
                os.close(handle)


class Admin:
    """The endpoints below `/admin`."""

    def __init__(
        self, gate: Gate, fleet: Fleet, live: Live, watch: Watch, *, file: DeploymentFile | None, log: AuditLog
    ) -> None:
        self._gate, self._fleet, self._live, self._file, self._log = gate, fleet, live, file, log
        self.feedback: Feedback | None = None
        self._watch = watch

    def routes(self) -> list[Any]:
        """Starlette's routes."""
        from starlette.routing import Route

        def get(path: str, answer: Callable[[Any], Awaitable[Any]]) -> Any:
            return Route(f"/admin{path}", self._guarded(answer), methods=["GET"])

        def post(path: str, act: Callable[[Any], Awaitable[Any]]) -> Any:
            return Route(f"/admin{path}", self._guarded(act), methods=["POST"])

        return [
            get("/live", self.live),
            get("/models", self.models),
            post("/models/{model}/promote", self.promote),
            post("/models/{model}/roll-back", self.roll_back),
            get("/quality", self.quality),
            get("/earning", self.earning),
            get("/drift", self.drift),
            get("/plans", self.plans),
            get("/customers", self.customers),
            post("/customers", self.add_customer),
            post("/customers/{customer}/close", self.close_customer),
            get("/customers/{customer}/keys", self.keys),
            post("/customers/{customer}/keys", self.issue_key),
            post("/keys/{key}/rotate", self.rotate_key),
            post("/keys/{key}/revoke", self.revoke_key),
            get("/customers/{customer}/usage", self.usage),
            get("/customers/{customer}/invoice", self.invoice),
        ]

    def _guarded(self, answer: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        """The token first; what a person gave wrong is 422, a ledger that cannot be used 503."""

        async def guarded(request: Any) -> Any:
            self._gate.check_admin(request.headers)
            _check_seen((*request.path_params.values(), *request.query_params.values()))
            try:
                found = await answer(request)
            except UserError as error:
                raise Refused(422, "not_possible", str(error)) from None
            except DatabaseFault as error:
                raise Refused(503, "ledger_unavailable", str(error), headers={"Retry-After": "2"}) from None
            return found if not isinstance(found, dict) else _json(found)

        return guarded

    async def _read(self, request: Any, kind: type[Any]) -> Any:
        check_headers(request.headers)
        body = await read_body(request.stream(), request.headers.get("content-length"), LIMITS)
        try:
            return kind.model_validate(from_json(body or b"{}"))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise Refused(
                422, "invalid_body", f"{field}: {first['msg']}", faults=[(None, field, first["msg"])]
            ) from None
        except ValueError as error:
            raise Refused(400, "invalid_json", f"the body is not JSON in UTF-8: {error}") from None

    @property
    def _till(self) -> Till:
        assert self._gate.till is not None  # without accounts `check_admin` has refused
        return self._gate.till

    # -- what happens ----------------------------------------------------------------------------------------------------

    async def live(self, request: Any) -> Json:
        """GET /admin/live."""
        return self._live.taken()

    async def models(self, request: Any) -> Json:
        """GET /admin/models."""
        document = self._file.read().models if self._file is not None else {}
        return {"models": [_model(entry, document.get(name)) for name, entry in self._fleet.entries.items()]}

    async def drift(self, request: Any) -> Json:
        """GET /admin/drift: every version that answers, the window it is in, and what the last ones showed."""
        return {"models": await self.drifting()}

    async def drifting(self) -> list[Json]:
        """The same, for alerts."""
        found = [entry.live for entry in self._fleet.entries.values()]
        found += [entry.trial.deployed for entry in self._fleet.entries.values() if entry.trial is not None]
        return [await asyncio.to_thread(self._watch.told, each) for each in found]

    async def promote(self, request: Any) -> Json:
        """POST /admin/models/NAME/promote."""
        await self._read(request, Nothing)
        name = request.path_params["model"]
        await asyncio.to_thread(self._placed.promote, name, now=time.time())
        self._log.add("promote", model=name)
        return {"done": True}

    async def roll_back(self, request: Any) -> Json:
        """POST /admin/models/NAME/roll-back."""
        given, name = await self._read(request, RollBack), request.path_params["model"]
        await asyncio.to_thread(self._placed.roll_back, name, now=time.time(), reason=given.reason)
        self._log.add("roll_back", model=name, reason=given.reason)
        return {"done": True}

    @property
    def _placed(self) -> DeploymentFile:
        if self._file is None:
            raise UserError("this service has no state folder: start it with --state DIR to change versions.")
        return self._file

    # -- customers -------------------------------------------------------------------------------------------------------

    async def quality(self, request: Any) -> Json:
        """GET /admin/quality: how good the versions are by the labels that came back."""
        return {"models": [] if self.feedback is None else await asyncio.to_thread(self.feedback.quality)}

    async def earning(self, request: Any) -> Json:
        """GET /admin/earning: what is earned and spent this month until now, and the price that the machines' side comes from."""
        machine = await asyncio.to_thread(self._machine)
        told = None if machine is None else {"name": machine.name, "price": format(machine.price.normalize(), "f"), "currency": machine.currency, "source": machine.source}  # fmt: skip
        return {"machine": told, "currencies": await self._gate.earning(machine)}

    async def earnings(self) -> list[Json]:
        """The same lines, for alerts."""
        return await self._gate.earning(await asyncio.to_thread(self._machine))

    def _machine(self) -> Machine | None:
        from modelyard.serve.economics import machine

        return None if self._file is None else machine(self._file.state)

    async def plans(self, request: Any) -> Json:
        """GET /admin/plans: the newest of each name."""
        from modelyard.accounts.plans import all_plans

        found = await self._till.run(lambda held: {plan.name: plan for plan in all_plans(held).values()})
        return {"plans": [plan.model_dump(mode="json") for plan in found.values()]}

    async def customers(self, request: Any) -> Json:
        """GET /admin/customers."""
        from modelyard.accounts import customers, ledger, plans
        from modelyard.accounts.times import month_of

        def read(held: Transaction) -> list[Json]:
            month = month_of(held.now)
            names, used = plans.names_by_customer(held, month), ledger.requests_by_customer(held, month)
            return [
                {
                    "id": each.id, "name": each.name, "plan": names.get(each.id, ""), "requests": used.get(each.id, 0),
                    "created": each.created / 1e6, "closed": each.closed is not None,
                }
                for each in customers.all_customers(held)
            ]  # fmt: skip

        return {"customers": await self._till.run(read)}

    async def add_customer(self, request: Any) -> Json:
        """POST /admin/customers."""
        from modelyard.accounts import customers, plans

        given = await self._read(request, NewCustomer)

        def add(held: Transaction) -> Any:
            digest = plans.find_plan(held, given.plan)
            made = customers.add_customer(held, given.name, currency=plans.all_plans(held)[digest].currency)
            plans.subscribe(held, made.id, digest)
            return made

        made = await self._till.run(add)
        self._log.add("add_customer", customer=made.id, plan=given.plan)
        return {"id": made.id, "name": made.name}

    async def close_customer(self, request: Any) -> Json:
        """POST /admin/customers/ID/close."""
        from modelyard.accounts import customers

        await self._read(request, Nothing)
        identity = request.path_params["customer"]
        await self._till.run(lambda held: customers.close(held, identity))
        self._till.forget_callers()
        self._log.add("close_customer", customer=identity)
        return {"done": True}

    async def keys(self, request: Any) -> Json:
        """GET /admin/customers/ID/keys."""
        from modelyard.accounts import keys

        identity = request.path_params["customer"]
        found, now = await self._till.run(lambda held: (keys.keys_of(held, identity), held.now))
        return {"keys": [_key(each, now) for each in found]}

    async def issue_key(self, request: Any) -> Json:
        """POST /admin/customers/ID/keys: the key, this once."""
        from modelyard.accounts import keys
        from modelyard.accounts.times import DAY

        given, identity = await self._read(request, NewKey), request.path_params["customer"]

        def issue(held: Transaction) -> tuple[keys.Key, str, int]:
            expires = None if given.days is None else held.now + int(given.days * DAY)
            made, text = keys.issue(
                held,
                identity,
                label=given.label,
                scopes=keys.SCOPES if given.scopes is None else given.scopes,
                expires=expires,
            )
            return made, text, held.now

        made, text, now = await self._till.run(issue)
        self._log.add("issue_key", customer=identity, key=made.shown)
        return {"key": text, **_key(made, now)}

    async def rotate_key(self, request: Any) -> Json:
        """POST /admin/keys/ID/rotate: the new key, this once; the old one goes on for a day."""
        from modelyard.accounts import keys

        await self._read(request, Nothing)
        identity = request.path_params["key"]
        (made, text), now = await self._till.run(lambda held: (keys.rotate(held, identity), held.now))
        self._log.add("rotate_key", key=identity, new=made.shown)
        return {"key": text, **_key(made, now)}

    async def revoke_key(self, request: Any) -> Json:
        """POST /admin/keys/ID/revoke."""
        from modelyard.accounts import keys

        await self._read(request, Nothing)
        identity = request.path_params["key"]
        made = await self._till.run(lambda held: keys.revoke(held, identity))
        self._till.forget_callers()
        self._log.add("revoke_key", key=made.shown)
        return {"done": True}

    async def usage(self, request: Any) -> Json:
        """GET /admin/customers/ID/usage?month=2026-11."""
        from modelyard.accounts import customers, ledger
        from modelyard.accounts.times import check_month, month_of

        identity, given = request.path_params["customer"], request.query_params.get("month")

        def read(held: Transaction) -> Json:
            customers.customer(held, identity)
            month = check_month(given) if given else month_of(held.now)
            return {"month": month, "usage": _usage(ledger.usage(held, identity, month))}

        return await self._till.run(read)

    async def invoice(self, request: Any) -> Any:
        """GET /admin/customers/ID/invoice?month=2026-11&format=html."""
        from starlette.responses import Response

        from modelyard.accounts import invoices
        from modelyard.accounts.times import check_month, month_of

        identity, given = request.path_params["customer"], request.query_params.get("month")
        form = request.query_params.get("format", "json")
        writers: dict[str, tuple[str, Callable[[Any], str | bytes]]] = {
            "json": ("application/json", invoices.to_text),
            "html": ("text/html; charset=utf-8", invoices.to_html),
            "csv": ("text/csv; charset=utf-8", invoices.to_csv),
            "pdf": ("application/pdf", invoices.to_pdf),
        }
        if form not in writers:
            raise UserError(f"no format {form[:20]!r}. Allowed: {', '.join(writers)}")
        made = await self._till.run(
            lambda held: invoices.invoice(held, identity, check_month(given) if given else month_of(held.now))
        )
        media, write = writers[form]
        headers = {"content-type": media}
        if form == "html":  # opened by itself it may run nothing and ask for nothing
            headers["content-security-policy"] = "sandbox; default-src 'none'; style-src 'unsafe-inline'"
        return Response(await asyncio.to_thread(write, made), headers=headers)


def _check_seen(texts: Iterable[str]) -> None:
    """422 where a text of the address holds what cannot be seen: PostgreSQL, for one, takes no NUL."""
    from modelyard.accounts.customers import shown

    for text in texts:
        if not shown(text):
            raise Refused(422, "not_possible", f"{text[:60]!r} holds characters that cannot be seen.")


def _usage(found: Any) -> list[Json]:
    """`{tariff: {unit: count}}` as lines."""
    return [
        {"tariff": tariff, "unit": unit, "used": used}
        for tariff, units in found.items()
        for unit, used in units.items()
    ]


def _key(key: Any, now: int) -> Json:
    return {
        "id": key.id, "shown": key.shown, "name": key.label, "scopes": list(key.scopes), "created": key.created / 1e6,
        "expires": key.expires and key.expires / 1e6, "revoked": key.revoked is not None,
        "ended": key.expires is not None and key.expires <= now,
    }  # fmt: skip


def _model(entry: Entry, placed: Any) -> Json:
    """A model as this process serves it, and what the document says of it."""
    trial, seen = entry.trial, entry.seen
    return {
        "name": entry.live.name,
        "task": entry.live.state.task,
        "ready": entry.live.ready,
        "live": {"version": entry.live.version, "since": placed.live.since if placed else entry.live.since},
        "trial": None
        if trial is None
        else {
            "version": trial.deployed.version, "kind": trial.terms.kind, "percent": trial.terms.percent,
            "asked": seen.trial.asked, "failed": seen.trial.failed, "compared": seen.compared, "differed": seen.differed,
        },
        "past": [{"version": each.version, "since": each.since} for each in (placed.past if placed else ())],
        "events": [each.model_dump() for each in (placed.events if placed else ())],
    }  # fmt: skip


def _json(content: Json) -> Any:
    from starlette.responses import Response

    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), headers={"content-type": "application/json"})
