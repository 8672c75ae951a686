"""What may happen: draws of uncertain numbers, together or apart, and which of them the outcome hangs on.

    spreads (low, likely, high) ─► ranks, correlated by a Gaussian copula ─► values ─► a model of (draws,) arrays ─► quantiles, shares

A model is any function from named arrays (draws,) to an array (draws,). The same seed gives the same draws. It knows no business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from modelyard.rows import Array

Draws = Mapping[str, Array]
Model = Callable[[Draws], Array]
PEAKED = 4.0
"""Weight of the likeliest value in a PERT distribution (Malcolm, Roseboom, Clark, Fazar, Operations Research 7(5), 1959)."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How an uncertain number is distributed between `low` and `high`, or, of the two normal ones, with 80 % of it between them."""

    low: float
    likely: float
    high: float
    shape: Literal["pert", "triangular", "uniform", "normal", "lognormal"] = "pert"

    def __post_init__(self) -> None:
        if not self.low <= self.likely <= self.high:
            raise ValueError(f"must have low <= likely <= high (got {self.low:g}, {self.likely:g}, {self.high:g})")
        if self.shape == "lognormal" and self.low <= 0:
            raise ValueError(f"a lognormal number is above 0 (got low {self.low:g})")

    def at(self, rank: Array) -> Array:
        """Values at ranks in (0, 1): the inverse of the distribution."""
        from scipy import special

        width = self.high - self.low
        if width == 0:
            return np.full_like(rank, self.likely)
        if self.shape == "uniform":
            return self.low + width * rank
        if self.shape == "triangular":
            turn = (self.likely - self.low) / width
            rising = self.low + np.sqrt(rank * width * (self.likely - self.low))
            falling = self.high - np.sqrt((1 - rank) * width * (self.high - self.likely))
            return np.where(rank < turn, rising, falling)
        if self.shape == "pert":
            above = 1 + PEAKED * (self.likely - self.low) / width
            pert: Array = self.low + width * special.betaincinv(above, 2 + PEAKED - above, rank)
            return pert
        tail, normal = special.ndtri(0.9), special.ndtri(rank)
        if self.shape == "normal":
            values: Array = (self.low + self.high) / 2 + width / (2 * tail) * normal
            return values
        low, high = np.log([self.low, self.high])
        return np.exp((low + high) / 2 + (high - low) / (2 * tail) * normal)  # type: ignore[no-any-return]


def drawn(
    spreads: Mapping[str, Spread],
    count: int,
    *,
    seed: int = 0,
    correlations: Mapping[tuple[str, str], float] | None = None,
) -> dict[str, Array]:
    """(count,) values of each; `correlations` are rank correlations of pairs. ValueError where they cannot all hold together."""
    from scipy import special

    names = list(spreads)
    normal = np.random.default_rng(seed).standard_normal((count, len(names)))
    if correlations:
        normal = normal @ _root(names, correlations).T
    return {name: spreads[name].at(special.ndtr(normal[:, place])) for place, name in enumerate(names)}


def _root(names: Sequence[str], correlations: Mapping[tuple[str, str], float]) -> Array:
    """L with L L' the correlations of the normal numbers behind the ranks: r = 2 sin(pi/6 x Spearman's)."""
    matrix = np.eye(len(names))
    for (one, other), value in correlations.items():
        for name in (one, other):
            if name not in names:
                raise ValueError(f"correlations: no uncertain number {name!r}. There are: {', '.join(names)}")
        if one == other or not -1 < value < 1:
            raise ValueError(
                f"the correlation of {one} and {other} must be of two numbers, and between -1 and 1 (got {value:g})"
            )
        row, column = names.index(one), names.index(other)
        matrix[row, column] = matrix[column, row] = 2 * np.sin(np.pi / 6 * value)
    try:
        root: Array = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        pairs = ", ".join(f"{one} and {other} {value:g}" for (one, other), value in correlations.items())
        raise ValueError(f"these correlations cannot hold together: {pairs}. Make some of them weaker.") from None
    return root


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of many draws: the mean, and the values that a tenth, a half and nine tenths stay below."""

    mean: float
    p10: float
    p50: float
    p90: float
    error: float
    """Standard error of the mean."""


def outcome(values: Array) -> Outcome:
    """Of (draws,) values; those that are not finite (a ratio to nothing) are left out. ValueError where none is left."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        raise ValueError("no draw has a finite outcome")
    p10, p50, p90 = np.quantile(finite, [0.1, 0.5, 0.9])
    error = finite.std(ddof=1) / np.sqrt(len(finite)) if len(finite) > 1 else 0.0
    return Outcome(float(finite.mean()), float(p10), float(p50), float(p90), float(error))


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a tornado: the outcome where one number is low or high and all others are likely."""

    name: str
    low: float
    high: float

    @property
    def width(self) -> float:
        """How far the outcome moves."""
        return abs(self.high - self.low)


def tornado(spreads: Mapping[str, Spread], model: Model) -> list[Bar]:
    """One bar for each number that may differ, the widest first."""
    moving = [name for name, spread in spreads.items() if spread.high > spread.low]
    values = {name: np.full(2 * len(moving), spread.likely) for name, spread in spreads.items()}
    for place, name in enumerate(moving):
        values[name][2 * place : 2 * place + 2] = spreads[name].low, spreads[name].high
    found = model(values)
    bars = [Bar(name, float(found[2 * place]), float(found[2 * place + 1])) for place, name in enumerate(moving)]
    return sorted(bars, key=lambda bar: -bar.width)


@dataclass(frozen=True, slots=True)
class Share:
    """How much of the outcome's variance hangs on one number: alone, and with all that it does together with others."""

    name: str
    first: float
    total: float


def shares(spreads: Mapping[str, Spread], model: Model, *, count: int = 1024, seed: int = 0) -> list[Share]:
    """Sobol's indices, the largest total first; all numbers are taken as independent.

    First order by Saltelli and others (Computer Physics Communications 181, 2010), total by Jansen (1999): `count` x (numbers + 2) runs
    of the model, in one call. Where the outcome does not vary, there are none.
    """
    from scipy.stats import qmc

    moving = [name for name, spread in spreads.items() if spread.high > spread.low]
    if not moving:
        return []
    ranks = qmc.Sobol(2 * len(moving), seed=seed).random(count)
    ranks = np.clip(ranks, 1e-12, 1 - 1e-12)
    blocks = len(moving) + 2  # one, the other, and for each number one with that number of the other
    values = {name: np.full(blocks * count, spread.likely) for name, spread in spreads.items()}
    for place, name in enumerate(moving):
        one, other = (spreads[name].at(ranks[:, column]) for column in (place, len(moving) + place))
        values[name] = np.tile(one, blocks)
        values[name][count : 2 * count] = values[name][(place + 2) * count : (place + 3) * count] = other
    found = np.asarray(model(values), dtype=np.float64).reshape(blocks, count)
    usable = np.isfinite(found).all(axis=0)
    found = found[:, usable]
    if not usable.any() or (variance := found[:2].var()) <= 1e-24 * max(float(np.abs(found).max()) ** 2, 1e-300):
        return []
    a, b, mixed = found[0], found[1], found[2:]
    first = (b * (mixed - a)).mean(axis=1) / variance
    total = ((a - mixed) ** 2).mean(axis=1) / (2 * variance)
    result = [Share(name, float(f), float(t)) for name, f, t in zip(moving, first, total, strict=True)]
    return sorted(result, key=lambda share: -share.total)
