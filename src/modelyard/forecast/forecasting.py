"""A forecast: pilot, constants and ceilings put together. It writes nothing.

>>> from modelyard.blueprint import Blueprint
>>> make(Blueprint.load("recipes/credit/blueprint.yaml")).seconds  # doctest: +SKIP
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from modelyard.blueprint import Blueprint
from modelyard.context import Progress
from modelyard.forecast import calibration, expecting, language, pilot, pricing, stages
from modelyard.forecast.calibration import Ceilings
from modelyard.forecast.expecting import ENDS, LEVEL
from modelyard.forecast.pilot import Pilot
from modelyard.forecast.trying import Candidate
from modelyard.records._base import machine
from modelyard.records.forecast import Forecast, Likely, Point, StageForecast, Tried
from modelyard.rows import Array
from modelyard.units import Quantity, quantity

SHARE = 0.08
"""Of the expected time that the pilot may take; 0.10 is promised, and its last run may take longer than thought."""
LEAST = 3.0
"""Seconds that it may take in any case."""
DRAWS = 4000


def make(
    blueprint: Blueprint,
    *,
    progress: Progress | None = None,
    table: stages.Table | None = None,
    ceilings: Ceilings | None = None,
    factors: Mapping[str, float] | None = None,
) -> Forecast:
    """The forecast of a build of this blueprint on this machine. Raises DataError where its data cannot be prepared.

    `factors` are what earlier builds here took, by stage, over what was expected of them.
    """
    started = time.monotonic()
    known = table or stages.table()
    here = ceilings or calibration.ceilings()
    slow = known.slowness(here)

    def allowed(so_far: Pilot) -> tuple[float, frozenset[str]]:
        trained = expecting.training(so_far, budget=_budget(blueprint), refit=blueprint.train.refit, draws=0)
        given = stages.features(so_far, blueprint, train=trained.seconds)["seconds"]
        total = sum(known.of["seconds"][stage].of(_slowed(each, slow)) for stage, each in given.items())
        return max(LEAST, SHARE * total), expecting.settled(so_far, trained)

    tried = pilot.run(blueprint, allowed=allowed, progress=progress)
    found = _told(blueprint, tried, known, slow, factors or {}, started)
    memory = found.memory_here.value
    spoken = (language.told(one, blueprint, here, rows=_learnt_rows(tried), memory=memory) for one in tried.candidates)
    return found.model_copy(update={"language": tuple(one for one in spoken if one is not None)})


def _budget(blueprint: Blueprint) -> float:
    return blueprint.train.budget.to("s")


def _slowed(given: Mapping[str, float], slow: float) -> dict[str, float]:
    return {name: value * (1.0 if name in stages.MEASURED else slow) for name, value in given.items()}


def _told(
    blueprint: Blueprint, tried: Pilot, known: stages.Table, slow: float, factors: Mapping[str, float], started: float
) -> Forecast:
    assert tried.prepared is not None
    business, facts = blueprint.business, machine()
    trained = expecting.training(tried, budget=_budget(blueprint), refit=blueprint.train.refit)
    given = stages.features(tried, blueprint, train=trained.seconds)
    rng = np.random.default_rng(0)
    drawn = {kind: _drawn(kind, given[kind], known, slow, rng) for kind in stages.KINDS}
    for stage, factor in factors.items():
        if stage in drawn["seconds"]:
            drawn["seconds"][stage] = drawn["seconds"][stage] * factor
    if trained.draws.size:
        scattered = trained.draws.sum(axis=1) / max(trained.seconds, 1e-9)
        drawn["seconds"]["train"] = drawn["seconds"]["train"] * rng.choice(scattered, DRAWS)
    seconds = likely(sum(drawn["seconds"].values(), np.zeros(DRAWS)), "s")
    memory = likely(np.max(list(drawn["memory"].values()), axis=0), "B")
    cores, instructions = int(facts.get("cores", "1")), facts.get("instructions", "")
    row = pricing.chosen(blueprint, cores=cores, memory=memory.value, instructions=instructions)
    each = pricing.price(business, row), pricing.watts(row), pricing.grams(business, row)
    limit = quantity(facts.get("memory", "0 B"), "B")
    told = []
    for stage in stages.NAMES:
        took = likely(drawn["seconds"][stage], "s")
        cost, energy, carbon = (pricing.times(one, took) for one in each)
        told.append(
            StageForecast(
                stage=stage, seconds=took, memory=likely(drawn["memory"][stage], "B"), disk=likely(drawn["disk"][stage], "B"),
                cost=cost, energy=energy, carbon=carbon,
            )
        )  # fmt: skip
    quality, reason = expecting.quality(tried, rows=_learnt_rows(tried), gain=known.gain, spread=known.gain_spread)
    cost, energy, carbon = (pricing.times(one, seconds) for one in each)
    return Forecast(
        name=blueprint.name, task=tried.prepared.task, made=time.strftime("%Y-%m-%dT%H:%M:%S%z"), data=tried.data,
        machine=calibration.identity(), rows=tried.rows, stages=tuple(told), seconds=seconds, memory=memory,
        disk=likely(sum(drawn["disk"].values(), np.zeros(DRAWS)), "B"), cost=cost, energy=energy, carbon=carbon, quality=quality,
        no_quality=reason, candidates=tuple(_tried(one, trained) for one in tried.candidates),
        rented=pricing.rented(blueprint, seconds=seconds, memory=memory, cores=cores, instructions=instructions), chosen=row.name,
        memory_here=limit, fits=limit.value == 0 or memory.high <= limit, constants=known.fitted_on,
        spent=Quantity(round(time.monotonic() - started, 3), "s"),
        features={f"{kind}.{stage}": _slowed(each, slow) if kind == "seconds" else dict(each) for kind, rows in given.items() for stage, each in rows.items()},
    )  # fmt: skip


def _learnt_rows(tried: Pilot) -> int:
    """Rows that the build's final models learn from: with folds nearly all that are not tested."""
    both = tried.split("train") + tried.split("validation")
    return tried.split("train") if tried.folds == 1 else round(both * (tried.folds - 1) / tried.folds)


