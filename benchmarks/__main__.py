"""`python -m benchmarks NAME`: run what is missing of a benchmark and print its ratios.

python -m benchmarks                          what there is, and how far it is
python -m benchmarks mail                     every missing cell, then the table
python -m benchmarks tables --folds credit    some cells; --again runs them anew
python -m benchmarks mail --folds domain-0 --budget 20     a quick look; never published
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import Any

from benchmarks.harness import RESULTS, Session
from benchmarks.ratios import table

NAMES = (
    "mail",
    "tables",
    "fraud",
    "single_row",
    "package",
    "serving",
    "endurance",
    "nanogpt",
    "decode",
    "finetune",
    "forecast",
)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", choices=NAMES, help="which benchmark; without it, what there is")
    parser.add_argument(
        "--folds", nargs="+", default=[], metavar="CELL", help="cells to run, by the beginnings of their names (all)"
    )
    parser.add_argument("--rounds", type=int, help="rounds in which contenders take turns at single rows")
    parser.add_argument(
        "--budget", type=float, metavar="SECONDS", help="training time of each contender that keeps one"
    )
    parser.add_argument("--minutes", type=float, help="how long a soak lasts")
    parser.add_argument("--again", action="store_true", help="run cells that are there once more")
    parser.add_argument(
        "--contenders", nargs="+", default=[], metavar="NAME",
        help="run these anew in cells that are there; the others' answers stay (only where no times are compared)",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    if given.name is None:
        print(overview())
        return 0
    module: Any = importlib.import_module(f"benchmarks.{given.name}")
    settings = dict(module.DEFAULTS)
    for key in ("rounds", "budget", "minutes"):
        value = getattr(given, key)
        if value is None:
            continue
        if key not in settings:
            parser.error(f"{given.name} has no --{key}; it has: {', '.join('--' + known for known in settings)}")
        settings[key] = value
    strange = [prefix for prefix in given.folds if not any(cell.startswith(prefix) for cell in module.CELLS)]
    if strange:
        parser.error(f"{given.name} has no cell {', '.join(strange)}. Cells: {', '.join(module.CELLS)}")
    known = getattr(module, "CONTENDERS", ())
    if unknown := [name for name in given.contenders if name not in known]:
        parser.error(f"{given.name} cannot run {', '.join(unknown)} alone; it can: {', '.join(known) or 'none'}")
    module.run(
        Session(
            given.name,
            settings,
            dict(module.DEFAULTS),
            only=given.folds,
            again=given.again,
            contenders=given.contenders,
        )
    )
    return 0


def overview() -> str:
    """Every benchmark, how many of its cells are there, and how long a whole run takes."""
    lines = []
    for name in NAMES:
        module: Any = importlib.import_module(f"benchmarks.{name}")
        session = Session(name, dict(module.DEFAULTS), dict(module.DEFAULTS))
        there = sum(session.path(cell).exists() for cell in module.CELLS)
        published = "yes" if (RESULTS / f"{name}.json").exists() else "no"
        lines.append(
            [
                name,
                f"{there} of {len(module.CELLS)}",
                published,
                f"{module.MINUTES:.0f} min",
                (module.__doc__ or "").splitlines()[0].split(": ", 1)[-1],
            ]
        )
    return table(["name", "cells here", "published", "a whole run", "what"], lines)


if __name__ == "__main__":
    sys.exit(main())
