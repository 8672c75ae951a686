"""What the lines of a venture are written on: the sheet, every given with its origin, and which lines are shown together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from modelyard.blueprint.business import Business
from modelyard.blueprint.ranges import Range
from modelyard.business.draws import Spread
from modelyard.business.facts import Facts, marks
from modelyard.business.sheet import Sheet, Term
from modelyard.business.venture import Given, Origin

SCENARIO = "1 unless a scenario says otherwise"


class Page:
    """The sheet of one venture while it is written."""

    def __init__(self, business: Business, facts: Facts) -> None:
        self.business, self.facts, self.money = business, facts, business.currency
        self.sheet = Sheet(business.months)
        self.givens: dict[str, Given] = {}
        self.groups: dict[str, tuple[str, ...]] = {}

    def given(
        self, name: str, unit: str, value: float | Range, origin: Origin, source: str, unfavourable: str = "depends"
    ) -> Term:
        """A number from outside."""
        if isinstance(value, Range):
            spread = Spread(value.low, value.likely, value.high, value.shape)
        else:
            spread = Spread(value, value, value)
        self.givens[name] = Given(unit, spread, origin, source, unfavourable)
        return self.sheet.given(name, unit)

    def assumed(self, name: str) -> Term:
        """A ranged key of the blueprint's section."""
        mark, found = marks()[name], getattr(self.business, name)
        return self.ranged(f"business.{name}", mark.unit, found, mark.unfavourable)

    def ranged(self, path: str, unit: str, found: Range, unfavourable: str) -> Term:
        """A range anywhere in the section; `{currency}` in its unit is filled in."""
        return self.given(path, unit.format(currency=self.money), found, "assumed", found.source, unfavourable)

    def fixed(self, name: str, unit: str, value: float) -> Term:
        """A key of the section that is one number."""
        return self.given(f"business.{name}", unit, value, "assumed", "the blueprint")

    def scenario(self, what: str, unit: str = "", *, value: float = 1.0) -> Term:
        """A number that only a scenario or a question changes."""
        source = SCENARIO if value == 1 else f"{value:g} unless a scenario says otherwise"
        return self.given(f"scenario.{what}", unit, value, "assumed", source)

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """The lines that are written meanwhile are shown together."""
        first = len(self.sheet.lines)
        yield
        self.groups[title] = tuple(self.sheet.lines)[first:]
