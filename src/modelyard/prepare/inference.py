"""What kind of values a column holds, and the column in that type. It knows one column at a time, and neither target nor task.

number Float64 · boolean Boolean · category, text String · date Datetime[us], UTC without zone · image Binary · ignore as it is
sequence List(Float64), or List(List(Float64)) of steps of several channels
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelyard.errors import DataError
from modelyard.prepare import dates, scripts
from modelyard.rows import COMMA, GROUPED, LONGEST_UNREAD, MARKS, MOST_UNREAD, NUMBER, Reading, image_bytes

if TYPE_CHECKING:
    import polars

MOSTLY = 0.98
"""Share of a text column's values that must be numbers for it to be one; the others count as missing."""
FEW = 20
"""A column of at most so many distinct short texts is a category however few its rows are."""
REPEATING = 0.2
"""Below this share of distinct values, short texts are categories."""
LONG = 50.0
"""Characters on average from which a text is free text though it repeats."""
WORDS = 3.0
"""Words on average from which texts that seldom repeat are free text."""
MANY_ROWS = 20
"""Below so many rows, being all distinct says nothing."""
TRUE, FALSE = ("true", "yes", "y", "t"), ("false", "no", "n", "f")
LARGEST = 3.4e38
"""What float32 can hold, nearly."""
_NUMBERS = r"^\s*\[\s*\[?\s*(?:-?[0-9.]|null)[-+0-9eE.,\s\[\]nul]*\]\s*$"
"""JSON lists of numbers, and of lists of numbers."""
_CODE = r"^\s*0\d+\s*$"
_IDENTIFIER = r"^[\w./:@+={}#-]{1,128}$"
_ID_NAME = re.compile(
    r"(^|[_\s.-])(id|ids|key|uuid|guid|index|idx|hash|rowid|row_number|unnamed_1|unnamed: 0)$|^(id|unnamed)[_\s:-]",
    re.I,
)
MILLISECONDS = 1e11
"""Numbers of a date column that are larger by the median are milliseconds since 1970: as seconds they would be years after 5000."""
_CAMEL_ID = re.compile(r"[a-z]I[Dd]$|^I[Dd]$|^ID")


@dataclass(frozen=True)
class Guess:
    """A type and why."""

    type: str
    reason: str


def plain_text(series: polars.Series) -> polars.Series:
    """Any series as String, spelt as a request's value would be: true, 3, 2.5."""
    import polars as pl

    if series.dtype == pl.String:
        return series
    if series.dtype == pl.Boolean:
        return series.cast(pl.String)
    if series.dtype == pl.Duration:
        series = series.dt.total_microseconds() / 1e6
    if series.dtype.is_float() or series.dtype.is_decimal():
        values = series.cast(pl.Float64).fill_nan(None)
        distinct = values.drop_nulls().unique()
        return values.replace_strict(
            distinct, [f"{value:.15g}" for value in distinct], default=None, return_dtype=pl.String
        )
    if series.dtype.is_nested() or series.dtype in (pl.Object, pl.Binary):
        return pl.Series(
            series.name, [None if value is None else str(value) for value in series.to_list()], dtype=pl.String
        )
    return series.cast(pl.String)


def numbers_of(series: polars.Series) -> polars.Series | None:
    """The series as Float64 where (nearly) all of its values are numbers, else None. Codes such as 007 are no numbers."""
    import polars as pl

    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        return series.cast(pl.Float64).fill_nan(None)
    if series.dtype != pl.String:
        return None
    distinct = series.drop_nulls().unique()
    distinct = distinct.filter(distinct.str.strip_chars() != "")
    if distinct.len() == 0 or distinct.str.contains(_CODE).any():
        return None
    read = _numeric(distinct, comma=_decimal_comma(distinct))
    present = series.drop_nulls().filter(series.drop_nulls().str.strip_chars() != "")
    known = present.is_in(distinct.filter(read.is_not_null()).implode()).mean()
    if known is None or known < MOSTLY or (known < 1 and read.drop_nulls().n_unique() < 10):  # type: ignore[operator]
        return None
    return _spread(series, distinct, read)


def _numeric(distinct: polars.Series, *, comma: bool) -> polars.Series:
    """Distinct texts as numbers, null where they are none: with a decimal comma, or plain, with thousands and currency."""
    import polars as pl

    def where(pattern: str, cleaned: polars.Series) -> polars.Series:
        fits = distinct.str.contains(pattern)
        return pl.select(pl.when(fits).then(cleaned.cast(pl.Float64, strict=False))).to_series()

    if comma:
        return where(COMMA, distinct.str.strip_chars().str.replace(",", ".", literal=True))
    plain = where(NUMBER, distinct.str.strip_chars()).fill_nan(None)
    if plain.null_count() == 0:
        return plain
    return plain.zip_with(plain.is_not_null(), where(GROUPED, distinct.str.replace_all(MARKS, "")))


