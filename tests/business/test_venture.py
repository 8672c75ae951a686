"""The graph of lines against the stage that counts quantity by quantity: the same numbers in every scenario, month and plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelyard.blueprint.business import Business
from modelyard.business import plans, rates, unit_economics
from modelyard.business.cash import simulate
from modelyard.business.scenarios import Facts, Sold, cases
from modelyard.business.venture import venture
from modelyard.records.valued import SCENARIOS
from modelyard.units import quantity

VENTURES: dict[str, dict[str, Any]] = {
    "out of the box": {},
    "in euros": {"currency": "EUR", "exchange_rate": {"low": 0.8, "likely": 0.9, "high": 1.0}},
    "its own machine, few months": {"machine_price": 0.4, "months": 7, "minimum_machines": 1, "starting_customers": 40.0},
    "tokens and a hard quota": {
        "plans": [
            {"name": "by use", "price": 0, "included": 0, "overage": 0.0, "prices": {"output token": 20.0, "input token": 5.0}, "share": 0.4,
             "usage": {"low": 100, "likely": 3000, "high": 9000}},
            {"name": "hard", "price": 15, "included": 1000, "share": 0.4, "usage": {"low": 500, "likely": 900, "high": 5000}},
            {"name": "endless", "price": 99, "share": 0.2, "usage": 20000},
        ],
        "new_customers": 60.0, "growth": 0.15,
    },
}  # fmt: skip


def facts() -> Facts:
    return Facts(
        rate=quantity("37 request/s"), build_time=quantity("40 min"), machine=rates.machine("aws-m7i-large"), server=rates.server(),
        grid=rates.grid("USA"),
        units=(Sold("input token", quantity("120 input_token/request"), 0.2), Sold("output token", quantity("45 output_token/request"), 0.8)),
    )  # fmt: skip


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("name", VENTURES)
def test_the_same_numbers(name: str, scenario: str) -> None:
    business = Business.model_validate(VENTURES[name])
    case = cases(business, facts())[scenario]  # type: ignore[index]
    model = venture(business, facts())
    found = model.sheet.solve(model.values(scenario))  # type: ignore[arg-type]
    table = simulate(case.cash)
    named = {
        "customers": "customers", "new customers": "new_customers", "lost customers": "lost_customers", "revenue": "revenue",
        "machines": "machines", "cost of machines": "machine_cost", "payment fees": "payment_cost", "support": "support_cost",
        "acquisition": "acquisition_cost", "net": "net", "cash": "cash",
    }  # fmt: skip
    for ours, theirs in named.items():
        np.testing.assert_allclose(found[ours], table.columns[theirs], rtol=1e-9, atol=1e-9, err_msg=ours)
    assert found["lowest cash"] == pytest.approx(table.lowest.value)
    assert found["cost of a request"] == pytest.approx(case.serving.request.value)
    for offer in case.offers:
        result = plans.value(offer, case.serving)
        assert found[f"{offer.name}: revenue"] == pytest.approx(result.revenue.value)
        assert found[f"{offer.name}: cost"] == pytest.approx(result.cost.value)
        assert found[f"{offer.name}: requests answered"] == pytest.approx(result.usage.value)
    average = case.average
    margin = average.margin.value if average.margin else 0.0
    worth = unit_economics.ltv(average.revenue, margin, case.cash.churn)
    assert worth is not None and found["lifetime value"] == pytest.approx(worth.value)
    ratio = unit_economics.ltv_to_cac(worth, case.cash.cac)
    assert ratio is not None and found["LTV:CAC"] == pytest.approx(ratio.value)
    runway = business.months if table.runway is None else table.runway
    assert found["months until cash is gone"] == runway
    broken_even = table.break_even
    assert found["last month of a loss"] == (business.months if broken_even is None else broken_even - 1)


def test_every_line_is_shown_once_and_every_given_has_an_origin() -> None:
    model = venture(Business(), facts())
    shown = [line for lines in model.groups.values() for line in lines]
    assert sorted(shown) == sorted(model.sheet.lines) and len(set(shown)) == len(shown)
    assert model.givens.keys() == model.sheet.givens.keys()
    assert all(given.source for given in model.givens.values())


def test_thousands_of_draws_at_once() -> None:
    from modelyard.business.draws import drawn

    model = venture(Business(), facts())
    drawing = drawn({name: given.spread for name, given in model.givens.items()}, 20_000, seed=1)
    found = model.sheet.solve({name: values * model.givens[name].factor for name, values in drawing.items()})
    assert found["cash"].shape == (20_000, 36)
    likely = model.sheet.solve(model.values("likely"))
    assert np.quantile(found["LTV:CAC"], 0.1) < likely["LTV:CAC"] < np.quantile(found["LTV:CAC"], 0.95)
    gone = (found["cash"] < 0).any(axis=1)
    assert ((found["months until cash is gone"] < 36) == gone).all() and 0 < gone.mean() < 1
