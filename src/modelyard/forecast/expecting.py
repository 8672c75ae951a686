"""From the pilot to intervals: seconds of training by playing the budget through, quality by extending learning curves.

Interval ends are quantiles of draws; every draw of a run shares its candidates' errors. It knows nothing about stages or prices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelyard.forecast import curves
from modelyard.forecast.pilot import Pilot
from modelyard.forecast.scheduling import Planned, spend
from modelyard.forecast.trying import Candidate
from modelyard.records._base import Estimate
from modelyard.records.forecast import Gain, Quality
from modelyard.rows import Array

DRAWS = 400
LEVEL = 0.9
ENDS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
NORMAL = 1.959964
"""Half of a 95 % interval in standard deviations."""
INSIDE = 1.644854
"""... and of a 90 % one."""
CUT = 3.0
"""Times a candidate would take longer than the budget lets it, for its time to be known."""
SEVERAL = 3
"""Sizes that a learning curve needs."""


@dataclass(frozen=True, slots=True)
class Training:
    """What all candidates take."""

    each: dict[str, float]
    """Seconds by candidate."""
    draws: Array
    """(draws, candidates)."""

    @property
    def seconds(self) -> float:
        """Of all, expected."""
        return sum(self.each.values())


def training(pilot: Pilot, *, budget: float, refit: bool, draws: int = DRAWS) -> Training:
    """Play the budget through with natural times that are off by what is not known of each."""
    folds, both = pilot.folds, pilot.split("train") + pilot.split("validation")
    rows = pilot.split("train") if folds == 1 else round(both * (folds - 1) / folds)
    found = [(one, one.natural(max(rows, 1), max(both - rows, 1))) for one in pilot.candidates]
    known = [(one, natural) for one, natural in found if natural is not None]
    names = [one.name for one, _ in known]
    if not known:
        return Training({}, np.zeros((draws, 0)))

    def played(factors: Sequence[float]) -> list[float]:
        queue = [
            Planned(
                one.name, one.learns, natural.seconds * factor, least=natural.least * factor, cold=natural.cold, share=one.share,
                baseline=one.baseline,
            )
            for (one, natural), factor in zip(known, factors, strict=True)
        ]  # fmt: skip
        return spend(queue, budget=budget, folds=folds, refit=refit)

    rng = np.random.default_rng(0)
    spreads = np.array([natural.spread for _, natural in known])
    factors = np.exp(rng.normal(0.0, 1.0, (draws, len(known))) * spreads)
    taken = np.array([played(row) for row in factors]) if draws else np.zeros((0, len(known)))
    return Training(dict(zip(names, played([1.0] * len(known)), strict=True)), taken)


def settled(pilot: Pilot, trained: Training) -> frozenset[str]:
    """Candidates that the budget cuts to a fraction of what they would take: it alone says how long they take."""
    found = set()
    for one in pilot.candidates:
        natural = one.natural(max(pilot.split("train"), 1), max(pilot.split("validation"), 1))
        if natural is not None and 0 < trained.each.get(one.name, 0.0) * CUT < natural.seconds * pilot.folds:
            found.add(one.name)
    return frozenset(found)


def quality(pilot: Pilot, *, rows: int, gain: float, spread: float) -> tuple[Quality | None, str]:
    """The choosing metric after `rows` training rows, or why it is not told.

    `gain` and `spread` are what candidates that could not be trained whole and putting several together take off the error of the best
    one that could: mean and standard deviation of the logarithm. The interval also holds the doubt of the curve, of the pilot's held-out
    rows and of the build's test rows.
    """
    known = {one.name: _points(one) for one in pilot.candidates}
    enough = {name: found for name, found in known.items() if len(found) >= SEVERAL}
    if not enough:
        return None, f"no candidate could be trained whole on {SEVERAL} sizes within the pilot's time"
    sign = 1.0 if pilot.greater_is_better else -1.0
    name = max(enough, key=lambda each: sign * enough[each][-1][1].value)
    points = enough[name]
    top = 100.0 if max(point.value for _, point, _ in points) > 1.0 else 1.0
    errors = [top - point.value if pilot.greater_is_better else point.value for _, point, _ in points]
    doubts = [max((point.high - point.low) / (2 * NORMAL), 1e-9) for _, point, _ in points]
    try:
        learning = curves.fit([size for size, _, _ in points], errors, deviations=doubts)
    except ValueError as error:
        return None, str(error)
    held = max(count for _, _, count in points)
    found = learning.expected(max(rows, 1))
    value = found.value * math.exp(-gain)
    sampling = INSIDE * doubts[-1] * math.sqrt(1.0 + held / max(pilot.split("test"), 1))
    untried = INSIDE * spread * value
    low = value - math.hypot(max(found.value - found.low, 0.0), sampling, untried)
    high = value + math.hypot(max(found.high - found.value, 0.0), sampling, untried)
    gains = [_more(learning, rows, times) for times in (2.0, 4.0)]
    larger = _larger(pilot, sign)

    def metric(error: float) -> float:
        return top - error if pilot.greater_is_better else error

    ends = sorted((metric(max(low, 0.0)), metric(high)))
    return Quality(
        metric=pilot.metric, greater_is_better=pilot.greater_is_better, rows=rows, candidate=name,
        expected=Estimate(value=metric(value), low=ends[0], high=ends[1], level=LEVEL),
        points={size: point.value for size, point, _ in points}, gains=tuple(gains) + ((larger,) if larger else ()),
    ), ""  # fmt: skip


def _points(one: Candidate) -> list[tuple[int, Estimate, int]]:
    """(rows, metric, held-out rows) of whole runs, by rising rows."""
    found = [(run.rows, run.metric, run.held) for run in one.runs if run.whole and run.metric is not None]
    return (
        []
        if one.floor
        else sorted(((size, metric, held) for size, metric, held in found if metric), key=lambda each: each[0])
    )


def _more(learning: curves.Learning, rows: int, times: float) -> Gain:
    found = learning.gain(max(rows, 1), times)
    return Gain(
        what="rows", factor=times, gain=Estimate(value=found.value, low=found.low, high=found.high, level=LEVEL)
    )


def _larger(pilot: Pilot, sign: float) -> Gain | None:
    """The largest model that was trained whole against the smallest, on the same rows."""
    ready = [(one, _points(one)) for one in pilot.candidates]
    ready = [(one, points) for one, points in ready if points]
    if len(ready) < 2:
        return None
    common = set.intersection(*({size for size, _, _ in points} for _, points in ready))
    if not common:
        return None
    size = max(common)
    small, large = (pick(ready, key=lambda each: each[0].parameters) for pick in (min, max))
    if large[0].parameters <= small[0].parameters:
        return None
    ours, theirs = (next(metric for rows, metric, _ in points if rows == size) for _, points in (large, small))
    doubt = INSIDE * math.hypot(ours.high - ours.low, theirs.high - theirs.low) / (2 * NORMAL)
    value = sign * (ours.value - theirs.value)
    gain = Estimate(value=value, low=value - doubt, high=value + doubt, level=LEVEL)
    return Gain(what="model", name=large[0].name, than=small[0].name, gain=gain)
