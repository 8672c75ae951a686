"""What every benchmark shares: contenders in processes and environments of their own, cells that survive a kill, machine facts,
and the commands' sessions. It knows no data set, no peer and no metric by name.

A cell is one fold (or one round) with every contender in it; it is one JSON file, and a cell that is there is not run again.
Contenders take turns inside a cell, in an order that moves on from cell to cell, so that a busy moment of the machine falls on all.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.ratios import Result, write_section
from modelyard.records._base import machine
from modelyard.store import fingerprint, hash_tree, read_json, write_json

ROOT = Path(__file__).parent
RESULTS, ENVIRONMENTS, CONTENDERS = ROOT / "results", ROOT / "environments", ROOT / "contenders"
DOCUMENT = ROOT.parent / "docs" / "benchmarks.md"
BUSY = 0.5
"""Load average a core from which times are noise and even ratios suffer."""


# -- machine --------------------------------------------------------------------------------------------------------------


@cache
def sources() -> tuple[Path, str]:
    """A copy of `src`, and its fingerprint: what is measured stays the same while somebody edits the original."""
    copy = Path(tempfile.mkdtemp(prefix="benchmark-sources-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    shutil.copytree(ROOT.parent / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return copy / "src", fingerprint(hash_tree(copy / "src"))[:12]


def facts() -> dict[str, Any]:
    """This machine now: what it is, how loaded it is, which sources of Modelyard it measures."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": machine(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "commit": commit,
        "sources": sources()[1],
    }


def busy() -> str:
    """A warning where the machine is not quiet, else nothing."""
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    return (
        f"the machine is busy (load {load:.1f} on {cores} cores): times are noise, ratios suffer"
        if load > BUSY * cores
        else ""
    )


