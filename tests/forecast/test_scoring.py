"""Forecasts judged: what is inside counts as inside, old builds do not count, and a builder's own errors are learnt from."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from modelyard.forecast import scoring, telling
from modelyard.forecast.scoring import Outcome, Scored


def scored(name: str, *, expected: float, outcome: float, machine: str = "m", made: str = "2026-11-23T10:00:00+0000") -> Scored:  # fmt: skip
    one = Outcome(quantity="time train", expected=expected, low=expected * 0.8, high=expected * 1.25, outcome=outcome)
    return Scored(name=name, data="d", machine=machine, made=made, pilot=0.08, outcomes=(one,))


def test_errors_and_coverage() -> None:
    builds = [
        scored("a", expected=100, outcome=100),
        scored("b", expected=100, outcome=120),
        scored("c", expected=100, outcome=200),
    ]
    (found,) = scoring.errors(builds)
    assert (found.quantity, found.builds) == ("time train", 3)
    assert found.median_error == pytest.approx(20 / 120)
    assert found.covered == pytest.approx(2 / 3)
    assert "time train" in telling.scores(builds, [found])[1]


def test_nothing_to_score_says_what_to_do() -> None:
    assert "yard run" in telling.scores([], [])[0]


def test_earlier_builds_move_the_next_forecast_a_little_and_more_of_them_more() -> None:
    one = scoring.factors([scored("a", expected=100, outcome=200)])["train"]
    many = scoring.factors([scored(f"{n}", expected=100, outcome=200) for n in range(30)])["train"]
    assert 1.0 < one < many < 2.0 and many > 1.8
    assert scoring.factors([scored("a", expected=100, outcome=100)])["train"] == pytest.approx(1.0)
    wild = scoring.factors([scored(f"{n}", expected=1, outcome=1e6) for n in range(100)])["train"]
    assert wild < scoring.WIDEST
    assert math.isfinite(wild) and scoring.factors([]) == {}


def test_a_folder_without_a_forecast_is_not_scored(tmp_path: Path) -> None:
    assert scoring.score(tmp_path) is None
    assert scoring.note(tmp_path, place=tmp_path) is None
    assert scoring.read(tmp_path / scoring.FILE) == []


def test_lines_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    from modelyard.store import to_json

    file = tmp_path / scoring.FILE
    good = scored("a", expected=1, outcome=1)
    file.write_text("{\n" + to_json(good.model_dump(mode="json"), indent=None) + "\nnonsense\n", encoding="utf-8")
    assert scoring.read(file) == [good]
    assert scoring.here([good]) == []  # of another machine
