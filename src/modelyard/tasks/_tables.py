"""The default candidates for tables: a fixed portfolio of gradient-boosting settings beside the simple models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelyard.rows import Column


def portfolio(size: str, columns: Sequence[Column]) -> dict[str, dict[str, Any]]:
    """Simple models first, then boosting from the usual setting to the more random ones; larger sizes try more."""
    simple: dict[str, dict[str, Any]] = {"linear": {}, "decision-tree": {}}
    boosting: dict[str, dict[str, Any]] = {
        "gradient-boosting": {},
        "gradient-boosting-random": {"model": "gradient-boosting", "extra_trees": True},
        "gradient-boosting-slow": {
            "model": "gradient-boosting",
            "learning_rate": 0.02,
            "leaves": 8,
            "column_share": 0.5,
        },
        "gradient-boosting-wide": {"model": "gradient-boosting", "leaves": 63, "smallest_leaf": 5, "column_share": 0.7},
    }
    if size == "tiny":
        return {**simple, "gradient-boosting": {}, "mlp": {}}
    if size == "small":
        del boosting["gradient-boosting-wide"]
    found = {**simple, **boosting, "extra-trees": {}, "mlp": {}}
    if any(column.type == "text" for column in columns) and size in ("base", "large"):
        found["encoder"] = {}
    return found
