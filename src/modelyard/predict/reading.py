"""Files of rows in pieces: CSV, TSV, JSON Lines, Parquet, read as `prepare` reads the training data. It knows columns, no model."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from modelyard.blueprint.sections import Data
from modelyard.errors import DataError, UserError, nearest
from modelyard.prepare.sources.csv import DELIMITERS, named
from modelyard.rows import Column, Rows, expected, from_frame, without_impossible

if TYPE_CHECKING:
    import polars

PIECE = 1024
"""Rows read and answered at a time: large enough for arrays to pay, small enough for long texts."""
MISSING: tuple[str, ...] = Data.model_fields["missing"].default
"""Texts in a CSV file that mean missing: those of a blueprint that does not say otherwise."""
MOST_FAULTS = 10
MESSY = 0.5
"""Of a column that was messy in training (mail dates often are) at most this share of a piece may be unreadable in ways that training did not meet."""

Piece = tuple[int, "polars.DataFrame"]
"""Number of its first row in the file, counted from 1, and the rows."""


def called(path: Path | None) -> str:
    """How errors name where rows come from."""
    return str(path) if path else "standard input"


@contextlib.contextmanager
def opened(source: Path | None) -> Iterator[BinaryIO]:
    if source is None:
        yield sys.stdin.buffer
        return
    try:
        with gzip.open(source, "rb") if source.suffix.lower() == ".gz" else source.open("rb") as file:
            yield file  # type: ignore[misc]
    except (gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{source}: is not a readable gzip file: {error}") from None
    except OSError as error:
        if error.filename is None or Path(error.filename) != source:
            raise
        raise UserError(f"{source}: cannot be read: {error.strerror}") from None


def sniff(file: Any) -> str:
    """JSON Lines or CSV, from the first bytes of standard input."""
    start = file.peek(1 << 12).lstrip()
    if start.startswith(b"PAR1"):
        raise UserError("Parquet cannot be read from standard input. Name the file.")
    return "jsonl" if start.startswith((b"{", b"\xef\xbb\xbf{")) else "csv"


def pieces(
    source: Path | None, file: BinaryIO, shape: str, inputs: Sequence[Column], missing: Sequence[str]
) -> Generator[Piece, None, None]:
    """Pieces of the file as frames that have every input column; DataError where one is absent."""
    if shape == "parquet":
        assert source is not None
        yield from _parquet(source, inputs)
    else:
        with _text(file, called(source)) as text:
            if shape == "jsonl":
                yield from _json_lines(text, called(source), inputs)
            else:
                yield from _delimited(text, called(source), inputs, set(missing), tab=shape == "tsv")


@contextlib.contextmanager
def _text(file: BinaryIO, name: str) -> Iterator[IO[str]]:
    """The bytes as text: a stream where all of it is UTF-8 (standard input must be), else read whole in the encoding that fits."""
    from modelyard.prepare.sources import _encoding

    if not file.seekable() or _is_utf8(file):
        if file.seekable():
            file.seek(0)
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        try:
            yield text
        finally:
            text.detach()  # whoever opened the file closes it
        return
    file.seek(0)
    yield io.StringIO(_encoding.decode(file.read(), name)[0], newline="")


def _is_utf8(file: BinaryIO) -> bool:
    import codecs

    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while block := file.read(1 << 20):
            if b"\x00" in block:
                return False
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _delimited(text: IO[str], name: str, inputs: Sequence[Column], missing: set[str], *, tab: bool) -> Iterator[Piece]:
    """CSV or TSV; the delimiter is the one that finds most input columns in the header."""
    import polars as pl

    csv.field_size_limit(2**31 - 1)
    wanted = {column.name for column in inputs}
    lines = iter(text)
    head = next((line for line in lines if line.strip()), "")
    if not head:
        raise DataError(f"{name}: is empty. Expected a header with {', '.join(sorted(wanted))}")
    choices = ("\t",) if tab else DELIMITERS

    def cut(delimiter: str) -> list[str]:
        return named(next(csv.reader([head], delimiter=delimiter), []))

    delimiter = max(choices, key=lambda each: (len(wanted & set(cut(each))), len(cut(each)) if each == "," else 0))
    header = cut(delimiter)
    places = _places(header, inputs, name)
    reader = csv.reader(
        lines, delimiter=delimiter, strict=True
    )  # strict: a quotation mark that is never closed is an error
    first = 1
    block: list[list[str | None]] = []
    try:
        for record in reader:
            if not record:
                continue
            if len(record) != len(header):
                raise DataError(
                    f"{name}: row {first + len(block)} (line {reader.line_num + 1}) has {len(record)} fields where the header has "
                    f"{len(header)} (delimiter {delimiter!r}). Quote fields that hold the delimiter."
                )
            block.append([None if record[place] in missing else record[place] for place in places])
            if len(block) == PIECE:
                yield first, _frame(block, inputs, pl.String)
                first, block = first + len(block), []
    except csv.Error as error:
        raise DataError(f"{name}: line {reader.line_num + 1}: is not valid CSV: {error}") from None
    if block:
        yield first, _frame(block, inputs, pl.String)


def _places(header: Sequence[str], inputs: Sequence[Column], name: str) -> list[int]:
    absent = [column.name for column in inputs if column.name not in header]
    if absent:
        near = nearest(absent[0], header)
        raise DataError(
            f"{name}: no column {', '.join(map(repr, absent[:10]))}.{near} The file has: {', '.join(header[:30])}"
        )
    twice = [column.name for column in inputs if header.count(column.name) > 1]
    if twice:
        raise DataError(f"{name}: the column {twice[0]!r} stands twice in the header. Give every column its own name.")
    return [header.index(column.name) for column in inputs]


def _frame(block: Sequence[Sequence[Any]], inputs: Sequence[Column], kind: Any) -> polars.DataFrame:
    import polars as pl

    return pl.DataFrame(
        {column.name: pl.Series([record[place] for record in block], dtype=kind) for place, column in enumerate(inputs)}
    )


def _json_lines(text: IO[str], name: str, inputs: Sequence[Column]) -> Iterator[Piece]:
    """One object a line; an absent field is a missing value, but each input must stand in some row of the first piece."""
    first = 1
    block: list[dict[str, Any]] = []
    seen: set[str] = set()

    def piece() -> Piece:
        if first == 1:
            _places(sorted(seen), inputs, name)
        return first, _typed(block, inputs, name, first)

    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{name}: line {number}: is not JSON: {str(error)[:120]}. Write one object a line."
            ) from None
        if not isinstance(record, dict):
            raise DataError(
                f'{name}: line {number}: must be an object such as {{"column": 1}} (got {line.strip()[:60]})'
            )
        if first == 1:
            seen.update(record)
        block.append(record)
        if len(block) == PIECE:
            yield piece()
            first, block = first + len(block), []
    if block:
        yield piece()
    elif first == 1:
        raise DataError(f"{name}: is empty. Expected one JSON object a line")


def _typed(block: Sequence[Mapping[str, Any]], inputs: Sequence[Column], name: str, first: int) -> polars.DataFrame:
    """JSON values as columns: numbers and booleans keep their kind, a mixture becomes text."""
    import polars as pl

    columns = {}
    for column in inputs:
        values = [record.get(column.name) for record in block]
        if column.type == "sequence":  # read as from a table's text
            values = [json.dumps(value) if isinstance(value, list) else value for value in values]
        kinds = {type(value) for value in values if value is not None}
        for place, value in enumerate(values):
            if isinstance(value, (dict, list)):
                raise DataError(
                    f"{name}: row {first + place}: {column.name}: must be one value (got {str(value)[:60]})"
                )
        if kinds <= {bool}:
            columns[column.name] = pl.Series(values, dtype=pl.Boolean)
        elif kinds <= {int, float}:
            columns[column.name] = pl.Series(
                [None if value is None else _float(value) for value in values], dtype=pl.Float64
            )
        else:
            columns[column.name] = pl.Series(
                [_spelt(value, comma=column.reading.decimal_comma) for value in values], dtype=pl.String
            )
    return pl.DataFrame(columns)


def _float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _spelt(value: Any, *, comma: bool) -> str | None:
    """A value of a mixed column as text; numbers as the column's own texts are spelt."""
    if value is None or isinstance(value, str):
        # a lone surrogate is legal in JSON and nowhere else
        return value.encode("utf-8", "replace").decode() if value else value
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f"{_float(value):.15g}"
    return text.replace(".", ",") if comma else text


