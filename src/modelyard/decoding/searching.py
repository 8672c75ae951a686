"""The next tokens: one after another by chance or greedily, or the likeliest whole by beam search. It knows no text.

A decoder is what a session of a language model offers: it reads a prompt, then one token at a time, and keeps its key-value state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from modelyard.decoding.sampling import draw, probabilities
from modelyard.rows import Array
from modelyard.sampling import Sampling


class Decoder(Protocol):
    """What continues token ids."""

    ends: frozenset[int]
    """Tokens that end an answer."""
    context: int
    """Most tokens that it can see, prompt and answer together."""

    def start(self, ids: Array) -> tuple[Array, Any]:
        """A prompt (T,) -> logits of what follows (V,), and the state after it for one row."""

    def step(self, ids: Array, state: Any) -> tuple[Array, Any]:
        """One more token for each row (B,) -> logits (B, V) and the state; the state given is used up."""

    def pick(self, state: Any, rows: Array) -> Any:
        """The state of these rows, in this order; a row may come twice."""

    def more(self, ids: Array, state: Any) -> tuple[Array, Any]:
        """More of the text of one row (T,) -> logits of what follows (V,), and the state; the state given is used up."""

    def join(self, states: Sequence[Any]) -> Any:
        """The state of all their rows, one after another; the states given are used up."""


@dataclass(frozen=True)
class Move:
    """How the rows of an answer go on: which of those before, in which order, each with its next token."""

    rows: Array
    """(B,) numbers of rows before; one may come twice."""
    ids: Array
    """(B,) the token of each."""


@dataclass(frozen=True)
class Token:
    """A token of an answer."""

    id: int
    logarithm: float
    """Natural logarithm of its probability under the model, before any option of sampling."""
    likeliest: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens in its place and their logarithms, the likeliest first; as many as were asked for."""


class Answers:
    """Answers to one prompt, or to one each, one token each a step: rows of one state, so that one prompt is read once.

    >>> answers = Answers(decoder, prompt, Sampling(), most=20, rngs=[rng])  # doctest: +SKIP
    >>> while answers.going: tokens = answers.step()  # doctest: +SKIP

    Prompts of several answers need a decoder that reads several at once (`sessions._decoders.Reader.read`).
    """

    def __init__(
        self, decoder: Any, prompt: Array | Sequence[Array], options: Sampling, *, most: int,
        rngs: Sequence[np.random.Generator], likeliest: int = 0,
    ) -> None:  # fmt: skip
        self._decoder, self._options, self._alike = decoder, options, isinstance(prompt, np.ndarray)
        self._prompts = [np.asarray(one, dtype=np.int64) for one in ([prompt] * len(rngs) if self._alike else prompt)]
        self._rngs, self._likeliest = rngs, likeliest
        self._rooms = [min(most, decoder.context - len(one)) for one in self._prompts]
        self.going: list[int] = [answer for answer, room in enumerate(self._rooms) if room > 0]
        """Answers that are still being written."""
        self._answers: list[list[int]] = [[] for _ in rngs]
        self._stepped: list[int] = []
        """The answers that the state's rows stand for."""
        self._branched = True
        """Whether the state has a row for each, and not one for all."""
        self._state: Any = None

    def step(self) -> dict[int, Token | None]:
        """The next token of each answer that is going; None where it has ended. Nothing is computed for tokens nobody asks for."""
        return self.take(self._logits())

    def begin(self, logits: Array) -> dict[int, Token | None]:
        """`step` for who reads the one prompt himself: its logits (V,). The state needs one row; `move` branches it."""
        found = self.take(np.repeat(logits[None], len(self.going), axis=0))
        self._branched = False
        return found

    def move(self) -> Move:
        """What is to be computed for the answers that are going, which then `take` it."""
        places = [self._stepped.index(answer) if self._branched else 0 for answer in self.going]
        latest = [self._answers[answer][-1] for answer in self.going]
        return Move(np.array(places, dtype=np.int64), np.array(latest, dtype=np.int64))

    def take(self, logits: Array) -> dict[int, Token | None]:
        """`step` for who computes himself: logits (B, V) of what follows the rows of the move; none is dropped in between."""
        assert len(logits) == len(self.going)
        self._stepped, self._branched = list(self.going), True
        found: dict[int, Token | None] = {}
        for row, answer in enumerate(self._stepped):
            before = np.array(self._answers[answer], dtype=np.int64)
            seen = np.concatenate([self._prompts[answer], before])
            chosen = draw(probabilities(logits[row], seen, self._options, generated=before), self._rngs[answer])
            ended = chosen in self._decoder.ends
            found[answer] = None if ended else told(logits[row], chosen, self._likeliest)
            self._answers[answer].append(chosen)
            if ended or len(before) + 1 == self._rooms[answer]:
                self.drop(answer)
        return found

    def drop(self, answer: int) -> None:
        """Write no more of this one."""
        if answer in self.going:
            self.going.remove(answer)

    def _logits(self) -> Array:
        """(B, V) of what follows the answers that are going."""
        if self._state is None and not self._alike:
            found: Array
            found, self._state = self._decoder.read([self._prompts[answer] for answer in self.going])
            return found
        if self._state is None:
            first, self._state = self._decoder.start(self._prompts[0])
            if len(self.going) > 1:
                self._state = self._decoder.pick(self._state, np.zeros(len(self.going), dtype=np.int64))
            return np.repeat(first[None], len(self.going), axis=0)
        same, move = self.going == self._stepped, self.move()
        if not same:
            self._state = self._decoder.pick(self._state, move.rows)
        logits: Array
        logits, self._state = self._decoder.step(move.ids, self._state)
        return logits


