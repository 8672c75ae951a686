"""The Check contract: a check looks at the world and returns a finding; its fields are its options and limits.

A figure is beyond a limit only where its whole interval is: chance alone fails no build.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from modelyard.audit.world import World
from modelyard.frozen import Frozen
from modelyard.records._base import Estimate
from modelyard.records.audited import Finding


class Check(Frozen):
    """A check of trust. Subclasses are final and named `Part`."""

    cure: ClassVar[str]
    """What one can do about a failure."""

    skip: bool = False
    """Leave this check out; the report says so."""

    @abstractmethod
    def applies(self, world: World) -> str:
        """Why it does not apply, in a few words; empty where it does."""

    @abstractmethod
    def __call__(self, world: World) -> Finding:
        """Look."""


@dataclass(frozen=True)
class Rule:
    """A figure and the limits from which on it warns or fails; None: it never does."""

    figure: str
    estimate: Estimate
    warn: float | None = None
    fail: float | None = None
    worse: Literal["above", "below"] = "above"

    def beyond(self, limit: float | None) -> bool:
        """Whether the whole interval is beyond the limit."""
        if limit is None:
            return False
        return self.estimate.low > limit if self.worse == "above" else self.estimate.high < limit

    @property
    def limit(self) -> float | None:
        """The limit that stops the build, or else the one that warns."""
        return self.fail if self.fail is not None else self.warn

    @property
    def gravity(self) -> float:
        """How near or far beyond its limit, in limits: to sort by."""
        limit = self.limit or 1.0
        off = self.estimate.low - limit if self.worse == "above" else limit - self.estimate.high
        return off / abs(limit)


def finding(name: str, rules: Iterable[Rule], details: dict[str, Any] | None = None, *, most: int = 12) -> Finding:
    """The finding that follows from the rules; at most `most` figures are shown, broken and bad ones first."""
    listed = list(rules)
    failed = [rule for rule in listed if rule.beyond(rule.fail)]
    warned = [rule for rule in listed if rule.beyond(rule.warn)]
    broken = [*failed, *(rule for rule in warned if rule not in failed)]
    rest = sorted((rule for rule in listed if rule not in broken), key=lambda rule: -rule.gravity)
    shown = [*sorted(broken, key=lambda rule: (rule not in failed, -rule.gravity)), *rest][:most]
    limits, floors = ({rule.figure: rule.limit for rule in shown if rule.worse == side} for side in ("above", "below"))
    return Finding(
        name=name,
        status="failed" if failed else "warning" if warned else "passed",
        measured={rule.figure: rule.estimate for rule in shown},
        limits={figure: limit for figure, limit in limits.items() if limit is not None},
        floors={figure: limit for figure, limit in floors.items() if limit is not None},
        stops=tuple(rule.figure for rule in shown if rule.fail is not None),
        broken=tuple(rule.figure for rule in shown if rule in broken),
        details=details or {},
    )
