"""Places in the build's records that a blueprint points at: each is checked against the record's own class before anything is run."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from modelyard.errors import nearest
from modelyard.records.audited import Audited
from modelyard.records.compressed import Compressed
from modelyard.records.evaluated import Evaluated
from modelyard.records.packaged import Packaged
from modelyard.records.prepared import Prepared
from modelyard.records.served import Served
from modelyard.records.trained import Trained
from modelyard.rules._contract import Fault, Path
from modelyard.units import Quantity

RECORDS: dict[str, type[BaseModel]] = {
    "prepare": Prepared, "train": Trained, "evaluate": Evaluated, "audit": Audited, "compress": Compressed, "package": Packaged, "serve": Served,
}  # fmt: skip
"""Stages whose records are there when the business is valued."""


def check_places(section: BaseModel, name: str, fault: Fault) -> None:
    """Tell of every `record` below a section that names no place there is; under `metric`, none that holds a number."""
    for path, record in _named(section, (name,)):
        wrong = unknown_place(record, number=path[-2:] == ("metric", "record"))
        if wrong:
            fault(path, wrong)


def _named(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Every `record` with its path."""
    if isinstance(value, BaseModel):
        for key in type(value).model_fields:
            inner = getattr(value, key)
            if key == "record" and isinstance(inner, str):
                yield (*path, key), inner
            else:
                yield from _named(inner, (*path, key))
    elif isinstance(value, tuple):
        for number, inner in enumerate(value):
            yield from _named(inner, (*path, number))


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
    wrong, ends = _walk(RECORDS[stage], keys, stage)
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
