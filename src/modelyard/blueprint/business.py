"""The blueprint's `business` section: what the founders assume. Owned by the business stage.

Every uncertain number is a `Range`: one number, or `{low, likely, high}` with an optional source and date. What is not
given is our own assumption, and the record says so. It knows nothing about how the numbers are combined.

>>> Business(churn=0.03).churn.high
0.03
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from modelyard.errors import nearest
from modelyard.frozen import Frozen
from modelyard.parts import ROOT

OURS = "assumption of Modelyard's, no data behind it"
ASSUMED_ON = "2026-11-22"


class Range(Frozen):
    """An uncertain number: `0.04`, or `{low: 0.03, likely: 0.04, high: 0.06, source: our pilot, date: 2026-10-01}`."""

    low: float
    """The lowest value that would not surprise."""
    likely: float
    """The value to plan with."""
    high: float
    """The highest value that would not surprise."""
    source: str = "the blueprint"
    """Who says so."""
    date: str | None = None
    """When, as 2026-01-31."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            if not math.isfinite(given):
                raise ValueError(f"must be a finite number (got {given})")
            return {"low": given, "likely": given, "high": given}
        if not isinstance(given, dict):
            cure = ". Write a share such as 0.04" if isinstance(given, str) and "%" in given else ""
            raise ValueError(f"must be a number, or {{low: ..., likely: ..., high: ...}} (got {given!r}){cure}")
        return given

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low <= self.likely <= self.high:
            raise ValueError(f"must have low <= likely <= high (got {self.low:g}, {self.likely:g}, {self.high:g})")
        return self

    @field_validator("date")
    @classmethod
    def _dated(cls, given: str | None) -> str | None:
        if given is not None:
            try:
                date.fromisoformat(given)
            except ValueError:
                raise ValueError(f"must be a date such as 2026-01-31 (got {given!r})") from None
        return given

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "number"}, handler(schema)]}


@dataclass(frozen=True, slots=True)
class Assumed:
    """Annotation of a Range: its unit (`{currency}` is filled in), the end that harms the venture, and what can be."""

    unit: str
    unfavourable: Literal["low", "high", "depends"]
    low: float | None = 0.0
    high: float | None = None
    above: float | None = None
    """Every value must be greater than this."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, given: Range | None) -> Range | None:
        if given is None:
            return given
        unit = f"; in {self.unit.replace('{currency}', 'currency')}" if self.unit else ""
        for name in ("low", "likely", "high"):
            value = getattr(given, name)
            where = f"got {value:g}" if given.low == given.high else f"got {name} {value:g}"
            if self.above is not None and value <= self.above:
                raise ValueError(f"must be greater than {self.above:g} ({where}{unit})")
            if self.low is not None and value < self.low:
                raise ValueError(f"must be at least {self.low:g} ({where}{unit})")
            if self.high is not None and value > self.high:
                cure = f". {value:g} % is {value / 100:g}" if self.high == 1 and value <= 100 else ""
                raise ValueError(f"must be at most {self.high:g} ({where}{unit}){cure}")
        return given


def _guess(
    low: float, likely: float, high: float, source: str = OURS, when: str | None = ASSUMED_ON
) -> Callable[[], Range]:
    return lambda: Range(low=low, likely=likely, high=high, source=source, date=when)


class Plan(Frozen):
    """What a customer can buy."""

    name: str = Field(min_length=1, max_length=60)
    """Name of the plan, for customers."""
    price: float = Field(ge=0)
    """Price a month, in `currency`."""
    included: float | None = Field(None, ge=0)
    """Requests a month that the price includes; null: no limit."""
    overage: float | None = Field(None, ge=0)
    """Price of one more request; null: requests beyond the included volume are refused."""
    prices: dict[str, Annotated[float, Field(ge=0)]] = {}
    """What use costs besides, by unit of sale: a million tokens (`input token`, `output token`), a thousand of any other (`image`, `request`)."""
    quota: Literal["hard", "soft"] | None = None
    """Beyond the included volume, `hard` refuses and `soft` answers at the overage price; null: soft where there is an overage price."""
    limits: dict[str, Annotated[int, Field(ge=0)]] = {}
    """Units of sale a month, at most (`request`, `output token`): a request that could go beyond is refused."""
    rate_limit: float | None = Field(None, gt=0)
    """Requests a second of one customer, over time; null: no limit."""
    burst: int | None = Field(None, ge=1)
    """Requests at once before `rate_limit` refuses; null: ten seconds' worth."""
    trial_days: int = Field(0, ge=0, le=366)
    """First days for which the monthly price is not charged; use beyond the included volume is."""
    batch_discount: float = Field(0.0, ge=0, le=1)
    """Share taken off what use costs in batch jobs: 0.5 is half the price."""
    share: float = Field(ge=0, le=1)
    """Share of all customers on this plan; the shares of all plans sum to 1."""
    usage: Annotated[Range, Assumed("request/customer/month", "depends")]
    """Requests that a customer of this plan sends a month, on average."""
    source: str = "the blueprint"
    """Who decided or assumed the price and the share."""

    @model_validator(mode="after")
    def _sold(self) -> Plan:
        if self.included is None and self.overage is not None:
            raise ValueError("an overage price needs an included volume: give included, or leave overage out")
        if self.included == 0 and self.overage is None:
            raise ValueError("includes no requests and sells none: give included or an overage price")
        if self.quota == "hard" and self.overage is not None:
            raise ValueError("a hard quota sells nothing beyond the included volume: leave overage or quota out")
        if self.quota == "soft" and self.overage is None:
            raise ValueError(
                "a soft quota needs an overage price (0: nothing is charged): give overage, or quota: hard"
            )
        if self.burst is not None and self.rate_limit is None:
            raise ValueError("a burst needs a rate: give rate_limit, or leave burst out")
        return self


