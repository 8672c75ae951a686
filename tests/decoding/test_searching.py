"""Answers token by token and by beam, on a decoder whose every answer can be listed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from modelyard.decoding.sampling import Sampling
from modelyard.decoding.searching import Answers, beam, continued, log_softmax, scored, searched
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

    def more(self, ids: Array, state: Array) -> tuple[Array, Array]:
        return self.start(ids)

    def join(self, states: Sequence[Array]) -> Array:
        return np.concatenate(states)

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


def test_several_answers_are_those_that_each_would_be_alone() -> None:
    """One prompt read, one step for all; whoever ends or is dropped takes no further part."""
    decoder, prompt, number = Chain(3), np.array([0]), 6
    decoder.logits[:, END] += 1
    alone = [generated(decoder, Sampling(), 12, seed) for seed in range(number)]
    assert len({len(answer) for answer in alone}) > 2
    decoder.steps = 0
    answers = Answers(
        decoder, prompt, Sampling(), most=12, rngs=[np.random.default_rng(seed) for seed in range(number)]
    )
    found: list[list[int]] = [[] for _ in range(number)]
    ended = set()
    while answers.going:
        for row, token in answers.step().items():
            if token is None:
                ended.add(row)
            else:
                found[row].append(token.id)
        if len(found[0]) == 2:
            answers.drop(0)
    assert found[0] == alone[0][:2]
    assert found[1:] == alone[1:]
    assert {row for row in range(1, number) if len(alone[row]) < 12} <= ended
    assert decoder.steps <= 12


def test_the_likeliest_are_told_in_order() -> None:
    decoder = Chain()
    tokens = continued(decoder, np.array([0]), Sampling(), most=3, rng=np.random.default_rng(0))
    assert all(token.likeliest == () for token in tokens)
    answers = Answers(decoder, np.array([2]), Sampling(), most=1, rngs=[np.random.default_rng(0)], likeliest=3)
    token = answers.step()[0]
    logs = log_softmax(decoder.logits)[2]
    best = np.argsort(-logs)[:3]
    assert token is None or [one for one, _ in token.likeliest] == best.tolist()
    assert token is None or np.allclose([logarithm for _, logarithm in token.likeliest], logs[best])


def test_a_text_is_scored_token_by_token() -> None:
    decoder, text = Chain(), np.array([0, 3, 1, 4, 2])
    logs = log_softmax(decoder.logits)
    found = list(scored(decoder, text))
    assert [token.id for token in found] == text[1:].tolist()
    assert np.allclose([token.logarithm for token in found], [logs[a, b] for a, b in itertools.pairwise(text)])
    assert decoder.steps == 3, "what follows the last token is nobody's concern"
    assert list(scored(decoder, text[:1])) == []


def test_a_search_may_be_taken_in_steps_and_says_whether_the_model_ended() -> None:
    for seed in range(6):
        *steps, found = searched(Chain(seed), np.array([0]), beams=3, most=5)
        assert found is not None and set(steps) <= {None}
        assert found.ids == beam(Chain(seed), np.array([0]), beams=3, most=5)
        assert found.ended == (len(found.ids) < 5)


def test_a_search_with_many_ends_still_goes_on() -> None:
    """Where every likely token ends an answer, the others are still searched."""
    decoder = Chain()
    decoder.ends = frozenset({1, 2, 3, 4})
    decoder.logits[:, 0] = -9.0
    assert beam(decoder, np.array([0]), beams=1, most=4) == []
