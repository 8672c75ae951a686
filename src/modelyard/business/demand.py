"""A week of demand: how many machines it takes hour by hour, what they cost, and how busy they are. Plain numbers; it knows no plans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelyard.blueprint.running import OFFICE, WORKDAYS
from modelyard.business.costs import NEARLY
from modelyard.rows import Array

HOURS, DAYS = 24, 7
WEEKS = 730 / (HOURS * DAYS)
"""Weeks of a month of 730 hours."""


@dataclass(frozen=True, slots=True)
class Week:
    """Demand of each hour of a week, relative to its mean."""

    shape: tuple[float, ...]

    @classmethod
    def of(cls, hours: Sequence[float] = OFFICE, days: Sequence[float] = WORKDAYS) -> Week:
        """From the hours of a day and the days of a week; only their proportions count. ValueError where they are not 24 and 7, or below 0."""
        day, week = np.asarray(hours, dtype=np.float64), np.asarray(days, dtype=np.float64)
        if day.shape != (HOURS,) or week.shape != (DAYS,):
            raise ValueError(f"a demand curve has {HOURS} hours and {DAYS} days (got {len(day)} and {len(week)})")
        if (
            not (np.isfinite(day).all() and np.isfinite(week).all())
            or min(day.min(), week.min()) < 0
            or not (day.any() and week.any())
        ):
            raise ValueError("hours and days of a demand curve are not below 0, and some are above")
        shape = np.outer(week, day).ravel()
        return cls(tuple((shape / shape.mean()).tolist()))

    @property
    def peak(self) -> float:
        """The busiest hour over the mean."""
        return max(self.shape)


@dataclass(frozen=True, slots=True)
class Machines:
    """What a week's demand takes."""

    most: int
    """Machines in the busiest hour."""
    hours: float
    """Machine hours a month."""
    busy: float
    """Share of these hours' capacity that is used."""


def fixed(week: Week, mean: float, capacity: float, *, headroom: float = 0.25, minimum: int = 1) -> Machines:
    """As many machines at every hour as the busiest one needs. `mean` demand and the `capacity` of a machine are in the same rate;
    `headroom` is the share of a machine that is kept free, for the bursts within an hour."""
    most = int(_needed(week, mean, capacity, headroom, minimum).max())
    return _machines(np.full(len(week.shape), most), mean, capacity)


def following(week: Week, mean: float, capacity: float, *, headroom: float = 0.25, minimum: int = 1) -> Machines:
    """Machines that come and go with the hours: those that this hour and the next one need, because a machine takes time to come."""
    needed = _needed(week, mean, capacity, headroom, minimum)
    return _machines(np.maximum(needed, np.roll(needed, -1)), mean, capacity)


def _needed(week: Week, mean: float, capacity: float, headroom: float, minimum: int) -> Array:
    if mean < 0 or capacity <= 0 or not 0 <= headroom < 1 or minimum < 1:
        raise ValueError("demand is not below 0, capacity above 0, headroom a share, and one machine runs at least")
    needed = np.ceil(mean * np.asarray(week.shape) / (capacity * (1 - headroom)) - NEARLY)
    return np.maximum(needed, minimum)


def _machines(count: Array, mean: float, capacity: float) -> Machines:
    hours = float(count.sum()) * WEEKS
    return Machines(int(count.max()), hours, mean / (float(count.mean()) * capacity))


def break_even(fixed: float, capacity: float, bought: float) -> float | None:
    """Volume a month from which own machines cost less than buying at so much each: fixed ÷ bought.

    `fixed` is the cost of the machines that run anyway, `capacity` what they answer in a month. None where it lies beyond: each further machine
    costs more than it saves as well.
    """
    if fixed < 0 or capacity <= 0 or bought <= 0:
        raise ValueError("a cost is not below 0, and a capacity and a price are above it")
    volume = fixed / bought
    return volume if volume <= capacity else None


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to serve a model: its quality (higher is better), its latency in seconds and its cost."""

    name: str
    quality: float
    latency: float
    cost: float


def front(variants: Sequence[Variant]) -> list[Variant]:
    """Those that no other beats in one of quality, latency and cost without losing in another, the best quality first."""

    def beaten(one: Variant) -> bool:
        return any(
            other.quality >= one.quality and other.latency <= one.latency and other.cost <= one.cost
            and (other.quality, other.latency, other.cost) != (one.quality, one.latency, one.cost)
            for other in variants
        )  # fmt: skip

    return sorted((one for one in variants if not beaten(one)), key=lambda one: (-one.quality, one.cost, one.latency))


def price_of_a_point(better: Variant, cheaper: Variant) -> float | None:
    """What one unit of quality costs between two variants: the difference in cost over that in quality; None where quality is equal."""
    gained = better.quality - cheaper.quality
    return None if math.isclose(gained, 0.0, abs_tol=1e-15) else (better.cost - cheaper.cost) / gained
