"""The reference that a service compares its rows with: made of rows that the packaged model did not learn from."""

from __future__ import annotations

import numpy as np

from modelyard import parts
from modelyard.context import Context
from modelyard.errors import RequestError
from modelyard.predictor import Predictor
from modelyard.records.trained import Trained
from modelyard.rows import Column, Rows, from_frame, read_split
from modelyard.watching.reference import MOST, Reference, make_reference


def reference(context: Context, predictor: Predictor) -> Reference:
    """Of the validation rows; of the test rows where a model of the package learnt from the former, too sure of its answers there.

    Labels are not read. Where there are no other rows than those it learnt from, only what comes in is watched; texts and images that
    are made are not watched, for making thousands of them takes hours.
    """
    state = predictor.state
    seen = context.record(Trained).saw_validation
    split = "test" if seen and context.store.path("data", "test.parquet").exists() else "validation"
    task = parts.build("tasks", state.task)
    added = task.added({})
    training, rows = (
        _some(from_frame(read_split(context.store.path("data"), each), state.types()), context.blueprint.train.seed)
        for each in ("train", split)
    )
    columns = [column for column in state.inputs if column.name not in added or _given(training, column)]
    kind = task.kind
    answered = kind if kind in ("classification", "regression") and not (seen and split == "validation") else None
    try:
        answers = predictor.answer(rows) if answered else []
    except RequestError:  # an image that cannot be read
        answers, answered = [], None
    return make_reference(
        rows, answers, training=training, columns=columns, kind=answered, seed=context.blueprint.train.seed, split=split
    )


def _given(rows: Rows, column: Column) -> bool:
    """Whether the data hold it: `prepare` adds seeds by row and empty prompts, which customers fill as they like."""
    return column.type == "text" and any(rows[column.name])


def _some(rows: Rows, seed: int) -> Rows:
    if len(rows) <= MOST:
        return rows
    return rows.take(np.sort(np.random.default_rng(seed).choice(len(rows), MOST, replace=False)))
