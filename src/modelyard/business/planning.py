"""From the blueprint's assumptions and what was measured to a venture: every line, in the order in which it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.blueprint.business import Business
from modelyard.business import months, selling
from modelyard.business.facts import Facts
from modelyard.business.page import Page
from modelyard.business.returns import outcome
from modelyard.business.uncertain import Stress
from modelyard.business.venture import Venture

OURS = (
    Stress("price_war", {"scenario.prices": 0.7}, {"business.price_elasticity": 0.0}),
    Stress("dear_machines", {"scenario.machine_price": 2.0}),
    Stress("large_customer_leaves", values={"scenario.leaving": 0.3, "scenario.leaving_month": 12.0}),
    Stress("churn_doubles", {"business.churn": 2.0}),
    Stress("cac_doubles", {"business.cac": 2.0}),
    Stress("slow_sales", {"business.new_customers": 0.5}),
)
"""What is tried of every venture. In a price war lower prices win nobody: competitors lower theirs as well."""


def venture(business: Business, facts: Facts) -> Venture:
    """The venture of a blueprint's assumptions, with what was measured."""
    page = Page(business, facts)
    serving = selling.serving(page)
    plans = [selling.bought(page, number, plan, serving) for number, plan in enumerate(business.plans)]
    customer = selling.average(page, plans)
    stay = months.staying(page)
    cac, discount = months.worth(page, customer, stay)
    money = months.run(page, serving, customer, stay, cac)
    outcome(page, serving, money, discount)
    return Venture(page.sheet, page.givens, page.groups, tuple(plan.name for plan in business.plans))


def place(business: Business, key: str) -> str:
    """The given that a key of the section names: `churn`, `plans.starter.usage`."""
    first, _, rest = key.partition(".")
    if not rest:
        return f"business.{key}"
    name, _, last = rest.rpartition(".")
    listed: Sequence[Any] = {"plans": business.plans, "hires": business.hires, "channels": business.channels}[first]
    return f"business.{first}.{_names(listed).index(name)}.{last}"


def stresses(business: Business) -> list[Stress]:
    """Ours and the blueprint's."""
    found = [one for one in OURS if not (business.channels and "business.cac" in one.factors)]
    for each in business.stresses:
        values = {"scenario.leaving": each.leaving, "scenario.leaving_month": each.month} if each.leaving else {}
        factors = {
            f"scenario.{key}" if key in ("prices", "machine_price") else place(business, key): factor
            for key, factor in each.factors.items()
        }
        found.append(Stress(each.name, factors, values))
    return found


def correlations(business: Business) -> Mapping[tuple[str, str], float]:
    """The blueprint's, between givens."""
    return {
        (place(business, each.between[0]), place(business, each.between[1])): each.rank
        for each in business.correlations
    }


def key(business: Business, given: str) -> str:
    """The other way round: `business.plans.0.usage` is `plans.starter.usage`."""
    first, _, rest = given.removeprefix("business.").partition(".")
    listed = {"plans": business.plans, "hires": business.hires, "channels": business.channels}
    if first not in listed:
        return given.removeprefix("business.")
    number, _, last = rest.partition(".")
    return f"{first}.{_names(listed[first])[int(number)]}.{last}"


def _names(listed: Sequence[Any]) -> list[str]:
    return [getattr(each, "role", None) or each.name for each in listed]
