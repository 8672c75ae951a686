"""`predict_file`: formats in and out, order, constant memory by pieces, and every bad file told with its row and column."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from serve_helpers import COLUMNS, make_records

from modelyard.errors import DataError, PackageError, UserError
from modelyard.predict import predict_file
from modelyard.predict.reading import PIECE
from modelyard.predictor import Predictor
from modelyard.rows import from_records

COUNT = PIECE + 76
"""Two pieces, the second not full."""


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    """More rows than a piece holds, with columns that the model does not know."""
    return [
        {"id": f"row-{number}", **record, "standing": "good"}
        for number, record in enumerate(make_records(COUNT, seed=4))
    ]


@pytest.fixture(scope="module")
def wanted(records: list[dict[str, Any]], model_folder: Path) -> list[dict[str, Any]]:
    """What the predictor answers."""
    known = [{column.name: record[column.name] for column in COLUMNS} for record in records]
    answers = Predictor.open(model_folder).answer(from_records(known, COLUMNS))
    return [
        {"answer": answer["answer"], **{f"probability_{name}": part for name, part in answer["probabilities"].items()}}
        for answer in answers
    ]


@pytest.fixture(scope="module")
def files(records: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The rows in every format."""
    folder, frame = tmp_path_factory.mktemp("rows"), pl.DataFrame(records)
    frame.write_csv(folder / "comma.csv")
    frame.write_csv(folder / "semicolon.csv", separator=";")
    frame.write_csv(folder / "tab.tsv", separator="\t")
    frame.write_ndjson(folder / "lines.jsonl")
    frame.with_columns(pl.col("joined").str.to_date()).write_parquet(folder / "rows.parquet")
    (folder / "zipped.csv.gz").write_bytes(gzip.compress((folder / "comma.csv").read_bytes()))
    (folder / "utf16.csv").write_bytes((folder / "comma.csv").read_text().encode("utf-16"))
    (folder / "marked.csv").write_bytes(b"\xef\xbb\xbf" + (folder / "comma.csv").read_bytes())
    return {file.name: file for file in folder.iterdir()}


NAMES = (
    "comma.csv",
    "semicolon.csv",
    "tab.tsv",
    "lines.jsonl",
    "rows.parquet",
    "zipped.csv.gz",
    "utf16.csv",
    "marked.csv",
)