def _decimal_comma(distinct: polars.Series) -> bool:
    """Whether all of a column's distinct texts are numbers with a decimal comma, and some are no numbers without one."""
    plain = distinct.str.contains(NUMBER) | distinct.str.contains(GROUPED)
    return not plain.all() and distinct.str.contains(COMMA).all()


def _spread(series: polars.Series, distinct: polars.Series, read: polars.Series) -> polars.Series:
    """Values of the distinct texts, put back on every row."""
    import polars as pl

    table = pl.DataFrame({"text": distinct, "value": read})
    return (
        pl.DataFrame({"text": series})
        .join(table, on="text", how="left", maintain_order="left")["value"]
        .alias(series.name)
    )


def guess(series: polars.Series) -> Guess:
    """The type of a column and why. `ignore` means that no model could use it."""
    import polars as pl

    kind = series.dtype
    if kind == pl.Binary and _shows_images(series):
        return Guess("image", "image files")
    if series_of_numbers(series):
        return Guess("sequence", "series of numbers")
    if kind.is_nested() or kind in (pl.Binary, pl.Object):
        return Guess("ignore", f"holds {'binary data' if kind == pl.Binary else 'nested values'}")
    present = series.drop_nulls()
    if kind.is_float():
        present = present.drop_nans()
    if kind in (pl.Categorical, pl.Enum):
        present = present.cast(pl.String)
    if present.dtype == pl.String:
        present = present.filter(present.str.strip_chars() != "")
    if present.len() == 0:
        return Guess("ignore", "every value is missing")
    distinct = present.n_unique()
    if distinct == 1 and present.len() == series.len():
        return Guess("ignore", "the same value in every row")
    if kind == pl.Boolean:
        return Guess("boolean", "stored as true and false")
    if kind in (pl.Date, pl.Datetime):
        return Guess("date", "stored as a date")
    if kind == pl.Duration:
        return Guess("number", "stored as a duration; in seconds")
    if kind in (pl.Categorical, pl.Enum):
        return Guess("category", f"stored as a category of {distinct} values")
    if kind.is_numeric():
        return _guess_number(series, present, distinct)
    return _guess_text(series, present.cast(pl.String), distinct)


def series_of_numbers(series: polars.Series) -> bool:
    """Whether a column holds lists of numbers, or lists of such lists; as lists, or as JSON text in a sample of its values."""
    import polars as pl

    kind, sample = series.dtype, series.drop_nulls().head(50)
    for _ in range(2):
        if not isinstance(kind, (pl.List, pl.Array)):
            break
        kind = kind.inner  # type: ignore[assignment]
        if kind.is_numeric():
            return any(len(value) > 1 for value in sample.to_list())  # lists of one number each are no series
    if series.dtype != pl.String:
        return False
    return bool(len(sample)) and bool(sample.str.contains(_NUMBERS).all())


def _lists(series: polars.Series) -> polars.Series:
    """A column of series as List(Float64), or List(List(Float64)) where a step has several channels, as most of them have.

    What is no series, or one of another number of channels, is missing; so is a value that is not finite.
    """
    import polars as pl

    read = [_steps(value) for value in series.to_list()]
    widths = Counter(len(steps[0]) for steps in read if steps)
    channels = max(widths, key=lambda width: (widths[width], width), default=1)
    kept = [steps if steps and len(steps[0]) == channels else None for steps in read]
    if channels == 1:
        flat = [None if steps is None else [step[0] for step in steps] for steps in kept]
        return pl.Series(series.name, flat, dtype=pl.List(pl.Float64))
    return pl.Series(series.name, kept, dtype=pl.List(pl.List(pl.Float64)))


