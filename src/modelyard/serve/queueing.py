"""Who is answered next: requests wait here in parts, so that neither a long request nor a busy caller holds up the others.

    callers take turns (surplus round robin, by work) ─► requests of one caller take turns ─► rows, until the budget is full

A turn is worth `quantum` work. A caller that took more than its turn, because one row was larger, pays for it in its next turns
(surplus round robin: Adiseshu, Parulkar, Varghese 1996; within a row of deficit round robin). A request gives at most a turn's rows
and then goes behind its caller's others: requests of equal size leave in the order in which they came, and short ones do not wait for
long ones. Requests of the `batch` tariff run while no other waits, and in every `PASSED`-th batch in any case.

Pure data: no clock, no threads, no models. Work is a number in any unit (`pacing.sizes`), time is what the caller says it is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

PASSED = 16
"""Batches after which one of the batch tariff gets a turn, although others wait: a sixteenth of the model at least."""
MOST_ROWS = 256
"""Rows of a batch, whatever they weigh: a predictor encodes so many at a time (`Predictor.scores`)."""


@dataclass(eq=False, slots=True)
class Ask:
    """A request that waits: `sizes` are the work of its rows, `payload` is whatever the owner wants back."""

    sizes: Sequence[float]
    caller: str = ""
    deadline: float = float("inf")
    later: bool = False
    """Whether it is of the batch tariff."""
    weight: float = 1.0
    """How many turns of others a turn of its caller is worth."""
    payload: Any = None
    taken: int = 0
    """Rows that have been handed out."""
    gone: bool = False
    """Whether nobody waits for it any more."""
    _ends: list[float] = field(init=False)

    def __post_init__(self) -> None:
        assert self.sizes, "a request without rows"
        self._ends = list(accumulate(self.sizes))

    @property
    def left(self) -> float:
        """Work that has not been handed out."""
        return self._ends[-1] - self._before

    @property
    def _before(self) -> float:
        return self._ends[self.taken - 1] if self.taken else 0.0

    def fitting(self, work: float) -> int:
        """How many of its next rows fit in so much work."""
        return max(bisect_right(self._ends, self._before + work * (1 + 1e-9)) - self.taken, 0)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows `start` to `stop` of a request."""

    ask: Ask
    start: int
    stop: int
    work: float


@dataclass(slots=True)
class _Line:
    """What one caller has waiting."""

    asks: deque[Ask] = field(default_factory=deque)
    work: float = 0.0
    largest: float = 0.0
    """The largest row that it held."""
    credit: float = 0.0


class Queue:
    """Requests that wait, by tariff and caller."""

    def __init__(self) -> None:
        self._lines: tuple[dict[str, _Line], dict[str, _Line]] = ({}, {})
        """By caller, the one whose turn is next first: of the standard tariff, and of the batch tariff."""
        self._passed = 0

    def __len__(self) -> int:
        """Requests with rows that were not handed out; those that left may be counted until their turn."""
        return sum(len(line.asks) for lines in self._lines for line in lines.values())

    def __bool__(self) -> bool:
        return any(self._lines)

    @property
    def work(self) -> float:
        """Work that waits."""
        return sum(line.work for lines in self._lines for line in lines.values())

    def add(self, ask: Ask) -> None:
        """At the end of its caller's line."""
        line = self._lines[ask.later].setdefault(ask.caller, _Line())
        line.asks.append(ask)
        line.work += ask.left
        line.largest = max(line.largest, *ask.sizes)

    def leave(self, ask: Ask) -> None:
        """Nobody waits for it any more: it costs nothing further."""
        if not ask.gone and ask.taken < len(ask.sizes):
            self._lines[ask.later][ask.caller].work -= ask.left
        ask.gone = True

    def ahead(self, ask: Ask, *, quantum: float) -> tuple[float, float]:
        """Work that is done before the first rows of a request that would be added now, and before its last.

        Before the first: a turn of each of its caller's requests, and of each other caller as much. Before the last: all of its caller's,
        and of each other caller as much. So a short wait is expected beside a long request, and beside another's flood.
        """
        lines = self._lines[ask.later]
        line = lines.get(ask.caller) or _Line()
        first = min(line.work, len(line.asks) * max(quantum, line.largest))
        share, most = first + min(ask.left, quantum), line.work + ask.left
        before = sum(each.work for each in self._lines[0].values()) if ask.later else 0.0
        first, last = first + before, most + before
        for each in lines.values():
            if each is not line:
                first += min(each.work, share)
                last += min(each.work, most)
        return first, last

    def take(self, budget: float, *, quantum: float, now: float) -> tuple[list[Part], list[Ask]]:
        """The next batch, and the requests whose deadline has passed; both leave the queue.

        A batch weighs at most `budget`, unless its only row weighs more.
        """
        assert quantum > 0, "a turn must be worth something"
        parts: list[Part] = []
        expired: list[Ask] = []
        waiting, later = self._lines
        first = later if later and (not waiting or self._passed >= PASSED - 1) else waiting
        self._passed = 0 if first is later else self._passed + 1 if later else 0
        left, rows = self._fill(first, parts, expired, budget=budget, rows=MOST_ROWS, quantum=quantum, now=now)
        if (
            not parts or first is later
        ):  # room that the one tariff leaves is the other's, but idle time only is the batch tariff's
            self._fill(waiting if first is later else later, parts, expired, budget=left, rows=rows, quantum=quantum, now=now)  # fmt: skip
        return parts, expired

    def _fill(
        self, lines: dict[str, _Line], parts: list[Part], expired: list[Ask], *, budget: float, rows: int, quantum: float,
        now: float,
    ) -> tuple[float, int]:  # fmt: skip
        """Add parts until a budget of work or rows is full; what is left of both."""
        while lines and rows > 0:
            caller, line = next(iter(lines.items()))
            _clean(line.asks, expired, line, now=now)
            if not line.asks:
                del lines[caller]
                continue
            if line.credit <= 0:
                line.credit += quantum * line.asks[0].weight
            while line.credit > 0 and line.asks and rows > 0:
                ask = line.asks[0]
                count = min(ask.fitting(min(budget, max(line.credit, 0.0))), rows)
                if count == 0:  # its next row is larger than the turn, or than the room
                    if ask.sizes[ask.taken] > budget and parts:
                        return 0.0, 0
                    count = 1
                part = _cut(ask, count)
                parts.append(part)
                line.work -= part.work
                line.credit -= part.work
                budget, rows = budget - part.work, rows - count
                line.asks.popleft()
                if ask.taken < len(ask.sizes):
                    line.asks.append(ask)
                _clean(line.asks, expired, line, now=now)
            if not line.asks:
                del lines[caller]
            elif line.credit <= 0:
                lines[caller] = lines.pop(caller)  # its turn is over
        return budget, rows


def _clean(asks: deque[Ask], expired: list[Ask], line: _Line, *, now: float) -> None:
    """Drop requests at the head of a line that nobody waits for, or that are too late."""
    while asks and (asks[0].gone or asks[0].deadline <= now):
        ask = asks.popleft()
        if not ask.gone:
            line.work -= ask.left
            ask.gone = True
            expired.append(ask)


def _cut(ask: Ask, count: int) -> Part:
    before = ask.left
    start = ask.taken
    ask.taken += count
    return Part(ask, start, ask.taken, before - ask.left)
