"""Groups of rows by the values of one column: the named slices that evaluation and audits measure alone.

It knows column types and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelyard.errors import DataError, nearest
from modelyard.rows import GROUP, ROW, Array, from_frame

if TYPE_CHECKING:
    import polars

MISSING, OTHER = "(missing)", "(other)"
MOST = 20
"""Values of a category that are named; rarer ones are together `(other)`. More would not fit a table one reads."""
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Slices:
    """`code` (n,) numbers the name of each row's slice."""

    code: Array
    names: tuple[str, ...]

    def mask(self, number: int) -> Array:
        """The rows of a slice, (n,) bool."""
        return np.asarray(self.code == number)

    def sizes(self) -> list[int]:
        """Rows of each slice."""
        return [int(size) for size in np.bincount(self.code, minlength=len(self.names))]


def series_of(frame: polars.DataFrame, name: str, where: str) -> polars.Series:
    """A column of a split's file as it stands there; DataError, at `where`, names the nearest column."""
    known = [column for column in frame.columns if column not in (ROW, GROUP)]
    if name not in known:
        raise DataError(f"{where}: no column {name!r}.{nearest(name, known)} Columns: {', '.join(known)}")
    return frame[name]


def column_of(frame: polars.DataFrame, types: Mapping[str, str], name: str, where: str) -> tuple[Array, str]:
    """A column of a split's file as `Rows` holds it, and its type; DataError, at `where`, names the nearest column."""
    kind, dtype = types.get(name, "ignore"), series_of(frame, name, where).dtype
    if kind in ("image", "sequence"):
        raise DataError(f"{where}: the column {name!r} holds {kind}s, which fall into no groups. Name another column.")
    if kind == "ignore":  # the model never sees it; its values still have a type
        kind = "number" if dtype.is_numeric() else "date" if dtype.is_temporal() else "category"
    elif kind in ("number", "boolean") and not (dtype.is_numeric() or dtype.base_type().__name__ == "Boolean"):
        kind = "category"
    return from_frame(frame, {name: kind})[name], kind


def slices_of(values: Array, kind: str, *, most: int = MOST) -> Slices:
    """Slices of a column as `Rows` holds it: values, yes and no, quartiles of numbers, dates and text lengths."""
    if kind == "category":
        return _by_value(np.array([MISSING if value is None else str(value) for value in values], dtype=object), most)
    if kind == "boolean":
        words = np.where(np.isnan(values), MISSING, np.where(values == 1, "true", "false"))
        return _by_value(words.astype(object), most)
    if kind == "text":
        lengths = np.array([np.nan if value is None else len(value) for value in values])
        return _by_quartile(lengths, lambda low, high: f"{low:.0f} to {high:.0f} characters")
    if kind == "date":
        return _by_quartile(values, lambda low, high: f"{_day(low)} to {_day(high)}")
    seen = np.unique(values[~np.isnan(values)])
    if len(seen) <= 4:  # as few values as quartiles: each is its own slice
        words = np.array([MISSING if np.isnan(value) else f"{value:g}" for value in values], dtype=object)
        return _by_value(words, most)
    return _by_quartile(values, lambda low, high: f"{low:g} to {high:g}")


def _by_value(words: Array, most: int) -> Slices:
    names, code, counts = np.unique(words.astype(str), return_inverse=True, return_counts=True)
    order = np.lexsort((names, -counts))  # most frequent first, then by name
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    code = rank[code.ravel()]
    if len(names) > most:
        return Slices(np.minimum(code, most), (*(str(names[place]) for place in order[:most]), OTHER))
    return Slices(code, tuple(str(names[place]) for place in order))


def _by_quartile(values: Array, spell: Callable[[float, float], str]) -> Slices:
    missing = np.isnan(values)
    edges = np.unique(np.quantile(values[~missing], QUARTILES)) if not missing.all() else np.empty(0)
    code = np.searchsorted(edges, values, side="left")
    names = []
    present = [number for number in range(len(edges) + 1) if (~missing & (code == number)).any()]
    compact = np.full(len(values), len(present), dtype=np.int64)
    for place, number in enumerate(present):
        here = ~missing & (code == number)
        compact[here] = place
        name = spell(float(values[here].min()), float(values[here].max()))
        names.append(
            name if name not in names else f"{name} ({place + 1})"
        )  # values that differ beyond the digits shown
    return Slices(compact, (*names, MISSING) if missing.any() else tuple(names))


def _day(seconds: float) -> str:
    return str(np.datetime64(int(seconds), "s").astype("datetime64[D]"))
