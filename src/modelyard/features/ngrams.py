"""TF-IDF of word and character n-grams, with sublinear counts and rows of length one.

Words have a vocabulary, so that weights can be read; characters are hashed into buckets in one vectorised pass, because a
dictionary of them costs more than the model. Word n-grams equal scikit-learn's `TfidfVectorizer(sublinear_tf=True)`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from modelyard.features import lookups
from modelyard.features.sparse import Sparse, beside
from modelyard.rows import Array

_WORD = re.compile(r"(?u)\b\w\w+\b")  # scikit-learn's token_pattern
_UNSPACED = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
UNSPACED_SHARE = 0.2
"""Share of letters in unspaced scripts from which texts count as unspaced: Chinese text quotes a good deal of Latin."""
RAREST = 2
"""Texts that a term must stand in: one that stands in a single text says nothing of others."""
MIXER = np.uint64(0x9E3779B97F4A7C15)
"""2**64 / golden ratio (Fibonacci hashing, Knuth TAOCP 6.4)."""


def is_unspaced(texts: Array) -> bool:
    """Whether scripts without spaces between words (Chinese, Japanese, Thai, ...) make up `UNSPACED_SHARE` of the letters."""
    sample = "".join((text or "")[:500] for text in texts[:2000])
    letters = sum(character.isalpha() for character in sample)
    return letters > 0 and len(_UNSPACED.findall(sample)) >= UNSPACED_SHARE * letters


def _terms(text: str, longest: int, unspaced: bool) -> Iterator[str]:
    """N-grams of words, or of characters where words have no spaces."""
    if unspaced:
        packed = re.sub(r"\s+", " ", text.lower())
        for size in range(1, max(longest, 2) + 1):
            yield from (packed[start : start + size] for start in range(len(packed) - size + 1))
        return
    words = _WORD.findall(text.lower())
    yield from words
    for size in range(2, longest + 1):
        yield from map(" ".join, zip(*(words[start:] for start in range(size)), strict=False))


def fit_words(texts: Array, *, longest: int, most: int) -> dict[str, Any]:
    """Vocabulary and inverse document frequencies: ln((1 + n) / (1 + df)) + 1 (scikit-learn's smooth_idf)."""
    unspaced = is_unspaced(texts)
    documents: Counter[str] = Counter()
    for text in texts:
        documents.update(set(_terms(text or "", longest, unspaced)))
    kept = [(term, count) for term, count in documents.items() if count >= RAREST]
    kept = sorted(sorted(kept), key=lambda item: -item[1])[:most]
    idf = [float(np.log((1 + len(texts)) / (1 + count)) + 1) for _, count in kept]
    return {"longest": longest, "unspaced": unspaced, "terms": [term for term, _ in kept], "idf": idf}


def _places(features: dict[str, Any]) -> tuple[dict[str, int], Array]:
    """Each term's place, and the inverse document frequency of each place."""
    return {term: place for place, term in enumerate(features["terms"])}, np.asarray(features["idf"])


def encode_words(texts: Array, features: dict[str, Any]) -> Sparse:
    """(n, vocabulary) rows of length one. The terms' places are kept (`lookups`), so that serving makes them once."""
    places, idf = lookups.kept(features, _places)
    indices: list[int] = []
    counts: list[int] = []
    starts = [0]
    for text in texts:
        found = Counter(_terms(text or "", features["longest"], features["unspaced"]))
        for term, count in found.items():
            place = places.get(term)
            if place is not None:
                indices.append(place)
                counts.append(count)
        starts.append(len(indices))
    where = np.asarray(indices, dtype=np.int64)
    values = (1 + np.log(np.asarray(counts, dtype=np.float64))) * idf[where] if indices else np.zeros(0)
    return Sparse(np.asarray(starts, dtype=np.int64), where, values, len(features["terms"])).normalised()


def _hashed(texts: Array, sizes: Sequence[int], bits: int, longest: int) -> tuple[Array, Array, Array]:
    """(row, bucket, count) of every character n-gram of every text's first `longest` characters; case is kept."""
    cut = [re.sub(r"\s+", " ", f" {(text or '')[:longest]} ") for text in texts]
    lengths = np.array([len(text) for text in cut])
    codes = np.frombuffer("".join(cut).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    row = np.repeat(np.arange(len(cut)), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(
        len(codes)
    )  # characters to the row's end, this one included
    found = []
    value = np.zeros(len(codes), dtype=np.uint64)
    for size in range(1, max(sizes) + 1):
        shifted = np.zeros_like(codes)
        shifted[: len(codes) - size + 1] = codes[size - 1 :]
        value = (value + shifted + np.uint64(size)) * MIXER
        value ^= value >> np.uint64(29)
        if size in sizes:
            keep = left >= size
            bucket = (value[keep] >> np.uint64(64 - bits)).astype(np.int64)
            found.append((row[keep].astype(np.int64) << bits) | bucket)
    keys, counts = (
        np.unique(np.concatenate(found), return_counts=True)
        if found
        else (np.zeros(0, np.int64), np.zeros(0, np.int64))
    )
    return keys >> bits, keys & ((1 << bits) - 1), counts


def fit_characters(texts: Array, *, sizes: Sequence[int], bits: int, longest: int) -> dict[str, Any]:
    """Inverse document frequencies of the 2**bits buckets, to two digits (they scale, no more)."""
    _, bucket, _ = _hashed(texts, sizes, bits, longest)
    documents = np.bincount(bucket, minlength=1 << bits)
    idf = np.log((1 + len(texts)) / (1 + documents)) + 1
    return {"sizes": list(sizes), "bits": bits, "longest": longest, "idf": np.round(idf, 2).tolist()}


def encode_characters(texts: Array, features: dict[str, Any]) -> Sparse:
    """(n, 2**bits) rows of length one."""
    idf = lookups.kept(features, lambda found: np.asarray(found["idf"]))
    row, bucket, counts = _hashed(texts, features["sizes"], features["bits"], features["longest"])
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(texts)))])
    values = (1 + np.log(counts)) * idf[bucket]
    return Sparse(starts.astype(np.int64), bucket, values, 1 << features["bits"]).normalised()


