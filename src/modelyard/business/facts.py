"""What was measured and looked up for a venture, and how a scenario takes a range.

`low` takes every assumption at the end that harms the venture, `high` at the one that helps it, `likely` in the middle.
That all go wrong together is unlikely: the scenarios bound the outcome, they are no quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelyard.blueprint import Blueprint
from modelyard.blueprint.business import Business
from modelyard.blueprint.ranges import Assumed, Range
from modelyard.business.rates import Grid, Machine, Server
from modelyard.records.valued import Scenario
from modelyard.units import Quantity


@dataclass(frozen=True, slots=True)
class Sold:
    """A unit of sale, as it was measured."""

    unit: str
    per_request: Quantity
    """In unit/request."""
    share: float
    """Of what a request costs; those of all units sum to 1."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured and looked up, the same in every scenario."""

    rate: Quantity
    """Highest rate that one machine sustains inside the latency target, in request/s."""
    build_time: Quantity
    """Seconds of machine time of the build."""
    units: tuple[Sold, ...]
    machine: Machine
    server: Server
    grid: Grid
    table: Path | None = None
    """A price table of the blueprint's own."""


def table_of(blueprint: Blueprint) -> Path | None:
    """The blueprint's own price table, if it names one."""
    return blueprint.folder / blueprint.business.rates if blueprint.business.rates else None


def pick(given: Range, scenario: Scenario, unfavourable: str) -> float:
    """The value a scenario takes of a range.

    >>> pick(Range(low=0.03, likely=0.04, high=0.07), "low", "high")
    0.07
    """
    if scenario == "likely":
        return given.likely
    return given.low if (scenario == "low") == (unfavourable == "low") else given.high


def marks() -> dict[str, Assumed]:
    """The `Assumed` annotation of every ranged field of the section."""
    found = {}
    for name, field in Business.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, Assumed):
                found[name] = mark
    return found
