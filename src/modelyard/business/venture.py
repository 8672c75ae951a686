"""The venture as a graph of lines: from what was measured, looked up and assumed to costs, prices, unit economics and months of cash.

Names of givens are the places where they stand: `business.churn` in the blueprint, `measured.rate` in a record, `rates.…` in a table. Lines are
grouped as they are shown: `Machines`, one group a plan, `Customer`, `Months`, `Outcome`. It computes nothing; `Sheet.solve` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from modelyard.blueprint.business import Business, Plan, Range
from modelyard.business import costs
from modelyard.business.draws import Spread
from modelyard.business.scenarios import Facts, Sold, marks, pick
from modelyard.business.sheet import (
    MONTH,
    Sheet,
    Term,
    choose,
    earlier,
    greatest,
    last,
    least,
    lowest,
    total,
    where,
    whole,
)
from modelyard.records.valued import Scenario
from modelyard.units import canonical

Origin = Literal["measured", "rate", "assumed"]


@dataclass(frozen=True, slots=True)
class Given:
    """A number from outside: its unit as people write it, its values, and where it comes from."""

    unit: str
    spread: Spread
    origin: Origin
    source: str
    unfavourable: str = "depends"
    """The end that harms the venture: `low`, `high`, or that depends on the others."""

    def value(self, scenario: Scenario) -> float:
        """As a scenario takes it, in canonical units. What depends is likely in each."""
        low, likely, high = self.spread.low, self.spread.likely, self.spread.high
        if self.unfavourable == "depends":
            return likely * self.factor
        return pick(Range(low=low, likely=likely, high=high), scenario, self.unfavourable) * self.factor

    @property
    def factor(self) -> float:
        """From the unit to the canonical one."""
        return canonical(self.unit)[1]


@dataclass(frozen=True)
class Venture:
    """The sheet, what is given, and which lines belong together."""

    sheet: Sheet
    givens: Mapping[str, Given]
    groups: Mapping[str, tuple[str, ...]]

    plans: tuple[str, ...]
    """Names, in the blueprint's order."""

    def values(self, scenario: Scenario) -> dict[str, float]:
        """Every given as a scenario takes it, for `Sheet.solve`.

        Of a plan's usage `low` takes the end at which a customer earns least, `high` that of most: more usage earns more where requests
        beyond the included volume are sold above cost, and less everywhere else.
        """
        found = {name: given.value(scenario) for name, given in self.givens.items()}
        if scenario == "likely":
            return found
        usages = {name: self.givens[f"business.plans.{number}.usage"] for number, name in enumerate(self.plans)}
        ends = {
            name: np.array([use.spread.low, use.spread.likely, use.spread.high]) * use.factor
            for name, use in usages.items()
        }
        tried = self.sheet.solve(
            found | {f"business.plans.{number}.usage": ends[name] for number, name in enumerate(self.plans)}
        )
        for number, name in enumerate(self.plans):
            earned = tried[f"{name}: revenue"] - tried[f"{name}: cost"]
            place = int(np.argmin(earned) if scenario == "low" else np.argmax(earned))
            found[f"business.plans.{number}.usage"] = float(ends[name][place])
        return found


def venture(business: Business, facts: Facts) -> Venture:
    """The venture of a blueprint's assumptions, with what was measured."""
    return _Writing(business, facts).whole()