STATISTICS = (
    "characters",
    "words",
    "capitals",
    "digits",
    "punctuation",
    "lines",
    "links",
    "tags",
    "exclamations",
    "currency",
)


def statistics(texts: Array) -> Array:
    """(n, 10) float32, the shape of a text: log lengths, and shares or log counts of what `STATISTICS` names."""
    result = np.zeros((len(texts), len(STATISTICS)), dtype=np.float32)
    for number, text in enumerate(texts):
        text = text or ""
        size = max(len(text), 1)
        letters = max(sum(map(str.isalpha, text)), 1)
        result[number] = (
            np.log1p(len(text)), np.log1p(text.count(" ")), sum(map(str.isupper, text)) / letters,
            sum(map(str.isdigit, text)) / size, sum(text.count(mark) for mark in ".,;:-_()\"'*#=>") / size,
            np.log1p(text.count("\n")), np.log1p(text.count("http")), np.log1p(text.count("<")),
            np.log1p(text.count("!")), np.log1p(sum(map(text.count, "$€£¥"))),
        )  # fmt: skip
    return result


def fit_text(columns: dict[str, Array], *, longest: int = 2, most: int = 50_000) -> dict[str, Any]:
    """Word features of several text columns."""
    return {name: fit_words(texts, longest=longest, most=most) for name, texts in columns.items()}


def encode_text(columns: dict[str, Array], features: dict[str, Any]) -> Sparse:
    """Word features of several text columns side by side, in the order of the features."""
    return beside([encode_words(columns[name], words) for name, words in features.items()])
