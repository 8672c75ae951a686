"""Learning curves: the error of a model by the rows that it learnt from, and what more rows would bring.

error(n) = floor + scale x n^-rate (Cortes and others, "Learning curves: asymptotic values and rate of convergence", NIPS 6, 1993; Hestness
and others 2017, arXiv 1712.00409). A few small subsets are learnt from, the curve is fitted, and the error at more rows is told with an
interval. It knows no model: it is given errors, lower is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelyard.rows import Array

LEAST, MOST = 0.05, 1.0
"""Rates that learning curves are known to have (Hestness and others: 0.07 to 0.35 for deep networks; 0.5 and 1 in theory)."""
RATES = 60
FLOORS = 60
NONE = 20
"""Of these, how many are 0: that nothing stays is no less likely than that something does, and slow curves need it to be held."""
LEVEL = 0.9


@dataclass(frozen=True, slots=True)
class Curve:
    """A fitted curve."""

    floor: float
    scale: float
    rate: float

    def at(self, rows: Array | float) -> Array:
        """Errors after so many rows."""
        found: Array = self.floor + self.scale * np.asarray(rows, dtype=np.float64) ** -self.rate
        return found


@dataclass(frozen=True, slots=True)
class Expected:
    """An error that is expected, and the interval around it."""

    value: float
    low: float
    high: float
    level: float = LEVEL


@dataclass(frozen=True, slots=True)
class Learning:
    """What errors at a few sizes say: curves that explain them, each as likely as it fits."""

    curves: Array
    """(curves, 3) floor, scale, rate."""
    weights: Array
    """(curves,) that sum to 1."""
    noise: float
    """Standard deviation of an error around the curve."""

    @property
    def best(self) -> Curve:
        """The likeliest one."""
        floor, scale, rate = self.curves[self.weights.argmax()]
        return Curve(float(floor), float(scale), float(rate))

    def expected(self, rows: float, *, level: float = LEVEL) -> Expected:
        """The error after so many rows; the interval holds what a training run would find: the curve's doubt and the run's own noise."""
        values = self.curves[:, 0] + self.curves[:, 1] * rows ** -self.curves[:, 2]
        rng = np.random.default_rng(0)
        drawn = rng.choice(values, size=20_000, p=self.weights) + rng.normal(0.0, self.noise, 20_000)
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
        return Expected(float((values * self.weights).sum()), max(float(low), 0.0), max(float(high), 0.0), level)

    def gain(self, rows: float, times: float) -> Expected:
        """How much lower the error is expected with `times` as many rows."""
        before, after = (self.curves[:, 0] + self.curves[:, 1] * n ** -self.curves[:, 2] for n in (rows, rows * times))
        order = np.argsort(before - after)
        shares = np.cumsum(self.weights[order])
        gains = (before - after)[order]
        low, high = (
            float(gains[min(int(np.searchsorted(shares, q)), len(gains) - 1)])
            for q in ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
        )
        return Expected(float(((before - after) * self.weights).sum()), low, high)


def fit(rows: Sequence[float], errors: Sequence[float], *, deviations: Sequence[float] | None = None) -> Learning:
    """The curves that a few (rows, error) points allow; `deviations` are the points' standard errors, where they are known.

    For each rate and floor of a grid the scale follows by least squares; a curve weighs exp(-chi² ÷ 2), all rates and floors being equally
    likely before. Without deviations the points' own scatter around the best curve is taken. ValueError for fewer than three sizes.
    """
    n, e = np.asarray(rows, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    if len(np.unique(n)) < 3 or n.min() < 1 or not np.isfinite(e).all() or (e < 0).any():
        raise ValueError("a learning curve needs errors, none below 0, at three sizes at least")
    order = np.argsort(n)
    n, e = n[order], e[order]
    sigma = np.full(len(n), np.nan) if deviations is None else np.asarray(deviations, dtype=np.float64)[order]
    floors, rates = np.meshgrid(
        np.concatenate([np.zeros(NONE), np.linspace(0.0, e.min(), FLOORS - NONE)]),
        np.geomspace(LEAST, MOST, RATES),
        indexing="ij",
    )
    floor, rate = floors.ravel(), rates.ravel()
    shape = n[None, :] ** -rate[:, None]
    weight = np.ones(len(n)) if np.isnan(sigma).any() else 1 / np.maximum(sigma, 1e-12) ** 2
    above = e[None, :] - floor[:, None]
    scale = np.maximum((weight * shape * above).sum(axis=1) / (weight * shape**2).sum(axis=1), 0.0)
    left = above - scale[:, None] * shape
    if np.isnan(sigma).any():
        scatter = float(np.sqrt((left**2).sum(axis=1).min() / max(len(n) - 2, 1)))
        sigma = np.full(len(n), max(scatter, 1e-3 * float(e.mean()), 1e-12))
    chi = ((left / sigma) ** 2).sum(axis=1)
    likely = np.exp(-(chi - chi.min()) / 2)
    return Learning(np.stack([floor, scale, rate], axis=1), likely / likely.sum(), float(np.median(sigma)))
