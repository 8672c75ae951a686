"""The next token from logits: penalties, temperature, top-k, top-p, min-p, then one draw. It knows no model and no text.

Order and meaning are those of transformers, so that the same options give the same distribution.

>>> draw(probabilities(logits, seen, Sampling(top_p=0.9)), np.random.default_rng(0))  # doctest: +SKIP
"""

from __future__ import annotations

import numpy as np

from modelyard.rows import Array
from modelyard.sampling import Sampling

LIKELY = 1024
"""Tokens that are sorted first for top-p: a whole vocabulary takes milliseconds, and the nucleus is nearly always among them."""

BLOCK = 256
"""Tokens whose shares are summed up together before one is drawn."""


def probabilities(logits: Array, seen: Array, options: Sampling, *, generated: Array | None = None) -> Array:
    """(V,) float64 of logits (V,). `seen`: ids of prompt and answer so far; `generated`: the answer's alone (default: all seen)."""
    scores = np.array(logits, dtype=np.float64)
    _punish(scores, np.asarray(seen, dtype=np.int64), options, seen if generated is None else generated)
    if options.temperature == 0:
        only = np.zeros_like(scores)
        only[int(np.argmax(scores))] = 1.0
        return only
    scores /= options.temperature
    if 0 < options.top_k < len(scores):
        scores[scores < np.partition(scores, -options.top_k)[-options.top_k]] = -np.inf
    scores -= scores.max()
    shares = np.exp(scores, out=scores)
    shares /= shares.sum()
    if options.top_p < 1:
        shares[~_nucleus(shares, options.top_p)] = 0.0
    if options.min_p:
        shares[shares < options.min_p * shares.max()] = 0.0
    if options.top_p < 1 or options.min_p:
        shares /= shares.sum()
    return shares


def _punish(scores: Array, seen: Array, options: Sampling, generated: Array) -> None:
    if options.bias:
        scores[list(options.bias)] += list(options.bias.values())
    if options.repetition != 1 and len(seen):
        places = np.unique(seen)
        before = scores[places]
        scores[places] = np.where(before > 0, before / options.repetition, before * options.repetition)
    if (options.presence or options.frequency) and len(generated):
        places, counts = np.unique(np.asarray(generated, dtype=np.int64), return_counts=True)
        scores[places] -= options.presence + options.frequency * counts


def _nucleus(shares: Array, least: float) -> Array:
    """(V,) whether a token is among the likeliest that reach `least`, the one that crosses it included; of equals the first."""
    likely = np.partition(shares, -LIKELY)[-LIKELY:] if len(shares) > LIKELY else shares
    if likely.sum() < least:
        likely = shares
    order = np.sort(likely)[::-1]
    count = min(int(np.searchsorted(np.cumsum(order), least)) + 1, len(order))
    kept: Array = shares > order[count - 1]
    kept[np.flatnonzero(shares == order[count - 1])[: count - int(kept.sum())]] = True
    return kept


def draw(shares: Array, rng: np.random.Generator) -> int:
    """One token of a distribution (V,): first its block, then itself, because summing up a whole vocabulary takes longer."""
    blocks = np.add.reduceat(shares, np.arange(0, len(shares), BLOCK))
    total = np.cumsum(blocks)
    rest = rng.random() * total[-1]
    block = _place(total, rest, blocks)
    inside = shares[block * BLOCK : (block + 1) * BLOCK]
    return block * BLOCK + _place(np.cumsum(inside), rest - (total[block - 1] if block else 0.0), inside)


def _place(total: Array, rest: float, shares: Array) -> int:
    """Where a running total exceeds `rest`; never a share of nothing, however it is rounded."""
    return min(int(np.searchsorted(total, rest, side="right")), int(np.flatnonzero(shares)[-1]))
