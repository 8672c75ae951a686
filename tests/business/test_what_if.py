"""`--what-if`: the same numbers as a blueprint with those values, refusals that say what is allowed, and nothing written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.blueprint import Blueprint
from modelyard.business import run
from modelyard.business.what_if import answer
from modelyard.context import Context
from modelyard.errors import UserError
from modelyard.records.served import Served
from modelyard.store import Store

SECTION = "{cac: 200, hires: [{role: engineer, month: 7, cost: 4000}], months: 24}"


@pytest.fixture
def world(
    tmp_path: Path, parse: Callable[[str], Blueprint], load: Callable[[float], Served]
) -> Callable[[str], Context]:
    def make(section: str = SECTION) -> Context:
        return Context(parse(section), Store(tmp_path / "build"), records={"serve": load(100.0)})

    return make


def cells(text: str, title: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(title))
    return re.split(r"\s{2,}", line)


@pytest.mark.parametrize(
    ("asked", "section"),
    [
        ("churn=0.02", SECTION.replace("{", "{churn: 0.02, ", 1)),
        ("cac=+10%", SECTION.replace("200", "220")),
        ("cac=x0.5, business.people=7000", SECTION.replace("{cac: 200", "{cac: 100, people: 7000")),
        ("engineer.cost=9000", SECTION.replace("4000", "9000")),
        ("hires.engineer.month=3", SECTION.replace("month: 7", "month: 3")),
    ],
)
def test_the_numbers_of_a_blueprint_with_those_values(
    asked: str, section: str, world: Callable[[str], Context]
) -> None:
    told = answer(world(SECTION), asked)
    context = world(section)
    cash = run(context).measured_cash
    assert cash is not None
    end = cash.likely.columns["cash"].values[-1]
    assert cells(told, "cash at the end")[2] == f"{end:,.0f}" != cells(told, "cash at the end")[1]


def test_nothing_is_written(world: Callable[[str], Context]) -> None:
    context = world(SECTION)
    answer(context, "churn=0.02")
    assert not context.store.folder.exists()


def test_twice_the_rate_halves_the_cost(world: Callable[[str], Context]) -> None:
    was, now = (float(one) for one in cells(answer(world(SECTION), "rate=x2"), "cost of 1,000 requests")[1:3])
    assert now == pytest.approx(was / 2, rel=1e-3)


def test_machines_and_prices_are_factors(world: Callable[[str], Context]) -> None:
    told = answer(world(SECTION), "machines=2,prices=x0.5")
    for title, factor in (("cost of 1,000 requests", 2.0), ("revenue of a customer", 0.5)):
        was, now = (float(one) for one in cells(told, title)[1:3])
        assert now == pytest.approx(factor * was, rel=1e-3)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("chrun=0.1", "Did you mean 'churn'"), ("churn", "NAME=VALUE"), ("churn=a", "write a number"), ("churn=1.2.3", "is no number"), ("churn=-1", "at least 0"),
        ("price=3", "is several: plans.starter.price, plans.growth.price"), ("rate=0", "above 0"), ("prices=-1", "above 0"), ("churn=0.1,churn=0.2", "twice"), ("", "nothing is asked"),
        ("plans.starter.share=0.9", "sum to 1"), ("hires.engineer.month=99", "after the last month"), ("minimum_machines=1.5", "integer"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(asked: str, told: str, world: Callable[[str], Context]) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        answer(world(SECTION), asked)


def test_a_build_without_a_rate_says_what_to_run(world: Callable[[str], Context]) -> None:
    context = world(SECTION)
    context.records.clear()
    with pytest.raises(UserError, match="yard run"):
        answer(context, "churn=0.1")