class _Writing:
    def __init__(self, business: Business, facts: Facts) -> None:
        self.business, self.facts, self.money = business, facts, business.currency
        self.sheet = Sheet(business.months)
        self.givens: dict[str, Given] = {}
        self.groups: dict[str, tuple[str, ...]] = {}

    def whole(self) -> Venture:
        self._machines()
        for number, plan in enumerate(self.business.plans):
            self._plan(number, plan)
        self._customer()
        self._months()
        self._outcome()
        return Venture(self.sheet, self.givens, self.groups, tuple(plan.name for plan in self.business.plans))

    # -- givens --------------------------------------------------------------------------------------------------------------

    def _given(
        self, name: str, unit: str, spread: Spread, origin: Origin, source: str, unfavourable: str = "depends"
    ) -> Term:
        self.givens[name] = Given(unit, spread, origin, source, unfavourable)
        return self.sheet.given(name, unit)

    def _assumed(self, name: str) -> Term:
        """A ranged field of the blueprint's section."""
        mark, found = marks()[name], getattr(self.business, name)
        spread = Spread(found.low, found.likely, found.high)
        unit = mark.unit.format(currency=self.money)
        return self._given(f"business.{name}", unit, spread, "assumed", found.source, mark.unfavourable)

    def _fixed(self, name: str, unit: str, value: float) -> Term:
        return self._given(f"business.{name}", unit, _sure(value), "assumed", "the blueprint")

    # -- lines ---------------------------------------------------------------------------------------------------------------

    def _group(self, title: str, before: int) -> None:
        self.groups[title] = tuple(self.sheet.lines)[before:]

    def _machines(self) -> None:
        business, facts, sheet, money = self.business, self.facts, self.sheet, self.money
        first = len(sheet.lines)
        if business.machine_price is not None:
            hour = self._assumed("machine_price")
        else:
            row = facts.machine
            hour = self._given(
                "rates.machine", "USD/h", _sure(row.usd_per_hour), "rate", f"{row.origin}, {row.date}: {row.source}"
            )
            if business.exchange_rate is not None:
                hour = hour * self._assumed("exchange_rate")
        overhead, speed, utilisation = (
            self._assumed(name) for name in ("hosting_overhead", "relative_speed", "utilisation")
        )
        rate = self._given("measured.rate", "request/s", _sure(facts.rate.value), "measured", "serve: measured_rate")
        self.capacity = sheet.line("capacity of a machine", "request/s", rate * speed * utilisation)
        self.per_request = sheet.line("cost of a request", f"{money}/request", hour / self.capacity * (1 + overhead))
        self.machine_month = sheet.line(
            "a machine with hosting", f"{money}/month", hour * Sheet.number(730, "h/month") * (1 + overhead)
        )
        build = self._given(
            "measured.build_time", "h", _sure(facts.build_time.to("h")), "measured", "machine time of all stages"
        )
        self.build = sheet.line("cost of the build", money, self._assumed("build_cost") + hour * build)
        self.fee_share, self.fee_fixed, self.support = (
            self._assumed(name) for name in ("payment_share", "payment_fixed", "support")
        )
        self.per_unit = {sold.unit: self._sold(sold) for sold in facts.units}
        self._group("Machines", first)

    def _sold(self, sold: Sold) -> Term:
        """How many lots of a unit a request has."""
        lot, name = costs.lot(sold.unit)
        found = self._given(
            f"measured.units.{sold.unit}", f"{costs.noun(sold.unit)}/request", _sure(sold.per_request.value), "measured", "serve: measured_units"
        )  # fmt: skip
        return self.sheet.line(
            f"{sold.unit}: lots a request",
            f"{name}/request",
            found * Sheet.number(1 / lot, f"{name}/{costs.noun(sold.unit)}"),
        )

    def _plan(self, number: int, plan: Plan) -> None:
        sheet, money, first = self.sheet, self.money, len(self.sheet.lines)
        each = f"{money}/customer/month"

        def given(name: str, unit: str, value: float) -> Term:
            return self._given(f"business.plans.{number}.{name}", unit, _sure(value), "assumed", plan.source)

        price, share = given("price", each, plan.price), given("share", "", plan.share)
        use = Spread(plan.usage.low, plan.usage.likely, plan.usage.high)
        usage = self._given(
            f"business.plans.{number}.usage", "request/customer/month", use, "assumed", plan.usage.source
        )
        answered, beyond, charged = usage, None, price
        if plan.included is not None:
            included = given("included", "request/customer/month", plan.included)
            if plan.overage is None:
                answered = least(usage, included)
            else:
                beyond = sheet.line(
                    f"{plan.name}: requests beyond", "request/customer/month", greatest(usage - included, 0.0)
                )
        answered = sheet.line(f"{plan.name}: requests answered", "request/customer/month", answered)
        if beyond is not None and plan.overage is not None:
            charged = charged + beyond * given("overage", f"{money}/request", plan.overage)
        for unit, price_of in plan.prices.items():
            if unit in self.per_unit:
                charged = charged + answered * self.per_unit[unit] * given(
                    f"prices.{unit}", f"{money}/{costs.lot(unit)[1]}", price_of
                )
        revenue = sheet.line(f"{plan.name}: revenue", each, charged)
        fee = sheet.line(
            f"{plan.name}: payment fees",
            each,
            choose(revenue > 0, revenue * self.fee_share + self.fee_fixed, revenue * self.fee_share),
        )
        machine = sheet.line(f"{plan.name}: machines", each, answered * self.per_request)
        cost = sheet.line(f"{plan.name}: cost", each, machine + fee + self.support)
        sheet.line(f"{plan.name}: gross margin", "", where(revenue > 0, (revenue - cost) / revenue))
        self.shares = [*getattr(self, "shares", []), (share, answered, revenue, fee, machine, cost)]
        self._group(f"Plan {plan.name}", first)

    def _customer(self) -> None:
        """The average customer."""
        sheet, money, first = self.sheet, self.money, len(self.sheet.lines)

        def mean(name: str, unit: str, part: int) -> Term:
            found = self.shares[0][part] * self.shares[0][0]
            for parts in self.shares[1:]:
                found = found + parts[part] * parts[0]
            return sheet.line(name, unit, found)

        each = f"{money}/customer/month"
        self.usage = mean("requests of a customer", "request/customer/month", 1)
        self.arpa, self.fees = mean("revenue of a customer", each, 2), mean("payment fees of a customer", each, 3)
        cost = mean("cost of a customer", each, 5)
        self.churn, self.cac = self._assumed("churn"), self._assumed("cac")
        earned = sheet.line("margin of a customer", each, self.arpa - cost)
        sheet.line("gross margin", "", where(self.arpa > 0, earned / self.arpa))
        sheet.line("lifetime", "month", where(self.churn > 0, 1.0 / self.churn))
        sheet.line("lifetime value", f"{money}/customer", where(self.churn > 0, earned / self.churn))
        sheet.line("LTV:CAC", "", where(self.churn * self.cac > 0, earned / self.churn / self.cac))
        sheet.line("CAC payback", "month", where(earned > 0, self.cac / earned))
        self._group("Customer", first)

    def _months(self) -> None:
        business, sheet, money, first = self.business, self.sheet, self.money, len(self.sheet.lines)
        month = f"{money}/month"
        won, growth = self._assumed("new_customers"), self._assumed("growth")
        start = self._fixed("starting_customers", "customer", business.starting_customers)
        minimum = self._fixed("minimum_machines", "", business.minimum_machines)
        joining = sheet.rolling(
            "new customers",
            "customer/month",
            0.0,
            lambda before: choose(sheet.month <= MONTH, won, before * (1 + growth * MONTH)),
        )
        customers = sheet.rolling(
            "customers", "customer", start, lambda before: before - before * self.churn * MONTH + joining * MONTH
        )
        sheet.line("lost customers", "customer/month", earlier(customers, start) * self.churn)
        revenue = sheet.line("revenue", month, customers * self.arpa)
        demand = sheet.line("demand", "request/s", customers * self.usage / Sheet.number(730, "h/month"))
        machines = sheet.line("machines", "", greatest(whole(demand / self.capacity), minimum))
        hosting = sheet.line("cost of machines", month, machines * self.machine_month)
        fees, support = (
            sheet.line("payment fees", month, customers * self.fees),
            sheet.line("support", month, customers * self.support),
        )
        acquisition = sheet.line("acquisition", month, joining * self.cac)
        fixed = sheet.line("people and tools", month, self._assumed("people") + self._assumed("tools"))
        net = sheet.line("net", month, revenue - hosting - fees - support - acquisition - fixed)
        self.opening = self._assumed("starting_cash") - self.build
        self.cash = sheet.rolling("cash", money, self.opening, lambda before: before + net * MONTH)
        self.net = net
        self._group("Months", first)

    def _outcome(self) -> None:
        sheet, money, first = self.sheet, self.money, len(self.sheet.lines)
        sheet.line("lowest cash", money, least(lowest(self.cash), self.opening))
        sheet.line("cash at the end", money, last(self.cash))
        alive = sheet.rolling("not yet out of cash", "", 1.0, lambda before: choose(self.cash < 0.0, 0.0, before))
        sheet.line("months until cash is gone", "", total(alive))
        losing = sheet.line("minus the month, where it loses", "month", choose(self.net < 0.0, -sheet.month, 0.0))
        sheet.line("last month of a loss", "month", -lowest(losing))
        self._group("Outcome", first)


def _sure(value: float) -> Spread:
    return Spread(value, value, value)
