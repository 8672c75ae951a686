"""The package's reference is made of rows that its model did not learn from, and shows nobody's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
from package_builds import compressed_build, frame

from modelyard.context import Context
from modelyard.package import held_out
from modelyard.predictor import Predictor
from modelyard.records.trained import Trained
from modelyard.rows_schema import input_columns
from modelyard.tasks._contract import State
from modelyard.watching.reference import FILE, Reference, read_reference


def made(context: Context, *, folds: int) -> Reference:
    context.records["train"] = context.record(Trained).model_copy(update={"folds": folds})
    return held_out.reference(context, Predictor.open(context.store.path("model")))


def test_a_package_holds_a_reference_of_its_validation_rows(built: Context) -> None:
    folder = built.store.path("package")
    found = read_reference(folder)
    assert found is not None and (found.split, found.rows, found.window, found.rate) == ("validation", 200, 500, 0.01)
    watched = {(feature.column, feature.part) for feature in found.features}
    assert {("age", "value"), ("town", "value"), ("member", "value"), ("since", "value"), ("note", "length")} <= watched
    assert {("", "class"), ("", "confidence")} <= watched and 2 < found.threshold < 6
    assert "asked for more time" not in (folder / FILE).read_text()


def test_rows_that_the_model_learnt_from_are_not_taken_for_its_answers(tmp_path: Path) -> None:
    context = compressed_build(tmp_path)
    alone = made(context, folds=5)
    assert alone.split == "validation" and not any(feature.column == "" for feature in alone.features)
    frame(300, seed=9).write_parquet(context.store.path("data", "test.parquet"))
    tested = made(context, folds=5)
    assert (tested.split, tested.rows) == ("test", 300) and any(feature.column == "" for feature in tested.features)
    assert made(context, folds=1).split == "validation"


def test_what_prepare_added_and_what_is_made_is_not_watched(tmp_path: Path) -> None:
    """Seeds by row and empty prompts: customers fill them as they like. Nothing is left to watch of a prompt alone."""

    def watched(task: str, columns: dict[str, list[Any]], types: dict[str, str], **more: Any) -> Reference:
        data = pl.DataFrame(columns)
        for split in ("train", "validation"):
            data.write_parquet(context.store.path("data", f"{split}.parquet"))
        state = State(task=task, target="made", inputs=input_columns(data, types), **more)
        return held_out.reference(context, SimpleNamespace(state=state))  # type: ignore[arg-type]

    context = compressed_build(tmp_path)
    numbers = list(range(200))
    drawn = {"kind": ["a", "b"] * 100, "seed": numbers}
    images = watched("image-generation", drawn, {"kind": "category", "seed": "number"}, makes="image")
    assert [feature.column for feature in images.features] == ["kind"]
    empty = watched("text-generation", {"prompt": [""] * 200}, {"prompt": "text"}, makes="text")
    assert not empty.features and "nothing that could shift" in empty.reason
    asked = watched("text-generation", {"prompt": ["In the", "And he"] * 100}, {"prompt": "text"}, makes="text")
    assert {feature.column for feature in asked.features} == {"prompt"}
