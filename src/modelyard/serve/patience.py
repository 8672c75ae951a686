"""How long a request may have to wait before it is refused, and whether the front of the service is itself the queue.

A burst may wait for twice the target: it passes. Where there has been no idle moment for longer than that, the queue is a standing
one, and only what can be answered within the target comes in; the other half of it is for the answer itself (controlled delay:
Nichols, Jacobson 2012; with these two limits: Maurer, "Fail at Scale", 2015).

A slow model's queue stands before the model (`engine`). Of a fast one it stands in the event loop, which reads, checks, bills and
writes: `Front` counts the requests that are there and what each costs the loop, and refuses before anything is read.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from modelyard.serve.limits import Limits
from modelyard.serve.refusing import Refused

EACH = 32
"""Requests over which the loop's work is measured."""


class Patience:
    """How long a request may wait."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._idle = -math.inf

    def rested(self, now: float) -> None:
        """There is nothing to do at this moment."""
        self._idle = now

    def bearable(self, now: float) -> float:
        """Seconds a request may have to wait."""
        target = self._limits.p95
        if target is None:
            return self._limits.queue_time
        burst = max(2 * target, 0.1)
        return min(self._limits.queue_time, burst if now - self._idle < burst else target / 2)


def too_long(expected: float) -> Refused:
    """429: a request would have to wait for so many seconds."""
    return Refused(
        429, "overloaded", f"the queue is {expected:.1f} s long. Try again later.",
        headers={"Retry-After": str(max(1, math.ceil(expected)))},
    )  # fmt: skip


class Front:
    """The requests that the event loop has in its hands. `elsewhere` tells how many of them wait for a model instead."""

    def __init__(
        self,
        limits: Limits,
        elsewhere: Callable[[], int],
        *,
        clock: Callable[[], float] = time.monotonic,
        work: Callable[[], float] = time.thread_time,
    ) -> None:
        self._patience, self._elsewhere, self._clock, self._work = Patience(limits), elsewhere, clock, work
        self.each = 0.0
        """Seconds that the loop works for each answer, refusals that came with it included."""
        self.inside = 0
        self._answered = 0
        self._since: float | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """One request, from its first byte to its last; 429 where it would wait too long for the loop."""
        now = self._clock()
        if self.inside == 0:
            self._patience.rested(now)
        expected = (self.inside - self._elsewhere()) * self.each
        if expected > self._patience.bearable(now):
            raise too_long(expected)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
            self._count()

    def _count(self) -> None:
        self._answered += 1
        if self._since is None:
            self._since, self._answered = self._work(), 0
        elif self._answered == EACH:
            now = self._work()
            each = (now - self._since) / EACH
            self.each += (each - self.each) / 4 if self.each else each
            self._since, self._answered = now, 0
