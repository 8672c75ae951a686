"""Does the quality that was chosen by hold on rows nobody chose by? Validation against test, and training beside."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from modelyard.audit.checks._contract import Check, Rule, finding
from modelyard.audit.gaps import plain
from modelyard.audit.world import World
from modelyard.metrics import Sample, TopK
from modelyard.records._base import Estimate
from modelyard.records.audited import Finding
from modelyard.rows import Array, from_frame


class Part(Check):
    """Validation against test. Figure: `drop`, of the choosing metric (points; of an error, relative).

    A high training figure alone is no fault (a forest remembers its rows); choosing that does not carry over is.
    """

    cure: ClassVar[str] = (
        "Try fewer candidates, give more validation rows, or split by time or group as the service will see rows."
    )

    rows: int = Field(300, ge=0)
    """Training rows that are answered again for the details; 0: none."""
    warn: float = Field(0.05, gt=0)
    """Points from validation to test that are shown as a warning: ten times the half that compression may cost."""
    fail: float | None = Field(0.2, gt=0)
    """Points that stop the build; null: never."""
    warn_ratio: float = Field(0.2, gt=0)
    """Where the choosing metric is an error: its growth, relative, that is shown."""
    fail_ratio: float | None = Field(1.0, gt=0)
    """The same, that stops the build: 1 is twice the error; null: never."""

    def applies(self, world: World) -> str:
        there = world.store.path(world.trained.validation_scores).exists()
        return "" if there else "no saved validation answers"

    def __call__(self, world: World) -> Finding:
        with np.load(world.store.path(world.trained.validation_scores), allow_pickle=False) as saved:
            target, scores, groups = saved["target"], saved["scores"], saved["group"]
            top_k = TopK(world.sample.top_k.k, saved.get("period"), saved.get("entity"))
        labels = world.task.labels(scores, world.state, world.trained.threshold)
        validation = Sample.of(target, scores, labels=labels, positive=world.sample.positive, top_k=top_k)
        details = {"validation": _value(world, validation), "test": _value(world, world.sample)}
        if self.rows:
            frame = world.train[world.some(world.train.height, self.rows)]
            rows = from_frame(frame, world.state.scored())
            details["train"] = _value(world, world.answers(rows, world.truth(frame), TopK(top_k.k)))
        drop = fall(world, validation, groups)
        points = world.metric.greater_is_better
        warn, fail = (self.warn, self.fail) if points else (self.warn_ratio, self.fail_ratio)
        rules = [Rule("drop", drop, warn, fail)] if drop is not None else []
        return finding("overfit", rules, {**details, "drop": plain(drop) if drop is not None else None})


def _value(world: World, sample: Sample) -> float | None:
    value = world.metric.of(sample)
    return value if np.isfinite(value) else None


def fall(world: World, validation: Sample, groups: Array) -> Estimate | None:
    """How much worse test is than validation. The rows differ, so the resamples are independent (and not paired).

    Whole groups are drawn on both sides: `groups` (n,) are those of the validation rows.
    """
    (before, first), (after, second) = (
        world.bootstrap.draws([world.metric.over(validation)], len(validation), groups=groups)[0],
        world.bootstrap.draws([world.metric.over(world.sample)], len(world.sample), groups=world.groups)[0],
    )
    count = min(len(first), len(second))
    if not (np.isfinite(before) and np.isfinite(after) and count):
        return None
    second = np.random.default_rng(world.seed).permutation(second)[:count]  # not the validation's own order of draws
    if world.metric.greater_is_better:
        value, drawn = before - after, first[:count] - second
    else:
        if before <= 0 or not (first > 0).all():
            return None
        value, drawn = after / before - 1, second / first[:count] - 1
    tail = (1 - world.bootstrap.level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(value=value, low=float(low), high=float(high), level=world.bootstrap.level)