def continued(
    decoder: Decoder, prompt: Array, options: Sampling, *, most: int, rng: np.random.Generator
) -> Iterator[Token]:
    """Tokens one at a time: until one ends the answer (it is not given), `most`, or the context is full."""
    answers = Answers(decoder, prompt, options, most=most, rngs=[rng])
    while answers.going:
        token = answers.step()[0]
        if token is not None:
            yield token


def scored(decoder: Decoder, ids: Array, *, likeliest: int = 0) -> Iterator[Token]:
    """The tokens of a text but the first, as the decoder expected each of them; read one at a time."""
    if len(ids) < 2:
        return
    logits, state = decoder.start(np.asarray(ids[:1], dtype=np.int64))
    for place, token in enumerate(ids[1:], start=1):
        yield told(logits, int(token), likeliest)
        if place + 1 < len(ids):
            rows, state = decoder.step(np.array([token], dtype=np.int64), state)
            logits = rows[0]


@dataclass(frozen=True)
class Found:
    """What a search came to."""

    ids: list[int]
    ended: bool
    """Whether the model ended it; else there was no more room."""


def beam(decoder: Decoder, prompt: Array, *, beams: int, most: int, length_penalty: float = 1.0) -> list[int]:
    """The answer of the highest mean log-probability (sum / length ** penalty) that a beam of this width finds, end left out."""
    steps = searched(decoder, prompt, beams=beams, most=most, length_penalty=length_penalty)
    return next(found.ids for found in steps if found is not None)


def searched(
    decoder: Decoder, prompt: Array, *, beams: int, most: int, length_penalty: float = 1.0
) -> Iterator[Found | None]:
    """Beam search a step at a time: None after each that was not the last, then what `beam` finds."""
    search = Search(decoder, prompt, beams=beams, most=most, length_penalty=length_penalty)
    if search.found is None:
        logits, state = decoder.start(prompt)
        search.begin(logits)
    while search.found is None:
        yield None
        move = search.move()
        rows, state = decoder.step(move.ids, decoder.pick(state, move.rows))
        search.take(rows)
    yield search.found


class Search:
    """A beam search that computes nothing itself: logits are given to it. Its rows are the beams; before the first token one."""

    def __init__(
        self, decoder: Decoder, prompt: Array, *, beams: int, most: int, length_penalty: float = 1.0
    ) -> None:  # fmt: skip
        self._ends, self._beams, self._penalty = decoder.ends, beams, length_penalty
        self._room = min(most, decoder.context - len(prompt))
        self.found: Found | None = Found([], ended=False) if self._room <= 0 else None
        """What it came to; None while it is going."""
        self._place = 0
        self._sums = np.zeros(1)
        self._rows: list[list[int]] = [[]]
        self._finished: list[tuple[float, Found]] = []
        self._move = Move(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))

    def begin(self, logits: Array) -> None:
        """Logits (V,) of what follows the prompt: all rows are alike before the first token, so only one branches."""
        self.take(logits[None])

    def move(self) -> Move:
        """What is to be computed next."""
        return self._move

    def take(self, logits: Array) -> None:
        """Logits (B, V) of what follows the rows of the latest move."""
        self._place += 1
        totals = self._sums[:, None] + log_softmax(logits)  # (B, V)
        flat, width = totals.ravel(), logits.shape[1]
        likeliest = self._beams * (1 + len(self._ends))  # so many that `beams` of them end nothing
        likely = np.argpartition(flat, -likeliest)[-likeliest:] if len(flat) > likeliest else np.arange(len(flat))
        likely = likely[np.argsort(-flat[likely], kind="stable")]
        going: list[tuple[int, int, float]] = []
        for choice in likely:
            row, token, total = int(choice) // width, int(choice) % width, float(flat[choice])
            if token in self._ends:
                self._finished.append((self._value(total), Found(self._rows[row], ended=True)))
            elif len(going) < self._beams:
                going.append((row, token, total))
        self._finished = sorted(self._finished, key=lambda one: -one[0])[: self._beams]
        self._sums = np.array([total for *_, total in going])
        full = len(self._finished) == self._beams
        if not going or (full and self._finished[-1][0] >= self._value(float(self._sums.max()))):
            self._end()
            return
        self._rows = [[*self._rows[row], token] for row, token, _ in going]
        self._move = Move(
            np.array([row for row, *_ in going], dtype=np.int64),
            np.array([token for _, token, _ in going], dtype=np.int64),
        )
        if self._place == self._room:
            ends = zip(self._sums.tolist(), self._rows, strict=True)
            self._finished += [(self._value(total), Found(row, ended=False)) for total, row in ends]
            self._end()

    def _value(self, total: float) -> float:
        return float(total / self._place**self._penalty)

    def _end(self) -> None:
        self.found = max(self._finished, key=lambda one: one[0])[1]


def told(logits: Array, token: int, likeliest: int = 0) -> Token:
    """A token with what logits (V,) say of it and of the likeliest in its place."""
    top = logits.max()
    whole = float(top) + float(np.log(np.exp(logits - top).sum(dtype=np.float64)))
    others: tuple[tuple[int, float], ...] = ()
    if likeliest:
        best = np.argpartition(logits, -likeliest)[-likeliest:] if likeliest < len(logits) else np.arange(len(logits))
        best = best[np.lexsort((best, -logits[best]))]
        others = tuple((int(one), float(logits[one]) - whole) for one in best)
    return Token(token, float(logits[token]) - whole, others)


def log_softmax(logits: Array) -> Array:
    """Log-probabilities of logits (..., V), float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
