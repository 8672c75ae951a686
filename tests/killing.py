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


def start(blueprint: Path, folder: Path) -> subprocess.Popen[bytes]:
    """The command line, in a process group of its own."""
    command = [sys.executable, "-m", "modelyard", "run", str(blueprint), "-o", str(folder), "--quiet"]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def stable(folder: Path) -> dict[str, Any]:
    """The records that must agree, times aside."""
    found = {name: without_times(json.loads((folder / f"{name}.json").read_text())) for name in NAMES}
    return {
        name: {key: value for key, value in record.items() if key not in FROM_CLOCKS.get(name, ())}
        for name, record in found.items()
    }


def run_unbroken(blueprint: Path, folder: Path) -> float:
    """Run to the end; seconds."""
    began = time.monotonic()
    process = start(blueprint, folder)
    _, error = process.communicate()
    assert process.returncode == 0, error.decode()
    return time.monotonic() - began


def run_broken(blueprint: Path, folder: Path, decisions: Path, *, kills: int, longest: float, seed: int) -> int:
    """Kill up to `kills` times, each after a random moment of at most `longest` seconds, then let it end. The kills that struck.

    The unbroken run's decisions are laid into the folder: what a clock decided is replayed, so that records can be compared.
    """
    chance = random.Random(seed)
    folder.mkdir(parents=True)
    shutil.copy(decisions, folder / "decisions.json")
    struck = 0
    for _ in range(kills):
        process = start(blueprint, folder)
        try:
            process.communicate(timeout=chance.uniform(0.3, longest))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            struck += 1
        else:
            assert process.returncode == 0
            break
    run_unbroken(blueprint, folder)
    return struck