def _steps(given: Any) -> list[list[float | None]] | None:
    """A series as a list of steps of equally many values each, from lists or from JSON text; None where it is none."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return None
    if not isinstance(given, list) or not given:
        return None
    wide = max((len(step) for step in given if isinstance(step, list)), default=1)
    steps = [step if isinstance(step, list) else [step] * (wide if step is None else 1) for step in given]
    if wide == 0 or any(len(step) != wide for step in steps):
        return None
    numbers = all(value is None or type(value) in (int, float) for step in steps for value in step)
    return [[_finite(value) for value in step] for step in steps] if numbers else None


def _finite(value: float | None) -> float | None:
    """The value, None where float32, which a series is read as, cannot hold it."""
    return float(value) if value is not None and abs(value) <= LARGEST else None  # NaN is no more than anything


def _images(series: polars.Series) -> polars.Series:
    """A column of images as bytes: base64 is decoded; what is neither is missing."""
    import polars as pl

    if series.dtype == pl.Binary:
        return series
    return pl.Series(series.name, [_decoded(value) for value in series.to_list()], dtype=pl.Binary)


def _decoded(value: Any) -> bytes | None:
    try:
        return image_bytes(value) if isinstance(value, str) and value.strip() else None
    except ValueError:
        return None


def _shows_images(series: polars.Series) -> bool:
    """Whether most of a sample of binary values begin like images."""
    from modelyard.prepare.pictures import is_image

    sample = series.drop_nulls().gather_every(max(1, series.len() // 50)).to_list()
    return bool(sample) and sum(map(is_image, sample)) >= 0.5 * len(sample)  # the others are broken files


def _guess_number(series: polars.Series, present: polars.Series, distinct: int) -> Guess:
    if _is_counter(series, present, distinct):
        return Guess(
            "ignore",
            f"identifier: {distinct} whole numbers, no two equal, named or counted like row numbers",
        )
    return Guess("number", f"numbers, {distinct} distinct")


def _is_counter(series: polars.Series, present: polars.Series, distinct: int) -> bool:
    """Whole numbers, no two equal, none missing, that count the rows from 0 or 1, or are named like an identifier."""
    import polars as pl

    if distinct != series.len() or series.len() < MANY_ROWS:
        return False
    values = present.cast(pl.Float64)
    if not (values == values.round()).all():
        return False
    counts_rows = values[0] in (0.0, 1.0) and bool((values.diff().drop_nulls() == 1).all())
    return counts_rows or named_like_id(series.name)


def named_like_id(name: str) -> bool:
    """Whether a column is called like an identifier."""
    return bool(_ID_NAME.search(name) or _CAMEL_ID.search(name))


def _guess_text(series: polars.Series, present: polars.Series, distinct: int) -> Guess:
    rows = present.len()
    numbers = numbers_of(present)
    if numbers is not None:
        unread = numbers.null_count()
        if not unread and _is_counter(series, numbers, distinct):
            return _guess_number(series, numbers, distinct)
        told = f"; {unread} that are not count as missing" if unread else ""
        return Guess("number", f"texts that are numbers, {numbers.drop_nulls().n_unique()} distinct{told}")
    if distinct == 2 and set(present.str.strip_chars().str.to_lowercase().unique()) <= {*TRUE, *FALSE}:
        return Guess("boolean", f"two values: {' and '.join(sorted(present.unique()))}")
    if dates.looks_like_dates(present):
        unread = dates.parse(present, day_first=dates.day_first(present)).null_count()
        return Guess("date", "texts that are dates" + (f"; {unread} that are not count as missing" if unread else ""))
    if present.head(50).str.contains(r"^\s*[\[{].*[\]}]\s*$").all() and present.head(50).str.contains(r'[":,\d]').all():
        return Guess("ignore", "holds nested values (JSON)")
    if _is_identifier(series, present, distinct):
        return Guess("ignore", f"identifier: {distinct} texts without spaces, no two equal")
    return _category_or_text(present, distinct, rows)


def _is_identifier(series: polars.Series, present: polars.Series, distinct: int) -> bool:
    """Short ASCII marks without spaces, no two equal, with digits in nearly all of them or a name that says so."""
    if distinct != present.len() or present.len() < MANY_ROWS or present.len() < 0.99 * series.len():
        return False
    if not (present.str.contains(_IDENTIFIER) & ~present.str.contains(r"[^\x00-\x7F]")).all():
        return False
    with_digits = int(present.str.contains(r"\d").sum())
    return with_digits >= 0.9 * present.len() or named_like_id(series.name)


def _category_or_text(present: polars.Series, distinct: int, rows: int) -> Guess:
    sample = present.head(20_000)
    characters = float(sample.str.len_chars().mean() or 0)  # type: ignore[arg-type]
    words = float(sample.str.count_matches(r"\S+").mean() or 0)  # type: ignore[arg-type]
    unspaced = scripts.script(sample)["unspaced"]
    if unspaced:
        words = max(words, characters / 2)  # a Chinese word is about two characters long
    share = distinct / rows
    said = f"{distinct} distinct in {rows} rows, {words:.1f} words on average"
    if share > REPEATING and words >= WORDS and (distinct > FEW or share > 0.9):
        return Guess("text", f"free text: {said}")
    if characters >= LONG and distinct > FEW and words >= WORDS:
        return Guess("text", f"free text: {said}, {characters:.0f} characters")
    if share > 0.5 and distinct > FEW and words >= 1.5:
        return Guess("text", f"short texts that seldom repeat: {said}")
    return Guess("category", f"short texts: {said}")


def find_reading(series: polars.Series, kind: str) -> Reading:
    """How the texts of a whole column are spelt, where its values do not say so one by one."""
    import polars as pl

    dtype = series.dtype
    if kind == "date" and dtype.is_numeric():
        return Reading(milliseconds=bool((series.cast(pl.Float64).abs().median() or 0) > MILLISECONDS))  # type: ignore[operator]
    if kind not in ("number", "date") or dtype.is_numeric() or dtype.is_temporal() or dtype == pl.Boolean:
        return Reading()
    distinct = _present(plain_text(series)).drop_nulls().unique()
    if kind == "number":
        return Reading(decimal_comma=_decimal_comma(distinct))
    return Reading(day_first=dates.day_first(distinct))


def convert(series: polars.Series, kind: str, *, reading: Reading | None = None) -> tuple[polars.Series, int]:
    """The column in its type, and how many present values could not be read (now missing). DataError where none could.

    Without a `reading` it is found in the column itself.
    """
    converted = in_type(series, kind, reading=reading or find_reading(series, kind))
    if kind in ("ignore", "text"):
        return converted, 0
    lost = unread(series, converted)
    if lost.any() and converted.null_count() == series.len():
        example = series.filter(lost)[0]
        raise DataError(
            f"data.columns.{series.name}: is declared {'an' if kind == 'image' else 'a'} {kind}, but no value can be read as one (for example {str(example)[:60]!r})"
        )
    return converted, int(lost.sum())


def in_type(series: polars.Series, kind: str, *, reading: Reading) -> polars.Series:
    """The column in its type, null where a value is missing or cannot be read."""
    import polars as pl

    if kind == "image":
        return _images(series)
    if kind == "sequence":
        return _lists(series)
    if kind == "ignore":
        return plain_text(series) if series.dtype.is_nested() or series.dtype == pl.Object else series
    if kind == "text":
        return plain_text(series)
    present = _present(series)
    if kind == "number":
        found = _to_number(present, comma=reading.decimal_comma)
    elif kind == "date":
        found = _to_date(present, reading)
    else:
        found = _to_boolean(present) if kind == "boolean" else plain_text(present)
    return found.alias(series.name)


def _present(series: polars.Series) -> polars.Series:
    """The column without blank texts and NaN."""
    import polars as pl

    if series.dtype == pl.String:
        return pl.select(pl.when(series.str.strip_chars() != "").then(series)).to_series().alias(series.name)
    return series.fill_nan(None) if series.dtype.is_float() else series


def unread(series: polars.Series, converted: polars.Series) -> polars.Series:
    """(n,) which values are there and could not be read."""
    return _present(series).is_not_null() & converted.is_null()


def with_unread(reading: Reading, series: polars.Series, converted: polars.Series, *, kind: str) -> Reading:
    """The reading with the texts that could not be read, so that they count as missing wherever they are met again."""
    counted = Counter(unread_marks(series.filter(unread(series, converted))))
    first = sorted(counted, key=lambda text: (-counted[text], text))[:MOST_UNREAD]
    messy = bool(counted) and (kind == "date" or len(counted) > MOST_UNREAD)
    return reading.model_copy(update={"unread": tuple(first), "messy": messy})


def unread_marks(series: polars.Series) -> polars.Series:
    """By what values that cannot be read are known again: their texts, trimmed and cut."""
    return plain_text(series).str.strip_chars().str.slice(0, LONGEST_UNREAD)


def _to_number(series: polars.Series, *, comma: bool) -> polars.Series:
    import polars as pl

    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        return series.cast(pl.Float64)
    if series.dtype.is_temporal():
        return (
            series.dt.total_microseconds() / 1e6
            if series.dtype == pl.Duration
            else series.cast(pl.Datetime("us")).dt.epoch("us") / 1e6
        )
    texts = plain_text(series)
    distinct = texts.drop_nulls().unique()
    return _spread(texts, distinct, _numeric(distinct, comma=comma))


def _to_boolean(series: polars.Series) -> polars.Series:
    import polars as pl

    if series.dtype == pl.Boolean:
        return series
    words = plain_text(series).str.strip_chars().str.to_lowercase()
    true, false = words.is_in([*TRUE, "1", "1.0"]), words.is_in([*FALSE, "0", "0.0"])
    return pl.select(pl.when(true).then(True).when(false).then(False).otherwise(None)).to_series()


def _to_date(series: polars.Series, reading: Reading) -> polars.Series:
    import polars as pl

    if series.dtype in (pl.Date, pl.Datetime):
        moment = series.cast(pl.Datetime("us")) if series.dtype == pl.Date else series.dt.cast_time_unit("us")
        zoned = getattr(moment.dtype, "time_zone", None)
        return moment.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zoned else moment
    if series.dtype.is_numeric():  # declared only
        scale = 1e3 if reading.milliseconds else 1e6
        return (series.cast(pl.Float64) * scale).cast(pl.Int64, strict=False).cast(pl.Datetime("us"))
    return dates.parse(plain_text(series), day_first=reading.day_first)
