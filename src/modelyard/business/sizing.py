"""The market as lines of the venture: customers and spend from the segments up, and how fast the obtainable ones come (Bass 1969).

    segments ─► customers x spend x serviceable x obtainable ─► TAM, SAM, SOM
    innovation, imitation ─► share that has taken it up ─► x obtainable customers = most that can be won by a month

It knows no competitor.
"""

from __future__ import annotations

import numpy as np

from modelyard.blueprint.market import Market, Segment
from modelyard.business.lines import COUNT, Adding
from modelyard.business.sheet import Term, exponential, greatest
from modelyard.business.venture import Venture
from modelyard.records._base import Estimate
from modelyard.records.market import Adoption, MarketSize, SegmentSize
from modelyard.rows import Array

LEVEL = 0.8
"""P10 to P90."""
SIZES = ("TAM", "SAM", "SOM")
COUNTS = ("customers of the market", "customers it can serve", "customers it can win")
BOUND = "customers the market gives"


def sized(venture: Venture, market: Market, money: str) -> Venture:
    """The venture with the lines of its market: sizes, and the bound on customers where adoption is told."""
    if not market.segments:
        return venture
    adding = Adding(venture)
    each = [_segment(adding, place, segment, money) for place, segment in enumerate(market.segments)]
    for place, name in enumerate(SIZES):
        adding.sheet.line(name, f"{money}/month", _sum([amounts[place] for amounts, _ in each]))
    counted = [
        adding.sheet.line(name, "customer", _sum([counts[place] for _, counts in each]))
        for place, name in enumerate(COUNTS)
    ]
    if market.adoption is not None:
        _spreading(adding, market, counted[2])
    adding.group("Market")
    return adding.whole()


def _sum(terms: list[Term]) -> Term:
    found = terms[0]
    for term in terms[1:]:
        found = found + term
    return found


def _segment(adding: Adding, place: int, segment: Segment, money: str) -> tuple[list[Term], list[Term]]:
    """Money a month and customers: all, serviceable, obtainable."""

    def given(name: str, unit: str) -> Term:
        path, source = f"market.segments.{place}.{name}", f"{segment.source} ({segment.date})"
        return adding.given(path, unit, getattr(segment, name), source, "low")

    customers, spend = given("customers", "customer"), given("spend", f"{money}/customer/year")
    served = customers * given("serviceable", "")
    counts = [customers, served, served * given("obtainable", "")]
    lines = [
        adding.sheet.line(f"{segment.name}: {name}", f"{money}/month", count * spend)
        for name, count in zip(SIZES, counts, strict=True)
    ]
    return lines, counts


def _spreading(adding: Adding, market: Market, obtainable: Term) -> None:
    """F(t) = (1 - e^(-(p+q)t)) ÷ (1 + q/p e^(-(p+q)t)), t from the first sale of its kind."""
    adoption, sheet = market.adoption, adding.sheet
    assert adoption is not None
    source = f"{adoption.source} ({adoption.date})"

    def given(name: str, unit: str) -> Term:
        return adding.given(f"market.adoption.{name}", unit, getattr(adoption, name), source, "low")

    p, q, elapsed = given("innovation", "1/year"), given("imitation", "1/year"), given("elapsed", "year")
    gone = sheet.line("share not yet reached", "", exponential(-((p + q) * (sheet.month + elapsed))))
    share = sheet.line("share that has taken it up", "", (1.0 - gone) / (1.0 + q / p * gone))
    bound = sheet.line(BOUND, "customer", obtainable * share)
    customers = adding.there("customers")
    if customers is not None:
        sheet.line("customers beyond the market", "customer", greatest(customers - bound, 0.0))


# -- numbers ---------------------------------------------------------------------------------------------------------------


def spread(values: Array, factor: float = 1.0) -> Estimate:
    """The median of draws with P10 and P90."""
    low, middle, high = (float(each) * factor for each in np.quantile(values, [0.1, 0.5, 0.9]))
    return Estimate(value=middle, low=low, high=high, level=LEVEL)


def measured_size(market: Market, draws: dict[str, Array]) -> MarketSize | None:
    """TAM, SAM and SOM a year."""
    if not market.segments:
        return None

    def year(name: str) -> Estimate:
        return spread(draws[name], 12.0)

    segments = tuple(
        SegmentSize(
            name=one.name, tam=year(f"{one.name}: TAM"), sam=year(f"{one.name}: SAM"), som=year(f"{one.name}: SOM")
        )
        for one in market.segments
    )
    tam, sam, som = (year(name) for name in SIZES)
    customers, serviceable, obtainable = (spread(draws[name]) for name in COUNTS)
    return MarketSize(
        draws=len(next(iter(draws.values()))) if draws else COUNT, tam=tam, sam=sam, som=som,
        customers=customers, serviceable=serviceable, obtainable=obtainable, segments=segments,
    )  # fmt: skip


def measured_adoption(likely: dict[str, Array], draws: dict[str, Array]) -> Adoption | None:
    """The bound by month beside the plan's customers."""
    if BOUND not in draws or "customers" not in draws:
        return None
    low, middle, high = np.quantile(draws[BOUND], [0.1, 0.5, 0.9], axis=0)
    planned = likely["customers"]
    beyond = np.flatnonzero(planned > middle)
    return Adoption(
        low=_rounded(low), value=_rounded(middle), high=_rounded(high), planned=_rounded(planned),
        beyond=int(beyond[0]) + 1 if len(beyond) else None,
        chance=float((draws["customers beyond the market"] > 0).any(axis=-1).mean()),
    )  # fmt: skip


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)
