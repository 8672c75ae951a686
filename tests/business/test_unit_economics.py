"""LTV, CAC, payback and break-even against published examples and brute force."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.business.unit_economics import break_even_customers, lifetime, ltv, ltv_to_cac, payback
from modelyard.errors import UnitError
from modelyard.units import quantity


@pytest.mark.parametrize(
    ("amount", "margin", "churn", "cac", "worth", "ratio", "months"),
    [
        (500, 0.75, 0.025, 6000, 15000, 2.5, 16),  # "LTV to CAC vs magic number" (mhq-gatsby.pages.dev)
        (120, 0.80, 0.03, 700, 3200, 4.571, 7.29),  # "recover in about 7 months, earn it back 4-5x" (hailports.com)
        (100, 0.80, 0.03, 1200, 2666.67, 2.222, 15),  # deabaco.com, module 1.4
    ],
)
def test_published_examples(
    amount: float, margin: float, churn: float, cac: float, worth: float, ratio: float, months: float
) -> None:
    """Skok's formulas: LTV = ARPA x GM ÷ churn; LTV:CAC; months to recover CAC = CAC ÷ (ARPA x GM)."""
    each, left, cost = quantity(amount, "USD/customer/month"), quantity(churn, "1/month"), quantity(cac, "USD/customer")
    found = ltv(each, margin, left)
    assert found is not None and found.to("USD/customer") == pytest.approx(worth, rel=1e-4)
    share = ltv_to_cac(found, cost)
    assert share is not None and share.to("") == pytest.approx(ratio, rel=1e-3)
    back = payback(cost, each, margin)
    assert back is not None and back.to("month") == pytest.approx(months, rel=1e-3)


def test_skok_halving_churn_doubles_the_value() -> None:
    each = quantity("65 USD/customer/month")
    one, half = ltv(each, 0.8, quantity("0.04 1/month")), ltv(each, 0.8, quantity("0.02 1/month"))
    assert one is not None and half is not None
    assert half.value == pytest.approx(2 * one.value)


def test_skok_three_percent_churn_is_a_lifetime_of_33_months() -> None:
    months = lifetime(quantity("0.03 1/month"))
    assert months is not None and months.to("month") == pytest.approx(33.3, abs=0.1)
    assert lifetime(quantity("0 1/month")) is None


def test_a_yearly_churn_is_no_monthly_churn() -> None:
    yearly = quantity("0.3 1/year")
    assert yearly.to("1/month") == pytest.approx(0.025)
    with pytest.raises(UnitError, match="churn must be in '1/month'"):
        ltv(quantity("65 USD/customer/month"), 0.8, quantity("0.04"))
    with pytest.raises(UnitError):
        ltv_to_cac(quantity("100 USD/customer"), quantity("30 EUR/customer"))


def test_nothing_to_earn() -> None:
    assert payback(quantity("100 USD/customer"), quantity("50 USD/customer/month"), -0.1) is None
    assert ltv(quantity("50 USD/customer/month"), 0.8, quantity("0 1/month")) is None
    assert ltv_to_cac(quantity("50 USD/customer"), quantity("0 USD/customer")) is None


def solve(contribution: float, fixed: float, machine: float, per_machine: float, minimum: int) -> float | None:
    found = break_even_customers(
        quantity(contribution, "USD/customer/month"),
        quantity(fixed, "USD/month"),
        quantity(machine, "USD/month"),
        per_machine=quantity(per_machine, "customer"),
        minimum=minimum,
    )
    return None if found is None else found.to("customer")


def test_break_even_by_hand() -> None:
    """Textbook: fixed 10,000 ÷ (price 50 - variable 10) = 250 customers."""
    assert solve(40, 10_000, 0, 1e9, 0) == 250
    assert solve(40, 9_980, 10, 1e9, 2) == 250  # 2 machines at 10
    assert solve(40, 9_980, 10, 100, 2) == 251  # a third at 250 customers: 10,010 ÷ 40 = 250.25
    assert solve(-1, 100, 10, 100, 2) is None
    assert solve(1, 100, 200, 100, 1) is None  # a full machine brings 100 and costs 200
    assert solve(1, 50, 40, 100, 1) == 90


@settings(deadline=None)
@given(
    contribution=st.integers(1, 60),
    fixed=st.integers(0, 3000),
    machine=st.integers(0, 300),
    per_machine=st.floats(1, 60),
    minimum=st.integers(1, 4),
)
def test_break_even_is_what_counting_finds(
    contribution: int, fixed: int, machine: int, per_machine: float, minimum: int
) -> None:
    def covered(count: int) -> bool:
        machines = max(minimum, math.ceil(count / per_machine - 1e-9))
        return count * contribution >= fixed + machines * machine - 1e-9

    counted = next((count for count in range(4001) if covered(count)), None)
    found = solve(contribution, fixed, machine, per_machine, minimum)
    if counted is not None:
        assert found == counted
    else:
        assert found is None or found > 4000
