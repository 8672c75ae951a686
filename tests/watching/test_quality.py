"""The share of right answers: an interval that holds at every look, and a verdict that comes only with evidence."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.watching.quality import Expected, expected, is_right, judged, sequence

STREAMS, LENGTH = 150, 250


def misses(share: float, ends: object, *, seed: int = 0) -> float:
    """Share of streams whose interval, looked at after each answer, misses the true share at least once."""
    chance = np.random.default_rng(seed)
    missed = 0
    for _ in range(STREAMS):
        right = np.cumsum(chance.random(LENGTH) < share)
        missed += any(not low <= share <= high for low, high in map(ends, right.tolist(), range(1, LENGTH + 1)))
    return missed / STREAMS


def wilson(right: int, rows: int, z: float = 1.96) -> tuple[float, float]:
    half = z * math.sqrt(right * (rows - right) / rows + z * z / 4)
    return (right + z * z / 2 - half) / (rows + z * z), (right + z * z / 2 + half) / (rows + z * z)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_the_true_share_is_never_left_but_by_chance(share: float):
    assert misses(share, sequence) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / STREAMS)


def test_an_interval_for_one_look_is_left_by_who_looks_often():
    """The planted fault: the same test finds an interval that is not made for it."""
    assert misses(0.9, wilson) > 0.15


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_ends_hold_what_was_seen_and_shrink(right: int, wrong: int):
    rows = right + wrong
    low, high = sequence(right, rows)
    assert 0 <= low <= high <= 1 and (rows == 0 or low <= right / rows <= high)
    if rows:
        wider = sequence(right * 4, rows * 4)
        assert wider[1] - wider[0] < high - low


def test_the_ends_are_where_the_martingale_is_one_over_alpha():
    low, high = sequence(70, 100)
    for p in (low, high):
        log = math.lgamma(71) + math.lgamma(31) - math.lgamma(102) - 70 * math.log(p) - 30 * math.log1p(-p)
        assert log == pytest.approx(math.log(20), abs=1e-6)


def test_worse_than_promised_is_said_only_with_evidence():
    promised = Expected("accuracy", 0.95, 0.94)
    assert not judged(7, 10, promised).below
    assert judged(700, 1000, promised).below
    assert not judged(945, 1000, promised).below and not judged(0, 0, promised).below
    assert not judged(0, 1000, None).below


def test_what_the_test_rows_promise():
    told = {"accuracy": SimpleNamespace(value=0.9, low=0.88, high=0.92), "median_absolute_error": SimpleNamespace(value=3.0, low=2.0, high=4.0)}  # fmt: skip
    assert expected("classification", told) == Expected("accuracy", 0.9, 0.88)
    assert expected("regression", told) == Expected("within", 0.5, 0.5, 4.0)
    assert expected("text-generation", told) is None and expected("regression", {}) is None


def test_what_is_right():
    near = Expected("within", 0.5, 0.5, 4.0)
    assert is_right("spam", "spam", None) and not is_right("spam", "ham", None)
    assert is_right(10.0, 14.0, near) and not is_right(10.0, 14.1, near) and is_right(10.0, 10.0, None) is None
