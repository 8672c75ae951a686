"""One scenario counted quantity by quantity: what the graph of lines must agree with."""

from __future__ import annotations

from dataclasses import dataclass

from modelyard.blueprint.business import Business
from modelyard.blueprint.plans import Plan
from modelyard.business import costs
from modelyard.business.facts import Facts, Sold, marks, pick
from modelyard.business.rates import Machine
from modelyard.records.valued import SCENARIOS, Scenario
from modelyard.units import Quantity, quantity
from tests.business import plans_oracle as plans


@dataclass(frozen=True, slots=True)
class Case:
    """One scenario, in quantities."""

    scenario: Scenario
    machine_price: Quantity
    """In currency/s."""
    capacity: Quantity
    """Requests a second that one machine is planned for: rate x relative speed x utilisation."""
    per_request: Quantity
    """Machines alone, without hosting overhead."""
    serving: plans.Serving
    offers: tuple[plans.Offer, ...]
    carbon: Quantity | None
    build_machine: Quantity
    build_other: Quantity

    @property
    def machine_month(self) -> Quantity:
        """One machine, without hosting overhead, in currency/month."""
        return self.machine_price * costs.MONTH

    @property
    def average(self) -> plans.Result:
        """The average customer."""
        return plans.blend(self.offers, self.serving)


def cases(business: Business, facts: Facts) -> dict[Scenario, Case]:
    """All three scenarios."""
    return {scenario: case(business, facts, scenario) for scenario in SCENARIOS}


def case(business: Business, facts: Facts, scenario: Scenario) -> Case:
    """One scenario of the blueprint's assumptions, with what was measured."""
    money, known = business.currency, marks()

    def value(name: str) -> float:
        return pick(getattr(business, name), scenario, known[name].unfavourable)

    def amount(name: str) -> Quantity:
        return quantity(value(name), known[name].unit.format(currency=money))

    machine_price = _machine_price(business, facts.machine, scenario)
    speed, utilisation, overhead = value("relative_speed"), value("utilisation"), value("hosting_overhead")
    rate = facts.rate * speed
    per_request = costs.cost_per_unit(machine_price, rate, utilisation=utilisation)
    serving = plans.Serving(
        per_request * (1 + overhead), value("payment_share"), amount("payment_fixed"), amount("support")
    )
    offers = tuple(_offer(plan, serving, scenario, money, facts.units) for plan in business.plans)
    capacity = rate * utilisation
    return Case(
        scenario=scenario,
        machine_price=machine_price,
        capacity=capacity,
        per_request=per_request,
        serving=serving,
        offers=offers,
        carbon=_carbon(facts, utilisation, capacity),
        build_machine=machine_price * facts.build_time,
        build_other=amount("build_cost"),
    )


def _machine_price(business: Business, machine: Machine, scenario: Scenario) -> Quantity:
    if business.machine_price is not None:
        return quantity(pick(business.machine_price, scenario, "high"), f"{business.currency}/h")
    if business.exchange_rate is None:
        return machine.price
    return machine.price * quantity(pick(business.exchange_rate, scenario, "high"), f"{business.currency}/USD")


def _carbon(facts: Facts, utilisation: float, capacity: Quantity) -> Quantity | None:
    if facts.machine.accelerator is not None and facts.machine.watts is None:
        return None
    energy = costs.power(facts.machine, facts.server, utilisation=utilisation)
    return costs.carbon_per_unit(energy, facts.grid.intensity, costs.embodied(facts.machine, facts.server), capacity)


def _offer(plan: Plan, serving: plans.Serving, scenario: Scenario, money: str, units: tuple[Sold, ...]) -> plans.Offer:
    """A plan at the usage this scenario takes: that of the customer who earns least in `low`, most in `high`.

    More usage earns more where requests beyond the included volume are sold above cost, and less everywhere else.
    """

    def at(usage: float) -> plans.Offer:
        return plans.Offer(
            name=plan.name,
            price=quantity(plan.price, f"{money}/customer/month"),
            included=None if plan.included is None else quantity(plan.included, "request/customer/month"),
            overage=None if plan.overage is None else quantity(plan.overage, f"{money}/request"),
            share=plan.share,
            usage=quantity(usage, "request/customer/month"),
            metered=tuple(_metered(one, plan.prices[one.unit], money) for one in units if one.unit in plan.prices),
        )

    def earned(offer: plans.Offer) -> float:
        result = plans.value(offer, serving)
        return (result.revenue - result.cost).value

    ends = [at(plan.usage.low), at(plan.usage.likely), at(plan.usage.high)]
    if scenario == "likely":
        return ends[1]
    return min(ends, key=earned) if scenario == "low" else max(ends, key=earned)


def _metered(sold: Sold, price: float, money: str) -> plans.Metered:
    count, name = costs.lot(sold.unit)
    return plans.Metered(
        sold.unit, Quantity(price, f"{money}/{name}"), Quantity(sold.per_request.value / count, f"{name}/request")
    )
