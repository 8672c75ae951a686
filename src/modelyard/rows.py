"""Rows as columns of plain numpy arrays: what tasks and models encode, while training and while serving alike.

It needs numpy only. A column's type fixes its array:

    number, boolean   float64, NaN where missing (boolean: 0 or 1)
    date              float64 seconds since 1970-01-01 UTC, NaN where missing
    category, text    object array of str, None where missing
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from modelyard import mending
from modelyard.errors import RequestError
from modelyard.frozen import Frozen

if TYPE_CHECKING:
    from pathlib import Path

    import polars

Array = np.ndarray[Any, np.dtype[Any]]
InputType = Literal["number", "category", "boolean", "text", "date"]
SPLITS = ("train", "validation", "test")
ROW, GROUP = "__row__", "__group__"
"""Columns that `prepare` adds to each split's file: the row's number in the source, and its group (rows of one group,
such as near duplicates, never stand on two sides of a split or fold)."""


class Column(Frozen):
    """An input of the service: its name, type and what was seen in training."""

    name: str
    type: InputType
    values: tuple[str, ...] = ()
    """Categories seen in training, most frequent first (at most 1,000)."""
    low: float | None = None
    high: float | None = None
    """Range seen in training (dates in seconds since 1970)."""
    missing: float = 0.0
    """Share of missing values in training."""
    whole: bool = False
    """A number that is always whole."""
    example: str | float | bool | None = None
    """A value for the API's examples."""
    mended: bool = False
    """Whether training read this text mended; the service then mends what it is sent."""


@dataclass(frozen=True)
class Rows:
    """Some rows, by column. `len(rows)` counts them."""

    columns: Mapping[str, Array]
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def take(self, index: Any) -> Rows:
        """The rows at an index array, mask or slice."""
        taken = {name: values[index] for name, values in self.columns.items()}
        return Rows(taken, len(np.arange(self.count)[index]))

    def replace(self, **columns: Array) -> Rows:
        """The same rows with some columns exchanged (for audits that edit fields)."""
        return Rows({**self.columns, **columns}, self.count)

    def record(self, row: int) -> dict[str, Any]:
        """One row as plain Python values, None where missing."""
        return {name: _python(values[row]) for name, values in self.columns.items()}


def _python(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else float(value)
    return value


def empty_column(type: str, count: int) -> Array:
    """A column of missing values."""
    return np.full(count, None, dtype=object) if type in ("category", "text") else np.full(count, np.nan)


def from_records(records: Sequence[Mapping[str, Any]], inputs: Sequence[Column]) -> Rows:
    """Rows from JSON-like dicts. Unknown fields and values of a wrong type raise RequestError with row and field.

    A missing field counts as a missing value. Numbers may come as numeric text (CSV), dates as ISO 8601 text.
    """
    faults: list[tuple[int, str, str]] = []
    known = {column.name for column in inputs}
    allowed = ", ".join(sorted(known))
    for number, record in enumerate(records):
        faults += [(number, str(name), f"unknown field. Allowed: {allowed}") for name in record.keys() - known]
    columns = {}
    for column in inputs:
        read = _READERS[column.type]
        values = empty_column(column.type, len(records))
        for number, record in enumerate(records):
            given = record.get(column.name)
            if given is None or (given == "" and column.type != "text"):
                continue
            try:
                value = read(given)
                values[number] = mending.mend(str(value)) if column.mended else value
            except (ValueError, TypeError, OverflowError):
                faults.append((number, column.name, f"must be a {_WANTED[column.type]} (got {str(given)[:60]!r})"))
        columns[column.name] = values
    if faults:
        raise RequestError(sorted(faults))
    return Rows(columns, len(records))


_GROUPED = re.compile(r"^\s*[-+]?[$€£¥₹]?\s?\d{1,3}(,\d{3})*(\.\d+)?\s?[$€£¥₹]?\s*$")
_MONEY = re.compile(r"[$€£¥₹,\s]")
"""`$1,234.50` is a number, as it was while preparing."""


def _number(given: Any) -> float:
    if isinstance(given, bool):
        raise TypeError
    value = float(_MONEY.sub("", given) if isinstance(given, str) and _GROUPED.match(given) else given)
    if not math.isfinite(value):
        raise ValueError
    return value


_TRUE, _FALSE = {"true", "yes", "y", "t", "1"}, {"false", "no", "n", "f", "0"}


def _boolean(given: Any) -> float:
    if isinstance(given, bool):
        return float(given)
    word = str(given).strip().lower().removesuffix(".0")
    if word in _TRUE or word in _FALSE:
        return float(word in _TRUE)
    raise ValueError


def _text(given: Any) -> str:
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, (int, float)):
        return f"{given:.15g}"
    if not isinstance(given, str):
        raise TypeError
    return given


_YEARS = (-62_135_596_800, 253_402_300_800)
"""Seconds since 1970 of the first day of year 1 and the end of year 9999: what a date can be."""


def _date(given: Any) -> float:
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        seconds = _number(given)
    else:
        when = given if isinstance(given, (datetime, date)) else _spelt_date(str(given).strip())
        if not isinstance(when, datetime):
            when = datetime(when.year, when.month, when.day)
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    if not _YEARS[0] <= seconds < _YEARS[1]:
        raise ValueError
    return seconds


def _spelt_date(text: str) -> datetime:
    """ISO 8601, or as mail spells it (RFC 5322)."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parsedate_to_datetime(text)


_READERS = {"number": _number, "boolean": _boolean, "category": _text, "text": _text, "date": _date}
_WANTED = {
    "number": "number", "boolean": "boolean (true or false)", "category": "text", "text": "text", "date": "date such as 2026-01-31",
}  # fmt: skip


def from_frame(frame: polars.DataFrame, types: Mapping[str, str]) -> Rows:
    """Rows from a polars frame whose columns already have fitting types (as `prepare` writes them)."""
    import polars as pl

    columns: dict[str, Array] = {}
    for name, kind in types.items():
        series = frame[name]
        if kind in ("category", "text"):
            columns[name] = series.cast(pl.String).to_numpy().astype(object)
        elif kind == "date":
            seconds = series.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 1e6
            columns[name] = seconds.fill_null(float("nan")).to_numpy().astype(np.float64)
        else:
            columns[name] = series.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
    return Rows(columns, frame.height)


def days(frame: polars.DataFrame, column: str | None) -> Array | None:
    """(n,) the day of each row, numbered; None where the time column holds no dates."""
    import polars as pl

    if column is None or column not in frame.columns or not frame[column].dtype.is_temporal():
        return None
    return frame[column].cast(pl.Date).cast(pl.Int64).fill_null(-1).to_numpy()


def read_split(folder: Path, split: str) -> polars.DataFrame:
    """The file of one split as `prepare` wrote it, every column and `__row__`, `__group__`."""
    import polars as pl

    return pl.read_parquet(folder / f"{split}.parquet")
