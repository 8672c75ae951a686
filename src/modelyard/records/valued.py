"""What `business` worked out: costs, plans, unit economics and the cash table, in three scenarios.

Almost every number here follows from a rate that a clock measured, so it stands in a field named `measured_*`. Where a
number comes from is in `trace`: take its path in the record, drop list positions, `columns`, `values`, the scenario
(`low`, `likely`, `high`) and the quantile, and look that key up. Owned by the business stage.

>>> trace_key("measured_plans.0.gross_margin.likely")
'measured_plans.gross_margin'
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from modelyard.frozen import Frozen
from modelyard.records._base import Record
from modelyard.records.market import MarketValue
from modelyard.records.running import Running
from modelyard.records.strategy import StrategyValue
from modelyard.units import Measure

Scenario = Literal["low", "likely", "high"]
_UNTRACED = ("low", "likely", "high", "columns", "values", "mean", "p10", "p50", "p90")
SCENARIOS: tuple[Scenario, ...] = ("low", "likely", "high")
"""`low`: every ranged assumption at its unfavourable end; `high`: at its favourable end. No quantiles."""


class ByScenario(Frozen):
    """A number in each scenario; null where it does not exist (a payback of a customer who never pays back)."""

    low: Measure | None
    likely: Measure | None
    high: Measure | None


class Assumption(Frozen):
    """A value that somebody declared or that we assumed, as it was used."""

    path: str
    """Its key in the blueprint: `business.churn`."""
    unit: str
    low: float
    likely: float
    high: float
    unfavourable: Literal["low", "high", "depends"]
    """The end that the low scenario takes; `depends`: the one at which a customer of the plan earns less."""
    default: bool
    """Left at our default: an assumption of ours, nobody's plan."""
    source: str
    date: str | None = None


class Rate(Frozen):
    """A row of a dated price or energy table."""

    origin: str
    """Table and row: `rates/machines.toml: aws-m7i-large`."""
    value: Measure
    source: str
    date: str


class Trace(Frozen):
    """Where a number comes from."""

    kind: Literal["measured", "rate", "assumed", "computed"]
    formula: str = ""
    """How it is computed from `inputs`; empty for a number that was read, not computed."""
    source: str
    """Who says so: the source of the formula, table or assumption."""
    origin: str = ""
    """For what was read: record and field (`serve.measured_rate`), table and row, or the blueprint's key."""
    inputs: tuple[str, ...] = ()
    """Keys of `trace` that it is computed from."""


class Remark(Frozen):
    """Something a founder must see; the report has the sentence for each `code`."""

    code: Literal[
        "plan_below_cost", "overage_below_cost", "ltv_to_cac_low", "payback_slow", "cash_runs_out", "never_breaks_even",
        "machine_smaller", "machine_older", "all_assumed", "unit_below_cost",
    ]  # fmt: skip
    subject: str = ""
    """A plan, a scenario or a machine."""
    given: Measure | None = None
    wanted: Measure | None = None
    """`given` falls short of `wanted` (`payback_slow`: exceeds it); months of `cash_runs_out`."""


class MachineCosts(Frozen):
    """What a request costs on the chosen machine."""

    machine_month: ByScenario
    """One machine for a month of 730 hours."""
    capacity: ByScenario
    """Requests a second that one machine is planned for: measured rate x relative speed x utilisation."""
    per_request: ByScenario
    per_thousand: ByScenario
    """The same for 1,000 requests (a `kilorequest`)."""
    carbon: ByScenario | None
    """Grams of CO2 equivalent for 1,000 requests (SCI); null where the machine's power is not known."""


class UnitPrice(Frozen):
    """What a unit of sale costs: tokens read, tokens written, images, requests."""

    unit: str
    lot: int
    """How many the amounts below are for: a million tokens, a thousand of anything else."""
    per_request: Measure
    """Of them in a request, on average, as measured."""
    share: float
    """Of a request's cost: tokens read have the time until the first one written, tokens written the rest."""
    cost: ByScenario
    """Machines with hosting."""
    price_floor: ByScenario
    """The lowest price that keeps the demanded margin (none demanded: that covers the cost)."""


class PlanValue(Frozen):
    """One plan, for one customer and month, on a machine that is shared and used as planned."""

    name: str
    share: float
    usage: ByScenario
    """Requests answered: those beyond the included volume only where the plan sells them."""
    revenue: ByScenario
    machine_cost: ByScenario
    payment_cost: ByScenario
    support_cost: ByScenario
    cost: ByScenario
    """Cost of goods sold: machines with hosting, payment fees, support."""
    gross_margin: ByScenario
    price_floor: ByScenario
    """The lowest monthly price that keeps the demanded margin (none demanded: that covers cost)."""
    overage_floor: ByScenario
    """The lowest price of one more request that keeps the demanded margin (none demanded: that covers its cost)."""


class UnitEconomics(Frozen):
    """What an average customer is worth, and what it costs to win one."""

    arpa: ByScenario
    """Average revenue of an account and month."""
    cost: ByScenario
    gross_margin: ByScenario
    churn: ByScenario
    lifetime: ByScenario
    ltv: ByScenario
    cac: ByScenario
    ltv_to_cac: ByScenario
    payback: ByScenario
    break_even_customers: ByScenario
    """The fewest customers who cover the month's fixed costs, in whole machines."""


