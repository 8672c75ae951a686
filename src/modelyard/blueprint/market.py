"""The blueprint's `market` section: who could buy, how fast such things spread, who else sells it, and what presses on the trade.

Every entry says who says so and when, or which record of this build shows it. It computes nothing; `modelyard.business.sizing` and
`modelyard.business.comparing` do. Amounts are in `business.currency`.

>>> Segment(name="shops", customers=1000, spend=120, serviceable=0.5, obtainable=0.1, source="a census", date="2026-01-31").customers.likely
1000.0
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from modelyard.blueprint.ranges import Assumed, Range
from modelyard.blueprint.sourced import Claim, Day, Name, Text, distinct, rests
from modelyard.frozen import Frozen
from modelyard.units import Seconds

MONTHLY = "month"
"""What a price may be of besides a unit of sale: a customer's month."""


class Segment(Frozen):
    """Customers who are alike: how many there are, what each spends, and the shares that can be served and won."""

    name: Name
    """What they are called."""
    customers: Annotated[Range, Assumed("customer", "low")]
    """How many there are."""
    spend: Annotated[Range, Assumed("{currency}/customer/year", "low")]
    """What one of them spends a year on what this replaces."""
    serviceable: Annotated[Range, Assumed("", "low", high=1)]
    """Share of them that the offer fits: language, region, size, law."""
    obtainable: Annotated[Range, Assumed("", "low", high=1)]
    """Share of the serviceable ones that can be won within the plan."""
    source: Text
    """Who says so, where a number does not name its own source."""
    date: Day
    """When."""


class Adoption(Frozen):
    """How something new spreads (Bass 1969): by itself, and by those who have it."""

    innovation: Annotated[Range, Assumed("1/year", "low", above=0, high=1)]
    """Share a year of those without it who take it up by themselves (p)."""
    imitation: Annotated[Range, Assumed("1/year", "low", high=2)]
    """What those who have it add to that share, were they everybody (q)."""
    elapsed: Annotated[Range, Assumed("year", "low")] = Range(low=0, likely=0, high=0)
    """Years since the first of its kind was sold, when month 1 of the plan begins."""
    source: Text
    """Who says so: of what the coefficients were fitted."""
    date: Day
    """When."""


class Feature(Frozen):
    """Something that customers compare."""

    name: Name
    """What it is called; competitors name it in `features`."""
    ours: bool
    """Whether the service has it."""
    source: Text | None = None
    """Who says so of ours."""
    date: Day | None = None
    """When."""
    record: str | None = None
    """The place in this build's records that shows ours, in the place of a source."""

    @model_validator(mode="after")
    def _shown(self) -> Feature:
        rests(self.source, self.date, self.record)
        return self


class Competitor(Frozen):
    """Who else sells it, or what people do instead."""

    name: Name
    """What it is called."""
    price: Annotated[Range, Assumed("{currency}", "depends")] | None = None
    """Its price, of what `market.price_of` says."""
    quality: Range | None = None
    """Its quality, in the metric that `market.quality` names, on data like ours."""
    p95: Seconds | None = None
    """The time within which 95 of 100 requests are answered, one after the other."""
    features: tuple[str, ...] = ()
    """Which of `market.features` it has."""
    source: Text
    """Who says so, where a number does not name its own source."""
    date: Day
    """When."""

    @model_validator(mode="after")
    def _compared(self) -> Competitor:
        if self.price is None and self.quality is None and self.p95 is None and not self.features:
            raise ValueError("says nothing to compare: give price, quality, p95 or features")
        if self.p95 is not None and not self.p95.value > 0:
            raise ValueError(f"p95 must be more than 0 s (got {self.p95})")
        return self


class Force(Frozen):
    """How strongly something presses on everybody's earnings in this trade."""

    strength: int = Field(ge=1, le=5)
    """From 1, hardly, to 5, it decides."""
    why: Text
    """What makes it so."""
    source: Text | None = None
    """Who says so."""
    date: Day | None = None
    """When."""
    record: str | None = None
    """The place in this build's records that shows it, in the place of a source."""

    @model_validator(mode="after")
    def _shown(self) -> Force:
        rests(self.source, self.date, self.record)
        return self


class Forces(Frozen):
    """The five forces (Porter, Harvard Business Review, March 1979)."""

    rivalry: Force
    """How hard those fight who sell it already."""
    entrants: Force
    """How easily others begin to sell it."""
    substitutes: Force
    """How well something else does the same."""
    buyers: Force
    """How much customers can press the price."""
    suppliers: Force
    """How much those can press who sell us machines, data and models."""


class Swot(Frozen):
    """What helps and harms, inside and outside."""

    strengths: tuple[Claim, ...] = ()
    """Inside, and helps."""
    weaknesses: tuple[Claim, ...] = ()
    """Inside, and harms."""
    opportunities: tuple[Claim, ...] = ()
    """Outside, and helps."""
    threats: tuple[Claim, ...] = ()
    """Outside, and harms."""


class Market(Frozen):
    """Who could buy, how fast, and what else they could buy. Every entry names its source, or the record that shows it."""

    segments: tuple[Segment, ...] = ()
    """The market from the segments up: customers, spend, serviceable and obtainable shares."""
    adoption: Adoption | None = None
    """How fast such a thing spreads; with it the obtainable customers bound the plan month by month."""
    price_of: str = MONTHLY
    """What prices are of: `month`, a customer's month; or a unit of sale (`request`, `image`: a thousand; tokens: a million)."""
    quality: str | None = None
    """Metric in which qualities are compared; the metric that models are chosen by where it is left out."""
    features: tuple[Feature, ...] = ()
    """What customers compare besides price, quality and speed."""
    competitors: tuple[Competitor, ...] = ()
    """Who else sells it; our own row is measured."""
    forces: Forces | None = None
    """The five forces on the trade."""
    swot: Swot | None = None
    """Strengths, weaknesses, opportunities and threats."""

    @field_validator("segments")
    @classmethod
    def _segments(cls, given: tuple[Segment, ...]) -> tuple[Segment, ...]:
        distinct(tuple(one.name for one in given), "segments")
        return given

    @field_validator("features")
    @classmethod
    def _features(cls, given: tuple[Feature, ...]) -> tuple[Feature, ...]:
        distinct(tuple(one.name for one in given), "features")
        return given

    @field_validator("competitors")
    @classmethod
    def _competitors(cls, given: tuple[Competitor, ...]) -> tuple[Competitor, ...]:
        distinct(tuple(one.name for one in given), "competitors")
        return given
