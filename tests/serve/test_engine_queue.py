"""The queue and the pace as pure data: fairness, order, budgets, deadlines; no clock, no threads."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.serve.pacing import Pace
from modelyard.serve.queueing import MOST_ROWS, PASSED, Ask, Queue

WORK = st.floats(0.5, 50.0)
ASKS = st.lists(st.tuples(st.sampled_from("abcd"), st.lists(WORK, min_size=1, max_size=12), st.booleans()), max_size=40)


def filled(asks: list[tuple[str, list[float], bool]]) -> tuple[Queue, list[Ask]]:
    queue, made = Queue(), [Ask(sizes, caller, later=later) for caller, sizes, later in asks]
    for ask in made:
        queue.add(ask)
    return queue, made


@settings(deadline=None)
@given(ASKS, st.floats(1.0, 200.0), st.floats(0.5, 50.0))
def test_every_row_leaves_once_and_no_batch_is_too_large(
    asks: list[tuple[str, list[float], bool]], budget: float, quantum: float
) -> None:
    queue, made = filled(asks)
    given: dict[int, list[int]] = {id(ask): [] for ask in made}
    for _ in range(1 + sum(len(ask.sizes) for ask in made)):
        parts, expired = queue.take(budget, quantum=quantum, now=0.0)
        rows = sum(part.stop - part.start for part in parts)
        assert not expired
        assert rows <= MOST_ROWS
        assert rows == 1 or sum(part.work for part in parts) <= budget * (1 + 1e-6)
        for part in parts:
            given[id(part.ask)] += range(part.start, part.stop)
    assert not queue
    assert queue.work == pytest.approx(0)
    assert all(given[id(ask)] == list(range(len(ask.sizes))) for ask in made)


@settings(deadline=None)
@given(st.lists(st.floats(1.0, 20.0), min_size=2, max_size=5), st.floats(5.0, 80.0), st.floats(1.0, 40.0))
def test_callers_who_always_wait_get_equal_work(row: list[float], budget: float, quantum: float) -> None:
    queue = Queue()
    for number, size in enumerate(row):  # one sends rows of 20, another of 1
        for _ in range(4):
            queue.add(Ask([size] * 400, str(number)))
    got = dict.fromkeys(map(str, range(len(row))), 0.0)
    for _ in range(20):
        for part in queue.take(budget, quantum=quantum, now=0.0)[0]:
            got[part.ask.caller] += part.work
        assert max(got.values()) - min(got.values()) <= 2 * (quantum + max(row)) + 1e-6


def test_a_flood_and_a_long_request_let_others_pass() -> None:
    queue = Queue()
    for _ in range(500):
        queue.add(Ask([1.0], "flood"))
    queue.add(Ask([1.0], "other"))
    first = queue.take(8.0, quantum=2.0, now=0.0)[0]
    assert "other" in {part.ask.caller for part in first}
    alone = Queue()
    alone.add(Ask([5.0] * 256))
    alone.add(short := Ask([1.0]))  # of the same caller
    assert short in [part.ask for part in alone.take(20.0, quantum=5.0, now=0.0)[0]]


@given(st.integers(1, 30), st.floats(1.0, 40.0), st.floats(0.5, 10.0))
def test_requests_alike_leave_in_order(count: int, budget: float, quantum: float) -> None:
    queue, made = filled([("a", [1.0], False)] * count)
    left: list[Ask] = []
    while queue:
        left += [part.ask for part in queue.take(budget, quantum=quantum, now=0.0)[0]]
    assert left == made


def test_who_is_late_or_gone_costs_nothing() -> None:
    queue = Queue()
    late, gone, here = Ask([1.0], deadline=5.0), Ask([1.0]), Ask([1.0], deadline=5.1)
    for ask in (late, gone, here):
        queue.add(ask)
    queue.leave(gone)
    queue.leave(gone)
    assert queue.work == 2.0
    parts, expired = queue.take(100.0, quantum=1.0, now=5.0)
    assert [part.ask for part in parts] == [here]
    assert expired == [late]
    assert not queue


def test_the_batch_tariff_gets_what_is_left_and_a_little_more() -> None:
    queue = Queue()
    queue.add(Ask([1.0] * 10_000, "now"))
    queue.add(Ask([1.0] * 10_000, "job", later=True))
    turns = [queue.take(4.0, quantum=4.0, now=0.0)[0] for _ in range(PASSED * 4)]
    share = sum(part.work for parts in turns for part in parts if part.ask.later) / (PASSED * 4 * 4.0)
    assert 0 < share <= 1.5 / PASSED
    idle = Queue()
    idle.add(Ask([1.0], later=True))
    assert idle.take(4.0, quantum=4.0, now=0.0)[0]


def test_a_new_caller_does_not_wait_for_the_flood() -> None:
    queue = Queue()
    queue.add(Ask([1.0] * 1000, "flood"))
    assert queue.ahead(Ask([1.0], "flood"), quantum=4.0) == (4.0, 1001.0)  # its one long request gives way
    assert queue.ahead(Ask([1.0], "other"), quantum=4.0) == (1.0, 2.0)


@given(st.floats(0, 0.1), st.floats(1e-5, 1e-2), st.lists(st.floats(1, 100), min_size=3, max_size=30, unique=True))
def test_the_pace_finds_a_straight_line(fixed: float, each: float, works: list[float]) -> None:
    pace = Pace()
    for work in [1.0, 100.0, *works]:  # what is far beyond the line so far would be taken for a pause of the machine
        pace.learn(work, fixed + each * work)
    assert pace.seconds(50.0) == pytest.approx(fixed + each * 50, rel=0.05)


def test_one_stopped_batch_does_not_throw_the_pace() -> None:
    pace = Pace()
    for _ in range(30):
        pace.learn(10.0, 0.01)
    pace.learn(10.0, 5.0)
    assert pace.seconds(10.0) < 0.02
