"""Drift: does a window of rows differ from the reference more than chance does? One test over all features, at a stated rate of false alarms.

Each feature's statistic is 4 n Σ (Δ √share)² over its bins, n = 1 / (1/window + 1/reference): Hellinger's distance, and a χ² of bins - 1
degrees of freedom where nothing changed (Freeman and Tukey 1950). Its cube root is nearly normal (Wilson and Hilferty 1931), so that features of few and of
many bins are on one scale; the largest one is what is judged. What the largest one comes to by chance is not looked up but tried
(`calibrate`): windows *and* references are drawn from the reference's own rows, whole rows, so that features that go together count
right and the reference's own error is in it. Nothing here knows columns (`measures`) or files (`reference`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from modelyard.rows import Array

RATE = 0.01
"""Share of clean windows that alarm."""
RESAMPLES = 10_000
"""Windows tried: the rate that comes of them is off by 0.1 points (one standard deviation)."""
CHUNK = 250
"""... so many at a time, for memory's sake."""


@lru_cache
def cube_root(freedom: int) -> tuple[float, float]:
    """Mean and standard deviation of (χ²/k)^(1/3), exactly.

    >>> [round(each, 3) for each in cube_root(1)]
    [0.802, 0.432]
    """
    half = freedom / 2

    def moment(power: float) -> float:
        return float(math.exp(math.lgamma(half + power) - math.lgamma(half)) * half**-power)

    mean = moment(1 / 3)
    return mean, math.sqrt(moment(2 / 3) - mean * mean)


def statistics(
    window: Array, rows: int | Array, reference: Array, held: int, *, starts: Array, freedoms: Sequence[int]
) -> Array:
    """(..., F) standardised statistics of counts (..., B) of `rows` rows against counts (..., B) of `held` rows; near 0 with spread 1
    where nothing changed."""
    size = 1 / (1 / rows + 1 / held)
    gaps = (_roots(window, rows) - _roots(reference, held)) ** 2
    square = 4 * size * np.add.reduceat(gaps, starts, axis=-1)
    means, spreads = np.array([cube_root(freedom) for freedom in freedoms]).T
    found: Array = (np.cbrt(square / np.asarray(freedoms)) - means) / spreads
    return found


def _roots(counts: Array, rows: int | Array) -> Array:
    """√share, with Anscombe's 3/8 (1948) so that empty bins do not jump."""
    roots: Array = np.sqrt((counts + 0.375) / (rows + 0.375))
    return roots


def largest_by_chance(
    bins: Array, *, starts: Array, width: int, freedoms: Sequence[int], window: int, seed: int, resamples: int = RESAMPLES,
    own_error: bool = True,
) -> Array:  # fmt: skip
    """(resamples,) sorted: the largest statistic of windows drawn from these rows (n, F), with replacement, against references drawn alike.

    `own_error=False` compares with the rows themselves, as if they were the whole truth: wrong, and kept to show how wrong.
    """
    held, rng = len(bins), np.random.default_rng(seed)
    rows = np.zeros((held, width), dtype=np.float32)
    rows[np.arange(held)[:, None], bins + starts] = 1.0
    whole = rows.sum(axis=0)
    found = []
    for start in range(0, resamples, CHUNK):
        count = min(CHUNK, resamples - start)
        drawn = _drawn(rng, count, window, held) @ rows
        against = _drawn(rng, count, held, held) @ rows if own_error else whole[None, :]
        found.append(statistics(drawn, window, against, held, starts=starts, freedoms=freedoms).max(axis=1))
    return np.sort(np.concatenate(found))


def _drawn(rng: np.random.Generator, count: int, rows: int, held: int) -> Array:
    """(count, held) float32: how often each of `held` rows is among `rows` drawn ones. Whole numbers, so every machine sums them alike."""
    places = rng.integers(0, held, size=(count, rows), dtype=np.int64) + np.arange(count)[:, None] * held
    return np.bincount(places.ravel(), minlength=count * held).reshape(count, held).astype(np.float32)


def threshold(largest: Array, rate: float = RATE) -> float:
    """What a share `rate` of clean windows exceeds: an order statistic of the sorted largest ones."""
    return float(largest[min(math.ceil((1 - rate) * (len(largest) + 1)), len(largest)) - 1])
