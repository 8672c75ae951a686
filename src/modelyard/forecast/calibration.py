"""This machine's ceilings: matrix products, memory, trees, texts and plain Python, measured once in a few seconds and kept.

Each is the best of a few rounds: a ceiling is what nothing disturbed. They are kept in the user's cache folder by the machine's and the
libraries' fingerprint. It knows nothing about builds.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

from modelyard.context import available_cores
from modelyard.frozen import Frozen
from modelyard.records._base import machine, versions
from modelyard.store import fingerprint, read_json, write_json

ROUNDS = 3
SIDE = 1024
"""Of the square matrices: 2.1 GFLOP a product, longer than any overhead and larger than a core's cache."""
BLOCK = 64 * 2**20
"""Bytes that are copied: larger than the last-level cache of most machines."""
WORDS = 40_000
TREE_ROWS, TREE_COLUMNS, TREES = 5_000, 20, 20
LOOPS = 300_000


class Ceilings(Frozen):
    """What this machine does at best, a second."""

    flops: float
    """float32, all cores."""
    bandwidth: float
    """Bytes read and written."""
    trees: float
    """Row x column x tree of gradient boosting."""
    words: float
    """Words split, lowered and counted."""
    python: float
    """Turns of a plain loop."""

    def slowness(self, reference: Ceilings) -> float:
        """How many times longer work takes here than on the reference machine: the geometric mean over all ceilings."""
        pairs = zip(self.model_dump().values(), reference.model_dump().values(), strict=True)
        return math.exp(sum(math.log(theirs / ours) for ours, theirs in pairs) / len(type(self).model_fields))


def folder() -> Path:
    """Where calibrations and scores are kept: the user's cache folder (XDG base directory specification)."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "modelyard" / "forecast"


def identity() -> str:
    """The fingerprint of this machine, with the cores that this process may use."""
    facts = {name: value for name, value in machine().items() if name not in ("system", "python")}
    return fingerprint([facts, available_cores()])[:12]


def ceilings(*, place: Path | None = None) -> Ceilings:
    """This machine's, from the cache or measured now; a cache that cannot be written is done without."""
    place = place or folder()
    known = {name: number for name, number in versions().items() if name in ("numpy", "lightgbm")}
    file = place / f"ceilings-{fingerprint([identity(), known])[:12]}.json"
    try:
        return Ceilings.model_validate(read_json(file))
    except (OSError, ValueError):
        found = measure()
    try:
        write_json(file, found.model_dump(mode="json"))
    except OSError:
        return found
    return found


def measure() -> Ceilings:
    """Measure now; about two seconds."""
    return Ceilings(flops=_flops(), bandwidth=_bandwidth(), trees=_trees(), words=_words(), python=_python())


def _best(work: float, once: Callable[[], object]) -> float:
    """Work a second in the best round."""
    once()  # threads start, pages are mapped
    best = math.inf
    for _ in range(ROUNDS):
        started = time.perf_counter()
        once()
        best = min(best, time.perf_counter() - started)
    return work / best


def _flops() -> float:
    import numpy as np

    one, other = np.random.default_rng(0).random((2, SIDE, SIDE), dtype=np.float32)
    out = np.empty_like(one)
    return _best(2.0 * SIDE**3, lambda: np.matmul(one, other, out=out))


def _bandwidth() -> float:
    import numpy as np

    source = np.ones(BLOCK // 8)
    target = np.empty_like(source)
    return _best(2.0 * BLOCK, lambda: np.copyto(target, source))


def _trees() -> float:
    import lightgbm
    import numpy as np

    rng = np.random.default_rng(0)
    values = rng.random((TREE_ROWS, TREE_COLUMNS))
    target = (values[:, 0] + values[:, 1] > 1).astype(float)
    settings = {"objective": "binary", "verbosity": -1, "num_threads": available_cores(), "seed": 0}
    data = lightgbm.Dataset(values, target, params=settings, free_raw_data=False).construct()
    work = float(TREE_ROWS * TREE_COLUMNS * TREES)
    return _best(work, lambda: lightgbm.train(settings, data, num_boost_round=TREES))


def _words() -> float:
    import re
    from collections import Counter

    text = " ".join(f"Word{number % 977} of number {number}" for number in range(WORDS // 4))
    word = re.compile(r"\w+")
    return _best(float(WORDS), lambda: Counter(word.findall(text.lower())))


def _python() -> float:
    def once() -> int:
        total = 0
        for number in range(LOOPS):
            total += number & 7
        return total

    return _best(float(LOOPS), once)
