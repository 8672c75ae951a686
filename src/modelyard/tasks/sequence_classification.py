"""One class for each series of numbers: motions, heartbeats, machines, spoken digits.

Knows nothing about steps: models encode series, this task owns classes, loss and answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from modelyard.rows import Column
from modelyard.tasks._classification import METRICS, Classification


class Part(Classification):
    """One class for each series of numbers: motions, heartbeats, machines, spoken digits."""

    name: ClassVar[str] = "sequence-classification"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", *(name for name in METRICS if name != "accuracy"))

    def candidates(self, size: str, columns: Sequence[Column]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {
            "linear": {},
            "gradient-boosting": {},
            "gru": {"model": "recurrent", "cell": "gru"},
        }
        if size == "tiny":
            return found
        return {**found, "lstm": {"model": "recurrent"}, "transformer": {}}
