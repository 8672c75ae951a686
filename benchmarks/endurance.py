"""endurance: what the gate costs, and what the service does under three times its load, for half an hour, and when a worker is killed.

`gate` and `killed` are asked of a linear model, so that what is measured is the service; `overload` and `soak` of the encoder. Every
request carries a key and is billed; at the end the ledger is compared with what clients received.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import builds, harness, ratios
from benchmarks.harness import Session
from benchmarks.ratios import Bar, Result
from modelyard import packages
from modelyard.serve import client, load, sweep
from modelyard.serve.client import RunningService
from modelyard.store import read_json, write_json

DEFAULTS = {"budget": 360.0, "minutes": 30.0}
CELLS = ["gate", "overload", "killed", "canary", "soak"]
MODEL = {
    "gate": "credit-linear",
    "killed": "credit-linear",
    "canary": "credit-linear",
    "overload": "encoder",
    "soak": "encoder",
}
TARGET = builds.ENCODER_TARGET
GATE_RATE, METERED_RATE = 300.0, 400.0
"""Requests a second of the two bars on the gate."""
TIMES, SECONDS = 3.0, 60.0
"""Load over capacity, and for how long."""
SHARE = 0.7
"""Load of the soak, of the capacity."""
MINUTES = 45.0


def run(session: Session) -> None:
    """Run the missing cells and report."""
    cells = session.run(CELLS, lambda cell, turn: measure(cell, session.settings))
    if cells:
        session.finish(report(cells), whole=len(cells) == len(CELLS))


def measure(cell: str, settings: dict[str, Any]) -> dict[str, Any]:
    """One of them."""
    name = MODEL[cell]
    build = builds.folder(name, settings["budget"])
    found: dict[str, Any] = {"before": harness.facts()}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as place:
        with harness.contender("modelyard", "shipped", sys.executable, folder=Path(place)) as shipped:
            found["build"] = builds.make(name, settings["budget"], shipped)
            records = shipped.do("rows", folder=str(build), text=False)
            found["contenders"] = {"modelyard": {"versions": shipped.do("versions")}}
        with client.running(build / "package", workers=2 if cell == "killed" else 1) as service:
            asked = _Asked(service, [json.dumps({"row": record}, ensure_ascii=False) for record in records])
            asked.drive(rate=20.0, seconds=3.0)  # warm
            found |= {"gate": gate, "overload": overload, "killed": killed, "canary": canary, "soak": soak}[cell](
                asked, build, settings
            )
            found["ledger"] = asked.audit()
    found["after"] = harness.facts()
    return found


class _Asked:
    """A service, who asks it, and what they received."""

    def __init__(self, service: RunningService, bodies: list[str]) -> None:
        self.service, self.bodies = service, bodies
        self.received = 0

    def drive(self, *, rate: float, seconds: float, seed: int = 0) -> dict[str, Any]:
        """Poisson arrivals; what was answered is added up."""
        found = load.drive({
            "host": "127.0.0.1", "port": self.service.port, "path": "/v1/predict", "headers": self.service.headers, "bodies": self.bodies,
            "rate": rate, "seconds": seconds, "arrivals": "poisson", "seed": seed, "grace": 5.0, "target": TARGET,
        })  # fmt: skip
        self.received += found["answered"]
        return found

    def capacity(self) -> float:
        """The highest rate whose p95 keeps the target."""

        def level(rate: float) -> Any:
            seconds = sweep.lasting(rate, 6.0)
            found = self.drive(rate=rate, seconds=seconds, seed=round(rate))
            return sweep.level(found, rate=rate, seconds=seconds, target=TARGET)

        return sweep.highest(sweep.sweep(level, rates=None, target=TARGET, enough=lambda: False))

    def buckets(self, stage: str) -> dict[float, float]:
        """Requests by the seconds of a stage, cumulated."""
        text = self.service.ask("GET", "/metrics")[1].decode()
        return {
            float(edge): float(count)
            for edge, name, count in re.findall(
                r'modelyard_stage_seconds_bucket{le="([^"]+)",stage="([^"]+)"} (\S+)', text
            )
            if name == stage
        }

    def audit(self) -> dict[str, Any]:
        """What the ledger bills, what the balances say, what clients received; and whether every chain is whole."""
        from modelyard.accounts.database import open_database
        from modelyard.accounts.state import State
        from modelyard.accounts.verifying import verify

        with open_database(State(self.service.state).database) as database:
            with database.read() as held:
                uses = held.all("SELECT units FROM entries WHERE kind = 'use'")
                used = held.one("SELECT sum(used), sum(reserved) FROM balances WHERE unit = 'request'")
            billed = [json.loads(units)["request"] for (units,) in uses]
            faults = [str(fault) for fault in verify(database).faults]
        return {"received": self.received, "billed": sum(billed), "balances": list(used or ()), "faults": faults}


@contextmanager
def _watched(pid: int) -> Iterator[list[float]]:
    """Resident bytes each second."""
    found: list[float] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(1.0):
            found.append(_resident(pid))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def _resident(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", text, re.M)
    assert found
    return float(found[1]) * 1024


def gate(asked: _Asked, build: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Seconds of key, quota and ledger at 300 requests a second on one core, and whether 400 are metered; then the highest rate."""
    cores = sorted(os.sched_getaffinity(0))
    _pin(asked.service.pid, {cores[0]})
    before = asked.buckets("gate")
    found = asked.drive(rate=GATE_RATE, seconds=30.0)
    after = asked.buckets("gate")
    counts = {edge: after[edge] - before.get(edge, 0.0) for edge in after}
    metered = asked.drive(rate=METERED_RATE, seconds=20.0)
    return {"counts": {str(edge): count for edge, count in counts.items()}, "at": found, "metered": metered, "capacity": asked.capacity()}  # fmt: skip


