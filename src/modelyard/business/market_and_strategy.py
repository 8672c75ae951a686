"""Market and strategy of a blueprint, computed: the venture with their lines, solved once in the likely scenario and once in thousands of draws.

    venture ─► with the market's lines ─► with actions ─► with risks ─► solved ─► MarketValue, StrategyValue

It knows nothing about how the numbers are shown.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from modelyard import parts
from modelyard.blueprint import Blueprint
from modelyard.blueprint.ranges import Range
from modelyard.business import actions, comparing, duties, risks, sizing
from modelyard.business.draws import Spread
from modelyard.business.evidence import Documents, documents, reference
from modelyard.business.facts import Facts
from modelyard.business.lines import Adding, solved
from modelyard.business.planning import correlations, venture
from modelyard.business.venture import Given, Venture
from modelyard.records._base import Record
from modelyard.records.evaluated import Evaluated
from modelyard.records.market import MarketValue, Reference
from modelyard.records.prepared import Prepared
from modelyard.records.strategy import StrategyValue
from modelyard.records.valued import SCENARIOS, Trace, UnitEconomics, UnitPrice
from modelyard.store import Store, read_json
from modelyard.units import quantity

FORECAST = "forecast.json"
"""What `yard forecast` writes into a build."""


@dataclass(frozen=True)
class Sections:
    """What both sections come to; null where the blueprint has none."""

    market: MarketValue | None
    strategy: StrategyValue | None
    venture: Venture
    """With every line of both, for the workbook and the Monte Carlo."""


def whole(blueprint: Blueprint, facts: Facts, *, forecast: Range | None = None) -> Venture:
    """The venture with the lines of its market and strategy. `forecast`: hours of one build, in the place of the measured ones."""
    business, money = blueprint.business, blueprint.business.currency
    found = venture(business, facts)
    if blueprint.market is not None:
        found = sizing.sized(found, blueprint.market, money)
    if blueprint.strategy is not None:
        if forecast is not None:
            found = _with_forecast(found, forecast)
        found = risks.risky(actions.planned(found, blueprint.strategy, money), blueprint.strategy, money)
    return found


def clash(blueprint: Blueprint) -> str:
    """Why the lines of market and strategy cannot be written, such as two of one name; an empty text where they can."""
    try:
        whole(blueprint, actions.unmeasured(blueprint.business))
    except ValueError as error:
        return str(error)
    return ""


def forecast_in(store: Store) -> Range | None:
    """Hours that one build takes, as `yard forecast` expects them, with the interval; None where there is no forecast in the build."""
    try:
        seconds = read_json(store.path(FORECAST))["seconds"]
        low, likely, high = sorted(quantity(seconds[end], "s").to("h") for end in ("low", "value", "high"))
    except (OSError, KeyError, TypeError, ValueError):
        return None
    return Range(low=low, likely=likely, high=high, source=f"{FORECAST}: time of all stages")


def _with_forecast(found: Venture, forecast: Range) -> Venture:
    adding = Adding(found)
    adding.sheet.given(actions.FORECAST, "h")
    grown = adding.whole()
    given = Given("h", Spread(forecast.low, forecast.likely, forecast.high), "measured", forecast.source)
    return Venture(grown.sheet, {**grown.givens, actions.FORECAST: given}, grown.groups, grown.plans)


def valued(
    blueprint: Blueprint, facts: Facts, records: Mapping[str, Record], *, economics: UnitEconomics | None,
    units: tuple[UnitPrice, ...] = (), forecast: Range | None = None,
) -> Sections:  # fmt: skip
    """Compute both sections. Nothing is drawn or solved where the blueprint has neither."""
    found = whole(blueprint, facts, forecast=forecast)
    if blueprint.market is None and blueprint.strategy is None:
        return Sections(None, None, found)
    likely, draws = solved(found, count=blueprint.business.draws, correlations=correlations(blueprint.business))
    known = documents(blueprint, records)
    market = strategy = None
    if blueprint.market is not None:
        usage = {str(name): _at(found, "requests of a customer", name) for name in SCENARIOS}
        market = _market(blueprint, records, known, economics=economics, units=units, usage=usage)
        market = market.model_copy(
            update={
                "size": sizing.measured_size(blueprint.market, draws),
                "adoption": sizing.measured_adoption(likely, draws),
            }
        )
    if blueprint.strategy is not None:
        hours = forecast.likely if forecast is not None else facts.build_time.to("h")
        origin = f"{FORECAST}#seconds" if forecast is not None else "build.run.seconds"
        strategy = StrategyValue(
            actions=actions.action_values(blueprint.strategy, likely, known, build_hours=hours),
            resources=actions.resources(blueprint.strategy, likely, draws, build_hours=hours, build_origin=origin),
            risks=risks.measured(blueprint.strategy, draws),
            duties=duties.applying(blueprint.strategy, kind_of(blueprint, records), known),
        )
    return Sections(market, strategy, found)


def without_rate(
    blueprint: Blueprint, records: Mapping[str, Record]
) -> tuple[MarketValue | None, StrategyValue | None]:
    """What stands without a measured rate: the comparison without our price, and the duties."""
    known = documents(blueprint, records)
    market = strategy = None
    if blueprint.market is not None:
        market = _market(blueprint, records, known, economics=None, units=(), usage={})
    if blueprint.strategy is not None:
        strategy = StrategyValue(duties=duties.applying(blueprint.strategy, kind_of(blueprint, records), known))
    return market, strategy


def _at(found: Venture, line: str, scenario: Any) -> float:
    return float(found.sheet.solve(found.values(scenario))[line])


def kind_of(blueprint: Blueprint, records: Mapping[str, Record]) -> str:
    """The kind of task that is sold: as evaluated, or else as the blueprint or the data say."""
    evaluated, prepared = records.get("evaluate"), records.get("prepare")
    if isinstance(evaluated, Evaluated):
        return evaluated.kind
    task = blueprint.task or (prepared.task if isinstance(prepared, Prepared) else None)
    return str(parts.load("tasks", task).kind) if task in parts.names("tasks") else ""


def _market(
    blueprint: Blueprint, records: Mapping[str, Record], known: Documents, *, economics: UnitEconomics | None,
    units: tuple[UnitPrice, ...], usage: Mapping[str, float],
) -> MarketValue:  # fmt: skip
    market = blueprint.market
    assert market is not None
    metric, greater = comparing.metric_of(market, records)
    ours = comparing.our_row(blueprint.name, market, records, economics, usage, units)
    return MarketValue(
        price_of=market.price_of, lot=comparing.lot_of(market.price_of), metric=metric, greater_is_better=greater, ours=ours,
        competitors=tuple(comparing.their_row(one, ours, greater=greater) for one in market.competitors),
        references=_references(blueprint, known),
    )  # fmt: skip


def _references(blueprint: Blueprint, known: Documents) -> tuple[Reference, ...]:
    """Every place in a record that the market's entries rest on, once."""
    market = blueprint.market
    assert market is not None
    entries: list[Any] = [*market.features]
    for group in (market.forces, market.swot):
        for name in type(group).model_fields if group is not None else ():
            inner = getattr(group, name)
            entries += inner if isinstance(inner, tuple) else [inner]
    paths = dict.fromkeys(one.record for one in entries if one.record is not None)
    return tuple(reference(path, known) for path in paths)


