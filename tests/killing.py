"""Kill `yard run` with SIGKILL at random moments and start it again, until it ends; compare with an unbroken run."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelyard.records import without_times
from modelyard.run import NAMES

FROM_CLOCKS = {
    "serve": ("gates",),
    "business": ("gates", "derived", "machine", "trace"),
    "report": ("bytes", "numbers"),
}
"""What a record holds besides `measured_*` that is computed from measured times."""


def start(blueprint: Path, folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """The command line, in a process group of its own."""
    command = [sys.executable, "-m", "modelyard", "run", str(blueprint), "-o", str(folder), "--quiet", *options]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def stable(folder: Path, names: Sequence[str] = NAMES) -> dict[str, Any]:
    """The records that must agree, times aside."""
    found = {name: without_times(json.loads((folder / f"{name}.json").read_text())) for name in names}
    return {
        name: {key: value for key, value in record.items() if key not in FROM_CLOCKS.get(name, ())}
        for name, record in found.items()
    }


def run_unbroken(blueprint: Path, folder: Path, *options: str) -> float:
    """Run to the end; seconds."""
    began = time.monotonic()
    process = start(blueprint, folder, *options)
    _, error = process.communicate()
    assert process.returncode == 0, error.decode()
    return time.monotonic() - began


def decided(folder: Path) -> dict[str, Any]:
    """The decisions written down so far."""
    file = folder / "decisions.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def run_broken(
    blueprint: Path, folder: Path, decisions: Path | None, *options: str, kills: int, longest: float, seed: int
) -> tuple[int, dict[str, Any]]:
    """Kill up to `kills` times, each after a random moment of at most `longest` seconds, then let it end: the kills that struck, and the
    decisions that stood at one of them. Those must stand unchanged at the end.

    An unbroken run's `decisions` are laid into the folder: what a clock decided is replayed, so that every record can be compared.
    Without them the run takes its own, and the first moment is counted from its first decision.
    """
    chance = random.Random(seed)
    folder.mkdir(parents=True)
    if decisions:
        shutil.copy(decisions, folder / "decisions.json")
    struck, stood = 0, decided(folder)
    for _ in range(kills):
        process = start(blueprint, folder, *options)
        while not decided(folder) and process.poll() is None:
            time.sleep(0.02)
        try:
            process.communicate(timeout=chance.uniform(0.3, longest))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            struck += 1
        else:
            assert process.returncode == 0
            break
        stood |= decided(folder)
    run_unbroken(blueprint, folder, *options)
    ended = decided(folder)
    assert {name: ended.get(name) for name in stood} == stood, "a kill undid a decision"
    return struck, stood
