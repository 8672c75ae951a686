"""What the command line asks for: the forecast of a blueprint, printed and written down, and the scores.

It prints nothing itself: it answers lines.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from modelyard.blueprint import Blueprint
from modelyard.forecast import forecasting, scoring, telling
from modelyard.records.forecast import Forecast
from modelyard.store import Store, read_json, write_json

FILE = "forecast.json"


def told(blueprint: Blueprint, folder: Path | None = None) -> list[str]:
    """Make the forecast, write `forecast.json` into the build folder, and say it."""
    store = Store(folder if folder is not None else Path("builds") / blueprint.name)
    factors = scoring.factors(scoring.here(scoring.read()))
    found = forecasting.make(blueprint, factors=factors)
    with store.lock():
        write_json(store.path(FILE), found.model_dump(mode="json"))
    return telling.lines(found)


def scores() -> list[str]:
    """How wrong the forecasts of this machine were."""
    builds = scoring.here(scoring.read())
    return telling.scores(builds, scoring.errors(builds))


def before(path: Path, folder: Path, *, rates: Path | None = None, say: Callable[[str], None]) -> None:
    """Forecast a build that is about to run, in a process of its own, so that the build's memory is its own.

    A forecast that fails is said and stops nothing: the build meets the same fault, and tells it better.
    """
    command = [sys.executable, "-m", "modelyard", "forecast", str(path), "--out", str(folder)]
    command += ["--rates", str(rates)] if rates is not None else []
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in (ended.stdout if ended.returncode == 0 else f"no forecast: {ended.stderr.strip()[-500:]}").splitlines():
        say(line)


def due(blueprint: Blueprint, folder: Path, *, to: str | None, only: str | None) -> bool:
    """Whether a run deserves a forecast: a whole one of a build that has not trained yet. Size `tiny` only checks that all runs."""
    if only is not None or to in ("prepare", "train") or blueprint.size == "tiny":
        return False
    return not (folder / "train.json").exists() and not (folder / FILE).exists()


def read(folder: Path) -> Forecast | None:
    """A build's forecast, or None."""
    try:
        return Forecast.model_validate(read_json(folder / FILE))
    except (OSError, ValueError):
        return None
