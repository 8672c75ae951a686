"""The test rows as evaluation sees them: inputs, truth, groups, and what is asked of them. Read once for each run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelyard.context import Context
from modelyard.errors import DataError
from modelyard.metrics import Bootstrap, Metric, Sample, TopK, find, top_k_of
from modelyard.metrics.slicing import column_of
from modelyard.predictor import Predictor
from modelyard.records.prepared import Prepared
from modelyard.records.trained import Trained
from modelyard.rows import ROW, Array, Rows, from_frame, groups_of, read_split
from modelyard.tasks._contract import State

if TYPE_CHECKING:
    import polars

BY_POSITIVE = ("f1", "precision", "recall", "brier", "precision_at_k")
"""Added to a task's own metrics where one of two classes is looked for."""


@dataclass(frozen=True)
class Trial:
    """Test rows, their truth and what is asked of them."""

    frame: polars.DataFrame
    rows: Rows
    row: Array
    """(n,) row numbers in the source."""
    target: Array
    """(n,) class numbers, -1 where unknown, or numbers."""
    names: Array
    """(n,) the target as it was written (text), or numbers."""
    groups: Array | None
    """(n,) group numbers, where some group has two rows or more."""
    types: Mapping[str, str]
    """Type of every column of the source."""
    state: State
    bootstrap: Bootstrap
    top_k: TopK

    @property
    def positive(self) -> int | None:
        """The number of the class looked for."""
        return self.state.positive_class

    def sample(self, scores: Array, labels: Array) -> Sample:
        """Answers beside the truth."""
        return Sample.of(self.target, scores, labels=labels, positive=self.positive, top_k=self.top_k)

    def column(self, name: str, where: str) -> tuple[Array, str]:
        """A column of the source as `Rows` holds it, and its type; DataError names the nearest column."""
        return column_of(self.frame, self.types, name, where)


def read(context: Context, predictor: Predictor) -> Trial:
    """Read the test split for an artifact; DataError where it is empty."""
    blueprint, state = context.blueprint, predictor.state
    frame = read_split(context.store.path("data"), "test")
    if not frame.height:
        raise DataError("the test split has no rows. Give more rows, or a larger prepare.split.test.")
    names = state.target_of(frame)
    prepared = context.record(Prepared)
    return Trial(
        frame=frame,
        rows=from_frame(frame, state.scored()),
        row=frame[ROW].to_numpy().astype(np.int64),
        target=predictor.task.encode_target(names, state),
        names=names,
        groups=groups_of(frame),
        types={column.name: column.type for column in prepared.columns},
        state=state,
        bootstrap=Bootstrap(blueprint.evaluate.bootstrap, blueprint.evaluate.level, blueprint.train.seed),
        top_k=top_k_of(frame, blueprint),
    )


def metrics_for(context: Context, predictor: Predictor, rows: int) -> list[Metric]:
    """The metrics to measure: the choosing one, the blueprint's or the task's, and those that gates name.

    UserError where the blueprint names one that does not exist or does not fit the task.
    """
    wanted, task, state = context.blueprint.evaluate, predictor.task, predictor.state
    positive = 0 if state.positive is not None else None

    def fits(name: str) -> bool:
        return find(name, task.kind).applies(len(state.classes), positive)

    if wanted.metrics is not None:
        listed = list(wanted.metrics)
    else:
        extra = BY_POSITIVE if state.positive is not None else ()
        listed = [name for name in (*task.metrics, *extra) if fits(name)]
        if wanted.top_k >= rows:  # the share of positives, whatever the model
            listed = [name for name in listed if name != "precision_at_k"]
    for where, named in (("evaluate.metrics", wanted.metrics or ()), ("evaluate.gates", wanted.gates)):
        for name in named:
            if not fits(name):
                raise DataError(
                    f"{where}: {name} needs one class that is looked for, and the target has {len(state.classes)}. Use {name}_macro, or another metric."
                )
    names = dict.fromkeys((context.record(Trained).metric, *listed, *wanted.gates))
    return [found for found in (find(name, task.kind) for name in names) if not found.studied]
