"""How the service would run, for the record: machines for a week's demand, the catalogue, buying instead, variants, surveys.

All in the likely scenario. It writes no lines: what stands here is weighed, the cash table does not hang on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from modelyard.blueprint.business import Business
from modelyard.blueprint.running import Alternative
from modelyard.business import demand, pricing, rates
from modelyard.business.costs import MONTH, check_unit, lot, noun
from modelyard.business.facts import Facts
from modelyard.business.solving import Solved
from modelyard.business.surveys import Answers
from modelyard.records._base import Record
from modelyard.records.compressed import Compressed, Variant
from modelyard.records.running import (
    Bought,
    Demand,
    Front,
    Meter,
    Point,
    Rented,
    Running,
    Staffed,
    Step,
    Surveyed,
    Willing,
)
from modelyard.units import Quantity, quantity

YEAR = 12
KILO = 1000


def running(
    found: Solved, business: Business, facts: Facts, records: Mapping[str, Record], *, folder: Path, cores: int, instructions: str
) -> Running:  # fmt: skip
    """All of it. DataError where the survey's file cannot be read. `cores` and `instructions` are of the machine that bore the load."""
    return Running(
        demand=_demand(found, business),
        machines=_machines(found, business, facts, cores=cores, instructions=instructions),
        bought=tuple(_bought(found, business, facts, each) for each in business.alternatives),
        front=_front(found, records),
        survey=_survey(found, business, folder),
    )


# -- a week's demand -------------------------------------------------------------------------------------------------------


def _demand(found: Solved, business: Business) -> Demand:
    week = demand.Week.of(business.week.hours, business.week.days)
    mean = found.months("likely", "demand")
    whole = list(range(YEAR, len(mean) + 1, YEAR))
    months = whole if whole and whole[-1] == len(mean) else [*whole, len(mean)]
    return Demand(
        shape=tuple(round(hour, 4) for hour in week.shape),
        peak=week.peak,
        assumed=business.utilisation.likely,
        months=tuple(_staffed(found, business, week, month, mean[month - 1]) for month in months),
    )


def _staffed(found: Solved, business: Business, week: demand.Week, month: int, mean: float) -> Staffed:
    capacity = found.one("likely", "capacity of a machine").value / business.utilisation.likely
    options = {"headroom": business.week.headroom, "minimum": business.minimum_machines}
    fixed = demand.fixed(week, mean, capacity, **options)  # type: ignore[arg-type]
    following = demand.following(week, mean, capacity, **options)  # type: ignore[arg-type]
    hour = _hour(found)

    def cost(machines: demand.Machines) -> Quantity:
        return Quantity(hour.to(f"{business.currency}/h") * machines.hours, f"{business.currency}/month")

    return Staffed(
        month=month, demand=Quantity(mean, "request/s"),
        fixed=fixed.most, fixed_cost=cost(fixed), fixed_busy=fixed.busy,
        following=following.most, following_cost=cost(following), following_busy=following.busy,
    )  # fmt: skip


def _hour(found: Solved) -> Quantity:
    """What a machine with hosting costs, in currency/s."""
    return found.one("likely", "a machine with hosting") / MONTH


# -- the catalogue ---------------------------------------------------------------------------------------------------------


def _machines(found: Solved, business: Business, facts: Facts, *, cores: int, instructions: str) -> tuple[Rented, ...]:
    """Every machine without accelerator that is no smaller, and every way of renting it, the cheapest first; then those whose rate is not known."""
    exchange = business.exchange_rate.likely if business.exchange_rate is not None else 1.0
    overhead, utilisation = business.hosting_overhead.likely, business.utilisation.likely
    used = facts.machine
    rows = [
        row for row in rates.machines(facts.table).values() if (row.accelerator is None) == (used.accelerator is None)
    ]
    listed: list[Rented] = []
    for row in rows:
        known = rates.covers(row, cores=cores, instructions=instructions)
        for rent, price in row.prices.items():
            hour = quantity(price * exchange, f"{business.currency}/h")
            each = hour * (1 + overhead) / (facts.rate * utilisation)
            listed.append(
                Rented(
                    machine=row.name, provider=row.provider, rent=rent, price=hour,
                    per_thousand=Quantity(each.value * KILO, f"{business.currency}/kilorequest") if known else None,
                    chosen=business.machine_price is None and (row.name, rent) == (used.name, used.rent),
                    source=row.source, date=row.date,
                )
            )  # fmt: skip
    return tuple(sorted(listed, key=lambda one: (one.per_thousand is None, one.price.value)))


# -- buying instead --------------------------------------------------------------------------------------------------------


