"""Bootstrap intervals: how far a figure could be off because these rows, and not others, were drawn.

Rows are resampled with replacement, or whole groups where rows of a group hang together (cluster bootstrap). Resamples
are weight vectors, so that metrics answer hundreds of them in one matrix product and several figures share them.
Percentile intervals: Efron and Tibshirani 1993, chapter 13. It knows nothing about tasks or models.

>>> from modelyard.metrics import find
>>> target, scores = np.arange(40) % 2, np.linspace(0.1, 0.9, 40)
>>> estimate(find("roc_auc"), target, np.stack([1 - scores, scores], axis=1))
Estimate(value=0.525, low=..., high=..., level=0.95)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from modelyard.errors import DataError, UserError
from modelyard.metrics._contract import Costly, Metric, Reflected, Sample, Statistic
from modelyard.metrics.top_k import TopK
from modelyard.records._base import Estimate
from modelyard.rows import Array

_CHUNK = 2_000_000
"""Weights made at a time: 16 MB, about the last-level cache of a server core."""


@dataclass(frozen=True)
class Bootstrap:
    """How to resample: `count` resamples, intervals at `level`, from `seed`."""

    count: int = 1000
    level: float = 0.95
    seed: int = 0

    def weights(self, rows: int, groups: Array | None = None) -> Iterator[Array]:
        """Weights in chunks (b, rows): how often each row was drawn. The same arguments give the same weights."""
        rng = np.random.default_rng(self.seed)
        if groups is None:
            units, member = rows, None
        else:
            if len(groups) != rows:
                raise UserError(f"groups must name one group a row (got {len(groups)} for {rows} rows)")
            distinct, member = np.unique(np.asarray(groups), return_inverse=True)
            units = len(distinct)
        step, done = max(1, _CHUNK // max(rows, 1)), 0
        while done < self.count:
            size = min(step, self.count - done)
            drawn = rng.integers(0, units, size=(size, units)) + np.arange(size)[:, None] * units
            counts = np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units).astype(np.float64)
            yield counts if member is None else counts[:, member]
            done += size

    def draws(
        self, statistics: Sequence[Statistic], rows: int, *, groups: Array | None = None
    ) -> list[tuple[float, Array]]:
        """Each statistic's value and its defined values on the resamples, the same resamples for all."""
        if not rows:
            return [(float("nan"), np.empty(0)) for _ in statistics]
        values = [float(statistic(np.ones((1, rows)))[0]) for statistic in statistics]
        pieces: list[list[Array]] = [[np.empty(0)] for _ in statistics]
        for weights in self.weights(rows, groups) if np.isfinite(values).any() else ():
            for statistic, value, piece in zip(statistics, values, pieces, strict=True):
                left = statistic.most - sum(map(len, piece)) if isinstance(statistic, Costly) else len(weights)
                if np.isfinite(value) and left > 0:
                    piece.append(statistic(weights[:left]))
        drawn = [np.concatenate(piece) for piece in pieces]
        # a resample without one of the classes says nothing about ranking, and is left out
        return [(value, one[np.isfinite(one)]) for value, one in zip(values, drawn, strict=True)]

    def of(self, statistics: Sequence[Statistic], rows: int, *, groups: Array | None = None) -> list[Estimate | None]:
        """Each statistic with its interval, all on the same resamples; None where it is undefined on these rows."""
        found: list[Estimate | None] = []
        for statistic, (value, drawn) in zip(statistics, self.draws(statistics, rows, groups=groups), strict=True):
            if not np.isfinite(value):
                found.append(None)
                continue
            low = high = value
            if len(drawn):
                tail = (1 - self.level) / 2
                low, high = map(float, np.quantile(drawn, (tail, 1 - tail)))
            if isinstance(statistic, Costly) and len(drawn) > 1:
                reach = NormalDist().inv_cdf((1 + self.level) / 2) * float(drawn.std(ddof=1))
                low, high = value - reach, value + reach
            if isinstance(statistic, Reflected):
                low, high = max(0.0, min(2 * value - high, value)), max(2 * value - low, value)
            found.append(Estimate(value=value, low=low, high=high, level=self.level))
        return found

    def together(
        self, statistics: Sequence[Statistic], rows: int, *, groups: Array | None = None
    ) -> list[Estimate | None]:
        """Intervals that hold all at once at the level: normal, from bootstrap standard errors, Bonferroni-widened.

        A percentile interval cannot be widened so far: 1,000 resamples have no 0.9999 quantile.
        """
        found: list[Estimate | None] = []
        z = NormalDist().inv_cdf(1 - (1 - self.level) / (2 * max(len(statistics), 1)))
        for value, drawn in self.draws(statistics, rows, groups=groups):
            if not np.isfinite(value):
                found.append(None)
            else:
                reach = z * float(drawn.std(ddof=1)) if len(drawn) > 1 else 0.0
                found.append(Estimate(value=value, low=value - reach, high=value + reach, level=self.level))
        return found


_DEFAULT = Bootstrap()


def _undefined(metric: Metric, rows: int) -> DataError:
    return DataError(
        f"{metric.name} is undefined on these {rows} rows: it needs rows, and rows of each class where it ranks. Choose another metric or give more rows."
    )


def estimates(
    metrics: Sequence[Metric], sample: Sample, *, groups: Array | None = None, bootstrap: Bootstrap = _DEFAULT
) -> dict[str, Estimate]:
    """Name -> figure with its interval, all on the same resamples; figures undefined on these rows are left out."""
    found = bootstrap.of([metric.over(sample) for metric in metrics], len(sample), groups=groups) if len(sample) else []
    return {metric.name: one for metric, one in zip(metrics, found, strict=False) if one is not None}


def estimate(
    metric: Metric,
    target: ArrayLike,
    scores: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    positive: int | None = None,
    k: int = 100,
    groups: Array | None = None,
    bootstrap: Bootstrap = _DEFAULT,
) -> Estimate:
    """One figure with its interval; DataError where it is undefined on these rows."""
    sample = Sample.of(target, scores, labels=labels, positive=positive, top_k=TopK(k))
    found = estimates([metric], sample, bootstrap=bootstrap, groups=groups)
    if metric.name not in found:
        raise _undefined(metric, len(sample))
    return found[metric.name]


def difference(metric: Metric, ours: Sample, theirs: Sample) -> Statistic:
    """The statistic ours minus theirs, on the same rows."""
    mine, other = metric.over(ours), metric.over(theirs)

    def gap(weights: Array) -> Array:
        return mine(weights) - other(weights)

    return Costly(gap, mine.most) if isinstance(mine, Costly) else gap


def paired(
    metric: Metric, ours: Sample, theirs: Sample, *, groups: Array | None = None, bootstrap: Bootstrap = _DEFAULT
) -> Estimate:
    """Ours minus theirs on the same rows and the same resamples; DataError where it is undefined on these rows."""
    if len(ours) != len(theirs):
        raise UserError(f"a paired comparison needs the same rows (got {len(ours)} and {len(theirs)})")
    (found,) = bootstrap.of([difference(metric, ours, theirs)], len(ours), groups=groups)
    if found is None:
        raise _undefined(metric, len(ours))
    return found
