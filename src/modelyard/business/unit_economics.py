"""What a customer is worth and what winning one costs. Definitions vary: each function states its own and whose it is.

Skok: David Skok, "SaaS Metrics 2.0", forentrepreneurs.com. With one churn rate for all, 1 ÷ churn misstates the
lifetime where customers differ.
"""

from __future__ import annotations

import math

from modelyard.business.costs import NEARLY, check_unit
from modelyard.units import Quantity


def lifetime(churn: Quantity) -> Quantity | None:
    """Mean life of a customer in months: 1 ÷ churn (Skok); None where nobody leaves."""
    check_unit(churn, "1/month", "churn")
    return Quantity(1.0, "") / churn if churn.value > 0 else None


def ltv(arpa: Quantity, margin: float, churn: Quantity) -> Quantity | None:
    """Lifetime value = ARPA x gross margin ÷ churn (Skok; Finmark), in currency/customer; None where nobody leaves.

    >>> ltv(Quantity(500.0, "USD/customer/month"), 0.75, Quantity(0.025, "1/month"))
    Quantity(value=15000.0, unit='USD/customer')
    """
    check_unit(churn, "1/month", "churn")
    return arpa * margin / churn if churn.value > 0 else None


def ltv_to_cac(worth: Quantity, cac: Quantity) -> Quantity | None:
    """LTV ÷ CAC; healthy from 3 on (Skok). None where winning a customer is free."""
    check_unit(worth, cac.unit, "the lifetime value")
    return worth / cac if cac.value > 0 else None


def payback(cac: Quantity, arpa: Quantity, margin: float) -> Quantity | None:
    """Months to recover CAC = CAC ÷ (ARPA x gross margin) (Skok; good below 12); None where nobody pays back."""
    monthly = arpa * margin
    return cac / monthly if monthly.value > 0 else None


def break_even_customers(
    contribution: Quantity, fixed: Quantity, machine: Quantity, *, per_machine: Quantity, minimum: int
) -> Quantity | None:
    """The fewest customers whose contribution covers fixed costs and the whole machines they need.

    Break-even units = fixed cost ÷ (price - variable cost), where machines come whole: the smallest n with
    n x contribution >= fixed + machines(n) x machine, machines(n) = max(minimum, ⌈n ÷ per_machine⌉). `contribution` is
    revenue less fees and support, in currency/customer/month; `fixed` and `machine` in currency/month; `per_machine` in
    customers. None where no number of customers is enough.
    """
    check_unit(per_machine, "customer", "the customers that a machine can serve")
    gain, base, step = contribution.value, fixed.value, machine.value
    check_unit(contribution * per_machine, fixed.unit, "the contribution of a customer")
    check_unit(machine, fixed.unit, "the cost of a machine")
    if gain <= 0:
        return Quantity(0.0, "customer") if base + minimum * step <= 0 else None
    full = per_machine.value
    surplus = full * gain - step  # what one more machine brings once it is full
    if surplus <= 0:
        first, tries = minimum, 1
    else:
        first = max(minimum, math.ceil(base / surplus - NEARLY))
        tries = min(math.ceil(gain / surplus) + 2, 100_000)  # whole customers leave at most one customer's room on each
    for count in range(first, first + tries):
        needed = math.ceil((base + count * step) / gain - NEARLY)
        number = max(needed, math.floor((count - 1) * full + NEARLY) + 1 if count > minimum else 0)
        if number <= count * full + NEARLY:
            return Quantity(float(number), "customer")
    return None
