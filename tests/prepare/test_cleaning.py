"""Each step of cleaning on planted faults, and clean controls that stay as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from prepare_helpers import run, split, table, texts, whole

from modelyard import mending
from modelyard.predict import reading
from modelyard.prepare import cleaning
from modelyard.rows import Column, from_records


@pytest.mark.parametrize("text", ["café", "“quoted” — naïve", "Größe 42 €", "日本語", "Привет", "São Tomé, façade"])
@pytest.mark.parametrize("wrong", ["cp1252", "latin-1"])
def test_mojibake_is_mended(text: str, wrong: str) -> None:
    try:
        broken = text.encode().decode(wrong)
    except UnicodeDecodeError:
        broken = text.encode().decode("latin-1")
    assert mending.decode_again(broken) == text
    assert mending.decode_again(text) == text


@pytest.mark.parametrize(
    "text", ["CAFÉ", "SÃO PAULO", "Ärger", "â la carte", "Ã", "10 £ Â", "&eacute; &amp; stays", "naïve Ã© and also ü"]
)
def test_right_or_doubtful_texts_stay(text: str) -> None:
    assert mending.decode_again(text) == text


def test_control_characters_and_forms_are_counted(tmp_path: Path) -> None:
    lines = texts(100)
    lines[0] += "\x00\x08 end"
    lines[1] += " cafe\u0301"
    lines[2] += " cafÃ©"
    lines[3] += " \ufffd tab\tline\n &eacute;"
    pl.DataFrame({"t": lines, "y": ["a", "b"] * 50}).write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet")
    (step,) = (step for step in record.cleaning if step.name == "encodings")
    assert (step.before, step.after) == (3, 0)
    assert step.detail == {"mojibake": 1, "control_characters": 1, "unicode_forms": 1, "undecodable_kept": 1}
    mended = whole(tmp_path)["t"].to_list()
    assert [line[-4:] for line in mended[:3]] == [" end", "café", "café"]
    assert mended[3] == lines[3]
    assert run(tmp_path, "rows.parquet", prepare={"clean": {"encodings": False}}).cleaning == ()


@pytest.mark.parametrize("text", ["caf\u00c3\u00a9", "bell\x07", "cafe\u0301", "caf\u00e9", "plain", "\u65e5\u672c"])
def test_a_service_mends_as_the_file_was_mended(text: str) -> None:
    column = Column(name="t", type="text", mended=True)
    given = pl.DataFrame({"t": [text]})
    wanted = cleaning.mend_text(given, ["t"])[0]["t"][0]
    assert from_records([{"t": text}], [column])["t"][0] == wanted == reading.read(given, [column], "x", 1)["t"][0]
    plain = column.model_copy(update={"mended": False})
    assert from_records([{"t": text}], [plain])["t"][0] == text == reading.read(given, [plain], "x", 1)["t"][0]


def test_unanswered_rows_and_repeats(tmp_path: Path) -> None:
    frame = table(200)
    faulty = pl.concat(
        [
            frame,
            frame[:7],
            frame[7:10].with_columns(y=pl.lit(None, dtype=pl.String)),
            frame[10:12].with_columns(y=pl.lit(" ")),
        ]
    )
    faulty.write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet")
    steps = {step.name: (step.before, step.after) for step in record.cleaning}
    assert steps == {"missing_target": (212, 207), "repeats": (207, 200)}
    kept = run(tmp_path, "rows.parquet", prepare={"clean": {"repeats": "keep"}})
    assert kept.splits["train"].rows + kept.splits["validation"].rows + kept.splits["test"].rows == 207
    rows = whole(tmp_path)
    assert rows.group_by("__group__").agg(pl.col("side").n_unique())["side"].max() == 1


@pytest.mark.parametrize(("done", "rows", "missing"), [("missing", 200, 3), ("drop", 197, 0), ("keep", 200, 1)])
def test_impossible_values(tmp_path: Path, done: str, rows: int, missing: int) -> None:
    frame = table(200)
    values = frame["x"].to_list()
    values[:4] = [float("inf"), -50.0, 50.0, 9.0]
    frame.with_columns(x=pl.Series(values)).write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet", prepare={"clean": {"impossible": done, "limits": {"x": [-10, 10]}}})
    (step,) = (step for step in record.cleaning if step.name == "impossible")
    assert step.before == 3
    assert step.detail["infinite"] == 1
    written = whole(tmp_path)
    assert written.height == rows
    assert written["x"].null_count() == missing
    assert 9.0 in written["x"].to_list()


@pytest.mark.parametrize("done", ["keep", "clip"])
def test_outliers_are_clipped_in_training_rows_only(tmp_path: Path, done: str) -> None:
    frame = table(400)
    frame.with_columns(x=pl.when(pl.col("z") == 3).then(1e6).otherwise(pl.col("x"))).write_parquet(
        tmp_path / "rows.parquet"
    )
    record = run(tmp_path, "rows.parquet", prepare={"clean": {"outliers": done}})
    (step,) = (step for step in record.cleaning if step.name == "outliers" and step.column == "x")
    train, test = split(tmp_path, "train"), split(tmp_path, "test")
    assert step.before == (train["z"] == 3).sum()
    assert step.after == (0 if done == "clip" else step.before)
    assert (train["x"].max() == 1e6) == (done == "keep")
    assert test["x"].max() == 1e6
    if done == "clip":
        ordinary = np.array(pl.read_parquet(tmp_path / "rows.parquet").filter(pl.col("z") != 3)["x"])
        assert train["x"].max() < 10 * (ordinary.max() - ordinary.min())


def test_clean_data_stays_as_it_is(tmp_path: Path) -> None:
    table(200).write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet")
    assert record.cleaning == ()
    assert record.suspects == ()
    assert record.duplicates["clusters"] == 0
