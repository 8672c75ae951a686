"""What each stage takes: constants x features of the build. Features are told by the pilot and the blueprint; constants are fitted on
builds that have ended (`fit`), and kept in constants.toml.

Features of seconds are seconds themselves wherever something was measured here (`measured`, `scored`, `alone`, `sweep`), so that another
machine changes them; what is left (`fixed`, `opened`, `networks`, `weights`, `resampled`) is that of the reference machine.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from modelyard.blueprint import Blueprint
from modelyard.forecast.calibration import Ceilings
from modelyard.forecast.pilot import Pilot
from modelyard.serve.stage import LONGEST, ONE_BY_ONE, ONE_BY_ONE_TIME, TINY_LEVEL, USUAL_LEVEL
from modelyard.serve.sweep import BISECTIONS, FEWEST, FIRST_RATE, LONGEST_LEVEL, MOST_RATE

NAMES = ("prepare", "train", "evaluate", "audit", "compress", "package", "serve", "business", "report")
KINDS = ("seconds", "memory", "disk")
MEASURED = frozenset({"measured", "scored", "alone", "sweep"})
"""Features in seconds of this machine."""
HTTP = 0.0015
"""Seconds of a request beside the model's own."""
BETWEEN = 0.5
"""Seconds between two levels of the load test."""
SINGLE = 1.5
"""Times a row that is answered alone takes what one of a batch takes."""
LEAST_SPREAD = 0.05

Features = dict[str, float]


@dataclass(frozen=True, slots=True)
class Constants:
    """Of one stage and kind."""

    values: Mapping[str, float]
    spread: float

    def of(self, features: Mapping[str, float]) -> float:
        """Sum of constant x feature; a feature without a constant counts nothing."""
        return sum(self.values.get(name, 0.0) * value for name, value in features.items())


@dataclass(frozen=True, slots=True)
class Table:
    """All constants."""

    of: Mapping[str, Mapping[str, Constants]]
    """Kind -> stage -> constants."""
    fitted_on: str
    gain: float
    """Of quality, see constants.toml."""
    gain_spread: float
    reference: Ceilings | None = None
    """The machine that they were fitted on; None: they are taken as they are."""

    def slowness(self, here: Ceilings | None) -> float:
        """How many times longer unmeasured work takes here."""
        return 1.0 if here is None or self.reference is None else here.slowness(self.reference)


@cache
def table(file: Path = Path(__file__).parent / "constants.toml") -> Table:
    """The constants as they are shipped."""
    return read(tomllib.loads(file.read_text(encoding="utf-8")))


def read(values: Mapping[str, object]) -> Table:
    """Constants from plain values; KeyError where a stage lacks."""
    found: dict[str, dict[str, Constants]] = {}
    for kind in KINDS:
        rows = values[kind]
        assert isinstance(rows, Mapping)
        found[kind] = {
            stage: Constants({key: float(each) for key, each in rows[stage].items() if key != "spread"}, float(rows[stage]["spread"]))
            for stage in NAMES
        }  # fmt: skip
    quality, reference = values["quality"], values.get("reference")
    assert isinstance(quality, Mapping)
    ceilings = Ceilings.model_validate(reference) if reference else None
    return Table(found, str(values["fitted_on"]), float(quality["gain"]), float(quality["spread"]), ceilings)


# -- features -------------------------------------------------------------------------------------------------------------


