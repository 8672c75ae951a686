"""Rows that are nearly the same, as clusters: MinHash (Broder 1997) and banding (Leskovec et al., Mining of Massive Datasets, 3.4),
every candidate pair checked by the true Jaccard similarity of its shingles. It knows texts and keys, neither target nor splits.

Nothing is quadratic: a band's bucket gives at most two candidate pairs a text. Shingles are 5 words, or 5 characters in unspaced scripts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.rows import Array

if TYPE_CHECKING:
    import polars

SHINGLE = 5
HASHES = 64
MISSED = 1e-3
"""Largest chance that a pair just at the threshold shares no band."""
LONGEST = 20_000
"""Characters of a text that are looked at."""
CHUNK = 4_000_000
"""Shingles held at once while candidate pairs are checked."""
_U64 = np.uint64


@dataclass(frozen=True)
class Shingles:
    """Hashed shingles of many texts, one after the other: text i has `values[starts[i]:starts[i + 1]]`."""

    values: Array
    starts: Array

    @property
    def counts(self) -> Array:
        """Shingles of each text."""
        return np.diff(self.starts)


def near(texts: polars.Series, threshold: float, *, unspaced: bool, least: int = 1) -> Array:
    """Pairs (m, 2) of row numbers whose texts are equal up to case and punctuation, or overlap at least `threshold` (Jaccard).

    Texts of fewer than `least` shingles are left out; so are missing and empty ones.
    """
    shingles = shingle(texts, unspaced=unspaced)
    rows = np.flatnonzero(shingles.counts >= least)
    if len(rows) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    signatures = _minhash(shingles, rows)
    same, representatives = _equal_rows(shingles, rows)
    if threshold >= 1.0:
        return same
    candidates = _candidates(signatures[representatives], threshold)
    pairs = rows[representatives][candidates]
    return np.concatenate([same, pairs[jaccard(shingles, pairs) >= threshold]])


def shingle(texts: polars.Series, *, unspaced: bool) -> Shingles:
    """Shingles of small-letter words (or characters) as 64-bit hashes; a shorter text is one shingle of what it has."""
    import polars as pl

    cut = texts.fill_null("").str.slice(0, LONGEST).str.to_lowercase()
    pattern = r"[^\s\p{P}]" if unspaced else r"\w+"
    words = cut.str.extract_all(pattern)
    lengths = words.list.len().to_numpy().astype(np.int64)
    flat = words.filter(pl.Series(lengths > 0)).explode()
    hashes = _word_hashes(flat)
    tokens = np.concatenate([[0], np.cumsum(lengths)])  # text i has tokens[i] to tokens[i + 1]
    counts = np.where(lengths == 0, 0, np.maximum(lengths - SHINGLE + 1, 1))
    starts = np.concatenate([[0], np.cumsum(counts)])
    within = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
    first = np.repeat(tokens[:-1], counts) + within
    left = np.repeat(lengths, counts) - within
    total = np.zeros(starts[-1], dtype=_U64)
    for step in range(SHINGLE):
        there = left > step
        position = np.minimum(first + step, max(len(hashes) - 1, 0))
        total = _mix(total * _U64(31) + np.where(there, hashes[position] if len(hashes) else _U64(0), _U64(step)))
    return Shingles(total, starts)


def _word_hashes(words: polars.Series) -> Array:
    """64-bit hashes that do not depend on polars' version: each distinct word is hashed once with blake2b."""
    import polars as pl

    if words.len() == 0:
        return np.zeros(0, dtype=_U64)
    distinct = words.unique()
    hashes = [int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little") for word in distinct]
    table = pl.DataFrame({"word": distinct, "hash": hashes}, schema={"word": pl.String, "hash": pl.UInt64})
    return (
        words.rename("word")
        .to_frame()
        .join(table, on="word", how="left", maintain_order="left")["hash"]
        .to_numpy()
        .astype(_U64)
    )


def _mix(values: Array) -> Array:
    """splitmix64's finaliser (Steele et al. 2014)."""
    values = (values ^ (values >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> _U64(27))) * _U64(0x94D049BB133111EB)
    mixed: Array = values ^ (values >> _U64(31))
    return mixed


def _minhash(shingles: Shingles, rows: Array) -> Array:
    """(rows, HASHES) smallest value of each hash function over a text's shingles."""
    used = np.repeat(shingles.counts > 0, shingles.counts)
    values = shingles.values[used]
    counts = shingles.counts[shingles.counts > 0]
    offsets = np.concatenate([[0], np.cumsum(counts)[:-1]])
    places = np.searchsorted(np.flatnonzero(shingles.counts > 0), rows)
    rng = np.random.default_rng(5)  # any fixed seed: the functions are part of the method, not of the build
    multipliers = rng.integers(1, 2**63, HASHES, dtype=np.int64).astype(_U64) * _U64(2) + _U64(1)
    result = np.empty((len(rows), HASHES), dtype=np.uint32)
    for number, multiplier in enumerate(multipliers):
        hashed = ((values * multiplier) >> _U64(32)).astype(np.uint32)  # multiply-shift (Dietzfelbinger 1996)
        result[:, number] = np.minimum.reduceat(hashed, offsets)[places]
    return result


def _equal_rows(shingles: Shingles, rows: Array) -> tuple[Array, Array]:
    """Pairs (row, first row with the same shingles in order), and the positions of the first rows."""
    counts = shingles.counts[rows]
    position = np.arange(len(shingles.values), dtype=_U64)
    start = np.repeat(shingles.starts[:-1].astype(_U64), shingles.counts)
    weighed = _mix(shingles.values ^ _mix(position - start + _U64(1)))
    sums = np.concatenate([np.zeros(1, dtype=_U64), np.cumsum(weighed, dtype=_U64)])
    exact = _mix(sums[shingles.starts[rows + 1]] - sums[shingles.starts[rows]]) ^ counts.astype(_U64)
    _, first, inverse = np.unique(exact, return_index=True, return_inverse=True)
    owner = first[inverse]
    repeats = owner != np.arange(len(rows))
    return np.stack([rows[owner[repeats]], rows[repeats]], axis=1), np.sort(first)


def bands(threshold: float) -> tuple[int, int]:
    """(bands, rows a band) with the longest bands that miss a pair at the threshold with probability at most MISSED."""
    for width in range(16, 1, -1):
        number = HASHES // width
        if (1 - threshold**width) ** number <= MISSED:
            return number, width
    return HASHES, 1


def _candidates(signatures: Array, threshold: float) -> Array:
    """Pairs (m, 2) of positions that share a band's bucket: each with the one before it and with the bucket's first."""
    number, width = bands(threshold)
    found: list[Array] = []
    for band in range(number):
        keys = np.zeros(len(signatures), dtype=_U64)
        for column in signatures[:, band * width : (band + 1) * width].T:
            keys = _mix(keys * _U64(31) + column.astype(_U64))
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        again = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
        if not len(again):
            continue
        heads: Array = np.maximum.accumulate(
            np.where(np.concatenate([[True], ordered[1:] != ordered[:-1]]), np.arange(len(ordered)), 0)
        )
        found.append(np.stack([order[again - 1], order[again]], axis=1))
        found.append(np.stack([order[heads[again]], order[again]], axis=1))
    if not found:
        return np.zeros((0, 2), dtype=np.int64)
    pairs = np.sort(np.concatenate(found), axis=1)
    return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)


