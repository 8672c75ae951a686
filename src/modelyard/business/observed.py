"""`yard business --ledger STATE`: what was assumed beside what a month of the ledger says, and the case with the ledger's numbers.

Nothing is run or written. Customers of plans that the blueprint does not have are counted and named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modelyard.accounts.observing import PlanSeen, Seen
from modelyard.blueprint.ranges import Range
from modelyard.business import facts_of, what_if
from modelyard.business.planning import venture
from modelyard.context import Context
from modelyard.errors import UserError
from modelyard.units import spell

FEWEST = 5
"""Customers below which a mean of theirs is no news: it is shown, and the case is not counted with it."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One number: as assumed, and as it was."""

    name: str
    low: float
    likely: float
    high: float
    was: float
    of: int
    """Customers that it was counted of."""
    settable: bool = True
    """Whether it is an assumption, which the case can be counted with, and no outcome."""

    @property
    def verdict(self) -> str:
        """Where it lies."""
        if self.was < self.low:
            return "below what was assumed"
        return "above what was assumed" if self.was > self.high else "as assumed"


def told(context: Context, seen: Seen) -> str:
    """A table, and the most important lines of the case before and after; UserError where the ledger says nothing."""
    business = context.blueprint.business
    if not seen.customers and not seen.before:
        raise UserError(
            f"the ledger has no customers who pay in {seen.currency} in {seen.month}: there is nothing to compare"
        )
    rows = list(compared(context, seen))
    running = "" if seen.over else " (it still runs: use and money grow until its end)"
    lines = [
        f"{seen.month}{running}, in {seen.currency}: {_counted(seen.customers)}, {seen.joined} came, {seen.left} left",
        "",
    ]
    lines.append(f"{'':<34}{'assumed':>26}{'ledger':>14}  of")
    for row in rows:
        span = (
            spell(row.likely) if row.low == row.high else f"{spell(row.likely)} ({spell(row.low)} to {spell(row.high)})"
        )
        lines.append(f"{row.name:<34}{span:>26}{_short(row.was):>14}  {_counted(row.of)}: {row.verdict}")
    known = {plan.name for plan in business.plans}
    lines += [
        f"{plan.name}: {_counted(plan.customers)} of a plan that the blueprint does not have"
        for plan in seen.plans
        if plan.name not in known
    ]
    asked = ",".join(f"{row.name}={row.was!r}" for row in rows if row.settable and row.of >= FEWEST and seen.over)
    if not asked:
        why = "the month still runs" if not seen.over else f"none of these numbers is of {FEWEST} customers or more"
        return "\n".join([*lines, "", f"The case is not counted with them: {why}."])
    return "\n".join([*lines, "", "The case with the ledger's numbers:", what_if.answer(context, asked)])


def compared(context: Context, seen: Seen) -> Iterator[Compared]:
    """Each assumption that the ledger can judge."""
    business = context.blueprint.business
    plans = {plan.name: plan for plan in seen.plans}
    counted = sum(plans[plan.name].customers for plan in business.plans if plan.name in plans)
    model = venture(business, facts_of(context))
    likely = model.sheet.solve(model.values("likely"))
    for plan in business.plans:
        there = plans.get(plan.name)
        if counted:
            share = there.customers / counted if there else 0.0
            yield Compared(f"plans.{plan.name}.share", *(plan.share,) * 3, share, counted, settable=False)
        if there is not None and there.customers:
            yield _used(plan.name, plan.usage, there)
            paid = float(there.charged) / there.customers
            revenue = float(likely[f"{plan.name}: revenue"])
            yield Compared(f"plans.{plan.name}: paid", *(revenue,) * 3, paid, there.customers, settable=False)
    if seen.before:
        yield Compared("churn", *_ends(business.churn), seen.left / seen.before, seen.before)


def _used(name: str, usage: Range, there: PlanSeen) -> Compared:
    return Compared(f"plans.{name}.usage", *_ends(usage), there.requests / there.customers, there.customers)


def _ends(given: Range) -> tuple[float, float, float]:
    return given.low, given.likely, given.high


def _counted(customers: int) -> str:
    return f"{customers} customer{'s' * (customers != 1)}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"
