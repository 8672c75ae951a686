"""Constants fitted on builds that were forecast and have ended, and what a forecast would have said with them.

Features stand in every forecast, so that nothing has to be tried again: this is how constants are judged on recipes they were not fitted on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import mean, pstdev

import numpy as np

from modelyard.forecast import stages
from modelyard.forecast.expecting import INSIDE
from modelyard.forecast.forecasting import DRAWS, likely
from modelyard.forecast.scoring import Outcome, Scored
from modelyard.forecast.stages import Constants, Table
from modelyard.records.forecast import Forecast, Likely
from modelyard.rows import Array

FEW = 3.0
"""Builds' worth of belief in the quality constants that were there before."""


def fitted(builds: Sequence[Scored], first: Table, *, on: str) -> Table:
    """Constants of time and memory fitted on builds; those of disk stay. `on` says what they are fitted on."""
    found = {kind: dict(first.of[kind]) for kind in stages.KINDS}
    for kind in ("seconds", "memory"):
        for stage in stages.NAMES:
            name = f"{kind}.{stage}"
            samples = [
                (each.features[name], each.measured[name])
                for each in builds
                if name in each.features and each.measured.get(name, 0.0) > 0
            ]
            found[kind][stage] = stages.fit(samples, first.of[kind][stage])
    gain, spread = _quality(builds, first)
    return replace(first, of=found, fitted_on=on, gain=gain, gain_spread=spread)


def _quality(builds: Iterable[Scored], first: Table) -> tuple[float, float]:
    """How much lower errors were than told, on the logarithm; few builds leave what was believed."""
    logs = [_log_error(one) for each in builds for one in each.outcomes if one.quantity == "quality"]
    known = [each for each in logs if each is not None]
    if not known:
        return first.gain, first.gain_spread
    weight = len(known) / (len(known) + FEW)
    spread = math.sqrt(weight * pstdev(known) ** 2 + (1 - weight) * first.gain_spread**2)
    return first.gain - weight * mean(known), max(spread, stages.LEAST_SPREAD)


def _log_error(one: Outcome) -> float | None:
    """ln of the error that came over the one that was told; a metric up to 1 (or 100) is better when larger, another when smaller."""
    if 0 < one.outcome < 1 and 0 < one.expected < 1:
        return math.log((1 - one.outcome) / (1 - one.expected))
    return math.log(one.outcome / one.expected) if one.outcome > 0 and one.expected > 0 else None


def again(told: Forecast, table: Table) -> Forecast:
    """The forecast with other constants: time, memory and cost. The pilot's own doubt about training stays."""
    rng = np.random.default_rng(0)
    ratio = told.cost.value.value / max(told.seconds.value.value, 1e-12)
    seconds: dict[str, Array] = {}
    memory: dict[str, Array] = {}
    shared = rng.normal(size=DRAWS)
    for each in told.stages:
        constants = table.of["seconds"][each.stage]
        spread = max(constants.spread, _spread(each.seconds)) if each.stage == "train" else constants.spread
        middle = constants.of(told.features[f"seconds.{each.stage}"])
        seconds[each.stage] = middle * np.exp(spread * rng.normal(size=DRAWS))
        held = table.of["memory"][each.stage]
        memory[each.stage] = held.of(told.features[f"memory.{each.stage}"]) * np.exp(held.spread * shared)
    new = [
        each.model_copy(
            update={"seconds": likely(seconds[each.stage], "s"), "memory": likely(memory[each.stage], "B")}
        )
        for each in told.stages
    ]  # fmt: skip
    total = likely(np.sum(list(seconds.values()), axis=0), "s")
    cost = likely(np.sum(list(seconds.values()), axis=0) * ratio, told.cost.value.unit)
    peak = likely(np.max(list(memory.values()), axis=0), "B")
    return told.model_copy(
        update={"stages": tuple(new), "seconds": total, "cost": cost, "memory": peak, "constants": table.fitted_on}
    )


def _spread(given: Likely) -> float:
    """Standard deviation of the logarithm that an interval stands for."""
    return math.log(max(given.high.value, 1e-12) / max(given.low.value, 1e-12)) / (2 * INSIDE)


def rejudged(build: Scored, told: Forecast, table: Table) -> Scored:
    """A build's outcomes beside what the forecast would have said with these constants."""
    new = again(told, table)
    named: dict[str, Likely] = {"time": new.seconds, "memory": new.memory, "cost": new.cost}
    named |= {f"time {each.stage}": each.seconds for each in new.stages}
    outcomes = tuple(
        one
        if one.quantity not in named
        else one.model_copy(
            update={
                "expected": named[one.quantity].value.value,
                "low": named[one.quantity].low.value,
                "high": named[one.quantity].high.value,
            }
        )
        for one in build.outcomes
    )
    return build.model_copy(update={"outcomes": outcomes})


def written(table: Table) -> str:
    """The constants as the text of constants.toml."""
    lines = [
        "# What the stages take: seconds, bytes of memory and of disk, as sums of constant x feature (see stages.py).",
        "# `spread` is the standard deviation of the logarithm of outcome / expectation. Written by `python -m benchmarks forecast`.",
        "",
        f'fitted_on = "{table.fitted_on}"',
    ]
    for kind in stages.KINDS:
        for stage in stages.NAMES:
            lines += ["", f"[{kind}.{stage}]", *_values(table.of[kind][stage])]
    lines += [
        "",
        "# What candidates that the pilot could not train whole take off the error of the best one that it could.",
        "[quality]",
    ]
    lines += [f"gain = {table.gain:.6g}", f"spread = {table.gain_spread:.6g}"]
    if table.reference is not None:
        lines += ["", "# The machine that they were fitted on.", "[reference]"]
        lines += [f"{name} = {value:.6g}" for name, value in table.reference.model_dump().items()]
    return "\n".join(lines) + "\n"


def _values(constants: Constants) -> list[str]:
    return [
        *(f"{name} = {float(value):.6g}" for name, value in constants.values.items()),
        f"spread = {constants.spread:.6g}",
    ]
