"""Draws against closed forms: moments and quantiles of each shape, correlations, and Sobol's indices of Ishigami's function."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy import stats

from modelyard.business.draws import Spread, drawn, outcome, shares, tornado

COUNT = 200_000
EXACT = {
    "pert": stats.beta(1 + 4 * 0.25, 1 + 4 * 0.75, loc=2, scale=8),
    "triangular": stats.triang(0.25, loc=2, scale=8),
    "uniform": stats.uniform(2, 8),
    "normal": stats.norm(6, 8 / (2 * stats.norm.ppf(0.9))),
    "lognormal": stats.lognorm(math.log(5) / (2 * stats.norm.ppf(0.9)), scale=math.sqrt(20)),
}


@pytest.mark.parametrize("shape", EXACT)
def test_mean_and_quantiles_are_those_of_the_distribution(shape: str) -> None:
    found = outcome(drawn({"x": Spread(2, 4, 10, shape)}, COUNT, seed=3)["x"])  # type: ignore[arg-type]
    exact = EXACT[shape]
    assert found.mean == pytest.approx(exact.mean(), abs=5 * found.error)
    assert found.error == pytest.approx(exact.std() / math.sqrt(COUNT), rel=0.02)
    for value, share in ((found.p10, 0.1), (found.p50, 0.5), (found.p90, 0.9)):
        assert exact.cdf(value) == pytest.approx(share, abs=0.004)


def test_perts_mean_is_the_textbooks() -> None:
    assert outcome(Spread(2, 4, 10).at(np.linspace(0.5 / 1e5, 1 - 0.5 / 1e5, 100_000))).mean == pytest.approx((2 + 4 * 4 + 10) / 6, abs=1e-4)  # fmt: skip


def test_the_same_seed_draws_the_same() -> None:
    spreads = {"x": Spread(0, 1, 2), "y": Spread(5, 5, 5)}
    one, same, other = (drawn(spreads, 100, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one["x"], same["x"])
    assert (one["x"] != other["x"]).any() and set(one["y"]) == {5}


@pytest.mark.parametrize("wanted", [-0.8, 0.3, 0.7])
def test_ranks_correlate_as_was_asked(wanted: float) -> None:
    spreads = {"x": Spread(0, 1, 2), "y": Spread(1, 2, 30, "lognormal"), "z": Spread(0, 1, 2, "uniform")}
    found = drawn(spreads, 50_000, correlations={("x", "y"): wanted})
    assert stats.spearmanr(found["x"], found["y"]).statistic == pytest.approx(wanted, abs=0.015)
    assert stats.spearmanr(found["x"], found["z"]).statistic == pytest.approx(0, abs=0.015)


@pytest.mark.parametrize(
    ("correlations", "says"),
    [
        ({("x", "w"): 0.5}, "no uncertain number 'w'"),
        ({("x", "y"): 1.5}, "between -1 and 1"),
        ({("x", "x"): 0.5}, "of two numbers"),
        ({("x", "y"): 0.9, ("y", "z"): 0.9, ("x", "z"): -0.9}, "cannot hold together"),
    ],
)
def test_correlations_that_cannot_be(correlations: dict[tuple[str, str], float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        drawn({name: Spread(0, 1, 2) for name in "xyz"}, 10, correlations=correlations)


@pytest.mark.parametrize("given", [(2, 1, 3, "pert"), (0, 1, 2, "lognormal"), (1, 3, 2, "uniform")])
def test_spreads_that_cannot_be(given: tuple[float, float, float, str]) -> None:
    with pytest.raises(ValueError):
        Spread(*given)  # type: ignore[arg-type]


def test_outcomes_without_an_end_are_left_out() -> None:
    assert outcome(np.array([1.0, 2.0, 3.0, np.inf, np.nan])).mean == 2
    with pytest.raises(ValueError, match="finite"):
        outcome(np.array([np.nan]))


def test_a_tornado_by_hand() -> None:
    spreads = {"price": Spread(8, 10, 11), "cost": Spread(2, 4, 5), "fixed": Spread(3, 3, 3)}
    bars = tornado(spreads, lambda x: 100 * (x["price"] - x["cost"]) - x["fixed"])
    assert [(bar.name, bar.low, bar.high) for bar in bars] == [("price", 397, 697), ("cost", 797, 497)]


def test_sobols_indices_of_ishigamis_function() -> None:
    """a = 7, b = 0.1: first order 0.3139, 0.4424, 0; total 0.5576, 0.4424, 0.2437 (Saltelli and others 2008, Global Sensitivity Analysis)."""
    spreads = {name: Spread(-math.pi, 0, math.pi, "uniform") for name in ("x1", "x2", "x3")}
    found = {
        each.name: each
        for each in shares(
            spreads,
            lambda x: np.sin(x["x1"]) + 7 * np.sin(x["x2"]) ** 2 + 0.1 * x["x3"] ** 4 * np.sin(x["x1"]),
            count=2**14,
        )
    }
    assert [found[name].first for name in ("x1", "x2", "x3")] == pytest.approx([0.3139, 0.4424, 0.0], abs=0.01)
    assert [found[name].total for name in ("x1", "x2", "x3")] == pytest.approx([0.5576, 0.4424, 0.2437], abs=0.01)


def test_a_sum_shares_out_its_variance() -> None:
    spreads = {"a": Spread(0, 1, 2, "uniform"), "b": Spread(0, 2, 4, "uniform"), "c": Spread(1, 1, 1)}
    found = shares(spreads, lambda x: x["a"] + x["b"] + x["c"])
    assert [each.name for each in found] == ["b", "a"]
    assert [each.first for each in found] == pytest.approx([0.8, 0.2], abs=0.01)
    assert shares(spreads, lambda x: x["c"]) == [] and shares({"c": Spread(1, 1, 1)}, lambda x: x["c"]) == []


def test_twenty_thousand_draws_of_twenty_numbers_are_quick() -> None:
    spreads = {f"x{number}": Spread(0, 1, 3 + number) for number in range(20)}
    began = time.perf_counter()
    found = drawn(spreads, 20_000, correlations={("x1", "x2"): 0.5})
    assert len(found["x3"]) == 20_000 and time.perf_counter() - began < 5
