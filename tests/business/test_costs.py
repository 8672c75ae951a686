"""Costs against published and hand-worked figures, and the laws they obey."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.business import rates
from modelyard.business.costs import MONTH, carbon_per_unit, cost_per_unit, embodied, payment_fee, power, replicas
from modelyard.errors import UnitError
from modelyard.units import Quantity, quantity

RATES = st.floats(0.01, 1e5)


@pytest.mark.parametrize(
    ("price", "rate", "thousand"),
    [  # the reference's worked table: one H200 at 3.50 USD/h, all busy, USD for 1,000 requests
        ("3.50 USD/h", 218, 0.0045),
        ("3.50 USD/h", 17.7, 0.055),
        ("3.50 USD/h", 2.91, 0.334),
        ("0.0496 USD/h", 300, 0.0000459),
    ],
)
def test_published_costs(price: str, rate: float, thousand: float) -> None:
    each = cost_per_unit(quantity(price), quantity(rate, "request/s"), utilisation=1.0)
    assert each.to("USD/request") * 1000 == pytest.approx(thousand, rel=0.02)


def test_half_used_costs_twice() -> None:
    full = cost_per_unit(quantity("0.36 USD/h"), quantity("50 request/s"), utilisation=1.0)
    half = cost_per_unit(quantity("0.36 USD/h"), quantity("50 request/s"), utilisation=0.5)
    assert full.to("USD/request") == pytest.approx(2e-6)
    assert half.value == pytest.approx(2 * full.value)


def test_cost_per_token_is_no_cost_per_request() -> None:
    price, tokens = quantity("3.50 USD/h"), quantity("20000 token/s")
    with pytest.raises(UnitError, match="sustained rate must be in 'request/s', got 'token/s'"):
        cost_per_unit(price, tokens, utilisation=1.0)
    per_token = cost_per_unit(price, tokens, utilisation=1.0, unit="token")
    per_request = cost_per_unit(price, quantity("10 request/s"), utilisation=1.0)
    assert per_token.unit == "USD/token"
    with pytest.raises(UnitError):
        per_token + per_request
    with pytest.raises(UnitError):
        per_token * quantity("1000 request/month") + quantity("1 USD/month")


def test_price_must_be_an_amount_a_time() -> None:
    with pytest.raises(UnitError, match="an amount a second"):
        cost_per_unit(quantity("73 USD/month"), quantity("10 request/s"), utilisation=1.0)


@settings(deadline=None, max_examples=40)
@given(rate=RATES, more=st.floats(1.0, 100.0), utilisation=st.floats(0.01, 1.0))
def test_a_faster_machine_costs_no_more(rate: float, more: float, utilisation: float) -> None:
    slow = cost_per_unit(quantity("0.1 USD/h"), quantity(rate, "request/s"), utilisation=utilisation)
    fast = cost_per_unit(quantity("0.1 USD/h"), quantity(rate * more, "request/s"), utilisation=utilisation)
    assert fast <= slow


def test_replicas_by_hand() -> None:
    capacity = quantity("40 request/s")
    assert [replicas(quantity(f"{demand} request/s"), capacity, minimum=2) for demand in (0, 80, 80.1, 400)] == [
        2,
        2,
        3,
        10,
    ]
    with pytest.raises(UnitError):
        replicas(quantity("40 token/s"), capacity, minimum=1)
    with pytest.raises(ValueError, match="no capacity"):
        replicas(capacity, quantity("0 request/s"), minimum=1)


@settings(deadline=None, max_examples=40)
@given(demand=st.floats(0, 1e6), capacity=st.floats(0.1, 1e4))
def test_replicas_are_enough_and_no_more(demand: float, capacity: float) -> None:
    count = replicas(quantity(demand, "request/s"), quantity(capacity, "request/s"), minimum=1)
    assert count * capacity >= demand * (1 - 1e-9) - 1e-6
    assert count == 1 or (count - 1) * capacity < demand


def test_stripes_worked_example() -> None:
    """2.9 % + 0.30 USD of 100 USD leaves 96.80 (calcmastery.com, paymentgods.com)."""
    fee = payment_fee(quantity("100 USD"), share=0.029, fixed=quantity("0.30 USD"))
    assert fee.to("USD") == pytest.approx(3.20)
    assert payment_fee(quantity("0 USD"), share=0.029, fixed=quantity("0.30 USD")).value == 0
    with pytest.raises(UnitError):
        payment_fee(quantity("100 EUR"), share=0.029, fixed=quantity("0.30 USD"))


def test_scis_embodied_example() -> None:
    """SCI v1.1.0: 1,000 kg over 4 years, reserved for one hour, are about 28 g."""
    server = rates.server().model_copy(update={"host_cores": 2})
    each = embodied(rates.machine("aws-m7i-large"), server)
    assert each.to("gCO2e/h") == pytest.approx(28.5, abs=0.5)


def test_carbon_by_hand() -> None:
    """10 W for an hour at 400 g/kWh are 4 g; with 1 g embodied, over 1,000 requests: 0.005 g each."""
    energy, intensity, made = quantity("10 W"), quantity("400 gCO2e/kWh"), quantity("1 gCO2e/h")
    each = carbon_per_unit(energy, intensity, made, quantity(1000 / 3600, "request/s"))
    assert each.to("gCO2e/request") == pytest.approx(0.005)
    with pytest.raises(UnitError):
        carbon_per_unit(energy, intensity, quantity("1 USD/h"), quantity("1 request/s"))


def test_power_by_hand() -> None:
    """2 cores half busy (0.74 + 0.5 x 2.76 = 2.12 W each) and 8 GiB (3.136 W), times 1.135."""
    watts = power(rates.machine("aws-m7i-large"), rates.server(), utilisation=0.5)
    assert watts.to("W") == pytest.approx((2 * 2.12 + 8 * 0.392) * 1.135)
    assert power(rates.machine("nebius-h100-16vcpu-200gb"), rates.server(), utilisation=0.1).to("W") == pytest.approx(
        843 * 1.135
    )


def test_a_month_has_730_hours() -> None:
    assert (quantity("0.1 USD/h") * MONTH).to("USD/month") == pytest.approx(73.0)
    assert isinstance(MONTH, Quantity)
