"""Answers for a file of rows: CSV, JSON Lines or Parquet in, `answer` and `probability_<class>` out, in the order of the input.

Values are read as the prepare stage read the training data (missing words, dates, numbers with separators), so that a row of
the source file gets the answer it would have got in the build. Rows stream through in pieces: memory does not grow with the
file. Columns that the model does not know are left alone; the output appears whole or not at all.

It knows nothing about HTTP, and nothing about where the package came from.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from modelyard.blueprint.sections import Data
from modelyard.errors import DataError, UserError, nearest
from modelyard.rows import Column, Rows, from_frame
from modelyard.store import replacing

if TYPE_CHECKING:
    import polars

PIECE = 1024
"""Rows read and answered at a time: large enough for arrays to pay, small enough for long texts."""
MISSING: tuple[str, ...] = Data.model_fields["missing"].default
"""Texts in a CSV file that mean missing: those of a blueprint that does not say otherwise."""
MOST_FAULTS = 10
MESSY_DATES = 0.5
"""Dates that cannot be read count as missing, as they did in training (mail headers are full of them), unless they are most of them."""
_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_DELIMITERS = (",", ";", "\t", "|")
_KINDS = {"number": "number", "boolean": "boolean (true or false)", "date": "date such as 2026-01-31"}

Piece = tuple[int, "polars.DataFrame"]
"""Number of its first row in the file, counted from 1, and the rows."""


def predict_file(package: Path, rows: Path | str, out: Path | None = None, *, force: bool = False) -> int:
    """Answer the rows of a file (or of standard input, `-`) into `out` (or standard output); returns how many.

    The ending gives the format: `.csv .tsv .jsonl .ndjson` (also `.gz`), `.parquet`; on standard input JSON Lines and CSV are told
    apart. Without `out` the answers are written in the input's format, Parquet as CSV. DataError names file, row and column.
    """
    from modelyard.serve.opening import open_model

    source = None if str(rows) == "-" else Path(rows)
    shape = _format(source, "rows") if source else ""
    target = _format(out, "-o") if out else ""
    if source:
        _refuse_absent(source)
    if out:
        _refuse_output(out, source)
    opened = open_model(package, force=force)
    predictor = opened.predictor
    inputs, classes = predictor.state.inputs, predictor.state.classes
    with _opened(source) as file:
        shape = shape or _sniff(file)
        target = target or ("csv" if shape == "parquet" else shape)
        header = ["answer", *(f"probability_{name}" for name in classes)]
        with (
            contextlib.closing(_pieces(source, file, shape, inputs)) as pieces,
            _writer(out, target, header, text=bool(classes)) as write,
        ):
            count = 0
            try:
                for first, frame in pieces:
                    answers = predictor.answer(_read(frame, inputs, _name(source), first))
                    write(
                        [[answer["answer"], *(answer["probabilities"][name] for name in classes)] for answer in answers]
                    )
                    count += len(answers)
            except UnicodeDecodeError as error:
                raise DataError(f"{_name(source)}: is not UTF-8 ({error.reason}). Save it as UTF-8.") from None
    return count


def _name(path: Path | None) -> str:
    return str(path) if path else "standard input"


def _format(path: Path, what: str) -> str:
    """The format a file's ending names."""
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    found = _FORMATS.get(plain.suffix.lower())
    if found is None or (found == "parquet" and plain != path):
        raise UserError(
            f"{what} {path}: the ending is not known. Allowed: .csv .tsv .jsonl .ndjson (also .gz), .parquet"
        )
    return found


