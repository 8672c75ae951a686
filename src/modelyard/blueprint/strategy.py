"""The blueprint's `strategy` section: the business model on a page, what is to be done by whom and when, what may go wrong, and where it sells.

An action names the number that shows it done: a place in this build's records, or a line of the venture in the action's last month. It
computes nothing; `modelyard.business.actions`, `risks` and `duties` do. Amounts are in `business.currency`.

>>> Metric(line="customers", at_least=50).line
'customers'
"""

from __future__ import annotations

import tomllib
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from modelyard.blueprint.ranges import Assumed, Range
from modelyard.blueprint.sourced import Day, Name, Text, distinct
from modelyard.errors import nearest
from modelyard.frozen import Frozen
from modelyard.parts import ROOT

Place = Literal["EU", "US", "CN", "UK"]
Area = Literal[
    "none", "credit", "employment", "education", "essential-services", "biometrics", "infrastructure", "law-enforcement", "migration", "justice",
    "safety-component",
]  # fmt: skip
Notes = Annotated[tuple[Text, ...], Field(min_length=1)]


@cache
def duties() -> dict[str, Any]:
    """The table of duties by name, read as a file: names are checked before any stage is imported."""
    return tomllib.loads((ROOT / "business" / "duties.toml").read_text(encoding="utf-8"))


class Canvas(Frozen):
    """The business model in nine blocks (Osterwalder and Pigneur, Business Model Generation, 2010)."""

    partners: Notes
    """Who helps from outside."""
    activities: Notes
    """What must be done well."""
    resources: Notes
    """What is needed: data, people, machines, models."""
    value: Notes
    """What customers get that they lack."""
    relations: Notes
    """How customers are dealt with."""
    channels: Notes
    """How customers are reached."""
    customers: Notes
    """For whom."""
    costs: Notes
    """What costs most."""
    revenue: Notes
    """What customers pay for, and how."""


class Metric(Frozen):
    """The number that shows an action done, and what it must be."""

    record: str | None = None
    """A place in this build's records, such as `evaluate.metrics.f1_macro.value`: read now."""
    line: str | None = None
    """A line of the venture, such as `customers`: read in the action's last month, in the likely scenario."""
    at_least: float | None = None
    """It must not be below this, in the unit of the record or line."""
    at_most: float | None = None
    """It must not be above this."""

    @model_validator(mode="after")
    def _one(self) -> Metric:
        if (self.record is None) == (self.line is None):
            raise ValueError("must be one number: give record or line")
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("must demand one thing: give at_least or at_most")
        return self


class Action(Frozen):
    """Something that somebody does from one day to another."""

    name: Name
    """What is done."""
    owner: Name
    """Who answers for it."""
    start: Day
    """First day."""
    end: Day
    """Last day."""
    budget: Annotated[Range, Assumed("{currency}", "high")] = Range(low=0, likely=0, high=0)
    """Money for the whole action, spent evenly over its months; without the machine time of `builds`."""
    paid_from: Literal["cash", "people", "tools", "acquisition"] = "cash"
    """`cash`: on top of all costs in `business`. The others: a part of that cost, which must suffice."""
    builds: int = Field(0, ge=0, le=100_000)
    """Builds of this blueprint that the action takes, at the machine time that one took."""
    metric: Metric
    """The number that shows it done."""

    @model_validator(mode="after")
    def _forward(self) -> Action:
        if self.end < self.start:
            raise ValueError(f"must end on or after its start (got {self.start} to {self.end})")
        return self


class Milestone(Frozen):
    """A state that is reached by a day."""

    name: Name
    """What is reached."""
    due: Day
    """By when."""
    actions: Annotated[tuple[Action, ...], Field(min_length=1)]
    """What leads there."""

    @model_validator(mode="after")
    def _in_time(self) -> Milestone:
        late = next((one for one in self.actions if one.end > self.due), None)
        if late is not None:
            raise ValueError(
                f"is due on {self.due}, and its action {late.name!r} ends on {late.end}: move one of the two"
            )
        return self


