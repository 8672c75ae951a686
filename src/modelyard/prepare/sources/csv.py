"""CSV and TSV, plain or gzipped: delimiter and encoding are found out, every column is read as text. It does not know what columns mean.

Polars reads; the standard library reads the header and, where something is wrong, finds the line.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelyard.errors import DataError
from modelyard.prepare.sources import _encoding
from modelyard.prepare.sources._contract import Source

if TYPE_CHECKING:
    import polars

DELIMITERS = (",", ";", "\t", "|")
LARGEST_FIELD = 10_000_000
"""Characters. Longer fields come from a quotation mark that is never closed."""


class Part(Source):
    """Delimited text."""

    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".csv.gz", ".tsv.gz")

    def read(self, path: Path, missing: Sequence[str]) -> polars.DataFrame:
        """The file's rows, all columns String; DataError with the line where rows are ragged."""
        import polars as pl

        text, _ = _encoding.read(path)
        delimiter = _delimiter(path, text)
        names = _header(path, text, delimiter)
        try:
            frame = pl.read_csv(
                io.BytesIO(text.lstrip("\r\n").encode("utf-8")),
                separator=delimiter,
                infer_schema=False,
                null_values=list(missing),
                has_header=True,
                new_columns=names,
            )
        except pl.exceptions.NoDataError:
            raise DataError(f"{path}: has a header but no rows") from None
        except (pl.exceptions.PolarsError, ValueError) as error:
            _refuse_ragged(path, text, delimiter, len(names))
            raise DataError(f"{path}: cannot be read as CSV: {str(error).splitlines()[0][:200]}") from None
        if frame.height == 0:
            raise DataError(f"{path}: has a header but no rows")
        if frame[frame.columns[-1]].null_count():  # polars fills a row that ends early with nulls, silently
            _refuse_ragged(path, text, delimiter, len(names))
        longest = max(int(frame[name].str.len_chars().fill_null(0).to_numpy().max()) for name in frame.columns)
        if longest > LARGEST_FIELD:
            raise DataError(
                f"{path}: a field holds {longest:,} characters; the most is {LARGEST_FIELD:,}. Is a quotation mark never closed?"
            )
        return frame

    def facts(self, path: Path) -> dict[str, Any]:
        """Its encoding and delimiter."""
        text, encoding = _encoding.read(path)
        return {"encoding": encoding, "delimiter": _delimiter(path, text)}


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The last line and the fields of each record that is not blank."""
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    for record in reader:
        if record:
            yield reader.line_num, record


def _delimiter(path: Path, text: str) -> str:
    """The delimiter that cuts the first lines into the same number (above one) of fields most often; a comma where none does."""
    if path.name.lower().removesuffix(".gz").endswith(".tsv"):
        return "\t"
    head = "".join(text[:200_000].splitlines(keepends=True)[:100])
    best, most = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        try:
            widths = Counter(len(record) for _, record in _records(head, delimiter))
            first = len(next(_records(head, delimiter), (0, []))[1])
        except csv.Error:
            continue
        if first > 1:
            score = (round(widths[first] / sum(widths.values()), 2), first)
            if score > most:
                best, most = delimiter, score
    return best


def _header(path: Path, text: str, delimiter: str) -> list[str]:
    """Column names: trimmed, unnamed ones numbered; DataError where a name stands twice."""
    try:
        _, names = next(_records(text, delimiter), (0, []))
    except csv.Error as error:
        raise DataError(f"{path}:1: the header cannot be read: {error}") from None
    names = named(names)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"{path}:1: the column name {twice[0]!r} stands {names.count(twice[0])} times in the header. Give every column its own name."
        )
    return names


def named(fields: Sequence[str]) -> list[str]:
    """A header's fields as column names: trimmed, unnamed ones numbered."""
    return [name.strip() or f"unnamed_{number}" for number, name in enumerate(fields, start=1)]


def _refuse_ragged(path: Path, text: str, delimiter: str, width: int) -> None:
    try:
        for line, record in _records(text, delimiter):
            if len(record) != width:
                raise DataError(
                    f"{path}:{line}: has {len(record)} fields where the header has {width} (delimiter {delimiter!r}). "
                    "Quote fields that hold the delimiter, and check for a quotation mark that is never closed."
                )
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read as CSV: {error}") from None