def with_images(frame: polars.DataFrame, inputs: Sequence[Column], source: Path | None) -> polars.DataFrame:
    """The frame, paths of image columns read, relative to the file's folder as in training; base64 stays for `read`."""
    from modelyard.prepare import pictures

    names = [column.name for column in inputs if column.type == "image"]
    if not names or source is None:
        return frame
    return frame.with_columns(*pictures.from_paths(frame.select(names), source.parent).get_columns())


def _parquet(source: Path, inputs: Sequence[Column]) -> Iterator[Piece]:
    import polars as pl

    try:
        scan = pl.scan_parquet(source, glob=False, hive_partitioning=False)
        _places(scan.collect_schema().names(), inputs, str(source))
        scan = scan.select([column.name for column in inputs])
        height = scan.select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{source}: is not a readable Parquet file: {str(error).splitlines()[0][:200]}") from None
    for start in range(0, height, PIECE):
        yield start + 1, scan.slice(start, PIECE).collect()


def read(frame: polars.DataFrame, inputs: Sequence[Column], name: str, first: int) -> Rows:
    """Columns in the model's types, read as training read them; DataError where a value that is there cannot be read."""
    import polars as pl

    from modelyard.prepare import cleaning

    texts = [column.name for column in inputs if column.mended and frame.schema[column.name] == pl.String]
    frame = cleaning.mend_text(frame, texts)[0]
    found = {column.name: _in_type(frame[column.name], column) for column in inputs}
    faults: list[str] = []
    for column in inputs:
        faults += _faults(frame[column.name], found[column.name], column, f"{name}: row", first)
    if faults:
        more = "\n…" if len(faults) > MOST_FAULTS else ""
        raise DataError("\n".join(faults[:MOST_FAULTS]) + f"{more}\nLeave a value empty where it is missing.")
    rows = from_frame(pl.DataFrame(found), {column.name: column.type for column in inputs})
    return Rows(
        {column.name: without_impossible(rows[column.name], column.reading.limits) for column in inputs}, len(rows)
    )


