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
