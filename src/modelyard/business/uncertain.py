"""What may become of the venture: thousands of draws of everything that is uncertain, and what the outcome hangs on.

Every given with a spread is drawn, correlated where the blueprint says so; the graph of lines is solved for all draws at once. It knows
nothing about how the numbers are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from modelyard.business.draws import Bar, Draws, Model, Outcome, Share, drawn, outcome, shares, tornado
from modelyard.business.venture import Venture
from modelyard.rows import Array

COUNT = 20_000
HEALTHY = 3.0
"""LTV:CAC from which on a venture is called healthy (Skok)."""
LINES = (
    "gross margin",
    "lifetime value",
    "LTV:CAC",
    "CAC payback",
    "net present value",
    "lowest cash",
    "cash at the end",
)
"""Lines whose outcomes are told."""
TARGET = "cash at the end"
"""What the tornado and the shares of variance are of."""
LEVELS = np.geomspace(0.5, 2.0, 25)
"""Factors on all prices that are tried."""
TRIED = 500
"""Draws in which each of them is tried."""


@dataclass(frozen=True)
class Prices:
    """What is earned before tax over the horizon at each of `LEVELS`, and the level that earns most, draw by draw."""

    net: tuple[Outcome, ...]
    best: Outcome


@dataclass(frozen=True)
class Uncertain:
    """What thousands of draws say."""

    draws: int
    seed: int
    outcomes: Mapping[str, Outcome]
    """Of `LINES`; one that has no value in any draw is not there."""
    cash: tuple[tuple[float, float, float], ...]
    """P10, P50 and P90 of each month's cash."""
    ruin: tuple[float, ...]
    """Chance that cash has run out by the end of each month."""
    healthy: float
    """Chance that LTV:CAC is above 3."""
    tornado: Sequence[Bar]
    shares: Sequence[Share]
    prices: Prices


def uncertain(
    venture: Venture, *, count: int = COUNT, seed: int = 0, correlations: Mapping[tuple[str, str], float] | None = None
) -> Uncertain:
    """Draw, solve and sum up. ValueError where the correlations cannot hold together."""
    spreads = {name: given.spread for name, given in venture.givens.items()}
    drawing = drawn(spreads, count, seed=seed, correlations=correlations)
    found = venture.sheet.solve(_canonical(venture, drawing))
    cash: Array = np.broadcast_to(found["cash"], (count, venture.sheet.months))
    bands = np.quantile(cash, [0.1, 0.5, 0.9], axis=0).T
    gone = (np.minimum.accumulate(cash, axis=1) < 0).mean(axis=0)

    def model(values: Draws) -> Array:
        return venture.sheet.solve(_canonical(venture, values))[TARGET]

    of_target: Model = model
    return Uncertain(
        draws=count,
        seed=seed,
        outcomes={
            name: outcome(np.broadcast_to(found[name], count)) for name in LINES if np.isfinite(found[name]).any()
        },
        cash=tuple((float(low), float(middle), float(high)) for low, middle, high in bands),
        ruin=tuple(gone.tolist()),
        healthy=float((np.broadcast_to(found["LTV:CAC"], count) > HEALTHY).mean()),
        tornado=tornado(spreads, of_target),
        shares=shares(spreads, of_target, seed=seed),
        prices=_prices(venture, {name: values[:TRIED] for name, values in drawing.items()}),
    )


def _prices(venture: Venture, drawing: Draws) -> Prices:
    """All prices times each level, in the same draws."""
    tried = len(next(iter(drawing.values())))
    values = {name: np.tile(column, len(LEVELS)) for name, column in drawing.items()}
    values["scenario.prices"] = np.repeat(LEVELS, tried)
    net = venture.sheet.solve(_canonical(venture, values))["net so far"][:, -1].reshape(len(LEVELS), tried)
    return Prices(tuple(outcome(row) for row in net), outcome(LEVELS[net.argmax(axis=0)]))


def _canonical(venture: Venture, values: Draws) -> dict[str, Array]:
    return {name: column * venture.givens[name].factor for name, column in values.items()}


# -- named scenarios -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stress:
    """Something that may happen, all else being likely: factors on givens, and givens that are something else."""

    name: str
    factors: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    """In the units in which people write them."""


def stressed(venture: Venture, stresses: Sequence[Stress]) -> dict[str, dict[str, Array]]:
    """Every line under each stress. ValueError where one names no given."""
    likely = venture.values("likely")
    found = {}
    for stress in stresses:
        unknown = (stress.factors.keys() | stress.values.keys()) - likely.keys()
        if unknown:
            raise ValueError(f"{stress.name}: no such number: {', '.join(sorted(unknown))}")
        changed = {name: likely[name] * factor for name, factor in stress.factors.items()}
        changed |= {name: value * venture.givens[name].factor for name, value in stress.values.items()}
        found[stress.name] = venture.sheet.solve(likely | changed)
    return found
