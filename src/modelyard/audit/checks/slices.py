"""Is any group of rows served much worse than the rest? Each sliced value against all others, all intervals at once."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from modelyard.audit.checks._contract import Check, Rule, finding
from modelyard.audit.gaps import gap, plain
from modelyard.audit.world import World
from modelyard.metrics import Statistic
from modelyard.metrics.slicing import slices_of
from modelyard.records.audited import Finding


class Part(Check):
    """Gaps between slices. Figures: `<column>=<value>`, the gap to the rest (mean recall, or relative error)."""

    cure: ClassVar[str] = "Give more training rows of that group, or state in the card that the service is not for it."

    warn: float = Field(0.1, gt=0, le=1)
    """Classes: points of mean recall that a slice may certainly lie below the rest before it is shown as a warning. Ten
    points is the band that AIF360 calls fair for differences of rates."""
    fail: float | None = Field(0.25, gt=0, le=1)
    """Classes: points below the rest that stop the build; null: never. With a quarter more of its rows answered wrong,
    the slice gets another service."""
    warn_ratio: float = Field(0.5, gt=0)
    """Numbers: mean absolute error above the rest's, relative, that is shown: 0.5 is half as large again."""
    fail_ratio: float | None = Field(2.0, gt=0)
    """Numbers: the same, that stops the build: 2 is three times the error. Wide: errors grow with answers."""

    def applies(self, world: World) -> str:
        if world.state.makes == "image":
            return "made images are judged as a crowd, not row by row"
        return "" if world.evaluated.slices else "no column to slice by"

    def __call__(self, world: World) -> Finding:
        classes = bool(world.state.classes)
        statistics: dict[str, Statistic] = {}
        sizes: dict[str, int] = {}
        for name in world.evaluated.slices:
            values, kind = world.column(name, "evaluate.slices")
            slices = slices_of(values, kind)
            for number, value in enumerate(slices.names):
                mask = slices.mask(number)
                statistic = gap(world.sample, mask, classes=classes)
                if statistic is not None:
                    statistics[f"{name}={value}"], sizes[f"{name}={value}"] = statistic, int(mask.sum())
        found = world.bootstrap.together(list(statistics.values()), len(world.sample), groups=world.groups)
        warn, fail = (self.warn, self.fail) if classes else (self.warn_ratio, self.fail_ratio)
        rules, details = [], {}
        for name, estimate in zip(statistics, found, strict=True):
            if estimate is not None:
                rules.append(Rule(name, estimate, warn, fail))
                details[name] = {"rows": sizes[name], **plain(estimate)}
        shown: dict[str, Any] = {"compared": len(rules), "gaps": details}
        return finding("slices", rules, shown)
