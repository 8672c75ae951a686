"""Rows as columns of plain numpy arrays: what tasks and models encode, while training and while serving alike.

It needs numpy only. A column's type fixes its array:

    number, boolean   float64, NaN where missing (boolean: 0 or 1)
    date              float64 seconds since 1970-01-01 UTC, NaN where missing
    category, text    object array of str, None where missing
    image             object array of bytes: a PNG, JPEG, WebP, GIF, BMP or TIFF file as it is, None where missing
    sequence          object array of (L, C) float32, L steps of C channels, NaN where a value lacks; None where missing

How a number or a date may be spelt is said here once, for one value of a request and, by `prepare`, for whole columns.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_tz
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from modelyard import mending
from modelyard.errors import RequestError
from modelyard.frozen import Frozen

if TYPE_CHECKING:
    from pathlib import Path

    import polars

Array = np.ndarray[Any, np.dtype[Any]]
InputType = Literal["number", "category", "boolean", "text", "date", "image", "sequence"]
OBJECTS = ("category", "text", "image", "sequence")
"""Types whose arrays hold Python objects, None where missing."""
Limits = tuple[float | None, float | None]
"""Lowest and highest possible number; None where there is no bound."""
SPLITS = ("train", "validation", "test")
ROW, GROUP = "__row__", "__group__"
"""Columns that `prepare` adds to each split's file: the row's number in the source, and its group (rows of one group,
such as near duplicates, never stand on two sides of a split or fold)."""
GREY_IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAADklEQVR42mNogAIGyhgAgIQgARDoahcAAAAASUVORK5CYII="
"""A grey PNG of 8 x 8 pixels in base64: an example that is nobody's picture."""
MOST_FAULTS = 20
"""Faults of rows that are told at once: enough to mend what was sent, too few to be a burden."""
MOST_NAMES = 30
"""Allowed fields that one message lists."""
MOST_UNREAD = 100
"""Unreadable texts of a column that are remembered: the words of a form (`unknown`, `n. a.`) are few, disorder has no end."""
LONGEST_UNREAD = 60
"""Characters by which such a text is known."""


class Reading(Frozen):
    """How a column's values are read, beyond its type: what `prepare` found in the source, and what the blueprint says."""

    decimal_comma: bool = False
    """Its numbers are spelt with a decimal comma: the text `1,250` is 1.25, and `1.250` is none."""
    day_first: bool | None = None
    """How `05/01/2026` is read: the day first, or the month. None: nothing in the source shows it, and it is no date."""
    milliseconds: bool = False
    """Its dates are numbers of milliseconds since 1970; else of seconds."""
    limits: Limits = (None, None)
    """Possible numbers; one outside counts as missing."""
    unread: tuple[str, ...] = ()
    """Texts in the source that could not be read (at most 100, their first 60 characters), the most frequent first; they count as missing."""
    messy: bool = False
    """The source holds more of them, or dates among them, whose faults do not repeat: in a file, others count as missing too."""


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
    channels: int = 1
    """Values of each step of a sequence."""
    mended: bool = False
    """Whether training read this column's texts mended; the service then mends what it is sent."""
    reading: Reading = Reading()
    """How training read its values; what is answered is read alike."""


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
        """One row as plain Python values, None where missing; images are bytes."""
        return {name: _python(values[row]) for name, values in self.columns.items()}


def joined(pieces: Sequence[Rows]) -> Rows:
    """Rows of equal columns, one piece after the other."""
    if len(pieces) == 1:
        return pieces[0]
    columns = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0].columns}
    return Rows(columns, sum(len(piece) for piece in pieces))


