"""forecast: every recipe's build foretold and then run, three seeds each; errors and coverage with constants fitted on the other recipes."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import builds, harness
from benchmarks.harness import Session
from benchmarks.ratios import Bar, Result
from modelyard.blueprint import Blueprint
from modelyard.blueprint.reading import dump
from modelyard.forecast import calibration, refitting, scoring, stages
from modelyard.forecast.scoring import Scored
from modelyard.records.forecast import Forecast
from modelyard.store import read_json
from modelyard.units import Quantity

SEEDS = (0, 1, 2)
RECIPES = (
    "credit", "house-prices", "card-fraud", "mail-spam", "speakers", "fashion", "fashion-gan", "verses-gpt", "verses-assistant",
)  # fmt: skip
CELLS = [f"{recipe}-{seed}" for seed in SEEDS for recipe in RECIPES]
DEFAULTS = {"budget": 36_000.0}
"""Seconds of training: ten hours cut nothing but what nobody would wait for. `--budget 0`: each recipe's own."""
MINUTES = 600.0
BARS = {"time": 0.15, "memory": 0.10, "cost": 0.15}
COVERED, PILOT = 0.8, 0.1
CONSTANTS = Path(stages.__file__).parent / "constants.toml"


def run(session: Session) -> None:
    """Run what is missing, judge every cell with constants fitted on the other recipes, and say which constants all of them give."""
    cells = session.run(CELLS, lambda cell, _: measure(cell, session.settings["budget"]))
    if not cells:
        return
    whole = len(cells) == len(CELLS)
    session.finish(report(cells), whole=whole)
    every = [Scored.model_validate(cell["scored"]) for cell in cells.values()]
    table = refitting.fitted(every, stages.table(), on=f"{len(every)} builds of {len(_by_recipe(cells))} recipes")
    place = session.folder / "constants.toml"
    here = calibration.ceilings()
    place.write_text(refitting.written(_with(table, here)), encoding="utf-8")
    harness.say(f"constants of all cells: {place}; copy them over {CONSTANTS} where they are to be shipped")


def _with(table: stages.Table, here: calibration.Ceilings) -> stages.Table:
    from dataclasses import replace

    return replace(table, reference=here)


def measure(cell: str, budget: float) -> dict[str, Any]:
    """Forecast and then run one recipe with one seed, each in a process of its own, with an empty cache folder."""
    recipe, _, seed = cell.rpartition("-")
    blueprint = Blueprint.load(builds.RECIPES / recipe / "blueprint.yaml")
    train = blueprint.train.model_copy(
        update={"seed": int(seed)} | ({"budget": Quantity(budget, "s")} if budget else {})
    )
    blueprint = blueprint.model_copy(update={"train": train})
    before = harness.facts()
    with tempfile.TemporaryDirectory(prefix="benchmark-forecast-") as name:
        folder = Path(name)
        path = folder / "blueprint.yaml"
        path.write_text(dump(blueprint), encoding="utf-8")
        told = {**os.environ, "XDG_CACHE_HOME": name, "PYTHONPATH": str(harness.sources()[0]), "HF_HUB_OFFLINE": "1"}
        yard = [sys.executable, "-m", "modelyard"]
        foretold = harness.measured([*yard, "forecast", path, "-o", folder / "build"], told=told)
        ran = harness.measured([*yard, "run", path, "-o", folder / "build", "--force", "--no-forecast"], told=told)
        scored = scoring.score(folder / "build")
        if scored is None:
            raise RuntimeError(f"{cell}: the build did not end, or is older than its forecast")
        forecast = read_json(folder / "build" / "forecast.json")
    return {
        "before": before, "after": harness.facts(), "scored": scored.model_dump(mode="json"), "forecast": forecast,
        "seconds": {"forecast": foretold["seconds"], "run": ran["seconds"]}, "contenders": {},
    }  # fmt: skip


def _by_recipe(cells: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for cell in cells:
        found.setdefault(cell.rpartition("-")[0], []).append(cell)
    return found


def judged(cells: dict[str, dict[str, Any]]) -> dict[str, Scored]:
    """Every cell with constants fitted on the other recipes; a single recipe is judged with those that are shipped."""
    by_recipe, found = _by_recipe(cells), {}
    scored = {cell: Scored.model_validate(values["scored"]) for cell, values in cells.items()}
    for recipe, own in by_recipe.items():
        others = [scored[cell] for cell in cells if cell not in own]
        table = refitting.fitted(others, stages.table(), on=f"all recipes but {recipe}") if others else stages.table()
        for cell in own:
            forecast = Forecast.model_validate(cells[cell]["forecast"])
            found[cell] = refitting.rejudged(scored[cell], forecast, table)
    return found


def report(cells: dict[str, dict[str, Any]]) -> Result:
    """Bars and tables."""
    scored = judged(cells)
    errors = {each.quantity: each for each in scoring.errors(list(scored.values()))}
    spent = {cell: values["seconds"]["forecast"] / values["seconds"]["run"] for cell, values in cells.items()}
    bars = [
        Bar(f"median error of {name}", f"at most {most:.0%}", f"{errors[name].median_error:.1%}", errors[name].median_error <= most)
        for name, most in BARS.items()
    ]  # fmt: skip
    bars += [
        Bar(f"90 % intervals of {name} that hold the outcome", f"at least {COVERED:.0%}", f"{errors[name].covered:.0%}", errors[name].covered >= COVERED)
        for name in (*BARS, "quality")
        if name in errors
    ]  # fmt: skip
    most = max(spent.values())
    bars.append(
        Bar("forecast's time over the build's, most of any", f"at most {PILOT:.0%}", f"{most:.1%}", most <= PILOT)
    )
    lines = [_line(cell, one, spent[cell]) for cell, one in scored.items()]
    header = ["", "time expected", "time", "memory expected", "memory", "quality expected", "quality", "forecast took"]
    caption = "Constants of each line are fitted on the other recipes; the cache was empty, and the training budget cut nothing."
    table = [
        [each.quantity, str(each.builds), f"{each.median_error:.1%}", f"{each.covered:.0%}"] for each in errors.values()
    ]
    return Result(
        "forecast", bars,
        [(caption, header, lines), ("Each quantity over all cells.", ["", "builds", "median error", "inside 90 %"], table)],
        {"errors": [each.model_dump() for each in errors.values()], "spent": spent, "pilot": median(spent.values())},
        runs=[{**values["before"], "others": values["others"]} for values in cells.values()],
    )  # fmt: skip


def _line(cell: str, one: Scored, spent: float) -> list[str]:
    found = {each.quantity: each for each in one.outcomes}

    def pair(name: str, form: str, size: float = 1.0) -> list[str]:
        each = found.get(name)
        if each is None:
            return ["not told", ""]
        said = f"{each.expected / size:{form}} ({each.low / size:{form}} to {each.high / size:{form}})"
        return [said, f"{each.outcome / size:{form}}" + ("" if each.inside else " (outside)")]

    return [cell, *pair("time", ".0f"), *pair("memory", ".0f", 1e6), *pair("quality", ".3f"), f"{spent:.1%}"]
