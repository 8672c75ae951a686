"""Files, encodings, delimiters, globs, folders, given splits and frames come out as the same rows."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from prepare_helpers import blueprint, run, split, table, whole

from modelyard.prepare import reading
from modelyard.prepare.sources import _encoding
from modelyard.prepare.sources.csv import Part as Csv

TEXT = "name,town,y\nMüller,Köln,a\nLefèvre,Orléans,b\n"
CHINESE = "评论,y\n这家餐厅的味道非常好\uff0c服务也很周到。,好\n等了一个小时\uff0c菜还是冷的\uff0c很失望。,差\n"


def load(folder: Path, source: Any, **data: Any) -> reading.Loaded:
    return reading.load(blueprint(folder, source, data=data).data, folder)


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        (TEXT, "utf-8", "utf-8"), (TEXT, "utf-8-sig", "utf-8-sig"), (TEXT, "utf-16", "utf-16"), (TEXT, "utf-16-le", "utf-16-le"), (TEXT, "cp1252", "cp1252"),
        (CHINESE, "utf-8", "utf-8"), (CHINESE, "gb18030", "gb18030"), (CHINESE, "utf-16", "utf-16"),
    ],
)  # fmt: skip
def test_encodings_are_found_and_said(tmp_path: Path, text: str, encoding: str, found: str) -> None:
    (tmp_path / "rows.csv").write_bytes(text.encode(encoding))
    loaded = load(tmp_path, "rows.csv")
    assert loaded.files[0]["encoding"] == found
    assert loaded.frame.rows()[0] == tuple(text.splitlines()[1].split(","))


def test_western_accents_are_not_read_as_chinese() -> None:
    text = "déjà vu, où est la forêt? Übermäßig süß; señor, ação, naïve façade\n" * 20
    assert _encoding.decode(text.encode("cp1252"), "x") == (text, "cp1252")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(tmp_path: Path, delimiter: str) -> None:
    rows = [["a", "b c", "y"], ["1", 'say "hi", you;|\t', "u"], ["2", "two\nlines", "v"]]
    text = "\n".join(delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows)
    (tmp_path / "rows.csv").write_text(text)
    frame = Csv().read(tmp_path / "rows.csv", ("",))
    assert frame.rows() == [tuple(row) for row in rows[1:]]
    assert Csv().facts(tmp_path / "rows.csv")["delimiter"] == delimiter


def test_a_sentence_with_commas_in_one_column(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_text("text\ty\nwell, yes, no\ta\nso, so\tb\n")
    assert load(tmp_path, "rows.tsv").frame.rows() == [("well, yes, no", "a"), ("so, so", "b")]


def test_missing_words_and_unnamed_columns(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(" x ,,y\n1,NA,a\n?,2,b\n")
    frame = load(tmp_path, "rows.csv").frame
    assert frame.columns == ["x", "unnamed_2", "y"]
    assert frame.rows() == [("1", None, "a"), (None, "2", "b")]
    assert load(tmp_path, "rows.csv", missing=["1"]).frame.rows()[0] == (None, "NA", "a")


def test_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    frame = table(50)
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_csv(tmp_path / "b.csv")
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress((tmp_path / "b.csv").read_bytes()))
    frame.write_ndjson(tmp_path / "d.jsonl")
    for name in ("a.parquet", "b.csv", "c.csv.gz", "d.jsonl"):
        run(tmp_path, name, out=name + ".build")
    expected = whole(tmp_path, "a.parquet.build")
    for name in ("b.csv", "c.csv.gz", "d.jsonl"):
        assert_frame_equal(whole(tmp_path, name + ".build"), expected, check_column_order=True)


def test_jsonl_keeps_types_and_nests_as_text(tmp_path: Path) -> None:
    rows = [
        {"a": 1, "b": True, "c": {"d": [1]}, "e": 1},
        {"a": 2.5, "e": "x"},
        {"a": None, "b": False, "f": "späť\u2028"},
    ]
    (tmp_path / "rows.jsonl").write_text(
        "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n", encoding="utf-8"
    )
    frame = load(tmp_path, "rows.jsonl").frame
    assert frame.schema == {"a": pl.Float64, "b": pl.Boolean, "c": pl.String, "e": pl.String, "f": pl.String}
    assert frame["c"].to_list() == ['{"d": [1]}', None, None]
    assert frame["e"].to_list() == ["1", "x", None]
    assert frame["f"].to_list() == [None, None, "späť\u2028"]


def test_lists_globs_and_folders_are_joined_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    (folder / "deep").mkdir(parents=True)
    (folder / "one.csv").write_text("x,y\n1,a\n2,b\n")
    (folder / "two.jsonl").write_text('{"y": "a", "z": true}\n')
    pl.DataFrame({"x": [7], "y": ["b"]}).write_parquet(folder / "deep" / "three.parquet")
    (folder / "notes.md").write_text("not data")
    (folder / ".hidden.csv").write_text("q\n1\n")
    expected = {("1", "a", None), ("2", "b", None), (None, "a", True), ("7", "b", None)}
    for source in (
        "many",
        ["many/one.csv", "many/two.jsonl", "many/deep/three.parquet"],
        ["many/*.*", "many/deep"],
        "many/**/*",
    ):
        loaded = load(tmp_path, source)
        assert set(loaded.frame.select("x", "y", pl.col("z")).rows()) == expected, source
        assert sum(file["rows"] for file in loaded.files) == 4


@pytest.mark.parametrize("form", ["files", "folders", "keys"])
def test_given_splits(tmp_path: Path, form: str) -> None:
    frame = table(200)
    pieces = {"train": frame[:120], "valid": frame[120:160], "test": frame[160:]}
    folder = tmp_path / "given"
    folder.mkdir()
    for name, piece in pieces.items():
        place = folder / f"{name}.parquet" if form != "folders" else folder / name / "part.parquet"
        place.parent.mkdir(exist_ok=True)
        piece.write_parquet(place)
    if form == "keys":
        record = run(
            tmp_path, "given/train.parquet", data={"validation": "given/valid.parquet", "test": "given/test.parquet"}
        )
    else:
        record = run(tmp_path, "given")
    assert {name: card.rows for name, card in record.splits.items()} == {"train": 120, "validation": 40, "test": 40}
    assert record.split_by == "files"
    assert [file["split"] for file in record.source["files"]] == (["train", "validation", "test"])
    assert_frame_equal(split(tmp_path, "test").select("x"), pieces["test"].select("x"))


def test_a_test_file_alone_leaves_validation_to_us(tmp_path: Path) -> None:
    table(200).write_parquet(tmp_path / "train.parquet")
    table(100, seed=1).write_parquet(tmp_path / "later.parquet")
    record = run(tmp_path, "train.parquet", data={"test": "later.parquet"})
    assert record.splits["test"].rows == 100
    assert record.splits["validation"].rows == pytest.approx(45, abs=2)
    assert "validation rows are held out" in record.split_reason


def test_polars_and_pandas_frames(tmp_path: Path) -> None:
    import pandas

    frame = table(100)
    odd = pandas.DataFrame({**{name: frame[name].to_list() for name in frame.columns}, "mixed": [1, "a"] * 50})
    first = run(tmp_path, "unused", frame=frame, out="polars")
    second = run(tmp_path, "unused", frame=odd.drop(columns="mixed"), out="pandas")
    assert_frame_equal(whole(tmp_path, "polars"), whole(tmp_path, "pandas"))
    assert (tmp_path / "polars" / "data" / "source.parquet").exists()
    assert first.columns == second.columns
    assert first.derived[0].path == "data.source"
    third = run(tmp_path, "unused", frame=odd, out="mixed")
    assert third.column("mixed").type == "category"
