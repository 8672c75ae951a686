"""Images and numeric series through all nine stages, on toys that no single number tells apart: CPU, no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard import Blueprint
from modelyard.features import images
from modelyard.records import without_times
from modelyard.report import render
from modelyard.report.world import World
from modelyard.rows import as_sent, from_frame
from modelyard.run import NAMES, Build, run
from tests import toys
from tests.report_laws import faults_of, free_numbers, parse

pytest.importorskip("torch")
pytest.importorskip("PIL")
pytest.importorskip("onnxruntime")
QUICK: dict[str, Any] = {
    "compress": {"methods": {"onnx": {}}},
    "audit": {
        "checks": {"robustness": {"fail_drop": None}}
    },  # of 32 test rows: what is lost is shown, and stops nothing
}
CNN = {
    "widths": [8, 16],
    "convolutions": 1,
    "dense": [16],
    "dropout": 0.0,
    "epochs": 30,
    "batch_rows": 16,
    "learning_rate": 5e-3,
}
GRU = {
    "model": "recurrent",
    "cell": "gru",
    "hidden": 16,
    "dropout": 0.0,
    "epochs": 20,
    "batch_rows": 16,
    "learning_rate": 1e-2,
}


def blueprint(folder: Path, task: str) -> Blueprint:
    if task == "image-classification":
        data, candidates = toys.write_stripes(folder), {"linear": {}, "cnn": CNN}
    else:
        data, candidates = toys.write_waves(folder), {"linear": {}, "gru": GRU}
    return Blueprint.load(toys.write_blueprint(folder, data, target="label", train={"candidates": candidates}, **QUICK))


@pytest.fixture(scope="module", params=["image-classification", "sequence-classification"])
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A whole build of each task."""
    folder = tmp_path_factory.mktemp(request.param)
    return run(blueprint(folder, request.param), folder / "build")


def task_of(build: Build) -> str:
    found: str = build.records["prepare"].task  # type: ignore[attr-defined]
    return found


def test_every_stage_ran_and_the_task_was_inferred(build: Build) -> None:
    assert list(build.records) == list(NAMES)
    assert task_of(build) == build.folder.parent.name.rstrip("0123456789")


def test_it_answers_far_better_than_chance(build: Build) -> None:
    evaluated = build.records["evaluate"]
    assert evaluated.metric == "accuracy"  # type: ignore[attr-defined]
    assert evaluated.metrics["accuracy"].value > 0.85  # type: ignore[attr-defined]
    assert evaluated.candidates["dummy"].metrics["accuracy"].value < 0.65  # type: ignore[attr-defined]


def test_the_network_learns_what_the_pixels_alone_do_not_tell(build: Build) -> None:
    if task_of(build) != "image-classification":
        pytest.skip("a wave's height and roughness tell much about it")
    candidates = build.records["evaluate"].candidates  # type: ignore[attr-defined]
    assert candidates["cnn"].metrics["accuracy"].value > candidates["linear"].metrics["accuracy"].value + 0.1


def test_the_package_answers_like_the_build_and_without_torch(build: Build) -> None:
    packaged = build.records["package"]
    gates = {gate.name: gate for gate in packaged.gates}
    assert gates["package.imports"].passed and gates["package.answers"].passed, gates
    assert not any(line.startswith("torch==") for line in packaged.requirements)  # type: ignore[attr-defined]
    test = pl.read_parquet(build.folder / "data" / "test.parquet")
    column, kind = ("image", "image") if task_of(build) == "image-classification" else ("wave", "sequence")
    rows = from_frame(test, {column: kind})
    records = [rows.record(place) for place in range(len(rows))]
    answers = build.predict(records)
    right = np.mean([answer["answer"] == label for answer, label in zip(answers, test["label"], strict=True)])
    assert right == pytest.approx(build.records["compress"].test.metrics["accuracy"].value)  # type: ignore[attr-defined]
    sent = [json.loads(json.dumps(as_sent(record))) for record in records]
    assert [answer["answer"] for answer in build.predict(sent)] == [answer["answer"] for answer in answers]


