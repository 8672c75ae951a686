"""Answers for a file of rows: CSV, JSON Lines or Parquet in, `answer` and `probability_<class>` out, in the order of the input.

Values are read as the prepare stage read the training data (missing words, dates, numbers with separators), by what it found in
whole columns and the model carries: a decimal comma, whether the day stands before the month, possible numbers, texts that could
not be read and counted as missing. So a row of the source file gets the answer it would have got in the build, in whatever piece
it stands. Any other value that cannot be read, and every infinity, ends the work with its row and column; in a column that was
messy in training it counts as missing too, unless most of a piece is such.

Rows stream through in pieces: memory does not grow with the file. Columns that the model does not know are left alone; the output
appears whole or not at all.

`reading` and `writing` know the formats. It knows nothing about HTTP, and nothing about where the package came from.
"""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import DataError, RequestError, UserError, nearest

if TYPE_CHECKING:
    import polars

    from modelyard.predictor import Predictor

FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


def predict_file(package: Path, rows: Path | str, out: Path | None = None, *, force: bool = False) -> int:
    """Answer the rows of a file (or of standard input, `-`) into `out` (or standard output); returns how many.

    The ending gives the format: `.csv .tsv .jsonl .ndjson` (also `.gz`), `.parquet`; on standard input JSON Lines and CSV are told
    apart. Without `out` the answers are written in the input's format, Parquet as CSV. DataError names file, row and column.
    """
    _refuse_bare_place()
    from modelyard.predict import reading, writing
    from modelyard.serve.opening import Bare, open_model

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
    words = None if isinstance(opened, Bare) else opened.manifest.missing
    missing = reading.MISSING if words is None else words
    with reading.opened(source) as file:
        shape = shape or reading.sniff(file)
        target = target or ("csv" if shape == "parquet" else shape)
        header = ["answer", *(f"probability_{name}" for name in classes)]
        with (
            contextlib.closing(reading.pieces(source, file, shape, inputs, missing)) as pieces,
            writing.writer(out, target, header, text=bool(classes)) as write,
        ):
            count = 0
            try:
                for first, frame in pieces:
                    answers = _answers(predictor, frame, source, first)
                    write(
                        [[answer["answer"], *(answer["probabilities"][name] for name in classes)] for answer in answers]
                    )
                    count += len(answers)
                if not count:
                    write([])  # a file without rows is answered by a header
            except UnicodeDecodeError as error:
                raise DataError(f"{reading.called(source)}: is not UTF-8 ({error.reason}). Save it as UTF-8.") from None
    return count


def _answers(predictor: Predictor, frame: polars.DataFrame, source: Path | None, first: int) -> list[dict[str, Any]]:
    """Answers of a piece; DataError with file, row and column where an image cannot be read."""
    from modelyard.predict import reading

    inputs, name = predictor.state.inputs, reading.called(source)
    rows = reading.read(reading.with_images(frame, inputs, source), inputs, name, first)
    try:
        return predictor.answer(rows)
    except RequestError as error:
        told = "\n".join(f"{name}: row {first + row}: {field}: {message}" for row, field, message in error.faults)
        raise DataError(told) from None


def _refuse_bare_place() -> None:
    """Files need polars, which a package's own requirements leave out: its service reads JSON."""
    if importlib.util.find_spec("polars") is None:
        raise UserError(
            "yard predict reads files with polars, which is not installed here (serving does not need it). "
            "Run: pip install polars, or send the rows to the running service."
        )


def _format(path: Path, what: str) -> str:
    """The format a file's ending names."""
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    found = FORMATS.get(plain.suffix.lower())
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
