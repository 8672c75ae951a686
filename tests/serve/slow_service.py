"""A real server whose answers take a known time: `python slow_service.py SECONDS [LIMITS as JSON] [WORKERS]`."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from serve_helpers import COLUMNS

from modelyard import parts
from modelyard.rows import Rows
from modelyard.serve.app import App, Service
from modelyard.serve.limits import Limits
from modelyard.serve.lines import configure, say
from modelyard.serve.server import _bound, _serve_here, _shared_meters, address
from modelyard.serve.supervisor import supervise
from modelyard.tasks._contract import State

STATE = State(
    task="tabular-classification",
    target="standing",
    inputs=COLUMNS,
    classes=("bad", "good"),
    counts=(1, 1),
    positive="bad",
)


class Sleeper:
    """Answers after a fixed time a row; an age of 99 breaks it, 98 makes it answer without a finite number."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.state = seconds, STATE
        self.task = parts.build("tasks", STATE.task)

    def answer(self, rows: Rows) -> list[dict[str, Any]]:
        """The same answer for each row."""
        time.sleep(self.seconds * len(rows))
        if (rows["age"] == 99).any():
            raise RuntimeError("SECRET: a row of Mr. X broke me")
        share = [float("nan") if age == 98 else 0.5 for age in rows["age"]]
        return [{"answer": "good", "probabilities": {"bad": part, "good": part}} for part in share]


class Heard(App):
    """Says in its log when it is ready: from outside nobody sees which of several workers is."""

    def warm(self) -> None:
        super().warm()
        say("ready")


def service(seconds: float, **limits: Any) -> App:
    """The application over a sleeper."""
    return Heard(Service(name="slow", version="1", predictor=Sleeper(seconds), limits=Limits(**limits)))


if __name__ == "__main__":
    configure()
    seconds, limits = float(sys.argv[1]), json.loads(sys.argv[2] if len(sys.argv) > 2 else "{}")
    workers = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    with _bound("127.0.0.1", 0) as sock:
        if workers == 1:
            sys.exit(_serve_here(service(seconds, **limits), sock))
        with _shared_meters():
            sys.exit(
                supervise(
                    lambda: _serve_here(service(seconds, **limits), sock), sock, workers=workers, url=address(sock)
                )
            )
