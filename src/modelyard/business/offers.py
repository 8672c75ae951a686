"""What is sold, for the record: costs of a request, units of sale, plans with their floors, and the build."""

from __future__ import annotations

from modelyard.blueprint.business import Business
from modelyard.business import costs
from modelyard.business.facts import Facts, Sold
from modelyard.business.solving import Solved, each
from modelyard.records.valued import Build, MachineCosts, PlanValue, Scenario, UnitPrice
from modelyard.units import Quantity


def machine_costs(found: Solved, facts: Facts) -> MachineCosts:
    """What a machine and a request cost, hosting left out; the carbon of 1,000 requests where the machine's power is known."""
    carbon = facts.machine.accelerator is None or facts.machine.watts is not None
    return MachineCosts(
        machine_month=found.line("a machine"),
        capacity=found.line("capacity of a machine"),
        per_request=found.line("machine time of a request"),
        per_thousand=each(lambda scenario: _thousand(found.one(scenario, "machine time of a request"))),
        carbon=each(lambda scenario: _thousand(_carbon(found, facts, scenario))) if carbon else None,
    )


def _thousand(amount: Quantity) -> Quantity:
    """The amount for 1,000 requests; its own unit, so that it cannot be added to the amount for one."""
    return Quantity(amount.value * 1000, amount.unit.replace("/request", "/kilorequest"))


def _carbon(found: Solved, facts: Facts, scenario: Scenario) -> Quantity:
    energy = costs.power(facts.machine, facts.server, utilisation=found.values[scenario]["business.utilisation"])
    made = costs.embodied(facts.machine, facts.server)
    return costs.carbon_per_unit(energy, facts.grid.intensity, made, found.one(scenario, "capacity of a machine"))


def _left(found: Solved, scenario: Scenario, business: Business) -> float:
    """Share of a price that is left for costs: what payment fees and the demanded margin do not take."""
    return 1 - found.values[scenario]["business.payment_share"] - (business.minimum_margin or 0.0)


def unit_price(found: Solved, sold: Sold, business: Business) -> UnitPrice:
    """What a unit of sale costs, and the lowest price that keeps the demanded margin."""
    count, name = costs.lot(sold.unit)

    def cost(scenario: Scenario) -> Quantity:
        money = found.one(scenario, "cost of a request") * sold.share / (sold.per_request / count)
        return Quantity(money.value, f"{business.currency}/{name}")

    def floor(scenario: Scenario) -> Quantity | None:
        left = _left(found, scenario, business)
        return cost(scenario) / left if left > 0 else None

    return UnitPrice(
        unit=sold.unit, lot=count, per_request=sold.per_request, share=round(sold.share, 6), cost=each(cost), price_floor=each(floor),
    )  # fmt: skip


def plan_value(found: Solved, number: int, business: Business) -> PlanValue:
    """One plan, for one customer and month."""
    plan = business.plans[number]

    def price_floor(scenario: Scenario) -> Quantity | None:
        """Solves R - share x R - fixed - machines - support = margin x R for R = price + what is charged by use."""
        left = _left(found, scenario, business)
        if left <= 0:
            return None
        spent = found.given(scenario, "business.payment_fixed") + found.one(scenario, f"{plan.name}: machines")
        needed = (spent + found.given(scenario, "business.support")) / left
        price = found.given(scenario, f"business.plans.{number}.price")
        floor = needed - (found.one(scenario, f"{plan.name}: revenue") - price)
        return floor if floor.value > 0 else needed * 0.0

    return PlanValue(
        name=plan.name,
        share=plan.share,
        usage=found.line(f"{plan.name}: requests answered"),
        revenue=found.line(f"{plan.name}: revenue"),
        machine_cost=found.line(f"{plan.name}: machines"),
        payment_cost=found.line(f"{plan.name}: payment fees"),
        support_cost=each(lambda scenario: found.given(scenario, "business.support")),
        cost=found.line(f"{plan.name}: cost"),
        gross_margin=found.line(f"{plan.name}: gross margin"),
        price_floor=each(price_floor),
        overage_floor=each(lambda scenario: overage_floor(found, scenario, business)),
    )


def overage_floor(found: Solved, scenario: Scenario, business: Business) -> Quantity | None:
    """The lowest price of one more request that keeps the demanded margin: cost ÷ (1 - payment share - margin)."""
    left = _left(found, scenario, business)
    return found.one(scenario, "cost of a request") / left if left > 0 else None


def build(found: Solved, facts: Facts, business: Business) -> Build:
    """What it cost to get here."""

    def machine(scenario: Scenario) -> Quantity:
        return found.one(scenario, "cost of the build") - found.given(scenario, "business.build_cost")

    return Build(
        machine_time=facts.build_time,
        machine_cost=each(machine),
        other=each(lambda scenario: found.given(scenario, "business.build_cost")),
        total=found.line("cost of the build"),
    )
