"""Texts as numbers of words that training saw: what a network that is trained from scratch reads. numpy only; it knows no model.

0 pads, 1 is a word that training did not see often enough; words are small letters, characters where words have no spaces
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from modelyard.features import lookups
from modelyard.features.ngrams import is_unspaced
from modelyard.rows import Array

PAD, UNKNOWN = 0, 1
_TOKEN = re.compile(r"(?u)\w+|[^\w\s]")


def words(text: str, *, unspaced: bool) -> list[str]:
    """Words and marks of punctuation, or the characters of a text whose script has no spaces."""
    low = text.lower()
    return [character for character in low if not character.isspace()] if unspaced else _TOKEN.findall(low)


def fit(texts: Array, *, most: int, rarest: int, longest: int) -> dict[str, Any]:
    """The words that stand in at least `rarest` texts (at most `most`, the most frequent), and the length that 95 % of the texts need."""
    unspaced = is_unspaced(texts)
    seen: Counter[str] = Counter()
    lengths = []
    for text in texts:
        found = words(text or "", unspaced=unspaced)
        lengths.append(len(found))
        seen.update(set(found))
    kept = sorted((word for word, count in seen.items() if count >= rarest), key=lambda word: (-seen[word], word))[
        :most
    ]
    usual = int(np.quantile(lengths, 0.95)) if lengths else 1
    return {"words": kept, "unspaced": unspaced, "length": max(1, min(longest, usual))}


def encode(texts: Sequence[str | None], features: dict[str, Any]) -> dict[str, Array]:
    """`ids` (n, L) int64, padded, and `length` (n,) int64, at least 1: an empty text is one unknown word."""
    places = lookups.kept(features, lambda found: {word: place + 2 for place, word in enumerate(found["words"])})
    cut = [words(text or "", unspaced=features["unspaced"])[: features["length"]] or [""] for text in texts]
    return padded([[places.get(word, UNKNOWN) for word in row] for row in cut])


def padded(rows: Iterable[Sequence[int]]) -> dict[str, Array]:
    """`ids` (n, L) int64 and `length` (n,)."""
    given = list(rows)
    length = np.array([len(row) for row in given], dtype=np.int64)
    ids = np.full((len(given), int(length.max(initial=1))), PAD, dtype=np.int64)
    for place, row in enumerate(given):
        ids[place, : len(row)] = row
    return {"ids": ids, "length": length}


def width(features: dict[str, Any]) -> int:
    """Rows of an embedding: the words, the pad and the unknown one."""
    return len(features["words"]) + 2
