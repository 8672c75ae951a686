"""Series for the report's plots: ROC, precision and recall, calibration, predicted against true, residuals."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from modelyard.metrics import Sample
from modelyard.rows import Array

POINTS = 200
"""Most points of a curve: more than a plot of a report's width can show."""
DOTS = 500
"""Rows of the scatter plot."""
BINS = 10
"""Bins of equal rows in the calibration plot (scikit-learn's `quantile` strategy): each dot stands on evidence."""
MOST_CLASSES = 10
"""Classes with curves of their own."""
Series = dict[str, list[float]]


def for_classes(sample: Sample, classes: tuple[str, ...], level: float) -> dict[str, Series]:
    """Curves of the positive class, or of each of the most frequent classes against the rest."""
    if sample.positive is not None:
        return _one(sample.scores[:, sample.positive], sample.target == sample.positive, level, "")
    counts = np.bincount(sample.target[sample.target >= 0].astype(np.int64), minlength=len(classes))
    found: dict[str, Series] = {}
    for number in np.argsort(-counts, kind="stable")[:MOST_CLASSES]:
        found |= _one(sample.scores[:, number], sample.target == number, level, f":{classes[number]}")
    return found


def _one(score: Array, hit: Array, level: float, suffix: str) -> dict[str, Series]:
    found = {f"calibration{suffix}": calibration(score, hit, level)}
    if 0 < hit.sum() < len(hit):
        order = np.argsort(-score, kind="stable")
        last = np.flatnonzero(np.r_[np.diff(score[order]) != 0, True])  # the last row of each distinct score
        true, false = np.cumsum(hit[order])[last], np.cumsum(~hit[order])[last]
        threshold = score[order][last]
        kept = _thin(len(last))
        found[f"roc{suffix}"] = {
            "false_positive_rate": [0.0, *(false[kept] / false[-1]).tolist()],
            "true_positive_rate": [0.0, *(true[kept] / true[-1]).tolist()],
            "threshold": [1.0, *threshold[kept].tolist()],
        }
        found[f"precision_recall{suffix}"] = {
            "recall": (true[kept] / true[-1]).tolist(),
            "precision": (true[kept] / (true + false)[kept]).tolist(),
            "threshold": threshold[kept].tolist(),
        }
    return found


def _thin(count: int) -> Array:
    return np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(np.int64))


def calibration(score: Array, hit: Array, level: float) -> Series:
    """Mean probability and frequency in bins of equal rows, with Wilson's interval of the frequency (1927)."""
    names = ("probability", "frequency", "low", "high", "rows")
    found: Series = {name: [] for name in names}
    for rows in np.array_split(np.argsort(score, kind="stable"), min(BINS, len(score))):
        frequency, count = float(hit[rows].mean()), len(rows)
        low, high = wilson(frequency, count, level)
        for name, value in zip(names, (float(score[rows].mean()), frequency, low, high, float(count)), strict=True):
            found[name].append(value)
    return found


def wilson(share: float, count: int, level: float) -> tuple[float, float]:
    """Wilson's score interval of a share of `count` rows."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def for_numbers(sample: Sample, seed: int) -> dict[str, Series]:
    """Predicted against true of some rows, quantiles and histogram of the residuals (answer minus truth)."""
    true, predicted = np.asarray(sample.target, dtype=np.float64), sample.scores[:, 0]
    residual = predicted - true
    drawn = np.sort(np.random.default_rng(seed).permutation(len(true))[:DOTS])
    shares = np.array([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99])
    low, high = np.quantile(residual, [0.005, 0.995])
    rows, edges = np.histogram(np.clip(residual, low, high), bins=30)
    return {
        "predicted": {"true": true[drawn].tolist(), "predicted": predicted[drawn].tolist()},
        "residuals": {"share": shares.tolist(), "residual": np.quantile(residual, shares).tolist()},
        "residual_histogram": {"edge": edges.tolist(), "rows": rows.astype(float).tolist()},
    }
