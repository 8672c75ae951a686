"""The whole of it on toy data: the pilot's own runs, what the command writes and prints, and forecast beside outcome."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelyard.blueprint import Blueprint
from modelyard.forecast import calibration, expecting, forecasting, pilot, refitting, scoring, stages, telling
from modelyard.forecast.pilot import Pilot
from modelyard.records.forecast import Forecast
from modelyard.run import NAMES
from tests.toys import write_blueprint, write_table, write_texts

CEILINGS = calibration.Ceilings(flops=1e11, bandwidth=1e10, trees=1e7, words=1e6, python=1e7)
LINEAR: dict[str, Any] = {"candidates": {"linear": {}}}


def enough(found: Pilot) -> tuple[float, frozenset[str]]:
    return 20.0, frozenset()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Forecast:
    folder = tmp_path_factory.mktemp("told")
    path = write_blueprint(folder, write_table(folder, rows=3000), target="status", train=LINEAR)
    return forecasting.make(Blueprint.load(path), ceilings=CEILINGS)


def test_the_pilot_runs_on_growing_parts(tmp_path: Path) -> None:
    path = write_blueprint(tmp_path, write_table(tmp_path, rows=2000), target="status", train=LINEAR)
    found = pilot.run(Blueprint.load(path), allowed=enough)
    assert found.rows == 2000 and found.split("train") + found.split("validation") + found.split("test") == 2000
    linear = next(one for one in found.candidates if one.name == "linear")
    assert [run.rows for run in linear.runs][:4] == [pilot.AGAIN, 250, 500, 999]
    assert all(run.whole and run.metric is not None and run.peak > 1e7 for run in linear.runs[1:])
    assert linear.row_seconds > 0 and linear.parameters > 0 and linear.disk(1000) > 0
    assert found.spent < 20


def test_it_spends_no_more_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pilot, "QUICK", 0.0)
    path = write_blueprint(tmp_path, write_table(tmp_path, rows=2000), target="status", train=LINEAR)
    found = pilot.run(Blueprint.load(path), allowed=lambda _: (0.0, frozenset()))
    assert all(one.warm is not None and len(one.runs) <= 1 for one in found.candidates)
    settled = pilot.run(Blueprint.load(path), allowed=lambda _: (20.0, frozenset({"linear"})))
    assert {one.name: len(one.runs) > 1 for one in settled.candidates} == {"dummy": True, "linear": False}


def test_a_learning_curve_that_costs_nothing_is_not_left_out(tmp_path: Path) -> None:
    """Where a network's libraries alone take what the pilot may take, the linear model's curve still tells the quality."""
    train = {"candidates": {"linear": {}, "mlp": {}}}
    path = write_blueprint(tmp_path, write_table(tmp_path, rows=2000), target="status", train=train)
    found = pilot.run(Blueprint.load(path), allowed=lambda _: (0.0, frozenset()))
    runs = {one.name: [run.rows for run in one.runs] for one in found.candidates}
    assert runs["linear"] == [pilot.AGAIN, 250, 500, 999] and not runs["mlp"] and len(runs["dummy"]) <= 1
    quality, reason = expecting.quality(found, rows=1200, gain=0.0, spread=0.1)
    assert quality is not None and not reason and quality.candidate == "linear"


def test_given_splits_stay_apart(tmp_path: Path) -> None:
    for split, rows in (("train", 400), ("test", 200)):
        (tmp_path / split).mkdir()
        shutil.move(write_table(tmp_path / split, rows=rows, seed=rows), tmp_path / f"{split}.csv")
    path = write_blueprint(tmp_path, tmp_path / "train.csv", target="status", train=LINEAR)
    blueprint = Blueprint.load(path)
    blueprint = blueprint.model_copy(update={"data": blueprint.data.model_copy(update={"test": "test.csv"})})
    found = pilot.run(blueprint, allowed=enough)
    assert found.rows == 600 and found.split("test") == pytest.approx(200, abs=2)


def test_a_candidate_that_cannot_be_tried_says_why(tmp_path: Path) -> None:
    train = {"candidates": {"linear": {}, "cnn": {"optional": True}}}
    path = write_blueprint(tmp_path, write_texts(tmp_path), target="label", train=train)
    found = pilot.run(Blueprint.load(path), allowed=lambda _: (0.0, frozenset()))
    reasons = {one.name: one.reason for one in found.candidates}
    assert "does not serve" in reasons["cnn"] and not reasons["linear"]


def test_a_forecast_tells_every_stage_with_an_interval(told: Forecast) -> None:
    assert tuple(each.stage for each in told.stages) == NAMES
    for each in (*told.stages, told):
        for one in (each.seconds, each.memory, each.disk, each.cost, each.energy, each.carbon):
            assert 0 < one.low.value <= one.value.value <= one.high.value
    assert told.seconds.value.value == pytest.approx(sum(each.seconds.value.value for each in told.stages), rel=0.1)
    assert max(each.memory.value.value for each in told.stages) <= told.memory.value.value * 1.01
    assert told.cost.value.unit == "USD" and told.energy.value.unit == "J" and told.carbon.value.unit == "gCO2e"
    assert told.quality is not None and 0.5 < told.quality.expected.value <= 1.0
    assert told.rented and [one.cost.value.value for one in told.rented if one.fits] == sorted(
        one.cost.value.value for one in told.rented if one.fits
    )


def test_it_is_read_back_as_it_was_written_and_can_be_said(told: Forecast) -> None:
    assert Forecast.model_validate(json.loads(told.model_dump_json())) == told
    said = "\n".join(telling.lines(told))
    assert all(stage in said for stage in NAMES) and "to rent:" in said and "of what it predicts" in said


def finished_builds(told: Forecast, times: float, count: int) -> list[scoring.Scored]:
    """Builds whose stages took so many times what was told of them."""
    measured = {f"seconds.{each.stage}": each.seconds.value.value * times for each in told.stages}
    measured |= {f"memory.{each.stage}": each.memory.value.value * times for each in told.stages}
    one = scoring.Outcome(quantity="time", expected=1.0, low=0.5, high=2.0, outcome=told.seconds.value.value * times)
    build = scoring.Scored(
        name="toy", data="d", machine="m", made=told.made, pilot=0.1, outcomes=(one,), features=told.features,
        measured=measured,
    )  # fmt: skip
    return [build] * count


def test_constants_are_written_and_read_back() -> None:
    table = replace(stages.table(), reference=CEILINGS)
    found = stages.read(tomllib.loads(refitting.written(table)))
    assert found.reference == CEILINGS and found.gain == table.gain and found.fitted_on == table.fitted_on
    for kind in stages.KINDS:
        for stage in NAMES:
            assert found.of[kind][stage].values == pytest.approx(dict(table.of[kind][stage].values), rel=1e-5)


def test_the_same_constants_tell_the_same_again(told: Forecast) -> None:
    again = refitting.again(told, stages.table())
    assert again.seconds.value.value == pytest.approx(told.seconds.value.value, rel=0.1)
    assert again.memory.value.value == pytest.approx(told.memory.value.value, rel=0.05)


def test_constants_follow_the_builds_that_they_are_fitted_on(told: Forecast) -> None:
    builds = finished_builds(told, 2.0, 20)
    table = refitting.fitted(builds, stages.table(), on="planted")
    rejudged = refitting.rejudged(builds[0], told, table)
    (time,) = rejudged.outcomes
    assert time.expected == pytest.approx(2 * told.seconds.value.value, rel=0.15) and time.inside
    few = refitting.fitted([], stages.table(), on="nothing")
    assert refitting.again(told, few).seconds.value.value == pytest.approx(told.seconds.value.value, rel=0.1)


def test_memory_that_is_not_there_is_told(told: Forecast) -> None:
    small = told.model_copy(update={"fits": False})
    assert any(line.startswith("warning: it may not fit") for line in telling.lines(small))
    assert not any("may not fit" in line for line in telling.lines(told.model_copy(update={"fits": True})))


def test_a_step_that_needs_more_memory_than_is_free_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    train = {"candidates": {"linear": {}, "mlp": {}}}
    path = write_blueprint(tmp_path, write_table(tmp_path), target="status", train=train)
    monkeypatch.setattr(pilot, "available", lambda: 1000.0)
    found = pilot.run(Blueprint.load(path), allowed=lambda _: (0.0, frozenset()))
    (mlp,) = (one for one in found.candidates if one.name == "mlp")
    assert "memory are free" in mlp.reason and mlp.warm is None


def yard(*arguments: str, cache: Path) -> str:
    told = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    ended = subprocess.run([sys.executable, "-m", "modelyard", *arguments], capture_output=True, text=True, check=False, env=told)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.long
def test_forecast_run_and_score(tmp_path: Path) -> None:
    """A run begins with its forecast, ends in the scores, and its report sets both side by side."""
    path = write_blueprint(
        tmp_path, write_table(tmp_path, rows=1200), target="status", size="small", train=LINEAR,
        serve={"levels": [5, 10], "level_time": "1 s"},
    )  # fmt: skip
    build, cache = tmp_path / "build", tmp_path / "cache"
    said = yard("run", str(path), "-o", str(build), cache=cache)
    assert said.startswith("forecast of ") and (build / "forecast.json").exists()
    found = scoring.score(build)
    assert found is not None and {"time", "memory", "disk", "cost", "quality"} <= {
        one.quantity for one in found.outcomes
    }
    assert found.pilot > 0
    (line,) = (cache / "modelyard" / "forecast" / scoring.FILE).read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["name"] == found.name
    assert "median error" in yard("forecast", "--score", cache=cache)
    page = (build / "report.html").read_text(encoding="utf-8")
    assert 'id="forecast"' in page and "forecast.json#stages.1.seconds.value" in page
    # a build that is older than its forecast tells nothing about it
    yard("forecast", str(path), "-o", str(build), cache=cache)
    assert scoring.score(build) is None
