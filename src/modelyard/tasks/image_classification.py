"""One class for each image: products, defects, scans, scenes.

Knows nothing about pixels: models encode images, this task owns classes, loss and answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from modelyard.rows import Column
from modelyard.tasks._classification import METRICS, Classification


class Part(Classification):
    """One class for each image: products, defects, scans, scenes."""

    name: ClassVar[str] = "image-classification"
    units: ClassVar[tuple[str, ...]] = ("image",)
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", *(name for name in METRICS if name != "accuracy"))

    def candidates(self, size: str, columns: Sequence[Column]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {"linear": {}, "gradient-boosting": {}, "cnn": {}}
        if size == "tiny":
            return found
        return {**found, "resnet": {}, **({"efficientnet": {}} if size in ("base", "large") else {})}
