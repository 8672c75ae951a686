"""Lines of the months: who comes and stays, what they bring, what everything costs, and the cash that is left."""

from __future__ import annotations

from dataclasses import dataclass

from modelyard.business.page import Page
from modelyard.business.selling import Customer, Serving
from modelyard.business.sheet import (
    MONTH,
    Sheet,
    Term,
    backwards,
    choose,
    cohorts,
    earlier,
    greatest,
    total,
    where,
    whole,
)


@dataclass(frozen=True)
class Staying:
    """How long customers stay, and what they then pay."""

    left: Term
    """Share of the first customers left at the end of each month."""
    growing: Term
    """The same, times what they then pay relative to their first month."""
    by_age: Term
    """`left` by age: 1 in the month in which they come."""
    growing_by_age: Term


@dataclass(frozen=True)
class Money:
    """What the months bring and take."""

    revenue: Term
    gross: Term
    net: Term
    """Before tax."""
    after_tax: Term
    cash: Term
    opening: Term


def staying(page: Page) -> Staying:
    """Survival of customers who differ (Fader and Hardie 2007), and what one brings over the horizon."""
    sheet, age = page.sheet, page.sheet.month / MONTH
    with page.group("Retention"):
        churn, spread, expansion = (page.assumed(name) for name in ("churn", "churn_spread", "expansion"))
        same, older = 1 - spread, (age - 1) * spread
        retention = sheet.line("retention", "", ((1 - churn * MONTH) * same + older) / (same + older))
        left = sheet.rolling("left of the first customers", "", 1.0, lambda before: before * retention)
        grown = (1 + expansion * MONTH) ** age
        growing = sheet.line("their payments, of the first month's", "", left * grown)
        by_age, paying = earlier(left, Sheet.number(1)), earlier(growing, Sheet.number(1))
        by_age = sheet.line("customers left by age", "", by_age)
        paying = sheet.line("payments by age", "", paying)
    return Staying(left, growing, by_age, paying)


def worth(page: Page, customer: Customer, stay: Staying) -> tuple[Term, Term]:
    """What a customer is worth within the horizon. The cost of winning one, and the discount rate."""
    sheet, money, age = page.sheet, page.money, page.sheet.month / MONTH
    with page.group("Unit economics"):
        cac = _cac(page)
        discount = page.assumed("discount_rate")
        discounted = sheet.line(
            "payments by age, discounted", "", stay.growing_by_age / (1 + discount) ** ((age - 1) / 12)
        )
        sheet.line("lifetime", "month", total(stay.by_age) * MONTH)
        value = sheet.line("lifetime value", f"{money}/customer", customer.margin * total(discounted) * MONTH)
        sheet.line("LTV:CAC", "", where(cac > 0, value / cac))
        sheet.line("CAC payback", "month", where(customer.margin > 0, cac / customer.margin))
        if sheet.months >= 12:
            year = sheet.line(
                "the first customers' payments after a year",
                "",
                choose(sheet.month.equals(12 * MONTH), stay.growing, 0.0),
            )
            sheet.line("net revenue retention", "", total(year))
    return cac, discount


def _cac(page: Page) -> Term:
    unit = "{currency}/customer"
    if not page.business.channels:
        return page.assumed("cac")
    found = Sheet.number(0.0)
    for number, channel in enumerate(page.business.channels):
        path = f"business.channels.{number}"
        share = page.given(f"{path}.share", "", channel.share, "assumed", "the blueprint")
        found = share * page.ranged(f"{path}.cac", unit, channel.cac, "high") + found
    return page.sheet.line("mean CAC", f"{page.money}/customer", found)


