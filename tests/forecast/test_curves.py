"""Learning curves: those that made the errors are found again, and the intervals hold as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.forecast.curves import Curve, fit

SIZES = np.array([250.0, 500.0, 1000.0, 2000.0])


def test_without_noise_the_curve_is_found() -> None:
    truth = Curve(0.05, 1.5, 0.4)
    found = fit(SIZES, truth.at(SIZES))
    assert found.expected(16_000).value == pytest.approx(float(truth.at(16_000)), rel=0.05)
    assert found.best.rate == pytest.approx(0.4, rel=0.1)


@pytest.mark.parametrize("truth", [Curve(0.0, 1.0, 0.3), Curve(0.1, 2.0, 0.5), Curve(0.02, 0.4, 0.15)])
def test_ninety_percent_intervals_hold_what_a_run_finds(truth: Curve) -> None:
    rng, held, runs = np.random.default_rng(5), 0, 200
    for _ in range(runs):
        noise = 0.03 * truth.at(SIZES)
        found = fit(SIZES, np.maximum(truth.at(SIZES) + rng.normal(0, noise), 1e-6), deviations=noise)
        outcome = float(truth.at(12_000)) + rng.normal(0, float(np.median(noise)))
        interval = found.expected(12_000)
        held += interval.low <= outcome <= interval.high
    assert 0.82 <= held / runs <= 1.0, held / runs


def test_the_interval_is_wider_further_away_and_narrower_with_more_points() -> None:
    rng = np.random.default_rng(0)
    truth = Curve(0.05, 1.0, 0.35)
    errors = truth.at(SIZES) * (1 + 0.02 * rng.standard_normal(4))
    few = fit(SIZES, errors, deviations=0.02 * errors)
    near, far = few.expected(4000), few.expected(400_000)
    assert (far.high - far.low) / far.value > (near.high - near.low) / near.value
    many = np.geomspace(250, 2000, 30)
    exact = truth.at(many)
    more = fit(many, exact * (1 + 0.02 * rng.standard_normal(30)), deviations=0.02 * exact).expected(4000)
    assert more.high - more.low < near.high - near.low


def test_more_rows_bring_less_and_less() -> None:
    found = fit(SIZES, Curve(0.05, 1.0, 0.35).at(SIZES))
    first, later = found.gain(2000, 2), found.gain(20_000, 2)
    assert first.low <= first.value <= first.high and 0 < later.value < first.value


def test_what_does_not_improve_has_no_slope() -> None:
    found = fit(SIZES, [0.3, 0.3, 0.3, 0.3])
    assert found.expected(20_000).value == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize(("rows", "errors"), [([1, 2], [0.1, 0.2]), ([5, 5, 5], [0.1, 0.2, 0.3]), ([1, 2, 3], [0.1, np.nan, 0.1]), ([1, 2, 3], [0.1, -0.1, 0.1])])  # fmt: skip
def test_no_curves(rows: list[float], errors: list[float]) -> None:
    with pytest.raises(ValueError, match="three sizes"):
        fit(rows, errors)
