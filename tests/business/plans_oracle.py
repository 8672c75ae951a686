"""What a plan earns and costs, for one of its customers and one month. It knows nothing about how many there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modelyard.business.costs import check_unit, payment_fee
from modelyard.units import Quantity


@dataclass(frozen=True, slots=True)
class Serving:
    """What serving one more request, charge and customer costs."""

    request: Quantity
    """Machines and hosting, in currency/request."""
    payment_share: float
    payment_fixed: Quantity
    """In currency/customer/month: one charge a month."""
    support: Quantity
    """In currency/customer/month."""


@dataclass(frozen=True, slots=True)
class Metered:
    """A unit of sale that is charged by use."""

    unit: str
    price: Quantity
    """In currency/lot of the unit (`costs.lot`)."""
    per_request: Quantity
    """In lot/request."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan with one customer's usage: volumes in request/customer/month, amounts in the units of `Serving`."""

    name: str
    price: Quantity
    included: Quantity | None
    overage: Quantity | None
    share: float
    usage: Quantity
    metered: tuple[Metered, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """Revenue and cost of goods sold, in currency/customer/month."""

    usage: Quantity
    revenue: Quantity
    machine: Quantity
    payment: Quantity
    support: Quantity

    @property
    def cost(self) -> Quantity:
        """Cost of goods sold: inference with hosting, payment fees, support."""
        return self.machine + self.payment + self.support

    @property
    def margin(self) -> Quantity | None:
        """(revenue - cost of goods sold) ÷ revenue; None without revenue."""
        return (self.revenue - self.cost) / self.revenue if self.revenue.value > 0 else None


def answered(offer: Offer) -> Quantity:
    """Requests answered: all of them, or the included volume where no more is sold."""
    if offer.included is None or offer.overage is not None:
        return offer.usage
    return offer.usage if offer.usage <= offer.included else offer.included


def beyond(offer: Offer) -> Quantity:
    """Requests beyond the included volume, answered and charged one by one: max(0, usage - included)."""
    none = offer.usage * 0.0
    if offer.included is None or offer.overage is None:
        return none
    extra = offer.usage - offer.included
    return extra if extra.value > 0 else none


def by_use(offer: Offer) -> Quantity:
    """What is charged besides the monthly price: requests beyond the included volume, and units of all that were answered."""
    total = offer.price * 0.0
    if offer.overage is not None:
        total = total + offer.overage * beyond(offer)
    for each in offer.metered:
        total = total + each.price * each.per_request * answered(offer)
    return total


def revenue(offer: Offer) -> Quantity:
    """Price + overage price x requests beyond the included volume + unit prices x units of the requests answered."""
    return offer.price + by_use(offer)


def value(offer: Offer, serving: Serving) -> Result:
    """Revenue and cost of goods sold of one customer's month.

    >>> from modelyard.units import quantity as q
    >>> serving = Serving(q("0.0001 USD/request"), 0.03, q("0.3 USD/customer/month"), q("4 USD/customer/month"))
    >>> included, usage = q("1000 request/customer/month"), q("3000 request/customer/month")
    >>> offer = Offer("starter", q("29 USD/customer/month"), included, q("0.001 USD/request"), 1.0, usage)
    >>> value(offer, serving).revenue, round(value(offer, serving).cost.value, 6)
    (Quantity(value=31.0, unit='USD/customer/month'), 5.53)
    """
    volume, charge = answered(offer), revenue(offer)
    check_unit(charge, serving.support.unit, f"the price of the plan {offer.name!r}")
    fee = payment_fee(charge, share=serving.payment_share, fixed=serving.payment_fixed)
    return Result(usage=volume, revenue=charge, machine=serving.request * volume, payment=fee, support=serving.support)


def price_floor(offer: Offer, serving: Serving, *, margin: float = 0.0) -> Quantity | None:
    """The lowest monthly price at which the plan keeps a gross margin; None where fees and margin leave nothing.

    Solves R - share x R - fixed - machines - support = margin x R for R = price + what is charged by use.
    """
    left = 1 - serving.payment_share - margin
    if left <= 0:
        return None
    needed = (serving.payment_fixed + serving.request * answered(offer) + serving.support) / left
    floor = needed - by_use(offer)
    return floor if floor.value > 0 else needed * 0.0


def overage_floor(serving: Serving, *, margin: float = 0.0) -> Quantity | None:
    """The lowest price of one more request that keeps a gross margin: cost ÷ (1 - payment share - margin)."""
    left = 1 - serving.payment_share - margin
    return serving.request / left if left > 0 else None


def blend(offers: tuple[Offer, ...], serving: Serving) -> Result:
    """The average customer: every part weighted by the plans' shares."""
    results = [(offer.share, value(offer, serving)) for offer in offers]

    def mean(part: Callable[[Result], Quantity]) -> Quantity:
        total = part(results[0][1]) * 0.0
        for share, result in results:
            total = total + part(result) * share
        return total

    return Result(
        usage=mean(lambda result: result.usage),
        revenue=mean(lambda result: result.revenue),
        machine=mean(lambda result: result.machine),
        payment=mean(lambda result: result.payment),
        support=mean(lambda result: result.support),
    )
