"""The task of docs/tour.md comes in by entry points, as a stranger's package would, and runs through all nine stages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelyard import Blueprint, conformance, metrics, parts
from modelyard.predictor import Predictor
from modelyard.rows import from_records
from modelyard.run import NAMES, Build
from tests.test_docs import BLOCK, ROOT

HOUSES = ROOT / "recipes" / "house-prices" / "house-prices.parquet"
BRINGS = """[modelyard.tasks]
ordinal-classification = grades.ordinal_classification:Part
[modelyard.metrics]
ordinal = grades.ordinal
"""


def told() -> dict[str, str]:
    """The tour's blocks by their place."""
    tour = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    return {block["part"]: block["text"] for block in BLOCK.finditer(tour) if block["part"]}


@pytest.fixture(scope="module")
def grades(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The tour's task and metrics as an installed package."""
    folder = tmp_path_factory.mktemp("grades")
    package, info = folder / "grades", folder / "grades-1.0.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").write_text('"""Grades."""\n')
    for place in ("tasks/ordinal_classification.py", "metrics/ordinal.py"):
        (package / Path(place).name).write_text(told()[place], encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: grades\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(BRINGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)  # for the service, a process of its own
        metrics.forget()
        yield folder
    metrics.forget()


@pytest.fixture(scope="module")
def build(grades: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A small build on the condition of 2,930 houses."""
    folder = tmp_path_factory.mktemp("condition")
    columns = [
        "Overall_Cond",
        "Year_Built",
        "Year_Remod_Add",
        "Neighborhood",
        "Exter_Cond",
        "Gr_Liv_Area",
        "Sale_Price",
    ]
    pl.read_parquet(HOUSES, columns=columns).write_parquet(folder / "houses.parquet")
    blueprint = Blueprint.build(
        name="condition", task="ordinal-classification", size="tiny", folder=folder,
        data={"source": "houses.parquet", "target": "Overall_Cond"}, train={"budget": "1 min"},
    )  # fmt: skip
    return blueprint.run(folder / "build", force=True)


def test_it_is_short() -> None:
    pieces = [text for place, text in told().items() if "ordinal" in place]
    assert len(pieces) == 2 and sum(len(text.splitlines()) for text in pieces) <= 300


def test_it_stands_on_the_shelves(grades: Path) -> None:
    assert "ordinal-classification" in parts.names("tasks")
    assert {entry.name for entry in entry_points(group="modelyard.metrics")} == {"ordinal"}
    truth, said = np.array([0, 1, 2, 3]), np.array([0, 1, 2, 2])
    kappa = metrics.find("quadratic_kappa")(truth, np.eye(4)[said], labels=said)
    assert kappa == pytest.approx(0.875), "as scikit-learn's cohen_kappa_score(weights='quadratic')"


def test_it_keeps_the_laws_of_its_shelf(grades: Path) -> None:
    assert len(list(conformance.check_file(grades / "grades" / "ordinal_classification.py"))) > 10


def test_it_runs_through_all_nine_stages(build: Build) -> None:
    assert set(build.records) == set(NAMES)
    evaluated = build.records["evaluate"]
    figures = evaluated.metrics
    assert set(figures) >= {"quadratic_kappa", "rank_error"}
    assert figures["quadratic_kappa"].low > 0.1, "better than any constant"
    assert "quadratic kappa" in build.report.read_text(encoding="utf-8").lower()


def test_it_answers_the_median_grade(build: Build) -> None:
    predictor = Predictor.open(build.package)
    assert predictor.state.classes[0] == "Very_Poor" and predictor.state.classes[-1] == "Excellent"
    (answer,) = predictor.answer(from_records([{"Exter_Cond": "Poor", "Year_Built": 1900}], predictor.state.inputs))
    shares = np.cumsum([answer["probabilities"][name] for name in predictor.state.classes])
    assert answer["answer"] == predictor.state.classes[int(np.argmax(shares >= 0.5 - 1e-6))]
