"""Money over time against examples of others: numpy-financial's documentation, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelyard.business.finance import (
    Round,
    burn_multiple,
    discounted,
    irr,
    monthly,
    npv,
    ownership,
    roi,
    rule_of_40,
    runway,
    yearly,
)


def test_present_value_of_the_documentation_of_numpy_financial() -> None:
    assert npv(0.08, [-40_000, 5_000, 8_000, 12_000, 30_000]) == pytest.approx(3065.22267, abs=1e-5)
    with pytest.raises(ValueError, match="above -1"):
        npv(-1.0, [1.0])


@pytest.mark.parametrize(
    ("flows", "rate"),
    [
        ([-100, 39, 59, 55, 20], 0.28095),
        ([-100, 0, 0, 74], -0.0955),
        ([-100, 100, 0, -7], -0.0833),
        ([-100, 100, 0, 7], 0.06206),
        ([-5, 10.5, 1, -8, 1], 0.0886),
    ],
)
def test_rates_of_return_of_the_documentation_of_numpy_financial(flows: list[float], rate: float) -> None:
    assert irr(flows) == pytest.approx(rate, abs=6e-5)


@pytest.mark.parametrize("flows", [[], [1.0], [1.0, 2.0], [-1.0, -2.0], [0.0, 0.0], [1.0, np.nan]])
def test_no_rate_of_return(flows: list[float]) -> None:
    assert irr(flows) is None


@given(st.floats(-0.5, 2.0), st.integers(1, 20))
def test_a_bond_returns_its_rate(rate: float, periods: int) -> None:
    assume(abs(rate) > 1e-3)
    assert irr([-100.0, *[0.0] * (periods - 1), 100 * (1 + rate) ** periods]) == pytest.approx(rate, abs=1e-6)


def test_rates_of_months_and_years() -> None:
    assert yearly(0.01) == pytest.approx(0.12682503) and monthly(yearly(0.01)) == pytest.approx(0.01)


def test_by_hand() -> None:
    assert roi(150, 100) == 0.5 and roi(1, 0) is None
    assert burn_multiple(1_500_000, 1_000_000) == 1.5 and burn_multiple(-5, 10) == 0 and burn_multiple(5, 0) is None
    assert rule_of_40(0.5, -0.1) == 0.4
    assert runway(120, 10) == 12 and runway(0, 10) == 0 and runway(5, 0) == float("inf")
    np.testing.assert_allclose(discounted(np.array([[100.0, 110.0], [0.0, 121.0]]), 0.1), [[100, 100], [0, 110]])


def test_two_rounds_by_hand() -> None:
    """1 M at 4 M before, a tenth for staff: founders keep 70 %. Then 5 M at 15 M before, the pool kept up at a tenth."""
    table = ownership({"ann": 0.6, "bo": 0.4}, [Round("seed", 1e6, 4e6, pool=0.1), Round("A", 5e6, 15e6, pool=0.1)])
    assert table[1] == pytest.approx({"ann": 0.42, "bo": 0.28, "pool": 0.1, "seed": 0.2})
    assert table[2]["A"] == pytest.approx(0.25) and table[2]["pool"] == pytest.approx(0.1)
    assert table[2]["ann"] == pytest.approx(0.42 / 0.9 * 0.65) and sum(table[2].values()) == pytest.approx(1)


def test_without_a_pool_all_are_diluted_alike() -> None:
    after = ownership({"ann": 0.7, "pool": 0.3}, [Round("seed", 1.0, 3.0)])[-1]
    assert after == pytest.approx({"ann": 0.525, "pool": 0.225, "seed": 0.25})


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ownership({"ann": 0.9}, []),
        lambda: ownership({"ann": 1.1, "bo": -0.1}, []),
        lambda: ownership({"ann": 1.0}, [Round("seed", 0.0, 1.0)]),
        lambda: ownership({"ann": 1.0}, [Round("seed", 1.0, 0.0)]),
        lambda: ownership({"ann": 1.0}, [Round("seed", 1.0, 1.0, pool=0.5)]),
    ],
)
def test_shares_that_cannot_be(wrong: object) -> None:
    with pytest.raises(ValueError):
        wrong()  # type: ignore[operator]