def _drawn(
    kind: str, given: Mapping[str, Mapping[str, float]], known: stages.Table, slow: float, rng: np.random.Generator
) -> dict[str, Array]:
    """Draws of each stage. What the stages share (one process's memory) is drawn once."""
    shared = rng.normal(size=DRAWS) if kind == "memory" else None
    found = {}
    for stage in stages.NAMES:
        constants = known.of[kind][stage]
        middle = constants.of(_slowed(given[stage], slow) if kind == "seconds" else given[stage])
        deviation = rng.normal(size=DRAWS) if shared is None else shared
        found[stage] = middle * np.exp(constants.spread * deviation)
    return found


def likely(draws: Array, unit: str) -> Likely:
    """The median of draws and the interval that holds 90 % of them."""
    low, middle, high = np.quantile(draws, [ENDS[0], 0.5, ENDS[1]])
    value, least, most = (Quantity(float(f"{each:.6g}"), unit) for each in (middle, low, high))
    return Likely(value=value, low=least, high=most, level=LEVEL)


def _tried(one: Candidate, trained: expecting.Training) -> Tried:
    place = list(trained.each).index(one.name) if one.name in trained.each else None
    points = tuple(
        Point(
            rows=run.rows, seconds=Quantity(run.total, "s"), memory=Quantity(run.peak, "B"), metric=run.metric
        )
        for run in one.runs
    )  # fmt: skip
    seconds = None
    if place is not None:
        low, high = np.quantile(trained.draws[:, place], ENDS)
        value = trained.each[one.name]
        seconds = Likely(
            value=Quantity(value, "s"), low=Quantity(min(float(low), value), "s"), high=Quantity(max(float(high), value), "s"),
            level=LEVEL,
        )  # fmt: skip
    return Tried(
        name=one.name, model=one.model, points=points, seconds=seconds, parameters=one.parameters,
        flops_per_row=one.flops_per_row, reason=one.reason,
        training_memory=None if one.training is None else Quantity(one.training.memory, "B"),
    )  # fmt: skip
