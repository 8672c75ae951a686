"""The blueprint's `business` section: what the founders assume. Owned by the business stage.

Every uncertain number is a `Range`: one number, or `{low, likely, high}` with an optional source and date. What is not
given is our own assumption, and the record says so. It knows nothing about how the numbers are combined.

>>> Business(churn=0.03).churn.high
0.03
"""

from __future__ import annotations

import tomllib
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from modelyard.blueprint.company import Channel, Correlation, Hire, Round, Stress
from modelyard.blueprint.plans import Plan, default_plans, in_currency
from modelyard.blueprint.ranges import Assumed, Range, guess
from modelyard.blueprint.running import Alternative, Survey, Week
from modelyard.blueprint.sourced import distinct
from modelyard.errors import nearest
from modelyard.frozen import Frozen
from modelyard.parts import ROOT


class Business(Frozen):
    """Assumptions about machines, prices, customers and money. A key left out keeps our own; the report says so."""

    currency: str = Field("USD", pattern="^[A-Z]{3}$")
    """Currency of every amount in this section, as three letters."""
    exchange_rate: Annotated[Range | None, Assumed("{currency}/USD", "high", above=0)] = None
    """What one USD costs in `currency`; the price tables are in USD. Required for any other currency."""
    rates: str | None = Field(None, min_length=1)
    """A price table of your own (TOML, from the blueprint's folder), with rows as in rates/machines.toml; they come besides ours, or in the place of one of the same name."""
    rent: Literal["on-demand", "reserved-1-year", "reserved-3-years", "spot"] = "on-demand"
    """How the machine is rented: which of its prices in the table counts."""
    machine: str | None = None
    """Machine of the price table that serves; by default the cheapest no smaller than the one that bore the load."""
    machine_price: Annotated[Range | None, Assumed("{currency}/h", "high")] = None
    """Price of that machine an hour, in `currency`, in place of the table's."""
    relative_speed: Annotated[Range, Assumed("", "low", above=0)] = Field(default_factory=guess(0.8, 1.0, 1.2))
    """Speed of that machine relative to the one the load was measured on."""
    utilisation: Annotated[Range, Assumed("", "low", above=0, high=1)] = Field(default_factory=guess(0.3, 0.4, 0.6))
    """Mean load of a machine over the month, as a share of what it sustains: 0.4 leaves room for peaks of 2.5 times."""
    week: Week = Week()
    """When customers send their requests: machines for each hour of a week."""
    alternatives: tuple[Alternative, ...] = ()
    """APIs that could answer instead of own machines: what buying costs, and from which volume own machines cost less."""
    minimum_machines: int = Field(2, ge=1, le=1000)
    """Machines that run even without customers, so that the failure of one is no outage."""
    hosting_overhead: Annotated[Range, Assumed("", "high")] = Field(default_factory=guess(0.2, 0.3, 0.5))
    """Storage, traffic, logs and back-ups, as a share of the machines' cost."""
    grid: str = "USA"
    """Country whose electricity the machines use, as three letters, from the energy table."""
    payment_share: Annotated[Range, Assumed("", "high", high=0.5)] = Field(
        default_factory=guess(
            0.029,
            0.029,
            0.044,
            "Stripe's US list price, 2.9 % (foreign cards 1.5 points more), calcmastery.com",
        )
    )
    """Payment fees as a share of what a customer is charged."""
    payment_fixed: Annotated[Range, Assumed("{currency}/customer/month", "high")] = Field(
        default_factory=guess(0.30, 0.30, 0.30, "Stripe's US list price, 0.30 USD a charge, calcmastery.com")
    )
    """Payment fee of each charge; one charge a month."""
    support: Annotated[Range, Assumed("{currency}/customer/month", "high")] = Field(
        default_factory=guess(2.0, 4.0, 8.0)
    )
    """Cost of supporting one customer for a month."""
    plans: tuple[Plan, ...] = Field(default_factory=default_plans)
    """What customers can buy: name, price, included requests, overage price, share of customers, usage."""
    churn: Annotated[Range, Assumed("1/month", "high", high=1)] = Field(
        default_factory=guess(
            0.03, 0.04, 0.07, "small-business SaaS: 3 to 5 % (statsforstartups.com), 3 to 7 % (candidcreative.ca)"
        )
    )
    """Share of the customers who leave each month."""
    cac: Annotated[Range, Assumed("{currency}/customer", "high")] = Field(default_factory=guess(150.0, 250.0, 400.0))
    """Sales and marketing cost of winning one customer."""
    channels: tuple[Channel, ...] = ()
    """Ways to customers, each with its share and its CAC; where there are any, `cac` is their mean."""
    churn_spread: Annotated[Range, Assumed("", "low", high=0.95)] = Field(
        default_factory=guess(
            0.0, 0.1, 0.18, "0.18 and 0.35 for two groups of subscribers (Fader and Hardie 2007); less is more cautious"
        )
    )
    """How much customers differ in their chance to leave: 0 not at all, near 1 some leave at once and the others never."""
    expansion: Annotated[Range, Assumed("1/month", "low", low=-1, high=1)] = Field(
        default_factory=guess(0.0, 0.0, 0.0, "no growth within a customer is assumed")
    )
    """Growth of what a customer uses and pays, from month to month."""
    price_elasticity: Annotated[Range, Assumed("", "low", low=-10, high=0)] = Field(
        default_factory=guess(-2.0, -1.2, -0.6)
    )
    """By how many per cent fewer customers are won where all prices rise by one per cent: -1.2."""
    survey: Survey | None = None
    """What people said they would pay."""
    starting_customers: float = Field(0.0, ge=0)
    """Customers on the first day."""
    new_customers: Annotated[Range, Assumed("customer/month", "low")] = Field(default_factory=guess(4.0, 8.0, 12.0))
    """Customers won in the first month."""
    growth: Annotated[Range, Assumed("1/month", "low", low=-1, high=1)] = Field(default_factory=guess(0.02, 0.05, 0.08))
    """Growth of the number won, from month to month."""
    people: Annotated[Range, Assumed("{currency}/month", "high")] = Field(default_factory=guess(5000.0, 6000.0, 8000.0))
    """Salaries and fees a month, less what `support` and `cac` already hold."""
    hires: tuple[Hire, ...] = ()
    """Who joins later: role, first month, cost a month."""
    tools: Annotated[Range, Assumed("{currency}/month", "high")] = Field(default_factory=guess(300.0, 500.0, 800.0))
    """Software, accounting, insurance and rent a month."""
    build_cost: Annotated[Range, Assumed("{currency}", "high")] = Field(default_factory=guess(3000.0, 5000.0, 10000.0))
    """Data, labels and work before the first customer; the measured machine time of this build comes on top."""
    starting_cash: Annotated[Range, Assumed("{currency}", "low")] = Field(
        default_factory=guess(150000.0, 150000.0, 150000.0)
    )
    """Cash before the build is paid."""
    rounds: tuple[Round, ...] = ()
    """Funding rounds: name, month, money raised, value before it, pool for staff."""
    owners: dict[str, Annotated[float, Field(ge=0, le=1)]] = {"founders": 1.0}
    """Who owns the company on the first day; the shares sum to 1."""
    discount_rate: Annotated[Range, Assumed("", "high", low=0, high=2)] = Field(default_factory=guess(0.08, 0.15, 0.30))
    """What money now is worth over money in a year: 0.15 a year."""
    tax_rate: Annotated[Range, Assumed("", "high", low=0, high=0.9)] = Field(
        default_factory=guess(0.15, 0.21, 0.30, "corporate income tax: USA 21 % (26 U.S.C. 11), China and UK 25 %")
    )
    """Tax on profits, after earlier losses are set against them."""
    correlations: tuple[Correlation, ...] = ()
    """Uncertain numbers that move together when thousands of ventures are drawn."""
    stresses: tuple[Stress, ...] = ()
    """What may happen besides our own list (price war, dearer machines, a large customer leaves): name, factors, leaving."""
    draws: int = Field(20_000, ge=1000, le=1_000_000)
    """Ventures that are drawn from the uncertain numbers."""
    months: int = Field(36, ge=1, le=120)
    """How far the cash table looks ahead."""
    minimum_margin: float | None = Field(None, lt=1)
    """Demanded gross margin of all plans together in the likely scenario, as a share; a gate."""

    @field_validator("plans")
    @classmethod
    def _together(cls, plans: tuple[Plan, ...]) -> tuple[Plan, ...]:
        if not plans:
            raise ValueError("must have at least one plan, with name, price, share and usage")
        names = [plan.name for plan in plans]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two plans have the name {twice[0]!r}: rename one")
        total = sum(plan.share for plan in plans)
        if abs(total - 1) > 1e-6:
            raise ValueError(
                f"the shares must sum to 1 (got {' + '.join(f'{plan.share:g}' for plan in plans)} = {total:g})"
            )
        return plans

    @field_validator("owners")
    @classmethod
    def _owned(cls, owners: dict[str, float]) -> dict[str, float]:
        if abs(sum(owners.values()) - 1) > 1e-6:
            raise ValueError(f"the owners' shares must sum to 1 (got {sum(owners.values()):g})")
        return owners

    @field_validator("channels")
    @classmethod
    def _reached(cls, channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
        total = sum(channel.share for channel in channels)
        if channels and abs(total - 1) > 1e-6:
            raise ValueError(f"the channels' shares must sum to 1 (got {total:g})")
        return channels

    @field_validator("alternatives")
    @classmethod
    def _others(cls, alternatives: tuple[Alternative, ...]) -> tuple[Alternative, ...]:
        distinct(tuple(each.name for each in alternatives), "alternatives")
        return alternatives

    @field_validator("machine")
    @classmethod
    def _machine(cls, given: str | None, info: ValidationInfo) -> str | None:
        """A table of one's own is read where the blueprint's folder is known."""
        return given if given is None or info.data.get("rates") else _in_table(given, "machines", "machine")

    @field_validator("grid")
    @classmethod
    def _grid(cls, given: str) -> str:
        return _in_table(given, "energy", "grid")

    @model_validator(mode="before")
    @classmethod
    def _converted(cls, given: Any) -> Any:
        """Our assumptions are in USD; for another currency they are converted at the likely rate, prices included."""
        if not isinstance(given, dict):
            return given
        listed = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
        given = {**given, **listed}  # a file's list is strict about being a tuple once it got here
        if given.get("currency", "USD") == "USD":
            return given
        try:
            rate = Range.model_validate(given.get("exchange_rate")).likely
        except ValidationError:
            return given  # reported where it stands
        added: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            amount = any(isinstance(mark, Assumed) and "{currency}" in mark.unit for mark in field.metadata)
            ours = field.get_default(call_default_factory=True, validated_data={})
            if name not in given and amount and isinstance(ours, Range):
                scaled = {end: getattr(ours, end) * rate for end in ("low", "likely", "high")}
                added[name] = {**scaled, "source": f"{ours.source}; from USD at {rate:g}", "date": ours.date}
        if "plans" not in given:
            added["plans"] = tuple(in_currency(plan, rate) for plan in default_plans())
        return {**given, **added}

    @model_validator(mode="after")
    def _named(self) -> Business:
        """Correlations and stresses name numbers that there are."""
        ranged = [name for name in type(self).model_fields if isinstance(getattr(self, name), Range)]
        if self.channels:
            ranged.remove("cac")
        ranged += [f"plans.{plan.name}.usage" for plan in self.plans]
        ranged += [f"hires.{hire.role}.cost" for hire in self.hires] + [
            f"channels.{each.name}.cac" for each in self.channels
        ]
        allowed = {"correlations": ranged, "stresses": [*ranged, "prices", "machine_price", "starting_customers"]}
        asked = [("correlations", name) for each in self.correlations for name in each.between]
        asked += [("stresses", name) for each in self.stresses for name in each.factors]
        for where, name in asked:
            if name not in allowed[where]:
                raise ValueError(
                    f"{where}: no number {name!r}.{nearest(name, allowed[where])} Allowed: {', '.join(allowed[where])}"
                )
        late = [each.name for each in self.rounds if each.month > self.months]
        late += [each.role for each in self.hires if each.month > self.months]
        if late:
            raise ValueError(f"{late[0]!r} comes after the last month ({self.months}): raise months, or leave it out")
        return self

    @model_validator(mode="after")
    def _currency(self) -> Business:
        if (
            self.currency == "USD"
            and self.exchange_rate is not None
            and (self.exchange_rate.low, self.exchange_rate.high) != (1, 1)
        ):
            given = self.exchange_rate.likely
            raise ValueError(f"exchange_rate of USD to USD must be 1 (got {given:g}): set currency, or leave it out")
        if self.currency != "USD" and self.exchange_rate is None:
            raise ValueError(
                f"exchange_rate is required with currency {self.currency}: what one USD costs in {self.currency}, as the price tables are in USD"
            )
        return self


@cache
def _table(name: str) -> dict[str, Any]:
    """A table of the business stage, read as a file: names are checked before any stage is imported."""
    return tomllib.loads((ROOT / "business" / "rates" / f"{name}.toml").read_text(encoding="utf-8"))


def _in_table(given: str, table: str, kind: str) -> str:
    known = list(_table(table)["grids"] if table == "energy" else _table(table))
    if given not in known:
        raise ValueError(
            f"no {kind} {given!r} in the table rates/{table}.toml.{nearest(given, known)} Allowed: {', '.join(known)}"
        )
    return given