class Goal(Frozen):
    """Where the venture wants to be."""

    name: Name
    """What is wanted."""
    milestones: Annotated[tuple[Milestone, ...], Field(min_length=1)]
    """The states on the way."""


class Risk(Frozen):
    """Something that may go wrong."""

    name: Name
    """What may happen."""
    likelihood: Annotated[Range, Assumed("1/year", "high", high=1)]
    """Chance that it happens within a year, from 0 to 1."""
    impact: Annotated[Range, Assumed("{currency}", "high")]
    """What it costs when it does."""
    trigger: Text
    """The sign that it begins."""
    response: Text
    """What is done then."""
    owner: Name
    """Who watches."""


class Answer(Frozen):
    """How a duty is met, as the founders state it."""

    how: Text
    """What was done."""
    source: Text
    """Where that can be read: a document, a contract, a filing."""
    date: Day
    """When it was done."""


class Selling(Frozen):
    """Where it sells and what it does to people: from this follows which duties apply."""

    markets: Annotated[tuple[Place, ...], Field(min_length=1)]
    """Where customers or the people concerned are."""
    personal_data: bool
    """Whether it processes data of persons."""
    decides: bool
    """Whether it decides, or helps to decide, on what matters to a person: credit, work, housing, schooling, insurance, health."""
    converses: bool = False
    """Whether people talk with it directly."""
    area: Area = "none"
    """The field of use that the EU's AI Act calls high-risk (annex III, or a product's safety component); none where it is in no such field."""
    answers: dict[str, Answer] = {}
    """How duties are met that no record shows, by the duty's name in `duties.toml`."""

    @field_validator("markets")
    @classmethod
    def _once(cls, given: tuple[Place, ...]) -> tuple[Place, ...]:
        if len(set(given)) < len(given):
            raise ValueError(f"names one twice (got {', '.join(given)})")
        return given

    @field_validator("answers")
    @classmethod
    def _known(cls, given: dict[str, Answer]) -> dict[str, Answer]:
        known = list(duties())
        for name in given:
            if name not in known:
                raise ValueError(f"no duty {name!r} in duties.toml.{nearest(name, known)} Allowed: {', '.join(known)}")
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Selling:
        if self.area in ("credit", "employment", "education", "migration", "justice") and not self.decides:
            raise ValueError(f"area {self.area} is about decisions on people: decides must be true")
        return self


class Strategy(Frozen):
    """What is done by whom and when, with what money and machines; what may go wrong; which duties apply where it sells."""

    start: Day
    """First day of month 1 of the plan: the first of a month."""
    canvas: Canvas | None = None
    """The business model on a page."""
    goals: tuple[Goal, ...] = ()
    """Goals, their milestones, and the actions that lead there."""
    machine_hours: Annotated[Range, Assumed("h/month", "low")] | None = None
    """Machine time a month that is there for builds; null: as much as is paid for."""
    risks: tuple[Risk, ...] = ()
    """What may go wrong, what it would cost, and what is done then."""
    selling: Selling | None = None
    """Where it sells, and what follows from that."""

    @field_validator("start")
    @classmethod
    def _first(cls, given: str) -> str:
        if not given.endswith("-01"):
            raise ValueError(f"must be the first day of a month, such as 2027-01-01 (got {given})")
        return given

    @model_validator(mode="after")
    def _together(self) -> Strategy:
        names = tuple(one.name for goal in self.goals for milestone in goal.milestones for one in milestone.actions)
        distinct(tuple(one.name for one in self.goals), "goals")
        distinct(names, "actions")
        distinct(tuple(one.name for one in self.risks), "risks")
        return self


def month_of(day: str, start: str) -> int:
    """The month of the plan that a day lies in; 1 is the one that begins on `start`.

    >>> month_of("2027-03-31", "2027-01-01")
    3
    """
    return (int(day[:4]) - int(start[:4])) * 12 + int(day[5:7]) - int(start[5:7]) + 1
