"""Lines of what is sold: machines and what a request costs, each plan, and the average customer."""

from __future__ import annotations

from dataclasses import dataclass

from modelyard.blueprint.plans import Plan
from modelyard.business import costs
from modelyard.business.facts import Sold
from modelyard.business.page import Page
from modelyard.business.sheet import Sheet, Term, choose, greatest, logarithm, normal, where


@dataclass(frozen=True)
class Serving:
    """What serving takes."""

    capacity: Term
    """Requests a second of a machine, as planned."""
    request: Term
    """Cost of a request, hosting included."""
    machine_month: Term
    build: Term
    fee_share: Term
    fee_fixed: Term
    support: Term
    lots: dict[str, Term]
    """Lots of each unit of sale in a request."""
    level: Term
    """Factor on all prices."""


@dataclass(frozen=True)
class Bought:
    """One plan, a customer and month."""

    share: Term
    answered: Term
    revenue: Term
    fee: Term
    cost: Term


@dataclass(frozen=True)
class Customer:
    """The average customer and month."""

    usage: Term
    revenue: Term
    fees: Term
    margin: Term
    """Revenue less machines, fees and support."""


def serving(page: Page) -> Serving:
    """What a machine, a request and a customer cost."""
    business, facts, sheet, money = page.business, page.facts, page.sheet, page.money
    level = page.scenario("prices")
    with page.group("Machines"):
        if business.machine_price is not None:
            hour = page.assumed("machine_price")
        else:
            row = facts.machine
            source = f"{row.origin}, {row.date}: {row.source}"
            hour = page.given("rates.machine", "USD/h", row.usd_per_hour, "rate", source)
            if business.exchange_rate is not None:
                hour = hour * page.assumed("exchange_rate")
        hour = hour * page.scenario("machine_price")
        overhead, speed, utilisation = (
            page.assumed(name) for name in ("hosting_overhead", "relative_speed", "utilisation")
        )
        rate = page.given("measured.rate", "request/s", facts.rate.value, "measured", "serve: measured_rate")
        build_time = page.given(
            "measured.build_time", "h", facts.build_time.to("h"), "measured", "machine time of all stages"
        )
        capacity = sheet.line("capacity of a machine", "request/s", rate * speed * utilisation)
        bare = sheet.line("machine time of a request", f"{money}/request", hour / capacity)
        request = sheet.line("cost of a request", f"{money}/request", bare * (1 + overhead))
        machine = sheet.line("a machine", f"{money}/month", hour * Sheet.number(730, "h/month"))
        month = sheet.line("a machine with hosting", f"{money}/month", machine * (1 + overhead))
        build = sheet.line("cost of the build", money, page.assumed("build_cost") + hour * build_time)
        fee_share, fee_fixed, support = (page.assumed(name) for name in ("payment_share", "payment_fixed", "support"))
        lots = {sold.unit: _lots(page, sold) for sold in facts.units}
    return Serving(capacity, request, month, build, fee_share, fee_fixed, support, lots, level)


def _lots(page: Page, sold: Sold) -> Term:
    lot, name = costs.lot(sold.unit)
    noun = costs.noun(sold.unit)
    unit = f"{noun}/request"
    each = page.given(f"measured.units.{sold.unit}", unit, sold.per_request.value, "measured", "serve: measured_units")
    return page.sheet.line(
        f"{sold.unit}: lots a request", f"{name}/request", each * Sheet.number(1 / lot, f"{name}/{noun}")
    )


def bought(page: Page, number: int, plan: Plan, using: Serving) -> Bought:
    """What a customer of a plan pays and costs."""
    sheet, each = page.sheet, f"{page.money}/customer/month"

    def given(name: str, unit: str, value: float) -> Term:
        return page.given(f"business.plans.{number}.{name}", unit, value, "assumed", plan.source)

    with page.group(f"Plan {plan.name}"):
        charged, share = given("price", each, plan.price), given("share", "", plan.share)
        volume = "request/customer/month"
        usage = page.given(f"business.plans.{number}.usage", volume, plan.usage, "assumed", plan.usage.source)
        answered = usage
        if plan.included is not None:
            included, spread = given("included", volume, plan.included), given("usage_spread", "", plan.usage_spread)
            beyond = sheet.line(f"{plan.name}: requests beyond", volume, _beyond(usage, included, spread))
            if plan.overage is None:
                answered = usage - beyond
            else:
                charged = charged + beyond * given("overage", f"{page.money}/request", plan.overage)
        answered = sheet.line(f"{plan.name}: requests answered", volume, answered)
        for unit, price in plan.prices.items():
            if unit in using.lots:
                per = given(f"prices.{unit}", f"{page.money}/{costs.lot(unit)[1]}", price)
                charged = charged + answered * using.lots[unit] * per
        revenue = sheet.line(f"{plan.name}: revenue", each, charged * using.level)
        by_share = revenue * using.fee_share
        fee = sheet.line(f"{plan.name}: payment fees", each, choose(revenue > 0, by_share + using.fee_fixed, by_share))
        machines = sheet.line(f"{plan.name}: machines", each, answered * using.request)
        cost = sheet.line(f"{plan.name}: cost", each, machines + fee + using.support)
        sheet.line(f"{plan.name}: gross margin", "", where(revenue > 0, (revenue - cost) / revenue))
    return Bought(share, answered, revenue, fee, cost)


def _beyond(usage: Term, included: Term, spread: Term) -> Term:
    """Mean of max(0, usage - included) over customers whose usage is lognormal: m Φ(d) - K Φ(d - s), d = (ln(m ÷ K) + s² ÷ 2) ÷ s.

    s² = ln(1 + spread²). The partial expectation of the lognormal distribution, as in Black and Scholes (1973).
    """
    alike = greatest(usage - included, 0.0)
    width = logarithm(1 + spread * spread) ** 0.5
    far = (logarithm(usage / included) + width * width / 2) / width
    differ = usage * normal(far) - included * normal(far - width)
    return choose(spread > 0, choose(included > 0, choose(usage > 0, differ, 0.0), usage), alike)


def average(page: Page, plans: list[Bought]) -> Customer:
    """The average customer: every part weighted by the plans' shares."""
    sheet, each = page.sheet, f"{page.money}/customer/month"

    def mean(name: str, unit: str, part: str) -> Term:
        found = plans[0].share * getattr(plans[0], part)
        for one in plans[1:]:
            found = found + one.share * getattr(one, part)
        return sheet.line(name, unit, found)

    with page.group("Customer"):
        usage = mean("requests of a customer", "request/customer/month", "answered")
        revenue, fees = mean("revenue of a customer", each, "revenue"), mean("payment fees of a customer", each, "fee")
        cost = mean("cost of a customer", each, "cost")
        margin = sheet.line("margin of a customer", each, revenue - cost)
        sheet.line("gross margin", "", where(revenue > 0, margin / revenue))
    return Customer(usage, revenue, fees, margin)
