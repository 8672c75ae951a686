"""Survival against the figures that Fader and Hardie published (2007, their figures 1 and 4), and against what must hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.business.retention import Survival, fit, lifetime_value, net_revenue_retention

REGULAR = [1000, 631, 468, 382, 326, 289, 262, 241, 223, 207, 194, 183, 173]
HIGH_END = [1000, 869, 743, 653, 593, 551, 517, 491, 468, 445, 427, 409, 394]


@pytest.mark.parametrize(
    ("cohort", "alpha", "beta"), [(REGULAR, 0.704, 1.182), (HIGH_END, 0.668, 3.806)], ids=["regular", "high end"]
)
def test_the_published_fit_on_seven_years_and_its_forecast(cohort: list[int], alpha: float, beta: float) -> None:
    found = fit(cohort[:8])
    assert (found.alpha, found.beta) == (pytest.approx(alpha, abs=2e-3), pytest.approx(beta, abs=6e-3))
    assert np.abs(found.survival(12) * 1000 - cohort).max() < 25, "five more years, forecast"


def test_one_rate_for_all_misses_that_by_far() -> None:
    churn = 1 - (REGULAR[7] / REGULAR[0]) ** (1 / 7)
    alone = Survival.of_churn(churn).survival(12)
    np.testing.assert_allclose(alone, (1 - churn) ** np.arange(13), rtol=1e-6)
    assert alone[12] * 1000 < REGULAR[12] - 60


@given(st.floats(0.01, 0.6), st.floats(0.0, 0.9))
def test_the_first_month_loses_the_churn_and_later_ones_less(churn: float, spread: float) -> None:
    retention = Survival.of_churn(churn, spread=spread).retention(24)
    assert retention[0] == pytest.approx(1 - churn, rel=1e-6)
    assert (np.diff(retention) >= -1e-12).all() and retention.max() <= 1


def test_what_is_fitted_from_a_curve_is_the_curve() -> None:
    truth = Survival(1.2, 9.0)
    found = fit(truth.survival(20) * 1e7)
    assert (found.alpha, found.beta) == (pytest.approx(1.2, rel=1e-3), pytest.approx(9.0, rel=1e-3))


def test_worth_by_hand() -> None:
    assert lifetime_value(np.array([1.0, 0.5, 0.25]), 10.0) == 17.5
    assert lifetime_value(np.array([1.0, 0.5]), 10.0, discount=0.25) == 14.0
    forever = Survival.of_churn(0.025).survival(2000)
    assert lifetime_value(forever, 375.0) == pytest.approx(375 / 0.025), "Skok's margin ÷ churn, where all are alike"


def test_net_revenue_retention_by_hand() -> None:
    assert net_revenue_retention(revenue=100_000, expansion=20_000, contraction=5_000, churned=8_000) == 1.07
    with pytest.raises(ValueError, match="needs revenue"):
        net_revenue_retention(revenue=0, expansion=1, contraction=0, churned=0)


@pytest.mark.parametrize(
    "cohort", [[100, 90], [100, 110, 90], [100, 100, 100], [0, 0, 0], [100, -1, -2], [100, np.nan, 90]]
)
def test_no_cohorts(cohort: list[float]) -> None:
    with pytest.raises(ValueError):
        fit(cohort)


@pytest.mark.parametrize(("churn", "spread"), [(0.0, 0.1), (1.0, 0.1), (-0.1, 0.1), (0.1, 1.0), (0.1, -0.1)])
def test_no_churn_at_all_or_more_than_all(churn: float, spread: float) -> None:
    with pytest.raises(ValueError):
        Survival.of_churn(churn, spread=spread)
