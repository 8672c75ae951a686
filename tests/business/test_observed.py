"""`--ledger`: assumptions beside a month of a real ledger, and the case with its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from modelyard.accounts import customers
from modelyard.accounts.database import Database, open_database
from modelyard.accounts.observing import last_month, seen
from modelyard.accounts.plans import Plan
from modelyard.accounts.times import DAY, micros
from modelyard.blueprint import Blueprint
from modelyard.business.observed import compared, told
from modelyard.context import Context
from modelyard.errors import UserError
from modelyard.records.served import Served
from modelyard.store import Store
from tests.accounts.accounts_helpers import Buyer, buyer, reserve, settle, writer_of

SECTION = """{plans: [{name: starter, price: 29, included: 1000, overage: 0.001, share: 0.5, usage: {low: 500, likely: 900, high: 1200}},
  {name: large, price: 99, share: 0.5, usage: 5000}], churn: {low: 0.1, likely: 0.2, high: 0.3}, draws: 1000}"""
STARTER = Plan(name="starter", currency="USD", price=Decimal(29), included=1000, overage=Decimal("0.001"))
LARGE = Plan(name="large", currency="USD", price=Decimal(99))
OLD = Plan(name="old", currency="USD", price=Decimal(9))


@pytest.fixture
def clock() -> list[int]:
    return [micros(2026, 9, 1)]


@pytest.fixture
def database(tmp_path: Path, clock: list[int]) -> Iterator[Database]:
    with open_database(f"sqlite:///{tmp_path / 'accounts.db'}", clock=lambda: clock[0], create=True) as found:
        yield found


@pytest.fixture
def context(tmp_path: Path, parse: Callable[[str], Blueprint], load: Callable[[float], Served]) -> Context:
    return Context(parse(SECTION), Store(tmp_path / "build"), records={"serve": load(100.0)})


def october(database: Database, clock: list[int]) -> None:
    """Ten customers since September, two of whom leave; six more come; each uses 2,000 requests."""
    writer = writer_of(database)
    before = [buyer(database, STARTER if at < 8 else LARGE, f"before-{at}") for at in range(10)]
    clock[0] = micros(2026, 10, 2)
    new = [buyer(database, OLD if at == 0 else STARTER, f"new-{at}") for at in range(6)]
    for who in [*before, *new]:
        use(database, writer, who, 2000)
    clock[0] = micros(2026, 10, 20)
    with database.write() as held:
        for at in (0, 1):
            customers.close(held, f"before-{at}")
    clock[0] = micros(2026, 11, 3)


def use(database: Database, writer: object, who: Buyer, requests: int) -> None:
    settle(database, writer, reserve(database, writer, who, bound={"request": requests}), {"request": requests})  # type: ignore[arg-type]


def test_a_month_counted_by_hand(database: Database, clock: list[int]) -> None:
    october(database, clock)
    with database.read() as held:
        assert last_month(held, "USD") == "2026-10"
        found = seen(held, "2026-10", "USD")
        none = seen(held, "2026-10", "EUR")
    assert (found.before, found.joined, found.left, found.customers, found.over) == (10, 6, 2, 16, True)
    sums = {plan.name: (plan.customers, plan.requests, plan.charged) for plan in found.plans}
    assert (
        sums["starter"][:2] == (13, 26000) and sums["large"] == (2, 4000, Decimal(198)) and sums["old"][:2] == (1, 2000)
    )
    # eight of a whole month: 29 + 1,000 beyond at 0.001; five of 30 days of 31: 28.06, and 968 of 1,000 included
    assert sums["starter"][2] == 8 * Decimal("30.00") + 5 * (Decimal("28.06") + Decimal("1.03"))
    assert none.customers == none.before == 0


def test_assumptions_are_judged(database: Database, clock: list[int], context: Context) -> None:
    october(database, clock)
    with database.read() as held:
        found = {row.name: row for row in compared(context, seen(held, "2026-10", "USD"))}
    assert found["plans.starter.usage"].was == 2000 and found["plans.starter.usage"].verdict == "above what was assumed"
    assert found["plans.large.usage"].was == 2000 and found["plans.large.usage"].verdict == "below what was assumed"
    assert found["churn"].was == pytest.approx(0.2) and found["churn"].verdict == "as assumed"
    assert found["plans.starter.share"].was == pytest.approx(13 / 15) and not found["plans.starter.share"].settable
    assert found["plans.large: paid"].was == found["plans.large: paid"].likely == 99


def test_the_case_is_counted_again_with_what_enough_customers_say(
    database: Database, clock: list[int], context: Context
) -> None:
    october(database, clock)
    with database.read() as held:
        text = told(context, seen(held, "2026-10", "USD"))
    assert "2026-10, in USD: 16 customers, 6 came, 2 left" in text
    assert "plans.starter.usage: 900 -> 2000" in text and "churn: 0.2 -> 0.2" in text
    assert "plans.large.usage: " not in text  # two customers are too few
    assert "old: 1 customer of a plan that the blueprint does not have" in text
    assert "lifetime value" in text and not context.store.path("business.json").exists()


def test_a_month_that_runs_and_one_of_nobody(database: Database, clock: list[int], context: Context) -> None:
    october(database, clock)
    with database.read() as held:
        running = told(context, seen(held, "2026-11", "USD"))
        with pytest.raises(UserError, match="no customers who pay in USD in 2026-08"):
            told(context, seen(held, "2026-08", "USD"))
    assert "it still runs" in running and "not counted with them: the month still runs" in running


def test_before_the_first_month_is_over(database: Database, clock: list[int]) -> None:
    buyer(database, STARTER)
    clock[0] += 3 * DAY
    with database.read() as held:
        assert last_month(held, "USD") == "2026-09"


def test_the_command(tmp_path: Path, load: Callable[[float], Served]) -> None:
    """The real clock: a customer of today, so the month still runs."""
    from typer.testing import CliRunner

    from modelyard.cli import app

    path, build, state = tmp_path / "blueprint.yaml", tmp_path / "build", tmp_path / "state"
    path.write_text(f"name: demo\ndata: {{source: rows.csv, target: label}}\nbusiness: {SECTION}\n")
    build.mkdir()
    (build / "serve.json").write_text(load(100.0).model_dump_json())
    state.mkdir()
    with open_database(f"sqlite:///{state / 'accounts.db'}", create=True) as found:
        buyer(found, STARTER)
    asked = ["business", str(path), "--out", str(build)]
    answered = CliRunner().invoke(app, [*asked, "--ledger", str(state)])
    assert answered.exit_code == 0 and "1 customer, 1 came, 0 left" in answered.output, answered.output
    both = CliRunner().invoke(
        app, [*asked, "--what-if", "churn=0.2", "--database", f"sqlite:///{state / 'accounts.db'}"]
    )
    assert both.exit_code == 0 and "lifetime value" in both.output and "the month still runs" in both.output
    assert not (build / "business.json").exists()
    nobody = CliRunner().invoke(app, [*asked, "--ledger", str(state), "--month", "2020-01"])
    assert "no customers who pay in USD in 2020-01" in str(nobody.exception or nobody.output)
