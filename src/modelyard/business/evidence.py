"""Places in a build's records by the path that people write: `evaluate.metrics.f1_macro.value`, `audit.findings.robustness.status`.

A member of a list is named by its number or by its `name`. It knows nothing about what the values mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from modelyard.blueprint import Blueprint
from modelyard.records._base import Record
from modelyard.records.market import Reference
from modelyard.units import quantity

Documents = Mapping[str, Any]
"""Stage (or `blueprint`) -> its record as plain JSON values."""
BLUEPRINT = "blueprint.resolved.yaml"


@dataclass(frozen=True, slots=True)
class Found:
    """A value, and its file and place in the form the report follows: `evaluate.json#metrics.f1_macro.value`."""

    value: Any
    origin: str


def documents(blueprint: Blueprint, records: Mapping[str, Record]) -> dict[str, Any]:
    """What can be pointed at."""
    found = {name: record.model_dump(mode="json") for name, record in records.items()}
    return found | {"blueprint": blueprint.model_dump(mode="json")}


def find(path: str, known: Documents) -> Found | None:
    """The value at a path; None where there is none, or null."""
    stage, *keys = path.split(".")
    if stage not in known:
        return None
    value, steps = known[stage], []
    while keys:
        for length in range(len(keys), 0, -1):  # a key may hold dots: `MODEL_CARD.md`
            key = _key(value, ".".join(keys[:length]))
            if key is not None:
                value, keys = value[key], keys[length:]
                steps.append(quote(str(key), safe="").replace(".", "%2E"))
                break
        else:
            return None
    if value is None:
        return None
    return Found(value, f"{BLUEPRINT if stage == 'blueprint' else f'{stage}.json'}#{'.'.join(steps)}")


def _key(value: Any, name: str) -> str | int | None:
    if isinstance(value, Mapping):
        return name if name in value else None
    if isinstance(value, Sequence) and not isinstance(value, str):
        if name.isdigit():
            return int(name) if int(name) < len(value) else None
        return next(
            (place for place, one in enumerate(value) if isinstance(one, Mapping) and one.get("name") == name), None
        )
    return None


def reference(path: str, known: Documents) -> Reference:
    """What stands there, for a record."""
    found = find(path, known)
    if found is None:
        return Reference(path=path)
    plain = found.value if isinstance(found.value, (str, int, float)) and not isinstance(found.value, bool) else None
    return Reference(path=path, origin=found.origin, value=plain)


def number(given: Any) -> float | None:
    """A number, or the value of a written quantity (`'0.008 s'`); None for anything else."""
    if isinstance(given, bool) or given is None:
        return None
    if isinstance(given, (int, float)):
        return float(given)
    try:
        return quantity(given).value if isinstance(given, str) else None
    except ValueError:
        return None
