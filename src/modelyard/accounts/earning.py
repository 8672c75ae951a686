"""What a service earns and costs in the month that runs: the ledger's side is the invoices' own sums, the machines' side a price and hours.

    earned  what customers would be charged if the month ended now: their use, and the part of the monthly price whose days have passed
    cost    price of a machine an hour x machines x hours since the month, or the service, began; idle hours count
    margin  (earned - cost) / earned

Amounts are decimals in the currency of the plans; customers of another currency stand in a line of their own. It knows no HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from modelyard.accounts import ledger
from modelyard.accounts.charging import charge, rounded
from modelyard.accounts.customers import all_customers
from modelyard.accounts.database import Transaction
from modelyard.accounts.plans import Subscription, subscription
from modelyard.accounts.times import SECOND, days_in, month_of, next_month, starts

HOUR = 3600 * SECOND


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine costs, and where that stands."""

    price: Decimal
    """Of an hour."""
    currency: str
    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Earning:
    """One currency, one month, until now."""

    month: str
    currency: str
    customers: int
    requests: int
    earned: Decimal
    machines: int
    hours: Decimal
    cost: Decimal | None
    """None where the price of a machine is not known in this currency."""

    @property
    def margin(self) -> Decimal | None:
        """Share of what is earned that is left; None where nothing is earned or the cost is not known."""
        return None if self.cost is None or not self.earned else (self.earned - self.cost) / self.earned

    @property
    def cost_per_thousand(self) -> Decimal | None:
        """Cost of 1,000 requests."""
        return None if self.cost is None or not self.requests else self.cost * 1000 / self.requests

    def describe(self) -> dict[str, Any]:
        """As plain values; amounts are text."""

        def told(amount: Decimal | None, places: str = "0.000001") -> str | None:
            return None if amount is None else format(amount.quantize(Decimal(places)).normalize(), "f")

        return {
            "month": self.month, "currency": self.currency, "customers": self.customers, "requests": self.requests,
            "earned": told(self.earned), "machines": self.machines, "hours": told(self.hours, "0.01"), "cost": told(self.cost),
            "cost_per_thousand": told(self.cost_per_thousand), "margin": told(self.margin, "0.0001"),
        }  # fmt: skip


def earning(held: Transaction, machine: Machine | None) -> list[Earning]:
    """This month until now, a line a currency."""
    month = month_of(held.now)
    sums: dict[str, tuple[int, int, Decimal]] = {}
    for customer in all_customers(held):
        sold = subscription(held, customer.id, month)
        if sold is None or (customer.closed is not None and month_of(customer.closed) < month):
            continue
        usage = ledger.usage(held, customer.id, month)
        count, requests, earned = sums.get(sold.plan.currency, (0, 0, Decimal(0)))
        used = sum(units.get("request", 0) for units in usage.values())
        sums[sold.plan.currency] = count + 1, requests + used, earned + earned_until(sold, usage, month, held.now)
    hosts, since = _machines(held, month)
    hours = Decimal(max(held.now - since, 0)) / HOUR
    if not sums and machine is not None:
        sums[machine.currency] = 0, 0, Decimal(0)
    found = []
    for currency, (count, requests, earned) in sorted(sums.items()):
        known = machine is not None and machine.currency == currency
        cost = machine.price * hosts * hours if known and machine is not None else None
        found.append(Earning(month, currency, count, requests, earned, hosts, hours, cost))
    return found


def earned_until(sold: Subscription, usage: Mapping[str, Mapping[str, int]], month: str, now: int) -> Decimal:
    """The invoice's lines, of the monthly price the part whose time has passed."""
    days, charged, included = sold.days(month), sold.days_charged(month), sold.included(month)
    lines = charge(sold.plan, usage, days=days, days_charged=charged, of=days_in(month), included=included)
    end = starts(next_month(month))
    begin = end - charged * 24 * HOUR
    passed = Decimal(min(max(now - begin, 0), end - begin)) / (end - begin) if charged else Decimal(0)
    due = sum((line.exact * passed if line.kind == "price" else line.amount for line in lines), Decimal(0))
    return rounded(due, sold.plan.currency)


def _machines(held: Transaction, month: str) -> tuple[int, int]:
    """Hosts that write the ledger now, at least one; and since when this month, the first start where it was within it."""
    hosts = held.one("SELECT count(DISTINCT host) FROM writers WHERE state = 'open'")
    first = held.one("SELECT min(opened) FROM writers")
    begin = starts(month)
    since = max(begin, int(first[0])) if first is not None and first[0] is not None else held.now
    return max(int(hosts[0]) if hosts else 1, 1), since
