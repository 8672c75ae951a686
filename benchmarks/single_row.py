"""single_row: how fast does the packaged model answer one row, in process and over HTTP, and how much faster than as it was trained?

The peer is the trained model: for the encoder, torch fp32. Both are loaded, and served, at the same time and asked in turns.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import builds, harness, ratios
from benchmarks.harness import Session
from benchmarks.ratios import Bar, Result, interval
from modelyard import packages
from modelyard.serve import client, load
from modelyard.store import read_json

DEFAULTS = {"budget": 360.0, "rounds": 8}
CELLS = list(builds.SUBJECTS)
ROWS = 50
"""Single rows a round."""
PACKAGED, TRAINED = "packaged", "trained"
MINUTES = 30.0


def run(session: Session) -> None:
    """Run the missing cells and report."""
    cells = session.run(CELLS, lambda cell, turn: measure(cell, session.settings))
    if cells:
        session.finish(report(cells), whole=len(cells) == len(CELLS))


def measure(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """One build: in process, then over HTTP, in rounds."""
    build = builds.folder(name, settings["budget"])
    cell: dict[str, Any] = {"before": harness.facts(), "contenders": {}}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        running = {
            each: stack.enter_context(harness.contender(each, "shipped", sys.executable, folder=folder))
            for each in (PACKAGED, TRAINED)
        }
        cell["build"] = builds.make(name, settings["budget"], running[PACKAGED])
        records = running[TRAINED].do("rows", folder=str(build), text=builds.SUBJECTS[name].text)
        running[PACKAGED].do("open", folder=str(build / "package"), packaged=True)
        running[TRAINED].do("open", folder=str(build / "model"), packaged=False)
        seconds: dict[str, list[list[float]]] = {PACKAGED: [], TRAINED: []}
        for number in range(settings["rounds"]):
            for each in _turns(number):
                seconds[each].append(running[each].do("one", records=records, count=ROWS, start=number * ROWS))
        for each, one in running.items():
            cell["contenders"][each] = {"one": seconds[each], "peak": one.peak, "versions": one.do("versions")}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as place:
        served = {PACKAGED: build / "package", TRAINED: as_package(build, Path(place) / "trained")}
        for each, rounds in over_http(served, records, settings["rounds"]).items():
            cell["contenders"][each]["http"] = rounds
    cell["after"] = harness.facts()
    return cell


def _turns(number: int) -> tuple[str, str]:
    """Who goes first changes from round to round."""
    return (PACKAGED, TRAINED) if number % 2 == 0 else (TRAINED, PACKAGED)


def as_package(build: Path, place: Path, model: str = "model") -> Path:
    """The package with another artifact of the build in the compressed one's place, so that the same service serves it."""
    shutil.copytree(build / "package", place)
    for member in read_json(place / "artifact.json")["members"]:
        shutil.rmtree(place / member["folder"])
    for member in read_json(build / model / "artifact.json")["members"]:
        shutil.copytree(build / model / member["folder"], place / member["folder"])
    shutil.copy(build / model / "artifact.json", place / "artifact.json")
    packages.write_hashes(place)
    return place


def over_http(served: dict[str, Path], records: list[dict[str, Any]], rounds: int) -> dict[str, list[float]]:
    """Median seconds of one row at a time over one connection, for each round, both services up at once."""
    found: dict[str, list[float]] = {name: [] for name in served}
    bodies = [json.dumps({"row": record}, ensure_ascii=False) for record in records]
    with ExitStack() as stack:
        services = {name: stack.enter_context(client.running(folder)) for name, folder in served.items()}
        for number in range(rounds):
            for name in _turns(number):
                plan = {
                    "host": "127.0.0.1",
                    "port": services[name].port,
                    "headers": services[name].headers,
                    "path": "/v1/predict",
                    "bodies": bodies,
                    "count": ROWS,
                }
                result = load.drive(plan)
                assert not result["errors"], result["errors"]
                found[name].append(result["p50"])
    return found


# -- report ---------------------------------------------------------------------------------------------------------------


def report(cells: dict[str, dict[str, Any]]) -> Result:
    """A line a build; bars on the median over HTTP, and on the encoder's gain over torch fp32."""
    bars, lines, figures = [], [], {}
    for name, cell in cells.items():
        packaged, trained = cell["contenders"][PACKAGED], cell["contenders"][TRAINED]
        inside = {
            each: ratios.median([second for part in one["one"] for second in part])
            for each, one in cell["contenders"].items()
        }
        http = {each: ratios.median(one["http"]) for each, one in cell["contenders"].items()}
        faster = ratios.ratio(trained["one"], packaged["one"])
        faster_http = ratios.ratio([[second] for second in trained["http"]], [[second] for second in packaged["http"]])
        subject = builds.SUBJECTS[name]
        what = f"{name} (MiniLM, 128 tokens)" if subject.text else name
        demanded = f"≤ {subject.http_bar * 1e3:g} ms"
        bars.append(
            Bar(
                f"{what}: one row over HTTP, p50",
                demanded,
                f"{http[PACKAGED] * 1e3:.2f} ms",
                http[PACKAGED] <= subject.http_bar,
            )
        )
        if subject.text:
            bars.append(
                Bar(
                    f"{what}: over HTTP, times faster than torch fp32",
                    "at least 2",
                    interval(faster_http, 2),
                    faster_http.low >= 2,
                )
            )
        lines.append([
            what, cell["build"]["variant"], f"{inside[PACKAGED] * 1e3:.2f} ms", f"{inside[TRAINED] * 1e3:.2f} ms", interval(faster, 2),
            f"{http[PACKAGED] * 1e3:.2f} ms", f"{http[TRAINED] * 1e3:.2f} ms", interval(faster_http, 2),
        ])  # fmt: skip
        figures[name] = {
            "build": cell["build"], "in_process": inside, "http": http, "times_faster": faster.model_dump(), "times_faster_http": faster_http.model_dump(),
        }  # fmt: skip
    header = [
        "build",
        "variant",
        "in process: packaged",
        "trained",
        "faster by",
        "over HTTP: packaged",
        "trained",
        "faster by",
    ]
    caption = "Medians of one row at a time; the trained model answers with torch in fp32 where it has gradient-trained members."
    return Result("single_row", bars, [(caption, header, lines)], figures, **ratios.provenance(cells))
