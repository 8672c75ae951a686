"""A venture's lines in the three scenarios, as quantities for the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from modelyard.business.venture import Venture
from modelyard.records.valued import SCENARIOS, ByScenario, Scenario
from modelyard.rows import Array
from modelyard.units import Quantity


def each(read: Callable[[Scenario], Quantity | None]) -> ByScenario:
    """A number in each scenario."""
    return ByScenario(low=read("low"), likely=read("likely"), high=read("high"))


@dataclass(frozen=True)
class Solved:
    """Every line in each scenario."""

    venture: Venture
    values: Mapping[Scenario, Mapping[str, float]]
    """Of the givens, in canonical units."""
    lines: Mapping[Scenario, Mapping[str, Array]]

    @classmethod
    def of(cls, venture: Venture) -> Solved:
        """Solve all three."""
        values = {scenario: venture.values(scenario) for scenario in SCENARIOS}
        return cls(venture, values, {scenario: venture.sheet.solve(taken) for scenario, taken in values.items()})

    def one(self, scenario: Scenario, name: str) -> Quantity:
        """A line of one value."""
        return Quantity(float(self.lines[scenario][name]), self.venture.sheet.lines[name].unit)

    def given(self, scenario: Scenario, name: str) -> Quantity:
        """A given, as the scenario takes it."""
        return Quantity(self.values[scenario][name], self.venture.sheet.givens[name])

    def known(self, scenario: Scenario, name: str) -> Quantity | None:
        """A line of one value; None where it is not there or not finite."""
        lines = self.lines[scenario]
        return self.one(scenario, name) if name in lines and np.isfinite(lines[name]) else None

    def line(self, name: str) -> ByScenario:
        """The same in each scenario."""
        return each(lambda scenario: self.known(scenario, name))

    def months(self, scenario: Scenario, name: str) -> list[float]:
        """A line's value in each month."""
        months = self.venture.sheet.months
        return [float(value) for value in np.broadcast_to(self.lines[scenario][name], months)]