class Build(Frozen):
    """What it cost to get here."""

    machine_time: Measure
    """Seconds of all stages of this build."""
    machine_cost: ByScenario
    other: ByScenario
    total: ByScenario


class CashColumn(Frozen):
    """One line of the cash table: a value for each month."""

    unit: str
    values: tuple[float, ...]


class Cash(Frozen):
    """The cash table of one scenario and what it says. Months count from 1."""

    columns: dict[str, CashColumn]
    """customers, new_customers, lost_customers, revenue, machines, machine_cost, payment_cost, support_cost,
    acquisition_cost, fixed_cost, net, tax, raised, cash; one value a month."""
    opening_cash: Measure
    """Starting cash less the cost of the build."""
    break_even_month: int | None
    """The first month from which revenue covers the costs to the horizon; null: none."""
    repaid_month: int | None
    """The first month that ends with no less cash than was there before the build."""
    lowest_cash: Measure
    lowest_month: int
    """0: before the first month."""
    runway: int | None
    """Months the cash lasts; null: beyond the horizon."""


class Returns(Frozen):
    """What the money put in brings, within the horizon."""

    npv: ByScenario
    """Net present value of the months after tax, less the cost of the build."""
    irr: ByScenario
    """Internal rate of return a year; null where there is none."""
    roi: ByScenario
    """What is left of everything earned, over the money that was needed."""
    money_needed: ByScenario
    """The deepest point of everything put in and earned."""
    burn_multiple: ByScenario
    """Cash burnt in the first year over the yearly revenue at its end; null below twelve months."""
    rule_of_40: ByScenario
    """Growth of the last whole year's revenue plus its margin; null below 24 months."""
    net_revenue_retention: ByScenario
    """What the first customers pay after a year, of what they first paid; null below twelve months."""


class Stake(Frozen):
    """Who owns the company after a funding round (the first: before any)."""

    name: str
    shares: dict[str, float]


class Drawn(Frozen):
    """Of all draws: the mean, and what a tenth, a half and nine tenths of them stay below."""

    mean: Measure
    p10: Measure
    p50: Measure
    p90: Measure


class Swing(Frozen):
    """Cash at the end where one assumption is at one of its ends and all others are likely."""

    path: str
    low: Measure
    high: Measure


class VarianceShare(Frozen):
    """How much of the variance of the cash at the end hangs on one assumption (Sobol's indices)."""

    path: str
    first: float
    """Alone."""
    total: float
    """With all that it does together with others."""


class Stressed(Frozen):
    """The likely scenario with something that may happen."""

    name: str
    """Our own are codes: price_war, dear_machines, large_customer_leaves, churn_doubles, cac_doubles, slow_sales."""
    ltv_to_cac: Measure | None
    lowest_cash: Measure
    cash_at_end: Measure
    runway: int | None
    """Months the cash lasts; null: beyond the horizon."""


class PriceLevel(Frozen):
    """All prices times a factor: what is earned before tax over the horizon, with fewer or more customers won."""

    level: float
    net: Drawn


class Outlook(Frozen):
    """What may become of the venture, from thousands of draws of everything that is uncertain."""

    draws: int
    seed: int
    outcomes: dict[str, Drawn]
    """gross_margin, ltv, ltv_to_cac, payback, npv, lowest_cash, cash_at_end; one that has no value in any draw is not there."""
    bands: dict[str, CashColumn]
    """Cash by month: p10, p50, p90."""
    ruin: tuple[float, ...]
    """Chance that cash has run out by the end of each month."""
    healthy: float
    """Chance that LTV:CAC is above 3."""
    tornado: tuple[Swing, ...]
    shares: tuple[VarianceShare, ...]
    """None where the outcome does not vary."""
    stresses: tuple[Stressed, ...]
    prices: tuple[PriceLevel, ...]
    best_level: Drawn
    """Factor on all prices that earns most, draw by draw."""


class CashByScenario(Frozen):
    """The three cash tables."""

    low: Cash
    likely: Cash
    high: Cash


class Valued(Record):
    """The business case. Without a rate sustained inside the latency target there are no `measured_*` fields."""

    stage: str = "business"
    currency: str
    months: int
    machine: str
    """Row of rates/machines.toml."""
    assumptions: tuple[Assumption, ...]
    rates: tuple[Rate, ...]
    measured_costs: MachineCosts | None = None
    measured_units: tuple[UnitPrice, ...] = ()
    measured_plans: tuple[PlanValue, ...] = ()
    measured_unit_economics: UnitEconomics | None = None
    measured_build: Build | None = None
    measured_cash: CashByScenario | None = None
    measured_returns: Returns | None = None
    measured_running: Running | None = None
    measured_owners: tuple[Stake, ...] = ()
    measured_outlook: Outlook | None = None
    workbook: str | None = None
    """The workbook, in the build's folder; null where openpyxl is not installed."""
    measured_remarks: tuple[Remark, ...] = ()
    measured_market: MarketValue | None = None
    """Null where the blueprint has no `market`."""
    measured_strategy: StrategyValue | None = None
    """Null where the blueprint has no `strategy`."""
    trace: dict[str, Trace] = Field(default_factory=dict)


def trace_key(path: str) -> str:
    """The key of `trace` for a number's path in the record."""
    return ".".join(step for step in path.split(".") if not step.isdigit() and step not in _UNTRACED)
