"""What all candidates share: the rows, the target, the folds, the metric and the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelyard import metrics, parts
from modelyard.blueprint import Blueprint
from modelyard.context import Context
from modelyard.errors import DataError
from modelyard.metrics.costs import cost_of
from modelyard.records._base import Derived
from modelyard.records.prepared import Prepared
from modelyard.rows import GROUP, ROW, Array, Rows, from_frame, read_split
from modelyard.rows_schema import input_columns
from modelyard.store import fingerprint
from modelyard.tasks._contract import State, Task

if TYPE_CHECKING:
    import polars

FOLDED_ROWS = 20_000
"""Tables of at most so many rows are cross-validated: one held-out part of them would choose by chance."""
FOLDS = 5
FINISH_SHARE = 0.03
"""Share of the budget kept for the ensemble, the threshold and the intervals."""


@dataclass
class Fold:
    train: Array
    validation: Array


@dataclass
class World:
    """What all candidates share."""

    context: Context
    task: Task
    state: State
    rows: Rows
    row: Array
    """(n,) row numbers in the source."""
    target: Array
    groups: Array
    """Which rows hang together: copies, and the groups that the split keeps apart."""
    shifts: bool
    """Whether service will meet groups or times that training never saw: validation rows are then one draw of few."""
    top_k: metrics.TopK
    """What of all rows somebody can check."""
    costs: tuple[Array, ...]
    """(n,) what a false positive and a false negative of each row cost; empty where the blueprint declares none."""
    folds: list[Fold]
    metric: metrics.Metric
    fingerprint: str
    started: float
    spent_before: float
    mark: str = ""
    """What decisions of the clock are valid for; see `candidates.mark_of`."""

    @property
    def held(self) -> Array:
        """Row places in the order of the validation scores."""
        return np.concatenate([fold.validation for fold in self.folds])

    @property
    def positive(self) -> int | None:
        """The number of the class looked for."""
        return self.state.positive_class

    def measure(
        self, scores: Array, target: Array, top_k: metrics.TopK, threshold: float | None = None
    ) -> metrics.Sample:
        """Scores beside a target."""
        labels = self.task.labels(scores, self.state, threshold)
        return metrics.Sample.of(target, scores, labels=labels, positive=self.positive, top_k=top_k)

    def held_out(self, scores: Array, threshold: float | None = None) -> metrics.Sample:
        """Scores of the validation rows beside their target."""
        return self.measure(scores, self.target[self.held], self.top_k.take(self.held), threshold)

    def left(self) -> float:
        """Seconds of the budget that are left, what a killed run had used already counted."""
        budget = self.context.blueprint.train.budget.to("s")
        return budget * (1 - FINISH_SHARE) - self.spent_before - (time.monotonic() - self.started)


def look(context: Context, started: float) -> tuple[World, list[Derived]]:
    prepared = context.record(Prepared)
    blueprint = context.blueprint
    by = blueprint.prepare.split.by  # with given files too: validation rows are then held out so
    task: Task = parts.build("tasks", prepared.task)
    types = prepared.inputs_types()
    if not types and task.kind not in ("language", "image"):
        raise DataError(
            "no input columns are left: every column but the target is ignored. See data.columns in the blueprint."
        )
    frames = [read_split(context.store.path("data"), split) for split in ("train", "validation")]
    inputs = input_columns(frames[0], types, mended=blueprint.prepare.clean.encodings, readings=prepared.readings())
    state = task.fit(frames[0][prepared.target].to_numpy(), prepared.target, inputs, blueprint.evaluate.positive)
    derived: list[Derived] = []
    total = frames[0].height + frames[1].height
    usual, reason = usual_folds(prepared, by, total, blueprint.size)
    count = blueprint.train.folds or usual
    name = blueprint.train.metric or task.metrics[0]
    rarer = task.fit(frames[0][prepared.target].to_numpy(), prepared.target, inputs, None).positive
    # told also where the blueprint says the same: the resolved one does, and must give the same record
    if count == usual:
        derived.append(Derived(path="train.folds", value=count, reason=reason))
    if name == task.metrics[0]:
        derived.append(Derived(path="train.metric", value=name, reason=f"the first metric of {prepared.task}"))
    if state.positive and state.positive == rarer:
        derived.append(Derived(path="evaluate.positive", value=state.positive, reason="the rarer of two classes"))
    both = frames[0].vstack(frames[1].select(frames[0].columns))
    values = both[prepared.target].to_numpy()
    target = task.encode_target(values, state)
    groups = both[GROUP].to_numpy()
    known = target >= 0 if state.classes else np.ones(len(target), dtype=bool)
    folds = _split(np.arange(total) < frames[0].height, known, groups, target, state, count, blueprint.train.seed)
    return World(
        context=context, task=task, state=state, rows=from_frame(both, state.scored()), row=both[ROW].to_numpy(), target=target,
        groups=groups, shifts=by in ("group", "time"), folds=folds, top_k=metrics.top_k_of(both, blueprint), costs=_costs(both, prepared, blueprint), metric=metrics.find(name, task.kind), started=started, spent_before=0.0,
        fingerprint=fingerprint([prepared.splits["train"].hash, prepared.splits["validation"].hash, state.model_dump(mode="json"), count]),
    ), derived  # fmt: skip


def _costs(frame: polars.DataFrame, prepared: Prepared, blueprint: Blueprint) -> tuple[Array, ...]:
    declared = blueprint.evaluate.costs
    if declared is None:
        return ()
    types = {column.name: column.type for column in prepared.columns}
    named = (("false_positive", declared.false_positive), ("false_negative", declared.false_negative))
    return tuple(cost_of(frame, types, cost, f"evaluate.costs.{name}") for name, cost in named)


def usual_folds(prepared: Prepared, by: str, rows: int, size: str) -> tuple[int, str]:
    if "validation" in prepared.given:
        return 1, "the validation rows were given"
    read = prepared.task.partition("-")[0]
    if read in ("text", "image", "sequence"):
        return 1, f"{read} models are costly: one held-out part chooses"
    if by == "time":
        return 1, "rows are split by time: folds would let the future choose for the past"
    if size == "tiny":
        return 1, "size tiny"
    if rows <= FOLDED_ROWS:
        return FOLDS, f"{rows:,} rows are few: every one is used for training and for choosing"
    return 1, f"{rows:,} rows are enough for one held-out part"


def _split(first: Array, known: Array, groups: Array, target: Array, state: State, count: int, seed: int) -> list[Fold]:
    """One fold: train against validation. More: groups stay together, classes are spread evenly."""
    if count == 1:
        return [Fold(np.flatnonzero(first), np.flatnonzero(~first & known))]
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    places = np.flatnonzero(known)
    if state.classes:
        parts_ = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(
            places, target[places], groups[places]
        )
    else:
        parts_ = GroupKFold(count, shuffle=True, random_state=seed).split(places, groups=groups[places])
    return [Fold(places[inside], places[outside]) for inside, outside in parts_]