def run(page: Page, using: Serving, customer: Customer, stay: Staying, cac: Term) -> Money:
    """Month after month."""
    sheet, month = page.sheet, f"{page.money}/month"
    with page.group("Months"):
        joining, customers, paying = _customers(page, using, stay)
        revenue = sheet.line("revenue", month, paying * customer.revenue)
        demand = sheet.line("demand", "request/s", paying * customer.usage / Sheet.number(730, "h/month"))
        minimum = page.fixed("minimum_machines", "", page.business.minimum_machines)
        machines = sheet.line("machines", "", greatest(whole(demand / using.capacity), minimum))
        hosting = sheet.line("cost of machines", month, machines * using.machine_month)
        fees = sheet.line("payment fees", month, paying * customer.fees)
        support = sheet.line("support", month, customers * using.support)
        gross = sheet.line("gross profit", month, revenue - hosting - fees - support)
        acquisition = sheet.line("acquisition", month, joining * cac)
        people = sheet.line("people and tools", month, _people(page))
        net = sheet.line("net", month, gross - acquisition - people)
        so_far = sheet.rolling("net so far", page.money, 0.0, lambda before: before + net * MONTH)
        taxed = sheet.rolling("profit that was taxed", page.money, 0.0, lambda before: greatest(before, so_far))
        tax = sheet.line(
            "tax", month, (taxed - earlier(taxed, Sheet.number(0, page.money))) * page.assumed("tax_rate") / MONTH
        )
        after_tax = sheet.line("net after tax", month, net - tax)
        raised = sheet.line("raised", page.money, _raised(page))
        opening = sheet.line("cash after the build", page.money, page.assumed("starting_cash") - using.build)
        cash = sheet.rolling("cash", page.money, opening, lambda before: before + after_tax * MONTH + raised)
    return Money(revenue, gross, net, after_tax, cash, opening)


def _customers(page: Page, using: Serving, stay: Staying) -> tuple[Term, Term, Term]:
    """Those who come, those who are there, and those who pay as much as customers of the first month."""
    sheet = page.sheet
    won, growth, elasticity = (page.assumed(name) for name in ("new_customers", "growth", "price_elasticity"))
    start = page.fixed("starting_customers", "customer", page.business.starting_customers)
    leaving, when = page.scenario("leaving", value=0.0), page.scenario("leaving_month", "month", value=12.0)
    here = sheet.line("not left at once", "", choose(sheet.month >= when, 1 - leaving, 1.0))
    fewer = sheet.line("won at these prices", "", using.level**elasticity)
    joining = sheet.rolling(
        "new customers", "customer/month", 0.0,
        lambda before: choose(sheet.month <= MONTH, won * fewer, before * (1 + growth * MONTH)),
    )  # fmt: skip
    ages = sheet.line("customers left, the oldest first", "", backwards(stay.by_age))
    payments = sheet.line("payments, the oldest first", "", backwards(stay.growing_by_age))
    customers = sheet.line("customers", "customer", (cohorts(joining, ages) * MONTH + start * stay.left) * here)
    paying = sheet.line(
        "customers by what they pay", "customer", (cohorts(joining, payments) * MONTH + start * stay.growing) * here
    )
    sheet.line("lost customers", "customer/month", (earlier(customers, start) - customers) / MONTH + joining)
    return joining, customers, paying


def _people(page: Page) -> Term:
    found = page.assumed("people") + page.assumed("tools")
    for number, hire in enumerate(page.business.hires):
        path, unit = f"business.hires.{number}", "{currency}/month"
        cost = page.ranged(f"{path}.cost", unit, hire.cost, "high")
        first = page.given(f"{path}.month", "month", hire.month, "assumed", "the blueprint")
        found = found + choose(page.sheet.month >= first, cost, 0.0)
    return found


def _raised(page: Page) -> Term:
    found = choose(page.sheet.month < MONTH, 0.0, Sheet.number(0.0, page.money))
    for number, each in enumerate(page.business.rounds):
        path = f"business.rounds.{number}"
        when = page.given(f"{path}.month", "month", each.month, "assumed", "the blueprint")
        raised = page.given(f"{path}.raised", page.money, each.raised, "assumed", "the blueprint")
        found = found + choose(page.sheet.month.equals(when), raised, 0.0)
    return found
