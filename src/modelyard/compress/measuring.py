"""Compare a variant's scores with the trained model's, row by row, and measure how fast each answers.

It knows nothing about how variants are made.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import DataError
from modelyard.frozen import Frozen
from modelyard.metrics import Bootstrap, Metric, Sample, TopK, paired
from modelyard.predictor import Artifact, Predictor
from modelyard.records._base import Estimate
from modelyard.rows import Array, Rows
from modelyard.store import read_json

SINGLE_ROWS = 32
"""Rows asked one by one: their median has a standard error near a fifth of a row's own spread (1.25 / sqrt(32))."""
WRITTEN_ROWS = 6
"""Rows whose answers are written: each takes as long as dozens of scored ones."""
ROUNDS = 3
"""Variants take turns, so that a busy moment of the machine falls on all of them."""
BATCH_ROWS = 16


class Figures(Frozen):
    """What a comparison finds: fields of `records.compressed.Variant`."""

    rows: int
    agreement: float
    alone: float | None = None
    difference: float | None = None
    metric: float | None = None
    drop: Estimate | None = None


@dataclass(frozen=True)
class Compared:
    """The rows, and what the trained artifact says about them."""

    rows: Rows
    target: Array
    groups: Array | None
    trained: Array
    """Scores (n, K)."""
    task: Any
    state: Any
    threshold: float | None
    metric: Metric
    positive: int | None
    top_k: TopK
    tolerance: float
    bootstrap: Bootstrap

    def sample(self, scores: Array) -> Sample:
        """Rows with answers, for metrics."""
        labels = self.task.labels(scores, self.state, self.threshold)
        return Sample.of(self.target, scores, labels=labels, positive=self.positive, top_k=self.top_k)

    def take(self, index: Array) -> Compared:
        """Some of the rows."""
        groups = None if self.groups is None else self.groups[index]
        return replace(
            self, rows=self.rows.take(index), target=self.target[index], groups=groups, trained=self.trained[index],
            top_k=self.top_k.take(index),
        )  # fmt: skip

    def parity(self, predictor: Predictor) -> Figures:
        """Agreement, difference, metric and drop of a variant. Scores that are not finite agree with nothing."""
        scores = predictor.scores(self.rows)
        if not np.isfinite(scores).all():
            return Figures(rows=len(self.rows), agreement=0.0)
        same = self.task.same(scores, self.trained, self.state, threshold=self.threshold, tolerance=self.tolerance)
        value = self.metric.of(self.sample(scores))
        return Figures(
            rows=len(self.rows),
            agreement=float(np.mean(same)) if len(same) else 1.0,
            alone=self._alone(predictor, scores),
            difference=float(np.abs(scores - self.trained).max(initial=0.0)),
            metric=value if np.isfinite(value) else None,
            drop=self._drop(scores),
        )

    def _alone(self, predictor: Predictor, scores: Array) -> float:
        """A served row is mostly asked alone: the share that gets the same answer as beside others."""
        places = spread(len(self.rows), SINGLE_ROWS)
        if not len(places):
            return 1.0
        alone = np.concatenate([predictor.scores(self.rows.take(slice(place, place + 1))) for place in places])
        same = self.task.same(alone, scores[places], self.state, threshold=self.threshold, tolerance=self.tolerance)
        return float(np.mean(same))

    def _drop(self, scores: Array) -> Estimate | None:
        """Trained minus variant (errors: variant minus trained, relative); None where the metric is undefined on these rows."""
        theirs = self.sample(self.trained)
        try:
            found = paired(self.metric, self.sample(scores), theirs, groups=self.groups, bootstrap=self.bootstrap)
        except DataError:
            return None
        if self.metric.greater_is_better:
            return Estimate(value=0.0 - found.value, low=0.0 - found.high, high=0.0 - found.low, level=found.level)
        scale = abs(self.metric.of(theirs)) or 1.0
        return Estimate(value=found.value / scale, low=found.low / scale, high=found.high / scale, level=found.level)


def spread(rows: int, count: int) -> Array:
    """At most `count` row numbers, evenly over all."""
    return np.unique(np.linspace(0, rows - 1, min(rows, count)).astype(int)) if rows else np.empty(0, dtype=int)


def open_with(folder: Path, threads: int) -> Predictor:
    """An artifact whose sessions use so many threads, whatever its file says."""
    artifact = Artifact.model_validate(read_json(folder / "artifact.json"))
    members = tuple(
        member
        if member.session == "native"
        else member.model_copy(update={"session_options": {**member.session_options, "threads": threads}})
        for member in artifact.members
    )
    return Predictor(artifact.model_copy(update={"members": members}), folder)


def speeds(predictors: dict[str, Predictor], rows: Rows) -> dict[str, dict[str, float]]:
    """`row_p50`, `row_p95` (seconds of one row alone, encoding included) and `rows_per_second` in batches, by name."""
    writes = any(predictor.generator is not None for predictor in predictors.values())
    places = spread(len(rows), WRITTEN_ROWS if writes else SINGLE_ROWS)
    if not len(places):
        return {}
    batch = rows.take(spread(len(rows), BATCH_ROWS))
    seconds: dict[str, list[float]] = {name: [] for name in predictors}
    rates: dict[str, float] = dict.fromkeys(predictors, 0.0)
    for number in range(ROUNDS):
        mine = places[number::ROUNDS] if len(places) >= ROUNDS else places
        for name, predictor in predictors.items():
            ask = [rows.take(slice(place, place + 1)) for place in mine]
            answer = predictor.scores if predictor.generator is None else predictor.answer
            answer(ask[0])  # the first after another model's turn finds cold caches
            for one in ask:
                start = time.perf_counter()
                answer(one)
                seconds[name].append(time.perf_counter() - start)
            start = time.perf_counter()
            predictor.scores(batch)
            rates[name] = max(rates[name], len(batch) / (time.perf_counter() - start))
    return {
        name: {
            "row_p50": float(np.median(each)),
            "row_p95": float(np.quantile(each, 0.95)),
            "rows_per_second": rates[name],
        }
        for name, each in seconds.items()
    }