def _refuse_absent(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path} is a folder. Name one file of rows.")
    if not path.exists():
        near = nearest(path.name, [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else [])
        raise UserError(f"no file {str(path)!r}.{near}")


def _refuse_output(out: Path, source: Path | None) -> None:
    if out.is_dir():
        raise UserError(f"-o {out} is a folder. Name a file in it, such as {out / 'answers.csv'}.")
    if source and out.exists() and out.samefile(source):
        raise UserError(f"-o {out} is the file of rows itself. Name another.")


@contextlib.contextmanager
def _opened(source: Path | None) -> Iterator[BinaryIO]:
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


def _sniff(file: Any) -> str:
    """JSON Lines or CSV, from the first bytes of standard input."""
    start = file.peek(1 << 12).lstrip()
    if start.startswith(b"PAR1"):
        raise UserError("Parquet cannot be read from standard input. Name the file.")
    return "jsonl" if start.startswith((b"{", b"\xef\xbb\xbf{")) else "csv"


def _pieces(source: Path | None, file: BinaryIO, shape: str, inputs: Sequence[Column]) -> Generator[Piece, None, None]:
    """Pieces of the file as frames that have every input column; DataError where one is absent."""
    readers: dict[str, Callable[..., Iterator[Piece]]] = {"csv": _delimited, "tsv": _delimited, "jsonl": _json_lines}
    if shape == "parquet":
        assert source is not None
        yield from _parquet(source, inputs)
    else:
        with _text(file, _name(source)) as text:
            yield from readers[shape](text, _name(source), inputs, tab=shape == "tsv")


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


def _delimited(text: IO[str], name: str, inputs: Sequence[Column], *, tab: bool) -> Iterator[Piece]:
    """CSV or TSV; the delimiter is the one that finds most input columns in the header."""
    import polars as pl

    csv.field_size_limit(2**31 - 1)
    wanted = {column.name for column in inputs}
    lines = iter(text)
    head = next((line for line in lines if line.strip()), "")
    if not head:
        raise DataError(f"{name}: is empty. Expected a header with {', '.join(sorted(wanted))}")
    choices = ("\t",) if tab else _DELIMITERS

    def cut(delimiter: str) -> list[str]:
        return [field.strip() for field in next(csv.reader([head], delimiter=delimiter), [])]

    delimiter = max(choices, key=lambda each: (len(wanted & set(cut(each))), len(cut(each)) if each == "," else 0))
    header = cut(delimiter)
    places = _places(header, inputs, name)
    reader = csv.reader(
        lines, delimiter=delimiter, strict=True
    )  # strict: a quotation mark that is never closed is an error
    first = 1
    block: list[list[str | None]] = []
    missing = set(MISSING)
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


def _json_lines(text: IO[str], name: str, inputs: Sequence[Column], *, tab: bool) -> Iterator[Piece]:
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
            columns[column.name] = pl.Series([_spelt(value) for value in values], dtype=pl.String)
    return pl.DataFrame(columns)


def _float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _spelt(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        # a lone surrogate is legal in JSON and nowhere else
        return value.encode("utf-8", "replace").decode() if value else value
    return ("true" if value else "false") if isinstance(value, bool) else f"{value:.15g}"


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


def _read(frame: polars.DataFrame, inputs: Sequence[Column], name: str, first: int) -> Rows:
    """Columns in the model's types; DataError where a value that is there cannot be read."""
    import polars as pl

    from modelyard.prepare.inference import convert

    columns: dict[str, polars.Series] = {}
    faults: list[str] = []
    for column in inputs:
        given = frame[column.name].alias(column.name)
        try:
            found = convert(given, column.type)[0]
        except DataError:  # no value at all could be read; told below with its row
            found = pl.Series(column.name, [None] * len(given), dtype=pl.Float64)
        if column.type == "number":
            found = pl.select(pl.when(found.is_finite()).then(found)).to_series()
        columns[column.name] = found.alias(column.name)
        if column.type in _KINDS:
            words = given.cast(pl.String, strict=False).str.strip_chars()
            unread = (
                given.is_not_null() & (words != "") & (words.str.to_lowercase() != "nan") & found.is_null()
            ).fill_null(False)
            if column.type == "date" and unread.sum() <= MESSY_DATES * len(given):
                continue
            faults += [
                f"{name}: row {first + place}: {column.name}: must be a {_KINDS[column.type]} (got {str(words[place])[:60]!r})"
                for place in unread.arg_true()[: MOST_FAULTS + 1]
            ]
    if faults:
        more = "\n…" if len(faults) > MOST_FAULTS else ""
        raise DataError("\n".join(faults[:MOST_FAULTS]) + f"{more}\nLeave a value empty where it is missing.")
    return from_frame(pl.DataFrame(columns), {column.name: column.type for column in inputs})


Write = Callable[[Sequence[Sequence[Any]]], None]


@contextlib.contextmanager
def _writer(out: Path | None, shape: str, header: Sequence[str], *, text: bool) -> Iterator[Write]:
    """A function that takes rows of values; the file is in place once the block ends without an error."""
    if out is None:
        with contextlib.suppress(BrokenPipeError):  # `| head` has seen enough
            yield _rows_to(sys.stdout, shape, header)
            sys.stdout.flush()
        return
    try:
        with replacing(out) as temporary:
            if shape == "parquet":
                with tempfile.TemporaryDirectory(prefix="modelyard-predict-") as folder:
                    plain = Path(folder, "answers.csv")
                    with plain.open("w", encoding="utf-8", newline="") as file:
                        yield _rows_to(file, "csv", header)
                    _to_parquet(plain, temporary, header, text=text)
            else:
                with _open_text(temporary, zipped=out.suffix.lower() == ".gz") as file:
                    yield _rows_to(file, shape, header)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise UserError(f"-o {out} cannot be written: {error.strerror}") from None


def _open_text(path: Path, *, zipped: bool) -> IO[str]:
    if zipped:
        return gzip.open(path, "wt", encoding="utf-8", newline="")
    return path.open("w", encoding="utf-8", newline="")


def _rows_to(file: IO[str], shape: str, header: Sequence[str]) -> Write:
    if shape == "jsonl":

        def lines(rows: Sequence[Sequence[Any]]) -> None:
            for row in rows:
                file.write(json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False) + "\n")

        return lines
    writer = csv.writer(file, delimiter="\t" if shape == "tsv" else ",", lineterminator="\n")
    writer.writerow(header)
    return writer.writerows


def _to_parquet(plain: Path, target: Path, header: Sequence[str], *, text: bool) -> None:
    """The finished CSV as Parquet, streamed; `answer` is text or a number, as the task says and not as it looks."""
    import polars as pl

    schema: dict[str, Any] = dict.fromkeys(header, pl.Float64)
    schema["answer"] = pl.String if text else pl.Float64
    pl.scan_csv(plain, schema=schema, glob=False).sink_parquet(target)
