"""What `market` and `strategy` say together with the rest of the blueprint: units, metrics, months, and the numbers of this project they point at.

A place in a record is checked against the record's own class, and a line against the venture's, before anything is run.
"""

from __future__ import annotations

import importlib
import types
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from modelyard import parts
from modelyard.blueprint import Blueprint
from modelyard.blueprint.market import MONTHLY
from modelyard.blueprint.strategy import Action, month_of
from modelyard.errors import UserError, nearest
from modelyard.units import Quantity

Path_ = tuple[str | int, ...]
Fault = Callable[[Path_, str], None]
RECORDS = {
    "prepare": "prepared:Prepared", "train": "trained:Trained", "evaluate": "evaluated:Evaluated", "audit": "audited:Audited",
    "compress": "compressed:Compressed", "package": "packaged:Packaged", "serve": "served:Served",
}  # fmt: skip
"""Stages whose records are there when the business is valued, and their classes."""


def check(blueprint: Blueprint, fault: Fault) -> None:
    """Every fault of both sections that needs the rest of the blueprint to be seen."""
    if blueprint.market is not None:
        _market(blueprint, fault)
    if blueprint.strategy is not None:
        _strategy(blueprint, fault)
    for path, record in _named(blueprint):
        wrong = unknown_place(record, number=path[-2:] == ("metric", "record"))
        if wrong:
            fault(path, wrong)
    if blueprint.market is not None or blueprint.strategy is not None:
        clash = importlib.import_module("modelyard.business.market_and_strategy").clash(blueprint)
        if clash:
            section = "strategy" if blueprint.strategy is not None else "market"
            fault((section,), f"{clash}: rename one of what is called so")


def _market(blueprint: Blueprint, fault: Fault) -> None:
    market = blueprint.market
    assert market is not None
    if market.adoption is not None and not market.segments:
        fault(("market", "adoption"), "needs market.segments: it says how fast their obtainable customers come")
    tasks = [blueprint.task] if blueprint.task else parts.names("tasks")
    sold = sorted({"request"} | {unit for name in tasks for unit in parts.load("tasks", name).units})
    if market.price_of != MONTHLY and market.price_of not in sold:
        cure = nearest(market.price_of, [MONTHLY, *sold])
        fault(
            ("market", "price_of"), f"no unit of sale {market.price_of!r}.{cure} Allowed: {', '.join([MONTHLY, *sold])}"
        )
    if market.quality is not None:
        kind = parts.load("tasks", blueprint.task).kind if blueprint.task else None
        try:
            importlib.import_module("modelyard.metrics").find(
                market.quality, kind
            )  # by name: they lie above the blueprint
        except UserError as error:
            fault(("market", "quality"), str(error))
    features = [one.name for one in market.features]
    for number, competitor in enumerate(market.competitors):
        for place, feature in enumerate(competitor.features):
            if feature not in features:
                allowed = f"Allowed: {', '.join(features)}" if features else "There are none: list them there first"
                path = ("market", "competitors", number, "features", place)
                fault(path, f"no feature {feature!r} in market.features.{nearest(feature, features)} {allowed}")


def actions(blueprint: Blueprint) -> Iterator[tuple[Path_, Action]]:
    """Every action with its place."""
    for goal, one in enumerate(blueprint.strategy.goals if blueprint.strategy is not None else ()):
        for milestone, reached in enumerate(one.milestones):
            for number, action in enumerate(reached.actions):
                yield ("strategy", "goals", goal, "milestones", milestone, "actions", number), action


