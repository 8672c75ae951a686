"""Prices against what follows by hand, and against a search where there is no formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.business.pricing import best_price, demand, gabor_granger, westendorp


@given(st.floats(0.01, 100), st.floats(-8, -1.2))
def test_the_best_price_is_the_best_of_all(cost: float, elasticity: float) -> None:
    found = best_price(cost, elasticity)
    assert found is not None and found > cost
    prices = cost * np.geomspace(1.0001, 50, 20_001)
    margin = (prices - cost) * demand(prices, at=100, price_then=cost, elasticity=elasticity)
    assert found == pytest.approx(prices[margin.argmax()], rel=1e-3)


def test_demand_by_hand() -> None:
    assert demand(20.0, at=100, price_then=10.0, elasticity=-2.0) == 25
    assert best_price(1.0, -1.0) is None and best_price(1.0, -0.5) is None
    with pytest.raises(ValueError):
        demand(1.0, at=1, price_then=0, elasticity=-1)


def crowd(count: int = 400) -> tuple[np.ndarray, ...]:
    """Persons whose four prices are 10, 20, 30 and 40 shifted evenly by up to 10 either way."""
    shift = np.linspace(-10, 10, count)
    return tuple(base + shift for base in (10.0, 20.0, 30.0, 40.0))


def test_the_four_crossings_of_an_even_crowd() -> None:
    """Each curve is a straight line over 20, so that two of them cross in the middle of their centres: 10 and 30 at 20, 20 and 40 at 30,
    10 and 40 do not overlap and are both 0 from 20 to 30, 20 and 30 at 25."""
    found = westendorp(*crowd())
    assert (found.cheapest, found.dearest) == (pytest.approx(20, abs=0.1), pytest.approx(30, abs=0.1))
    assert (found.optimal, found.indifferent) == (pytest.approx(25, abs=0.1), pytest.approx(25, abs=0.1))


def test_the_order_of_persons_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    named = np.sort(rng.gamma(4, 5, (4, 60)), axis=0)
    mixed = named[:, rng.permutation(60)]
    assert westendorp(*named) == westendorp(*mixed)
    found = westendorp(*named)
    assert found.cheapest <= found.optimal <= found.dearest and found.cheapest <= found.indifferent <= found.dearest


def test_persons_who_contradict_themselves_are_named() -> None:
    too_cheap, cheap, expensive, too_expensive = crowd(20)
    cheap[6] = 0.5
    with pytest.raises(ValueError, match="person 7"):
        westendorp(too_cheap, cheap, expensive, too_expensive)
    with pytest.raises(ValueError, match="ten persons"):
        westendorp([1], [2], [3], [4])


def test_gabor_granger_by_hand() -> None:
    """Of 100 persons 80 pay 10, 60 pay 20, 30 pay 30, 5 pay 40: revenue 8, 12, 9, 2; at a cost of 9 the margin 0.8, 6.6, 6.3, 1.55."""
    most = [10] * 20 + [20] * 30 + [30] * 25 + [40] * 5 + [0] * 20
    found = gabor_granger([10, 20, 30, 40], most, cost=9.0)
    assert found.buying == (0.8, 0.6, 0.3, 0.05) and found.revenue_price == 20 and found.margin_price == 20
    assert found.low in (20, 30) and found.high in (20, 30) and found.low <= found.margin_price <= found.high
    assert gabor_granger([10, 20, 30, 40], most, cost=15.0).margin_price == 30


@pytest.mark.parametrize(
    ("prices", "most", "cost"),
    [
        ([10], [10] * 10, 0),
        ([20, 10], [10] * 10, 0),
        ([10, 20], [10] * 9, 0),
        ([10, 20], [-1] * 10, 0),
        ([10, 20], [10] * 10, 20),
    ],
)
def test_questions_that_cannot_be_asked(prices: list[float], most: list[float], cost: float) -> None:
    with pytest.raises(ValueError):
        gabor_granger(prices, most, cost=cost)
