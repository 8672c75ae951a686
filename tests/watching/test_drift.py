"""The statistic has the distribution that is claimed, and the threshold the rate that is claimed; a planted wrong calibration has not."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.rows import Array
from modelyard.serve.judging import tail
from modelyard.watching.drift import cube_root, largest_by_chance, statistics, threshold

WINDOW = 300
SHARES = np.full(10, 0.1)


def drawn(rng: np.random.Generator, rows: int, features: int = 12) -> Array:
    """(n, F) bins; every third feature repeats the one before, as columns of real tables do."""
    bins = rng.choice(10, size=(rows, features), p=SHARES)
    bins[:, 2::3] = bins[:, 1::3]
    return bins


def counted(bins: Array) -> Array:
    return np.bincount((bins + 10 * np.arange(bins.shape[1])).ravel(), minlength=10 * bins.shape[1])


def calibrated(bins: Array, *, seed: int = 0, own_error: bool = True) -> float:
    features = bins.shape[1]
    return threshold(
        largest_by_chance(
            bins, starts=10 * np.arange(features), width=10 * features, freedoms=[9] * features, window=WINDOW, seed=seed, resamples=1000,
            own_error=own_error,
        )
    )  # fmt: skip


def alarms(*, references: int, windows: int, held: int, own_error: bool) -> int:
    """Of clean windows, against several references."""
    found = 0
    for seed in range(references):
        rng = np.random.default_rng(seed)
        bins = drawn(rng, held)
        limit = calibrated(bins, seed=seed, own_error=own_error)
        for _ in range(windows):
            off = statistics(
                counted(drawn(rng, WINDOW)), WINDOW, counted(bins), held, starts=10 * np.arange(12), freedoms=[9] * 12
            )
            found += bool(off.max() > limit)
    return found


@pytest.mark.parametrize("freedom", [1, 3, 9, 60])
def test_the_cube_roots_moments_are_those_of_drawn_ones(freedom: int) -> None:
    values = np.cbrt(np.random.default_rng(0).chisquare(freedom, 200_000) / freedom)
    mean, spread = cube_root(freedom)
    assert abs(values.mean() - mean) < 4 * spread / 200_000**0.5 and abs(values.std() / spread - 1) < 0.01


@pytest.mark.parametrize("bins", [2, 10])
def test_where_nothing_changed_the_statistic_is_near_zero_with_spread_one(bins: int) -> None:
    """Two bins have one degree of freedom, not two: a sum of arcsines over both would count it twice."""
    rng = np.random.default_rng(1)
    shares = np.full(bins, 1 / bins)
    found = statistics(
        rng.multinomial(500, shares, size=20_000), 500, rng.multinomial(1000, shares, size=20_000), 1000, starts=np.array([0]),
        freedoms=[bins - 1],
    )  # fmt: skip
    assert abs(found.mean()) < 0.03 and abs(found.std() - 1) < 0.03


def test_equal_shares_are_nothing_and_other_shares_are_far_off() -> None:
    near, far = (
        statistics(np.array(counts), 100, np.array([500, 500]), 1000, starts=np.array([0]), freedoms=[1])
        for counts in ([50, 50], [90, 10])
    )
    assert near[0] < 0 < 5 < far[0]


def test_a_feature_told_twenty_times_costs_nothing() -> None:
    """Windows are whole rows: features that go together are one chance to err, not twenty."""
    one = np.random.default_rng(2).choice(10, size=(500, 1))
    assert calibrated(np.repeat(one, 20, axis=1)) == pytest.approx(calibrated(one))
    assert calibrated(np.random.default_rng(3).choice(10, size=(500, 20))) > calibrated(one) + 0.5


def test_the_threshold_is_an_order_statistic() -> None:
    assert threshold(np.arange(1.0, 10_001.0)) == 9901.0
    assert threshold(np.arange(1.0, 100.0)) == 99.0 and threshold(np.arange(1.0, 11.0)) == 10.0


def test_the_rate_holds_and_a_calibration_blind_to_the_references_own_error_fails() -> None:
    """The planted fault: as if the reference were the truth. With as many rows as a window, its own error doubles the variance."""
    clean = alarms(references=20, windows=20, held=400, own_error=True)
    blind = alarms(references=20, windows=20, held=400, own_error=False)
    assert tail(clean, 400, 0.01) > 1e-3, clean
    assert tail(blind, 400, 0.01) < 1e-6 and blind > 10 * max(clean, 4), blind