def measured(
    command: Sequence[str | Path], *, folder: Path | None = None, told: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a command to its end: `seconds`, `peak` (resident bytes of its largest process), `output`. CalledProcessError where it fails."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.monotonic()
        process = subprocess.Popen(
            [str(part) for part in command], cwd=folder, env=told, stdout=output, stderr=errors, text=True
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            raise subprocess.CalledProcessError(
                process.returncode, [str(part) for part in command], output.read(), errors.read()[-4000:]
            )
        return {"seconds": seconds, "peak": usage.ru_maxrss * 1024, "output": output.read()}


class Others:
    """How many cores other processes used since this was made: what the kernel counted, less what we and our ended children used."""

    def __init__(self) -> None:
        self._began, self._busy, self._own = time.monotonic(), self._counted(), self._ours()

    def cores(self) -> float:
        """Cores' worth of processor time, the host's theft included."""
        spent = self._counted() - self._busy - (self._ours() - self._own)
        return round(max(spent, 0.0) / max(time.monotonic() - self._began, 1e-9), 3)

    def _counted(self) -> float:
        ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        user, nice, system, _idle, _waiting, interrupts, soft, stolen = ticks
        return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")

    def _ours(self) -> float:
        used = os.times()
        return used.user + used.system + used.children_user + used.children_system


# -- environments ---------------------------------------------------------------------------------------------------------


def environment(peer: str) -> Path:
    """The Python of a peer's own virtual environment, made from `environments/<peer>.txt` where it is not there or out of date."""
    wanted = ENVIRONMENTS / f"{peer}.txt"
    folder = ROOT.parent / f".venv-{peer}"
    stamp, digest = folder / ".installed", hashlib.sha256(wanted.read_bytes()).hexdigest()
    python = folder / "bin" / "python"
    if not (stamp.exists() and stamp.read_text() == digest):
        say(f"making the environment of {peer} from {wanted.relative_to(ROOT.parent)} (minutes)")
        measured([sys.executable, "-m", "venv", "--clear", folder])
        measured([python, "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1"])
        measured([python, "-m", "pip", "install", "--quiet", "-r", wanted])
        stamp.write_text(digest)
    return python


# -- contenders -----------------------------------------------------------------------------------------------------------


class Contender:
    """A program of `contenders/` that runs and waits for orders. `contender.do("fit", ...)` answers its result."""

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path) -> None:
        self.name, self._process, self._log = name, process, log
        self.peak = 0
        self.seconds: dict[str, float] = {}

    def do(self, verb: str, **arguments: Any) -> Any:
        """Carry out an order and wait; RuntimeError, with the end of its log, where it fails."""
        assert self._process.stdin and self._process.stdout
        with suppress(BrokenPipeError):  # it died: the missing answer says so
            self._process.stdin.write(json.dumps({"do": verb, **arguments}) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "it died"}
        if "error" in answer:
            raise RuntimeError(
                f"{self.name}: {verb}: {answer['error']}\n{self._log.read_text(errors='replace')[-3000:]}"
            )
        self.peak, self.seconds[verb] = answer["peak"], round(answer["seconds"], 3)
        return answer["result"]


@contextmanager
def contender(name: str, program: str, python: Path | str, *, folder: Path) -> Iterator[Contender]:
    """Start a contender; its log stands in `folder`. It is ended whatever happens."""
    log = folder / f"{name}.log"
    told = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(sources()[0])}
    if Path(python) != Path(sys.executable):
        del told["PYTHONPATH"]  # a peer sees its own environment only
    with log.open("w") as errors:
        process = subprocess.Popen(
            [str(python), str(CONTENDERS / f"{program}.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=told,
        )
    try:
        yield Contender(name, process, log)
    finally:
        with suppress(BrokenPipeError):  # it died with an order unread
            if process.stdin:
                process.stdin.close()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


@dataclass(frozen=True)
class Entry:
    """A contender as a benchmark names it."""

    name: str
    program: str
    peer: str | None
    """Its environment; None: ours."""
    settings: dict[str, Any]

    def python(self) -> Path | str:
        """Its interpreter."""
        return environment(self.peer) if self.peer else sys.executable


@dataclass(frozen=True)
class Fold:
    """One split on disk. `asked` is `test` without the target: what a peer may see."""

    name: str
    train: Path
    test: Path
    asked: Path
    target: str
    identity: str


def compete(fold: Fold, entries: Sequence[Entry], *, turn: int, rounds: int, rows: int, folder: Path) -> dict[str, Any]:
    """Every contender on one fold: train and answer one after the other, then single rows in rounds, all of them loaded.

    Result, by contender: `facts`, `seconds`, `peak`, `answers`, `versions`, and `one` (a list of seconds for each round).
    """
    order = [entries[(turn + place) % len(entries)] for place in range(len(entries))]
    cell: dict[str, Any] = {"before": facts(), "order": [entry.name for entry in order], "contenders": {}}
    with ExitStack() as stack:
        running: dict[str, Contender] = {}
        for entry in order:
            place = folder / entry.name
            place.mkdir(parents=True, exist_ok=True)
            one = running[entry.name] = stack.enter_context(
                contender(entry.name, entry.program, entry.python(), folder=folder)
            )
            say(f"{fold.name}: {entry.name}")
            found = one.do(
                "fit", folder=str(place), train=str(fold.train), test=str(fold.test if entry.peer is None else fold.asked), target=fold.target,
                identity=fold.identity, settings=entry.settings,
            )  # fmt: skip
            answers = one.do("predict", rows=str(fold.asked))
            cell["contenders"][entry.name] = {
                "facts": found, "answers": answers, "seconds": dict(one.seconds), "peak": one.peak, "versions": one.do("versions"), "one": [],
            }  # fmt: skip
        for number in range(rounds):
            for later in range(len(order)):
                name = order[(number + later) % len(order)].name
                cell["contenders"][name]["one"].append(running[name].do("one", count=rows, start=number * rows))
    cell["after"] = facts()
    return cell


# -- cells ----------------------------------------------------------------------------------------------------------------


@dataclass
class Session:
    """One call of a benchmark: its settings, which cells to run, where they stand."""

    name: str
    settings: dict[str, Any]
    defaults: dict[str, Any]
    """The settings whose results are published."""
    only: Sequence[str] = ()
    """Prefixes of cells to run; none: all."""
    again: bool = False
    contenders: Sequence[str] = ()
    """Run these anew in the cells that are there, and keep the others' answers; none: whole cells."""
    results: Path = RESULTS
    document: Path = DOCUMENT

    @property
    def published(self) -> bool:
        """Whether these settings are the ones whose results are committed."""
        return self.settings == self.defaults

    @property
    def folder(self) -> Path:
        """Where the cells of these settings stand."""
        return self.results / "cells" / self.name / ("published" if self.published else fingerprint(self.settings)[:8])

    def path(self, cell: str) -> Path:
        """One cell's file."""
        return self.folder / f"{cell}.json"

    def run(self, cells: Sequence[str], make: Callable[[str, int], dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Run what is missing (or asked for again) and answer every cell that is there, in order. A failed cell leaves no file."""
        for turn, cell in enumerate(cells):
            wanted = not self.only or any(cell.startswith(prefix) for prefix in self.only)
            there = self.path(cell).exists()
            due = there if self.contenders else self.again or not there
            if not (wanted and due):
                continue
            if warning := busy():
                say(warning)
            began, others = time.monotonic(), Others()
            found = make(cell, turn)
            if self.contenders:
                before = read_json(self.path(cell))
                found = {**before, "contenders": {**before["contenders"], **found["contenders"]}}
            write_json(self.path(cell), {"others": others.cores(), **found})
            say(f"{cell}: {time.monotonic() - began:.0f} s")
        return {cell: read_json(self.path(cell)) for cell in cells if self.path(cell).exists()}

    def taking_part(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those asked for."""
        return [entry for entry in entries if not self.contenders or entry.name in self.contenders]

    def finish(self, result: Result, *, whole: bool) -> None:
        """Print; where every cell is there and the settings are the published ones, write `results/<name>.json` and the document."""
        print("\n" + result.markdown(), flush=True)
        values = {"name": self.name, "settings": self.settings, **asdict(result)}
        write_json(self.folder / "summary.json", values)
        if whole and self.published:
            write_json(self.results / f"{self.name}.json", values)
            write_section(self.document, self.name, result.markdown())
            say(f"written: {self.results / f'{self.name}.json'} and {self.document}")
        else:
            say("not published: " + ("the settings are not the default ones" if whole else "some cells are missing"))


def say(line: str) -> None:
    """News on standard error, so that standard output holds the result alone."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
