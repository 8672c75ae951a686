"""Which requests are let in: those that can be answered within the target, and now and then one that cannot.

A target is one on the 95th percentile, so a few may be late. What is expected within three quarters of the target comes in, its own
answer included; the rest is for what takes longer than expected. What is expected later pays with a token, of which every request in
time earns a thirtieth or so, and has it back where the answer was in time after all: tokens are spent on what is late in truth. So a
burst may fill the queue for twice the target, few are refused while the queue is seldom long, and under a load that lasts the tokens
are spent but for a few, which are for the first bursts after it. What is refused is refused at once, before it costs anything (as a
controlled delay does, Nichols and Jacobson 2012, but by the expected wait, so that those who are let in are in time).

A slow model's queue stands before the model (`engine`). Of a fast one it stands in the event loop, which reads, checks, bills and
writes: `Front` counts the requests that are there and what each costs the loop, and refuses before anything is read.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from modelyard.serve.limits import Limits
from modelyard.serve.refusing import Refused

TOKENS, EARNED = 25.0, 0.03
"""Requests of a burst that may be late, and how much of one every request in time earns: 3 % are late where the load lasts, which
leaves 2 % of the 95th percentile's five to answers that take longer than expected."""
WITHIN, LEAST = 0.75, 0.25
"""Share of the target within which an answer must be expected, and the share that may be waited for even where the answer itself takes
longer than that: on 2 cores a small encoder's answers under a lasting load came up to 45 ms of 200 later than expected (97 %)."""
KEPT = 5.0
"""Tokens that a load that lasts leaves: from the first refusal until a request finds nobody before it."""
BURST = 0.1
"""Seconds that a burst may fill the queue for, however short the target is."""
EACH = 32
"""Requests over which the loop's work is measured."""


class Patience:
    """Who may wait, by how long they would."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._tokens, self._least = TOKENS, 1.0

    def admits(self, expected: float, *, own: float = 0.0) -> Literal["in time", "late"] | None:
        """How a request is let in that would wait for so many seconds and take `own` itself, none: not; if it is, it is counted."""
        target = self._limits.p95
        if target is None or expected > self._limits.queue_time:
            return "in time" if expected <= self._limits.queue_time else None
        if expected <= max(WITHIN * target - own, LEAST * target):
            self._tokens = min(self._tokens + EARNED, TOKENS)
            if expected <= 0:
                self._least = 1.0
            return "in time"
        if expected > max(2 * target, BURST) or self._tokens < self._least:
            self._least = 1.0 + KEPT
            return None
        self._tokens -= 1
        return "late"

    def back(self, seconds: float) -> None:
        """One that was let in although it was expected late took so long."""
        if self._limits.p95 is not None and seconds <= self._limits.p95:
            self._tokens = min(self._tokens + 1, TOKENS)


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
        work: Callable[[], float] = time.thread_time,
    ) -> None:
        self._patience, self._elsewhere, self._work = Patience(limits), elsewhere, work
        self.each = 0.0
        """Seconds that the loop works for each answer, refusals that came with it included."""
        self.inside = 0
        self._answered = 0
        self._since: float | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """One request, from its first byte to its last; 429 where it would wait too long for the loop."""
        began = time.perf_counter()
        expected = (self.inside - self._elsewhere()) * self.each
        let_in = self._patience.admits(expected, own=self.each)
        if let_in is None:
            raise too_long(expected)
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
            self._count()
            if let_in == "late":
                self._patience.back(time.perf_counter() - began)

    def _count(self) -> None:
        self._answered += 1
        if self._since is None:
            self._since, self._answered = self._work(), 0
        elif self._answered == EACH:
            now = self._work()
            each = (now - self._since) / EACH
            self.each += (each - self.each) / 4 if self.each else each
            self._since, self._answered = now, 0
