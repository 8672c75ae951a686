"""The service's side of drift: rows and their answers are put into bins beside the requests, and windows close for the whole host.

    fleet ─► add (a bounded queue; full: dropped and counted) ─► thread: bins, a tenth of its time ─► file of the version ─► verdict

Of a version every process of the host adds to one file, so that a window is closed by the rows of all of them; a restarted service
goes on with it. The file holds counts and verdicts, never a row. What a process has not handed over (a second's rows) dies with it.
A request is neither slowed by it nor can fail because of it. It knows no statistics; `modelyard.watching` does.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from modelyard.frozen import Frozen
from modelyard.rows import OBJECTS, Array, Rows, joined
from modelyard.serve.lines import say, say_failure
from modelyard.serve.meters import FOLDER, Meters
from modelyard.store import read_json, write_json
from modelyard.watching.reference import Reference, Verdict

if TYPE_CHECKING:
    from modelyard.serve.deployed import Deployed
    from modelyard.serve.engine import Answered

DRIFT, LOCK = "drift", "lock"
MOST_ROWS, MOST_BYTES = 2000, 64 * 2**20
"""What may wait to be put into bins, rows and bytes of texts, images and series; more is dropped, and counted."""
TOGETHER = 256
"""Rows put into bins at once, at most: enough to share the overhead, and no more memory than a batch of the model's."""
SHARE = 0.1
"""Share of the time that the thread may work: watching must not take the model's processor."""
EVERY = 1.0
"""Seconds between handings over to the file."""
KEPT, TOLD = 50, 3
"""Verdicts kept, and features that the older ones still tell of."""


class Window(Frozen):
    """One version's file."""

    name: str
    version: str
    rows: int = 0
    counts: tuple[int, ...] = ()
    """Rows in each bin since the last window closed."""
    windows: int = 0
    drifted: int = 0
    dropped: int = 0
    """Rows that came too fast to be watched."""
    verdict: Verdict | None = None
    """The last one, in full."""
    history: tuple[Verdict, ...] = ()
    """The latest first."""


@dataclass(frozen=True, eq=False)
class Watched:
    """A version whose rows are watched."""

    name: str
    version: str
    hash: str
    reference: Reference
    objects: tuple[str, ...]
    """Columns whose values have no size of their own: texts, categories, images, series."""

    @property
    def file(self) -> str:
        """Its file's name."""
        return f"{self.name}-{self.version}-{self.hash[:12]}.json"


@dataclass
class _Pending:
    """What this process has not handed over yet, of one version."""

    bins: list[Array] = field(default_factory=list)
    dropped: int = 0


class DriftMeters:
    """What `/metrics` shows of drift."""

    def __init__(self, registry: Any) -> None:
        from prometheus_client import Counter, Gauge

        given: dict[str, Any] = {"registry": registry}
        self.windows = Counter(
            "modelyard_drift_windows",
            "Windows of rows compared with the reference.",
            ["model", "version", "drift"],
            **given,
        )
        self.statistic = Gauge(
            "modelyard_drift_statistic", "How far the last window was off; drift above the package's threshold.",
            ["model", "version"], multiprocess_mode="mostrecent", **given,
        )  # fmt: skip
        self.dropped = Counter(
            "modelyard_drift_rows_dropped", "Rows that came too fast to be watched.", ["model"], **given
        )


