"""How much worse a group of rows fares than the rest, at the group's own mix of classes. Numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelyard.metrics import Sample, Statistic
from modelyard.metrics._contract import ratio
from modelyard.rows import Array

FEWEST = 30
"""Rows of a group that is compared at all: below, the normal interval of a share is no longer sound (rule of thumb)."""
FEWEST_OF_CLASS = 10
"""Rows of a class, in the group and in the rest, whose recall is compared (np >= 10, as for a normal share)."""


def share_statistic(hit: Array, base: Array) -> Statistic:
    """The weighted share of `base` rows (n,) bool that are `hit`; NaN without such rows."""
    both = np.stack([hit & base, base], axis=1).astype(np.float64)

    def statistic(weights: Array) -> Array:
        found = weights @ both
        return ratio(found[:, 0], found[:, 1], empty=np.nan)

    return statistic


def recall_gap(sample: Sample, mask: Array) -> Statistic | None:
    """Mean over classes of (recall in the rest - recall in the group): 0.1 means ten points worse. None: too few rows.

    Accuracy or F1 of a group also moves with its mix of classes; recall of each class does not (standardisation).
    """
    hit = sample.labels == sample.target
    pairs = []
    for number in range(sample.classes):
        true = sample.target == number
        if min((true & mask).sum(), (true & ~mask).sum()) >= FEWEST_OF_CLASS:
            pairs.append((share_statistic(hit, true & ~mask), share_statistic(hit, true & mask)))
    if not pairs:
        return None
    return lambda weights: np.mean([rest(weights) - own(weights) for rest, own in pairs], axis=0)


def error_gap(sample: Sample, mask: Array) -> Statistic:
    """Mean absolute error of the group (of texts, nats a token) over that of the rest, minus 1: 0.5 means half as large again."""
    errors = np.abs(sample.target - sample.labels)
    inside = np.stack([errors * mask, mask.astype(float), errors * ~mask, (~mask).astype(float)], axis=1)

    def statistic(weights: Array) -> Array:
        own, count, rest, others = (weights @ inside).T
        own_mean, rest_mean = ratio(own, count, empty=np.nan), ratio(rest, others, empty=np.nan)
        return ratio(own_mean, rest_mean, empty=np.nan) - 1

    return statistic


def gap(sample: Sample, mask: Array, *, classes: bool) -> Statistic | None:
    """The gap that fits the task; None where the group or the rest is too small."""
    if min(mask.sum(), (~mask).sum()) < FEWEST:
        return None
    return recall_gap(sample, mask) if classes else error_gap(sample, mask)


def plain(estimate: Any) -> dict[str, float]:
    """An estimate for a finding's details."""
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}
