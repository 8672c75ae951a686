"""package: how large is a fresh serving environment, and how soon does it answer from cold?

The environment is made from the package's own requirements.txt. The peer is the trained model opened in the environment that
trained it, torch included. "Cold" is a fresh process; files may be in the system's cache.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import builds, harness, ratios
from benchmarks.harness import Session
from benchmarks.ratios import Bar, Result, interval

DEFAULTS = {"budget": 360.0, "rounds": 7}
CELLS = ["credit", "encoder"]
SLOWEST, LARGEST, HELPS = 3.0, 600e6, 0.5
"""Seconds to the first answer, bytes installed, seconds of `yard --help`."""
PACKAGED, TRAINED = "packaged", "trained"
MINUTES = 10.0
PROGRAM = """
import json, sys, time
from importlib.util import find_spec
from pathlib import Path
from modelyard.rows import from_records
folder, example, packaged = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3] == "packaged"
if packaged:
    from modelyard.packages import open_package
    predictor = open_package(folder, force=True).predictor
else:
    from modelyard.predictor import Predictor
    predictor = Predictor.open(folder)
answer = predictor.answer(from_records([example], predictor.state.inputs))
done = time.monotonic()
print(json.dumps({"done": done, "answer": answer, "torch": find_spec("torch") is not None, "loaded": "torch" in sys.modules}))
"""


def run(session: Session) -> None:
    """Run the missing cells and report."""
    cells = session.run(CELLS, lambda cell, turn: measure(cell, session.settings))
    if cells:
        session.finish(report(cells), whole=len(cells) == len(CELLS))


def measure(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Make the environment, then start both in turns."""
    build = builds.folder(name, settings["budget"])
    cell: dict[str, Any] = {"before": harness.facts()}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as place:
        folder = Path(place)
        with harness.contender("build", "shipped", sys.executable, folder=folder) as shipped:
            cell["build"] = builds.make(name, settings["budget"], shipped)
        package = folder / "package"
        shutil.copytree(build / "package", package)
        python, installed = fresh(folder / "environment", package)
        example = json.dumps(
            json.loads((package / "package.json").read_text(encoding="utf-8"))["examples"][0], ensure_ascii=False
        )
        commands = {
            PACKAGED: ([python, "-c", PROGRAM, package, example, "packaged"], {}),
            TRAINED: (
                [sys.executable, "-c", PROGRAM, build / "model", example, "trained"],
                {"PYTHONPATH": str(harness.sources()[0])},
            ),
        }
        found: dict[str, list[dict[str, Any]]] = {PACKAGED: [], TRAINED: []}
        for number in range(settings["rounds"] + 1):  # the first of each only compiles Python's files
            for each in (PACKAGED, TRAINED) if number % 2 == 0 else (TRAINED, PACKAGED):
                found[each].append(_start(*commands[each], folder))
        helped = [sys.executable, "-m", "modelyard", "--help"]
        told = {**os.environ, "PYTHONPATH": str(harness.sources()[0])}
        cell["help"] = [
            harness.measured(helped, folder=folder, told=told)["seconds"] for _ in range(settings["rounds"] + 1)
        ][1:]
        cell["contenders"] = {each: {"starts": starts} for each, starts in found.items()}
        cell["contenders"][PACKAGED] |= {
            "installed": installed,
            "requirements": (package / "requirements.txt").read_text(encoding="utf-8").splitlines(),
        }
    cell["after"] = harness.facts()
    return cell


def fresh(folder: Path, package: Path) -> tuple[Path, int]:
    """A new environment with what the package asks for, and the bytes that this added."""
    harness.measured([sys.executable, "-m", "venv", folder])
    python = folder / "bin" / "python"
    before = size(folder)
    told = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    harness.measured(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "-r", "requirements.txt"],
        folder=package,
        told=told,
    )
    return python, size(folder) - before


def size(folder: Path) -> int:
    """Bytes of the files below a folder, Python's compiled ones left out."""
    return sum(
        file.stat().st_size
        for file in folder.rglob("*")
        if file.is_file() and not file.is_symlink() and file.suffix != ".pyc"
    )


def _start(command: list[Any], told: dict[str, str], folder: Path) -> dict[str, Any]:
    """A fresh process up to its first answer: seconds (both clocks are the system's), peak memory, whether torch is there."""
    keep = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    began = time.monotonic()
    ended = harness.measured(command, folder=folder, told={**keep, "HF_HUB_OFFLINE": "1", **told})
    answer = json.loads(ended["output"].strip().splitlines()[-1])
    return {
        "seconds": answer["done"] - began,
        "peak": ended["peak"],
        "torch": answer["torch"],
        "torch_loaded": answer["loaded"],
    }


def report(cells: dict[str, dict[str, Any]]) -> Result:
    """A line a build, with bars on size and cold start."""
    bars, lines, figures = [], [], {}
    for name, cell in cells.items():
        starts = {each: [start["seconds"] for start in one["starts"][1:]] for each, one in cell["contenders"].items()}
        cold = {each: ratios.median(seconds) for each, seconds in starts.items()}
        faster = ratios.ratio([[second] for second in starts[TRAINED]], [[second] for second in starts[PACKAGED]])
        peak = {each: max(start["peak"] for start in one["starts"]) for each, one in cell["contenders"].items()}
        installed = cell["contenders"][PACKAGED]["installed"]
        free = not any(start["torch"] for start in cell["contenders"][PACKAGED]["starts"])
        bars += [
            Bar(
                f"{name}: cold start to the first answer",
                f"< {SLOWEST:g} s, without torch",
                f"{cold[PACKAGED]:.2f} s",
                cold[PACKAGED] < SLOWEST and free,
            ),
            Bar(
                f"{name}: installed for serving",
                f"< {LARGEST / 1e6:g} MB",
                f"{installed / 1e6:.0f} MB",
                installed < LARGEST,
            ),
        ]
        lines.append([
            name, f"{installed / 1e6:.0f} MB", f"{cell['build']['bytes'] / 1e6:.1f} MB", f"{cold[PACKAGED]:.2f} s", f"{cold[TRAINED]:.2f} s",
            interval(faster, 1), f"{peak[PACKAGED] / 1e6:.0f} MB", f"{peak[TRAINED] / 1e6:.0f} MB",
        ])  # fmt: skip
        figures[name] = {
            "build": cell["build"],
            "cold_start": cold,
            "times_faster": faster.model_dump(),
            "installed_bytes": installed,
            "peak_bytes": peak,
        }
    helped = ratios.median([seconds for cell in cells.values() for seconds in cell["help"]])
    bars.append(Bar("yard --help", f"< {HELPS:g} s", f"{helped:.2f} s", helped < HELPS))
    header = [
        "build",
        "environment",
        "package",
        "cold start: packaged",
        "trained",
        "faster by",
        "peak memory: packaged",
        "trained",
    ]
    caption = "From starting Python to the first answer, median of fresh processes."
    return Result("package", bars, [(caption, header, lines)], figures, **ratios.provenance(cells))
