"""What `business` worked out of the blueprint's `market`: sizes with quantiles, adoption by month, and competitors beside our measured row."""

from __future__ import annotations

from typing import Literal

from modelyard.frozen import Frozen
from modelyard.records._base import Estimate
from modelyard.units import Seconds

Verdict = Literal["ours", "theirs", "unsure"]
"""Whose is surely better; `unsure`: the intervals overlap."""


class Reference(Frozen):
    """A place in a record that the blueprint named, as it was found."""

    path: str
    """As the blueprint names it: `evaluate.metrics.f1_macro.value`."""
    origin: str = ""
    """File and place: `evaluate.json#metrics.f1_macro.value`; empty where the record has none."""
    value: str | float | None = None
    """Null where there is none, or where it is more than one value."""


class SegmentSize(Frozen):
    """One segment. Money a year; every `Estimate` here is the median with P10 and P90 (level 0.8)."""

    name: str
    tam: Estimate
    """Customers x spend."""
    sam: Estimate
    """x the share that can be served."""
    som: Estimate
    """x the share of these that can be won."""


class MarketSize(Frozen):
    """All segments together: sums of draws, not sums of quantiles."""

    draws: int
    tam: Estimate
    sam: Estimate
    som: Estimate
    customers: Estimate
    serviceable: Estimate
    obtainable: Estimate
    segments: tuple[SegmentSize, ...]


class Adoption(Frozen):
    """How many of the obtainable customers the market gives by the end of each month: an upper bound of what can be won."""

    low: tuple[float, ...]
    """P10."""
    value: tuple[float, ...]
    """P50."""
    high: tuple[float, ...]
    """P90."""
    planned: tuple[float, ...]
    """Customers of the plan, in the likely scenario."""
    beyond: int | None = None
    """First month in which the plan has more customers than the median bound; null: none."""
    chance: float
    """Share of draws in which the plan's customers, drawn too, exceed the bound in some month."""


class Bounds(Frozen):
    """A price: likely, and what would not surprise."""

    low: float
    likely: float
    high: float


class Compared(Frozen):
    """One row of the comparison."""

    name: str
    price: Bounds | None = None
    quality: Estimate | None = None
    """Ours: on test rows, with its interval. A competitor's: as its source says, low and high where it says so."""
    p95: Seconds | None = None
    features: tuple[str, ...] = ()
    verdicts: dict[str, Verdict] = {}
    """`price`, `quality`, `p95` of a competitor against ours; missing where one of both is not known."""
    origins: dict[str, str] = {}
    """Where each of our numbers was read: `quality` -> `evaluate.json#metrics.f1_macro`."""


class MarketValue(Frozen):
    """The market section, computed."""

    size: MarketSize | None = None
    adoption: Adoption | None = None
    price_of: str
    """`month`, or a unit of sale."""
    lot: int = 1
    """How many of the unit a price is for."""
    metric: str
    greater_is_better: bool
    ours: Compared | None = None
    competitors: tuple[Compared, ...] = ()
    references: tuple[Reference, ...] = ()
