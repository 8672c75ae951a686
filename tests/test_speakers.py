"""The recipe `speakers`: its table is what its authors describe and what its maker makes, and the chain learns from it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.blueprint import Blueprint
from modelyard.records.evaluated import Evaluated
from modelyard.records.prepared import Prepared
from modelyard.records.trained import Trained

FOLDER = Path(__file__).parents[1] / "recipes" / "speakers"
PROGRAMS = ("make_data", "check_data")


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """The recipe's two programs; nothing of them stays, for other recipes' have the same names."""
    monkeypatch.syspath_prepend(FOLDER)
    for name in PROGRAMS:
        sys.modules.pop(name, None)
    make, check = (importlib.import_module(name) for name in PROGRAMS)
    yield make, check
    for name in PROGRAMS:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def kept() -> pl.DataFrame:
    return pl.read_parquet(FOLDER / "speakers.parquet")


def test_the_table_is_as_described(programs: tuple[Any, Any], kept: pl.DataFrame) -> None:
    _, check = programs
    check.check_description(kept)
    with pytest.raises(AssertionError, match="train"):
        check.check_description(kept[1:])
    with pytest.raises(AssertionError, match="twice"):
        check.check_description(pl.concat([kept[:1], kept[:1], kept[2:]]))


def test_the_numbers_are_those_of_the_source(kept: pl.DataFrame) -> None:
    """Six decimals at the source: 32-bit floats hold them. The first step of the first file is known by heart."""
    values = kept["cepstrum"].explode().explode().cast(pl.Float64).to_numpy()
    np.testing.assert_allclose(values, values.round(6), atol=1.2e-7)
    assert [round(value, 6) for value in kept["cepstrum"][0][0]][:3] == [1.860936, -0.207383, 0.261557]


def test_the_maker_reads_a_channel_a_field(
    programs: tuple[Any, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make, _ = programs
    for number, name in enumerate(make.FILES.values()):
        channels = [",".join(f"{channel}.{step}" for step in range(3 + number)) for channel in range(make.CHANNELS)]
        (tmp_path / name).write_text(f"#about\n@classLabel true 1 2\n@data\n{':'.join([*channels, '2'])}\n\n")
    table = make.make(tmp_path)
    assert table["split"].to_list() == ["train", "test"] and table["speaker"].to_list() == ["speaker 2"] * 2
    assert table["cepstrum"].list.len().to_list() == [3, 4]
    assert table["cepstrum"][1][3].to_list() == pytest.approx([channel + 0.3 for channel in range(12)])
    monkeypatch.setattr(sys, "argv", ["make_data.py", "--folder", str(tmp_path), "--check"])
    assert make.main() == 1 and "is NOT" in capsys.readouterr().out


def test_the_maker_makes_the_kept_table(programs: tuple[Any, Any], kept: pl.DataFrame) -> None:
    make, _ = programs
    try:
        folder = make.installed()
    except SystemExit as told:
        pytest.skip(str(told))
    assert make.make(folder).equals(kept)


def test_the_chain_learns_the_speakers(tmp_path: Path) -> None:
    """The blueprint with its quickest candidate: the task is inferred, the published split kept, and nine voices are told apart."""
    blueprint = Blueprint.load(FOLDER / "blueprint.yaml")
    train = blueprint.train.model_copy(update={"candidates": {"linear": {}}})
    records = blueprint.model_copy(update={"train": train}).run(tmp_path / "build", to="evaluate").records
    prepared, trained, evaluated = (records[stage] for stage in ("prepare", "train", "evaluate"))
    assert isinstance(prepared, Prepared) and isinstance(trained, Trained) and isinstance(evaluated, Evaluated)
    assert prepared.task == "sequence-classification" and prepared.inputs_types() == {"cepstrum": "sequence"}
    sizes = {name: card.rows for name, card in prepared.splits.items()}
    assert sizes["test"] == 370 and sizes["train"] + sizes["validation"] == 270
    assert trained.folds == 5 and trained.validation["accuracy"].value > 0.95
    assert evaluated.metrics["accuracy"].value > 0.96
