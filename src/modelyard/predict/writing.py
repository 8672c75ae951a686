"""Answers into a file or standard output: CSV, TSV, JSON Lines, Parquet; whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from modelyard.errors import UserError
from modelyard.store import replacing

Write = Callable[[Sequence[Sequence[Any]]], None]


@contextlib.contextmanager
def writer(out: Path | None, shape: str, header: Sequence[str], *, text: bool) -> Iterator[Write]:
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
    ahead = [header]  # written with the first answers: an error before them leaves standard output empty

    def delimited(rows: Sequence[Sequence[Any]]) -> None:
        writer.writerows(ahead)
        ahead.clear()
        writer.writerows(rows)

    return delimited


def _to_parquet(plain: Path, target: Path, header: Sequence[str], *, text: bool) -> None:
    """The finished CSV as Parquet, streamed; `answer` is text or a number, as the task says and not as it looks."""
    import polars as pl

    schema: dict[str, Any] = dict.fromkeys(header, pl.Float64)
    schema["answer"] = pl.String if text else pl.Float64
    pl.scan_csv(plain, schema=schema, glob=False).sink_parquet(target)