def _python(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else float(value)
    if isinstance(value, np.ndarray):  # a series: a list of numbers, or of lists of them
        steps = [[_python(each) for each in step] for step in value]
        return [step[0] for step in steps] if value.shape[1] == 1 else steps
    return value


def as_sent(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as a client would send it in JSON: images in base64."""
    return {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value for name, value in record.items()
    }


def example_series(channels: int) -> list[Any]:
    """A series that is nobody's: up and down again."""
    return [value if channels == 1 else [value] * channels for value in (0.0, 1.0, 0.0)]


def empty_column(type: str, count: int) -> Array:
    """A column of missing values."""
    return np.full(count, None, dtype=object) if type in OBJECTS else np.full(count, np.nan)


def from_records(records: Sequence[Mapping[str, Any]], inputs: Sequence[Column]) -> Rows:
    """Rows from JSON-like dicts. Unknown fields and values of a wrong type raise RequestError with row and field (at most 20).

    A missing field counts as a missing value, and so does what counted as missing in training: a number outside its limits, a
    text that could not be read. Numbers may come as text, spelt as in training; dates as ISO 8601 text, or spelt as in training.
    """
    faults = list(islice(_unknown(records, inputs), MOST_FAULTS))
    columns: dict[str, Array] = {}
    for column in inputs:
        if len(faults) >= MOST_FAULTS:
            break
        columns[column.name], wrong = _read(records, column)
        faults += wrong
    if faults:
        raise RequestError(sorted(faults)[:MOST_FAULTS])
    return Rows(columns, len(records))


def _unknown(records: Sequence[Mapping[str, Any]], inputs: Sequence[Column]) -> Iterator[tuple[int, str, str]]:
    known = {column.name for column in inputs}
    for number, record in enumerate(records):
        for name in record:
            if name not in known:
                yield number, str(name), f"unknown field. Allowed: {listed(sorted(known))}"


def listed(known: Sequence[str]) -> str:
    """Names for a message: at most 30, and how many more there are."""
    return ", ".join(known[:MOST_NAMES]) + (f" and {len(known) - MOST_NAMES} more" if len(known) > MOST_NAMES else "")


def _read(records: Sequence[Mapping[str, Any]], column: Column) -> tuple[Array, list[tuple[int, str, str]]]:
    """(n,) one column's values, and the first values that cannot be read (at most 20)."""
    values = empty_column(column.type, len(records))
    faults: list[tuple[int, str, str]] = []
    for number, record in enumerate(records):
        given = record.get(column.name)
        try:
            value = _value(given, column)
        except (ValueError, TypeError, OverflowError):
            faults.append((number, column.name, f"must be a {expected(column)} (got {str(given)[:60]!r})"))
            if len(faults) >= MOST_FAULTS:
                break
        else:
            if value is not None:
                values[number] = value
    return without_impossible(values, column.reading.limits), faults


def without_impossible(values: Array, limits: Limits) -> Array:
    """(n,) the values, those outside the limits missing."""
    if limits == (None, None):
        return values
    low, high = limits
    outside = np.zeros(len(values), dtype=bool)
    if low is not None:
        outside |= values < low
    if high is not None:
        outside |= values > high
    return np.where(outside, np.nan, values) if outside.any() else values


def _value(given: Any, column: Column) -> Any:
    """A value in its column's type, None where it counts as missing; ValueError, TypeError or OverflowError where it is none."""
    reading = column.reading
    if column.type == "image":
        return None if given is None or given == "" else image_bytes(given)
    if column.type == "sequence":
        return None if given is None or given == "" else _sequence(given, column.channels)
    if isinstance(given, str):
        given = mending.mend(given) if column.mended else given
        if column.type != "text" and (not given.strip() or given.strip()[:LONGEST_UNREAD] in reading.unread):
            return None
    elif given is not None and reading.unread and column.type in ("boolean", "date") and _text(given) in reading.unread:
        return None
    if given is None:
        return None
    if column.type == "number":
        return _number(given, comma=reading.decimal_comma)
    if column.type == "date":
        return _date(given, reading)
    return _boolean(given) if column.type == "boolean" else _text(given)


# Regular expressions in the syntax that Python and polars share, and linear in time: requests are matched against them.
NUMBER = r"^\s*[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$|^\s*[-+]?([iI]nf(inity)?|[nN]a[nN])\s*$"
"""`1.5`, `-2`, `1e9`."""
GROUPED = (
    r"^\s*[-+]?[$€£¥₹]?\s?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?\s?[$€£¥₹]?\s*$"
    r"|^\s*[-+]?[$€£¥₹]\s?[0-9]+(\.[0-9]+)?\s*$|^\s*[-+]?[0-9]+(\.[0-9]+)?\s?[$€£¥₹]\s*$"
)
"""`1,234.50`, `$1234.50`: thousands, a currency, or both."""
MARKS = r"[$€£¥₹,\s]"
"""What is taken out of a grouped number."""
COMMA = r"^\s*[-+]?[0-9]+(,[0-9]+)?([eE][-+]?[0-9]+)?\s*$"
"""`1,5`: a number of a column with a decimal comma."""
_NUMBER, _GROUPED, _MARKS, _COMMA = (re.compile(pattern) for pattern in (NUMBER, GROUPED, MARKS, COMMA))


def _number(given: Any, *, comma: bool) -> float:
    if isinstance(given, bool):
        raise TypeError
    value = _spelt_number(given, comma=comma) if isinstance(given, str) else float(given)
    if not math.isfinite(value):
        raise ValueError
    return value


def _spelt_number(text: str, *, comma: bool) -> float:
    """One text as `prepare.inference` reads a column of them."""
    if comma and _COMMA.match(text):
        return float(text.replace(",", "."))
    if not comma and _NUMBER.match(text):
        return float(text)
    if not comma and _GROUPED.match(text):
        return float(_MARKS.sub("", text))
    raise ValueError


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


def image_bytes(given: Any) -> bytes:
    """The bytes of an image: as they are, or base64, also as a data URI. Its pixels are read when it is encoded."""
    if isinstance(given, bytes):
        return given
    if not isinstance(given, str):
        raise TypeError
    text = given.partition(",")[2] if given.startswith("data:") else given
    return base64.b64decode("".join(text.split()), validate=True)


LONGEST_SEQUENCE = 100_000
"""Steps of one sequence in a request."""


def _sequence(given: Any, channels: int) -> Array:
    """(L, C) float32 of a list of numbers, or of lists of `channels` numbers each; null lacks."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except RecursionError:
            raise ValueError from None
    if not isinstance(given, (list, tuple, np.ndarray)) or len(given) > LONGEST_SEQUENCE or not len(given):
        raise TypeError
    steps = [step if isinstance(step, (list, tuple, np.ndarray)) else [step] for step in given]
    if any(isinstance(value, (bool, str)) for step in steps for value in step):
        raise TypeError
    with np.errstate(over="ignore"):  # too large for float32 is infinite, and refused below
        found = np.array([[math.nan if value is None else value for value in step] for step in steps], dtype=np.float32)
    if found.ndim != 2 or np.isinf(found).any() or found.shape[1] != channels:
        raise ValueError
    return found


_YEARS = (-62_135_596_800, 253_402_300_800)
"""Seconds since 1970 of the first day of year 1 and the end of year 9999: what a date can be."""


def _date(given: Any, reading: Reading) -> float:
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        seconds = float(given) / (1e3 if reading.milliseconds else 1.0)
    else:
        when = given if isinstance(given, (datetime, date)) else _spelt_date(str(given).strip(), reading.day_first)
        if not isinstance(when, datetime):
            when = datetime(when.year, when.month, when.day)
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    if not _YEARS[0] <= seconds < _YEARS[1]:
        raise ValueError
    return seconds


TIMES = ("", " %H:%M", " %H:%M:%S")
"""What may follow a day, by its number of colons."""


def day_formats(day_first: bool | None) -> tuple[str, ...]:
    """Orders of day, month and year that are read; `31/01/2026` only where the source shows which stands first."""
    slashed = () if day_first is None else ("%d/%m/%Y",) if day_first else ("%m/%d/%Y",)
    return ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", *slashed)


def _spelt_date(text: str, day_first: bool | None) -> datetime:
    """ISO 8601, an order of day, month and year, or as mail spells it."""
    with suppress(ValueError):
        return datetime.fromisoformat(text)
    colons = text.count(":")
    for time in TIMES[colons : colons + 1]:
        for day in day_formats(day_first):
            with suppress(ValueError):
                return datetime.strptime(text, day + time)
    found = mail_date(text)
    if found is None:
        raise ValueError
    return found


def mail_date(text: str) -> datetime | None:
    """One RFC 5322 date in UTC, without zone, or None. parsedate_tz leaves three-digit years alone; RFC 2822 4.3 adds 1900 (a fault of the year 2000)."""
    try:
        found = parsedate_tz(text)
        if found is None or not re.search("[A-Za-z]", text):  # it takes a long number for a date, too
            return None
        year = found[0] + 1900 if 50 <= found[0] <= 999 else found[0]
        return datetime(year, *found[1:6]) - timedelta(seconds=found[9] or 0)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


_WANTED = {
    "number": "number", "boolean": "boolean (true or false)", "category": "text", "text": "text", "date": "date such as 2026-01-31",
    "image": "PNG, JPEG, WebP, GIF, BMP or TIFF file in base64", "sequence": "list of numbers",
}  # fmt: skip


def expected(column: Column) -> str:
    """What a value of the column must be, for messages."""
    if column.type == "sequence" and column.channels > 1:
        return f"list of lists of {column.channels} numbers"
    if column.type == "number" and column.reading.decimal_comma:
        return "number (as text with a decimal comma: 1,5)"
    if column.type == "date" and column.reading.day_first is not None:
        return f"{_WANTED['date']} or {'31/01/2026' if column.reading.day_first else '01/31/2026'}"
    return _WANTED[column.type]


def from_frame(frame: polars.DataFrame, types: Mapping[str, str]) -> Rows:
    """Rows from a polars frame whose columns already have fitting types (as `prepare` writes them)."""
    import polars as pl

    columns: dict[str, Array] = {}
    for name, kind in types.items():
        series = frame[name]
        if kind == "sequence":
            columns[name] = _series(series)
        elif kind == "image":
            columns[name] = empty_column(kind, len(series))
            columns[name][:] = series.to_list()
        elif kind in ("category", "text"):
            columns[name] = series.cast(pl.String).to_numpy().astype(object)
        elif kind == "date":
            seconds = series.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 1e6
            columns[name] = seconds.fill_null(float("nan")).to_numpy().astype(np.float64)
        else:
            columns[name] = series.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
    return Rows(columns, frame.height)


def _series(column: polars.Series) -> Array:
    """(n,) object array of (L, C) float32 from a column of lists of numbers, or of lists of `C` numbers each; None where one is missing."""
    import polars as pl

    result = empty_column("sequence", len(column))
    lengths = column.list.len().fill_null(0).to_numpy()
    there = np.flatnonzero(lengths)
    if not len(there):
        return result
    steps, channels = column.gather(there).explode(), 1
    if steps.dtype.is_nested():
        channels = int(steps.list.len().max())  # type: ignore[arg-type]
        steps = steps.explode()
    flat = steps.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    values = flat.astype(np.float32).reshape(-1, channels)  # (steps, C)
    for place, part in zip(there, np.split(values, np.cumsum(lengths[there])[:-1]), strict=True):
        result[place] = part
    return result


def groups_of(frame: polars.DataFrame) -> Array | None:
    """(n,) number of the group that each row of a split hangs together with; None where every row is its own."""
    groups: Array = frame[GROUP].to_numpy()
    return groups if len(np.unique(groups)) < len(groups) else None


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
