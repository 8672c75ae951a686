"""The graph of lines against the stage that counts quantity by quantity: the same numbers in every scenario, month and plan."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.blueprint.business import Business
from modelyard.business.planning import venture
from modelyard.records.valued import SCENARIOS
from tests.business import plans_oracle as plans
from tests.business.business_helpers import VENTURES, facts
from tests.business.case_oracle import cases
from tests.business.cash_oracle import planned, simulate


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("name", VENTURES)
def test_the_same_numbers(name: str, scenario: str) -> None:
    business = Business.model_validate(VENTURES[name] | {"churn_spread": 0.0, "tax_rate": 0.0, "discount_rate": 0.0})
    case = cases(business, facts())[scenario]  # type: ignore[index]
    model = venture(business, facts())
    found = model.sheet.solve(model.values(scenario))  # type: ignore[arg-type]
    plan = planned(business, case)
    table = simulate(plan)
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
    average, churn, months = case.average, plan.churn.value, business.months
    earned = (average.revenue - average.cost).value
    worth = earned * (1 - (1 - churn) ** months) / churn
    assert found["lifetime value"] == pytest.approx(worth)
    assert found["LTV:CAC"] == pytest.approx(worth / plan.cac.value)
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


def test_customers_who_differ_pay_for_more_than_their_mean() -> None:
    """The closed form against a million customers; a hard quota answers as much less."""
    spread, usage, included = 0.8, 900.0, 1000.0
    plan = {"price": 10.0, "included": included, "share": 0.5, "usage": usage, "usage_spread": spread}
    plans_ = ({**plan, "name": "soft", "overage": 0.01}, {**plan, "name": "hard"})
    model = venture(Business.model_validate({"plans": plans_}), facts())
    found = model.sheet.solve(model.values("likely"))
    width = np.sqrt(np.log(1 + spread**2))
    sent = np.random.default_rng(0).lognormal(np.log(usage) - width**2 / 2, width, 1_000_000)
    assert sent.mean() == pytest.approx(usage, rel=0.005) and sent.std() / sent.mean() == pytest.approx(
        spread, rel=0.02
    )
    beyond = np.maximum(sent - included, 0).mean()
    assert found["soft: requests beyond"] == pytest.approx(beyond, rel=0.01) and beyond > 150
    assert found["soft: revenue"] == pytest.approx(10 + 0.01 * float(found["soft: requests beyond"]))
    assert found["hard: requests answered"] == pytest.approx(np.minimum(sent, included).mean(), rel=0.01)


@pytest.mark.parametrize(("included", "usage", "beyond"), [(0.0, 500.0, 500.0), (1000.0, 0.0, 0.0), (1e9, 500.0, 0.0)])
def test_the_ends_of_customers_who_differ(included: float, usage: float, beyond: float) -> None:
    plan = {
        "name": "p",
        "price": 10.0,
        "included": included,
        "overage": 0.01,
        "share": 1.0,
        "usage": usage,
        "usage_spread": 0.5,
    }
    model = venture(Business.model_validate({"plans": (plan,)}), facts())
    assert model.sheet.solve(model.values("likely"))["p: requests beyond"] == pytest.approx(beyond, abs=1e-6)
