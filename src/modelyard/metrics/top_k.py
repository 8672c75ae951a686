"""What somebody can check: k rows, of each day, each card once. It knows frames and blueprints, no metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelyard.blueprint import Blueprint
from modelyard.metrics.slicing import series_of
from modelyard.rows import Array, days

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class TopK:
    """The k of `precision_at_k`, and of what."""

    k: int = 100
    """Rows, or entities, that can be checked."""
    periods: Array | None = None
    """(n,) the day of each row, where k can be checked on each."""
    entities: Array | None = None
    """(n,) number of the card, customer, ... of each row, where each is checked once."""

    def take(self, index: Array) -> TopK:
        """That of the rows at an index array or mask."""
        periods, entities = (None if each is None else each[index] for each in (self.periods, self.entities))
        return TopK(self.k, periods, entities)


def top_k_of(frame: polars.DataFrame, blueprint: Blueprint) -> TopK:
    """What the blueprint says for the rows of a split: by day where rows are split by time."""
    split, column = blueprint.prepare.split, blueprint.evaluate.top_k_by
    periods = days(frame, split.column) if split.by == "time" else None
    return TopK(
        blueprint.evaluate.top_k,
        periods,
        None if column is None else _numbers(series_of(frame, column, "evaluate.top_k_by")),
    )


def _numbers(values: polars.Series) -> Array:
    """(n,) equal values have equal numbers; a missing value is equal to none."""
    import polars as pl

    texts = values.cast(pl.String)
    absent = texts.is_null().to_numpy()
    numbers = np.unique(texts.fill_null("").to_numpy().astype(str), return_inverse=True)[1]
    return np.where(absent, -1 - np.arange(len(numbers)), numbers)
