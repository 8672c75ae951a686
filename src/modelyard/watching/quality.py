"""How good a served model is, by the true labels that come back: with an interval that may be looked at at any time.

Every judged answer is right or not. An answer that names a class is right where it is the label. A number is right where it is no further
off than half of the answers on the test rows were, so that one half is what is expected. The share that is right has a confidence
sequence: the set of shares p for which the mixture martingale

    M(p) = B(a + right, b + wrong) / B(a, b) / (p^right (1 - p)^wrong),   a = b = 1

stays below 1/alpha. By Ville's inequality the true share is in all of them at once, at every n, with 1 - alpha (Robbins 1970, "Statistical
methods related to the law of the iterated logarithm"; Howard et al. 2021, "Time-uniform, nonparametric, nonasymptotic confidence
sequences"). An interval for one n would be left sooner or later by who looks after each label. It knows no service.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ALPHA = 0.05
"""Chance that the sequence ever misses the true share."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the test rows promise."""

    metric: Literal["accuracy", "within"]
    """Share of right answers, or of numbers within `tolerance`."""
    value: float
    low: float
    """Below this the promise is broken: the lower end of the test's own interval."""
    tolerance: float | None = None
    """In the target's unit."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What the labels say until now."""

    rows: int
    value: float
    low: float
    high: float
    expected: Expected | None

    @property
    def below(self) -> bool:
        """Whether it is worse than the test promised, beyond doubt."""
        return self.expected is not None and self.high < self.expected.low


def expected(kind: str, metrics: Mapping[str, Any]) -> Expected | None:
    """From a package's test metrics (each with `value`, `low`, `high`); None where they promise nothing that labels can judge."""
    if kind == "classification" and "accuracy" in metrics:
        found = metrics["accuracy"]
        return Expected("accuracy", found.value, found.low)
    if kind == "regression" and "median_absolute_error" in metrics:
        return Expected("within", 0.5, 0.5, metrics["median_absolute_error"].high)
    return None


def is_right(said: Any, truth: Any, promised: Expected | None) -> bool | None:
    """Whether an answer is right; None where nothing says what right is."""
    if isinstance(truth, bool) or isinstance(said, str) or isinstance(truth, str):
        return bool(said == truth)
    if promised is None or promised.tolerance is None:
        return None
    return abs(float(said) - float(truth)) <= promised.tolerance


def judged(right: int, rows: int, promised: Expected | None, *, alpha: float = ALPHA) -> Quality:
    """The share of right answers and its confidence sequence at this moment."""
    low, high = sequence(right, rows, alpha=alpha)
    return Quality(rows, right / rows if rows else math.nan, low, high, promised)


def sequence(right: int, rows: int, *, alpha: float = ALPHA) -> tuple[float, float]:
    """Ends of the confidence sequence after `rows` answers, `right` of them right; (0, 1) before the first."""
    if rows == 0:
        return 0.0, 1.0
    wrong, share = rows - right, right / rows
    mixture = math.lgamma(1 + right) + math.lgamma(1 + wrong) - math.lgamma(2 + rows)

    def outside(p: float) -> bool:
        likelihood = (right * math.log(p) if right else 0.0) + (wrong * math.log1p(-p) if wrong else 0.0)
        return mixture - likelihood >= -math.log(alpha)

    return _edge(outside, 0.0, share), _edge(outside, 1.0, share)


def _edge(outside: Any, end: float, inside: float) -> float:
    """Where a set that holds `inside` ends towards `end`, by halving; log M is convex in p, so it ends once."""
    if inside == end:
        return end
    for _ in range(50):
        middle = (end + inside) / 2
        if outside(middle):
            end = middle
        else:
            inside = middle
    return end