def _bought(found: Solved, business: Business, facts: Facts, other: Alternative) -> Bought:
    money = business.currency
    takes = _per_request(facts, other)
    if takes is None:
        return Bought(name=other.name, bought=None, own=None, source=other.source, date=other.date)
    bought = other.price / lot(other.unit)[0] * takes
    volume = np.array(found.months("likely", "demand")) * MONTH.value
    own = np.array(found.months("likely", "cost of machines"))
    saved = np.cumsum(bought * volume - own) - found.one("likely", "cost of the build").value
    repaid = np.flatnonzero(saved >= 0)
    capacity = found.one("likely", "capacity of a machine") * MONTH * business.minimum_machines
    fixed = found.one("likely", "a machine with hosting") * business.minimum_machines
    volume_then = demand.break_even(fixed.to(f"{money}/month"), capacity.to("request/month"), bought)
    return Bought(
        name=other.name,
        bought=Quantity(bought * KILO, f"{money}/kilorequest"),
        own=Quantity(float(own[-1] / volume[-1]) * KILO, f"{money}/kilorequest") if volume[-1] > 0 else None,
        break_even=None if volume_then is None else quantity(volume_then, "request/month"),
        repaid=int(repaid[0]) + 1 if len(repaid) else None,
        saved=Quantity(float(saved[-1]), money),
        source=other.source,
        date=other.date,
    )


def _per_request(facts: Facts, other: Alternative) -> float | None:
    if other.per_request is not None:
        return other.per_request
    if other.unit == "request":
        return 1.0
    for sold in facts.units:
        if sold.unit == other.unit:
            return check_unit(sold.per_request, f"{noun(sold.unit)}/request", f"{other.name}: units of a request").value
    return None


# -- variants --------------------------------------------------------------------------------------------------------------


def _front(found: Solved, records: Mapping[str, Record]) -> Front | None:
    """Cost in proportion to the rows a second: the chosen variant costs what the load test says."""
    record = records.get("compress")
    if not isinstance(record, Compressed):
        return None
    known = [one for one in record.variants if one.status == "measured" and _timed(one)]
    chosen = next((one for one in known if one.name == record.chosen), None)
    if chosen is None or len(known) < 2:
        return None
    cost, sign = found.one("likely", "cost of a request"), 1.0 if record.greater_is_better else -1.0
    tried = [
        demand.Variant(
            one.name, sign * (one.metric or 0.0), one.timings["row_p95"],
            cost.value * KILO * chosen.timings["rows_per_second"] / one.timings["rows_per_second"],
        )
        for one in known
    ]  # fmt: skip
    best = demand.front(tried)
    money = cost.unit.replace("/request", "/kilorequest")
    points = tuple(
        Point(
            variant=one.name, quality=sign * one.quality, latency=Quantity(one.latency, "s"), per_thousand=Quantity(one.cost, money),
            front=one in best, chosen=one.name == record.chosen,
        )
        for one in tried
    )  # fmt: skip
    return Front(
        metric=record.metric, greater_is_better=record.greater_is_better, points=points, steps=_steps(best, money)
    )


def _timed(one: Variant) -> bool:
    return one.metric is not None and min(one.timings.get(key, 0.0) for key in ("row_p95", "rows_per_second")) > 0


def _steps(best: Sequence[demand.Variant], money: str) -> tuple[Step, ...]:
    found = []
    for better, cheaper in itertools.pairwise(best):
        price = demand.price_of_a_point(better, cheaper)
        if price is not None:
            found.append(
                Step(
                    cheaper=cheaper.name, better=better.name, quality=better.quality - cheaper.quality,
                    per_thousand=Quantity(better.cost - cheaper.cost, money), latency=Quantity(better.latency - cheaper.latency, "s"),
                    point=Quantity(price / 100, money),
                )
            )  # fmt: skip
    return tuple(found)


# -- surveys ---------------------------------------------------------------------------------------------------------------


def _survey(found: Solved, business: Business, folder: Path) -> Surveyed | None:
    asked = business.survey
    if asked is None:
        return None
    answers = Answers.read(folder / asked.file, prices=asked.prices)
    money = f"{business.currency}/customer/month"
    meter = willing = None

    def a_month(price: float) -> Quantity:
        return quantity(price, money)

    if answers.four is not None:
        points = pricing.westendorp(*answers.four)
        curves = pricing.curves(*answers.four)
        meter = Meter(
            persons=answers.persons, cheapest=a_month(points.cheapest), dearest=a_month(points.dearest),
            optimal=a_month(points.optimal), indifferent=a_month(points.indifferent), **curves,
        )  # fmt: skip
    if answers.highest is not None:
        cost = found.one("likely", "cost of a customer").to(money)
        said = pricing.gabor_granger(asked.prices, answers.highest, cost=min(cost, 0.999 * asked.prices[-1]))
        willing = Willing(
            persons=answers.persons, prices=said.prices, buying=said.buying, revenue_price=a_month(said.revenue_price),
            margin_price=a_month(said.margin_price), low=a_month(said.low), high=a_month(said.high),
        )  # fmt: skip
    return Surveyed(source=asked.source, date=asked.date, meter=meter, willing=willing)
