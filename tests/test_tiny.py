"""Every task through every stage on toy data: CPU, no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from modelyard import Blueprint
from modelyard.errors import GateFailed
from modelyard.records import without_times
from modelyard.report import render
from modelyard.report.world import World
from modelyard.run import NAMES, Build, run
from tests import toys
from tests.report_laws import faults_of, free_numbers, parse, traced

pytest.importorskip("torch")


def records(folder: Path) -> dict[str, Any]:
    """Every record of a build, by stage."""
    return {
        name: json.loads((folder / f"{name}.json").read_text()) for name in NAMES if (folder / f"{name}.json").exists()
    }


def blueprint_of(folder: Path, task: str, **sections: Any) -> Path:
    """A blueprint that exercises `task`, its gradient-trained models included; `sections` come on top."""
    if task == "text-classification":
        encoder = toys.write_encoder(folder)
        candidates = {
            "linear": {}, "decision-tree": {}, "gradient-boosting": {"trees": 20},
            "encoder": {"pretrained": str(encoder), "epochs": 2, "max_length": 32},
        }  # fmt: skip
        sections = {"train": {"candidates": candidates}, **sections}
        return toys.write_blueprint(folder, toys.write_texts(folder), target="label", **sections)
    if task == "tabular-classification":
        sections = {"audit": {"sensitive": ["age"]}, **sections}
        return toys.write_blueprint(folder, toys.write_table(folder), target="status", **sections)
    return toys.write_blueprint(folder, toys.write_prices(folder), target="price", **sections)


@pytest.fixture(scope="module", params=["text-classification", "tabular-classification", "tabular-regression"])
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A whole build of each task."""
    folder = tmp_path_factory.mktemp(request.param)
    built = run(Blueprint.load(blueprint_of(folder, request.param)), folder / "build")
    assert built.records["prepare"].task == request.param  # type: ignore[attr-defined]
    return built


def test_all_nine_records_and_the_report_are_there(build: Build) -> None:
    assert list(build.records) == list(NAMES)
    assert (build.folder / "blueprint.resolved.yaml").exists()
    page = build.report.read_text(encoding="utf-8")
    assert (
        "<html" in page
        and "http://" not in page.replace("http://www.w3.org", "")
        and build.records["train"].metric in page
    )  # type: ignore[attr-defined]


def test_a_model_beats_the_dummy_on_data_that_has_an_answer(build: Build) -> None:
    evaluated = records(build.folder)["evaluate"]
    gate = next(gate for gate in evaluated["gates"] if gate["name"] == "evaluate.beats_dummy")
    assert gate["passed"], gate
    metric, sign = evaluated["metric"], 1 if evaluated["greater_is_better"][evaluated["metric"]] else -1
    chosen, dummy = evaluated["metrics"][metric], evaluated["candidates"]["dummy"]["metrics"][metric]
    assert sign * chosen["value"] > sign * dummy["value"]
    assert chosen["low"] <= chosen["value"] <= chosen["high"]


def test_the_package_answers_like_the_build(build: Build) -> None:
    test = pl.read_parquet(build.folder / "data" / "test.parquet").head(20)
    from modelyard.predictor import Predictor
    from modelyard.rows import from_frame

    trained = Predictor.open(build.folder / "model")
    rows = from_frame(test, trained.state.types())
    wanted = trained.answer(rows)
    got = build.predict([rows.record(place) for place in range(len(rows))])
    if trained.state.classes:
        assert [answer["answer"] for answer in got] == [answer["answer"] for answer in wanted]
    else:
        assert [answer["answer"] for answer in got] == pytest.approx([answer["answer"] for answer in wanted], rel=1e-4)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_report_traces_every_number(build: Build, language: str) -> None:
    world = World.open(build.folder, language)
    page = parse(render(world))
    assert faults_of(page, world) == []
    assert free_numbers(page, world) == []
    assert len(traced(page)) > 150


def test_a_second_run_does_nothing(build: Build) -> None:
    before = {name: (build.folder / f"{name}.json").stat().st_mtime_ns for name in NAMES}
    blueprint = Blueprint.load(build.folder.parent / "blueprint.yaml")
    run(blueprint, build.folder)
    assert {name: (build.folder / f"{name}.json").stat().st_mtime_ns for name in NAMES} == before


def test_the_resolved_blueprint_runs_to_the_same_records(build: Build, tmp_path: Path) -> None:
    resolved = Blueprint.load(build.folder / "blueprint.resolved.yaml")
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "decisions.json").write_text((build.folder / "decisions.json").read_text())
    run(resolved, tmp_path / "again", to="compress")
    ours, theirs = records(tmp_path / "again"), records(build.folder)
    for name in ("prepare", "train", "evaluate", "audit", "compress"):
        assert _figures(ours[name]) == _figures(theirs[name]), name


