"""Givens and lines added to a venture, so that markets and plans of action are rows of the same graph: one Monte Carlo, one workbook.

The venture that was there is left as it is. It knows no market and no strategy.
"""

from __future__ import annotations

from collections.abc import Mapping

from modelyard.blueprint.ranges import Range
from modelyard.business.draws import Spread, drawn
from modelyard.business.sheet import Sheet, Term
from modelyard.business.venture import Given, Venture
from modelyard.rows import Array

COUNT = 20_000
"""Draws."""


class Adding:
    """A copy of a venture that grows."""

    def __init__(self, venture: Venture) -> None:
        before = venture.sheet
        self.sheet = Sheet(before.months, dict(before.givens), dict(before.lines))
        self._givens, self._groups, self._plans = dict(venture.givens), dict(venture.groups), venture.plans
        self._told = set(before.lines)

    def given(self, name: str, unit: str, found: Range, source: str, unfavourable: str) -> Term:
        """An uncertain number of the blueprint; its own source, or else the entry's."""
        told = found.source if found.source != Range.model_fields["source"].default else source
        spread = Spread(found.low, found.likely, found.high, found.shape)
        self._givens[name] = Given(unit, spread, "assumed", told, unfavourable)
        return self.sheet.given(name, unit)

    def there(self, name: str) -> Term | None:
        """A given or a line that the venture has, None where it has none of the name."""
        if name in self.sheet.givens:
            return Term("given", self.sheet.givens[name], name=name)
        line = self.sheet.lines.get(name)
        return Term("line", line.unit, line.monthly, name=name) if line is not None else None

    def needed(self, name: str) -> Term:
        """A given or a line that every venture has."""
        found = self.there(name)
        assert found is not None, f"the venture has no {name!r}"
        return found

    def group(self, title: str) -> None:
        """Every line that was added since the group before."""
        lines = tuple(name for name in self.sheet.lines if name not in self._told)
        if lines:
            self._groups[title] = lines
            self._told.update(lines)

    def whole(self) -> Venture:
        """The venture with all that was added."""
        return Venture(self.sheet, self._givens, self._groups, self._plans)


def bare(months: int) -> Venture:
    """A venture without lines, to add to."""
    return Venture(Sheet(months), {}, {}, ())


def solved(
    venture: Venture, *, count: int = COUNT, seed: int = 0, correlations: Mapping[tuple[str, str], float] | None = None
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Every line in the likely scenario: () or (months,); and in each draw: (draws,) or (draws, months)."""
    spreads = {name: given.spread for name, given in venture.givens.items()}
    many = drawn(spreads, count, seed=seed, correlations=correlations)
    many = {name: values * venture.givens[name].factor for name, values in many.items()}
    return venture.sheet.solve(venture.values("likely")), venture.sheet.solve(many)