class Watch:
    """Watches what one process answers. `on_verdict` is called with name, version and verdict by the process that closes a window."""

    def __init__(self, meters: Meters, state: Path | None) -> None:
        self._meters = meters
        self._state = state
        self.on_verdict: Callable[[str, str, Verdict], None] | None = None
        self._own: tempfile.TemporaryDirectory[str] | None = None
        self._queue: deque[tuple[Watched, Rows, Sequence[Mapping[str, Any]], int]] = deque()
        self._rows = self._bytes = 0
        """What waits in the queue."""
        self._lock = threading.Lock()
        """Held for the queue's sums and the pending; never while anything is computed."""
        self._pending: dict[Watched, _Pending] = {}
        self._known: dict[int, Watched] = {}
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()

    # -- beside the requests ---------------------------------------------------------------------------------------------

    def add(self, deployed: Deployed, rows: Rows, answered: Answered) -> None:
        """Some rows were answered. Returns at once and raises nothing."""
        try:
            if (watched := self._of(deployed)) is not None:
                self._enter(watched, rows, answered.answers)
        except Exception as error:
            say_failure(error, while_doing="watching for drift")

    def _enter(self, watched: Watched, rows: Rows, answers: Sequence[Mapping[str, Any]]) -> None:
        size = sum(_size(rows[name]) for name in watched.objects)
        with self._lock:
            if self._rows + len(rows) > MOST_ROWS or self._bytes + size > MOST_BYTES or self._ending.is_set():
                self._pending.setdefault(watched, _Pending()).dropped += len(rows)
                return
            self._rows += len(rows)
            self._bytes += size
            self._queue.append((watched, rows, answers, size))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="drift", daemon=True)
                self._thread.start()

    def _of(self, deployed: Deployed) -> Watched | None:
        reference = deployed.service.reference
        if reference is None or not reference.features:
            return None
        found = self._known.get(id(reference))
        if found is None or found.reference is not reference:
            objects = tuple(column.name for column in deployed.inputs if column.type in OBJECTS)
            found = Watched(deployed.name, deployed.version, deployed.hash, reference, objects)
            self._known = {**self._known, id(reference): found}
        return found

    # -- the thread ------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        handed = time.monotonic()
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                self._bin()
                if began - handed >= EVERY:
                    handed = began
                    self._hand_over()
            except Exception as error:  # what it was about is lost; the next rows are watched
                say_failure(error, while_doing="watching for drift")
            took = time.monotonic() - began
            self._ending.wait(max(took * (1 / SHARE - 1), EVERY / 10))  # what gathers meanwhile shares the overhead

    def _bin(self) -> bool:
        """Put the next rows of one version into bins; whether there were any."""
        with self._lock:
            if not self._queue:
                return False
            watched, count = self._queue[0][0], 0
            pieces, said = list[Rows](), list[Mapping[str, Any]]()
            while self._queue and self._queue[0][0] is watched and (not pieces or count < TOGETHER):
                _, rows, answers, size = self._queue.popleft()
                self._rows -= len(rows)
                self._bytes -= size
                pieces.append(rows)
                said += answers
                count += len(rows)
        try:
            self._add_bins(watched, joined(pieces), said)
        except Exception:  # rows that cannot be put into bins harm no others
            if len(pieces) == 1:
                raise
            start = 0
            for rows in pieces:
                try:
                    self._add_bins(watched, rows, said[start : start + len(rows)])
                except Exception as error:
                    say_failure(error, while_doing="watching for drift")
                start += len(rows)
        return True

    def _add_bins(self, watched: Watched, rows: Rows, said: Sequence[Mapping[str, Any]]) -> None:
        binner = watched.reference.binner
        pieces = [slice(start, start + TOGETHER) for start in range(0, len(rows), TOGETHER)]
        bins = [binner.bins(rows.take(piece), said[piece]) for piece in pieces]
        with self._lock:
            pending = self._pending.setdefault(watched, _Pending())
            pending.bins += bins

    def close(self) -> None:
        """Hand over what there is, and end."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
            deadline = time.monotonic() + EVERY / 2
            try:
                while time.monotonic() < deadline and self._bin():
                    pass
                self._hand_over()
            except Exception as error:
                say_failure(error, while_doing="watching for drift")
        if self._own is not None:
            self._own.cleanup()

    # -- the files -------------------------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        """Add what this process has seen to the files, and judge the windows that are full."""
        with self._lock:
            pending, self._pending = self._pending, {}
        for watched, each in pending.items():
            verdicts = self._added(watched, each)
            if each.dropped:
                self._meters.once(DriftMeters).dropped.labels(watched.name).inc(each.dropped)
            for verdict in verdicts:
                self._tell(watched, verdict)

    def _added(self, watched: Watched, pending: _Pending) -> list[Verdict]:
        reference = watched.reference
        bins = np.concatenate(pending.bins) if pending.bins else np.zeros((0, len(reference.features)), dtype=np.int16)
        verdicts = []
        with self._locked():
            window = self._read(watched)
            counts = np.array(window.counts or [0] * reference.binner.width)
            rows = window.rows
            while len(bins):
                some, bins = bins[: reference.window - rows], bins[reference.window - rows :]
                counts += reference.binner.counts(some)
                rows += len(some)
                if rows == reference.window:
                    verdicts.append(reference.judge(counts, rows, at=time.time()))
                    counts[:] = rows = 0
            history = (*(_short(verdict) for verdict in reversed(verdicts)), *window.history)[:KEPT]
            changed = {
                "rows": rows, "counts": tuple(counts.tolist()), "windows": window.windows + len(verdicts), "history": history,
                "drifted": window.drifted + sum(verdict.drift for verdict in verdicts), "dropped": window.dropped + pending.dropped,
                "verdict": verdicts[-1] if verdicts else window.verdict,
            }  # fmt: skip
            write_json(self._folder / watched.file, window.model_copy(update=changed).model_dump(mode="json"))
        return verdicts

    def _tell(self, watched: Watched, verdict: Verdict) -> None:
        meters, names = self._meters.once(DriftMeters), (watched.name, watched.version)
        meters.windows.labels(*names, str(verdict.drift).lower()).inc()
        meters.statistic.labels(*names).set(verdict.statistic)
        if verdict.drift:
            moved = verdict.features[0]
            say(
                "drift",
                model=names[0],
                version=names[1],
                feature=moved.feature,
                statistic=moved.statistic,
                threshold=moved.threshold,
            )
        if self.on_verdict is not None:
            self.on_verdict(*names, verdict)

    def told(self, deployed: Deployed) -> dict[str, Any]:
        """A version for the administrator."""
        reference, names = deployed.service.reference, {"name": deployed.name, "version": deployed.version}
        if (watched := self._of(deployed)) is None or reference is None:
            reason = "its package holds no reference" if reference is None else reference.reason
            return {**names, "window": None, "rows": 0, "verdict": None, "history": [], "reason": reason}
        with self._locked():
            window = self._read(watched)
        return {
            **names, "window": reference.window, "rate": reference.rate, "reference": reference.rows, "split": reference.split,
            **window.model_dump(mode="json", include={"rows", "windows", "drifted", "dropped", "verdict", "history"}),
        }  # fmt: skip

    @property
    def _folder(self) -> Path:
        """In the state folder; without one in the folder that the workers share; else this process's own."""
        if self._state is not None:
            return self._state / DRIFT
        if FOLDER in os.environ:
            return Path(os.environ[FOLDER]) / DRIFT
        with self._lock:
            if self._own is None:
                self._own = tempfile.TemporaryDirectory(prefix="modelyard-drift-")
            return Path(self._own.name)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / LOCK).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _read(self, watched: Watched) -> Window:
        """A version's file; a new one where there is none, or where it cannot be used."""
        fresh, place = Window(name=watched.name, version=watched.version), self._folder / watched.file
        if not place.exists():
            return fresh
        try:
            found = Window.model_validate(read_json(place))
        except (ValueError, ValidationError) as error:
            say_failure(error, while_doing=f"reading {place.name}, which begins anew")
            return fresh
        fits = not found.counts or len(found.counts) == watched.reference.binner.width
        return found if fits and 0 <= found.rows < watched.reference.window else fresh


def _size(values: Array) -> int:
    """Bytes of a column's objects, about."""
    found = 0
    for value in values:
        if value is not None:
            found += len(value) if type(value) is not np.ndarray else value.nbytes
    return found


def _short(verdict: Verdict) -> Verdict:
    """As it is remembered: the features furthest off, without their bins."""
    features = tuple(moved.model_copy(update={"bins": ()}) for moved in verdict.features[:TOLD])
    return verdict.model_copy(update={"features": features})
