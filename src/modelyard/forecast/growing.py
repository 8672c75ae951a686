"""What grows with rows: a line through a few small runs, never falling, and how far from the truth it may be further out.

It knows nothing about what is measured: seconds, bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NEAR = 0.05
"""Relative error of a time measured once on a quiet machine: two equal runs differ by about as much."""
FAR = 0.10
"""... and what is added for each doubling beyond the largest run: caches fill, trees deepen, texts are not all alike."""


@dataclass(frozen=True, slots=True)
class Line:
    """fixed + each x rows, and the relative error that is known of it."""

    fixed: float
    each: float
    largest: float
    """Rows of the largest run."""
    scatter: float

    def at(self, rows: float) -> float:
        """The value at so many rows."""
        return self.fixed + self.each * rows

    def spread(self, rows: float) -> float:
        """Standard deviation of the logarithm of outcome ÷ expectation at so many rows."""
        doublings = max(0.0, float(np.log2(max(rows, 1.0) / max(self.largest, 1.0))))
        share = self.each * rows / max(self.at(rows), 1e-12)
        return float(np.hypot(max(NEAR, self.scatter), FAR * doublings * share))


def line(rows: Sequence[float], values: Sequence[float]) -> Line:
    """The line of least relative error with neither part below 0; larger runs count more. One run: all of it grows.

    ValueError without a run, or for values that are negative or not finite.

    >>> found = line([100, 200, 400], [1.2, 1.4, 1.8]); round(found.fixed, 6), round(found.each, 6)
    (1.0, 0.002)
    """
    n, y = np.asarray(rows, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if not len(n) or len(n) != len(y) or not np.isfinite(y).all() or (y < 0).any() or (n <= 0).any():
        raise ValueError("a line needs runs of rows above 0 with values that are finite and not below 0")
    y = np.maximum(y, 1e-9)
    weight = np.sqrt(n / n.max()) / y
    design = np.stack([weight, weight * n], axis=1)
    wanted = weight * y
    if len(np.unique(n)) == 1:
        fixed, each = 0.0, float(y.mean() / n[0])
    else:
        (fixed, each), *_ = np.linalg.lstsq(design, wanted, rcond=None)
        if fixed < 0:
            fixed, each = 0.0, float(design[:, 1] @ wanted / (design[:, 1] @ design[:, 1]))
        elif each < 0:
            fixed, each = float(design[:, 0] @ wanted / (design[:, 0] @ design[:, 0])), 0.0
    left = (fixed + each * n - y) / y
    free = len(n) - 2
    scatter = float(np.sqrt((left**2).sum() / free)) if free > 0 else 0.0
    return Line(float(fixed), float(each), float(n.max()), scatter)
