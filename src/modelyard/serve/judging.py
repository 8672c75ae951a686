"""Whether a trial of a model version has shown itself worse than the live one: failures, slowness, other answers.

Each test demands evidence, so that a good version is not turned away by chance. They are made after every request, so a single one may
err only once in a hundred thousand times. It knows nothing about models or HTTP.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

ALPHA = 1e-5
"""Chance that one test errs."""
FAILS_MORE = 0.02
"""Share of failures by which a trial may exceed the live version."""
SLOWER = 1.5
"""How many times a quantile of the live version's times the trial's may be."""
QUANTILES = {"half": 0.5, "95 %": 0.95}
"""What is compared of the times: the median tells soon, the 95th percentile has an upper bound only from 225 answers on."""
LATEST = 500
"""Times that are looked back upon: a trial that has become slow is found by its latest ones."""


def tail(count: int, of: int, share: float) -> float:
    """The chance of `count` or more among `of` where each comes with chance `share`: the binomial's upper tail.

    >>> round(tail(3, 3, 0.02), 9)
    8e-06
    """
    if count <= 0:
        return 1.0
    if share <= 0.0 or share >= 1.0:
        return float(share >= 1.0)
    return min(1.0, float(np.exp(_logarithms(of, share)[count:]).sum()))


@lru_cache(maxsize=LATEST)
def _logarithms(of: int, share: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Natural logarithms of the binomial's chances of 0 to `of`. (of + 1,)"""
    factorials = np.concatenate([[0.0], np.log(np.arange(1, of + 1)).cumsum()])
    counts = np.arange(of + 1)
    found: np.ndarray[Any, np.dtype[np.float64]] = (
        factorials[of] - factorials - factorials[::-1] + counts * math.log(share) + (of - counts) * math.log1p(-share)
    )
    return found


def quantile_bounds(times: Sequence[float], quantile: float) -> tuple[float, float]:
    """Bounds of a quantile at `ALPHA`, for any distribution: order statistics (David and Nagaraja 2003, section 7.1); 0 or infinity
    where there are too few."""
    low, high = _ranks(len(times), quantile)
    ordered = sorted(times)
    return ordered[low - 1] if low else 0.0, ordered[high - 1] if high <= len(times) else math.inf


@lru_cache(maxsize=4 * LATEST)
def _ranks(count: int, quantile: float) -> tuple[int, int]:
    """The largest rank (from 1; 0: none) that lies above the quantile with a chance of at most `ALPHA`, and the smallest that lies below."""
    reached = np.exp(_logarithms(count, quantile))[::-1].cumsum()[
        ::-1
    ]  # the chance of so many or more at or below the quantile
    low = int((1 - reached[1:] <= ALPHA).sum())
    return low, 1 + int((reached[1:] > ALPHA).sum())


@dataclass
class Seen:
    """What was seen of one version."""

    asked: int = 0
    failed: int = 0
    """Requests that ended in an error of ours."""
    times: deque[float] = field(default_factory=lambda: deque(maxlen=LATEST))
    """Seconds of the latest answers, without the time they waited for their turn."""

    def add(self, seconds: float | None) -> None:
        """An answer that took so long, or None: a failure."""
        self.asked += 1
        if seconds is None:
            self.failed += 1
        else:
            self.times.append(seconds)


@dataclass
class Comparison:
    """A trial beside the live version."""

    live: Seen = field(default_factory=Seen)
    trial: Seen = field(default_factory=Seen)
    compared: int = 0
    """Answers that both gave to the same rows."""
    differed: int = 0

    def worse(self, *, disagreement: float) -> str | None:
        """Why the trial should end; None while nothing speaks against it. `disagreement`: share of the answers that may differ."""
        usual = self.live.failed / self.live.asked if self.live.asked else 0.0
        if tail(self.trial.failed, self.trial.asked, usual + FAILS_MORE) <= ALPHA:
            return f"{self.trial.failed} of {self.trial.asked} requests failed (live: {self.live.failed} of {self.live.asked})"
        for name, quantile in QUANTILES.items():
            slow, _ = quantile_bounds(self.trial.times, quantile)
            _, bearable = quantile_bounds(self.live.times, quantile)
            if slow > SLOWER * bearable:
                return f"{name} of its answers took over {slow * 1e3:.3g} ms (live: at most {bearable * 1e3:.3g} ms)"
        if tail(self.differed, self.compared, disagreement) <= ALPHA:
            return f"{self.differed} of {self.compared} answers differ from the live version's (allowed: {disagreement:.0%})"
        return None
