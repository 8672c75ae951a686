"""Which candidates are trained: their names, what they cannot learn from, and what is told before the budget is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard import Blueprint
from modelyard.errors import BlueprintError, DataError
from modelyard.run import run
from modelyard.train import candidates
from tests import toys


def blueprint_of(folder: Path, frame: pl.DataFrame | None = None, **sections: Any) -> Path:
    data = folder / "rows.parquet"
    (toys.table() if frame is None else frame).drop("price").write_parquet(data)
    return toys.write_blueprint(folder, data, target="status", **sections)


@pytest.mark.parametrize("name", ["..", ".", "gb/slow", "", "a b", "-x"])
def test_a_candidates_name_is_a_folders(name: str, tmp_path: Path) -> None:
    with pytest.raises(BlueprintError, match="a candidate's name is its folder"):
        Blueprint.load(blueprint_of(tmp_path, train={"candidates": {name: {"model": "linear"}}}))


def test_a_cost_that_is_no_number_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    costs = {"false_positive": 1, "false_negative": "home"}
    blueprint = Blueprint.load(blueprint_of(tmp_path, evaluate={"costs": costs}))
    with pytest.raises(DataError, match=r"evaluate\.costs\.false_negative: column 'home' holds category values"):
        run(blueprint, tmp_path / "build", to="train")
    assert not list((tmp_path / "build").glob("train/*/*/job.json"))


def test_a_row_without_its_cost_is_told_too(tmp_path: Path) -> None:
    blueprint = Blueprint.load(blueprint_of(tmp_path, evaluate={"costs": {"false_negative": "income"}}))
    with pytest.raises(DataError, match=r"column 'income' has no value in \d+ of \d+ rows; every row needs a cost"):
        run(blueprint, tmp_path / "build", to="train")


def test_a_column_that_is_not_there_is_named_though_the_data_was_read_before(tmp_path: Path) -> None:
    quick = {"train": {"candidates": {"linear": {}}}}
    run(Blueprint.load(blueprint_of(tmp_path, **quick)), tmp_path / "build", to="prepare")
    changed = Blueprint.load(blueprint_of(tmp_path, **quick, evaluate={"top_k": 5, "top_k_by": "hone"}))
    with pytest.raises(DataError, match=r"evaluate\.top_k_by: no column 'hone'.* Did you mean 'home'"):
        run(changed, tmp_path / "build", to="train")


def test_an_encoder_can_read_every_column_of_a_table_without_text(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    encoder = {"pretrained": str(toys.write_encoder(tmp_path)), "epochs": 1, "max_length": 32}
    named = {"reads-all": {"model": "encoder", "inputs": "all", **encoder}, "encoder": encoder}
    built = run(Blueprint.load(blueprint_of(tmp_path, train={"candidates": named})), tmp_path / "build", to="train")
    found = {each.name: each for each in built.records["train"].candidates}  # type: ignore[attr-defined]
    assert found["reads-all"].status == "trained"
    assert found["encoder"].status == "skipped" and "no text column" in found["encoder"].reason


def test_other_weights_in_the_same_folder_are_learnt_from_anew(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    weights = toys.write_encoder(tmp_path) / "model.safetensors"
    encoder = {"pretrained": str(weights.parent), "inputs": "all", "epochs": 1, "max_length": 32}
    path = blueprint_of(tmp_path, train={"candidates": {"encoder": encoder}})

    def job() -> Path:
        run(Blueprint.load(path), tmp_path / "build", to="train")
        (found,) = (tmp_path / "build").glob("train/encoder/0-*")
        return found

    first = job()
    assert job() == first
    save_file({name: weight + torch.ones(()) for name, weight in load_file(weights).items()}, weights)
    assert job() != first


def test_what_can_be_checked_belongs_to_a_job_only_where_it_counts(tmp_path: Path) -> None:
    keys = {}
    for metric in ("precision_at_k", "roc_auc"):
        for k in (5, 10):
            blueprint = Blueprint.load(blueprint_of(tmp_path, train={"metric": metric}, evaluate={"top_k": k}))
            keys[metric, k] = candidates.metric_of(blueprint, metric)
    assert keys["precision_at_k", 5] != keys["precision_at_k", 10]
    assert keys["roc_auc", 5] == keys["roc_auc", 10] == "roc_auc"


def test_texts_that_share_no_word_are_answered_by_how_common_each_class_is(tmp_path: Path) -> None:
    rng, letters = np.random.default_rng(0), list("abcdefghijklmnopqrstuvwxyz")
    words = ["".join(rng.choice(letters, 12)) for _ in range(120)]
    frame = pl.DataFrame({"text": [f"{word} {word[::-1]} {word[3:]}" for word in words], "label": ["a", "a", "b"] * 40})
    frame.write_parquet(tmp_path / "rows.parquet")
    path = toys.write_blueprint(
        tmp_path, tmp_path / "rows.parquet", target="label", train={"candidates": {"linear": {}}}
    )
    built = run(Blueprint.load(path), tmp_path / "build", to="train")
    found = {each.name: each for each in built.records["train"].candidates}  # type: ignore[attr-defined]
    assert found["linear"].status == "trained" and built.records["prepare"].inputs_types() == {"text": "text"}  # type: ignore[attr-defined]
    with np.load(tmp_path / "build" / found["linear"].jobs[0].folder / "validation.npz") as saved:
        assert saved["scores"] == pytest.approx(np.tile([2 / 3, 1 / 3], (len(saved["scores"]), 1)), abs=0.05)
