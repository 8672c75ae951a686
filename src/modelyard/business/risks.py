"""What may go wrong, as lines of the venture, and what a year of it costs. Risks are taken as independent of each other.

It knows no cash: an expected loss is no spending. Compare it with the lowest cash.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from modelyard.blueprint.strategy import Strategy
from modelyard.business.lines import Adding
from modelyard.business.sizing import LEVEL
from modelyard.business.venture import Venture
from modelyard.records._base import Estimate
from modelyard.records.strategy import Risks, RiskValue
from modelyard.rows import Array

YEAR = 12.0


def risky(venture: Venture, strategy: Strategy, money: str) -> Venture:
    """The venture with a line for each risk's chance, impact and expected loss, and one for all losses together."""
    if not strategy.risks:
        return venture
    adding, together = Adding(venture), None
    for place, risk in enumerate(strategy.risks):
        path, source = f"strategy.risks.{place}", f"the blueprint, {risk.owner}"
        chance = adding.given(f"{path}.likelihood", "1/year", risk.likelihood, source, "high")
        impact = adding.given(f"{path}.impact", money, risk.impact, source, "high")
        adding.sheet.line(f"risk: {risk.name}: chance", "1/month", chance)
        adding.sheet.line(f"risk: {risk.name}: impact", money, impact)
        loss = adding.sheet.line(f"risk: {risk.name}: expected loss", f"{money}/month", chance * impact)
        together = loss if together is None else together + loss
    assert together is not None
    adding.sheet.line("expected loss of all risks", f"{money}/month", together)
    adding.group("Risks")
    return adding.whole()


def measured(strategy: Strategy, draws: Mapping[str, Array], *, seed: int = 0) -> Risks | None:
    """Expected losses of a year, and what its worst tenth costs; None without risks."""
    if not strategy.risks:
        return None
    names = [risk.name for risk in strategy.risks]
    chances = np.stack([draws[f"risk: {name}: chance"] * YEAR for name in names])  # (risks, draws)
    impacts = np.stack([draws[f"risk: {name}: impact"] for name in names])
    happens = np.random.default_rng(seed).random(chances.shape) < chances
    each = [
        RiskValue(name=name, likelihood=mean(chance), impact=mean(impact), expected=mean(chance * impact))
        for name, chance, impact in zip(names, chances, impacts, strict=True)
    ]
    return Risks(
        draws=chances.shape[1], each=tuple(sorted(each, key=lambda one: -one.expected.value)),
        expected=mean((chances * impacts).sum(axis=0)), none=float((1 - happens.any(axis=0)).mean()),
        bad_year=float(np.quantile((happens * impacts).sum(axis=0), 0.9)),
    )  # fmt: skip


def mean(values: Array) -> Estimate:
    """The mean of draws with P10 and P90."""
    low, high = (float(each) for each in np.quantile(values, [0.1, 0.9]))
    middle = float(values.mean())
    return Estimate(value=middle, low=min(low, middle), high=max(high, middle), level=LEVEL)
