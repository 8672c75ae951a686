"""Answers token by token and by beam, on a decoder whose every answer can be listed."""

from __future__ import annotations

import itertools

import numpy as np

from modelyard.decoding.sampling import Sampling
from modelyard.decoding.searching import beam, continued, log_softmax
from modelyard.rows import Array

END = 4


class Chain:
    """A Markov chain over five tokens, the last of which ends: the state is the latest token of each row."""

    def __init__(self, seed: int = 0, context: int = 50) -> None:
        self.ends, self.context = frozenset({END}), context
        self.logits = np.random.default_rng(seed).normal(0, 2, (5, 5))
        self.steps = 0

    def start(self, ids: Array) -> tuple[Array, Array]:
        return self.logits[ids[-1]], np.array([ids[-1]])

    def step(self, ids: Array, state: Array) -> tuple[Array, Array]:
        assert len(ids) == len(state)
        self.steps += 1
        return self.logits[ids], np.array(ids)

    def pick(self, state: Array, rows: Array) -> Array:
        return state[rows]

    def value(self, start: int, answer: list[int], *, ended: bool) -> float:
        """Mean log-probability of an answer."""
        steps = [*answer, END] if ended else answer
        logs = log_softmax(self.logits)
        return float(sum(logs[before, after] for before, after in itertools.pairwise([start, *steps]))) / len(steps)


def generated(decoder: Chain, options: Sampling, most: int, seed: int = 0) -> list[int]:
    rng = np.random.default_rng(seed)
    return [token.id for token in continued(decoder, np.array([0]), options, most=most, rng=rng)]


def test_greedy_takes_the_likeliest_each_time_and_tells_its_logarithm() -> None:
    decoder = Chain()
    tokens = list(continued(decoder, np.array([0]), Sampling(temperature=0), most=6, rng=np.random.default_rng(0)))
    at = 0
    for token in tokens:
        assert token.id == decoder.logits[at].argmax()
        assert np.isclose(token.logarithm, log_softmax(decoder.logits)[at, token.id])
        at = token.id
    assert len(tokens) == 6 or decoder.logits[at].argmax() == END


def test_the_same_seed_gives_the_same_answer_and_another_one_another() -> None:
    decoder = Chain()
    answers = [generated(decoder, Sampling(), 20, seed) for seed in (1, 1, 2, 3)]
    assert answers[0] == answers[1] and len({tuple(answer) for answer in answers}) > 1


def test_an_answer_ends_with_its_room_and_no_step_is_wasted() -> None:
    decoder = Chain(context=4)
    decoder.logits[:, END] = -1e9
    assert len(generated(decoder, Sampling(), 99)) == 3, "the prompt takes one of four"
    assert decoder.steps == 2
    assert generated(Chain(context=1), Sampling(), 9) == []


def test_a_wide_beam_finds_the_best_of_all_answers() -> None:
    for seed in range(8):
        decoder, most = Chain(seed), 4
        best, value = None, -np.inf
        for length in range(most + 1):
            for answer in itertools.product(range(4), repeat=length):
                for ended in (True, False):
                    if (ended and length < most) or (not ended and length == most):
                        here = decoder.value(0, list(answer), ended=ended)
                        if here > value:
                            best, value = list(answer), here
        assert beam(decoder, np.array([0]), beams=300, most=most) == best


def test_a_beam_of_one_is_greedy() -> None:
    for seed in range(8):
        decoder = Chain(seed)
        decoder.logits[:, END] = -1e9
        assert beam(decoder, np.array([0]), beams=1, most=7) == generated(decoder, Sampling(temperature=0), 7)
