"""Plans: by hand, and laws."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.errors import UnitError
from modelyard.units import Quantity, quantity
from tests.business.plans_oracle import Offer, Serving, answered, blend, overage_floor, price_floor, revenue, value

AMOUNT = "USD/customer/month"
VOLUME = "request/customer/month"


def offer(
    price: float = 29,
    included: float | None = 1000,
    overage: float | None = 0.001,
    usage: float = 3000,
    share: float = 1,
) -> Offer:
    return Offer(
        name="starter",
        price=quantity(price, AMOUNT),
        included=None if included is None else quantity(included, VOLUME),
        overage=None if overage is None else quantity(overage, "USD/request"),
        share=share,
        usage=quantity(usage, VOLUME),
    )


def serving(request: float = 0.0001, share: float = 0.03, fixed: float = 0.3, support: float = 4) -> Serving:
    return Serving(quantity(request, "USD/request"), share, quantity(fixed, AMOUNT), quantity(support, AMOUNT))


def test_by_hand() -> None:
    """29 + 2,000 x 0.001 = 31; machines 0.3, fees 0.93 + 0.3, support 4: 5.53, margin 0.8216."""
    result = value(offer(), serving())
    assert result.revenue.to(AMOUNT) == pytest.approx(31)
    assert result.cost.to(AMOUNT) == pytest.approx(5.53)
    assert result.margin is not None and result.margin.to("") == pytest.approx(25.47 / 31)


def test_without_overage_the_rest_is_refused() -> None:
    capped = offer(overage=None)
    assert answered(capped).to(VOLUME) == 1000
    assert revenue(capped).to(AMOUNT) == 29
    assert answered(offer(included=None, overage=None, usage=5000)).to(VOLUME) == 5000


def test_a_free_plan_has_no_margin_and_no_fee() -> None:
    free = value(offer(price=0, overage=None), serving())
    assert free.margin is None
    assert free.payment.value == 0
    assert free.cost.to(AMOUNT) == pytest.approx(4 + 0.1)


def test_a_price_in_another_currency_or_unit_is_refused() -> None:
    euro = Offer("x", quantity(29, "EUR/customer/month"), None, None, 1.0, quantity(10, VOLUME))
    with pytest.raises(UnitError, match="the price of the plan 'x'"):
        value(euro, serving())
    tokens = Offer("x", quantity(29, AMOUNT), None, None, 1.0, quantity(10, "token/customer/month"))
    with pytest.raises(UnitError):
        _ = value(tokens, serving()).cost


def test_the_blend_weighs_by_share() -> None:
    offers = (
        offer(price=10, overage=None, usage=100, share=0.75),
        offer(price=50, overage=None, usage=500, share=0.25),
    )
    mean = blend(offers, serving())
    assert mean.revenue.to(AMOUNT) == pytest.approx(20)
    assert mean.usage.to(VOLUME) == pytest.approx(200)


amounts, volumes = st.floats(0.01, 1e4), st.floats(0, 1e7)


@settings(deadline=None, max_examples=40)
@given(price=amounts, more=st.floats(0, 1e4), usage=volumes, included=volumes)
def test_a_higher_price_never_lowers_the_margin(price: float, more: float, usage: float, included: float) -> None:
    low = value(offer(price=price, included=included, usage=usage), serving()).margin
    high = value(offer(price=price + more, included=included, usage=usage), serving()).margin
    assert low is not None and high is not None
    assert high.value >= low.value - 1e-9


@settings(deadline=None, max_examples=40)
@given(price=amounts, usage=volumes, dearer=st.floats(1, 100))
def test_a_dearer_machine_never_raises_the_margin(price: float, usage: float, dearer: float) -> None:
    cheap, dear = (
        value(offer(price=price, usage=usage), serving()),
        value(offer(price=price, usage=usage), serving(0.0001 * dearer)),
    )
    assert cheap.margin is not None and dear.margin is not None
    assert dear.margin.value <= cheap.margin.value + 1e-9


@settings(deadline=None, max_examples=40)
@given(usage=volumes, included=volumes, margin=st.floats(0, 0.9))
def test_the_price_floor_keeps_the_margin(usage: float, included: float, margin: float) -> None:
    given_offer = offer(included=included, usage=usage)
    floor = price_floor(given_offer, serving(), margin=margin)
    assert floor is not None
    at_floor = value(offer(price=floor.to(AMOUNT), included=included, usage=usage), serving())
    assert at_floor.margin is not None
    assert at_floor.margin.value >= margin - 1e-6
    if floor.value > 0:
        assert at_floor.margin.value == pytest.approx(margin, abs=1e-6)


def test_overage_floor_by_hand_and_impossible_margins() -> None:
    floor = overage_floor(serving(), margin=0.47)
    assert isinstance(floor, Quantity) and floor.to("USD/request") == pytest.approx(0.0002)
    assert overage_floor(serving(), margin=0.98) is None
    assert price_floor(offer(), serving(), margin=0.98) is None
