"""What customers can buy: the plans of a blueprint's `business` section, and ours where it has none."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from modelyard.blueprint.ranges import ASSUMED_ON, OURS, Assumed, Range
from modelyard.frozen import Frozen


class Plan(Frozen):
    """What a customer can buy."""

    name: str = Field(min_length=1, max_length=60)
    """Name of the plan, for customers."""
    price: float = Field(ge=0)
    """Price a month, in `currency`."""
    included: float | None = Field(None, ge=0)
    """Requests a month that the price includes; null: no limit."""
    overage: float | None = Field(None, ge=0)
    """Price of one more request; null: requests beyond the included volume are refused."""
    prices: dict[str, Annotated[float, Field(ge=0)]] = {}
    """What use costs besides, by unit of sale: a million tokens (`input token`, `output token`), a thousand of any other (`image`, `request`)."""
    quota: Literal["hard", "soft"] | None = None
    """Beyond the included volume, `hard` refuses and `soft` answers at the overage price; null: soft where there is an overage price."""
    limits: dict[str, Annotated[int, Field(ge=0)]] = {}
    """Units of sale a month, at most (`request`, `output token`): a request that could go beyond is refused."""
    rate_limit: float | None = Field(None, gt=0)
    """Requests a second of one customer, over time; null: no limit."""
    burst: int | None = Field(None, ge=1)
    """Requests at once before `rate_limit` refuses; null: ten seconds' worth."""
    trial_days: int = Field(0, ge=0, le=366)
    """First days for which the monthly price is not charged; use beyond the included volume is."""
    batch_discount: float = Field(0.0, ge=0, le=1)
    """Share taken off what use costs in batch jobs: 0.5 is half the price."""
    share: float = Field(ge=0, le=1)
    """Share of all customers on this plan; the shares of all plans sum to 1."""
    usage: Annotated[Range, Assumed("request/customer/month", "depends")]
    """Requests that a customer of this plan sends a month, on average."""
    usage_spread: float = Field(0.0, ge=0, le=5)
    """How much these customers differ: standard deviation of their usage over its mean (lognormal). Who sends more pays for it, who sends less does not get it back."""
    source: str = "the blueprint"
    """Who decided or assumed the price and the share."""

    @model_validator(mode="after")
    def _sold(self) -> Plan:
        if self.included is None and self.overage is not None:
            raise ValueError("an overage price needs an included volume: give included, or leave overage out")
        if self.included == 0 and self.overage is None:
            raise ValueError("includes no requests and sells none: give included or an overage price")
        if self.quota == "hard" and self.overage is not None:
            raise ValueError("a hard quota sells nothing beyond the included volume: leave overage or quota out")
        if self.quota == "soft" and self.overage is None:
            raise ValueError(
                "a soft quota needs an overage price (0: nothing is charged): give overage, or quota: hard"
            )
        if self.burst is not None and self.rate_limit is None:
            raise ValueError("a burst needs a rate: give rate_limit, or leave burst out")
        return self


def default_plans() -> tuple[Plan, ...]:
    def usage(low: float, likely: float, high: float) -> Range:
        return Range(low=low, likely=likely, high=high, source=OURS, date=ASSUMED_ON)

    return (
        Plan(
            name="starter",
            price=29,
            included=50_000,
            overage=0.0008,
            share=0.70,
            usage=usage(10_000, 30_000, 60_000),
            source=OURS,
        ),
        Plan(
            name="growth",
            price=99,
            included=250_000,
            overage=0.0005,
            share=0.25,
            usage=usage(100_000, 200_000, 350_000),
            source=OURS,
        ),
        Plan(
            name="scale",
            price=399,
            included=1_500_000,
            overage=0.0003,
            share=0.05,
            usage=usage(600_000, 1_200_000, 2_000_000),
            source=OURS,
        ),
    )


def in_currency(plan: Plan, rate: float) -> dict[str, object]:
    """A plan of ours at so much of the currency for a USD."""
    overage = None if plan.overage is None else plan.overage * rate
    source = f"{plan.source}; from USD at {rate:g}"
    return {**plan.model_dump(), "price": plan.price * rate, "overage": overage, "source": source}
