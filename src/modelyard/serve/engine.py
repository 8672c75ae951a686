"""Rows in, answers out, without blocking the event loop for long: the seam behind which batching will live.

A prediction that is expected to take less than `INLINE` seconds runs in the event loop: handing it to a thread and back costs
about 0.1 ms here, which is more than a small table model needs. Everything else runs in one thread, in order of arrival:
sessions need not be safe for two callers, and they use the cores themselves. Nothing here knows about HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from modelyard.rows import Rows
from modelyard.serve.limits import Limits
from modelyard.serve.refusing import Refused
from modelyard.tasks._contract import State

INLINE = 0.002
"""Seconds that the event loop may be held: below it a health check or another request hardly notices."""
WARMING = 5
"""Predictions before the service says it is ready: the first ones load code and allocate buffers."""


class Answers(Protocol):
    """What an engine needs of a predictor."""

    state: State
    task: Any

    def answer(self, rows: Rows) -> list[dict[str, Any]]:
        """Answers, one a row, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Answered:
    """Answers, what they are sold as, and where the time went (seconds)."""

    answers: Sequence[Mapping[str, Any]]
    usage: Mapping[str, int]
    waited: float
    computed: float


class Engine:
    """One predictor and the queue before it."""

    def __init__(self, predictor: Answers, limits: Limits) -> None:
        self._predictor, self._limits = predictor, limits
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        """Where the model runs; whatever else runs the same model shares it."""
        self._queued_rows = 0
        self._alike = getattr(predictor, "generator", None) is None and all(
            column.type not in ("image", "sequence") for column in predictor.state.inputs
        )
        """Whether one row takes about as long as another: answers that are written do not; images and series differ in size by a thousand times."""
        self.single_time = math.inf
        """Seconds that one row alone takes, as last measured; infinite before warming, so that nothing runs inline before."""
        self.row_time = 0.0
        """Seconds a row takes in the requests that come, which may hold many."""

    def warm(self, rows: Rows) -> None:
        """Answer some rows so that the first customer does not pay for it; blocks, call it in a thread."""
        for _ in range(WARMING):
            _, seconds = self.thread.submit(self._answer, rows).result()
            self.single_time = min(self.single_time, seconds / max(len(rows), 1))
        self.row_time = self.single_time

    async def answer(self, rows: Rows) -> Answered:
        """Answers in order; 429 where the queue is too long for its turn to come in time, 504 where it did not."""
        count = len(rows)
        asked = time.perf_counter()
        if self._alike and self._queued_rows == 0 and count * self.single_time < INLINE:
            answers, seconds = self._answer(rows)
            self._learn(seconds, count)
            return Answered(answers, self._predictor.task.usage(rows, answers), 0.0, seconds)
        expected = self._queued_rows * self.row_time
        if expected > self._limits.queue_time:
            raise Refused(
                429,
                "overloaded",
                f"the queue is {expected:.1f} s long. Try again later.",
                headers={"Retry-After": str(math.ceil(expected))},
            )
        self._queued_rows += count
        loop = asyncio.get_running_loop()
        future = self.thread.submit(self._answer, rows)
        future.add_done_callback(lambda done: self._leave(loop, count))
        try:
            async with asyncio.timeout(self._limits.answer_time):
                answers, seconds = await asyncio.wrap_future(future)
        except TimeoutError:
            raise Refused(
                504, "timeout", f"no answer within {self._limits.answer_time:g} s. Send fewer rows at a time."
            ) from None
        self._learn(seconds, count)
        return Answered(
            answers, self._predictor.task.usage(rows, answers), time.perf_counter() - asked - seconds, seconds
        )

    def close(self) -> None:
        """Let the thread go; what it is working on is finished first."""
        self.thread.shutdown(wait=False, cancel_futures=True)

    def _leave(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        """Called in the thread, also for an answer that nobody waits for any more; the count belongs to the loop."""

        def leave() -> None:
            self._queued_rows -= count

        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
            loop.call_soon_threadsafe(leave)

    def _answer(self, rows: Rows) -> tuple[list[dict[str, Any]], float]:
        started = time.perf_counter()
        answers = self._predictor.answer(rows)
        return answers, time.perf_counter() - started

    def _learn(self, seconds: float, count: int) -> None:
        # an exponential mean over about 16 requests follows a change of load without being thrown by one slow answer
        self.row_time += (seconds / count - self.row_time) / 16
        if count == 1:
            self.single_time += (seconds - self.single_time) / 16
