"""A stranger's model comes in by an entry point and is trained like ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard import Blueprint, conformance, parts
from modelyard.learn.jobs import JobSpec
from modelyard.predictor import Predictor
from modelyard.rows import from_records
from tests import toys
from tests.test_conformance import GOOD

NAME = "planted-first-class"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a package that brings one model, found by its entry point like any stranger's."""
    folder = tmp_path_factory.mktemp("plug-in")
    package = folder / "planted_models"
    package.mkdir()
    (package / "__init__.py").write_text('"""Planted."""\n')
    (package / "helper.py").write_text("SIGN = -1\n")
    (package / "first_class.py").write_text(GOOD)
    info = folder / "planted_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[modelyard.models]\n{NAME} = planted_models.first_class:Part\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield package


def test_a_planted_model_is_trained(planted: Path, tmp_path: Path) -> None:
    blueprint = toys.write_blueprint(
        tmp_path,
        toys.write_table(tmp_path),
        target="status",
        train={"candidates": {NAME: {"weight": 2.0}, "linear": {}}},
    )
    build = Blueprint.load(blueprint).run(tmp_path / "build", to="train")
    status = {candidate.name: candidate.status for candidate in build.records["train"].candidates}
    assert status[NAME] == status["linear"] == "trained"
    predictor = Predictor.open(tmp_path / "build" / "train" / NAME)
    assert predictor.answer(from_records([{}], predictor.state.inputs))[0]["answer"] == predictor.state.classes[0]


def test_its_jobs_depend_on_its_own_sources(planted: Path) -> None:
    spec = JobSpec(candidate=NAME, model=NAME, options={}, fold=0, seed=0, metric="log_loss", rows="r", budget=60.0)
    keys, stages = [spec.key], [parts.strangers_hash()]
    for file in ("first_class.py", "helper.py"):
        place = planted / file
        place.write_text(place.read_text() + "# changed\n")
        parts.part_hash.cache_clear()
        keys.append(spec.key)
        stages.append(parts.strangers_hash())
    assert len(set(keys)) == len(set(stages)) == 3, "neither a job nor a stage is up to date"


def test_it_is_held_to_the_laws_by_its_name(planted: Path) -> None:
    held = list(conformance.check_part("models", NAME))
    assert any("neither torch nor scikit-learn" in line for line in held)
