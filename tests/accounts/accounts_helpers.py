"""Small real objects for the tests of accounts: a customer with a key and a plan, and one call of a client."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from modelyard.accounts import customers, keys, ledger, plans
from modelyard.accounts.answers import Box
from modelyard.accounts.database import Database, Transaction
from modelyard.accounts.plans import Plan
from modelyard.accounts.verifying import verify
from modelyard.accounts.writers import Writer, open_writer, writing

BOX = Box(bytes(32))
PLAN = Plan(name="starter", currency="USD", price=Decimal(29), included=1000, overage=Decimal("0.001"))


@dataclass(frozen=True)
class Buyer:
    """A customer's id and key."""

    id: str
    key: str

    @property
    def parts(self) -> dict[str, str]:
        """What `reserve` wants of the key."""
        found = keys.split(self.key)
        assert found
        return {"key_id": found[0], "secret_hash": found[1]}


def buyer(database: Database, plan: Plan = PLAN, id: str = "acme") -> Buyer:
    """A customer who may ask."""
    with database.write() as held:
        customers.add_customer(held, id.title(), id=id, currency=plan.currency)
        plans.subscribe(held, id, plans.add_plan(held, plan))
        return Buyer(id, keys.issue(held, id)[1])


def writer_of(database: Database, process: int | None = None) -> Writer:
    """A new writer."""
    with database.write() as held:
        return open_writer(held, process=process)


def reserve(
    database: Database, writer: Writer, who: Buyer, idempotency: str | None = None, *, body: str = "b",
    bound: Mapping[str, int] | None = None, **more: Any,
) -> ledger.Asked:  # fmt: skip
    """One reservation in a transaction of its own."""
    with writing(database, writer) as held:
        return reserve_in(held, writer, who, idempotency, body=body, bound=bound, **more)


def reserve_in(
    held: Transaction, writer: Writer, who: Buyer, idempotency: str | None = None, *, body: str = "b",
    bound: Mapping[str, int] | None = None, **more: Any,
) -> ledger.Asked:  # fmt: skip
    """The same in a transaction that is open."""
    return ledger.reserve(
        held, writer, BOX, **who.parts, idempotency=idempotency, body=body, bound=bound or {"request": 1},
        request=more.pop("request", None) or secrets.token_hex(8), **more,
    )  # fmt: skip


def settle(
    database: Database, writer: Writer, reserved: Any, units: Mapping[str, int] | None = None, answer: bytes = b"yes"
) -> ledger.Settled | ledger.Lost:
    """One settlement in a transaction of its own."""
    assert isinstance(reserved, ledger.Reserved), reserved
    with writing(database, writer) as held:
        return ledger.settle(
            held, writer, BOX, reserved, units=units or {"request": 1}, answer=answer, model="m", version="1"
        )


def used(database: Database, who: str = "acme", month: str | None = None) -> dict[str, dict[str, int]]:
    """The balance of this month."""
    from modelyard.accounts.times import month_of

    with database.read() as held:
        return ledger.usage(held, who, month or month_of(held.now))


def faults(database: Database, **more: Any) -> list[str]:
    """What `verify` finds, as text."""
    return [str(fault) for fault in verify(database, **more).faults]
