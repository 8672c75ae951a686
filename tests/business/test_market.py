"""Diffusion against Bass's own fits (1969, table 3), and market sizes by hand."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.business.market import Bass, Segment, fit_bass, size

PUBLISHED = {
    "room air conditioners": (0.010399, 0.41861, 16_895, 8.6, 1.9),
    "clothes dryers": (0.017206, 0.35688, 15_092, 8.1, 1.5),
    "black and white television": (0.027877, 0.25105, 96_717, 7.8, 7.5),
}
"""p, q, thousands of buyers; years to the peak and millions a year there, as the paper predicts them."""


@pytest.mark.parametrize("durable", PUBLISHED)
def test_the_published_peaks_follow_from_the_published_coefficients(durable: str) -> None:
    p, q, market, years, millions = PUBLISHED[durable]
    found = Bass(p, q, market)
    assert found.peak == pytest.approx(years, abs=0.1)
    assert found.adopting(np.array([found.peak]))[0] / 1000 == pytest.approx(millions, abs=0.06)


def test_who_adopts_adds_up_to_who_has_adopted() -> None:
    found = Bass(0.02, 0.4, 1000.0)
    times = np.linspace(0, 60, 60_001)
    assert np.trapezoid(found.adopting(times), times) == pytest.approx(found.adopted(np.array([60.0]))[0], rel=1e-8)
    assert found.adopted(np.array([0.0, 1e9])) == pytest.approx([0.0, 1000.0])
    assert found.adopting(times).argmax() == pytest.approx(found.peak * 1000, abs=1)
    assert Bass(0.1, 0.05, 10.0).peak == 0.0


def test_the_regression_finds_the_curve_that_made_the_sales() -> None:
    p, q, market = 0.02, 0.4, 5000.0
    sales, before = [], 0.0
    for _ in range(15):  # the recursion that the regression is one of
        sales.append((p + q * before / market) * (market - before))
        before += sales[-1]
    found = fit_bass(sales)
    assert (found.p, found.q, found.market) == (pytest.approx(p), pytest.approx(q), pytest.approx(market))


@pytest.mark.parametrize("sales", [[1, 2, 3], [1, 2, 4, 8, 16, 32], [5, 5, 5, 5], [1, -2, 3, 4], [1, np.nan, 3, 4]])
def test_what_does_not_level_off(sales: list[float]) -> None:
    with pytest.raises(ValueError):
        fit_bass(sales)


def test_markets_by_hand() -> None:
    found = size([Segment("shops", 1000, 100, 0.5, 0.1), Segment("banks", 10, 50_000, 0.2, 0.5)])
    assert (found.tam, found.sam, found.som) == (600_000, 150_000, 55_000)
    assert found.customers == (1010, 502, 51)
    assert size([]).tam == 0


@pytest.mark.parametrize("wrong", [(-1, 1, 0.5, 0.5), (1, -1, 0.5, 0.5), (1, 1, 1.5, 0.5), (1, 1, 0.5, -0.1)])
def test_segments_that_cannot_be(wrong: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="shops"):
        Segment("shops", *wrong)