def _plans() -> tuple[Plan, ...]:
    def usage(low: float, likely: float, high: float) -> Range:
        return Range(low=low, likely=likely, high=high, source=OURS, date=ASSUMED_ON)

    return (
        Plan(
            name="starter",
            price=29,
            included=50_000,
            overage=0.0008,
            share=0.70,
            usage=usage(10_000, 30_000, 60_000),
            source=OURS,
        ),
        Plan(
            name="growth",
            price=99,
            included=250_000,
            overage=0.0005,
            share=0.25,
            usage=usage(100_000, 200_000, 350_000),
            source=OURS,
        ),
        Plan(
            name="scale",
            price=399,
            included=1_500_000,
            overage=0.0003,
            share=0.05,
            usage=usage(600_000, 1_200_000, 2_000_000),
            source=OURS,
        ),
    )


class Business(Frozen):
    """Assumptions about machines, prices, customers and money. A key left out keeps our own; the report says so."""

    currency: str = Field("USD", pattern="^[A-Z]{3}$")
    """Currency of every amount in this section, as three letters."""
    exchange_rate: Annotated[Range | None, Assumed("{currency}/USD", "high", above=0)] = None
    """What one USD costs in `currency`; the price tables are in USD. Required for any other currency."""
    machine: str | None = None
    """Machine of the price table that serves; by default the cheapest no smaller than the one that bore the load."""
    machine_price: Annotated[Range | None, Assumed("{currency}/h", "high")] = None
    """Price of that machine an hour, in `currency`, in place of the table's."""
    relative_speed: Annotated[Range, Assumed("", "low", above=0)] = Field(default_factory=_guess(0.8, 1.0, 1.2))
    """Speed of that machine relative to the one the load was measured on."""
    utilisation: Annotated[Range, Assumed("", "low", above=0, high=1)] = Field(default_factory=_guess(0.3, 0.4, 0.6))
    """Mean load of a machine over the month, as a share of what it sustains: 0.4 leaves room for peaks of 2.5 times."""
    minimum_machines: int = Field(2, ge=1, le=1000)
    """Machines that run even without customers, so that the failure of one is no outage."""
    hosting_overhead: Annotated[Range, Assumed("", "high")] = Field(default_factory=_guess(0.2, 0.3, 0.5))
    """Storage, traffic, logs and back-ups, as a share of the machines' cost."""
    grid: str = "USA"
    """Country whose electricity the machines use, as three letters, from the energy table."""
    payment_share: Annotated[Range, Assumed("", "high", high=0.5)] = Field(
        default_factory=_guess(
            0.029,
            0.029,
            0.044,
            "Stripe's US list price, 2.9 % (foreign cards 1.5 points more), calcmastery.com",
        )
    )
    """Payment fees as a share of what a customer is charged."""
    payment_fixed: Annotated[Range, Assumed("{currency}/customer/month", "high")] = Field(
        default_factory=_guess(0.30, 0.30, 0.30, "Stripe's US list price, 0.30 USD a charge, calcmastery.com")
    )
    """Payment fee of each charge; one charge a month."""
    support: Annotated[Range, Assumed("{currency}/customer/month", "high")] = Field(
        default_factory=_guess(2.0, 4.0, 8.0)
    )
    """Cost of supporting one customer for a month."""
    plans: tuple[Plan, ...] = Field(default_factory=_plans)
    """What customers can buy: name, price, included requests, overage price, share of customers, usage."""
    churn: Annotated[Range, Assumed("1/month", "high", high=1)] = Field(
        default_factory=_guess(
            0.03, 0.04, 0.07, "small-business SaaS: 3 to 5 % (statsforstartups.com), 3 to 7 % (candidcreative.ca)"
        )
    )
    """Share of the customers who leave each month."""
    cac: Annotated[Range, Assumed("{currency}/customer", "high")] = Field(default_factory=_guess(150.0, 250.0, 400.0))
    """Sales and marketing cost of winning one customer."""
    starting_customers: float = Field(0.0, ge=0)
    """Customers on the first day."""
    new_customers: Annotated[Range, Assumed("customer/month", "low")] = Field(default_factory=_guess(4.0, 8.0, 12.0))
    """Customers won in the first month."""
    growth: Annotated[Range, Assumed("1/month", "low", low=-1, high=1)] = Field(
        default_factory=_guess(0.02, 0.05, 0.08)
    )
    """Growth of the number won, from month to month."""
    people: Annotated[Range, Assumed("{currency}/month", "high")] = Field(
        default_factory=_guess(5000.0, 6000.0, 8000.0)
    )
    """Salaries and fees a month, less what `support` and `cac` already hold."""
    tools: Annotated[Range, Assumed("{currency}/month", "high")] = Field(default_factory=_guess(300.0, 500.0, 800.0))
    """Software, accounting, insurance and rent a month."""
    build_cost: Annotated[Range, Assumed("{currency}", "high")] = Field(default_factory=_guess(3000.0, 5000.0, 10000.0))
    """Data, labels and work before the first customer; the measured machine time of this build comes on top."""
    starting_cash: Annotated[Range, Assumed("{currency}", "low")] = Field(
        default_factory=_guess(150000.0, 150000.0, 150000.0)
    )
    """Cash before the build is paid."""
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

    @field_validator("machine")
    @classmethod
    def _machine(cls, given: str | None) -> str | None:
        return given if given is None else _in_table(given, "machines", "machine")

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
        if isinstance(given.get("plans"), list):
            given = {
                **given,
                "plans": tuple(given["plans"]),
            }  # a file's list is strict about being a tuple once it got here
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
            added["plans"] = tuple(_in_currency(plan, rate) for plan in _plans())
        return {**given, **added}

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


def _in_currency(plan: Plan, rate: float) -> dict[str, Any]:
    overage = None if plan.overage is None else plan.overage * rate
    source = f"{plan.source}; from USD at {rate:g}"
    return {**plan.model_dump(), "price": plan.price * rate, "overage": overage, "source": source}


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
