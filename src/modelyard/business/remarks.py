"""What a founder must see in the numbers, as codes with values; the report has the sentences."""

from __future__ import annotations

from collections.abc import Mapping

from modelyard.business import plans
from modelyard.business.rates import Machine, covers
from modelyard.business.scenarios import Case
from modelyard.records.valued import SCENARIOS, Assumption, CashByScenario, Remark, UnitEconomics
from modelyard.units import Quantity

HEALTHY_RATIO = Quantity(3.0, "")
"""LTV:CAC of at least 3 (Skok)."""
HEALTHY_PAYBACK = Quantity(12.0, "month")
"""CAC recovered within a year (Skok)."""


def remarks(
    case: Case,
    economics: UnitEconomics,
    cash: CashByScenario,
    declared: tuple[Assumption, ...],
    *,
    margin: float,
    floors: Mapping[str, Quantity],
) -> tuple[Remark, ...]:
    """Remarks on the likely scenario, and on the cash of all three.

    `margin`: the gross margin that is demanded, or 0; `floors`: the lowest price of each unit of sale.
    """
    found: list[Remark] = []
    if all(one.default for one in declared if one.path != "business.exchange_rate"):  # which has no default
        found.append(Remark(code="all_assumed"))
    for offer in case.offers:
        result = plans.value(offer, case.serving)
        if result.revenue < result.cost:
            found.append(Remark(code="plan_below_cost", subject=offer.name, given=result.revenue, wanted=result.cost))
        floor = plans.overage_floor(case.serving, margin=margin)
        if offer.overage is not None and floor is not None and offer.overage < floor:
            found.append(Remark(code="overage_below_cost", subject=offer.name, given=offer.overage, wanted=floor))
        for each in offer.metered:
            if each.unit in floors and each.price < floors[each.unit]:
                subject = f"{offer.name}: {each.unit}"
                found.append(
                    Remark(code="unit_below_cost", subject=subject, given=each.price, wanted=floors[each.unit])
                )
    ratio, months = economics.ltv_to_cac.likely, economics.payback.likely
    if ratio is not None and ratio < HEALTHY_RATIO:
        found.append(Remark(code="ltv_to_cac_low", given=ratio, wanted=HEALTHY_RATIO))
    if months is not None and not months <= HEALTHY_PAYBACK:
        found.append(Remark(code="payback_slow", given=months, wanted=HEALTHY_PAYBACK))
    for scenario in SCENARIOS:
        table = getattr(cash, scenario)
        if table.runway is not None:
            found.append(Remark(code="cash_runs_out", subject=scenario, given=Quantity(float(table.runway), "month")))
        if table.break_even_month is None:
            found.append(Remark(code="never_breaks_even", subject=scenario))
    return tuple(found)


def machine_remarks(machine: Machine, *, cores: int, instructions: str) -> tuple[Remark, ...]:
    """Whether the priced machine is smaller than the one that bore the load: fewer cores, or older instructions."""
    if covers(machine, cores=cores, instructions=instructions):
        return ()
    if machine.cores >= cores:
        return (Remark(code="machine_older", subject=machine.name),)
    have, need = Quantity(float(machine.cores)), Quantity(float(cores))
    return (Remark(code="machine_smaller", subject=machine.name, given=have, wanted=need),)
