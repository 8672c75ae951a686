"""Columns of numeric series through prepare: lists and JSON texts, what is no series, copies, and tables that hold a list beside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from prepare_helpers import run, split, whole

from modelyard.prepare import inference
from modelyard.rows import from_frame
from tests import toys


def write(folder: Path, frame: pl.DataFrame, shape: str) -> str:
    """The frame as a file; CSV has lists as JSON texts."""
    place = folder / f"rows.{shape}"
    if shape == "parquet":
        frame.write_parquet(place)
    elif shape == "jsonl":
        frame.write_ndjson(place)
    else:
        texts = [json.dumps(value) for value in frame["wave"].to_list()]
        frame.with_columns(wave=pl.Series(texts)).write_csv(place)
    return place.name


@pytest.mark.parametrize("shape", ["parquet", "jsonl", "csv"])
def test_series_are_found_in_every_format(tmp_path: Path, shape: str) -> None:
    frame = toys.waves(80)
    record = run(tmp_path, write(tmp_path, frame, shape), "label")
    assert record.task == "sequence-classification" and record.inputs_types() == {"wave": "sequence"}
    assert 12 <= record.column("wave").facts["steps"]["0.5"] <= 40
    assert whole(tmp_path)["wave"].dtype == pl.List(pl.Float64)
    assert whole(tmp_path).sort("__row__")["wave"].to_list() == frame["wave"].to_list()


def test_several_channels_come_out_as_rows_hold_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    series = [rng.normal(size=(length, 3)).round(3).tolist() for length in rng.integers(4, 9, 60)]
    frame = pl.DataFrame({"motion": series, "label": ["walk", "run"] * 30})
    frame.write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet", "label")
    assert record.column("motion").type == "sequence"
    part = split(tmp_path, "train")
    rows = from_frame(part, {"motion": "sequence"})
    for place, number in enumerate(part["__row__"].to_list()):
        np.testing.assert_allclose(rows["motion"][place], np.array(series[number], dtype=np.float32))
    assert rows.record(0)["motion"] == rows["motion"][0].tolist()


CASES: list[tuple[str, list[Any], list[Any]]] = [
    ("flat lists", [[1.0, 2.0], [3.5]], [[1.0, 2.0], [3.5]]),
    ("gaps", [[1, None, 2], None], [[1.0, None, 2.0], None]),
    ("an empty list", [[], [1.0, 2.0]], [None, [1.0, 2.0]]),
    ("JSON texts", ["[1, 2]", "[3, null]", "nonsense", ""], [[1.0, 2.0], [3.0, None], None, None]),
    ("channels", [[[1, 2], [3, 4]], [[5, 6]]], [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]]]),
    ("another number of channels", [[[1, 2]], [[1, 2], [3, 4]], [[1, 2, 3]]], [[[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]], None]),
    ("steps of different widths", [[[1, 2], [3]], [[1, 2]]], [None, [[1.0, 2.0]]]),
    ("one channel in lists of one", [[[1], [2]], [[3]]], [[1.0, 2.0], [3.0]]),
    ("what float32 cannot hold", [[1.0, float("inf")], [float("nan"), 1e300]], [[1.0, None], [None, None]]),
    ("texts and flags", ["[true, false]", '["a"]', "[1]"], [None, None, [1.0]]),
]  # fmt: skip


@pytest.mark.parametrize(("values", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_convert(values: list[Any], expected: list[Any]) -> None:
    found, lost = inference.convert(pl.Series("x", values), "sequence")
    assert found.to_list() == expected
    present = sum(value is not None and value != "" for value in values)
    assert lost == present - sum(value is not None for value in expected)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([[float(n), 1.0] for n in range(60)], "sequence"),
        ([[n] for n in range(60)], "ignore"),
        ([["a", "b"] for _ in range(60)], "ignore"),
        ([[[n, 1], [2, 3]] for n in range(60)], "sequence"),
        ([f"[{n}, 2.5, -1e3, null]" for n in range(60)], "sequence"),
        ([f"[{n}, [1]]" for n in range(60)], "sequence"),
        ([f'{{"a": {n}}}' for n in range(60)], "ignore"),
        (["[see below]"] * 30 + ["[sic]"] * 30, "category"),
    ],
)
def test_guess(values: list[Any], kind: str) -> None:
    assert inference.guess(pl.Series("x", values)).type == kind


def test_what_is_no_series_is_missing_and_counted(tmp_path: Path) -> None:
    frame = toys.waves(60)
    series = frame["wave"].to_list()
    series[3] = []
    emptied = frame.with_columns(wave=pl.Series(series, dtype=pl.List(pl.Float64)))
    emptied.write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet", "label")
    (step,) = [step for step in record.cleaning if step.name == "unreadable"]
    assert (step.column, step.before, step.detail) == ("wave", 1, {"type": "sequence"})
    assert record.column("wave").missing == 1 and record.column("wave").reading.unread == ()


def test_copies_of_a_series_never_stand_on_both_sides(tmp_path: Path) -> None:
    frame = toys.waves(60)
    sides = pl.Series(["left"] * 60 + ["right"] * 60)  # or the rows would be repeats
    pl.concat([frame, frame]).with_columns(recorder=sides).write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet", "label")
    assert record.task == "sequence-classification" and record.column("recorder").role == "ignored"
    assert record.duplicates["exact"] == 60 and record.duplicates["clusters"] == 60
    rows = whole(tmp_path).with_columns(number=pl.col("__row__") % 60)
    assert set(rows.group_by("number").agg(pl.col("side").n_unique())["side"]) == {1}


def test_a_list_beside_numbers_leaves_a_table_a_table(tmp_path: Path) -> None:
    frame = toys.table(200).drop("price").with_columns(trace=pl.Series([[1.0, float(n)] for n in range(200)]))
    frame.write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet", "status")
    assert record.task == "tabular-classification"
    assert record.column("trace").type == "sequence" and record.column("trace").role == "input"
