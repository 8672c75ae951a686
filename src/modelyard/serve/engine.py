"""Rows in, answers out: requests that wait are answered together, in batches of the model's own pace.

    request ─► refused where its turn would come too late ─► `queueing` ─► one batch at a time ─► answers, put together again

Nothing ever waits for a batch to fill: an idle model starts at once, and what comes meanwhile is the next batch. A delay would gain
only where the model is idle, and there it gains nothing. A batch is bounded by its expected time (`pacing`), a quarter of the latency
target: a newcomer waits for at most the one that runs.

Very short predictions run in the event loop (`INLINE`): handing one to a thread and back costs about 0.1 ms, more than a small table
model needs. All others run in one thread: sessions need not be safe for two callers, and they use the cores themselves. The thread
takes its next batch itself, so the model does not wait for the event loop. Nothing here knows about HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from modelyard.errors import RequestError
from modelyard.rows import Rows, joined
from modelyard.serve.limits import Limits
from modelyard.serve.meters import BatchMeters
from modelyard.serve.pacing import Pace, lengthened, sizes
from modelyard.serve.patience import Patience, too_long
from modelyard.serve.queueing import MOST_ROWS, Ask, Part, Queue
from modelyard.serve.refusing import Refused
from modelyard.tasks._contract import State

INLINE = 0.002
"""Seconds that the event loop may be held: below it a health check or another request hardly notices."""
ALONE = 0.0006
"""Seconds. A prediction shorter than this is made on the spot, without looking for others to make it with: they would save less than the looking costs."""
WARMING = 5
"""Predictions before the service says it is ready: the first ones load code and allocate buffers."""
TOGETHER = 8
"""Rows of one more prediction while warming, from which the cost of a further row is first known."""
BATCH = 0.1
"""Seconds of a batch where no latency target is known."""
ROOM = 1.5
"""The largest batch over what the pace says when warming: a machine that was disturbed then is soon faster."""
TURNS = 4
"""Turns that fill a batch."""


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
    """Time of the batches that it was part of."""


@dataclass(eq=False, slots=True)
class _Open:
    """A request under way."""

    rows: Rows
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]
    answers: list[Any] = field(default_factory=list)
    missing: int = 0
    computed: float = 0.0
    error: Exception | None = None


class Engine:
    """One predictor and the queue before it."""

    def __init__(
        self,
        predictor: Answers,
        limits: Limits,
        *,
        meters: BatchMeters | None = None,
        thread: ThreadPoolExecutor | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._predictor, self._limits, self._meters, self._clock = predictor, limits, meters or BatchMeters(), clock
        self.thread = thread or ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        """Where the model runs; whatever else runs the same model shares it."""
        self._lock = threading.Lock()
        """Held for the queue, which the event loop and the thread share; never while the model runs."""
        self._queue, self._pace = Queue(), Pace()
        self._writes = getattr(predictor, "generator", None) is not None
        """Whether answers are written: they take as long as they become, and each request is a batch of its own."""
        self._alike = not self._writes and all(c.type not in ("image", "sequence") for c in predictor.state.inputs)
        """Whether the work of a row says well how long it takes; images and series have surprises that the loop should not meet."""
        self._longest = getattr(predictor, "longest", math.inf)
        """Tokens of a text that the model reads."""
        self._turning = False
        """Whether a turn runs or is due."""
        self._until = 0.0
        """When the batch that runs is expected to end."""
        self._patience = Patience(limits)
        self._batch = BATCH if limits.p95 is None else limits.p95 / 4
        """Seconds of a batch, where no row alone takes longer."""
        self._largest = 1.0
        """Work of the largest row that came."""
        self._filled = math.inf
        """Work of the batch that was made for warming: the largest there will be."""
        self._warm = False
        self._waiting = 0
        self._beside = False
        """Whether the last turn was one of the thread's."""
        self.single_time = math.inf
        """Seconds that one row alone takes, as last measured; infinite before warming, so that nothing runs inline before."""

    def warm(self, rows: Rows) -> None:
        """Answer some rows so that the first customer does not pay for it; blocks, call it in a thread."""
        work = sum(self._sizes(rows))
        for number in range(WARMING):
            seconds = self.thread.submit(self._timed, rows).result()
            self.single_time = min(self.single_time, seconds / max(len(rows), 1))
            if number:  # the first one loads
                self._pace.learn(work, seconds)
        if not self._writes and self.single_time < BATCH / 2:
            more = rows.take(np.zeros(TOGETHER, dtype=np.intp))
            self._pace.learn(sum(self._sizes(more)), self.thread.submit(self._timed, more).result())
        if not self._writes and math.isfinite(self._longest):
            self._fill(rows)
        self._warm = True

    def _fill(self, rows: Rows) -> None:
        """One batch of the longest texts, as large as any will be: what it allocates is all that the model ever holds.

        It has room above what the pace says now, which changes with the load; no later batch has more work.
        """
        long = lengthened(rows.take(slice(1)), self._predictor.state.inputs, longest=self._longest)
        (size,) = self._sizes(long)
        self._pace.learn(size, self.thread.submit(self._timed, long).result())
        count = min(math.ceil(ROOM * self._pace.budget(self._batch) / size), MOST_ROWS) if self._pace.each else 1
        self._filled = size * count
        if count > 1:
            seconds = self.thread.submit(self._timed, long.take(np.zeros(count, dtype=np.intp))).result()
            self._pace.learn(size * count, seconds)

    async def answer(
        self, rows: Rows, *, caller: str = "", deadline: float | None = None, weight: float = 1.0, later: bool = False
    ) -> Answered:
        """Answers in order; 429 where the queue is too long for its turn to come in time, 504 where it did not.

        `caller` is whose turn it takes; `deadline` is in seconds from now; `later` is for jobs that nobody waits for: they get the
        time that is left over, and a little more.
        """
        asked = self._clock()
        if self._alike and not self._turning and len(rows) * self.single_time < ALONE:
            answers = self._predictor.answer(rows)
            seconds = self._clock() - asked
            if len(rows) == 1:
                self.single_time += (seconds - self.single_time) / 16
            self._meters.ran(len(rows), 0.0)
            return Answered(answers, self._predictor.task.usage(rows, answers), 0.0, seconds)
        loop = asyncio.get_running_loop()
        patience = self._limits.answer_time if deadline is None else min(deadline, self._limits.answer_time)
        one = _Open(rows, loop, loop.create_future(), [None] * len(rows), len(rows))
        ask = Ask(self._sizes(rows), caller, asked + patience, later, weight, one)
        expected = self._enter(ask, asked, patience)
        self._waiting += 1
        try:
            async with asyncio.timeout(patience):
                await one.done
        except TimeoutError:
            self._meters.dropped("expired")
            raise Refused(504, "timeout", f"no answer within {patience:g} s. Send fewer rows at a time.") from None
        finally:
            self._waiting -= 1
            with self._lock:
                self._queue.leave(ask)
        took = self._clock() - asked
        if expected == "late":
            self._patience.back(took)
        self._meters.waited(waited := max(took - one.computed, 0.0))
        return Answered(one.answers, self._predictor.task.usage(rows, one.answers), waited, one.computed)

    @property
    def waiting(self) -> int:
        """Requests before the model and in it; none where the event loop itself is the model's thread."""
        return self._waiting if self._beside else 0

    def close(self) -> None:
        """Let the thread go; what it is working on is finished first."""
        self.thread.shutdown(wait=False, cancel_futures=True)

    # -- admission -----------------------------------------------------------------------------------------------------------

    def _enter(self, ask: Ask, now: float, patience: float) -> Literal["in time", "late"]:
        """Into the queue, and a turn where none is due; whether it is expected in time, 429 where its own turn would come too late."""
        with self._lock:
            self._largest = max(self._largest, *ask.sizes)
            budget, quantum = self._budget()
            first, last = self._queue.ahead(ask, quantum=quantum)
            expected = self._pace.backlog(first, budget=budget)
            if self._turning:
                expected += max(self._until - now, 0.0)
            own = self._pace.seconds(
                max(ask.sizes[0], min(last, budget - self._largest / 2))
            )  # of the batch that it is in
            let_in = "in time" if ask.later else self._patience.admits(expected, own=own)
            if let_in is None or (self._turning and self._pace.backlog(last, budget=budget) > patience):
                self._meters.dropped("overloaded")
                raise too_long(expected)
            self._queue.add(ask)
            if self._turning:
                return let_in
            self._turning = True
        work = sum(ask.sizes)
        if self._warm and self._alike and self._pace.seconds(work) < INLINE:
            # after the requests that are ready in this round of the loop, so that they are one batch
            ask.payload.loop.call_soon(self._turn_inline)
        else:
            self._beside = True
            self.thread.submit(self._turn)
        return let_in

    def _budget(self) -> tuple[float, float]:
        """Work of a batch, and of a turn in it."""
        if self._writes:
            return self._largest, self._largest
        budget = min(self._pace.budget(self._batch), MOST_ROWS * self._largest, self._filled)
        # a turn far smaller than a row would have to come round for long before the row is paid for
        return budget, max(budget / TURNS, self._largest / MOST_ROWS)

    def _sizes(self, rows: Rows) -> list[float]:
        """The work of each row, by its columns."""
        return sizes(rows, self._predictor.state.inputs, longest=self._longest)

    # -- turns ---------------------------------------------------------------------------------------------------------------

    def _turn_inline(self) -> None:
        """In the event loop: the requests that came together, if they are still short together."""
        with self._lock:
            short = self._pace.seconds(self._queue.work) < INLINE
            self._beside = not short
        if short:
            self._turn()
        else:
            self.thread.submit(self._turn)

    def _turn(self) -> None:
        """One batch; the next turn is due where more waits. As a job of its own, so that whoever shares the thread comes in between."""
        with self._lock:
            budget, quantum = self._budget()
            if self._writes:
                budget = 0.0  # one row, and the rest of its request with it
            parts, expired = self._queue.take(budget, quantum=quantum, now=self._clock())
            if self._writes and parts:
                parts = [self._whole(parts[0])]
            work = sum(part.work for part in parts)
            self._until = self._clock() + self._pace.seconds(work)
        for ask in expired:  # its own timeout tells the client; what it would have cost is saved
            self._meters.dropped("late")
            self._post(ask.payload)
        try:
            if parts:
                self._run(parts, work)
        except Exception as error:  # not the model's: its requests are told, and the turns go on
            for part in parts:
                self._fail(part, error)
        with self._lock:
            self._turning = bool(self._queue)
        if self._turning:
            with contextlib.suppress(RuntimeError):  # the thread was let go: the process is ending
                self.thread.submit(self._turn)

    def _whole(self, part: Part) -> Part:
        """The first part of a written request stands for all of it."""
        rest, ask = part.ask.left, part.ask
        self._queue.leave(ask)
        ask.taken = len(ask.sizes)
        return Part(ask, part.start, len(ask.sizes), part.work + rest)

    def _run(self, parts: Sequence[Part], work: float) -> None:
        """Answer a batch; where it fails, each of its requests by itself, so that one bad row harms nobody else."""
        began = self._clock()
        try:
            answers = self._predictor.answer(joined([_rows(part) for part in parts]))
        except Exception as error:
            if len(parts) > 1:
                for part in parts:
                    self._run([part], part.work)
                return
            self._fail(parts[0], error)
            return
        seconds = self._clock() - began
        with self._lock:
            self._pace.learn(work, seconds)
            if len(answers) == 1:
                self.single_time += (seconds - self.single_time) / 16 if self._warm else 0.0
        self._meters.ran(len(answers), work)
        done: dict[int, _Open] = {}
        start = 0
        for part in parts:
            one, count = part.ask.payload, part.stop - part.start
            one.answers[part.start : part.stop] = answers[start : start + count]
            one.missing -= count
            if id(one) not in done:
                one.computed += seconds
                done[id(one)] = one
            start += count
        for loop in {one.loop for one in done.values()}:  # woken once a batch
            finished = [one for one in done.values() if one.loop is loop and not one.missing]
            if finished:
                _wake(loop, finished)

    def _fail(self, part: Part, error: Exception) -> None:
        one = part.ask.payload
        if isinstance(error, RequestError) and part.start:  # its rows are counted from the request's first
            error = RequestError([(row + part.start, name, message) for row, name, message in error.faults])
        with self._lock:
            self._queue.leave(part.ask)
        one.error = error
        self._post(one)

    def _post(self, one: _Open) -> None:
        one.error = one.error or (TimeoutError() if one.missing else None)
        _wake(one.loop, [one])

    def _timed(self, rows: Rows) -> float:
        began = self._clock()
        self._predictor.answer(rows)
        return self._clock() - began


def _rows(part: Part) -> Rows:
    rows: Rows = part.ask.payload.rows
    return rows if part.stop - part.start == len(rows) else rows.take(slice(part.start, part.stop))


def _wake(loop: asyncio.AbstractEventLoop, finished: Sequence[_Open]) -> None:
    """Tell the waiting coroutines, from whichever thread."""

    def tell() -> None:
        for one in finished:
            if one.done.done():
                continue
            if one.error is not None:
                one.done.set_exception(one.error)
            else:
                one.done.set_result(None)

    with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
        loop.call_soon_threadsafe(tell)
