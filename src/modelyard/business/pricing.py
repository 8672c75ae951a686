"""What to charge: demand that answers to price, and what people say in surveys. Prices are plain numbers in one currency and unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelyard.rows import Array


def demand(price: Array | float, *, at: float, price_then: float, elasticity: float) -> Array:
    """Demand of constant elasticity: at x (price ÷ price_then)^elasticity. `at` is the demand at `price_then`, both above 0."""
    if price_then <= 0 or at < 0:
        raise ValueError("demand is known at a price above 0")
    found: Array = at * (np.asarray(price, dtype=np.float64) / price_then) ** elasticity
    return found


def best_price(cost: float, elasticity: float) -> float | None:
    """The price of the greatest margin for constant elasticity: cost x e ÷ (1 + e) (Lerner 1934); None where demand is inelastic
    (-1 or above): each rise would earn more, which only says that the assumption does not hold that far.

    >>> best_price(2.0, -3.0)
    3.0
    """
    return cost * elasticity / (1 + elasticity) if elasticity < -1 else None


@dataclass(frozen=True, slots=True)
class Westendorp:
    """Van Westendorp's price sensitivity meter (ESOMAR congress, 1976)."""

    cheapest: float
    """Point of marginal cheapness: as many say too cheap as expensive."""
    dearest: float
    """Point of marginal expensiveness: as many say too expensive as cheap."""
    optimal: float
    """As many say too cheap as too expensive."""
    indifferent: float
    """As many say cheap as expensive."""


def westendorp(
    too_cheap: Sequence[float], cheap: Sequence[float], expensive: Sequence[float], too_expensive: Sequence[float]
) -> Westendorp:
    """The four crossings, of four prices of each person, in order. ValueError where they are fewer than ten, or not in order.

    Shares are of the persons: `cheap` and `too cheap` fall with the price, `expensive` and `too expensive` rise. Between two prices that
    were named the curves are straight lines.
    """
    prices, falls, rises = _shares(too_cheap, cheap, expensive, too_expensive)
    return Westendorp(
        cheapest=_crossing(prices, falls[0], rises[0]), dearest=_crossing(prices, falls[1], rises[1]),
        optimal=_crossing(prices, falls[0], rises[1]), indifferent=_crossing(prices, falls[1], rises[0]),
    )  # fmt: skip


def curves(
    too_cheap: Sequence[float], cheap: Sequence[float], expensive: Sequence[float], too_expensive: Sequence[float]
) -> dict[str, tuple[float, ...]]:
    """The four curves to draw: `prices`, and at each the share of the persons of `too_cheap`, `cheap`, `expensive`, `too_expensive`."""
    prices, falls, rises = _shares(too_cheap, cheap, expensive, too_expensive)
    each = dict(zip(("too_cheap", "cheap", "expensive", "too_expensive"), (*falls, *rises), strict=True))
    return {"prices": tuple(prices.tolist()), **{name: tuple(values.tolist()) for name, values in each.items()}}


def _shares(
    too_cheap: Sequence[float], cheap: Sequence[float], expensive: Sequence[float], too_expensive: Sequence[float]
) -> tuple[Array, list[Array], list[Array]]:
    """Every price that was named, the two falling shares and the two rising ones."""
    named = np.array([too_cheap, cheap, expensive, too_expensive], dtype=np.float64)
    if named.ndim != 2 or named.shape[1] < 10 or not np.isfinite(named).all() or (named < 0).any():
        raise ValueError("the price sensitivity meter needs four prices of at least ten persons, none below 0")
    if (wrong := np.flatnonzero((np.diff(named, axis=0) < 0).any(axis=0))).size:
        raise ValueError(
            f"person {wrong[0] + 1}: prices must rise from too cheap over cheap and expensive to too expensive"
        )
    prices = np.unique(named)
    falls = [(each[None, :] >= prices[:, None]).mean(axis=1) for each in named[:2]]
    rises = [(each[None, :] <= prices[:, None]).mean(axis=1) for each in named[2:]]
    return prices, falls, rises


def _crossing(prices: Array, falling: Array, rising: Array) -> float:
    """Where a falling line meets a rising one; the middle where they lie on each other."""
    gap = rising - falling
    above = int(np.argmax(gap >= 0))
    if gap[above] < 0:
        return float(prices[-1])
    if gap[above] == 0:
        level = np.flatnonzero(gap == 0)
        return float((prices[level[0]] + prices[level[-1]]) / 2)
    if above == 0:
        return float(prices[0])
    share = -gap[above - 1] / (gap[above] - gap[above - 1])
    return float(prices[above - 1] + share * (prices[above] - prices[above - 1]))


@dataclass(frozen=True, slots=True)
class Gabor:
    """What Gabor and Granger's question says (Economica 33, 1966): who would buy at which price, and where revenue and margin are greatest."""

    prices: tuple[float, ...]
    buying: tuple[float, ...]
    """Share of the persons who would buy at that price."""
    revenue_price: float
    margin_price: float
    low: float
    """95 % of resamples of the persons find the margin's best price between these."""
    high: float


def gabor_granger(
    prices: Sequence[float], highest: Sequence[float], *, cost: float = 0.0, seed: int = 0, resamples: int = 1000
) -> Gabor:
    """From the highest price that each person would pay (0: none), the demand at the prices that were asked and the best of them.

    ValueError for fewer than ten persons, prices that do not rise, or a cost at which no price earns.
    """
    asked, most = np.asarray(prices, dtype=np.float64), np.asarray(highest, dtype=np.float64)
    if len(asked) < 2 or (np.diff(asked) <= 0).any() or asked[0] <= 0:
        raise ValueError("at least two prices, rising, above 0")
    if len(most) < 10 or not np.isfinite(most).all() or (most < 0).any():
        raise ValueError("the highest price that at least ten persons would pay, 0 for those who would not buy")
    if cost >= asked[-1]:
        raise ValueError(f"the cost of {cost:g} is above every price that was asked (at most {asked[-1]:g})")
    buys = most[:, None] >= asked[None, :]
    share = buys.mean(axis=0)
    picks = np.random.default_rng(seed).integers(0, len(most), (resamples, len(most)))
    best = asked[((asked - cost) * buys[picks].mean(axis=1)).argmax(axis=1)]
    low, high = np.quantile(best, [0.025, 0.975])
    return Gabor(
        tuple(asked.tolist()), tuple(share.tolist()), float(asked[(asked * share).argmax()]),
        float(asked[((asked - cost) * share).argmax()]), float(low), float(high),
    )  # fmt: skip
