"""One class for each text: spam, topics, intents, sentiment.

Knows nothing about words or columns: models encode rows, this task owns classes, loss and answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from modelyard.rows import Array, Column
from modelyard.tasks import _classification
from modelyard.tasks._contract import State, Task


class Part(Task):
    """One class for each text: spam, topics, intents, sentiment."""

    kind: ClassVar[str] = "classification"
    metrics: ClassVar[tuple[str, ...]] = _classification.METRICS
    baselines: ClassVar[tuple[str, ...]] = ("dummy", "linear")

    def candidates(self, size: str, columns: Sequence[Column]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {
            "linear": {}, "linear-characters": {"model": "linear", "word_ngrams": 0, "characters": True},
            "decision-tree": {}, "mlp": {}, "gradient-boosting": {}, "encoder": {},
        }  # fmt: skip
        return found

    def fit(self, values: Array, target: str, inputs: Sequence[Column], positive: str | None) -> State:
        return _classification.fit("text-classification", values, target, inputs, positive)

    def encode_target(self, values: Array, state: State) -> Array:
        return _classification.encode_target(values, state)

    def losses(self, outputs: Any, target: Any, state: State) -> tuple[Any, Any]:
        return _classification.losses(outputs, target)

    def first_loss(self, state: State) -> float:
        return _classification.first_loss(state)

    def scores(self, outputs: Array, state: State) -> Array:
        return _classification.softmax(outputs)

    def decode(self, scores: Array, state: State, threshold: float | None) -> list[dict[str, Any]]:
        return _classification.decode(scores, state, threshold)

    def labels(self, scores: Array, state: State, threshold: float | None) -> Array:
        return _classification.labels(scores, state, threshold)

    def same(self, ours: Array, theirs: Array, state: State, *, threshold: float | None, tolerance: float) -> Array:
        return _classification.same(ours, theirs, state, threshold)
