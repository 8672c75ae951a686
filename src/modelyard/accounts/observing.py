"""What a month of the ledger says of the numbers that a business case assumes: customers by plan, their use, what they paid, who came and left.

Amounts are the invoices' own. It knows no assumptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from modelyard.accounts import ledger
from modelyard.accounts.customers import all_customers
from modelyard.accounts.database import Transaction
from modelyard.accounts.invoices import invoice
from modelyard.accounts.plans import subscription
from modelyard.accounts.times import DAY, check_month, month_of, next_month, starts


@dataclass(frozen=True, slots=True)
class PlanSeen:
    """The customers of one plan in a month; of several versions of a plan, all."""

    name: str
    customers: int
    requests: int
    """Of all of them."""
    charged: Decimal


@dataclass(frozen=True, slots=True)
class Seen:
    """One month, one currency."""

    month: str
    currency: str
    over: bool
    """Whether the month has ended: of one that runs, use and money still grow."""
    plans: tuple[PlanSeen, ...]
    before: int
    """Customers on the month's first moment."""
    joined: int
    left: int
    """Of those before."""

    @property
    def customers(self) -> int:
        """Of all plans."""
        return sum(plan.customers for plan in self.plans)


def seen(held: Transaction, month: str, currency: str) -> Seen:
    """A month of the ledger; customers who pay in another currency are left out."""
    begin, end = starts(check_month(month)), starts(next_month(month))
    plans: dict[str, tuple[int, int, Decimal]] = {}
    before = joined = left = 0
    for who in all_customers(held):
        sold = subscription(held, who.id, month)
        if who.currency != currency or who.created >= end or (who.closed is not None and who.closed < begin):
            continue
        here_before = who.created < begin
        before += here_before
        joined += not here_before
        left += here_before and who.closed is not None and who.closed < end
        if sold is None:
            continue
        used = sum(units.get("request", 0) for units in ledger.usage(held, who.id, month).values())
        count, requests, charged = plans.get(sold.plan.name, (0, 0, Decimal(0)))
        plans[sold.plan.name] = count + 1, requests + used, charged + invoice(held, who.id, month).total
    found = tuple(PlanSeen(name, *sums) for name, sums in sorted(plans.items()))
    return Seen(month, currency, held.now >= end, found, before, joined, left)


def last_month(held: Transaction, currency: str) -> str:
    """The last month that is over and had customers; this one where there is none."""
    before = month_of(starts(month_of(held.now)) - DAY)
    return before if seen(held, before, currency).customers else month_of(held.now)
