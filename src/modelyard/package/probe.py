"""Try a package as a stranger would: a fresh Python, nothing loaded, one answer. It knows no stage and no record."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.errors import PackageError

FORBIDDEN = ("torch", "transformers", "polars", "pandas", "sklearn", "scipy", "lightgbm", "matplotlib", "onnx", "nncf")
"""What a served package must not load."""
LONGEST = 120.0
"""Seconds before a start is given up."""
PROGRAM = """
import sys
before = set(sys.modules)
import json, time
from pathlib import Path
from modelyard.packages import open_package
from modelyard.rows import from_records
opened = open_package(Path(sys.argv[1]), force=True)
examples, inputs = list(opened.manifest.examples), opened.predictor.state.inputs
opened.predictor.answer(from_records(examples[:1], inputs))
done = time.monotonic()
answers = opened.predictor.answer(from_records(examples, inputs))
loaded = sorted({name.split(".")[0] for name in set(sys.modules) - before if sys.modules[name] is not None})
print(json.dumps({"answers": answers, "done": done, "loaded": loaded}))
"""


@dataclass(frozen=True)
class Tried:
    """What a fresh process did."""

    answers: list[dict[str, Any]]
    """To the manifest's examples."""
    loaded: tuple[str, ...]
    """Top-level modules that were imported."""
    seconds: float
    """From its start to its first answer."""

    @property
    def forbidden(self) -> list[str]:
        """Modules that should not have been needed."""
        return [name for name in FORBIDDEN if name in self.loaded]

    def agrees(self, answers: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the answers are those, numbers to 1e-4 (a kernel may sum in another order)."""
        return len(answers) == len(self.answers) and all(
            _alike(mine, theirs) for mine, theirs in zip(self.answers, answers, strict=True)
        )


def _alike(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
        return mine.keys() == theirs.keys() and all(_alike(mine[key], theirs[key]) for key in mine)
    if isinstance(mine, (int, float)) and isinstance(theirs, (int, float)):
        return math.isclose(mine, theirs, rel_tol=1e-4, abs_tol=1e-4)
    return bool(mine == theirs)


def attempt(folder: Path) -> Tried:
    """Open the package in a fresh process and answer its examples; PackageError where that fails."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(place for place in sys.path if place),
        "HF_HUB_OFFLINE": "1",
    }
    start = time.monotonic()
    try:
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(folder)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PackageError(f"{folder} gave no answer within {LONGEST:g} s of a fresh start") from None
    if ended.returncode:
        raise PackageError(
            f"{folder} cannot answer in a fresh process: {(ended.stderr.strip().splitlines() or ['no message'])[-1]}"
        )
    found = json.loads(ended.stdout.strip().splitlines()[-1])
    return Tried(found["answers"], tuple(found["loaded"]), found["done"] - start)
