"""Counts of byte sequences and of what follows them, with Witten-Bell smoothing (Witten and Bell 1991): numpy, one pass over the texts.

    p(c | h) = (n(h c) + t(h) p(c | h')) / (n(h) + t(h)),  t: different bytes that followed h,  h': h without its first byte

Below a context of nothing every byte is as likely. The end of a text is a symbol of its own, and what stands before one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelyard.rows import Array, Rows

END = 256
SYMBOLS = 257
"""256 bytes, and the end."""
BITS = 9
"""Of a symbol in a code: seven symbols fit 64 bits."""
LONGEST = 7
WINDOW = 1 << 20
"""Bytes of a text that is being written: it is the last few that count."""


def symbols(text: str) -> Array:
    """(L,) int64: the bytes of a text."""
    return np.frombuffer(text.encode("utf-8", errors="replace"), dtype=np.uint8).astype(np.int64)


def spell(ids: Sequence[int]) -> str:
    """The text of symbols, ends left out; what is no UTF-8 shows as such."""
    return bytes(one for one in ids if one != END).decode("utf-8", errors="replace")


def encode(rows: Rows, prompts: Sequence[str], target: str) -> dict[str, Array]:
    """`ids` (n, L) of prompt, text and end, `start` (n,) where the text begins, `length` (n,)."""
    before = [symbols("".join(f"{text or ''}\n" for text in texts)) for texts in _beside(rows, prompts)]
    found = [
        np.concatenate([head, symbols(text or ""), [END]]) for head, text in zip(before, rows[target], strict=True)
    ]
    length = np.array([len(one) for one in found], dtype=np.int64)
    ids = np.full((len(found), int(length.max(initial=1))), END, dtype=np.int64)
    for row, one in enumerate(found):
        ids[row, : len(one)] = one
    return {"ids": ids, "start": np.array([len(head) for head in before], dtype=np.int64), "length": length}


def heads(rows: Rows, prompts: Sequence[str]) -> list[list[int]]:
    """The symbols that an answer to each row follows."""
    return [symbols("".join(f"{text or ''}\n" for text in texts)).tolist() for texts in _beside(rows, prompts)]


def _beside(rows: Rows, names: Sequence[str]) -> list[list[Any]]:
    return [[rows[name][place] for name in names] for place in range(len(rows))]


def count(texts: Sequence[Array], order: int) -> dict[str, Array]:
    """For each length of context: the codes seen and how often; and the contexts, how often each was seen and what kinds followed."""
    weights: dict[str, Array] = {}
    for size in range(1, order + 1):
        seen, often = np.unique(np.concatenate([_codes(text, size) for text in texts]), return_counts=True)
        contexts, start, kinds = np.unique(seen >> np.uint64(BITS), return_index=True, return_counts=True)
        weights |= {
            f"seen.{size}": seen, f"often.{size}": often.astype(np.int64), f"context.{size}": contexts,
            f"total.{size}": np.add.reduceat(often, start).astype(np.int64), f"kinds.{size}": kinds.astype(np.int64),
        }  # fmt: skip
    return weights


def _codes(text: Array, size: int) -> Array:
    """(L,) the symbol at each place and the `size - 1` before it as one number; ends stand before the first."""
    padded = np.concatenate([np.full(size - 1, END), text]).astype(np.uint64)
    found = np.zeros(len(text), dtype=np.uint64)
    for place in range(size):
        found = (found << np.uint64(BITS)) | padded[place : place + len(text)]
    return found


@dataclass
class NgramDecoder:
    """Scores symbols and continues them; the state of a row is the last ones it saw."""

    weights: dict[str, Array]
    order: int
    context: int = WINDOW
    ends: frozenset[int] = frozenset({END})

    def score(self, arrays: dict[str, Any]) -> Array:
        """What `encode` gives -> (n, 3) nats, tokens, bytes."""
        found = []
        for ids, start, length in zip(arrays["ids"], arrays["start"], arrays["length"], strict=True):
            every = [_codes(ids[:length], size)[start:] for size in range(1, self.order + 1)]
            found.append((-np.log(self._shares(every)).sum(), length - start, length - start))
        return np.array(found, dtype=np.float64).reshape(-1, 3)

    def start(self, ids: Array) -> tuple[Array, Any]:
        """Logits (V,) of what follows a prompt, and its state."""
        head = np.concatenate([np.full(LONGEST, END), np.asarray(ids)])[None, -LONGEST:]
        return self._following(head[0]), head

    def step(self, ids: Array, state: Any) -> tuple[Array, Any]:
        """Logits (B, V) after one more symbol of each row."""
        state = np.concatenate([state[:, 1:], np.asarray(ids)[:, None]], axis=1)
        return np.stack([self._following(row) for row in state]), state

    def pick(self, state: Any, rows: Array) -> Any:
        """The state of these rows."""
        return state[rows]

    def more(self, ids: Array, state: Any) -> tuple[Array, Any]:
        """Logits (V,) after more symbols of one row."""
        return self.start(np.concatenate([state[0], np.asarray(ids)]))

    def join(self, states: Sequence[Any]) -> Any:
        """The state of all their rows."""
        return np.concatenate(states)

    def _following(self, before: Array) -> Array:
        every = np.repeat(before[None], SYMBOLS, axis=0)
        texts = np.concatenate([every, np.arange(SYMBOLS)[:, None]], axis=1).astype(np.uint64)
        found = []
        for size in range(1, self.order + 1):
            code = np.zeros(SYMBOLS, dtype=np.uint64)
            for place in range(texts.shape[1] - size, texts.shape[1]):
                code = (code << np.uint64(BITS)) | texts[:, place]
            found.append(code)
        result: Array = np.log(self._shares(found))
        return result

    def _shares(self, every: Sequence[Array]) -> Array:
        """(L,) probabilities of the symbols whose codes these are, by length of context."""
        share = np.full(len(every[0]), 1.0 / SYMBOLS)
        for size, code in enumerate(every, start=1):
            seen, context = self.weights[f"context.{size}"], code >> np.uint64(BITS)
            often = _found(self.weights[f"seen.{size}"], self.weights[f"often.{size}"], code)
            total, kinds = (_found(seen, self.weights[f"{name}.{size}"], context) for name in ("total", "kinds"))
            share = np.where(total > 0, (often + kinds * share) / np.maximum(total + kinds, 1.0), share)
        return share


def _found(keys: Array, values: Array, wanted: Array) -> Array:
    """The value of each wanted key, 0 where there is none; keys are sorted."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    result: Array = np.where(keys[place] == wanted, values[place], 0).astype(np.float64)
    return result
