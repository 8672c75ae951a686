"""How the harness and a contender talk: orders as JSON lines on standard input, answers as JSON lines on standard output.

Standard library only, because it runs in every peer's environment. Whatever a library prints goes to standard error, so that
it cannot be taken for an answer.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
import traceback
from importlib.metadata import PackageNotFoundError, version
from typing import Any


def serve(contender: Any) -> None:
    """Carry out orders `{"do": method, ...arguments}` until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        order = json.loads(line)
        verb = order.pop("do")
        started = time.monotonic()
        try:
            answer: dict[str, Any] = {"result": getattr(contender, verb)(**order)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps({**answer, "seconds": time.monotonic() - started, "peak": peak()}) + "\n")


def peak() -> int:
    """Peak resident bytes of this process, or of its largest ended child."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) * 1024


def versions(*names: str) -> dict[str, str]:
    """Installed versions, Python's included; absent packages are left out."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def timed(answer: Any, rows: list[Any], *, count: int, start: int) -> list[float]:
    """Seconds of `count` calls, one row each, from row `start` on and round again; one call before them is not counted."""
    answer(rows[start % len(rows)])
    seconds = []
    for number in range(start, start + count):
        row = rows[number % len(rows)]
        began = time.perf_counter()
        answer(row)
        seconds.append(time.perf_counter() - began)
    return seconds
