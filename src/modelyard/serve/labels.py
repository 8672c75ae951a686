"""What was answered, and what turned out to be true: a small database beside the accounts, joined by the id of the request.

Of an answer it holds the class or the number that was said, for 30 days, and nothing of what was asked; a written text or an image is not
held at all. Answers are written down by a thread, some at a time, so that no request waits for it; a killed process loses the last fifth
of a second. Replicas on PostgreSQL share the tables; on SQLite they lie in `state/labels.db`. It knows no HTTP.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.accounts.database import Database, Transaction
from modelyard.accounts.state import State
from modelyard.accounts.times import DAY
from modelyard.errors import DatabaseFault

log = logging.getLogger("modelyard.serve")
KEEP = 30 * DAY
"""Microseconds for which an answer waits for its label."""
FLUSH = 0.2
"""Seconds between writings."""
MOST_WAITING = 20_000
"""Answers that wait to be written; more are not remembered, and counted."""
MOST_SAID = 500
"""Characters of a class."""
TABLES = (
    """CREATE TABLE IF NOT EXISTS answered (
        customer TEXT NOT NULL, request TEXT NOT NULL, at BIGINT NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL,
        said TEXT NOT NULL, PRIMARY KEY (customer, request))""",
    "CREATE INDEX IF NOT EXISTS answered_at ON answered (at)",
    """CREATE TABLE IF NOT EXISTS labels (
        customer TEXT NOT NULL, request TEXT NOT NULL, place BIGINT NOT NULL, at BIGINT NOT NULL, model TEXT NOT NULL,
        version TEXT NOT NULL, said TEXT NOT NULL, truth TEXT NOT NULL, correct BIGINT, consent BIGINT NOT NULL,
        PRIMARY KEY (customer, request, place))""",
    "CREATE INDEX IF NOT EXISTS labels_of ON labels (model, version)",
)


@dataclass(frozen=True, slots=True)
class Said:
    """One request as it was answered: a class or a number a row, null where it was neither."""

    customer: str
    request: str
    at: int
    model: str
    version: str
    said: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Label:
    """What turned out to be true of one row. `correct`: whether the answer was right, where that can be said."""

    customer: str
    request: str
    place: int
    at: int
    model: str
    version: str
    said: Any
    truth: Any
    correct: bool | None
    consent: bool


def database(state: Path) -> Database:
    """The tables' database of a service."""
    folder = State(state)
    url = folder.database
    return Database(url if not url.startswith("sqlite") else f"sqlite:///{state / 'labels.db'}")


class Labels:
    """The answers and labels of a service. `start` after a fork; `add` never waits and never fails; `stop` writes what waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[tuple[Any, ...]] = deque()
        self.dropped = 0
        """Answers that were not remembered."""
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._made = False

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._work, name="labels", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, and end; blocks."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._database.close()

    def add(self, request: str, *, customer: str, model: str, version: str, answers: Sequence[Mapping[str, Any]]) -> None:  # fmt: skip
        """An answer that may be judged later."""
        said = [_plain(answer.get("answer")) for answer in answers]
        if len(self._waiting) >= MOST_WAITING:
            self.dropped += len(said)
        elif any(value is not None for value in said):
            self._waiting.append((customer, request, model, version, said))

    def said(self, customer: str, request: str) -> Said | None:
        """What a customer's request was answered; None where it is not known any more. Blocks."""
        self.flush()
        with self._reading() as held:
            row = held.one(
                "SELECT customer, request, at, model, version, said FROM answered WHERE customer = ? AND request = ?",
                (customer, request),
            )
        if row is None:
            return None
        asked, id, at, model, version, said = row
        return Said(asked, id, at, model, version, tuple(json.loads(said)))

    def judge(self, labels: Sequence[Label]) -> int:
        """Keep labels, the latest of each row; how many were there before. Blocks."""
        replaced = 0
        with self._writing() as held:
            for one in labels:
                place = (one.customer, one.request, one.place)
                replaced += held.run("DELETE FROM labels WHERE customer = ? AND request = ? AND place = ?", place)
                held.run(
                    "INSERT INTO labels (customer, request, place, at, model, version, said, truth, correct, consent) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*place, held.now, one.model, one.version, json.dumps(one.said), json.dumps(one.truth),
                     None if one.correct is None else int(one.correct), int(one.consent)),
                )  # fmt: skip
        return replaced

    def counts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Right answers and judged ones of each version of each model. Blocks."""
        with self._reading() as held:
            rows = held.all(
                "SELECT model, version, sum(correct), count(*) FROM labels WHERE correct IS NOT NULL GROUP BY model, version"
            )
        return {(model, version): (int(right), int(count)) for model, version, right, count in rows}

    def consented(self, model: str | None = None) -> list[Label]:
        """Labels whose customer allowed that they are learnt from, the oldest first. Blocks."""
        where, values = ("AND model = ? ", (model,)) if model is not None else ("", ())
        with self._reading() as held:
            rows = held.all(
                "SELECT customer, request, place, at, model, version, said, truth, correct, consent FROM labels "
                f"WHERE consent = 1 {where}ORDER BY at, customer, request, place",
                values,
            )
        return [
            Label(customer, request, place, at, name, version, json.loads(said), json.loads(truth),
                  None if right is None else bool(right), True)
            for customer, request, place, at, name, version, said, truth, right, _ in rows
        ]  # fmt: skip

    def flush(self) -> None:
        """Write what waits; blocks. DatabaseFault where that cannot be done: it waits on."""
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not batch:
                return
            try:
                with self._writing() as held:
                    for customer, request, model, version, said in batch:
                        held.run(
                            "INSERT INTO answered (customer, request, at, model, version, said) VALUES (?, ?, ?, ?, ?, ?) "
                            "ON CONFLICT (customer, request) DO UPDATE SET at = excluded.at, model = excluded.model, "
                            "version = excluded.version, said = excluded.said",
                            (customer, request, held.now, model, version, json.dumps(said)),
                        )
            except DatabaseFault:
                self._waiting.extendleft(reversed(batch))
                raise

    def forget(self) -> None:
        """Answers that nobody judged for too long."""
        with self._writing() as held:
            held.run("DELETE FROM answered WHERE at < ?", (held.now - KEEP,))

    def _work(self) -> None:
        forgot = 0.0
        while not self._stopping.wait(FLUSH):
            try:
                self.flush()
                if time.monotonic() - forgot > 3600.0:
                    self.forget()
                    forgot = time.monotonic()
            except DatabaseFault as fault:
                log.debug("labels wait: %s", fault)
        with contextlib.suppress(DatabaseFault):
            self.flush()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Transaction]:
        with self._database.write() as held:
            self._make(held)
            yield held

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Transaction]:
        if not self._made:
            with self._writing():
                pass
        with self._database.read() as held:
            yield held

    def _make(self, held: Transaction) -> None:
        if not self._made:
            if not held.sqlite:
                held.run("SELECT pg_advisory_xact_lock(7709234502)")  # two replicas that start at once
            for table in TABLES:
                held.run(table)
            self._made = True


def _plain(value: Any) -> Any:
    """A class or a number as JSON holds it; None for everything else."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, str):
        return value if len(value) <= MOST_SAID else None
    return value if isinstance(value, (int, float)) else None