def jaccard(shingles: Shingles, pairs: Array) -> Array:
    """The true similarity of each pair's shingle sets. (m,)"""
    result = np.zeros(len(pairs))
    sizes = shingles.counts[pairs].sum(axis=1) if len(pairs) else np.zeros(0)
    cuts = np.flatnonzero(np.diff(np.cumsum(sizes) // CHUNK)) + 1
    for part in np.split(np.arange(len(pairs)), cuts):
        result[part] = _jaccard(shingles, pairs[part])
    return result


def _jaccard(shingles: Shingles, pairs: Array) -> Array:
    if not len(pairs):
        return np.zeros(0)
    flat = pairs.T.reshape(-1)  # first texts, then second texts
    counts = shingles.counts[flat]
    owner = np.repeat(np.arange(len(flat)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    values = shingles.values[np.repeat(shingles.starts[flat], counts) + within]
    order = np.lexsort((values, owner))
    owner, values = owner[order], values[order]
    once: Array = np.concatenate([[True], (owner[1:] != owner[:-1]) | (values[1:] != values[:-1])])
    owner, values = owner[once], values[once]  # each text's set
    sizes = np.bincount(owner, minlength=len(flat))
    pair = owner % len(pairs)
    order = np.lexsort((values, pair))
    pair, values = pair[order], values[order]
    both = np.bincount(pair[1:][(pair[1:] == pair[:-1]) & (values[1:] == values[:-1])], minlength=len(pairs))
    return np.asarray(both / (sizes[: len(pairs)] + sizes[len(pairs) :] - both))


def equal(keys: Sequence[Any] | Array) -> Array:
    """Pairs (m, 2) that join all rows of one key; missing keys (None or negative) join nothing."""
    array = np.asarray(keys)
    order = np.argsort(array, kind="stable")
    same = (array[order][1:] == array[order][:-1]) & (array[order][1:] >= 0)
    return np.stack([order[:-1][same], order[1:][same]], axis=1)


def clusters(count: int, pairs: Array) -> Array:
    """The cluster of each row: connected rows share one, numbered from 0 by first row. (count,) int64"""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, labels = connected_components(links, directed=False)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return np.asarray(rank[inverse])
