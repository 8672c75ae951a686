"""What `business` worked out of the blueprint's `strategy`: actions against cash and machine time, expected losses, and duties with what shows them."""

from __future__ import annotations

from typing import Literal

from modelyard.frozen import Frozen
from modelyard.records._base import Estimate
from modelyard.records.market import Reference

State = Literal["done", "open", "expected", "short", "unknown"]
DutyState = Literal["shown", "declared", "open", "failed"]


class ActionValue(Frozen):
    """One action. Months count from 1."""

    goal: str
    milestone: str
    name: str
    first: int
    last: int
    budget: float
    """In the likely scenario, in the venture's currency, without machine time."""
    hours: float
    """Machine time of its builds."""
    state: State
    """By a record: `done` or `open` now. By a line: `expected` or `short` of it in the last month. `unknown`: the number is not there."""
    metric: Reference
    demanded: Literal["at_least", "at_most"]
    wanted: float


class Pot(Frozen):
    """A cost of `business` that actions are paid from."""

    name: Literal["people", "tools", "acquisition"]
    allocated: tuple[float, ...]
    """A month."""
    there: tuple[float, ...]
    """What that cost is in that month, in the likely scenario."""
    short: int | None
    """First month in which more is allocated than there is; null: none."""


class Resources(Frozen):
    """What the actions take, month by month, against what is there."""

    spent: tuple[float, ...]
    """Money a month on top of all costs of `business`: actions paid from cash, and the machine time of all builds."""
    cash: tuple[float, ...]
    """Cash at the end of each month without the actions, in the likely scenario."""
    left: Estimate
    """Lowest cash with the actions: median, P10 and P90 over the draws."""
    after: tuple[float, ...]
    """Cash at the end of each month with them."""
    out: int | None
    """First month that ends without cash because of the actions; null: none."""
    ruin: float
    """Chance that cash with the actions falls below 0 within the horizon."""
    hours: tuple[float, ...]
    """Machine hours a month of all builds."""
    build_hours: float
    """Of one build: forecast where there is a forecast, else as measured."""
    build_origin: str
    """Where that was read."""
    hours_there: float | None = None
    """`strategy.machine_hours`, likely; null: as many as are paid for."""
    hours_short: int | None = None
    """First month that takes more hours than there are; null: none."""
    pots: tuple[Pot, ...] = ()


class RiskValue(Frozen):
    """One risk. Every `Estimate` is the mean with P10 and P90 (level 0.8)."""

    name: str
    likelihood: Estimate
    impact: Estimate
    expected: Estimate
    """Loss a year: likelihood x impact."""


class Risks(Frozen):
    """All risks together, taken as independent of each other."""

    draws: int
    each: tuple[RiskValue, ...]
    """The greatest expected loss first."""
    expected: Estimate
    """Of a year."""
    none: float
    """Chance that a year passes without any of them."""
    bad_year: float
    """Loss of the worst of ten years: P90 of what a year costs."""


class Evidence(Frozen):
    """A place in the build that bears on a duty."""

    path: str
    origin: str = ""
    """File and place; empty where the build has none."""
    state: Literal["there", "passed", "warning", "failed", "skipped", "missing"]
    """Of a finding of the audit: its own. Of anything else: there or missing."""


class DutyValue(Frozen):
    """A duty that applies. It tells what records show; whether the duty is met a person must judge."""

    name: str
    market: Literal["EU", "US", "CN", "UK"]
    law: str
    article: str
    since: str
    in_force: bool
    """Whether it applies on the plan's first day."""
    state: DutyState
    """`failed`: a finding that bears on it failed. `shown`: every place that bears on it is there, without a warning. `declared`: the blueprint says how it is
    met. `open`: neither."""
    evidence: tuple[Evidence, ...] = ()
    source: str
    checked: str


class StrategyValue(Frozen):
    """The strategy section, computed."""

    actions: tuple[ActionValue, ...] = ()
    resources: Resources | None = None
    risks: Risks | None = None
    duties: tuple[DutyValue, ...] = ()
