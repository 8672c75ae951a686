"""The graph of lines: numbers by hand, units, draws at once, and its formulas computed by somebody else."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from modelyard.business import sheet as sheets
from modelyard.business.sheet import (  # fmt: skip
    MONTH,
    Sheet,
    backwards,
    choose,
    cohorts,
    depends,
    exponential,
    greatest,
    last,
    least,
    lowest,
    total,
    where,
    whole,
)
from modelyard.business.spelling import formula
from modelyard.errors import UnitError


def shop(months: int = 12) -> Sheet:
    """Customers who join and leave, machines that come whole, and cash."""
    found = Sheet(months)
    price, churn, joining = (
        found.given("price", "USD/customer/month"),
        found.given("churn", "1/month"),
        found.given("joining", "customer/month"),
    )
    machine, room, start = (
        found.given("machine", "USD/month"),
        found.given("room", "customer"),
        found.given("start", "USD"),
    )
    customers = found.rolling(
        "customers", "customer", 0.0, lambda before: before - before * churn * MONTH + joining * MONTH
    )
    machines = found.line("machines", "", whole(greatest(customers / room, 2.0)))
    net = found.line("net", "USD/month", customers * price - machines * machine)
    cash = found.rolling("cash", "USD", start, lambda before: before + net * MONTH)
    found.line("lowest cash", "USD", lowest(cash))
    found.line("sold", "USD", total(found.line("revenue", "USD", customers * price * MONTH)))
    found.line("at the end", "customer", last(customers))
    found.line("good months", "", total(found.line("good", "", choose(net > 0, 1.0, 0.0))))
    found.line("worth", "USD/customer", where(churn > 0, price / churn))
    survival = found.rolling("survival", "", 1.0, lambda before: choose(found.month <= MONTH, 1.0, before * 0.9))
    won = found.line("won", "customer/month", joining * found.month / MONTH)
    found.line("there", "customer/month", cohorts(won, found.line("survival, backwards", "", backwards(survival))))
    found.line("grown", "", least(exponential(0.1 * found.month / MONTH), 2.0))
    return found  # fmt: skip


GIVEN = {"price": 10.0, "churn": 0.1, "joining": 5.0, "machine": 30.0, "room": 8.0, "start": 100.0}


def test_by_hand() -> None:
    found = shop(3).solve(GIVEN)
    np.testing.assert_allclose(found["customers"], [5, 9.5, 13.55])
    np.testing.assert_allclose(found["machines"], [2, 2, 2])
    np.testing.assert_allclose(found["net"], [-10, 35, 75.5])
    np.testing.assert_allclose(found["cash"], [90, 125, 200.5])
    assert (found["lowest cash"], found["good months"], found["worth"]) == (90, 2, 100)
    assert found["sold"] == pytest.approx(280.5) and found["at the end"] == pytest.approx(13.55)
    np.testing.assert_allclose(found["survival, backwards"], [0.81, 0.9, 1])
    np.testing.assert_allclose(found["there"], [5, 10 + 4.5, 15 + 9 + 4.05])
    np.testing.assert_allclose(found["grown"], np.exp([0.1, 0.2, 0.3]))


def test_draws_at_once_are_each_alone() -> None:
    rng, count = np.random.default_rng(0), 500
    drawn: dict[str, Any] = {name: value * rng.uniform(0.5, 1.5, count) for name, value in GIVEN.items()}
    drawn["room"] = 8.0
    together = shop().solve(drawn)
    assert together["cash"].shape == (count, 12) and together["worth"].shape == (count,)
    for draw in (0, 17, count - 1):
        alone = shop().solve({name: np.broadcast_to(value, count)[draw] for name, value in drawn.items()})
        for name, values in alone.items():
            np.testing.assert_allclose(together[name][draw], values, rtol=1e-12, err_msg=name)


def test_nothing_is_worth_nothing_where_nobody_leaves() -> None:
    assert np.isnan(shop().solve({**GIVEN, "churn": 0.0})["worth"])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda s, price, churn: s.line("x", "USD/request", price), "must be in 'USD/request'"),
        (lambda s, price, churn: price + churn, "do not go together"),
        (lambda s, price, churn: price > 1.0, "do not go together"),
        (lambda s, price, churn: choose(churn > 0.0, price, churn), "do not go together"),
        (lambda s, price, churn: exponential(price), "without a unit"),
        (lambda s, price, churn: price**2.0, "without a unit"),
        (lambda s, price, churn: s.rolling("x", "USD", 0.0, lambda before: before + price), "do not go together"),
        (lambda s, price, churn: least(price, 3.0), "do not go together"),
    ],
)
def test_units_that_do_not_go_together(wrong: Any, says: str) -> None:
    found = Sheet(2)
    with pytest.raises(UnitError, match=says):
        wrong(found, found.given("price", "USD/customer/month"), found.given("churn", "1/month"))


def test_a_price_a_token_is_no_price_a_request() -> None:
    found = Sheet(1)
    cost = found.given("cost", "USD/token")
    with pytest.raises(UnitError):
        found.line("of a request", "USD/request", cost * 2.0)
    assert found.line("of a request", "USD/request", cost * Sheet.number(300, "token/request")).unit == "USD/request"


@pytest.mark.parametrize("name", ["price", "customers"])
def test_a_name_is_given_once(name: str) -> None:
    with pytest.raises(ValueError, match="two lines"):
        shop().line(name, "", 1.0)


@pytest.mark.parametrize("given", [{}, {**GIVEN, "more": 1.0}, {**GIVEN, "price": np.nan}, {**GIVEN, "price": [[1.0]]}])
def test_what_is_given_is_checked(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        shop().solve(given)


def test_what_a_line_is_computed_from() -> None:
    assert depends(shop(), "net") == ["customers", "price", "machines", "machine"]
    assert depends(shop(), "cash") == ["start", "net"]


def test_formulas_say_what_was_computed() -> None:
    """Each cell's formula, computed as Python by its own reader, gives the cell."""
    model, months = shop(), 12
    solved = model.solve(GIVEN)
    cells: dict[str, Any] = {f"G_{name}": value for name, value in GIVEN.items()}

    def place(name: str, month: int | None) -> str:
        spelt = re.sub("[^a-z]+", "_", name)
        return f"G_{name}" if name in model.givens else f"L_{spelt}" + ("" if month is None else f"_{month}")

    def across(name: str, first: int, last: int) -> str:
        return f"cells_of({name!r}, {first}, {last})"

    told = {
        "SUM": sum, "MIN": lambda *each: min(*each), "MAX": max, "EXP": np.exp, "IF": lambda c, yes, no: yes if c else no,
        "CEILING": lambda value, step: np.ceil(value / step) * step, "SUMPRODUCT": lambda one, other: float(np.dot(one, other)),
        "cells_of": lambda name, first, last: [cells[place(name, month)] for month in range(first, last + 1)],
    }  # fmt: skip
    for name, line in model.lines.items():
        for month in range(months) if line.monthly else [None]:
            text = formula(line, place, across, months=months, month=month)
            text = re.sub(r"(?<![<>])=", "==", text).replace("^", "**")
            value = eval(text, {}, {**told, **cells})
            cells[place(name, month)] = value
            assert value == pytest.approx(solved[name] if month is None else solved[name][month], rel=1e-12), (
                name,
                text,
            )


def test_twenty_thousand_draws_are_quick() -> None:
    import time

    rng = np.random.default_rng(1)
    model, began = shop(36), time.perf_counter()
    model.solve({name: value * rng.uniform(0.9, 1.1, 20_000) for name, value in GIVEN.items()})
    assert time.perf_counter() - began < 5


def test_only_lines_are_added_up_in_formulas() -> None:
    found = Sheet(2)
    growing = found.line("growing", "", found.month / MONTH)
    line = found.lines["growing"]
    assert formula(line, lambda *_: "A1", lambda *_: "A1:B1", months=2, month=1) == "(2/1)"
    found.line("twice", "", total(growing * 2.0))
    with pytest.raises(AssertionError, match="a name of its own"):
        formula(found.lines["twice"], lambda *_: "A1", lambda *_: "A1:B1", months=2)
    assert sheets.NEARLY < 1e-6
