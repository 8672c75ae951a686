"""Metrics of decided classes: all follow from how often a class was true, was answered, and both.

Values and edge cases as in scikit-learn with `zero_division=0`: a macro average runs over the classes that occur in the
target or the answers. A class never seen in training (-1) counts as one more class that is never answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from modelyard.metrics._contract import Metric, Sample, Statistic, mean_of, ratio
from modelyard.rows import Array


class Counts(NamedTuple):
    """Weighted rows of each class, each (b, C); C is K, or K + 1 where the target holds unknown classes."""

    hits: Array
    true: Array
    answered: Array


def _counter(sample: Sample) -> Callable[[Array], Counts]:
    target, labels = sample.target.astype(np.int64), sample.labels.astype(np.int64)
    width = max(sample.classes, int(labels.max(initial=-1)) + 1, int(target.max(initial=-1)) + 1)
    unknown = target < 0
    width += bool(unknown.any())
    target = np.where(unknown, width - 1, target)
    eye = np.eye(width)
    true, answered = eye[target], eye[labels]  # (n, C)
    indicators = np.concatenate([true * answered, true, answered], axis=1)  # (n, 3C)
    return lambda weights: Counts(*np.split(weights @ indicators, 3, axis=1))


def _precision(counts: Counts) -> Array:
    return ratio(counts.hits, counts.answered, empty=0.0)


def _recall(counts: Counts) -> Array:
    return ratio(counts.hits, counts.true, empty=0.0)


def _f1(counts: Counts) -> Array:
    return ratio(2 * counts.hits, counts.true + counts.answered, empty=0.0)


def _macro(each: Callable[[Counts], Array]) -> Callable[[Sample], Statistic]:
    def over(sample: Sample) -> Statistic:
        count = _counter(sample)

        def statistic(weights: Array) -> Array:
            counts = count(weights)
            occurs = counts.true + counts.answered > 0
            return ratio((each(counts) * occurs).sum(axis=1), occurs.sum(axis=1), empty=np.nan)

        return statistic

    return over


def _positive(name: str, each: Callable[[Counts], Array]) -> Metric:
    def over(sample: Sample) -> Statistic:
        count, positive = _counter(sample), sample.looked_for(name)
        return lambda weights: each(count(weights))[:, positive]

    return Metric(name, "classification", True, over, decides=True, needs_positive=True)


def _accuracy(sample: Sample) -> Statistic:
    return mean_of((sample.target == sample.labels).astype(np.float64))


def _balanced_accuracy(sample: Sample) -> Statistic:
    count = _counter(sample)

    def statistic(weights: Array) -> Array:
        counts = count(weights)
        return ratio(_recall(counts).sum(axis=1), (counts.true > 0).sum(axis=1), empty=np.nan)

    return statistic


def _matthews(sample: Sample) -> Statistic:
    """Gorodkin 2004, the multi-class form that scikit-learn uses; 0 where one side is constant."""
    count = _counter(sample)

    def statistic(weights: Array) -> Array:
        counts = count(weights)
        total = weights.sum(axis=1)
        together = counts.hits.sum(axis=1) * total - (counts.true * counts.answered).sum(axis=1)
        spread = (total**2 - (counts.answered**2).sum(axis=1)) * (total**2 - (counts.true**2).sum(axis=1))
        return ratio(together, np.sqrt(np.maximum(spread, 0.0)), empty=0.0)

    return statistic


METRICS = (
    Metric("accuracy", "classification", True, _accuracy, decides=True),
    Metric("balanced_accuracy", "classification", True, _balanced_accuracy, decides=True),
    Metric("f1_macro", "classification", True, _macro(_f1), decides=True),
    Metric("precision_macro", "classification", True, _macro(_precision), decides=True),
    Metric("recall_macro", "classification", True, _macro(_recall), decides=True),
    _positive("f1", _f1),
    _positive("precision", _precision),
    _positive("recall", _recall),
    Metric("matthews_corrcoef", "classification", True, _matthews, decides=True),
)
