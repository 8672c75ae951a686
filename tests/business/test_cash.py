"""The cash table: three months by hand, closed forms, and laws."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.errors import UnitError
from modelyard.units import quantity
from tests.business.cash_oracle import Plan, simulate
from tests.business.plans_oracle import Result

EACH = "USD/customer/month"


def plan(**changes: object) -> Plan:
    """10 join, 10 % more each month, half of all leave; 10 USD a customer, fee 1, support 2; machines 50 each."""
    base = Plan(
        currency="USD",
        months=3,
        customer=Result(
            usage=quantity("1000 request/customer/month"),
            revenue=quantity(10, EACH),
            machine=quantity(0, EACH),
            payment=quantity(1, EACH),
            support=quantity(2, EACH),
        ),
        churn=quantity("0.5 1/month"),
        cac=quantity("4 USD/customer"),
        starting_customers=quantity("20 customer"),
        new_customers=quantity("10 customer/month"),
        growth=0.1,
        fixed=quantity("30 USD/month"),
        capacity=quantity(9000 / (730 * 3600), "request/s"),  # 9 customers a machine
        machine=quantity("50 USD/month"),
        minimum=2,
        starting_cash=quantity("1000 USD"),
        build=quantity("100 USD"),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_three_months_by_hand() -> None:
    """
    month   lost   new    customers  machines  revenue  fees  support  CAC    fixed  machines  net      cash
    0                     20                                                                            900
    1       10     10     20         3         200      20    40       40     30     150       -80      820
    2       10     11     21         3         210      21    42       44     30     150       -77      743
    3       10.5   12.1   22.6       3         226      22.6  45.2     48.4   30     150       -70.2    672.8
    """
    table = simulate(plan())
    found = table.columns
    assert found["lost_customers"] == pytest.approx([10, 10, 10.5])
    assert found["new_customers"] == pytest.approx([10, 11, 12.1])
    assert found["customers"] == pytest.approx([20, 21, 22.6])
    assert found["machines"] == (3, 3, 3)
    assert found["revenue"] == pytest.approx([200, 210, 226])
    assert found["payment_cost"] == pytest.approx([20, 21, 22.6])
    assert found["support_cost"] == pytest.approx([40, 42, 45.2])
    assert found["acquisition_cost"] == pytest.approx([40, 44, 48.4])
    assert found["net"] == pytest.approx([-80, -77, -70.2])
    assert found["cash"] == pytest.approx([820, 743, 672.8])
    assert table.opening.to("USD") == 900
    assert (table.break_even, table.repaid, table.lowest_month, table.runway) == (None, None, 3, None)
    assert table.lowest.to("USD") == pytest.approx(672.8)


def test_runway_and_break_even() -> None:
    broke = simulate(plan(starting_cash=quantity("250 USD")))  # 150, 70, -7, -77.2
    assert broke.runway == 1
    assert simulate(plan(starting_cash=quantity("99 USD"))).runway == 0
    rich = simulate(
        plan(cac=quantity("0 USD/customer"), fixed=quantity("0 USD/month"), capacity=quantity("1 request/s"), months=9)
    )
    assert rich.break_even == 1  # 140 of 20 customers less two machines
    assert rich.repaid == 3 and rich.lowest_month == 0
    assert simulate(plan(months=3, new_customers=quantity("0 customer/month"))).columns["customers"] == (10, 5, 2.5)


def test_break_even_counts_from_the_last_loss() -> None:
    """A loss after a gain, when a machine is added, must not read as break-even."""
    steady = plan(
        months=11, growth=0.0, churn=quantity("0 1/month"), starting_customers=quantity("7 customer"),
        new_customers=quantity("1 customer/month"), cac=quantity("0 USD/customer"), fixed=quantity("0 USD/month"), minimum=1,
    )  # fmt: skip
    table = simulate(steady)  # the tenth customer needs a second machine
    assert table.columns["net"] == pytest.approx([6, 13, -30, -23, -16, -9, -2, 5, 12, 19, 26])
    assert table.break_even == 8


rates_, small = st.floats(0, 1), st.floats(0, 500)


@settings(deadline=None, max_examples=40)
@given(churn=rates_, joining=st.floats(0, 1000), months=st.integers(1, 48))
def test_constant_growth_has_a_closed_form(churn: float, joining: float, months: int) -> None:
    """n x (1 - (1 - c)^m) ÷ c customers after m months (a geometric sum)."""
    found = simulate(
        plan(
            churn=quantity(churn, "1/month"), new_customers=quantity(joining, "customer/month"), growth=0.0,
            starting_customers=quantity("0 customer"), months=months,
        )
    )  # fmt: skip
    expected = joining * months if churn < 1e-9 else joining * (1 - (1 - churn) ** months) / churn
    assert found.columns["customers"][-1] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(churn=rates_, growth=st.floats(-0.5, 0.5), fixed=small, cac=small)
def test_cash_is_conserved(churn: float, growth: float, fixed: float, cac: float) -> None:
    found = simulate(
        plan(
            churn=quantity(churn, "1/month"),
            growth=growth,
            fixed=quantity(fixed, "USD/month"),
            cac=quantity(cac, "USD/customer"),
            months=24,
        )
    )
    assert found.columns["cash"][-1] == pytest.approx(900 + sum(found.columns["net"]), rel=1e-9, abs=1e-6)
    assert found.lowest.value <= min(found.columns["cash"]) + 1e-9
    assert min(found.columns["customers"]) >= -1e-9


@settings(deadline=None, max_examples=40)
@given(price=st.floats(0, 100), more=st.floats(0, 100), churn=rates_)
def test_a_higher_price_never_lowers_cash(price: float, more: float, churn: float) -> None:
    def cash(amount: float) -> tuple[float, ...]:
        each = replace(plan().customer, revenue=quantity(amount, EACH))
        return simulate(plan(customer=each, churn=quantity(churn, "1/month"), months=12)).columns["cash"]

    assert all(high >= low - 1e-6 for low, high in zip(cash(price), cash(price + more), strict=True))


@pytest.mark.parametrize(
    "change",
    [
        {"churn": quantity("0.04")},
        {"cac": quantity("4 EUR/customer")},
        {"fixed": quantity("30 USD")},
        {"machine": quantity("50 EUR/month")},
        {"starting_cash": quantity("1000 EUR")},
        {"customer": replace(plan().customer, usage=quantity("1000 token/customer/month"))},
        {"capacity": quantity("9000 token/s")},
    ],
)
def test_wrong_units_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(UnitError):
        simulate(plan(**change))
