"""Forecasts judged by what happened: one line a build in a small file of the user's cache folder, and the errors over all of them.

A build counts where every stage ran anew after its forecast was made. Nothing of the data is written down but its fingerprint.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from modelyard.forecast import calibration, stages
from modelyard.frozen import Frozen
from modelyard.records.forecast import Forecast
from modelyard.store import read_json, to_json
from modelyard.units import quantity

FILE = "scores.jsonl"
WEIGHT = 3.0
"""Earlier builds here count against this many that were just as expected."""
WIDEST = 3.0
"""A factor beyond this, or below its inverse, is taken for a disturbed machine."""


class Outcome(Frozen):
    """One quantity: what was expected, and what came."""

    quantity: str
    """`time`, `memory`, `cost`, `disk`, `quality`, or `time prepare` and so on."""
    expected: float
    low: float
    high: float
    outcome: float

    @property
    def error(self) -> float:
        """|outcome − expected| ÷ outcome."""
        return abs(self.outcome - self.expected) / max(abs(self.outcome), 1e-12)

    @property
    def inside(self) -> bool:
        """Whether the interval holds it."""
        return self.low <= self.outcome <= self.high


class Scored(Frozen):
    """One build."""

    name: str
    data: str
    machine: str
    made: str
    pilot: float
    """Seconds of the forecast over the build's."""
    outcomes: tuple[Outcome, ...]
    features: dict[str, dict[str, float]] = {}
    measured: dict[str, float] = {}
    """`seconds.train` and so on, for fitting constants anew."""


class Error(Frozen):
    """One quantity over all builds."""

    quantity: str
    builds: int
    median_error: float
    covered: float
    """Share of intervals that held the outcome."""


def score(build: Path) -> Scored | None:
    """A build's forecast beside its outcome; None where it has none, or where a stage is missing or older than the forecast."""
    try:
        told = Forecast.model_validate(read_json(build / "forecast.json"))
        records = {stage: read_json(build / f"{stage}.json") for stage in stages.NAMES}
        runs = {stage: record["run"] for stage, record in records.items()}
        begun = {stage: datetime.fromisoformat(run["started"]) for stage, run in runs.items()}
        made = datetime.fromisoformat(told.made)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if min(begun.values()) < made:
        return None
    seconds = {stage: quantity(run["seconds"]).value for stage, run in runs.items()}
    memory = {stage: quantity(run["peak_memory"]).value for stage, run in runs.items()}
    disk = float(sum(file.stat().st_size for file in build.rglob("*") if file.is_file()))
    total = sum(seconds.values())
    found = [
        _outcome("time", told.seconds, total),
        _outcome("memory", told.memory, max(memory.values())),
        _outcome("disk", told.disk, disk),
        _outcome("cost", told.cost, _cost(records["business"], told, total)),
        *(_outcome(f"time {each.stage}", each.seconds, seconds[each.stage]) for each in told.stages),
    ]
    if told.quality is not None:
        metric = records["evaluate"].get("metrics", {}).get(told.quality.metric)
        if metric is not None:
            found.append(_outcome("quality", told.quality.expected, float(metric["value"])))
    measured = {f"seconds.{stage}": value for stage, value in seconds.items()}
    measured |= {f"memory.{stage}": value for stage, value in memory.items()}
    return Scored(
        name=told.name, data=told.data, machine=told.machine, made=told.made, pilot=told.spent.value / max(total, 1e-9),
        outcomes=tuple(found), features=told.features, measured=measured,
    )  # fmt: skip


def _cost(business: dict[str, Any], told: Forecast, total: float) -> float:
    """What the business case says that the machine cost; without one, the forecast's own price for the time taken."""
    found = (business.get("measured_build") or {}).get("machine_cost", {}).get("likely")
    if found is not None:
        return quantity(found).value
    return told.cost.value.value / max(told.seconds.value.value, 1e-12) * total


def _outcome(name: str, expected: Any, outcome: float) -> Outcome:
    value, low, high = (getattr(each, "value", each) for each in (expected.value, expected.low, expected.high))
    return Outcome(quantity=name, expected=value, low=low, high=high, outcome=outcome)


# -- the file -------------------------------------------------------------------------------------------------------------


def note(build: Path, *, place: Path | None = None) -> Scored | None:
    """Write a build's line, once; a folder that cannot be written is done without."""
    found, file = score(build), (place or calibration.folder()) / FILE
    if found is None or any(each.made == found.made and each.name == found.name for each in read(file)):
        return found
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(to_json(found.model_dump(mode="json"), indent=None) + "\n")
    except OSError:
        return found
    return found


def read(file: Path | None = None) -> list[Scored]:
    """Every build that was noted; lines that cannot be read are passed over."""
    try:
        lines = (file or calibration.folder() / FILE).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            found.append(Scored.model_validate(json.loads(line)))
        except ValueError:
            continue
    return found


def here(builds: Iterable[Scored]) -> list[Scored]:
    """Those of this machine."""
    return [each for each in builds if each.machine == calibration.identity()]


def errors(builds: Sequence[Scored]) -> list[Error]:
    """Median relative error and coverage of each quantity, in the order in which they were first told."""
    names = list(dict.fromkeys(one.quantity for each in builds for one in each.outcomes))
    found = []
    for name in names:
        known = [one for each in builds for one in each.outcomes if one.quantity == name]
        found.append(
            Error(
                quantity=name, builds=len(known), median_error=median(one.error for one in known),
                covered=sum(one.inside for one in known) / len(known),
            )
        )  # fmt: skip
    return found


def factors(builds: Sequence[Scored]) -> dict[str, float]:
    """By stage, what earlier builds took over what was expected of them: the geometric mean, drawn towards 1 while there are few."""
    found: dict[str, list[float]] = {}
    for each in builds:
        for one in each.outcomes:
            stage = one.quantity.removeprefix("time ")
            if stage in stages.NAMES and one.expected > 0 and one.outcome > 0:
                ratio = math.log(one.outcome / one.expected)
                found.setdefault(stage, []).append(max(-math.log(WIDEST), min(math.log(WIDEST), ratio)))
    return {stage: math.exp(sum(logs) / (len(logs) + WEIGHT)) for stage, logs in found.items()}
