"""From the solved lines of a venture to the record: months of cash, unit economics, returns, and what may happen.

It computes nothing but what no line can say (the first month that…, a rate of return, who owns what).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from modelyard.blueprint.business import Business
from modelyard.business import finance, unit_economics
from modelyard.business.costs import MONTH, NEARLY
from modelyard.business.draws import Outcome
from modelyard.business.planning import correlations, key, stresses
from modelyard.business.solving import Solved, each
from modelyard.business.uncertain import LEVELS, Uncertain, stressed, uncertain
from modelyard.business.venture import Venture
from modelyard.records.valued import (
    SCENARIOS,
    Cash,
    CashByScenario,
    CashColumn,
    Drawn,
    Outlook,
    PriceLevel,
    Returns,
    Scenario,
    Stake,
    Stressed,
    Swing,
    UnitEconomics,
    VarianceShare,
)
from modelyard.rows import Array
from modelyard.units import Quantity

COLUMNS = {
    "customers": "customers", "new_customers": "new customers", "lost_customers": "lost customers", "revenue": "revenue",
    "machines": "machines", "machine_cost": "cost of machines", "payment_cost": "payment fees", "support_cost": "support",
    "acquisition_cost": "acquisition", "fixed_cost": "people and tools", "net": "net", "tax": "tax", "raised": "raised", "cash": "cash",
}  # fmt: skip
"""Columns of the cash table and their lines."""
OUTCOMES = {
    "gross_margin": "gross margin", "ltv": "lifetime value", "ltv_to_cac": "LTV:CAC", "payback": "CAC payback",
    "npv": "net present value", "lowest_cash": "lowest cash", "cash_at_end": "cash at the end",
}  # fmt: skip
SEED = 0


# -- months ----------------------------------------------------------------------------------------------------------------


def cash(found: Solved, business: Business) -> CashByScenario:
    """The three cash tables."""
    return CashByScenario(**{scenario: _table(found, scenario, business.currency) for scenario in SCENARIOS})


def _table(found: Solved, scenario: Scenario, money: str) -> Cash:
    columns = {
        name: CashColumn(
            unit=found.venture.sheet.lines[line].unit,
            values=tuple(round(value, 4) for value in found.months(scenario, line)),
        )
        for name, line in COLUMNS.items()
    }
    opening, start = found.one(scenario, "cash after the build").value, found.values[scenario]["business.starting_cash"]
    nets, balances = found.months(scenario, "net"), found.months(scenario, "cash")
    last_loss = max((month for month, net in enumerate(nets, 1) if net < 0), default=0)
    every = [opening, *balances]
    lowest = int(np.argmin(every))
    return Cash(
        columns=columns,
        opening_cash=Quantity(opening, money),
        break_even_month=last_loss + 1 if last_loss < len(nets) else None,
        repaid_month=next((month for month, left in enumerate(balances, 1) if left >= start), None),
        lowest_cash=Quantity(every[lowest], money),
        lowest_month=lowest,
        runway=_runway(every),
    )


def _runway(every: list[float]) -> int | None:
    """Months that end with money left; the month after is the one that cannot be paid. The first value is before any month."""
    if every[0] < 0:
        return 0
    return next((month - 1 for month, left in enumerate(every) if left < 0), None)


# -- a customer, and the money put in --------------------------------------------------------------------------------------


def economics(found: Solved, business: Business) -> UnitEconomics:
    """What an average customer is worth, and what it costs to win one."""

    def cac(scenario: Scenario) -> Quantity:
        if business.channels:
            return found.one(scenario, "mean CAC")
        return found.given(scenario, "business.cac")

    return UnitEconomics(
        arpa=found.line("revenue of a customer"),
        cost=found.line("cost of a customer"),
        gross_margin=found.line("gross margin"),
        churn=each(lambda scenario: found.given(scenario, "business.churn")),
        lifetime=found.line("lifetime"),
        ltv=found.line("lifetime value"),
        cac=each(cac),
        ltv_to_cac=found.line("LTV:CAC"),
        payback=found.line("CAC payback"),
        break_even_customers=each(lambda scenario: _break_even(found, scenario, business)),
    )


def _break_even(found: Solved, scenario: Scenario, business: Business) -> Quantity | None:
    usage, capacity = found.one(scenario, "requests of a customer"), found.one(scenario, "capacity of a machine")
    per_machine = capacity * MONTH / usage if usage.value > NEARLY else Quantity(1e12, "customer")
    fees, support = found.one(scenario, "payment fees of a customer"), found.given(scenario, "business.support")
    return unit_economics.break_even_customers(
        found.one(scenario, "revenue of a customer") - fees - support,
        found.given(scenario, "business.people") + found.given(scenario, "business.tools"),
        found.one(scenario, "a machine with hosting"),
        per_machine=per_machine,
        minimum=business.minimum_machines,
    )


def returns(found: Solved) -> Returns:
    """What the money put in brings."""

    def irr(scenario: Scenario) -> Quantity | None:
        flows = [-found.one(scenario, "cost of the build").value, *found.months(scenario, "net after tax")]
        rate = finance.irr(flows)
        return None if rate is None else Quantity(finance.yearly(rate), "")

    return Returns(
        npv=found.line("net present value"), irr=each(irr), roi=found.line("return on investment"), money_needed=found.line("money needed"),
        burn_multiple=found.line("burn multiple"), rule_of_40=found.line("rule of 40"), net_revenue_retention=found.line("net revenue retention"),
    )  # fmt: skip


def owners(business: Business) -> tuple[Stake, ...]:
    """Who owns what, before any round and after each; none where there are no rounds."""
    if not business.rounds:
        return ()
    rounds = [
        finance.Round(each.name, each.raised, each.pre_money, each.pool)
        for each in sorted(business.rounds, key=lambda each: each.month)
    ]
    table = finance.ownership(dict(business.owners), rounds)
    names = ["", *(each.name for each in rounds)]
    return tuple(
        Stake(name=name, shares={who: round(share, 9) for who, share in shares.items()})
        for name, shares in zip(names, table, strict=True)
    )


# -- what may happen -------------------------------------------------------------------------------------------------------


def outlook(venture: Venture, business: Business) -> Outlook:
    """Thousands of draws, what they hang on, stresses and prices."""
    found = uncertain(venture, count=business.draws, seed=SEED, correlations=correlations(business))
    money = business.currency

    def column(place: int) -> CashColumn:
        return CashColumn(unit=money, values=tuple(round(month[place], 4) for month in found.cash))

    return Outlook(
        draws=found.draws,
        seed=found.seed,
        outcomes={
            name: _drawn(found.outcomes[line], venture.sheet.lines[line].unit)
            for name, line in OUTCOMES.items()
            if line in found.outcomes
        },
        bands={"p10": column(0), "p50": column(1), "p90": column(2)},
        ruin=found.ruin,
        healthy=found.healthy,
        tornado=tuple(
            Swing(path=key(business, bar.name), low=Quantity(bar.low, money), high=Quantity(bar.high, money))
            for bar in found.tornado
        ),
        shares=tuple(
            VarianceShare(path=key(business, one.name), first=one.first, total=one.total) for one in found.shares
        ),
        stresses=_stresses(venture, business),
        prices=_prices(found, money),
        best_level=_drawn(found.prices.best, ""),
    )


def _drawn(given: Outcome, unit: str) -> Drawn:
    mean, p10, p50, p90 = (Quantity(value, unit) for value in (given.mean, given.p10, given.p50, given.p90))
    return Drawn(mean=mean, p10=p10, p50=p50, p90=p90)


def _prices(found: Uncertain, money: str) -> tuple[PriceLevel, ...]:
    return tuple(
        PriceLevel(level=round(float(level), 6), net=_drawn(net, money))
        for level, net in zip(LEVELS, found.prices.net, strict=True)
    )


def _stresses(venture: Venture, business: Business) -> tuple[Stressed, ...]:
    money = business.currency

    def one(name: str, lines: Mapping[str, Array]) -> Stressed:
        every = [float(lines["cash after the build"]), *np.broadcast_to(lines["cash"], business.months).tolist()]
        return Stressed(
            name=name,
            ltv_to_cac=Quantity(ratio, "") if math.isfinite(ratio := float(lines["LTV:CAC"])) else None,
            lowest_cash=Quantity(min(every), money),
            cash_at_end=Quantity(every[-1], money),
            runway=_runway(every),
        )

    return tuple(one(name, lines) for name, lines in stressed(venture, stresses(business)).items())
