"""Machines for a week, and choices between ways to serve: by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.business.demand import WEEKS, Variant, Week, break_even, fixed, following, front, price_of_a_point

FLAT = Week.of([1] * 24, [1] * 7)
NOON = Week.of([0] * 12 + [1] + [0] * 11, [1] * 7)


def test_flat_demand_by_hand() -> None:
    """100 a second, 40 of a machine, a quarter free: 30 of each, 4 machines, 5/6 of what they could do without headroom."""
    found = fixed(FLAT, 100.0, 40.0)
    assert found.most == 4 and found.hours == pytest.approx(4 * 730) and found.busy == pytest.approx(100 / 160)
    assert following(FLAT, 100.0, 40.0) == found


def test_one_hour_a_day() -> None:
    """24 times the mean at noon: 24 machines of 1 then, one in the other hours, and those for noon come an hour before."""
    assert NOON.peak == pytest.approx(24)
    all_day, coming = fixed(NOON, 1.0, 1.0, headroom=0.0), following(NOON, 1.0, 1.0, headroom=0.0)
    assert all_day.hours == pytest.approx(24 * 730) and all_day.busy == pytest.approx(1 / 24)
    assert coming.most == 24 and coming.hours == pytest.approx((2 * 24 + 22) * 7 * WEEKS)


@given(st.floats(0, 1e4), st.floats(0.1, 1e3), st.floats(0, 0.9), st.integers(1, 5))
def test_following_costs_no_more_and_never_falls_short(
    mean: float, capacity: float, headroom: float, minimum: int
) -> None:
    week = Week.of()
    all_day = fixed(week, mean, capacity, headroom=headroom, minimum=minimum)
    coming = following(week, mean, capacity, headroom=headroom, minimum=minimum)
    assert coming.hours <= all_day.hours + 1e-6 and coming.most == all_day.most >= minimum
    assert coming.most * capacity * (1 - headroom) >= mean * week.peak * (1 - 1e-6)


@pytest.mark.parametrize("curve", [([1] * 23, [1] * 7), ([1] * 24, [1] * 6), ([-1] * 24, [1] * 7), ([0] * 24, [1] * 7), ([float("nan")] * 24, [1] * 7)])  # fmt: skip
def test_no_curves(curve: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError):
        Week.of(*curve)


@pytest.mark.parametrize("wrong", [(-1.0, 1.0, 0.1, 1), (1.0, 0.0, 0.1, 1), (1.0, 1.0, 1.0, 1), (1.0, 1.0, 0.1, 0)])
def test_no_demand(wrong: tuple[float, float, float, int]) -> None:
    mean, capacity, headroom, minimum = wrong
    with pytest.raises(ValueError):
        fixed(FLAT, mean, capacity, headroom=headroom, minimum=minimum)


def test_buying_against_building() -> None:
    assert break_even(100.0, 60_000.0, 0.002) == pytest.approx(50_000)
    assert (
        break_even(100.0, 40_000.0, 0.002) is None
    )  # each further machine costs 100 for 40,000 requests, which are 80 there
    for wrong in ((-1.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0)):
        with pytest.raises(ValueError):
            break_even(*wrong)


def test_the_front_by_hand() -> None:
    best, middle, cheap = (
        Variant("fp32", 0.95, 0.03, 4.0),
        Variant("int8", 0.94, 0.01, 2.0),
        Variant("linear", 0.90, 0.001, 0.5),
    )
    worse = Variant("slow int8", 0.94, 0.02, 2.0)
    assert front([cheap, worse, best, middle]) == [best, middle, cheap]
    assert front([best, Variant("same", 0.95, 0.03, 4.0)]) == [best, Variant("same", 0.95, 0.03, 4.0)]
    assert price_of_a_point(best, middle) == pytest.approx(200.0) and price_of_a_point(best, best) is None
