"""What a company does besides selling: whom it hires, whose money it takes, where it finds customers, and what may happen to it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from modelyard.blueprint.ranges import Assumed, Range
from modelyard.frozen import Frozen


class Hire(Frozen):
    """Somebody who joins later; those who are there from the first day are in `people`."""

    role: str = Field(min_length=1, max_length=60)
    """What they do."""
    month: int = Field(ge=1, le=120)
    """The first month that is paid."""
    cost: Annotated[Range, Assumed("{currency}/month", "high")]
    """Salary with all that comes on top, a month."""


class Round(Frozen):
    """A funding round: money for a share of the company."""

    name: str = Field(min_length=1, max_length=60)
    """What it is called: seed, series A."""
    month: int = Field(ge=1, le=120)
    """The month in which the money comes."""
    raised: float = Field(gt=0)
    """Money raised, in `currency`."""
    pre_money: float = Field(gt=0)
    """What the company is worth before it, in `currency`."""
    pool: float = Field(0.0, ge=0, lt=1)
    """Share of the company kept for staff afterwards; it dilutes those who were there."""

    @model_validator(mode="after")
    def _leaves(self) -> Round:
        sold = self.raised / (self.pre_money + self.raised)
        if self.pool >= 1 - sold:
            raise ValueError(f"sells {sold:.0%} and keeps a pool of {self.pool:.0%}: nothing is left to who was there")
        return self


class Channel(Frozen):
    """A way to customers."""

    name: str = Field(min_length=1, max_length=60)
    """What it is called: search, partners, events."""
    share: float = Field(ge=0, le=1)
    """Share of new customers that come this way; those of all channels sum to 1."""
    cac: Annotated[Range, Assumed("{currency}/customer", "high")]
    """Cost of winning one customer this way."""


class Correlation(Frozen):
    """Two uncertain numbers that go up and down together, or against each other."""

    between: tuple[str, str]
    """Their keys in this section: `[churn, growth]`, `[cac, plans.starter.usage]`."""
    rank: float = Field(gt=-1, lt=1)
    """Spearman's rank correlation, between -1 and 1."""

    @field_validator("between", mode="before")
    @classmethod
    def _pair(cls, given: object) -> object:
        return tuple(given) if isinstance(given, list) else given  # a file's list is strict about being a tuple

    @model_validator(mode="after")
    def _two(self) -> Correlation:
        if self.between[0] == self.between[1]:
            raise ValueError(f"must be between two different numbers (got {self.between[0]} twice)")
        return self


class Stress(Frozen):
    """Something that may happen, all else being likely."""

    name: str = Field(min_length=1, max_length=60)
    """What it is called: price war."""
    factors: dict[str, Annotated[float, Field(ge=0)]] = {}
    """Numbers of this section and what they are multiplied by; `prices` and `machine_price` stand for all of them."""
    leaving: float = Field(0.0, ge=0, le=1)
    """Share of the revenue that leaves at once, as where one customer is large."""
    month: int = Field(12, ge=1, le=120)
    """When they leave."""

    @model_validator(mode="after")
    def _something(self) -> Stress:
        if not self.factors and not self.leaving:
            raise ValueError("changes nothing: give factors, or leaving")
        return self