def test_the_exported_network_agrees_with_the_trained_one(build: Build) -> None:
    compressed = build.records["compress"]
    statuses = {variant.name: (variant.status, variant.reason) for variant in compressed.variants}  # type: ignore[attr-defined]
    assert {status for status, _ in statuses.values()} == {"measured"}, statuses
    assert all(gate.passed for gate in compressed.gates)


def test_the_service_refused_what_is_wrong_and_answered_test_rows(build: Build) -> None:
    served = build.records["serve"]
    assert [refusal.name for refusal in served.refusals if not refusal.passed] == []  # type: ignore[attr-defined]
    kind = task_of(build).partition("-")[0]
    assert f"wrong_type_{kind}" in {refusal.name for refusal in served.refusals}  # type: ignore[attr-defined]
    assert served.rows_seen > 10  # type: ignore[attr-defined]


def test_small_edits_were_tried(build: Build) -> None:
    finding = build.records["audit"].finding("robustness")  # type: ignore[attr-defined]
    assert finding.status in ("passed", "warning")
    wanted = {"brightness", "blur", "shift", "resaved"} if task_of(build) == "image-classification" else {"noise"}
    assert set(finding.details["edits"]) == wanted


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_report_traces_every_number_and_shows_the_images(build: Build, language: str) -> None:
    world = World.open(build.folder, language)
    page = parse(render(world))
    assert faults_of(page, world) == []
    assert free_numbers(page, world) == []
    shown = [node for node in page.walk() if node.name == "img"]
    assert all(node.attributes["src"].startswith("data:image/png;base64,") and node.attributes["alt"] for node in shown)
    mistakes = build.records["evaluate"].worst  # type: ignore[attr-defined]
    if task_of(build) == "image-classification":
        assert len(shown) == 1 + 2 * sum(mistake.image is not None for mistake in mistakes)
    else:
        assert shown == []


def test_the_picture_of_what_training_does_shows_each_image_first_as_it_is(build: Build) -> None:
    place = build.records["train"].augmented  # type: ignore[attr-defined]
    if task_of(build) != "image-classification":
        assert place is None
        return
    from modelyard.train import picturing

    grid = images.pixels((build.folder / place).read_bytes(), channels=1)[:, :, 0]
    side, gap = images.CELL, images.GAP  # 12 pixels, enlarged six times
    assert grid.shape == (picturing.SHOWN * (side + gap) - gap, (1 + picturing.TIMES) * (side + gap) - gap)
    first = grid[:side, :side][::6, ::6]
    train = pl.read_parquet(build.folder / "data" / "train.parquet")["image"]
    assert any((images.pixels(data, channels=1)[:, :, 0] == first).all() for data in train)
    beside = [
        grid[:side, (side + gap) * place : (side + gap) * place + side] for place in range(1, 1 + picturing.TIMES)
    ]
    assert any((cell != grid[:side, :side]).any() for cell in beside), "some of them are changed"


def test_the_resolved_blueprint_runs_to_the_same_records(build: Build, tmp_path: Path) -> None:
    resolved = Blueprint.load(build.folder / "blueprint.resolved.yaml")
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "decisions.json").write_text((build.folder / "decisions.json").read_text())
    again = run(resolved, tmp_path / "again", to="train")
    for name in ("prepare", "train"):
        ours, theirs = (without_times(each.records[name].model_dump(mode="json")) for each in (again, build))
        assert plain(ours) == plain(theirs), name


def plain(record: Any) -> Any:
    """A record without what names the way to a value."""
    if isinstance(record, dict):
        hidden = ("reason", "key", "folder", "inputs", "split_reason", "task_reason")
        return {name: plain(value) for name, value in record.items() if name not in hidden}
    return [plain(value) for value in record] if isinstance(record, (list, tuple)) else record
