"""One class for each text: spam, topics, intents, sentiment.

Knows nothing about words or columns: models encode rows, this task owns classes, loss and answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from modelyard.rows import Column
from modelyard.tasks._classification import METRICS, Classification


class Part(Classification):
    """One class for each text: spam, topics, intents, sentiment."""

    name: ClassVar[str] = "text-classification"
    metrics: ClassVar[tuple[str, ...]] = METRICS

    def candidates(self, size: str, columns: Sequence[Column]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {
            "linear": {}, "linear-characters": {"model": "linear", "word_ngrams": 0, "characters": True},
            "decision-tree": {}, "mlp": {}, "gradient-boosting": {}, "encoder": {},
        }  # fmt: skip
        return found