def _in_type(given: polars.Series, column: Column) -> polars.Series:
    """The values in the column's type, null where they are missing, cannot be read, or are infinite."""
    import polars as pl

    from modelyard.prepare.inference import in_type

    found = in_type(given, column.type, reading=column.reading)
    return pl.select(pl.when(found.is_finite()).then(found)).to_series() if column.type == "number" else found


def _faults(given: polars.Series, found: polars.Series, column: Column, place: str, first: int) -> list[str]:
    """A line for each value that cannot be read and does not count as missing, as it would have in training (the first 11)."""
    from modelyard.prepare.inference import plain_text, unread, unread_marks

    if column.type in ("category", "text"):
        return []
    wrong = unread(given, found)
    if not wrong.any():
        return []
    words = plain_text(given).str.strip_chars()
    wrong &= words.str.to_lowercase() != "nan"
    if column.reading.unread:
        wrong &= ~unread_marks(given).is_in(list(column.reading.unread))
    wrong = wrong.fill_null(False)
    if column.reading.messy and wrong.sum() <= MESSY * len(given):
        return []
    return [
        f"{place} {first + row}: {column.name}: must be a {expected(column)} (got {str(words[row])[:60]!r})"
        for row in wrong.arg_true()[: MOST_FAULTS + 1]
    ]
