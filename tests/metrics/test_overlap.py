"""BLEU and chrF beside sacreBLEU; variety and copying on texts whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.metrics import overlap

MADE = [
    "The cat sat on the mat.",
    "Er ging, 3.5 km weit, nach Hause.",
    "no",
    "",
    "a b c d e f g",
    "&quot;Hi&quot; he said-5-6",
]
WANTED = [
    "The cat is on the mat.",
    "Er ging 3.5 km nach Hause.",
    "yes",
    "nothing",
    "a b c d e f g h",
    '"Hi" he said 5-6',
]


@pytest.mark.parametrize("rows", [slice(None), slice(0, 1), slice(2, 3), slice(1, 5)])
def test_figures_are_sacrebleus(rows: slice) -> None:
    metrics = pytest.importorskip("sacrebleu.metrics")
    made, wanted = MADE[rows], WANTED[rows]
    ones = np.ones((1, len(made)))
    assert overlap.bleu(made, wanted)(ones)[0] == pytest.approx(metrics.BLEU().corpus_score(made, [wanted]).score)
    assert overlap.chrf(made, wanted)(ones)[0] == pytest.approx(metrics.CHRF().corpus_score(made, [wanted]).score)


def test_a_row_drawn_twice_counts_twice() -> None:
    twice = overlap.chrf(MADE[:2] + MADE[:1], WANTED[:2] + WANTED[:1])(np.ones((1, 3)))
    weighed = overlap.chrf(MADE[:2], WANTED[:2])(np.array([[2.0, 1.0]]))
    assert twice == pytest.approx(weighed)
    assert overlap.bleu(MADE[:2] + MADE[:1], WANTED[:2] + WANTED[:1])(np.ones((1, 3))) == pytest.approx(
        overlap.bleu(MADE[:2], WANTED[:2])(np.array([[2.0, 1.0]]))
    )


def test_variety_and_repetition() -> None:
    assert overlap.distinct(["a b a b a b"]) == pytest.approx(2 / 5)
    assert overlap.distinct(["a b c d"]) == 1.0
    assert overlap.repetition(["a b c d a b c d"], 4) == pytest.approx(1 / 5)
    assert overlap.repetition(["a b c d e f g h"]) == 0.0
    assert overlap.distinct([""]) == 0.0


def test_what_is_copied_is_found() -> None:
    memory = overlap.Memory(["one two three four five six seven eight nine ten"])
    assert memory.copied("zero two three four five six seven eight nine and more") == (8, 11, 8)
    assert memory.copied("one two three four five six seven") == (0, 7, 0)


def test_a_text_with_a_few_words_changed_is_near_its_model_and_another_is_not() -> None:
    known = [
        f"number {one} of the house went to the well and drew water before the sun was up" for one in ("ten", "six")
    ]
    known.append("in the beginning was the plan and the plan was with the firm and the firm grew")
    memory = overlap.Memory(known)
    share, number = memory.nearest("in the beginning was the plan and the plan was with the team and the firm grew")
    assert number == 2 and overlap.NEAR < share < 1.0
    assert memory.nearest(known[1]) == (1.0, 1)
    share, number = memory.nearest("they went to the well of the city and the sun was hot on the road that day")
    assert share < overlap.NEAR
    assert memory.nearest("") == memory.nearest("entirely other words stand here today") == (0.0, -1)


def test_thousands_of_training_texts_are_searched_in_seconds() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{word}" for word in rng.integers(0, 500, 25)) for _ in range(5000)]
    memory = overlap.Memory(texts)
    for number in (0, 17, 4999):
        told = texts[number].split()
        told[12] = "other"
        assert memory.nearest(" ".join(told))[1] == number