# -- where the numbers come from -------------------------------------------------------------------------------------------


@cache
def formulas() -> dict[str, dict[str, Any]]:
    """How each part of both records is computed, by the beginning of its path; from market_and_strategy.toml."""
    return tomllib.loads(Path(__file__).with_name("market_and_strategy.toml").read_text(encoding="utf-8"))


def traces(found: Sections, blueprint: Blueprint) -> dict[str, Trace]:
    """What the record's trace gains: the formulas of the sections that are there, and what they are computed from."""
    there = [name for name, value in (("market", found.market), ("strategy", found.strategy)) if value is not None]
    if not there:
        return {}
    rows = {key: row for key, row in formulas().items() if key.split(".")[0].removeprefix("measured_") in there}
    added = {
        "evaluate.metrics": Trace(kind="measured", source="test rows of this build", origin="evaluate.metrics"),
        "serve.measured_latency": Trace(kind="measured", source="the load test of this build", origin="serve.measured_latency"),
    }  # fmt: skip
    for name, given in found.venture.givens.items():
        if name.split(".")[0] in there:
            key = ".".join(step for step in name.split(".") if not step.isdigit())
            added.setdefault(key, Trace(kind="assumed", source=given.source, origin=key))
    for row in rows.values():
        for key in row["inputs"]:
            if key.split(".")[0] in there:
                added.setdefault(key, Trace(kind="assumed", source="the blueprint", origin=key))
    return added | {key: Trace(kind="computed", **row) for key, row in rows.items()}
