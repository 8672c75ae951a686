"""What the classification tasks share: classes, cross-entropy, softmax, decisions. A task adds its name, its candidates and its unit."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from modelyard.errors import DataError
from modelyard.rows import Array, Column
from modelyard.tasks._contract import Kind, State, Task

METRICS = (
    "f1_macro", "accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "roc_auc", "average_precision",
    "log_loss", "matthews_corrcoef", "expected_calibration_error",
)  # fmt: skip
MOST_CLASSES = 1000
"""More classes than this are a retrieval problem; a softmax over them would need its own sampling."""


class Classification(Task):
    """One class for each row. Abstract: a task says which, and what can learn it."""

    name: ClassVar[str]
    """As the blueprint calls it."""
    kind: ClassVar[Kind] = "classification"
    baselines: ClassVar[tuple[str, ...]] = ("dummy", "linear")

    def fit(self, values: Array, target: str, inputs: Sequence[Column], positive: str | None) -> State:
        """Classes are sorted by name; with two, the positive one is given or the rarer."""
        counts = Counter(str(value) for value in values)
        classes = sorted(counts)
        if len(classes) < 2:
            raise DataError(
                f"target {target!r} has only one class in the training rows ({', '.join(classes)}); at least two are needed"
            )
        if len(classes) > MOST_CLASSES:
            raise DataError(
                f"target {target!r} has {len(classes)} classes; at most {MOST_CLASSES} are allowed. Is it a number or an id?"
            )
        if positive is not None and positive not in counts:
            raise DataError(
                f"evaluate.positive: no class {positive!r} in target {target!r}. Classes: {', '.join(classes)}"
            )
        if len(classes) == 2 and positive is None:
            positive = min(classes, key=lambda name: (counts[name], name))
        return State(
            task=self.name, target=target, inputs=tuple(inputs), classes=tuple(classes),
            counts=tuple(counts[name] for name in classes), positive=positive if len(classes) == 2 else None,
        )  # fmt: skip

    def encode_target(self, values: Array, state: State) -> Array:
        """Class numbers; -1 for a class that training never saw."""
        number = {name: place for place, name in enumerate(state.classes)}
        return np.array([number.get(str(value), -1) for value in values], dtype=np.int64)

    def losses(self, outputs: Any, target: Any, state: State) -> tuple[Any, Any]:
        """Cross-entropy of each row, and 1 for each row."""
        import torch

        each = torch.nn.functional.cross_entropy(outputs.float(), target, reduction="none")
        return each, torch.ones_like(each)

    def first_loss(self, state: State) -> float:
        """All outputs zero: every class gets 1/K, whatever the labels, so the loss is ln K."""
        return math.log(len(state.classes))

    def scores(self, outputs: Array, state: State) -> Array:
        """Softmax, in float64."""
        shifted = np.asarray(outputs, dtype=np.float64)
        shifted = np.exp(shifted - shifted.max(axis=1, keepdims=True))
        result: Array = shifted / shifted.sum(axis=1, keepdims=True)
        return result

    def labels(self, scores: Array, state: State, threshold: float | None) -> Array:
        """The likeliest class, or the positive one from the threshold on."""
        positive = state.positive_class
        if threshold is None or positive is None:
            likeliest: Array = np.argmax(scores, axis=1)
            return likeliest
        return np.where(scores[:, positive] >= threshold, positive, 1 - positive)

    def decode(self, scores: Array, state: State, threshold: float | None) -> list[dict[str, Any]]:
        """`{'answer': class, 'probabilities': {class: p}}` for each row; probabilities rounded to 6 digits."""
        decided = self.labels(scores, state, threshold).tolist()
        rounded = np.round(scores, 6).tolist()
        return [
            {"answer": state.classes[choice], "probabilities": dict(zip(state.classes, row, strict=True))}
            for choice, row in zip(decided, rounded, strict=True)
        ]

    def same(self, ours: Array, theirs: Array, state: State, *, threshold: float | None, tolerance: float) -> Array:
        """Equal answers, row by row."""
        return np.equal(self.labels(ours, state, threshold), self.labels(theirs, state, threshold))
