"""Metrics of order: how well scores put the positive rows before the others. Ties count as scikit-learn counts them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from modelyard.metrics._contract import Metric, Sample, Statistic, ratio
from modelyard.rows import Array


def _in_order(score: Array, hit: Array) -> Callable[[Array], tuple[Array, Array]]:
    """Weights (b, n) -> weight of positive and of all rows at each distinct score, highest first: two (b, distinct)."""
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])
    hits = hit[order].astype(np.float64)

    def ordered(weights: Array) -> tuple[Array, Array]:
        sorted_weights = weights[:, order]
        positives = sorted_weights * hits
        if len(starts) == len(order):
            return positives, sorted_weights
        return np.add.reduceat(positives, starts, axis=1), np.add.reduceat(sorted_weights, starts, axis=1)

    return ordered


def _one_auc(score: Array, hit: Array) -> Statistic:
    """The share of (positive, other) pairs in the right order, ties half (Hanley and McNeil 1982)."""
    ordered = _in_order(score, hit)

    def statistic(weights: Array) -> Array:
        positives, every = ordered(weights)
        others = every - positives
        above = np.cumsum(positives, axis=1) - positives / 2  # positives before an other row, those beside it half
        return ratio((others * above).sum(axis=1), positives.sum(axis=1) * others.sum(axis=1), empty=np.nan)

    return statistic


def _one_average_precision(score: Array, hit: Array) -> Statistic:
    """Precision at each distinct score, weighted by the recall it adds (as scikit-learn, no interpolation)."""
    ordered = _in_order(score, hit)

    def statistic(weights: Array) -> Array:
        positives, every = ordered(weights)
        precision = ratio(np.cumsum(positives, axis=1), np.cumsum(every, axis=1), empty=0.0)
        return ratio((positives * precision).sum(axis=1), positives.sum(axis=1), empty=np.nan)

    return statistic


def _each_class(name: str, one: Callable[[Array, Array], Statistic]) -> Metric:
    """The positive class where there is one; else the mean over classes, each against the rest, where it is defined."""

    def over(sample: Sample) -> Statistic:
        if sample.positive is not None or sample.classes == 2:
            positive = sample.looked_for(name)
            return one(sample.scores[:, positive], sample.target == positive)
        each = [one(sample.scores[:, number], sample.target == number) for number in range(sample.classes)]

        def statistic(weights: Array) -> Array:
            values = np.stack([one_class(weights) for one_class in each])  # (K, b)
            defined = ~np.isnan(values)
            return ratio(np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0), empty=np.nan)

        return statistic

    return Metric(name, "classification", True, over)


def _precision_at_k(sample: Sample) -> Statistic:
    """The share of positives among the k of highest score that somebody can check; ties at the border count with their mean share.

    Rows, or entities (cards): one of several rows has the highest of their scores and is a hit where one of them is. k of each
    period, where there are periods. That is precision top-k and card precision top-k of Le Borgne et al. 2022, chapter 4. In a
    resample an entity weighs the mean of its rows' weights.
    """
    positive, top_k = sample.looked_for("precision_at_k"), sample.top_k
    score, hit = sample.scores[:, positive], sample.target == positive
    parts = [np.arange(len(sample))] if top_k.periods is None else _parted(top_k.periods)
    tops = []
    for rows in parts:
        checked = (
            [np.array([row]) for row in range(len(rows))] if top_k.entities is None else _parted(top_k.entities[rows])
        )
        order = rows[np.concatenate(checked)] if checked else rows
        starts = np.cumsum([0, *map(len, checked)])[:-1]
        best, found = np.maximum.reduceat(score[order], starts), np.maximum.reduceat(hit[order], starts)
        tops.append((order, starts, np.array([len(each) for each in checked]), _in_order(best, found)))

    def statistic(weights: Array) -> Array:
        found, checked = np.zeros(len(weights)), np.zeros(len(weights))
        for order, starts, sizes, ordered in tops:
            positives, every = ordered(np.add.reduceat(weights[:, order], starts, axis=1) / sizes)
            reached = np.minimum(np.cumsum(every, axis=1), top_k.k)
            taken = np.diff(reached, axis=1, prepend=0.0)
            found += (taken * ratio(positives, every, empty=0.0)).sum(axis=1)
            checked += reached[:, -1]
        return ratio(found, checked, empty=np.nan)

    return statistic


def _parted(values: Array) -> list[Array]:
    """Places of equal values together."""
    order = np.argsort(values, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(values[order])) + 1)


METRICS = (
    _each_class("roc_auc", _one_auc),
    _each_class("average_precision", _one_average_precision),
    Metric("precision_at_k", "classification", True, _precision_at_k, needs_positive=True),
)