def _pin(pid: int, cores: set[int]) -> None:
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), cores)


def overload(asked: _Asked, build: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Three times the capacity for a minute, then half of it."""
    capacity = asked.capacity()
    with _watched(asked.service.pid) as memory:
        over = asked.drive(rate=TIMES * capacity, seconds=SECONDS)
    time.sleep(2.0)
    after = asked.drive(rate=capacity / 2, seconds=20.0)
    return {"capacity": capacity, "over": over, "recovery": after, "memory": memory}


def soak(asked: _Asked, build: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Minute after minute at 70 % of the capacity."""
    capacity = asked.capacity()
    with _watched(asked.service.pid) as memory:
        minutes = [
            asked.drive(rate=SHARE * capacity, seconds=60.0, seed=minute)
            for minute in range(round(settings["minutes"]))
        ]
    return {"capacity": capacity, "minutes": minutes, "memory": memory}


def killed(asked: _Asked, build: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """One of two workers is killed each five seconds; clients retry with their idempotency keys until they have an answer."""
    import httpx

    from modelyard.client import Client

    stop, row = threading.Event(), json.loads(asked.bodies[0])["row"]
    times: list[float] = []

    def ask() -> None:
        customer = Client(f"http://127.0.0.1:{asked.service.port}", key=asked.service.key)
        while not stop.is_set():
            began = time.monotonic()
            customer.predict([row])
            times.append(time.monotonic() - began)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    recovered = []
    for _ in range(6):
        time.sleep(5.0)
        present = _children(asked.service.pid)
        os.kill(min(present), signal.SIGKILL)
        began = time.monotonic()
        recovered.append(_both(asked.service, present, began, httpx))
    stop.set()
    for thread in threads:
        thread.join()
    asked.received += len(times)
    return {"recovered": recovered, "answers": len(times), "longest": max(times)}


def canary(asked: _Asked, build: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """A version that answers the opposite gets a tenth of the requests; then the live version is swapped six times."""
    from modelyard.serve.deployment import DeploymentFile

    file, load_of = DeploymentFile(asked.service.state), {"rate": 100.0, "seconds": 45.0}
    (name,) = file.read().models
    with tempfile.TemporaryDirectory(prefix="benchmark-") as place:
        bad = opposite(build / "package", Path(place) / "bad", "9.0.0")
        with ThreadPoolExecutor(1) as beside:
            driving = beside.submit(asked.drive, **load_of)
            time.sleep(3.0)
            began = time.time()
            file.try_out(bad, now=began, percent=10.0)
            while (told := file.read().models[name]).trial is not None and time.time() - began < 40.0:
                time.sleep(0.05)
            event = told.events[-1]
            bad_load = driving.result()
            driving = beside.submit(asked.drive, **load_of)
            for number in range(6):
                time.sleep(6.0)
                file.place(opposite(build / "package", Path(place) / str(number), f"2.0.{number}"), now=time.time())
            swapped = driving.result()
    return {"rolled_back": time.time() - began if event.kind != "rolled_back" else event.at - began, "event": event.kind, "reason": event.reason, "bad": bad_load, "swapped": swapped}  # fmt: skip


def opposite(package: Path, place: Path, version: str) -> Path:
    """The package with every weight of its linear model negated, as another version."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(package, place)
    for file in place.glob("members/*/weights.safetensors"):
        save_file({name: -value for name, value in load_file(file).items()}, file)
    write_json(place / "package.json", read_json(place / "package.json") | {"version": version})
    packages.write_hashes(place)
    return place


def _children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def _both(service: RunningService, before: set[int], began: float, httpx: Any) -> float:
    """Seconds until there are two workers again, a new one among them, and both have answered."""
    while time.monotonic() - began < 30.0:
        now = _children(service.pid)
        if len(now) == 2 and now - before:
            said = [_ready(service, httpx) for _ in range(20)]
            if all(said):
                return time.monotonic() - began
        time.sleep(0.02)
    return float("inf")


def _ready(service: RunningService, httpx: Any) -> bool:
    try:
        return bool(httpx.get(f"http://127.0.0.1:{service.port}/readyz", timeout=2.0).status_code == 200)
    except httpx.HTTPError:
        return False


# -- report ---------------------------------------------------------------------------------------------------------------


def report(cells: dict[str, dict[str, Any]]) -> Result:
    """Bars of every cell that is there, a line for each."""
    bars: list[Bar] = []
    lines = []
    for name, cell in cells.items():
        found, told = _JUDGED[name](cell)
        bars += found
        ledger = cell["ledger"]
        exact = ledger["received"] == ledger["billed"] == ledger["balances"][0] and not ledger["faults"]
        bars.append(Bar(f"{name}: received = billed = balances", "exact", f"{ledger['received']:,} = {ledger['billed']:,} = {ledger['balances'][0]:,}", exact))  # fmt: skip
        lines.append([name, told])
    figures = {
        name: {key: cell[key] for key in cell if key not in ("before", "after", "contenders")}
        for name, cell in cells.items()
    }
    caption = "The service as `yard serve --state` runs it, SQLite, keys and bills on, one worker (`killed`: two), Poisson arrivals."
    return Result("endurance", bars, [(caption, ["", "what was measured"], lines)], figures, **ratios.provenance(cells))


def _gate(cell: dict[str, Any]) -> tuple[list[Bar], str]:
    counts = {float(edge): count for edge, count in cell["counts"].items()}
    total = counts[float("inf")]
    share = {edge: counts[edge] / total for edge in (0.0005, 0.001, 0.002, 0.003, 0.005)}
    metered = cell["metered"]
    return [
        Bar("key, quota and ledger, 300 requests/s on one core: p50", "≤ 1 ms", f"{share[0.001]:.1%} within 1 ms", share[0.001] >= 0.5),
        Bar("the same: p99", "≤ 3 ms", f"{share[0.003]:.1%} within 3 ms", share[0.003] >= 0.99),
        Bar("400 metered requests/s on one core", "no error", f"{metered['answered']:,} of {metered['requests']:,}", metered["answered"] == metered["requests"]),
    ], f"gate: {', '.join(f'{part:.1%} ≤ {edge * 1e3:g} ms' for edge, part in share.items())}; highest sustained rate {cell['capacity']:.0f} requests/s"  # fmt: skip


def _overload(cell: dict[str, Any]) -> tuple[list[Bar], str]:
    over, after, capacity = cell["over"], cell["recovery"], cell["capacity"]
    goodput = over["in_time"] / SECONDS
    grown = _growth(cell["memory"])
    return [
        Bar("overload, 3 × capacity for 60 s: answered in time", "≥ 90 % of capacity", f"{goodput / capacity:.1%}", goodput >= 0.9 * capacity),
        Bar("overload: p95 of accepted requests", f"≤ {TARGET * 1e3:g} ms", f"{over['answered_p95'] * 1e3:.0f} ms", over["answered_p95"] <= TARGET),
        Bar("overload: memory", "flat", f"{grown:+.1%}", grown < 0.02),
        Bar("overload: half the load afterwards", "no error, p95 in target", f"{after['p95'] * 1e3:.0f} ms, errors {after['errors'] or 'none'}", not after["errors"] and after["p95"] <= TARGET),
    ], f"capacity {capacity:.0f}/s, offered {TIMES * capacity:.0f}/s, answered {over['answered'] / SECONDS:.0f}/s, refused or failed {over['errors']}"  # fmt: skip


def _canary(cell: dict[str, Any]) -> tuple[list[Bar], str]:
    failed = sum(cell["bad"]["errors"].values()) + sum(cell["swapped"]["errors"].values())
    seconds, rolled = cell["rolled_back"], cell["event"] == "rolled_back"
    return [
        Bar("a bad canary is rolled back", "within 30 s", f"{seconds:.1f} s" if rolled else "not", rolled and seconds <= 30.0),
        Bar("canary and six swaps under 100 requests/s: failed requests", "0", str(failed), failed == 0),
    ], f"the reason told: {cell['reason']}"  # fmt: skip


def _growth(memory: list[float]) -> float:
    """Of the last tenth over the first, the first tenth left out: what was warming."""
    tenth = max(len(memory) // 10, 1)
    first, last = memory[tenth : 2 * tenth] or memory[:1], memory[-tenth:]
    return ratios.median(last) / ratios.median(first) - 1


def _killed(cell: dict[str, Any]) -> tuple[list[Bar], str]:
    slowest = max(cell["recovered"])
    return (
        [Bar("a worker killed under load: two answer again", "< 5 s", f"{slowest:.1f} s", slowest < 5.0)],
        f"{len(cell['recovered'])} kills, {cell['answers']:,} answers to clients that retry, the longest after {cell['longest']:.1f} s",
    )


def _soak(cell: dict[str, Any]) -> tuple[list[Bar], str]:
    grown = _growth(cell["memory"])
    p99 = [one["answered_p99"] for one in cell["minutes"]]
    half = len(p99) // 2
    drift = ratios.median(p99[half:]) / ratios.median(p99[:half]) - 1
    errors = Counter[str]()
    for one in cell["minutes"]:
        errors.update(one["errors"])
    refused, answered = errors.pop(REFUSED, 0), sum(one["answered"] for one in cell["minutes"])
    failed, minutes = sum(errors.values()), len(p99)
    return [
        Bar(f"soak, {minutes} minutes at 70 %: memory", "< 2 %", f"{grown:+.2%}", grown < 0.02),
        Bar("soak: median p99 of the second half over the first", "steady (within 25 %)", f"{drift:+.0%}", drift < 0.25),
        Bar("soak: failed requests", "none", str(failed), failed == 0),
    ], f"capacity {cell['capacity']:.0f}/s; p99 by minute {min(p99) * 1e3:.0f} to {max(p99) * 1e3:.0f} ms; {answered:,} answers, {refused / (answered + refused):.1%} refused (429) where a burst would have had to wait too long"  # fmt: skip


REFUSED = "status 429"
_JUDGED = {"gate": _gate, "overload": _overload, "killed": _killed, "canary": _canary, "soak": _soak}
