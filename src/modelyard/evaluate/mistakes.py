"""Which rows are answered wrong: the confusion of classes, and the worst errors with their fields."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelyard.evaluate import looking
from modelyard.evaluate._rows import Trial
from modelyard.metrics import Sample
from modelyard.predictor import Predictor
from modelyard.records.evaluated import Confusion, Mistake
from modelyard.rows import Array
from modelyard.store import Store

MOST = 20
"""Errors kept."""
CUT = 500
"""Characters of a value kept."""
UNKNOWN = "(unknown)"


def confusion(sample: Sample, classes: tuple[str, ...]) -> Confusion:
    """Rows by true and answered class."""
    count = len(classes)
    true = np.where(sample.target < 0, count, sample.target).astype(np.int64)
    cells = np.bincount(true * count + sample.labels.astype(np.int64), minlength=(count + 1) * count)
    table = cells.reshape(count + 1, count)
    known = table[count].sum() == 0
    return Confusion(
        true=classes if known else (*classes, UNKNOWN),
        answered=classes,
        counts=tuple(tuple(int(cell) for cell in line) for line in (table[:count] if known else table)),
    )


def worst(store: Store, predictor: Predictor, test: Trial, sample: Sample) -> tuple[Mistake, ...]:
    """The rows answered wrong with the least probability for the truth, or the numbers furthest off; worst first, images beside them."""
    classes = test.state.classes
    names: list[tuple[str | float, str | float, float]]
    if classes:
        given = _given(sample)
        wrong = np.flatnonzero(sample.target != sample.labels)
        order = wrong[np.argsort(given[wrong], kind="stable")][:MOST]
        names = [(str(test.names[row]), classes[int(sample.labels[row])], float(given[row])) for row in order]
    elif test.state.makes:
        return ()
    else:
        off = sample.scores[:, 0] - sample.target
        order = np.argsort(-np.abs(off), kind="stable")[:MOST]
        names = [(float(sample.target[row]), float(sample.scores[row, 0]), float(off[row])) for row in order]
    shown = looking.pictures(store, predictor, test.rows, order)
    return tuple(
        Mistake(
            row=int(test.row[row]),
            true=true,
            answer=answer,
            score=score,
            fields=_fields(test.rows.record(int(row))),
            **(vars(shown[int(row)]) if int(row) in shown else {}),
        )
        for row, (true, answer, score) in zip(order, names, strict=True)
    )


def _given(sample: Sample) -> Array:
    """Probability given to the true class; 0 for a class never seen."""
    target = sample.target.astype(np.int64)
    given: Array = sample.scores[np.arange(len(target)), np.maximum(target, 0)]
    return np.where(target < 0, 0.0, given)


def _fields(record: dict[str, Any]) -> dict[str, str | float | None]:
    return {
        name: value[: CUT - 1] + "…" if isinstance(value, str) and len(value) > CUT else value
        for name, value in record.items()
        if not isinstance(value, (bytes, list))
    }
