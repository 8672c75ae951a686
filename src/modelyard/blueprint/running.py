"""How a service runs and what it is weighed against: the shape of a week's demand, somebody's API to buy instead, what people said of prices."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from modelyard.blueprint.sourced import Day, Name, Text
from modelyard.frozen import Frozen

OFFICE = (
    0.3, 0.2, 0.2, 0.2, 0.2, 0.3, 0.5, 0.9, 1.4, 1.8, 1.9, 1.8, 1.6, 1.8, 1.9, 1.8, 1.7, 1.5, 1.2, 1.0, 0.8, 0.7, 0.5, 0.4,
)  # fmt: skip
"""An assumption of ours: hours of a working day of people in one time zone, relative to each other."""
WORKDAYS = (1.2, 1.25, 1.25, 1.2, 1.1, 0.5, 0.5)
"""The same of a week, Monday first."""
Share = Annotated[float, Field(ge=0)]


class Week(Frozen):
    """When customers send their requests. Only proportions count; our own are those of office work in one time zone."""

    hours: tuple[Share, ...] = Field(OFFICE, min_length=24, max_length=24)
    """Demand of the 24 hours of a day, the first after midnight."""
    days: tuple[Share, ...] = Field(WORKDAYS, min_length=7, max_length=7)
    """Demand of the seven days, Monday first."""
    headroom: float = Field(0.25, ge=0, lt=1)
    """Share of a machine that is kept free for the bursts within an hour."""

    @field_validator("hours", "days", mode="before")
    @classmethod
    def _listed(cls, given: object) -> object:
        return tuple(given) if isinstance(given, list) else given  # a file's list is strict about being a tuple

    @field_validator("hours", "days")
    @classmethod
    def _some(cls, given: tuple[float, ...]) -> tuple[float, ...]:
        if not any(given):
            raise ValueError("must be above 0 somewhere: nobody would ever send a request")
        return given


class Alternative(Frozen):
    """Somebody's API that could answer instead of own machines."""

    name: Name
    """Whose, and which."""
    price: float = Field(gt=0)
    """What a million tokens cost, or a thousand of any other unit, in `currency`."""
    unit: str = "request"
    """What the price is for: `request`, `input token`, `image`…"""
    per_request: float | None = Field(None, gt=0)
    """How many of the unit a request takes there; null: as many as here, as measured."""
    source: Text
    """Who says so."""
    date: Day
    """When it was read."""


class Survey(Frozen):
    """What people said they would pay a month: a CSV file with a row a person.

    Columns `too_cheap`, `cheap`, `expensive` and `too_expensive` are van Westendorp's four prices; `highest` is the highest of `prices`
    at which the person would buy, 0 for none (Gabor and Granger). Either is enough.
    """

    file: str = Field(min_length=1)
    """The file, from the blueprint's folder."""
    prices: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Prices that were asked, rising; needed with the column `highest`."""
    source: Text
    """Who was asked, by whom."""
    date: Day
    """When."""

    @field_validator("prices", mode="before")
    @classmethod
    def _listed(cls, given: object) -> object:
        return tuple(given) if isinstance(given, list) else given

    @field_validator("prices")
    @classmethod
    def _rising(cls, given: tuple[float, ...]) -> tuple[float, ...]:
        if list(given) != sorted(set(given)):
            raise ValueError(f"must rise (got {', '.join(f'{price:g}' for price in given)})")
        return given
