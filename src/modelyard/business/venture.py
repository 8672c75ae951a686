"""The venture as a graph of lines: from what was measured, looked up and assumed to costs, prices, unit economics and months of cash.

Names of givens are the places where they stand: `business.churn` in the blueprint, `measured.rate` in a record, `rates.…` in a table. Lines are
grouped as they are shown. It computes nothing; `Sheet.solve` does. The lines are written by `selling`, `months` and `returns`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from modelyard.blueprint.ranges import Range
from modelyard.business.draws import Spread
from modelyard.business.facts import pick
from modelyard.business.sheet import Sheet
from modelyard.records.valued import Scenario
from modelyard.units import canonical

Origin = Literal["measured", "rate", "assumed"]


@dataclass(frozen=True, slots=True)
class Given:
    """A number from outside: its unit as people write it, its values, and where it comes from."""

    unit: str
    spread: Spread
    origin: Origin
    source: str
    unfavourable: str = "depends"
    """The end that harms the venture: `low`, `high`, or that depends on the others."""

    def value(self, scenario: Scenario) -> float:
        """As a scenario takes it, in canonical units. What depends is likely in each."""
        low, likely, high = self.spread.low, self.spread.likely, self.spread.high
        if self.unfavourable == "depends":
            return likely * self.factor
        return pick(Range(low=low, likely=likely, high=high), scenario, self.unfavourable) * self.factor

    @property
    def factor(self) -> float:
        """From the unit to the canonical one."""
        return canonical(self.unit)[1]


@dataclass(frozen=True)
class Venture:
    """The sheet, what is given, and which lines belong together."""

    sheet: Sheet
    givens: Mapping[str, Given]
    groups: Mapping[str, tuple[str, ...]]

    plans: tuple[str, ...]
    """Names, in the blueprint's order."""

    def values(self, scenario: Scenario) -> dict[str, float]:
        """Every given as a scenario takes it, for `Sheet.solve`.

        Of a plan's usage `low` takes the end at which a customer earns least, `high` that of most: more usage earns more where requests
        beyond the included volume are sold above cost, and less everywhere else.
        """
        found = {name: given.value(scenario) for name, given in self.givens.items()}
        if scenario == "likely":
            return found
        usages = {name: self.givens[f"business.plans.{number}.usage"] for number, name in enumerate(self.plans)}
        ends = {
            name: np.array([use.spread.low, use.spread.likely, use.spread.high]) * use.factor
            for name, use in usages.items()
        }
        tried = self.sheet.solve(
            found | {f"business.plans.{number}.usage": ends[name] for number, name in enumerate(self.plans)}
        )
        for number, name in enumerate(self.plans):
            earned = tried[f"{name}: revenue"] - tried[f"{name}: cost"]
            place = int(np.argmin(earned) if scenario == "low" else np.argmax(earned))
            found[f"business.plans.{number}.usage"] = float(ends[name][place])
        return found