def _strategy(blueprint: Blueprint, fault: Fault) -> None:
    strategy = blueprint.strategy
    assert strategy is not None
    lines: tuple[str, ...] | None = None
    for path, action in actions(blueprint):
        if action.start < strategy.start:
            fault(
                (*path, "start"),
                f"lies before the plan begins: {action.start} is before strategy.start {strategy.start}",
            )
        last = month_of(action.end, strategy.start)
        if last > blueprint.business.months:
            cure = "end it earlier, or raise business.months"
            fault((*path, "end"), f"lies in month {last} of the plan, which has {blueprint.business.months}: {cure}")
        if action.metric.line is not None:
            lines = lines or importlib.import_module("modelyard.business.actions").lines(blueprint.business)
            if action.metric.line not in lines:
                told = f"{nearest(action.metric.line, lines)} Allowed: {', '.join(lines)}"
                fault((*path, "metric", "line"), f"no line {action.metric.line!r} of the venture.{told}")


def _named(blueprint: Blueprint) -> Iterator[tuple[Path_, str]]:
    """Every place in a record that both sections name."""

    def walk(value: Any, path: Path_) -> Iterator[tuple[Path_, str]]:
        if isinstance(value, BaseModel):
            for key in type(value).model_fields:
                inner = getattr(value, key)
                if key == "record" and isinstance(inner, str):
                    yield (*path, key), inner
                else:
                    yield from walk(inner, (*path, key))
        elif isinstance(value, tuple):
            for number, inner in enumerate(value):
                yield from walk(inner, (*path, number))

    yield from walk(blueprint.market, ("market",))
    yield from walk(blueprint.strategy, ("strategy",))


# -- places in records -----------------------------------------------------------------------------------------------------


def unknown_place(path: str, *, number: bool = False) -> str:
    """What is wrong with a place in a record, or an empty text; `number`: it must be one.

    >>> unknown_place("evaluate.metrics.f1_macro.value", number=True)
    ''
    """
    stage, *keys = path.split(".")
    if stage not in RECORDS:
        return f"no record {stage!r}.{nearest(stage, list(RECORDS))} Allowed: {', '.join(RECORDS)}, each with a place in it, as evaluate.metrics"
    if not keys:
        return f"must name a place in the record, such as {stage}.run.seconds (got {path!r})"
    module, name = RECORDS[stage].split(":")
    kind = getattr(
        importlib.import_module(f"modelyard.records.{module}"), name
    )  # by name: records lie beside the blueprint
    wrong, ends = _walk(kind, keys, stage)
    if wrong or not number or any(one in (int, float, Quantity, Any) for one in ends):
        return wrong
    inner = next((one for one in ends if isinstance(one, type) and issubclass(one, BaseModel)), None)
    cure = f". Go on with one of: {', '.join(inner.model_fields)}" if inner else ""
    return f"is no number (got {path!r}){cure}"


def _walk(annotation: Any, keys: list[str], so_far: str) -> tuple[str, list[Any]]:
    """What is wrong, and what the place can hold."""
    members = _members(annotation)
    if not keys:
        return "", members
    key, rest, wrong = keys[0], keys[1:], f"ends at {so_far}: there is nothing below it (got {keys[0]!r})"
    for member in members:
        if member is Any:
            return "", [Any]
        origin, inner = get_origin(member), get_args(member)
        if isinstance(member, type) and issubclass(member, BaseModel):
            if key in member.model_fields:
                return _walk(member.model_fields[key].annotation, rest, f"{so_far}.{key}")
            known = list(member.model_fields)
            wrong = f"no {key!r} in {so_far}.{nearest(key, known)} Allowed: {', '.join(known)}"
        elif origin is dict:
            for length in range(1, len(keys) + 1):  # a key may hold dots: `MODEL_CARD.md`
                found = _walk(inner[1], keys[length:], f"{so_far}.{'.'.join(keys[:length])}")
                if not found[0]:
                    return found
            wrong = f"ends at {so_far}.{key}: there is nothing below it (got {rest[0]!r})"
        elif origin in (tuple, list):
            return _walk(inner[0], rest, f"{so_far}.{key}")
    return wrong, []


def _members(annotation: Any) -> list[Any]:
    """What an annotation can be: the members of a union, without None and without marks."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [member for one in get_args(annotation) if one is not type(None) for member in _members(one)]
    return [annotation]
