"""What a wrong answer costs, row by row: a declared number, or a column of the data. It knows frames, no metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from modelyard.errors import DataError
from modelyard.metrics.slicing import column_of
from modelyard.rows import Array

if TYPE_CHECKING:
    import polars


def cost_of(frame: polars.DataFrame, types: Mapping[str, str], cost: float | str, where: str) -> Array:
    """(n,) the cost of each row of a split: a number for all, or a column's numbers; DataError, at `where`, says what is missing."""
    if not isinstance(cost, str):
        return np.full(frame.height, float(cost))
    values, kind = column_of(frame, types, cost, where)
    if kind not in ("number", "boolean"):
        raise DataError(f"{where}: column {cost!r} holds {kind} values; a cost must be a number")
    missing = int(np.isnan(values).sum())
    if missing:
        raise DataError(
            f"{where}: column {cost!r} has no value in {missing} of {frame.height} rows; every row needs a cost"
        )
    return values
