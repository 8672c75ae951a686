"""What a month costs: plan and usage in, lines out. Exact decimals; the same sums as `business.plans.revenue`.

    monthly price x days charged / days of the month
  + overage price x requests beyond the included volume
  + unit prices x units (a million tokens, a thousand of any other)
  - the batch discount on what use cost in batch jobs

Requests at the standard tariff use up the included volume first, those of batch jobs after: the cheaper ones are left to be
charged. **Rounding**: each line to the currency's smallest unit, halves away from zero; the total is the sum of the lines, so
that a reader's sum agrees. It knows nothing about the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Literal

from modelyard.accounts.plans import Plan

DIGITS = {
    "BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0, "UYI": 0,
    "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0, "BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
}  # fmt: skip
"""Decimal places of currencies that have not two (ISO 4217)."""
Usage = Mapping[str, Mapping[str, int]]
"""{tariff: {unit: count}}, as `ledger.usage` gives it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an invoice. `lot` units cost `price` together; a discount is negative."""

    kind: Literal["price", "overage", "units", "discount"]
    tariff: str
    unit: str
    quantity: int
    lot: int
    price: Decimal
    exact: Decimal
    """Before rounding."""
    amount: Decimal


def charge(
    plan: Plan, usage: Usage, *, days: int, days_charged: int, of: int, included: int | None
) -> tuple[Line, ...]:
    """The lines of a month of `of` days, in which the plan held `days` and is charged for `days_charged`; `included` requests are free.

    >>> plan = Plan(name="a", currency="USD", price=Decimal(29), included=1000, overage=Decimal("0.001"))
    >>> use = {"standard": {"request": 3000}}
    >>> [str(line.amount) for line in charge(plan, use, days=30, days_charged=30, of=30, included=1000)]
    ['29.00', '2.00']
    """
    assert 0 <= days_charged <= days <= of
    with localcontext() as context:
        context.prec = 50
        return tuple(_lines(plan, usage, days_charged, of, included))


def _lines(plan: Plan, usage: Usage, days_charged: int, of: int, included: int | None) -> list[Line]:
    def line(kind: Literal["price", "overage", "units", "discount"], tariff: str, unit: str, quantity: int, lot: int, price: Decimal, exact: Decimal) -> Line:  # fmt: skip
        return Line(kind, tariff, unit, quantity, lot, price, exact, rounded(exact, plan.currency))

    found = [line("price", "standard", "day", days_charged, of, plan.price, plan.price * days_charged / of)]
    left = included
    for tariff in ("standard", "batch"):
        units = usage.get(tariff, {})
        used: list[Line] = []
        requests = units.get("request", 0)
        extra = 0 if left is None else max(0, requests - left)
        left = None if left is None else max(0, left - requests)
        if plan.overage is not None and extra:
            used.append(line("overage", tariff, "request", extra, 1, plan.overage, plan.overage * extra))
        for unit, price in sorted(plan.prices.items()):
            count = units.get(unit, 0)
            if count:
                used.append(line("units", tariff, unit, count, lot(unit), price, price * count / lot(unit)))
        found += used
        total = sum((each.amount for each in used), Decimal(0))
        if tariff == "batch" and total and plan.batch_discount:
            found.append(line("discount", tariff, "", 1, 1, plan.batch_discount, -total * plan.batch_discount))
    return found


def lot(unit: str) -> int:
    """How many of a unit have a price together, as `business.costs.lot`."""
    return 1_000_000 if unit.endswith("token") else 1_000


def rounded(amount: Decimal, currency: str) -> Decimal:
    """To the currency's smallest unit, halves away from zero. `rounded(Decimal("0.5"), "JPY") == 1`."""
    return amount.quantize(Decimal(1).scaleb(-DIGITS.get(currency, 2)), rounding=ROUND_HALF_UP)