@pytest.mark.parametrize("name", NAMES)
def test_every_format_in(
    name: str, files: dict[str, Path], wanted: list[dict[str, Any]], model_folder: Path, tmp_path: Path
) -> None:
    assert predict_file(model_folder, files[name], tmp_path / "out.parquet") == COUNT
    assert pl.read_parquet(tmp_path / "out.parquet").to_dicts() == wanted


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.jsonl", "out.parquet", "out.csv.gz", "new/folder/out.csv"])
def test_every_format_out(
    name: str, files: dict[str, Path], wanted: list[dict[str, Any]], model_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / name
    predict_file(model_folder, files["rows.parquet"], out)
    if name.endswith(".parquet"):
        found = pl.read_parquet(out)
    elif name.endswith(".jsonl"):
        found = pl.read_ndjson(out)
    else:
        found = pl.read_csv(out, separator="\t" if "tsv" in name else ",")
    assert found.to_dicts() == wanted
    assert [file.name for file in out.parent.iterdir()] == [out.name]  # nothing half-written stays


@pytest.mark.parametrize("name", ["comma.csv", "lines.jsonl"])
def test_standard_streams(
    name: str, files: dict[str, Path], wanted: list[dict[str, Any]], model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into, out = io.TextIOWrapper(files[name].open("rb")), io.StringIO()
    monkeypatch.setattr(sys, "stdin", into)
    monkeypatch.setattr(sys, "stdout", out)
    assert predict_file(model_folder, "-") == COUNT
    read = pl.read_ndjson if name.endswith("jsonl") else pl.read_csv
    assert read(out.getvalue().encode()).to_dicts() == wanted


def test_values_are_read_as_prepare_reads_them(model_folder: Path, tmp_path: Path) -> None:
    plain, fancy = tmp_path / "plain.csv", tmp_path / "fancy.csv"
    plain.write_text("age,job,member,joined,note\n1200,clerk,true,2002-08-22T11:26:25,late\n,,,,x\n")
    fancy.write_text(
        'note,joined,member,job,age\nlate,"Thu, 22 Aug 2002 18:26:25 +0700",Yes,clerk,"1,200"\nx,NA,?,null,N/A\n'
    )
    answers = []
    for file in (plain, fancy):
        predict_file(model_folder, file, tmp_path / "out.csv")
        answers.append((tmp_path / "out.csv").read_text())
    assert answers[0] == answers[1]


def test_a_header_alone_gives_a_header(model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("age,job,member,joined,note\n")
    assert predict_file(model_folder, tmp_path / "rows.csv", tmp_path / "out.csv") == 0
    assert (tmp_path / "out.csv").read_text() == "answer,probability_bad,probability_good\n"


HEAD = "age,job,member,joined,note\n"
BAD: list[tuple[str, str | bytes, str]] = [
    ("empty.csv", "", "is empty"),
    ("empty.jsonl", "", "is empty"),
    ("absent_column.csv", "Age,job,member,joined,note\n1,a,true,,x\n", "no column 'age'. Did you mean 'Age'"),
    ("twice.csv", "age,age,job,member,joined,note\n1,1,a,true,,x\n", "'age' stands twice"),
    ("wrong_number.csv", HEAD + "1,a,true,,x\nold,a,true,,x\n", "row 2: age: must be a number .got 'old'"),
    ("wrong_boolean.csv", HEAD + "1,a,perhaps,,x\n", "row 1: member: must be a boolean"),
    ("wrong_date.csv", HEAD + "1,a,true,someday,x\n", "row 1: joined: must be a date"),
    ("short_row.csv", HEAD + "1,a,true,,x\n1,a\n", "row 2 .line 3. has 2 fields where the header has 5"),
    ("open_quote.csv", HEAD + '1,a,true,,"x\n1,a,true,,y\n', "must be|fields|not valid"),
    ("binary.csv", bytes(range(256)) * 50, "none of the encodings"),
    ("not_json.jsonl", '{"age": 1}\n{', "line 2: is not JSON"),
    ("list.jsonl", "[1, 2]\n", "line 1: must be an object"),
    ("absent_field.jsonl", '{"age": 1, "job": "a", "member": true, "joined": null}\n', "no column 'note'"),
    (
        "nested.jsonl",
        '{"age": [1], "job": "a", "member": true, "joined": null, "note": "x"}\n',
        "row 1: age: must be one value",
    ),
    ("not_parquet.parquet", "age,job\n", "not a readable Parquet"),
    ("not_gzip.csv.gz", HEAD + "1,a,true,,x\n", "not a readable gzip"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD, ids=[case[0] for case in BAD])
def test_bad_files(name: str, content: str | bytes, message: str, model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    out = tmp_path / "out" / "answers.csv"
    with pytest.raises(DataError, match=message) as error:
        predict_file(model_folder, tmp_path / name, out)
    assert name in str(error.value)
    assert not out.exists()
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


def test_bad_arguments(model_folder: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(HEAD + "1,a,true,,x\n")
    for source, out, message in (
        (tmp_path / "row.csv", None, "Did you mean 'rows.csv'"),
        (tmp_path, None, "ending|folder"),
        (tmp_path / "rows.xlsx", None, "ending is not known"),
        (rows, tmp_path / "out.xlsx", "ending is not known"),
        (rows, rows, "the file of rows itself"),
        (rows, rows / "below.csv", "cannot be written"),
    ):
        with pytest.raises(UserError, match=message):
            predict_file(model_folder, source, out)
    with pytest.raises(PackageError):
        predict_file(tmp_path / "none", rows, tmp_path / "out.csv")
    assert json.dumps(rows.read_text()) == json.dumps(HEAD + "1,a,true,,x\n")


def test_a_place_without_polars_is_told_the_cure(model_folder: Path, tmp_path: Path) -> None:
    """As in a package's own environment, which serves without it."""
    (tmp_path / "rows.csv").write_text(HEAD + "1,a,true,,x\n")
    program = "import sys; sys.modules['polars'] = None; from modelyard.cli import main; main()"
    command = [sys.executable, "-c", program, "predict", str(model_folder), str(tmp_path / "rows.csv")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith("error: ") and "pip install polars" in ended.stderr
    assert "Traceback" not in ended.stderr and ended.stdout == ""


def test_an_unnamed_column_is_called_as_prepare_calls_it(tmp_path: Path) -> None:
    from modelyard.predict import reading
    from modelyard.prepare.sources.csv import Part as Csv
    from modelyard.rows import Column

    path = tmp_path / "rows.csv"
    path.write_text("x,,label\n1,a,yes\n2,b,no\n")
    inputs = (Column(name="x", type="number"), Column(name="unnamed_2", type="category", values=("a", "b")))
    with path.open("rb") as file:
        ((first, frame),) = reading.pieces(path, file, "csv", inputs, ("",))
    trained = Csv().read(path, ())
    assert first == 1 and frame["unnamed_2"].to_list() == trained["unnamed_2"].to_list() == ["a", "b"]