def _figures(record: dict[str, Any]) -> Any:
    """A record without times, and without what names the way to a value (reasons, keys of jobs)."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                k: strip(v)
                for k, v in value.items()
                if k not in ("reason", "key", "folder", "split_reason", "task_reason")
            }
        return [strip(v) for v in value] if isinstance(value, list) else value

    return strip(without_times(record))


LIGHT = {"train": {"candidates": {"linear": {}, "decision-tree": {}, "gradient-boosting": {"trees": 20}}}}
POISONED: dict[str, dict[str, Any]] = {
    "text-classification": {}, "tabular-regression": LIGHT,
    "tabular-classification": {**LIGHT, "evaluate": {"costs": {"false_positive": 1, "false_negative": 4}}},
}  # fmt: skip


def poison(frame: pl.DataFrame, task: str) -> pl.DataFrame:
    """The same rows with wrong answers: two classes swapped, numbers dealt out anew."""
    if task == "tabular-regression":
        return frame.with_columns(pl.col("price").shuffle(seed=0))
    target = "label" if task == "text-classification" else "status"
    one, other = frame[target].unique()
    return frame.with_columns(pl.col(target).replace_strict({one: other, other: one}))


@pytest.mark.parametrize("task", POISONED)
def test_poisoning_every_test_label_changes_no_choice(task: str, tmp_path: Path) -> None:
    blueprint = Blueprint.load(blueprint_of(tmp_path, task, **POISONED[task]))
    clean = run(blueprint, tmp_path / "clean", to="compress")
    poisoned = tmp_path / "poisoned"
    run(blueprint, poisoned, to="prepare")
    (poisoned / "decisions.json").write_text((clean.folder / "decisions.json").read_text())
    test = poisoned / "data" / "test.parquet"
    poison(pl.read_parquet(test), task).write_parquet(test)
    run(blueprint, poisoned, to="compress", force=True)
    ours, theirs = records(poisoned), records(clean.folder)
    assert ours["evaluate"]["metrics"] != theirs["evaluate"]["metrics"], "the poison must have arrived"
    assert without_times(ours["train"]) == without_times(theirs["train"])
    if "evaluate" in POISONED[task]:
        assert theirs["train"]["threshold"] is not None, "declared costs choose one"
    assert ours["compress"]["chosen"] == theirs["compress"]["chosen"]
    assert ours["compress"]["variants"] and [v["passed"] for v in ours["compress"]["variants"]] == [
        v["passed"] for v in theirs["compress"]["variants"]
    ]


def test_a_failed_gate_stops_before_package_and_force_goes_on(tmp_path: Path) -> None:
    path = toys.write_blueprint(
        tmp_path, toys.write_table(tmp_path), target="status", evaluate={"gates": {"roc_auc": 0.9999}}
    )
    blueprint = Blueprint.load(path)
    with pytest.raises(GateFailed, match=r"evaluate\.roc_auc failed: demanded .*0\.9999.*measured .* to ") as failure:
        run(blueprint, tmp_path / "build")
    assert failure.value.exit_code == 3
    assert not (tmp_path / "build" / "package").exists()
    assert (tmp_path / "build" / "report.html").exists()
    forced = run(blueprint, tmp_path / "build", force=True)
    assert forced.package.exists() and [gate.name for gate in forced.failed] == ["evaluate.roc_auc"]


def test_adding_a_candidate_trains_one_candidate(tmp_path: Path) -> None:
    data = toys.write_table(tmp_path)
    first = toys.write_blueprint(tmp_path, data, target="status", train={"candidates": {"linear": {}}})
    run(Blueprint.load(first), tmp_path / "build", to="train")
    before = {job: job.stat().st_mtime_ns for job in (tmp_path / "build" / "train").glob("*/*/job.json")}
    second = toys.write_blueprint(
        tmp_path, data, target="status", train={"candidates": {"linear": {}, "decision-tree": {}}}
    )
    run(Blueprint.load(second), tmp_path / "build", to="train")
    after = {job: job.stat().st_mtime_ns for job in (tmp_path / "build" / "train").glob("*/*/job.json")}
    assert {job.parent.parent.name for job in set(after) - set(before)} == {"decision-tree"}
    assert {job: after[job] for job in before} == before


def test_a_frame_from_python_takes_the_place_of_a_file(tmp_path: Path) -> None:
    frame = toys.table()
    blueprint = Blueprint.build(
        name="frame", size="tiny", data={"source": "frame", "target": "status"}, train={"candidates": {"linear": {}}}
    )
    built = blueprint.run(tmp_path / "build", frame=frame.drop("price"), to="train")
    assert built.records["prepare"].task == "tabular-classification"
