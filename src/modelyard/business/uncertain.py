"""What may become of the venture: thousands of draws of everything that is uncertain, and what the outcome hangs on.

Every given with a spread is drawn, correlated where the blueprint says so; the graph of lines is solved for all draws at once. It knows
nothing about how the numbers are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modelyard.business.draws import Bar, Draws, Model, Outcome, Share, drawn, outcome, shares, tornado
from modelyard.business.venture import Venture
from modelyard.rows import Array

COUNT = 20_000
HEALTHY = 3.0
"""LTV:CAC from which on a venture is called healthy (Skok)."""
LINES = ("gross margin", "lifetime value", "LTV:CAC", "CAC payback", "lowest cash", "cash at the end")
"""Lines whose outcomes are told."""
TARGET = "cash at the end"
"""What the tornado and the shares of variance are of."""


@dataclass(frozen=True)
class Uncertain:
    """What thousands of draws say."""

    draws: int
    seed: int
    outcomes: Mapping[str, Outcome]
    cash: tuple[tuple[float, float, float], ...]
    """P10, P50 and P90 of each month's cash."""
    ruin: tuple[float, ...]
    """Chance that cash has run out by the end of each month."""
    healthy: float
    """Chance that LTV:CAC is above 3."""
    tornado: Sequence[Bar]
    shares: Sequence[Share]


def uncertain(
    venture: Venture, *, count: int = COUNT, seed: int = 0, correlations: Mapping[tuple[str, str], float] | None = None
) -> Uncertain:
    """Draw, solve and sum up. ValueError where the correlations cannot hold together."""
    spreads = {name: given.spread for name, given in venture.givens.items()}
    found = venture.sheet.solve(_canonical(venture, drawn(spreads, count, seed=seed, correlations=correlations)))
    cash: Array = np.broadcast_to(found["cash"], (count, venture.sheet.months))
    bands = np.quantile(cash, [0.1, 0.5, 0.9], axis=0).T
    gone = (np.minimum.accumulate(cash, axis=1) < 0).mean(axis=0)

    def model(values: Draws) -> Array:
        return venture.sheet.solve(_canonical(venture, values))[TARGET]

    of_target: Model = model
    return Uncertain(
        draws=count, seed=seed, outcomes={name: outcome(np.broadcast_to(found[name], count)) for name in LINES if np.isfinite(found[name]).any()},
        cash=tuple((float(low), float(middle), float(high)) for low, middle, high in bands), ruin=tuple(gone.tolist()),
        healthy=float((found["LTV:CAC"] > HEALTHY).mean()), tornado=tornado(spreads, of_target), shares=shares(spreads, of_target, seed=seed),
    )  # fmt: skip


def _canonical(venture: Venture, values: Draws) -> dict[str, Array]:
    return {name: drawn_ * venture.givens[name].factor for name, drawn_ in values.items()}


# -- named scenarios -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stress:
    """Something that may happen: factors on givens, all else likely."""

    name: str
    factors: Mapping[str, float]


def stressed(venture: Venture, stresses: Sequence[Stress]) -> dict[str, dict[str, Array]]:
    """Every line under each stress. ValueError where a factor is of no given."""
    likely = {name: given.spread.likely * given.factor for name, given in venture.givens.items()}
    found = {}
    for stress in stresses:
        unknown = stress.factors.keys() - likely.keys()
        if unknown:
            raise ValueError(f"{stress.name}: no such number: {', '.join(sorted(unknown))}")
        changed = {name: likely[name] * factor for name, factor in stress.factors.items()}
        found[stress.name] = venture.sheet.solve(likely | changed)
    return found
