"""From planted runs: the time that made them is told, budgets cut it, patience is doubted, and quality intervals hold the planted curve."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.forecast import expecting
from modelyard.forecast.curves import Curve
from modelyard.forecast.pilot import SIZES, Pilot
from modelyard.forecast.trying import Candidate, Ran, cut
from modelyard.models._contract import LoopOptions
from modelyard.records._base import Estimate
from modelyard.records.prepared import Prepared, SplitCard

HELD = 900


def prepared(rows: int) -> Prepared:
    shares = {"train": 0.65, "validation": 0.15, "test": 0.2}
    splits = {name: SplitCard(rows=round(share * rows), hash=name) for name, share in shares.items()}
    return Prepared(
        task="tabular-classification", task_reason="", target="y", source={}, columns=(), split_by="random", split_reason="",
        splits=splits,
    )  # fmt: skip


def pilot(*candidates: Candidate, rows: int = 100_000, folds: int = 1) -> Pilot:
    return Pilot(
        rows=rows, bytes=1.0, data="d", read=0.1, sampled=3200, prepared=prepared(3200), metric="accuracy", folds=folds,
        candidates=list(candidates),
    )  # fmt: skip


def metric(value: float, doubt: float) -> Estimate:
    return Estimate(value=value, low=value - 1.96 * doubt, high=value + 1.96 * doubt)


def fitted(name: str = "linear", *, each: float = 1e-3, curve: Curve | None = None, rng: np.random.Generator | None = None) -> Candidate:  # fmt: skip
    """A model that takes 0.2 s + 1 ms a row, whose error follows a curve."""
    one = Candidate(name, name, {}, "fit", parameters=100)
    one.warm = Ran(64, 64, 2.2 + each * 64, {"encode": 0.0, "fit": 0.2 + each * 64}, 1e8)
    for size in SIZES:
        doubt = 0.01
        error = float(curve.at(size)) + (rng.normal(0, doubt) if rng else 0.0) if curve else 0.2
        seconds = 0.2 + each * size
        one.runs.append(Ran(size, HELD, seconds, {"encode": 0.0, "fit": seconds}, 2e8, metric=metric(1 - error, doubt)))
    return one


def looped(*, patience: int | None, whole: bool = False) -> Candidate:
    """A network: 10 ms a step of 32 rows, 1 ms a held-out row."""
    one = Candidate("mlp", "mlp", {}, "loop", loop=LoopOptions(epochs=10, batch_rows=32, patience=patience))
    for rows in (320, 640):
        steps = 10 * rows // 32 if whole else 16
        epochs = steps * 32 / rows
        parts = {"encode": 0.0, "steps": 0.01 * steps, "validation": 0.001 * 100 * (epochs if whole else 1)}
        one.runs.append(Ran(rows, 100, sum(parts.values()) + 0.5, parts, 3e8, epochs, steps, whole))
    return one


def test_a_fit_takes_what_the_line_says_and_imports_once() -> None:
    natural = fitted().natural(65_000, 15_000)
    assert natural is not None
    assert natural.seconds == pytest.approx(0.2 + 65.0, rel=0.02)
    assert natural.cold == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("whole", [False, True])
def test_gradient_training_takes_its_epochs(whole: bool) -> None:
    natural = looped(patience=None, whole=whole).natural(64_000, 1000)
    assert natural is not None
    assert natural.seconds == pytest.approx(10 * 2000 * 0.01 + 10 * 1.0 + 0.5, rel=0.05)
    assert natural.least < 5


def test_patience_is_doubted() -> None:
    sure, doubted = (looped(patience=each).natural(64_000, 1000) for each in (None, 3))
    assert sure and doubted
    assert doubted.seconds < sure.seconds and doubted.spread > sure.spread + 0.2


def test_a_budget_cuts_and_its_interval_is_narrow() -> None:
    here = pilot(fitted(), looped(patience=None))
    free = expecting.training(here, budget=1e6, refit=False)
    tight = expecting.training(here, budget=60.0, refit=False)
    assert tight.seconds < free.seconds
    assert tight.seconds == pytest.approx(60 * 0.97, rel=0.05)
    spread = [np.std(np.log(each.draws.sum(axis=1))) for each in (free, tight)]
    assert spread[1] < spread[0] / 2


def test_folds_multiply() -> None:
    once, five = (
        expecting.training(pilot(fitted(), rows=3200, folds=n), budget=1e6, refit=False).seconds for n in (1, 5)
    )
    cold = 2.0
    assert five - cold == pytest.approx(5 * (once - cold), rel=0.03)


def test_quality_intervals_hold_the_planted_curve() -> None:
    truth, rng, held = Curve(0.05, 1.0, 0.35), np.random.default_rng(3), 0
    for _ in range(60):
        here = pilot(fitted("extra-trees", curve=truth, rng=rng), rows=20_000)
        told, reason = expecting.quality(here, rows=13_000, gain=0.0, spread=0.1)
        assert told is not None, reason
        outcome = 1 - float(truth.at(13_000)) + rng.normal(0, 0.005)
        held += told.expected.low <= outcome <= told.expected.high
    assert held >= 48, held


def test_what_must_be_beaten_has_no_curve_and_two_sizes_are_too_few() -> None:
    floor = fitted("dummy")
    floor.floor = True
    few = fitted("linear")
    few.runs = few.runs[:2]
    told, reason = expecting.quality(pilot(floor, few), rows=1000, gain=0.0, spread=0.1)
    assert told is None and "3 sizes" in reason


def test_more_rows_and_a_larger_model_are_told() -> None:
    small, large = fitted("linear", curve=Curve(0.1, 1.0, 0.3)), fitted("trees", curve=Curve(0.05, 1.0, 0.3))
    large.parameters = 10_000
    told, _ = expecting.quality(pilot(small, large), rows=10_000, gain=0.0, spread=0.1)
    assert told is not None and told.candidate == "trees"
    rows = [gain for gain in told.gains if gain.what == "rows"]
    assert [gain.factor for gain in rows] == [2.0, 4.0] and 0 < rows[0].gain.value < rows[1].gain.value
    (model,) = (gain for gain in told.gains if gain.what == "model")
    assert (model.name, model.than) == ("trees", "linear") and model.gain.value == pytest.approx(0.05)


def test_steps_are_decided_beforehand_and_nothing_else_is() -> None:
    decided = cut(16, lambda name, choose: choose())
    assert decided("mlp.0.abc.steps", lambda: None) == {"at": 0, "steps": 16}
    assert decided("mlp.0.abc.precision", lambda: "fp32") == "fp32"
