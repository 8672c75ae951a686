"""From the solved lines of a venture to the record: months of cash, unit economics, returns, and what may happen.

It computes nothing but what no line can say (the first month that…, a rate of return, who owns what).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from modelyard.blueprint.business import Business
from modelyard.business import finance, unit_economics
from modelyard.business.costs import MONTH, NEARLY
from modelyard.business.draws import Outcome
from modelyard.business.planning import correlations, key, stresses
from modelyard.business.uncertain import LEVELS, Uncertain, stressed, uncertain
from modelyard.business.venture import Venture
from modelyard.records.valued import (
    SCENARIOS,
    ByScenario,
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

Solved = Mapping[Scenario, Mapping[str, Array]]
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


def solved(venture: Venture) -> Solved:
    """Every line in each scenario."""
    return {scenario: venture.sheet.solve(venture.values(scenario)) for scenario in SCENARIOS}


def _one(venture: Venture, lines: Mapping[str, Array], name: str) -> Quantity | None:
    """A line of one value; None where it is not there or not finite."""
    if name not in lines or not np.isfinite(lines[name]):
        return None
    return Quantity(float(lines[name]), venture.sheet.lines[name].unit)


def _each(read: Callable[[Scenario], Quantity | None]) -> ByScenario:
    return ByScenario(low=read("low"), likely=read("likely"), high=read("high"))


def _line(venture: Venture, found: Solved, name: str) -> ByScenario:
    return _each(lambda scenario: _one(venture, found[scenario], name))


# -- months ----------------------------------------------------------------------------------------------------------------


def cash(venture: Venture, found: Solved, business: Business) -> CashByScenario:
    """The three cash tables."""
    return CashByScenario(**{scenario: _table(venture, found[scenario], scenario, business) for scenario in SCENARIOS})


def _table(venture: Venture, lines: Mapping[str, Array], scenario: Scenario, business: Business) -> Cash:
    money = business.currency
    columns = {
        name: CashColumn(
            unit=venture.sheet.lines[line].unit,
            values=tuple(round(float(value), 4) for value in np.broadcast_to(lines[line], business.months)),
        )
        for name, line in COLUMNS.items()
    }
    opening, start = float(lines["cash after the build"]), venture.values(scenario)["business.starting_cash"]
    nets, balances = lines["net"].tolist(), lines["cash"].tolist()
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


def economics(venture: Venture, found: Solved, business: Business) -> UnitEconomics:
    """What an average customer is worth, and what it costs to win one."""
    money = business.currency
    each = f"{money}/customer/month"

    def cac(scenario: Scenario) -> Quantity:
        mean = _one(venture, found[scenario], "mean CAC")
        return mean or Quantity(venture.values(scenario)["business.cac"], f"{money}/customer")

    def cost(scenario: Scenario) -> Quantity:
        lines = found[scenario]
        return Quantity(float(lines["revenue of a customer"] - lines["margin of a customer"]), each)

    return UnitEconomics(
        arpa=_line(venture, found, "revenue of a customer"),
        cost=_each(cost),
        gross_margin=_line(venture, found, "gross margin"),
        churn=_each(lambda scenario: Quantity(venture.values(scenario)["business.churn"], "1/month")),
        lifetime=_line(venture, found, "lifetime"),
        ltv=_line(venture, found, "lifetime value"),
        cac=_each(cac),
        ltv_to_cac=_line(venture, found, "LTV:CAC"),
        payback=_line(venture, found, "CAC payback"),
        break_even_customers=_each(lambda scenario: _break_even(venture, found[scenario], scenario, business)),
    )


def _break_even(
    venture: Venture, lines: Mapping[str, Array], scenario: Scenario, business: Business
) -> Quantity | None:
    money, values = business.currency, venture.values(scenario)

    def one(name: str) -> Quantity:
        return Quantity(float(lines[name]), venture.sheet.lines[name].unit)

    usage, capacity = one("requests of a customer"), one("capacity of a machine")
    per_machine = capacity * MONTH / usage if usage.value > NEARLY else Quantity(1e12, "customer")
    support = Quantity(values["business.support"], f"{money}/customer/month")
    contribution = one("revenue of a customer") - one("payment fees of a customer") - support
    return unit_economics.break_even_customers(
        contribution,
        Quantity(values["business.people"] + values["business.tools"], f"{money}/month"),
        one("a machine with hosting"),
        per_machine=per_machine,
        minimum=business.minimum_machines,
    )


def returns(venture: Venture, found: Solved) -> Returns:
    """What the money put in brings."""

    def irr(scenario: Scenario) -> Quantity | None:
        lines = found[scenario]
        rate = finance.irr([-float(lines["cost of the build"]), *lines["net after tax"].tolist()])
        return None if rate is None else Quantity(finance.yearly(rate), "")

    def line(name: str) -> ByScenario:
        return _line(venture, found, name)

    return Returns(
        npv=line("net present value"), irr=_each(irr), roi=line("return on investment"), money_needed=line("money needed"),
        burn_multiple=line("burn multiple"), rule_of_40=line("rule of 40"), net_revenue_retention=line("net revenue retention"),
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
            ltv_to_cac=_one(venture, lines, "LTV:CAC"),
            lowest_cash=Quantity(min(every), money),
            cash_at_end=Quantity(every[-1], money),
            runway=_runway(every),
        )

    return tuple(one(name, lines) for name, lines in stressed(venture, stresses(business)).items())
