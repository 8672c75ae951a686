"""Texts as numbers of known words: which are kept, what the others become, and scripts without spaces."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from modelyard.features import lookups, vocabulary


def learnt(*texts: str | None, most: int = 100, rarest: int = 1, longest: int = 50) -> dict[str, Any]:
    return vocabulary.fit(np.array(texts, dtype=object), most=most, rarest=rarest, longest=longest)


def test_words_and_marks_in_small_letters() -> None:
    assert vocabulary.words("Don't pay 3,50 €!", unspaced=False) == ["don", "'", "t", "pay", "3", ",", "50", "€", "!"]
    assert vocabulary.words("价格 是3元", unspaced=True) == ["价", "格", "是", "3", "元"]


def test_the_most_frequent_words_are_kept_and_equals_by_the_alphabet() -> None:
    texts = ("b a a a", "b c", "c b", "d")
    assert learnt(*texts, rarest=2)["words"] == ["b", "c"]  # texts count, not occurrences
    assert learnt(*texts, most=3)["words"] == ["b", "c", "a"]


def test_known_words_have_numbers_of_their_own_and_others_share_one() -> None:
    features = learnt("a red apple", "one red pear", rarest=2)
    encoded = vocabulary.encode(["red apple red", None, ""], features)
    unknown = vocabulary.UNKNOWN
    assert encoded["ids"].tolist() == [[2, unknown, 2], [unknown, 0, 0], [unknown, 0, 0]]
    assert encoded["length"].tolist() == [3, 1, 1]
    assert encoded["ids"].max() < vocabulary.width(features) == 3


def test_the_length_is_what_nearly_all_texts_need() -> None:
    texts = ["a b c"] * 97 + ["a " * 40] * 3
    assert learnt(*texts)["length"] == 3 and learnt(*texts, longest=2)["length"] == 2
    encoded = vocabulary.encode(["a b c a b c"], learnt(*texts))
    assert encoded["ids"].shape == (1, 3)


def test_a_script_without_spaces_is_read_by_characters() -> None:
    features = learnt("这家餐厅的味道非常好", "这家餐厅的服务很周到", rarest=2)
    assert features["unspaced"] and set(features["words"]) == set("这家餐厅的")
    assert vocabulary.encode(["这家店"], features)["length"].tolist() == [3]


@pytest.mark.parametrize("texts", [(), (None,), ("",)])
def test_nothing_to_learn_from_is_no_error(texts: tuple[str | None, ...]) -> None:
    features = learnt(*texts)
    assert features["words"] == [] and features["length"] == 1
    assert vocabulary.encode(["anything at all"], features)["ids"].tolist() == [[vocabulary.UNKNOWN]]


def test_features_are_json_after_encoding_too() -> None:
    features = learnt("red apple", "red pear")
    before = vocabulary.encode(["red pear"], features)["ids"]
    again = json.loads(json.dumps(lookups.plain(features), allow_nan=False))
    np.testing.assert_array_equal(vocabulary.encode(["red pear"], again)["ids"], before)
