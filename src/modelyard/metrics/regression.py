"""Metrics of numbers, in the target's own unit or relative; definitions as in scikit-learn."""

from __future__ import annotations

import numpy as np

from modelyard.metrics._contract import Metric, Sample, Statistic, mean_of, ratio
from modelyard.rows import Array


def _errors(sample: Sample) -> Array:
    return np.asarray(sample.target, dtype=np.float64) - sample.scores[:, 0]


def _root_mean_squared(sample: Sample) -> Statistic:
    mean = mean_of(_errors(sample) ** 2)
    return lambda weights: np.sqrt(mean(weights))


def _r2(sample: Sample) -> Statistic:
    """1 - residual / total sum of squares; for a constant target 1 or 0, as scikit-learn answers."""
    target, errors = np.asarray(sample.target, dtype=np.float64), _errors(sample)
    centred = target - target.mean()  # against cancellation: the spread may be small beside the level

    def statistic(weights: Array) -> Array:
        left = weights @ errors**2
        count = weights.sum(axis=1)
        total = weights @ centred**2 - ratio((weights @ centred) ** 2, count, empty=np.nan)
        constant = total <= 1e-12 * (weights @ centred**2)
        defined = 1 - ratio(left, np.where(constant, 0.0, total), empty=0.0)
        value: Array = np.where(constant, (left == 0).astype(np.float64), defined)
        return np.where(count < 2, np.nan, value)

    return statistic


def _median_absolute(sample: Sample) -> Statistic:
    """The middle absolute error; of an even number of rows the mean of the two in the middle."""
    errors = np.abs(_errors(sample))
    order = np.argsort(errors, kind="stable")
    errors = errors[order]

    def statistic(weights: Array) -> Array:
        reached = np.cumsum(weights[:, order], axis=1)
        half = reached[:, -1:] / 2
        lower, upper = (reached < half).sum(axis=1), (reached <= half).sum(axis=1)
        last = len(errors) - 1
        middle: Array = (errors[np.minimum(lower, last)] + errors[np.minimum(upper, last)]) / 2
        return middle

    return statistic


def _mean_absolute_percentage(sample: Sample) -> Statistic:
    """The mean of |error| / |target| (1 is 100 %), the target kept off 0 by the smallest float64 step."""
    return mean_of(np.abs(_errors(sample)) / np.maximum(np.abs(sample.target), np.finfo(np.float64).eps))


METRICS = (
    Metric("root_mean_squared_error", "regression", False, _root_mean_squared),
    Metric("mean_absolute_error", "regression", False, lambda sample: mean_of(np.abs(_errors(sample)))),
    Metric("r2", "regression", True, _r2),
    Metric("mean_absolute_percentage_error", "regression", False, _mean_absolute_percentage),
    Metric("median_absolute_error", "regression", False, _median_absolute),
    Metric("mean_squared_error", "regression", False, lambda sample: mean_of(_errors(sample) ** 2)),
)
