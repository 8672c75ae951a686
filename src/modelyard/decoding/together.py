"""Rows of many answers in one state: each call computes the next token of all of them, whoever began when. It knows no tokens' meaning.

    together = Together(decoder)
    together.join("one", state, length=12)             a prompt that was read
    logits = together.step({"one": move, ...})         one call of the decoder; who is left out leaves

An answer gets the same logits as alone, up to the rounding of a larger matrix.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from modelyard.decoding.searching import Decoder, Move
from modelyard.rows import Array

Name = TypeVar("Name", bound=Hashable)
WIDE = 1.5
"""Places of the state, in those that its longest row needs, beyond which it is copied: a copy takes about as long as a few steps."""


class Together(Generic[Name]):
    """The rows of a decoder's joint state, by whose they are."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._state: Any = None
        self._rows: dict[Name, Array] = {}
        """Where the rows of each stand in the state."""
        self._came: dict[Name, Any] = {}
        """States that wait to be joined: one copy for all that come between two steps."""
        self._lengths: dict[Name, int] = {}
        """Tokens that the rows of each have seen."""
        self._width = 0
        """Places that the state has for each row."""
        self.calls = 0
        """Steps computed so far."""

    def join(self, name: Name, state: Any, *, length: int) -> None:
        """An answer whose prompt was read: the state of one row, and how many tokens that has seen."""
        assert name not in self._rows and name not in self._came, "an answer joins once"
        self._came[name], self._lengths[name] = state, length

    def step(self, moves: Mapping[Name, Move]) -> dict[Name, Array]:
        """Logits (B, V) of what follows each answer's rows. Those that are not named are forgotten."""
        if not moves:
            self.clear()
            return {}
        try:
            return self._stepped(moves)
        except Exception:
            self.clear()  # a state that a call broke in cannot be gone on from
            raise

    def clear(self) -> None:
        """Forget all rows, and with them their keys and values."""
        self._state, self._rows, self._came, self._lengths, self._width = None, {}, {}, {}, 0

    def _stepped(self, moves: Mapping[Name, Move]) -> dict[Name, Array]:
        going = [name for name in moves if name in self._rows]
        fresh = [name for name in moves if name not in self._rows]
        # who left goes first, so that a join copies nothing of theirs
        self._pick(
            [self._rows[name][moves[name].rows] for name in going], sum(len(rows) for rows in self._rows.values())
        )
        self._rows, before = _spans({name: len(moves[name].rows) for name in going})
        self._lengths = {name: self._lengths[name] + 1 for name in moves}
        self._join([self._came[name] for name in fresh])
        self._came = {}
        branches = [np.repeat(before + place, len(moves[name].rows)) for place, name in enumerate(fresh)]
        self._pick([np.arange(before), *branches], before + len(fresh))
        order = [*going, *fresh]
        self._rows, _ = _spans({name: len(moves[name].rows) for name in order})
        logits, self._state = self._decoder.step(np.concatenate([moves[name].ids for name in order]), self._state)
        self.calls, self._width = self.calls + 1, self._width + 1
        return {name: logits[rows] for name, rows in self._rows.items()}

    def _pick(self, parts: Sequence[Array], count: int) -> None:
        """Of a state of so many rows those that are wanted."""
        rows = np.concatenate([np.zeros(0, dtype=np.int64), *parts])
        if not len(rows):
            self._state = None
        elif not np.array_equal(rows, np.arange(count)):
            self._state = self._decoder.pick(self._state, rows)

    def _join(self, came: Sequence[Any]) -> None:
        """Those that came; and where longer ones left so much room that a third of it is empty, the rest is moved together."""
        states = [*([] if self._state is None else [self._state]), *came]
        needed = max(self._lengths.values()) - 1
        if came or self._width > WIDE * needed:
            self._state = self._decoder.join(states) if len(states) > 1 or not came else states[0]
            self._width = needed


def _spans(sizes: Mapping[Name, int]) -> tuple[dict[Name, Array], int]:
    """Rows one after another, and how many."""
    edges = np.cumsum([0, *sizes.values()])
    spans = zip(sizes, edges[:-1], edges[1:], strict=True)
    return {name: np.arange(start, stop) for name, start, stop in spans}, int(edges[-1])
