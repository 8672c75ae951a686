"""The whole stage: the record, the files, what is derived, and real data."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from prepare_helpers import blueprint, run, split, table, texts, whole

from modelyard import prepare
from modelyard.blueprint import Blueprint
from modelyard.context import Context
from modelyard.records._base import without_times
from modelyard.records.prepared import Prepared
from modelyard.rows import from_frame, from_records
from modelyard.rows_schema import input_columns
from modelyard.store import Store

RECIPES = Path(__file__).parents[2] / "recipes"


def odd(rows: int = 300) -> pl.DataFrame:
    """One column of every type, and some of no use."""
    return table(rows).with_columns(
        row=pl.int_range(pl.len()),
        flag=pl.Series(["yes", "no", None] * (rows // 3)),
        when=pl.Series([datetime(2024, 1, 1) + timedelta(hours=number * 37 % 5000) for number in range(rows)]),
        note=pl.Series(texts(rows)),
        empty=pl.lit(None, dtype=pl.String),
        same=pl.lit(3),
    )


def test_files_have_the_promised_types(tmp_path: Path) -> None:
    odd().write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet")
    types = {column.name: (column.type, column.role) for column in record.columns}
    assert types == {
        "x": ("number", "input"), "z": ("number", "input"), "c": ("category", "input"), "y": ("category", "target"), "row": ("ignore", "ignored"),
        "flag": ("boolean", "input"), "when": ("date", "input"), "note": ("text", "input"), "empty": ("ignore", "ignored"), "same": ("ignore", "ignored"),
    }  # fmt: skip
    for name in ("train", "validation", "test"):
        schema = split(tmp_path, name).schema
        assert schema["x"] == schema["z"] == pl.Float64
        assert schema["c"] == schema["y"] == schema["note"] == pl.String
        assert schema["flag"] == pl.Boolean
        assert schema["when"] == pl.Datetime("us")
        assert schema["__row__"] == schema["__group__"] == pl.Int64
    rows = whole(tmp_path)
    assert rows["__row__"].to_list() == list(range(300))
    assert rows["x"].to_list() == odd()["x"].to_list()
    assert sum(card.rows for card in record.splits.values()) == 300
    assert {name: sum(card.target.values()) for name, card in record.splits.items()} == {
        name: card.rows for name, card in record.splits.items()
    }


def test_cards_agree_with_the_data(tmp_path: Path) -> None:
    odd().write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet")
    x, c, note = record.column("x"), record.column("c"), record.column("note")
    assert x.facts["quantiles"]["0.5"] == pytest.approx(odd()["x"].median())
    histogram = x.facts["histogram"]
    assert sum(histogram["counts"]) + histogram["below"] + histogram["above"] == 300
    assert len(histogram["edges"]) == 21
    assert c.missing == odd()["c"].null_count()
    assert sum(rows for _, rows in c.facts["top"]) == 300 - c.missing
    assert (note.facts["script"], note.facts["unspaced"]) == ("Latin", False)
    assert note.facts["words"]["0.5"] == 20
    assert record.column("when").facts["earliest"] == "2024-01-01T00:00:00"
    assert Prepared.model_validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize("target", ["y", "x"])
@pytest.mark.parametrize("kind", ["table", "text", "group", "time", "promoted"])
def test_the_resolved_blueprint_gives_the_same_record(tmp_path: Path, target: str, kind: str) -> None:
    frame = odd().with_columns(g=pl.Series([f"g{number % 40}" for number in range(300)]))
    sections: dict[str, object] = {}
    if kind in ("text", "promoted"):
        frame = (
            frame.select("note", "c", "when", "x", "y")
            if kind == "text"
            else frame.select(pl.col("c").fill_null("so") + " and so", "flag", "x", "y")
        )
        if target == "x":
            pytest.skip("text tasks have classes")
        sections["task"] = "text-classification"
    if kind in ("group", "time"):
        sections["prepare"] = {"split": {"by": kind, "column": "g" if kind == "group" else "when"}}
    frame.write_parquet(tmp_path / "rows.parquet")
    first = run(tmp_path, "rows.parquet", target, **sections)
    from modelyard.blueprint.reading import dump

    text = dump(
        blueprint(tmp_path, "rows.parquet", target, **sections),
        {one.path: (one.value, one.reason) for one in first.derived},
    )
    (tmp_path / "elsewhere").mkdir()
    again = Blueprint.parse(text, folder=tmp_path / "elsewhere")
    second = prepare.run(Context(again, Store(tmp_path / "again")))
    assert without_times(second) == without_times(first)


def test_overrides_win(tmp_path: Path) -> None:
    odd().write_parquet(tmp_path / "rows.parquet")
    columns = {"z": "category", "row": "number", "x": "ignore", "when": "ignore"}
    record = run(tmp_path, "rows.parquet", data={"columns": columns})
    assert record.column("z").type == "category"
    assert record.column("row").role == "input"
    assert (record.column("x").type, record.column("x").role) == ("number", "ignored")
    assert "declared" in record.column("z").reason
    assert "ignore" in record.column("x").reason
    assert split(tmp_path, "train")["z"].dtype == pl.String
    assert {one.path: one.value for one in record.derived}["data.columns.x"] == "ignore"


def test_text_tasks_read_texts_and_what_is_declared(tmp_path: Path) -> None:
    odd().select("note", "c", "flag", "y").write_parquet(tmp_path / "rows.parquet")
    plain = run(tmp_path, "rows.parquet")
    assert plain.task == "text-classification"
    assert plain.inputs_types() == {"note": "text"}
    assert plain.column("c").type == "category"
    more = run(tmp_path, "rows.parquet", data={"columns": {"c": "category"}})
    assert more.inputs_types() == {"note": "text", "c": "category"}


@pytest.mark.parametrize(
    ("values", "task", "names"),
    [
        (["a", "b"], "tabular-classification", ["a", "b"]),
        ([True, False], "tabular-classification", ["false", "true"]),
        ([0, 1], "tabular-classification", ["0", "1"]),
        ([1.0, 2.0], "tabular-classification", ["1", "2"]),
        (["1", "2 "], "tabular-classification", ["1", "2"]),
        (list(range(100)), "tabular-regression", None),
        ([f"{number}.5" for number in range(100)], "tabular-regression", None),
    ],
)
def test_tasks_follow_the_target(tmp_path: Path, values: list[object], task: str, names: list[str] | None) -> None:
    frame = table(200).with_columns(y=pl.Series(values * (200 // len(values))))
    frame.write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet")
    assert record.task == task
    assert split(tmp_path, "train")["y"].dtype == (pl.String if names else pl.Float64)
    if names:
        assert list(record.splits["train"].target) == names


def test_declared_tasks_take_numbers_as_classes(tmp_path: Path) -> None:
    table(300).with_columns(y=pl.int_range(pl.len()) % 30).write_parquet(tmp_path / "rows.parquet")
    assert run(tmp_path, "rows.parquet").task == "tabular-regression"
    record = run(tmp_path, "rows.parquet", task="tabular-classification")
    assert len(record.splits["train"].target) == 30
    assert run(tmp_path, "rows.parquet", data={"columns": {"y": "category"}}).task == "tabular-classification"


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    odd().write_parquet(tmp_path / "rows.parquet")
    first, second = (run(tmp_path, "rows.parquet", out=out) for out in ("one", "two"))
    assert without_times(first) == without_times(second)


def test_suggestions(tmp_path: Path) -> None:
    odd().with_columns(customer_id=pl.Series([f"C{number % 50}" for number in range(300)])).write_parquet(
        tmp_path / "rows.parquet"
    )
    found = {(one.value, one.column) for one in run(tmp_path, "rows.parquet").suggestions}
    assert found == {("time", "when"), ("group", "customer_id")}


def test_input_columns_describe_training_rows(tmp_path: Path) -> None:
    odd().write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet")
    train = split(tmp_path, "train")
    columns = {column.name: column for column in input_columns(train, record.inputs_types())}
    assert set(columns) == {"x", "z", "c", "flag", "when", "note"}
    assert (columns["x"].low, columns["x"].high) == (train["x"].min(), train["x"].max())
    assert columns["z"].whole and not columns["x"].whole
    counts = train["c"].drop_nulls().value_counts(sort=True)
    assert columns["c"].values == tuple(counts["c"])
    assert columns["c"].missing == pytest.approx(train["c"].null_count() / train.height)
    assert columns["flag"].example in (True, False)
    example = from_records([{name: column.example for name, column in columns.items()}], tuple(columns.values()))
    assert len(example) == 1
    assert len(from_frame(train, record.inputs_types())) == train.height


THIN = {"mail-spam": 4, "card-fraud": 8}
"""Of these recipes one row in so many, to be quick."""


@pytest.mark.parametrize(
    ("recipe", "task", "by", "suspects"),
    [
        ("mail-spam/blueprint.yaml", "text-classification", "group", {"id", "source"}),
        ("mail-spam/blueprint-by-time.yaml", "text-classification", "time", {"id", "source"}),
        ("credit/blueprint.yaml", "tabular-classification", "stratified", set()),
        ("house-prices/blueprint.yaml", "tabular-regression", "random", set()),
        ("card-fraud/blueprint.yaml", "tabular-classification", "time", set()),
    ],
)
def test_real_data(tmp_path: Path, recipe: str, task: str, by: str, suspects: set[str]) -> None:
    given = Blueprint.load(RECIPES / recipe)
    thin = THIN.get(given.folder.name)
    some = pl.read_parquet(given.folder / str(given.data.source)).gather_every(thin) if thin else None
    record = prepare.run(Context(given, Store(tmp_path / "build")), some)
    assert (record.task, record.split_by) == (task, by)
    assert {one.column for one in record.suspects} == suspects
    assert all(one.detail["role"] == "ignored" for one in record.suspects)
    gap = timedelta(seconds=given.prepare.split.gap.value)
    late = next((step.detail for step in record.cleaning if step.name == "too_recent"), {})
    assert bool(late) == bool(gap)
    counts = {name: card.rows + late.get(name, 0) for name, card in record.splits.items()}
    total = sum(counts.values())
    assert counts["test"] == pytest.approx(0.2 * total, rel=0.02)
    assert counts["validation"] == pytest.approx(0.15 * total, rel=0.05)
    rows = whole(tmp_path)
    assert rows.group_by("__group__").agg(pl.col("side").n_unique())["side"].max() == 1
    if gap:
        assert late["train"] > 0 and late["validation"] > 0
        when = {name: rows.filter(pl.col("side") == name)[str(given.prepare.split.column)] for name in counts}
        assert when["train"].max() + gap <= when["validation"].min()  # type: ignore[operator]
        assert when["validation"].max() + gap <= when["test"].min()  # type: ignore[operator]
    if by == "group":
        assert record.duplicates["clusters"] > 30
        assert (
            rows.drop_nulls("sender_domain").group_by("sender_domain").agg(pl.col("side").n_unique())["side"].max() == 1
        )
        assert (
            rows.group_by("body")
            .agg(pl.col("side").n_unique(), pl.col("body").first().str.len_chars().alias("n"))
            .filter(pl.col("n") > 200)["side"]
            .max()
            == 1
        )
