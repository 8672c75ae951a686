"""Rows that come and go in one state: each goes on as it would alone, in as few calls as the longest needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.decoding.sampling import Sampling
from modelyard.decoding.searching import Answers, Move, Search, beam, continued
from modelyard.decoding.together import Together
from modelyard.rows import Array

END = 6


class Memory:
    """Logits that depend on a row's whole text: a state that is mixed up gives another answer. Rows are tuples of tokens."""

    def __init__(self) -> None:
        self.ends, self.context, self.steps, self.joins = frozenset({END}), 40, 0, 0

    def _logits(self, row: Sequence[int]) -> Array:
        return np.random.default_rng([len(row), *row]).normal(0, 2, 7)

    def start(self, ids: Array) -> tuple[Array, Any]:
        return self._logits(ids.tolist()), [tuple(ids.tolist())]

    def more(self, ids: Array, state: Any) -> tuple[Array, Any]:
        return self.start(np.array([*state[0], *ids.tolist()]))

    def step(self, ids: Array, state: Any) -> tuple[Array, Any]:
        assert len(ids) == len(state)
        self.steps += 1
        after = [(*row, int(token)) for row, token in zip(state, ids, strict=True)]
        return np.stack([self._logits(row) for row in after]), after

    def pick(self, state: Any, rows: Array) -> Any:
        return [state[row] for row in rows]

    def join(self, states: Sequence[Any]) -> Any:
        self.joins += 1
        return [row for state in states for row in state]


class Swapped(Memory):
    """A planted fault: rows come out of a join in another order."""

    def join(self, states: Sequence[Any]) -> Any:
        return super().join(states)[::-1]


class Line:
    """One answer, or the beams of one, as `serve.writer` drives it."""

    def __init__(self, decoder: Memory, number: int, prompt: Array, *, most: int, width: int, beams: bool) -> None:
        self.number, self.prompt, self.beams = number, prompt, beams
        rngs = [np.random.default_rng([number, row]) for row in range(width)]
        self.answers = Answers(decoder, prompt, Sampling(), most=most, rngs=rngs)
        self.search = Search(decoder, prompt, beams=width, most=most)
        self.ids: list[list[int]] = [[] for _ in range(width)]

    def told(self, tokens: dict[int, Any]) -> None:
        for row, token in tokens.items():
            if token is not None:
                self.ids[row].append(token.id)

    def begin(self, logits: Array) -> None:
        if self.beams:
            self.search.begin(logits)
        else:
            self.told(self.answers.begin(logits))

    def take(self, logits: Array) -> None:
        if self.beams:
            self.search.take(logits)
        else:
            self.told(self.answers.take(logits))

    @property
    def move(self) -> Move | None:
        if self.beams:
            return self.search.move() if self.search.found is None else None
        return self.answers.move() if self.answers.going else None

    @property
    def found(self) -> list[list[int]]:
        return [self.search.found.ids] if self.beams and self.search.found else self.ids


def together(decoder: Memory, wanted: Sequence[tuple[int, int, int, int, bool]]) -> list[list[list[int]]]:
    """Of (turn at which it comes, prompt's length, most, width, beams): what each comes to."""
    joint, lines, turn = Together(decoder), dict[int, Line](), 0
    while turn <= max(come for come, *_ in wanted) or any(line.move for line in lines.values()):
        for number, (come, length, most, width, beams) in enumerate(wanted):
            if come == turn:
                prompt = np.arange(length) % 6 + number % 2
                line = lines[number] = Line(decoder, number, prompt, most=most, width=width, beams=beams)
                logits, state = decoder.start(prompt)
                line.begin(logits)
                joint.join(number, state, length=length)
        going = {number: move for number, line in lines.items() if (move := line.move) is not None}
        for name, logits in joint.step(going).items():
            lines[name].take(logits)  # type: ignore[index]
        turn += 1
    return [lines[number].found for number in range(len(wanted))]


def alone(wanted: Sequence[tuple[int, int, int, int, bool]]) -> list[list[list[int]]]:
    found = []
    for number, (_, length, most, width, beams) in enumerate(wanted):
        prompt = np.arange(length) % 6 + number % 2
        rngs = [np.random.default_rng([number, row]) for row in range(width)]
        drawn = [continued(Memory(), prompt, Sampling(), most=most, rng=rng) for rng in rngs]
        found.append(
            [beam(Memory(), prompt, beams=width, most=most)] if beams else [[one.id for one in row] for row in drawn]
        )
    return found


WANTED = st.lists(
    st.tuples(st.integers(0, 8), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.booleans()),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(WANTED)
def test_whoever_comes_and_goes_each_answer_is_the_one_it_is_alone(
    wanted: list[tuple[int, int, int, int, bool]],
) -> None:
    assert together(Memory(), wanted) == alone(wanted)


def test_the_law_notices_rows_that_are_mixed_up() -> None:
    wanted = [(0, 3, 9, 1, False), (1, 5, 9, 1, False), (1, 2, 9, 2, False)]
    assert together(Memory(), wanted) == alone(wanted)
    assert together(Swapped(), wanted) != alone(wanted)


def test_eight_answers_take_as_many_calls_as_one() -> None:
    decoder = Memory()
    decoder.ends = frozenset()
    together(decoder, [(0, 4, 32, 1, False)] * 8)
    assert decoder.steps == 31
    assert decoder.joins == 1


def test_room_that_a_long_one_leaves_is_given_back() -> None:
    decoder = Memory()
    decoder.ends = frozenset()
    together(decoder, [(0, 30, 3, 1, False), (0, 2, 20, 1, False)])
    assert decoder.joins == 2, "once when they began, once when the longer one had left"


def test_after_a_broken_step_nothing_is_left_and_others_can_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = Memory()
    joint = Together(decoder)
    joint.join("one", decoder.start(np.array([1]))[1], length=1)
    move = Move(np.array([0]), np.array([2]))
    with monkeypatch.context() as patched:
        patched.setattr(decoder, "_logits", lambda row: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            joint.step({"one": move})
    joint.join("two", decoder.start(np.array([3]))[1], length=1)
    assert np.array_equal(joint.step({"two": move})["two"][0], decoder._logits([3, 2]))
