"""serving: how many requests a second at the same p95, beside a FastAPI handler and LitServe with the same encoder and weights?

Ours is the whole service: keys, quota, ledger, micro-batches, the model as `package` chose it. Peers are written as their
documentation shows, without keys or bills: FastAPI with ONNX Runtime, LitServe with batching on ONNX Runtime and on torch fp32.
One server runs at a time, all in each round; every one is offered rising rates until its p95 breaks the target.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import builds, harness, ratios, single_row
from benchmarks.harness import Contender, Session
from benchmarks.ratios import Bar, Result, interval
from modelyard.serve import client, load, sweep

DEFAULTS = {"budget": 360.0, "rounds": 3}
CELLS = ["encoder"]
TARGET = builds.ENCODER_TARGET
LEVEL = 6.0
"""Seconds of a level."""
OURS = "modelyard"
SAME_GRAPH = "modelyard-onnx"
"""Ours with the very graph that the peers run."""
PEERS = ("fastapi-onnx", "litserve-onnx", "litserve-torch")
BARS = {"fastapi-onnx": 2.0, "litserve-onnx": 1.3, "litserve-torch": 2.5}
ROWS = 200
MINUTES = 25.0


def run(session: Session) -> None:
    """Run the missing cells and report."""
    cells = session.run(CELLS, lambda cell, turn: measure(cell, session.settings))
    if cells:
        session.finish(report(cells), whole=len(cells) == len(CELLS))


def measure(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The highest sustained rate of each, in rounds."""
    build = builds.folder(name, settings["budget"])
    cell: dict[str, Any] = {"before": harness.facts(), "contenders": {}}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        shipped = stack.enter_context(harness.contender(OURS, "shipped", sys.executable, folder=folder))
        cell["build"] = builds.make(name, settings["budget"], shipped)
        asked = shipped.do("peer_files", folder=str(build), place=str(folder / "peer"), count=ROWS)
        peer = stack.enter_context(
            harness.contender("peers", "serving_peers", harness.environment("serving"), folder=folder)
        )
        packages = {OURS: build / "package", SAME_GRAPH: single_row.as_package(build, folder / "onnx", "compress/onnx")}
        bodies = {
            "row": [json.dumps({"row": record}, ensure_ascii=False) for record in asked["records"]],
            "text": [json.dumps({"text": text}, ensure_ascii=False) for text in asked["texts"]],
        }
        names = [OURS, SAME_GRAPH, *PEERS]
        found: dict[str, list[dict[str, Any]]] = {each: [] for each in names}
        for number in range(settings["rounds"]):
            for later in range(len(names)):
                each = names[(number + later) % len(names)]
                harness.say(f"round {number + 1}: {each}")
                place = _ours(packages[each]) if each in packages else _peer(peer, each, folder / "peer")
                with place as plan:
                    found[each].append(_sustained({**plan, "bodies": bodies["row" if each in packages else "text"]}))
        for each in names:
            versions = shipped.do("versions") if each in packages else peer.do("versions")
            cell["contenders"][each] = {"rounds": found[each], "versions": versions}
    cell["after"] = harness.facts()
    return cell


@contextmanager
def _ours(package: Path) -> Iterator[dict[str, Any]]:
    with client.running(package) as service:
        yield {"host": "127.0.0.1", "port": service.port, "headers": service.headers, "path": "/v1/predict"}


@contextmanager
def _peer(peer: Contender, kind: str, folder: Path) -> Iterator[dict[str, Any]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    peer.do("start", kind=kind, folder=str(folder), port=port)
    try:
        _await(port)
        yield {"host": "127.0.0.1", "port": port, "headers": {}, "path": "/predict"}
    finally:
        peer.do("stop")


def _await(port: int) -> None:
    """Until it answers."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("POST", "/predict", json.dumps({"text": "hello"}), {"Content-Type": "application/json"})
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.5)
    raise RuntimeError("the peer's server does not answer")


def _sustained(plan: dict[str, Any]) -> dict[str, Any]:
    """The highest rate at which p95 keeps the target, and every level that was offered."""
    load.drive({**plan, "count": 50})  # warm

    def measure(rate: float) -> Any:
        seconds = sweep.lasting(rate, LEVEL)
        one = load.drive(
            {**plan, "rate": rate, "seconds": seconds, "arrivals": "poisson", "seed": round(rate), "grace": 2.0}
        )
        return sweep.level(one, rate=rate, seconds=seconds, target=TARGET)

    levels = sweep.sweep(measure, rates=None, target=TARGET, enough=lambda: False)
    return {"sustained": sweep.highest(levels), "levels": [level.model_dump(mode="json") for level in levels]}


# -- report ---------------------------------------------------------------------------------------------------------------


def report(cells: dict[str, dict[str, Any]]) -> Result:
    """A line a contender; bars on ours over each peer."""
    (cell,) = cells.values()
    told = cell["contenders"]
    rates = {name: [one["sustained"] for one in each["rounds"]] for name, each in told.items()}
    times = {
        (ours, name): ratios.ratio([[1 / rate] for rate in rates[name]], [[1 / rate] for rate in rates[ours]])
        for ours in (OURS, SAME_GRAPH)
        for name in PEERS
    }
    bars = [
        Bar(f"sustained requests a second over {name}", f"at least {least:g}", interval(times[OURS, name], 2), times[OURS, name].low >= least)
        for name, least in BARS.items()
    ]  # fmt: skip
    lines = [
        [
            name, f"{ratios.median(rates[name]):.0f}",
            "" if name in (OURS, SAME_GRAPH) else interval(times[OURS, name], 2),
            "" if name in (OURS, SAME_GRAPH) else interval(times[SAME_GRAPH, name], 2),
        ]
        for name in told
    ]  # fmt: skip
    caption = (
        f"Letters of up to 128 tokens, one a request, Poisson arrivals, p95 within {TARGET * 1e3:g} ms. {OURS} is the packaged variant "
        f"({cell['build']['variant']}) behind keys, quota and ledger; {SAME_GRAPH} is the same service with the peers' fp32 graph. "
        "One process each; FastAPI's handler runs in its threads, LitServe batches up to 16 within 5 ms."
    )
    header = ["", "sustained requests/s", f"{OURS} is faster by", f"{SAME_GRAPH} is faster by"]
    figures = {
        "sustained": rates,
        "times": {f"{ours} over {name}": found.model_dump() for (ours, name), found in times.items()},
    }
    return Result("serving", bars, [(caption, header, lines)], figures, **ratios.provenance(cells))
