"""Malformed inputs beyond those of `tests/test_messages.py`: one clear error each, that names the place and the cure."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from prepare_helpers import run, table

from modelyard.errors import DataError, UserError

GOOD = "x,y\n" + "".join(f"{number},{'a' if number % 2 else 'b'}\n" for number in range(40))


def parquet(frame: pl.DataFrame) -> bytes:
    import io

    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


FILES: list[tuple[str, str, bytes, list[str]]] = [
    ("blank file", "rows.csv", b"\n\n  \n", ["is empty"]),
    ("a quote never closed", "rows.csv", b'x,y\n1,"a\n2,b\n3,a\n', ["rows.csv"]),
    ("undecodable bytes", "rows.csv", b"x,y\n1,\x81\x8d\x8f\n2,b\n", ["gb18030", "cp1252", "UTF-8"]),
    ("null bytes", "rows.csv", b"x,y\n" + b"\x00\x01\x02\x00" * 400, ["null bytes"]),
    ("not gzip", "rows.csv.gz", b"x,y\n1,2\n", ["gzip"]),
    ("gzip cut short", "rows.csv.gz", gzip.compress(GOOD.encode())[:-20], ["gzip"]),
    ("Parquet cut short", "rows.parquet", parquet(table())[:-30], ["not a readable Parquet"]),
    ("Parquet without rows", "rows.parquet", parquet(table().head(0)), ["no rows"]),
    ("a line that is no object", "rows.jsonl", b'{"x": 1, "y": "a"}\n3\n', ["rows.jsonl:2:", "JSON object"]),
    ("our own column names", "rows.csv", b"__row__,y\n1,a\n2,b\n", ["__row__", "Rename"]),
    ("target always missing", "rows.csv", b"x,y\n1,\n2,NA\n", ["missing in every row"]),
    ("only the target", "rows.csv", b"y\n" + b"a\nb\n" * 30, ["no column is left"]),
    ("constant inputs", "rows.csv", b"x,y\n" + b"1,a\n1,b\n" * 30, ["no column is left", "same value"]),
    ("UTF-16 cut in half", "rows.csv", GOOD.encode("utf-16")[:-1], ["UTF-8"]),
]


@pytest.mark.parametrize(("name", "content", "said"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_files(tmp_path: Path, name: str, content: bytes, said: list[str]) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        run(tmp_path, name, prepare={"clean": {"repeats": "keep"}})
    for part in said:
        assert part in str(error.value)


BLUEPRINTS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("no target", {"target": None}, ["data.target: is required", "name the column"]),
    ("an unknown column typed", {"data": {"columns": {"xx": "number"}}}, ["data.columns", "'xx'", "Did you mean 'x'?"]),
    (
        "an unknown split column",
        {"prepare": {"split": {"by": "group", "column": "cc"}}},
        ["prepare.split.column", "Did you mean 'c'?"],
    ),
    ("an unknown sensitive column", {"audit": {"sensitive": ["age"]}}, ["audit.sensitive", "'age'"]),
    ("an unknown cost column", {"evaluate": {"costs": {"false_negative": "amount"}}}, ["evaluate.costs", "'amount'"]),
    ("an unknown slice", {"evaluate": {"slices": ["zz"]}}, ["evaluate.slices"]),
    ("limits of a category", {"prepare": {"clean": {"limits": {"c": [0, 1]}}}}, ["limits.c", "number"]),
    ("regression on text", {"task": "tabular-regression"}, ["not a number", "tabular-classification"]),
    ("text task without text", {"task": "text-classification"}, ["reads text", "data.columns"]),
    ("words as numbers", {"data": {"columns": {"c": "number"}}}, ["data.columns.c", "'"]),
    ("words as dates", {"data": {"columns": {"c": "date"}}}, ["data.columns.c"]),
    ("numbers as booleans", {"data": {"columns": {"x": "boolean"}}}, ["data.columns.x"]),
    ("time split by a category", {"prepare": {"split": {"by": "time", "column": "c"}}}, ["is no time"]),
    ("split words unknown", {"prepare": {"split": {"by": "column", "column": "c"}}}, ["Allowed: ", "train"]),
    ("everything ignored", {"data": {"columns": {"x": "ignore", "z": "ignore", "c": "ignore"}}}, ["no column is left"]),
]


@pytest.mark.parametrize(("given", "said"), [case[1:] for case in BLUEPRINTS], ids=[case[0] for case in BLUEPRINTS])
def test_blueprints_that_do_not_fit(tmp_path: Path, given: dict[str, Any], said: list[str]) -> None:
    table().write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(UserError) as error:
        run(tmp_path, "rows.parquet", **given)
    for part in said:
        assert part in str(error.value)


def test_no_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(GOOD)
    with pytest.raises(DataError, match=r"Did you mean 'rows\.csv'"):
        run(tmp_path, "row.csv")
    with pytest.raises(DataError, match="no file matches"):
        run(tmp_path, "*.parquet")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="holds no file"):
        run(tmp_path, "nothing")


def test_one_group_cannot_be_split(tmp_path: Path) -> None:
    table().with_columns(g=pl.lit("same")).write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="1 groups"):
        run(tmp_path, "rows.parquet", prepare={"split": {"by": "group", "column": "g"}})


def test_too_many_classes(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": [float(n) for n in range(2400)], "y": [f"class {n // 2}" for n in range(2400)]})
    frame.write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="1,200 classes"):
        run(tmp_path, "rows.parquet")


def test_a_class_that_only_comes_later(tmp_path: Path) -> None:
    frame = pl.DataFrame({"t": range(100), "x": [float(n % 7) for n in range(100)], "y": ["a", "b"] * 45 + ["c"] * 10})
    frame.write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="no training rows of 'c'"):
        run(tmp_path, "rows.parquet", prepare={"split": {"by": "time", "column": "t"}})


def test_a_frame_that_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as a table"):
        run(tmp_path, "unused", frame=object())
