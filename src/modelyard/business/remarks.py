"""What a founder must see in the numbers, as codes with values; the report has the sentences."""

from __future__ import annotations

from collections.abc import Iterator

from modelyard.blueprint.business import Business
from modelyard.blueprint.plans import Plan
from modelyard.business.offers import overage_floor
from modelyard.business.rates import Machine, covers
from modelyard.business.solving import Solved
from modelyard.records.valued import SCENARIOS, Assumption, CashByScenario, Remark, UnitEconomics, UnitPrice
from modelyard.units import Quantity, quantity

HEALTHY_RATIO = Quantity(3.0, "")
"""LTV:CAC of at least 3 (Skok)."""
HEALTHY_PAYBACK = Quantity(12.0, "month")
"""CAC recovered within a year (Skok)."""


def remarks(
    found: Solved,
    business: Business,
    economics: UnitEconomics,
    cash: CashByScenario,
    declared: tuple[Assumption, ...],
    units: tuple[UnitPrice, ...],
) -> tuple[Remark, ...]:
    """Remarks on the likely scenario, and on the cash of all three."""
    told: list[Remark] = []
    if all(one.default for one in declared if one.path != "business.exchange_rate"):  # which has no default
        told.append(Remark(code="all_assumed"))
    for plan in business.plans:
        told += _below_cost(found, business, plan, units)
    ratio, months = economics.ltv_to_cac.likely, economics.payback.likely
    if ratio is not None and ratio < HEALTHY_RATIO:
        told.append(Remark(code="ltv_to_cac_low", given=ratio, wanted=HEALTHY_RATIO))
    if months is not None and not months <= HEALTHY_PAYBACK:
        told.append(Remark(code="payback_slow", given=months, wanted=HEALTHY_PAYBACK))
    for scenario in SCENARIOS:
        table = getattr(cash, scenario)
        if table.runway is not None:
            told.append(Remark(code="cash_runs_out", subject=scenario, given=Quantity(float(table.runway), "month")))
        if table.break_even_month is None:
            told.append(Remark(code="never_breaks_even", subject=scenario))
    return tuple(told)


def _below_cost(found: Solved, business: Business, plan: Plan, units: tuple[UnitPrice, ...]) -> Iterator[Remark]:
    """A plan that costs more than it earns; prices of use below their floors."""
    revenue, cost = found.one("likely", f"{plan.name}: revenue"), found.one("likely", f"{plan.name}: cost")
    if revenue < cost:
        yield Remark(code="plan_below_cost", subject=plan.name, given=revenue, wanted=cost)
    floor = overage_floor(found, "likely", business)
    if plan.overage is not None and floor is not None:
        overage = quantity(plan.overage, f"{business.currency}/request")
        if overage < floor:
            yield Remark(code="overage_below_cost", subject=plan.name, given=overage, wanted=floor)
    for one in units:
        lowest = one.price_floor.likely
        if one.unit in plan.prices and lowest is not None:
            price = Quantity(plan.prices[one.unit], lowest.unit)
            if price < lowest:
                yield Remark(code="unit_below_cost", subject=f"{plan.name}: {one.unit}", given=price, wanted=lowest)


def machine_remarks(machine: Machine, *, cores: int, instructions: str) -> tuple[Remark, ...]:
    """Whether the priced machine is smaller than the one that bore the load: fewer cores, or older instructions."""
    if covers(machine, cores=cores, instructions=instructions):
        return ()
    if machine.cores >= cores:
        return (Remark(code="machine_older", subject=machine.name),)
    have, need = Quantity(float(machine.cores)), Quantity(float(cores))
    return (Remark(code="machine_smaller", subject=machine.name, given=have, wanted=need),)
