"""The budget in steps, under a clock that the test turns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.learn import clock as module
from modelyard.learn.clock import Clock, peek
from modelyard.store import Store


class Time:
    """A clock that only the test moves."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Time:
    found = Time()
    monkeypatch.setattr(module.time, "monotonic", found.monotonic)
    return found


def play(
    hand: Time, store: Store, *, seconds: float, most: int = 1000, cost: Any = lambda step: 1.0, validation: float = 4.0
) -> tuple[int, float]:
    """Train with steps that take `cost(step)`; returns (steps, seconds used)."""
    hand.now = 0.0
    clock = Clock(
        name="c",
        decide=store.decide,
        seconds=seconds,
        most=most,
        validate_every=100,
        step_work=32,
        validation_work=320,
        started=0.0,
    )
    step = 0
    while True:
        clock.look(step)
        if step >= clock.planned:
            break
        hand.now += cost(step)
        clock.spent(cost(step), 32, step)
        step += 1
        if step % 100 == 0 or step == clock.planned:
            hand.now += validation
            clock.validated(validation)
    clock.end(step)
    return step, hand.now


def plans(store: Store) -> list[dict[str, int]]:
    """All that were made."""
    found = (store.decided(f"c.steps{number}") for number in ("", ".2", ".3", ".4"))
    return [one for one in found if one is not None]


@pytest.mark.parametrize("seconds", [30.0, 150.0, 500.0])
def test_budget_is_used_and_kept(hand: Time, tmp_path: Path, seconds: float) -> None:
    steps, used = play(hand, Store(tmp_path), seconds=seconds)
    assert 0.85 * seconds <= used <= 1.02 * seconds
    assert Store(tmp_path).decided("c.stop") is None  # a steady machine needs no stop
    assert plans(Store(tmp_path))[-1]["steps"] == steps


def test_slow_first_steps_do_not_shorten_the_training(hand: Time, tmp_path: Path) -> None:
    """A plan of six steps that prepare kernels is made anew, in time for the rate to follow it."""
    steps, used = play(hand, Store(tmp_path), seconds=200, cost=lambda step: 3.0 if step < 8 else 0.5)
    made = plans(Store(tmp_path))
    assert made[0]["steps"] < 100 < 250 < steps == made[-1]["steps"]
    assert 0.85 * 200 <= used <= 1.02 * 200


def test_the_first_plan_comes_before_warm_up_is_over(hand: Time, tmp_path: Path) -> None:
    play(hand, Store(tmp_path), seconds=100, most=100_000, cost=lambda step: 0.05)
    assert plans(Store(tmp_path))[0]["at"] <= 0.015 * 2000


def test_enough_time_means_every_epoch(hand: Time, tmp_path: Path) -> None:
    assert play(hand, Store(tmp_path), seconds=5000, most=300)[0] == 300


def test_a_machine_that_slows_down_stops_in_time(hand: Time, tmp_path: Path) -> None:
    _, used = play(hand, Store(tmp_path), seconds=300, cost=lambda step: 1.0 if step < 100 else 2.5)
    assert Store(tmp_path).decided("c.stop") is not None
    assert used <= 1.06 * 300


def test_steps_too_slow_for_the_budget_end_at_once(hand: Time, tmp_path: Path) -> None:
    steps, _ = play(hand, Store(tmp_path), seconds=5, cost=lambda step: 4.0)
    assert steps == 1


def test_a_repetition_follows_the_decisions(hand: Time, tmp_path: Path) -> None:
    first = play(hand, Store(tmp_path), seconds=300, cost=lambda step: 1.0 if step < 100 else 2.5)
    again = play(hand, Store(tmp_path), seconds=300, cost=lambda step: 50.0)
    assert again[0] == first[0]


def test_damping_falls_to_nothing_at_the_stop(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.decide("c.steps", lambda: {"at": 5, "steps": 100})
    store.decide("c.stop", lambda: {"at": 50, "steps": 60})
    clock = Clock(
        name="c", decide=store.decide, seconds=1.0, most=100, validate_every=10, step_work=1, validation_work=1
    )
    clock.look(5)
    assert clock.planned == 100 and clock.damping(49) == 1.0
    clock.look(50)
    assert clock.planned == 60 and clock.schedule() == 100
    assert [round(clock.damping(step), 2) for step in (50, 55, 59)] == [1.0, 0.5, 0.1]


def test_peek_takes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert peek(store.decide, "x") is None
    assert store.decide("x", lambda: 3) == 3
    assert peek(store.decide, "x") == 3


@pytest.mark.parametrize("seed", range(5))
def test_a_noisy_machine_keeps_the_budget_with_few_stops(hand: Time, tmp_path: Path, seed: int) -> None:
    noise = np.random.default_rng(seed).lognormal(0.0, 0.7, 2000)
    _, used = play(hand, Store(tmp_path), seconds=200, cost=lambda step: float(noise[step]))
    assert used <= 1.1 * 200
    assert Store(tmp_path).decided("c.stop.4") is None


def halfway(store: Store, **given: Any) -> Clock:
    """A clock at 100 s, step 100 of the 180 that a killed process had planned in 200 s."""
    store.decide("c.steps", lambda: {"at": 6, "steps": 180})
    return Clock(
        name="c", decide=store.decide, seconds=200, most=1000, validate_every=100, step_work=32, validation_work=320,
        started=0.0, **given,
    )  # fmt: skip


def test_time_used_before_a_kill_is_not_the_cost_of_one_step(hand: Time, tmp_path: Path) -> None:
    store = Store(tmp_path)
    clock = halfway(store, used=100.0)
    clock.look(100)
    assert clock.planned == 180 and store.decided("c.stop") is None


@pytest.mark.parametrize("lacking", [(), ("step_seconds", "step_works", "recent")])
def test_a_restored_clock_goes_on_as_it_was(hand: Time, tmp_path: Path, lacking: tuple[str, ...]) -> None:
    """What a checkpoint of an older version lacks is measured anew, and nothing is decided before that."""
    store = Store(tmp_path)
    before, after = halfway(store), halfway(store)
    for step in range(100):
        before.look(step)
        hand.now += 1.0
        before.spent(1.0, 32, step)
    before.validated(4.0)
    kept = json.loads(json.dumps(before.state()))
    hand.now = 5000.0  # the time between a kill and the next start belongs to nobody
    after.restore({name: value for name, value in kept.items() if name not in lacking}, 100)
    for step in range(100, 180):
        after.look(step)
        cost = 20.0 if step == 100 else 1.0  # its first step prepares kernels and tells nothing of the others
        hand.now += 1.0
        after.spent(cost, 32, step)
    after.look(180)
    assert after.planned == 180 and store.decided("c.stop") is None
    assert after.elapsed() == 180.0


def test_a_restored_clock_still_stops_in_time(hand: Time, tmp_path: Path) -> None:
    store = Store(tmp_path)
    clock = halfway(store)
    seen = {"step_seconds": 98.0, "step_works": 98.0 * 32, "recent": [[1.0, 32]] * 20}
    clock.restore({"used": 100.0, "validation_seconds": 4.0, **seen}, 100)
    step = 100
    while step < clock.planned:
        clock.look(step)
        hand.now += 3.0
        clock.spent(3.0, 32, step)
        step += 1
    assert store.decided("c.stop") is not None
    assert clock.elapsed() <= 1.1 * 200
