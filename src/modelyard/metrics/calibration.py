"""Metrics of probabilities: do rows given 0.8 come true 80 times in 100, and how far are they from the truth."""

from __future__ import annotations

import numpy as np

from modelyard.metrics._contract import Metric, Reflected, Sample, Statistic, mean_of, ratio
from modelyard.rows import Array

BINS = 15
"""Bins of equal width behind expected_calibration_error (Guo et al. 2017, section 4)."""


def _log_loss(sample: Sample) -> Statistic:
    """The mean of -ln p(true class), p (0 for a class never seen) clipped at float64's step as in scikit-learn."""
    target = sample.target.astype(np.int64)
    chosen = sample.scores[np.arange(len(target)), np.maximum(target, 0)]
    smallest = np.finfo(np.float64).eps
    return mean_of(-np.log(np.clip(np.where(target < 0, 0.0, chosen), smallest, 1 - smallest)))


def _brier(sample: Sample) -> Statistic:
    """The mean squared distance of probabilities and truth, halved for two classes (`brier_score_loss`)."""
    truth = sample.target.astype(np.int64)[:, None] == np.arange(sample.classes)
    squared = ((sample.scores - truth) ** 2).sum(axis=1)
    return mean_of(squared / 2 if sample.classes == 2 else squared)


def confidence(sample: Sample) -> tuple[Array, Array]:
    """A probability and whether it came true, for each row: of the positive class of two, else of the likeliest."""
    if sample.classes == 2:
        positive = sample.looked_for("calibration")
        return sample.scores[:, positive], (sample.target == positive).astype(np.float64)
    top = sample.scores.argmax(axis=1)
    return sample.scores.max(axis=1), (sample.target == top).astype(np.float64)


def calibration_error(probability: Array, came_true: Array, *, bins: int = BINS) -> Statistic:
    """The mean gap between probability and frequency over equally wide bins, weighted by rows (Naeini et al. 2015)."""
    number = np.minimum((probability * bins).astype(np.int64), bins - 1)
    gaps = np.eye(bins)[number] * (probability - came_true)[:, None]  # (n, bins)
    return Reflected(lambda weights: ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1), empty=np.nan))


METRICS = (
    Metric("log_loss", "classification", False, _log_loss),
    Metric("brier", "classification", False, _brier),
    Metric("expected_calibration_error", "classification", False, lambda rows: calibration_error(*confidence(rows))),
)
