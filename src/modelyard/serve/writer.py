"""The engine of generation: answers of all requests are written together, a token of each in one call, and handed to the event loop.

    submit -> waiting -> (a turn: a piece of the prompts is read, then one call gives each answer its next token) -> pieces -> event loop

Answers join when their prompt is read and leave when they are done; nobody waits for the longest. An answer depends on its own
prompt, options and seed alone, whoever else is being answered, up to the rounding of a larger matrix. It knows nothing about HTTP.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from modelyard.decoding.searching import continued
from modelyard.decoding.together import Together
from modelyard.sampling import Sampling
from modelyard.serve.answering import Answering
from modelyard.serve.generation import Ask, Finish, Generation, Generator, Piece, Shown, TokenMeters
from modelyard.serve.limits import GenerationLimits
from modelyard.serve.refusing import Refused
from modelyard.serve.waiting import Waiting

__all__ = [
    "Ask", "Finish", "Generation", "GenerationEngine", "GenerationLimits", "Generator", "Piece", "Shown", "TokenMeters",
]  # fmt: skip

WARMING = 3
"""Tokens that are written before the service says it is ready."""


class GenerationEngine:
    """One generator, the answers that it is writing, and those that wait.

    Every turn is a job of its own in `thread`, so that predictions of the same model, which share it, come in between.
    """

    def __init__(
        self, generator: Generator, limits: GenerationLimits, *, thread: ThreadPoolExecutor, meters: TokenMeters
    ) -> None:
        self._generator, self.limits, self._thread, self._meters = generator, limits, thread, meters
        self._lock = threading.Lock()
        """Held for the waiting and the writing ones, which the event loop and the thread share."""
        self._waiting = Waiting()
        self._writing: list[Answering] = []
        self._together = Together[Answering](generator.decoder)
        self._turning, self._oldest = False, False
        self._row_time = 1.0
        """Seconds for which an answer takes its place, as last measured."""
        self._places = limits.memory // (getattr(generator.decoder, "token_bytes", 0) or 1)
        """Tokens whose keys and values fit; a decoder that keeps none has no `token_bytes`."""

    def warm(self) -> None:
        """Write a few tokens, so that the first customer does not pay for it; blocks."""

        def write() -> None:
            prompt = np.asarray(self._generator.encode_prompt("a"), dtype=np.int64)
            rng = np.random.default_rng(0)
            for _ in continued(self._generator.decoder, prompt, Sampling(), most=WARMING, rng=rng):
                pass

        self._thread.submit(write).result()

    def submit(self, asks: Sequence[Ask], *, streamed: bool = True) -> Generation:
        """Begin to answer, as soon as there is room; 429 where too many wait, 400 where there never will be. Called in the event loop.

        `streamed`: whether pieces are handed on as they come, or all at the end.
        """
        generation = Generation(asks, limit=self.limits.time, streamed=streamed)
        with self._lock:
            self._sweep()
            self._check(asks)
            first = 0
            for ask in asks:
                self._waiting.add(Answering(ask, generation, self._generator, first))
                first += ask.choices
            self._meter()
            if not self._turning:
                self._turning = True
                self._thread.submit(self._turn)
        return generation

    def _check(self, asks: Sequence[Ask]) -> None:
        """Refuse what does not fit, now or ever."""
        rows, limits = sum(ask.rows for ask in asks), self.limits
        for ask in asks:
            if ask.rows > limits.at_once or ask.rows * ask.length > self._places:
                raise Refused(
                    400,
                    "too_large",
                    f"{ask.rows} answers of up to {ask.length} tokens, prompt included: at most {limits.at_once} answers and "
                    f"{self._places} tokens fit at once. Ask for fewer answers or tokens.",
                )
        taken = sum(one.ask.rows for one in (*self._waiting, *self._writing))
        ahead = self._row_time * max(0, taken + rows - limits.at_once) / limits.at_once
        patient = all(ask.patient for ask in asks)
        if taken + rows > limits.at_once + limits.waiting or (ahead > limits.wait_time and taken and not patient):
            seconds = math.ceil(max(1.0, self._row_time * taken / limits.at_once))
            raise Refused(
                429,
                "overloaded",
                f"{taken} answers are being written or wait, {rows} more are too many. Try again later.",
                headers={"Retry-After": str(seconds)},
            )

    def _turn(self) -> None:
        """In the thread: at most a piece of the prompts is read, and each answer gets its next token."""
        with self._lock:
            self._sweep()
            self._admit()
            writing = list(self._writing)
        self._step([one for one in writing if not one.reading])
        self._read([one for one in writing if one.reading])
        with self._lock:
            self._writing = [one for one in self._writing if not one.done]
            self._meter()
            self._turning = bool(self._writing or self._waiting.peek())
            if not self._turning:
                self._together.clear()
            else:
                with contextlib.suppress(RuntimeError):  # the thread was let go: the process is ending
                    self._thread.submit(self._turn)

    def _sweep(self) -> None:
        """What nobody wants any more goes; its rows leave with the next step."""
        self._waiting.keep(lambda one: not one.generation.over)
        self._writing = [one for one in self._writing if not one.generation.over]

    def _admit(self) -> None:
        """Those whose turn it is begin, where their rows fit; the next one is not overtaken, or a large one would wait for ever."""
        while (one := self._waiting.peek()) is not None:
            asks = [*(each.ask for each in self._writing), one.ask]
            rows = sum(ask.rows for ask in asks)
            # all rows are as wide as the longest
            if rows > self.limits.at_once or rows * max(ask.length for ask in asks) > self._places:
                return
            self._writing.append(self._waiting.pop())
            self._meters.read.inc(len(one.ask.prompt))

    def _step(self, going: Sequence[Answering]) -> None:
        """One call for the next token of all."""
        try:
            moves = {one: one.move() for one in going}
            found = self._together.step(moves)
        except Exception as error:
            for one in going:
                self._break(one, error)
            return
        if moves:
            self._meters.together.observe(sum(len(move.rows) for move in moves.values()))
        for one in going:
            self._advance(one, lambda one=one: one.take(found[one]))  # type: ignore[misc]

    def _read(self, reading: Sequence[Answering]) -> None:
        """So much of the prompts as fits between two tokens: in one turn from the oldest on, in the next from the one that is soonest read."""
        left, self._oldest = self.limits.piece, not self._oldest
        for one in reading if self._oldest else sorted(reading, key=lambda one: one.unread):
            if left <= 0:
                break
            before = one.unread
            self._advance(one, lambda one=one, left=left: one.read(left))  # type: ignore[misc]
            left -= max(before - one.unread, 1)
            if not one.reading and not one.done:
                self._together.join(one, one.state, length=len(one.ask.prompt))
                one.state = None

    def _advance(self, one: Answering, work: Callable[[], list[Piece]]) -> None:
        """Do what is next for an answer, and hand on what may be shown."""
        before, since = one.drawn, one.latest
        try:
            pieces = work()
        except Exception as error:
            self._break(one, error)
            return
        if one.done:
            # an exponential mean over about 16 answers, as the engine of predictions keeps
            self._row_time += (time.perf_counter() - one.begun - self._row_time) / 16
        if one.drawn > before:
            one.latest = time.perf_counter()
            self._meters.written.inc(one.drawn - before)
            (self._meters.next if before else self._meters.first).observe(one.latest - since)
        one.generation.post(pieces)

    def _break(self, one: Answering, error: Exception) -> None:
        one.done, one.reading = True, False
        one.generation.post(error)

    def _meter(self) -> None:
        self._meters.waiting.set(sum(one.ask.rows for one in self._waiting))
        self._meters.writing.set(sum(one.ask.rows for one in self._writing))
