"""What is earned until now agrees with the invoice at the month's end; what it costs is hours times a price."""

from __future__ import annotations

from decimal import Decimal

import pytest

from modelyard.accounts import customers, keys, plans
from modelyard.accounts.database import open_database
from modelyard.accounts.earning import HOUR, Machine, earning
from modelyard.accounts.invoices import invoice
from modelyard.accounts.plans import Plan
from modelyard.accounts.times import DAY, micros
from tests.accounts.accounts_helpers import PLAN, Buyer, buyer, reserve, settle, writer_of

MACHINE = Machine(Decimal("0.05"), "USD", "small", "the table")
START = micros(2026, 10, 1)


@pytest.fixture
def clock():
    return [START]


@pytest.fixture
def database(address, clock):
    with open_database(address, clock=lambda: clock[0]) as found:
        yield found


def now(database, machine: Machine | None = MACHINE):
    with database.read() as held:
        return earning(held, machine)


def use(database, who: Buyer, writer, requests: int) -> None:
    settle(database, writer, reserve(database, writer, who, bound={"request": requests}), {"request": requests})


def test_the_months_last_moment_is_the_invoice(database, clock):
    who, writer = buyer(database, PLAN), writer_of(database)
    use(database, who, writer, 3000)  # 1,000 included, 2,000 at 0.001
    clock[0] = START + 31 * DAY - 1
    (found,) = now(database)
    with database.read() as held:
        bill = invoice(held, who.id, "2026-10")
    assert found.earned == bill.total == Decimal("31.00") and found.requests == 3000


def test_in_the_middle_half_of_the_price_is_earned_and_all_of_the_use(database, clock):
    who, writer = buyer(database, PLAN), writer_of(database)
    use(database, who, writer, 3000)
    clock[0] = START + 31 * DAY // 2
    (found,) = now(database)
    assert found.earned == Decimal("16.50")  # 29 / 2 + 2
    assert found.hours == Decimal(31 * 12) and found.cost == Decimal("18.60")
    assert found.margin == (Decimal("16.50") - Decimal("18.60")) / Decimal("16.50")
    assert found.cost_per_thousand == Decimal("6.2")
    told = found.describe()
    assert told["margin"] == "-0.1273" and told["cost"] == "18.6" and told["hours"] == "372"


def test_hours_begin_with_the_service_and_each_host_counts(database, clock):
    clock[0] = START + 10 * DAY
    buyer(database, PLAN)
    writer_of(database)
    clock[0] += 5 * HOUR
    (found,) = now(database)
    assert found.hours == 5 and found.machines == 1
    with database.write() as held:
        held.run(
            "INSERT INTO writers (id, host, process, started, opened, lease, state, anchored) VALUES "
            "('x', 'elsewhere', 1, 'unknown', ?, ?, 'open', 0)",
            (held.now, held.now + 10**9),
        )
    (found,) = now(database)
    assert found.machines == 2 and found.cost == Decimal("0.5")


def test_currencies_are_not_mixed_and_an_unknown_price_is_no_cost(database, clock):
    buyer(database, PLAN)
    yen = Plan(name="yen", currency="JPY", price=Decimal(3100))
    with database.write() as held:
        customers.add_customer(held, "Tokyo", id="tokyo", currency="JPY")
        plans.subscribe(held, "tokyo", plans.add_plan(held, yen))
        keys.issue(held, "tokyo")
    writer_of(database)
    clock[0] += DAY
    found = {each.currency: each for each in now(database)}
    assert found["JPY"].earned == 100 and found["JPY"].cost is None and found["JPY"].margin is None
    assert found["USD"].cost == Decimal("1.2")
    assert all(each.cost is None for each in now(database, None))


def test_without_customers_machines_cost_nevertheless(database, clock):
    writer_of(database)
    clock[0] += DAY
    (found,) = now(database)
    assert (found.customers, found.earned, found.cost, found.margin) == (0, 0, Decimal("1.2"), None)
