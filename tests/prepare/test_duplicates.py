"""Near duplicates against the plain quadratic definition."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest
from prepare_helpers import WORDS, texts

from modelyard.prepare import duplicates, grouping


def plain(one: str, other: str, *, unspaced: bool = False) -> float:
    """The definition: Jaccard of the sets of 5-shingles."""

    def shingles(text: str) -> set[tuple[str, ...]]:
        words = list(re.sub(r"[\s\W]", "", text)) if unspaced else re.findall(r"\w+", text.lower())
        return {tuple(words[start : start + 5]) for start in range(max(1, len(words) - 4))}

    first, second = shingles(one), shingles(other)
    return len(first & second) / len(first | second)


def edited(line: str, words: int, rng: np.random.Generator) -> str:
    """The text with some words exchanged."""
    parts = line.split()
    for place in rng.choice(len(parts), words, replace=False):
        parts[place] = str(WORDS[rng.integers(len(WORDS))])
    return " ".join(parts)


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9, 1.0])
def test_pairs_agree_with_the_definition(threshold: float) -> None:
    rng = np.random.default_rng(3)
    base = texts(40, words=100)
    lines = base + [edited(line, number % 8, rng) for number, line in enumerate(base)] + ["", "a b", "A b!"]
    pairs = duplicates.near(pl.Series(lines), threshold, unspaced=False)
    found = duplicates.clusters(len(lines), pairs)
    for one, other in pairs:
        assert plain(lines[one], lines[other]) >= threshold
    expected = [
        (i, i - len(base))
        for i in range(len(base), 2 * len(base))
        if plain(lines[i], lines[i - len(base)]) >= threshold
    ] + [(82, 81)]
    missed = sum(found[i] != found[j] for i, j in expected)
    assert len(expected) >= 6
    assert missed == 0
    assert np.bincount(found).max() <= 2


def test_true_similarity() -> None:
    rng = np.random.default_rng(0)
    base = texts(20, words=60)
    lines = base + [edited(line, 3, rng) for line in base]
    shingles = duplicates.shingle(pl.Series(lines), unspaced=False)
    pairs = np.array([(number, number + 20) for number in range(20)])
    assert duplicates.jaccard(shingles, pairs) == pytest.approx([plain(lines[i], lines[j]) for i, j in pairs])


def test_chinese_uses_characters() -> None:
    one = "这家餐厅的味道非常好服务也很周到环境安静价格合理下次还会带朋友一起来吃饭" * 2
    other = one[:-1] + "喝"
    lines = [one, other, "等了一个小时菜还是冷的很失望再也不会来了建议大家不要去这家店", "!" + one]
    found = duplicates.clusters(4, duplicates.near(pl.Series(lines), 0.9, unspaced=True))
    assert found.tolist() == [0, 0, 1, 0]


def test_missing_and_empty_texts_are_no_duplicates() -> None:
    assert len(duplicates.near(pl.Series([None, "", " ", "...", None]), 0.9, unspaced=False)) == 0


def test_clusters_are_connected_and_numbered_by_first_row() -> None:
    assert duplicates.clusters(6, np.array([[5, 1], [1, 3], [4, 2]])).tolist() == [0, 1, 2, 1, 2, 1]
    assert duplicates.clusters(3, np.zeros((0, 2), dtype=int)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.9, 0.95])
def test_bands_miss_little(threshold: float) -> None:
    number, width = duplicates.bands(threshold)
    assert number * width <= duplicates.HASHES
    assert (1 - threshold**width) ** number <= duplicates.MISSED


def test_tables_compare_all_inputs_and_know_when_that_says_nothing() -> None:
    frame = pl.DataFrame({"a": [1.0, 1.0, None, None, *range(40)], "b": ["x", "x", "y", "y", *["z"] * 40]})
    pairs, counts = grouping.duplicate_pairs(frame, {"a": "number", "b": "category"}, threshold=0.9, text_task=False)
    assert sorted(map(tuple, pairs.tolist())) == [(0, 1), (2, 3)]
    assert counts == {"clusters": 2, "rows": 4, "exact": 2, "largest": 2}
    few = pl.DataFrame({"b": ["x", "y"] * 50})
    pairs, counts = grouping.duplicate_pairs(few, {"b": "category"}, threshold=0.9, text_task=False)
    assert len(pairs) == 0
    assert counts["coincident"] == 98


def test_short_texts_in_tables_repeat_by_chance_long_ones_do_not() -> None:
    long = texts(2, words=30)
    frame = pl.DataFrame({"n": [1.0, 2.0, 3.0, 4.0], "t": ["blue shirt", "blue shirt", long[0], long[0] + " word1"]})
    pairs, _ = grouping.duplicate_pairs(frame, {"n": "number", "t": "text"}, threshold=0.9, text_task=False)
    assert pairs.tolist() == [[2, 3]]
    pairs, _ = grouping.duplicate_pairs(frame, {"t": "text"}, threshold=0.9, text_task=True)
    assert duplicates.clusters(4, pairs).tolist() == [0, 0, 1, 1]
