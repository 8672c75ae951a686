"""The front of the service refuses when the event loop itself is the queue: with a work meter that the test turns."""

from __future__ import annotations

import math
import random

import pytest

from modelyard.serve.limits import Limits
from modelyard.serve.patience import EACH, Front, Patience
from modelyard.serve.refusing import Refused


class Loop:
    """A loop of whom each request costs `work` seconds."""

    def __init__(self, work: float, *, p95: float | None = 0.1) -> None:
        self.worked = 0.0
        self.work, self.away = work, 0
        self.held: list[object] = []
        self.front = Front(Limits(p95=p95), lambda: self.away, work=lambda: self.worked)

    def learn(self) -> None:
        for _ in range(3 * EACH):
            with self.front():
                self.worked += self.work

    def enter(self, count: int) -> int:
        """How many of so many requests at once are let in."""
        entered = 0
        for _ in range(count):
            held = self.front()
            try:
                held.__enter__()
            except Refused as refused:
                assert refused.status == 429 and int(refused.headers["Retry-After"]) >= 1
            else:
                self.held.append(held)  # or its end would be the request's
                entered += 1
        return entered


def test_it_learns_what_a_request_costs():
    loop = Loop(0.004)
    loop.learn()
    assert loop.front.each == pytest.approx(0.004) and loop.front.inside == 0


def test_a_burst_may_take_longer_and_spends_what_others_earned():
    loop = Loop(0.004)
    loop.learn()
    assert loop.enter(1000) == 18 + 25, "0.071 s of 4 ms, and as many late ones as were saved up"
    loop.front.inside = 17
    assert loop.enter(10) == 1
    loop.front.inside = 0
    for _ in range(50):
        loop.learn()
    loop.front.inside = 49
    assert loop.enter(10) in (1, 2), "not even a burst fills more than 0.2 s"


def test_those_that_wait_for_a_model_do_not_hold_the_loop():
    loop = Loop(0.004)
    loop.learn()
    loop.front.inside = loop.away = 10_000
    assert loop.enter(10) == 10


def test_without_a_target_the_longest_queue_counts():
    loop = Loop(0.004, p95=None)
    loop.learn()
    assert loop.enter(5000) in (1250, 1251), "5 s of 4 ms"


def test_before_anything_was_measured_everybody_comes_in():
    assert Loop(0.004).enter(500) == 500


def test_under_a_load_that_lasts_three_in_a_hundred_are_late():
    patience = Patience(Limits(p95=0.1))
    waits = [0.04 if number % 3 else 0.15 for number in range(6000)]
    let_in = [wait for wait in waits if patience.admits(wait) is not None]
    late = sum(wait > 0.05 for wait in let_in)
    assert late / len(let_in) == pytest.approx(0.03, abs=0.01) and late > 25


def test_nobody_waits_longer_than_the_longest_queue():
    patience = Patience(Limits(p95=10.0, queue_time=0.5))
    assert patience.admits(0.5) and not patience.admits(0.51)


def test_a_load_that_lasts_leaves_some_patience_for_the_first_burst_after_it():
    patience = Patience(Limits(p95=0.1))
    late = sum(patience.admits(0.15) is not None for _ in range(2000) if patience.admits(0.04))
    assert 25 + 0.03 * 2000 - 7 <= late <= 25 + 0.03 * 2000
    assert not patience.admits(0.15), "it still lasts"
    assert patience.admits(0.0), "nobody is before this one: it is over"
    assert [patience.admits(0.15) for _ in range(5)] == ["late"] * 5


def served(load: float, *, back: bool = True, seconds: float = 1500.0) -> tuple[float, float]:
    """Shares of requests that were refused and of answers that came after 0.2 s, of one server of 45 ms that is offered so much of its
    capacity, arrivals and times by chance; without `back` nobody's token comes back."""
    chance, patience = random.Random(0), Patience(Limits(p95=0.2))
    each, now, free = 0.045, 0.0, 0.0
    inside: list[tuple[float, float, bool]] = []
    asked = refused = late = 0
    while now < seconds:
        now += chance.expovariate(load / each)
        asked += 1
        for end, came, paid in [one for one in inside if one[0] <= now]:
            late += end - came > 0.2
            if paid and back:
                patience.back(end - came)
        inside = [one for one in inside if one[0] > now]
        let_in = patience.admits(max(len(inside) - 0.5, 0.0) * each, own=each)
        if let_in is None:
            refused += 1
            continue
        free = max(free, now) + each * math.exp(chance.gauss(-0.03, 0.25))
        inside.append((free, now, let_in == "late"))
    return refused / asked, late / (asked - refused)


@pytest.mark.parametrize("load", [0.4, 0.6, 0.7, 0.9, 1.5, 3.0])
def test_the_target_holds_at_any_load_and_few_are_refused_who_would_be_in_time(load):
    refused, late = served(load)
    assert late < 0.05
    assert refused < {0.4: 0.001, 0.6: 0.015, 0.7: 0.05, 0.9: 0.13}.get(load, 1.06 - 1 / load)
    if 0.5 < load < 0.8:
        before, _ = served(load, back=False)
        assert refused < 0.7 * before, "who would have been in time is not refused"
