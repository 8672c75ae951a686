"""Lines that no older code counts: who stays, what they are worth, tax, hires, rounds, returns; each against its own formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelyard.blueprint.business import Business
from modelyard.business import finance
from modelyard.business.planning import venture
from modelyard.business.retention import Survival, lifetime_value
from modelyard.rows import Array
from tests.business.business_helpers import facts


def solved(**section: Any) -> dict[str, Array]:
    model = venture(Business.model_validate(section), facts())
    return model.sheet.solve(model.values("likely"))


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.35])
def test_survival_is_fader_and_hardie_s(spread: float) -> None:
    found = solved(churn=0.06, churn_spread=spread, discount_rate=0.2)
    curve = Survival.of_churn(0.06, spread=spread).survival(36)
    np.testing.assert_allclose(found["customers left by age"], curve[:36], rtol=1e-6)
    margin = float(found["margin of a customer"])
    assert found["lifetime value"] == pytest.approx(lifetime_value(curve[:36], margin, discount=finance.monthly(0.2)))
    assert found["net revenue retention"] == pytest.approx(curve[12], rel=1e-6)


def test_customers_are_counted_cohort_by_cohort() -> None:
    found = solved(churn=0.1, churn_spread=0.2, expansion=0.02, starting_customers=50.0, growth=0.1)
    curve = Survival.of_churn(0.1, spread=0.2).survival(36)
    joining = found["new customers"]
    for month in (0, 5, 35):
        here = sum(joining[k] * curve[month - k] for k in range(month + 1)) + 50 * curve[month + 1]
        pays = sum(joining[k] * curve[month - k] * 1.02 ** (month - k) for k in range(month + 1))
        pays += 50 * curve[month + 1] * 1.02 ** (month + 1)
        assert found["customers"][month] == pytest.approx(here)
        assert found["revenue"][month] == pytest.approx(pays * float(found["revenue of a customer"]))


def test_returns_are_those_of_the_flows() -> None:
    found = solved(discount_rate=0.2, new_customers=60.0)
    build, flows = float(found["cost of the build"]), found["net after tax"].tolist()
    assert found["net present value"] == pytest.approx(finance.npv(finance.monthly(0.2), [-build, *flows]))
    path = np.cumsum([-build, *flows])
    assert found["money needed"] == pytest.approx(-path.min()) and path[-1] > 0
    assert found["return on investment"] == pytest.approx(path[-1] / -path.min())
    burnt, yearly = -sum(flows[:12]), 12 * found["revenue"][11]
    assert found["burn multiple"] == pytest.approx(max(burnt, 0) / yearly)
    now, before = found["revenue"][24:].sum(), found["revenue"][12:24].sum()
    assert found["rule of 40"] == pytest.approx(now / before - 1 + found["net"][24:].sum() / now)


def test_losses_come_before_taxes() -> None:
    found = solved(tax_rate=0.25, new_customers=60.0)
    so_far, paid = np.cumsum(found["net"]), np.cumsum(found["tax"])
    assert so_far[0] < 0 < so_far[-1]
    np.testing.assert_allclose(paid, 0.25 * np.maximum(np.maximum.accumulate(so_far), 0), atol=1e-6)


def test_hires_and_rounds_come_in_their_months() -> None:
    hire, money = (
        {"role": "engineer", "month": 7, "cost": 4000.0},
        {"name": "seed", "month": 9, "raised": 1e5, "pre_money": 4e5},
    )
    found, without = solved(hires=(hire,), rounds=(money,), tax_rate=0.0), solved(tax_rate=0.0)
    more = found["people and tools"] - without["people and tools"]
    assert more.tolist() == [0.0] * 6 + [4000.0] * 30
    assert found["raised"].tolist() == [0.0] * 8 + [1e5] + [0.0] * 27
    np.testing.assert_allclose(found["cash"] - without["cash"], np.cumsum(found["raised"] - more), atol=1e-6)


def test_channels_are_their_mean() -> None:
    channels = ({"name": "a", "share": 0.7, "cac": 300.0}, {"name": "b", "share": 0.3, "cac": 100.0})
    assert solved(channels=channels)["mean CAC"] == pytest.approx(240)


def test_prices_win_and_lose_customers() -> None:
    model = venture(Business.model_validate({"price_elasticity": -1.5}), facts())
    values = model.values("likely")
    found, dear = model.sheet.solve(values), model.sheet.solve(values | {"scenario.prices": 2.0})
    assert dear["new customers"][0] == pytest.approx(found["new customers"][0] * 2**-1.5)
    assert dear["revenue of a customer"] == pytest.approx(2 * found["revenue of a customer"])
