"""One class for each row of a table: credit, fraud, churn, disease.

Knows nothing about words or columns: models encode rows, this task owns classes, loss and answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from modelyard.rows import Column
from modelyard.tasks._classification import METRICS, Classification
from modelyard.tasks._tables import portfolio


class Part(Classification):
    """One class for each row of a table: credit, fraud, churn, disease."""

    name: ClassVar[str] = "tabular-classification"
    metrics: ClassVar[tuple[str, ...]] = ("roc_auc", *(name for name in METRICS if name != "roc_auc"))

    def candidates(self, size: str, columns: Sequence[Column]) -> dict[str, dict[str, Any]]:
        return portfolio(size, columns)
