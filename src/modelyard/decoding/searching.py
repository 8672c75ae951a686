"""The next tokens: one after another by chance or greedily, or the likeliest whole by beam search. It knows no text.

A decoder is what a session of a language model offers: it reads a prompt, then one token at a time, and keeps its key-value state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from modelyard.decoding.sampling import Sampling, draw, probabilities
from modelyard.rows import Array


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


@dataclass(frozen=True)
class Token:
    """A token of an answer."""

    id: int
    logarithm: float
    """Natural logarithm of its probability under the model, before any option of sampling."""


def continued(
    decoder: Decoder, prompt: Array, options: Sampling, *, most: int, rng: np.random.Generator
) -> Iterator[Token]:
    """Tokens one at a time: until one ends the answer (it is not given), `most`, or the context is full."""
    room = min(most, decoder.context - len(prompt))
    if room <= 0:
        return
    logits, state = decoder.start(prompt)
    answer: list[int] = []
    for place in range(room):
        seen = np.concatenate([prompt, np.array(answer, dtype=np.int64)])
        token = draw(probabilities(logits, seen, options, generated=seen[len(prompt) :]), rng)
        if token in decoder.ends:
            return
        answer.append(token)
        yield Token(token, float(log_softmax(logits)[token]))
        if place + 1 < room:
            rows, state = decoder.step(np.array([token], dtype=np.int64), state)
            logits = rows[0]


def beam(decoder: Decoder, prompt: Array, *, beams: int, most: int, length_penalty: float = 1.0) -> list[int]:
    """The answer of the highest mean log-probability (sum / length ** penalty) that a beam of this width finds, end left out."""
    room = min(most, decoder.context - len(prompt))
    if room <= 0:
        return []
    first, state = decoder.start(prompt)
    logits, state = np.repeat(first[None], beams, axis=0), decoder.pick(state, np.zeros(beams, dtype=np.int64))
    sums = np.full(beams, -np.inf)
    sums[0] = 0.0  # all rows are alike before the first token: only one may branch
    rows: list[list[int]] = [[] for _ in range(beams)]
    finished: list[tuple[float, list[int]]] = []
    for place in range(1, room + 1):
        totals = sums[:, None] + log_softmax(logits)  # (B, V)
        width = totals.shape[1]
        flat = totals.ravel()
        likely = np.argpartition(flat, -2 * beams)[-2 * beams :] if len(flat) > 2 * beams else np.arange(len(flat))
        likely = likely[np.argsort(-flat[likely], kind="stable")]
        going: list[tuple[int, int, float]] = []
        for choice in likely:
            row, token, total = int(choice) // width, int(choice) % width, float(flat[choice])
            if token in decoder.ends:
                finished.append((total / place**length_penalty, rows[row]))
            elif len(going) < beams:
                going.append((row, token, total))
        finished = sorted(finished, key=lambda one: -one[0])[:beams]
        sums = np.array([total for *_, total in going])
        if len(finished) == beams and finished[-1][0] >= sums.max() / place**length_penalty:
            break
        rows = [[*rows[row], token] for row, token, _ in going]
        if place < room:
            chosen = decoder.pick(state, np.array([row for row, *_ in going], dtype=np.int64))
            logits, state = decoder.step(np.array([token for _, token, _ in going], dtype=np.int64), chosen)
    else:
        finished += [(total / room**length_penalty, row) for total, row in zip(sums.tolist(), rows, strict=True)]
    return max(finished, key=lambda one: one[0])[1]


def log_softmax(logits: Array) -> Array:
    """Log-probabilities of logits (..., V), float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
