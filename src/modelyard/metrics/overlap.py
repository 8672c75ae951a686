"""Texts that were made beside texts that were wanted: BLEU and chrF, each a function of counts that add up over rows.

So a figure and its bootstrap resamples share one implementation. Values are those of sacreBLEU's defaults (Post 2018; `13a` words,
chrF2). How varied texts are, and what they copy, is counted here too. It knows no model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from modelyard.metrics._contract import Statistic
from modelyard.rows import Array

WORDS = 4
"""Longest n-gram of words in BLEU (Papineni et al. 2002)."""
CHARACTERS = 6
"""Longest n-gram of characters in chrF (Popović 2015)."""
BETA = 2.0
"""chrF weighs recall so many times as precision."""
COPIED = 8
"""Words in a row that stand in the training texts as they are: shorter ones are idioms of the language."""
SHINGLE, NEAR = 4, 0.5
"""A text nearly repeats a training text where that one holds at least this share of its runs of so many words (containment of shingles,
Broder 1997). One word in ten changed leaves six tenths of them."""

_RULES = (
    (re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])"), r" \1 "),  # signs stand alone
    (re.compile(r"([^0-9])([\.,])"), r"\1 \2 "),  # so do full stops and commas, but for those inside numbers
    (re.compile(r"([\.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
"""mteval-v13a's rules, by which BLEU has been counted since 2009."""


def words(text: str) -> list[str]:
    """A text as BLEU counts it.

    >>> words("Well, 3.5 dogs.")
    ['Well', ',', '3.5', 'dogs', '.']
    """
    found = f" {text} ".replace("\n", " ")
    for name, sign in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        found = found.replace(name, sign)
    for rule, put in _RULES:
        found = rule.sub(put, found)
    return found.split()


def bleu(made: Sequence[str], wanted: Sequence[str]) -> Statistic:
    """Corpus BLEU, 0 to 100, with sacreBLEU's exponential smoothing."""
    counts = np.array(
        [_bleu_counts(words(one), words(other)) for one, other in zip(made, wanted, strict=True)], dtype=float
    )

    def over(weights: Array) -> Array:
        sums = weights @ counts  # (b, 2 + 2 x WORDS)
        return np.array([_bleu_of(row) for row in sums])

    return over


def _bleu_counts(made: list[str], wanted: list[str]) -> list[int]:
    """Lengths, then for each n: n-grams made, and those of them that are wanted."""
    found = [len(made), len(wanted)]
    for size in range(1, WORDS + 1):
        own, other = Counter(_grams(made, size)), Counter(_grams(wanted, size))
        found += [sum(own.values()), sum((own & other).values())]
    return found


def _bleu_of(sums: Array) -> float:
    made, wanted = sums[:2]
    totals, right = sums[2::2], sums[3::2]
    if not right.any() or not totals.all():
        return 0.0
    smooth = 1.0
    logs = []
    for total, count in zip(totals, right, strict=True):
        smooth *= 1.0 if count else 2.0
        logs.append(np.log(100 * count / total if count else 100 / (smooth * total)))
    brevity = min(0.0, 1 - wanted / made)
    return float(np.exp(brevity + np.mean(logs)))


def chrf(made: Sequence[str], wanted: Sequence[str]) -> Statistic:
    """Corpus chrF2, 0 to 100: F-score of character n-grams, spaces left out."""
    counts = np.array([_chrf_counts(one, other) for one, other in zip(made, wanted, strict=True)], dtype=float)

    def over(weights: Array) -> Array:
        own, other, both = np.moveaxis((weights @ counts.reshape(len(counts), -1)).reshape(-1, CHARACTERS, 3), 2, 0)
        known = (own > 0) & (other > 0)
        sizes = np.maximum(known.sum(axis=1), 1)
        precision = np.where(known, both / np.maximum(own, 1e-12), 0.0).sum(axis=1) / sizes
        recall = np.where(known, both / np.maximum(other, 1e-12), 0.0).sum(axis=1) / sizes
        below = BETA**2 * precision + recall
        result: Array = 100 * (1 + BETA**2) * precision * recall / np.where(below > 0, below, 1.0)
        return result

    return over


def _chrf_counts(made: str, wanted: str) -> list[list[int]]:
    """For each n: n-grams made (0 where none is wanted), wanted, and both."""
    one, two = "".join(made.split()), "".join(wanted.split())
    found = []
    for size in range(1, CHARACTERS + 1):
        own, other = Counter(_grams(one, size)), Counter(_grams(two, size))
        found.append([sum(own.values()) if other else 0, sum(other.values()), sum((own & other).values())])
    return found


def distinct(texts: Sequence[str], size: int = 2) -> float:
    """Different n-grams of words over all n-grams (distinct-n, Li et al. 2016): near 0 where the same is said again and again."""
    every = [gram for text in texts for gram in _grams(words(text), size)]
    return len(set(every)) / len(every) if every else 0.0


def repetition(texts: Sequence[str], size: int = WORDS) -> float:
    """Share of n-grams of words that stood before in the same text (Welleck et al. 2020)."""
    total = again = 0
    for text in texts:
        grams = list(_grams(words(text), size))
        total, again = total + len(grams), again + len(grams) - len(set(grams))
    return again / total if total else 0.0


class Memory:
    """The n-grams of words of training texts, to tell what a text copies or nearly repeats."""

    def __init__(self, texts: Iterable[str], size: int = COPIED) -> None:
        self.size, self.texts = size, tuple(texts)
        told = [words(text) for text in self.texts]
        self._seen = {hash(gram) for each in told for gram in _grams(each, size)}
        pairs = [(hash(gram), number) for number, each in enumerate(told) for gram in set(_grams(each, SHINGLE))]
        shingles = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        self._shingles = shingles[np.argsort(shingles[:, 0], kind="stable")]

    def nearest(self, text: str) -> tuple[float, int]:
        """The largest share of a text's different shingles that one training text holds, and the number of that text; (0, -1) for none."""
        wanted = np.array([hash(gram) for gram in set(_grams(words(text), SHINGLE))], dtype=np.int64)
        first, last = (np.searchsorted(self._shingles[:, 0], wanted, side) for side in ("left", "right"))
        where = [self._shingles[low:high, 1] for low, high in zip(first, last, strict=True) if high > low]
        if not where:
            return 0.0, -1
        counts = np.bincount(np.concatenate(where))
        number = int(counts.argmax())
        return float(counts[number]) / len(wanted), number

    def copied(self, text: str) -> tuple[int, int, int]:
        """Words of a text that stand in a copied n-gram, words in all, and the longest run of copied ones."""
        told = words(text)
        inside = np.zeros(len(told), dtype=bool)
        for place, gram in enumerate(_grams(told, self.size)):
            if hash(gram) in self._seen:
                inside[place : place + self.size] = True
        longest = run = 0
        for copied in inside:
            run = run + 1 if copied else 0
            longest = max(longest, run)
        return int(inside.sum()), len(told), longest


def _grams(parts: Sequence[str] | str, size: int) -> Iterable[tuple[str, ...]]:
    return (tuple(parts[place : place + size]) for place in range(len(parts) - size + 1))
