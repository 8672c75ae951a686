"""What the business stage worked out about running the service: machines for a week's demand, the catalogue, buying instead, variants, surveys.

Owned by the business stage; a part of `Valued`.
"""

from __future__ import annotations

from modelyard.frozen import Frozen
from modelyard.units import Measure


class Staffed(Frozen):
    """Machines that a month's demand takes, in the likely scenario."""

    month: int
    demand: Measure
    """Mean requests a second."""
    fixed: int
    """As many at every hour as the busiest one needs."""
    fixed_cost: Measure
    """Of a month, hosting included."""
    fixed_busy: float
    """Share of their capacity that is used."""
    following: int
    """The most, where machines come and go with the hours."""
    following_cost: Measure
    following_busy: float


class Demand(Frozen):
    """A week's demand in machines."""

    shape: tuple[float, ...]
    """Of the 168 hours, Monday's first, relative to their mean."""
    peak: float
    """The busiest hour over the mean."""
    assumed: float
    """`business.utilisation`, likely: what the cash table counts with."""
    months: tuple[Staffed, ...]


class Rented(Frozen):
    """A machine of the table, at one way of renting it."""

    machine: str
    provider: str
    rent: str
    """on-demand, reserved-1-year, reserved-3-years, spot."""
    price: Measure
    """Of an hour, in the blueprint's currency."""
    per_thousand: Measure | None
    """Cost of 1,000 requests with hosting at the measured rate; null where the machine has fewer cores or older instructions than the one
    that bore the load, so that its rate is not known. One with more is no slower."""
    chosen: bool
    source: str
    date: str


class Bought(Frozen):
    """An API in the place of own machines, in the likely scenario."""

    name: str
    bought: Measure | None
    """Cost of 1,000 requests there; null where it is not known how many units a request takes."""
    own: Measure | None
    """The same on own machines in the last month; null where nobody asks."""
    break_even: Measure | None = None
    """Requests a month from which own machines cost less; null: they never do."""
    repaid: int | None = None
    """The month in which what own machines saved has paid for the build; null: none within the horizon."""
    saved: Measure | None = None
    """What own machines save over the horizon, the build paid; below 0 they cost more."""
    source: str
    date: str


class Point(Frozen):
    """One way to serve the model."""

    variant: str
    quality: float
    """The choosing metric on validation rows."""
    latency: Measure
    """95th percentile of one row alone."""
    per_thousand: Measure
    """Cost of 1,000 requests, in proportion to the rows it answers in batches."""
    front: bool
    """Whether no other is better in one of the three and no worse in the others."""
    chosen: bool


class Step(Frozen):
    """From one variant of the front to the next better one: what the quality costs."""

    cheaper: str
    better: str
    quality: float
    """Gained."""
    per_thousand: Measure
    """Added cost of 1,000 requests."""
    latency: Measure
    """Added seconds of a row."""
    point: Measure
    """Added cost of 1,000 requests for a hundredth of the metric."""


class Front(Frozen):
    """Quality, latency and cost of all variants that were exported."""

    metric: str
    greater_is_better: bool
    points: tuple[Point, ...]
    steps: tuple[Step, ...]


class Meter(Frozen):
    """Van Westendorp's price sensitivity meter."""

    persons: int
    cheapest: Measure
    """Point of marginal cheapness."""
    dearest: Measure
    """Point of marginal expensiveness."""
    optimal: Measure
    indifferent: Measure
    prices: tuple[float, ...]
    too_cheap: tuple[float, ...]
    cheap: tuple[float, ...]
    expensive: tuple[float, ...]
    too_expensive: tuple[float, ...]
    """Shares of the persons at each price."""


class Willing(Frozen):
    """Gabor and Granger's question: who would buy at which price."""

    persons: int
    prices: tuple[float, ...]
    buying: tuple[float, ...]
    """Share of the persons."""
    revenue_price: Measure
    """The price of the greatest revenue."""
    margin_price: Measure
    """The price of the greatest margin over the cost of a customer."""
    low: Measure
    high: Measure
    """95 % of resamples of the persons find the margin's best price between these."""


class Surveyed(Frozen):
    """What people said."""

    source: str
    date: str
    meter: Meter | None = None
    willing: Willing | None = None


class Running(Frozen):
    """How the service would run, and what it is weighed against."""

    demand: Demand
    machines: tuple[Rented, ...]
    bought: tuple[Bought, ...] = ()
    front: Front | None = None
    survey: Surveyed | None = None