def features(pilot: Pilot, blueprint: Blueprint, *, train: float) -> dict[str, dict[str, Features]]:
    """Kind -> stage -> features; `train` is what all candidates take together, in seconds."""
    ran = [one for one in pilot.candidates if one.known]
    learnt = [one for one in ran if not one.baseline] or ran
    networks = [one for one in ran if one.learns == "loop"]
    folds, test, held = pilot.folds, pilot.split("test"), pilot.split("validation")
    compared = held if folds == 1 else held + pilot.split("train")
    rows = sum(one.row_seconds for one in ran) * folds
    chosen = sum(one.row_seconds for one in learnt) * folds
    weights = sum(one.weights for one in networks) * folds / 1e9
    resampled = test * blueprint.evaluate.bootstrap * len(ran) / 1e6
    opened, count = float(len(ran) * folds), float(len(networks) * folds)
    peak = _train_peak(pilot)
    exported = float(bool(networks))
    jobs = sum(one.disk(pilot.split("train")) for one in ran) * (folds if folds > 1 else 1 + blueprint.train.refit)
    read_bytes = pilot.prepare_disk * pilot.rows / max(pilot.sampled, 1)
    later = {"fixed": 1.0, "measured": peak, "networks": exported}
    small = {"fixed": 1.0}
    return {
        "seconds": {
            "prepare": {"measured": _preparing(pilot)},
            "train": {"measured": train, "fixed": 1.0, "resampled": held * 200 * len(ran) / 1e6},
            "evaluate": {"fixed": 1.0, "scored": test * rows, "resampled": resampled, "opened": opened},
            "audit": {"fixed": 1.0, "scored": test * chosen, "resampled": resampled, "opened": opened},
            "compress": {"fixed": 1.0, "networks": count, "weights": weights, "scored": compared * chosen},
            "package": {"fixed": 1.0, "weights": weights, "networks": exported},
            "serve": {"fixed": 1.0, **_serving(blueprint, chosen)},
            "business": small,
            "report": small,
        },
        "memory": {
            "prepare": {"measured": pilot.prepare_peak.at(pilot.rows) if pilot.prepare_peak else 0.0},
            "train": {"measured": peak},
            **dict.fromkeys(NAMES[2:], later),
        },
        "disk": {
            "prepare": {"measured": read_bytes},
            "train": {"measured": jobs, "weights": weights, "fixed": 1.0},
            "evaluate": {"fixed": 1.0, "answers": float(test * (len(ran) + 1))},
            "compress": {"weights": weights, "fixed": 1.0},
            "package": {"weights": weights, "fixed": 1.0},
            **dict.fromkeys(("audit", "serve", "business", "report"), small),
        },
    }


def _preparing(pilot: Pilot) -> float:
    line = pilot.preparing
    return pilot.read + pilot.cold + (line.at(pilot.rows) if line else 0.0)


def _train_peak(pilot: Pilot) -> float:
    """The pilot's highest peak, grown by the rows' own bytes: those of the prepared source, in memory as objects and as arrays."""
    highest = max((one.peak for one in pilot.candidates), default=0.0)
    line = pilot.prepare_peak
    grown = line.at(pilot.rows) - line.at(pilot.sampled) if line else 0.0
    return highest + max(grown, 0.0)


def _serving(blueprint: Blueprint, row: float) -> Features:
    """Seconds of one request at a time, and of the levels: doubled until the capacity is passed, then halved in on it."""
    serve = blueprint.serve
    tiny = blueprint.size == "tiny"
    level = TINY_LEVEL if tiny and "level_time" not in serve.model_fields_set else serve.level_time.value
    alone = row * SINGLE + HTTP
    longest = LONGEST[blueprint.size] * max(1.0, level / (TINY_LEVEL if tiny else USUAL_LEVEL))
    if serve.levels is not None:
        sweep = sum(max(level, min(FEWEST / rate, LONGEST_LEVEL)) + BETWEEN for rate in serve.levels)
    else:
        capacity = min(max(1.0 / alone, FIRST_RATE), MOST_RATE)
        levels = math.floor(math.log2(capacity / FIRST_RATE)) + 2 + BISECTIONS
        sweep = min(levels * (level + BETWEEN), longest + level)
    return {"alone": min(ONE_BY_ONE_TIME, ONE_BY_ONE * alone), "sweep": sweep}


# -- fitting --------------------------------------------------------------------------------------------------------------


def fit(samples: Sequence[tuple[Mapping[str, float], float]], first: Constants, *, belief: float = 0.5) -> Constants:
    """Constants, none below 0, of least relative error over (features, outcome); few samples leave `first` nearly as it is.

    `belief` is how far, relatively, a constant is thought to lie from `first` beforehand: ridge regression towards it, solved by
    coordinate descent. ValueError for an outcome that is not above 0.
    """
    if any(outcome <= 0 for _, outcome in samples):
        raise ValueError("an outcome is above 0")
    names = list(first.values)
    start = np.array([first.values[name] for name in names])
    if not samples or not names:
        return first
    design = np.array([[given.get(name, 0.0) / outcome for name in names] for given, outcome in samples])
    scale = np.where(start > 0, start, 1e-3)
    design = design * scale  # constants in units of their first value
    pull = (LEAST_SPREAD * 2 / belief) ** 2
    found = np.ones(len(names))
    for _ in range(200):
        for place in range(len(names)):
            column = design[:, place]
            left = 1.0 - design @ found + column * found[place]
            found[place] = max(0.0, float((column @ left + pull) / (column @ column + pull)))
    errors = np.log(np.maximum(design @ found, 1e-9))
    free = max(len(samples) - 1, 1)
    spread = max(LEAST_SPREAD, math.sqrt((float(errors @ errors) + first.spread**2) / (free + 1)))
    return Constants({name: float(value) for name, value in zip(names, found * scale, strict=True)}, spread)
