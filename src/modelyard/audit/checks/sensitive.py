"""Are people of different groups treated alike? Selection rates, equal opportunity and gaps across the declared columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from modelyard.audit.checks._contract import Check, Rule, finding
from modelyard.audit.gaps import FEWEST, FEWEST_OF_CLASS, gap, plain, share_statistic
from modelyard.audit.world import World
from modelyard.errors import DataError, nearest
from modelyard.metrics import Statistic
from modelyard.metrics._contract import ratio
from modelyard.metrics.slicing import slices_of
from modelyard.records.audited import Finding
from modelyard.rows import Array


class Part(Check):
    """Sensitive columns. Figures, each a group against all others: `selection_ratio`, `opportunity_difference`, `gap`, `bias`."""

    cure: ClassVar[str] = "Look at the group's rows and at what stands in for the column, give more of them, or change the threshold."

    favourable: str | None = None
    """The class that people wish for; by default, of two classes, the one that is not looked for (paid back, no fraud)."""
    ratio: float = Field(0.8, gt=0, lt=1)
    """Smallest selection rate of a group over that of the others: the four-fifths rule (29 CFR 1607.4 D, United States)."""
    opportunity: float = Field(0.1, gt=0, lt=1)
    """Largest difference of true-positive rates (equal opportunity, Hardt et al. 2016); the band of 0.1 is AIF360's default."""
    gap: float = Field(0.1, gt=0, lt=1)
    """Largest gap of mean recall."""
    gap_ratio: float = Field(0.5, gt=0)
    """Numbers: largest mean absolute error above the others', relative."""
    bias: float = Field(0.5, gt=0)
    """Numbers: largest difference of mean error in standard deviations of the target: a medium effect (Cohen 1988); 0.2 is shown."""
    warn_only: bool = False
    """Whether a figure beyond its limit is shown without stopping the build."""

    def applies(self, world: World) -> str:
        return "" if world.blueprint.audit.sensitive else "no audit.sensitive columns are declared"

    def __call__(self, world: World) -> Finding:
        favourable = self._favourable(world)
        named = list(self._figures(world, favourable))
        found = world.bootstrap.together([statistic for *_, statistic in named], len(world.sample), groups=world.groups)
        rules, details = [], dict[str, Any]()
        for (column, value, figure, _), estimate in zip(named, found, strict=True):
            if estimate is None:
                continue
            name = f"{figure} {column}={value}"
            rules.append(self._rule(name, figure, estimate))
            details.setdefault(column, {}).setdefault(value, {})[figure] = plain(estimate)
        for column, rates in self._rates(world, favourable).items():
            for value, facts in rates.items():
                details.setdefault(column, {}).setdefault(value, {}).update(facts)
        name = world.state.classes[favourable] if favourable is not None else None
        return finding("sensitive", rules, {"favourable": name, "columns": details}, most=24)

    def _rule(self, name: str, figure: str, estimate: Any) -> Rule:
        def limits(limit: float, shown: float) -> dict[str, float | None]:
            return {"warn": limit if self.warn_only else shown, "fail": None if self.warn_only else limit}

        if figure == "selection_ratio":
            return Rule(name, estimate, worse="below", **limits(self.ratio, self.ratio))
        if figure == "opportunity_difference":
            return Rule(name, estimate, **limits(self.opportunity, self.opportunity))
        if figure == "bias":
            return Rule(name, estimate, **limits(self.bias, min(0.2, self.bias)))
        limit = self.gap if self._classes_known else self.gap_ratio
        return Rule(name, estimate, **limits(limit, limit))

    _classes_known: bool = True

    def _favourable(self, world: World) -> int | None:
        """The number of the favourable class; None where there is no obvious one. DataError for an unknown name."""
        state = world.state
        if self.favourable is not None:
            if self.favourable not in state.classes:
                raise DataError(
                    f"audit.checks.sensitive.favourable: no class {self.favourable!r}."
                    f"{nearest(self.favourable, state.classes)} Classes: {', '.join(state.classes) or 'none, answers are numbers'}"
                )
            return state.classes.index(self.favourable)
        return 1 - state.classes.index(state.positive) if state.positive is not None and len(state.classes) == 2 else None
