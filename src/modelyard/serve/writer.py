"""The engine of generation: answers are written in one thread, a token of each at a time, and handed to the event loop.

    submit -> waiting -> (a turn: one new prompt is read, then each answer gets its next token) -> pieces -> event loop

All steps of a turn stand in `_turn`: there a decoder that can join states may take them as one batch. An answer depends on its own
prompt, options and seed alone, whoever else is being answered. It knows nothing about HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, Literal, Protocol

import numpy as np

from modelyard.decoding.searching import Answers, Decoder, Token, continued, scored, searched
from modelyard.decoding.writing import Writer
from modelyard.frozen import Frozen
from modelyard.rows import Array
from modelyard.sampling import Sampling
from modelyard.serve.meters import LATENCY
from modelyard.serve.refusing import Refused

Finish = Literal["stop", "length"]
WARMING = 3
"""Tokens that are written before the service says it is ready."""
BEFORE = 8
"""Tokens of the prompt that an answer's first ones are decoded with, so that the space between them comes out."""


class Generator(Protocol):
    """What a language model's predictor offers to those who write with it."""

    decoder: Decoder
    context: int
    """Most tokens, prompt and answer together."""
    vocabulary: int
    """Token ids are below it."""

    def encode_prompt(self, text: str) -> Sequence[int]:
        """The tokens of a text that is to be continued."""

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> Sequence[int]:
        """The tokens of messages (`role`, `content`) up to where the answer begins; RequestError where the model knows no chat."""

    def decode(self, ids: list[int]) -> str:
        """The text of tokens, special ones left out."""


class GenerationLimits(Frozen):
    """What answers may use; times in seconds."""

    most_tokens: int = 4096
    """Tokens of an answer, where the request names no fewer; the model's context may leave less."""
    at_once: int = 8
    """Answers that are written at the same time; each holds the keys and values of its text."""
    waiting: int = 64
    """Answers that may wait for their turn; a request beyond them is refused with 429 and Retry-After."""
    time: float = 300.0
    """An answer must be whole after this time, waiting included; else 504, or an error at the end of a stream."""


@dataclass(frozen=True)
class Ask:
    """One prompt and how it is to be answered."""

    prompt: Array
    sampling: Sampling = field(default_factory=Sampling)
    most: int = 16
    """Tokens of an answer."""
    choices: int = 1
    """Answers."""
    seed: int = 0
    """The answer of a number (0, 1, ...) is drawn from (seed, number)."""
    stops: tuple[str, ...] = ()
    """Texts that end an answer; they are not part of it."""
    beams: int = 1
    """Width of a beam search; 1: tokens are drawn."""
    logarithms: bool = False
    """Whether tokens are told with their logarithms."""
    likeliest: int = 0
    """... and with so many of the likeliest in their place."""
    echo: str | None = None
    """The prompt's text, where answers are to begin with it."""

    @property
    def rows(self) -> int:
        """Rows of keys and values that it takes."""
        return max(self.choices, self.beams)


@dataclass(frozen=True)
class Shown:
    """A token as it is told to who asked for logarithms."""

    text: str
    offset: int
    """Where its text begins in the answer."""
    logarithm: float | None
    """None for the first token of a prompt, which nothing stands before."""
    likeliest: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Piece:
    """What comes next of an answer."""

    choice: int
    """Number of the answer, counted over all prompts of a request."""
    text: str
    drawn: int
    """Tokens of the answer so far, those of a stop sequence included, the end left out."""
    tokens: tuple[Shown, ...] | None = None
    """Those whose text is told up to here; None where no logarithms were asked for."""
    finish: Finish | None = None


class Generation:
    """What a request is being answered, as the event loop sees it.

    >>> async for piece in generation: print(piece.text)  # doctest: +SKIP
    """

    def __init__(self, asks: Sequence[Ask], *, limit: float, streamed: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[list[Piece] | Exception] = asyncio.Queue()
        self._left = self._going = sum(ask.choices for ask in asks)
        """Answers that are not finished: as the loop has seen, and as the thread has."""
        self._streamed, self._held = streamed, list[Piece]()
        self._limit, self._deadline = limit, self._loop.time() + limit
        self._drawn: dict[int, int] = {}
        self.prompt_tokens = sum(len(ask.prompt) for ask in asks)
        self.begun = time.perf_counter()
        self.cancelled = False
        """Whether nobody wants it any more; its answers end at the next turn."""

    @property
    def completion_tokens(self) -> int:
        """Tokens of all answers so far."""
        return sum(self._drawn.values())

    def cancel(self) -> None:
        """Nobody wants it any more. Harmless where it is finished."""
        self.cancelled = True

    async def __aiter__(self) -> AsyncIterator[Piece]:
        """Pieces of all answers as they come; 504 where they are not whole in time, and whatever broke them."""
        while self._left:
            try:
                async with asyncio.timeout_at(self._deadline):
                    came = await self._pieces.get()
            except TimeoutError:
                raise Refused(
                    504, "timeout", f"the answer was not whole within {self._limit:g} s. Ask for fewer tokens."
                ) from None
            if isinstance(came, Exception):
                raise came
            for piece in came:
                self._drawn[piece.choice] = piece.drawn
                self._left -= piece.finish is not None
                yield piece

    def post(self, came: list[Piece] | Exception) -> None:
        """Called in the thread. Without a stream the loop is woken once, when all is there: waking it takes longer than a small step."""
        if isinstance(came, list):
            self._going -= sum(piece.finish is not None for piece in came)
            self._held += came
            if not self._held or (self._going and not self._streamed):
                return
            came, self._held = self._held, []
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
            self._loop.call_soon_threadsafe(self._pieces.put_nowait, came)


class TokenMeters:
    """What `/metrics` shows of generation."""

    def __init__(self, registry: Any) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        given: dict[str, Any] = {"registry": registry}
        self.read = Counter("modelyard_prompt_tokens", "Tokens of prompts read.", **given)
        self.written = Counter("modelyard_completion_tokens", "Tokens written.", **given)
        self.first = Histogram(
            "modelyard_first_token_seconds",
            "Time from a request to the first token of its answer, waiting included.",
            buckets=LATENCY,
            **given,
        )
        self.next = Histogram(
            "modelyard_token_seconds", "Time from one token of an answer to the next.", buckets=LATENCY, **given
        )
        answers = Gauge("modelyard_answers", "Answers by stage.", ["stage"], multiprocess_mode="livesum", **given)
        self.waiting, self.writing = answers.labels("waiting"), answers.labels("writing")


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
        self._waiting: deque[_Answering] = deque()
        self._writing: list[_Answering] = []
        self._turning = False
        self._row_time = 1.0
        """Seconds for which an answer takes its place, as last measured."""

    def warm(self) -> None:
        """Write a few tokens, so that the first customer does not pay for it; blocks."""

        def write() -> None:
            prompt = np.asarray(self._generator.encode_prompt("a"), dtype=np.int64)
            rng = np.random.default_rng(0)
            for _ in continued(self._generator.decoder, prompt, Sampling(), most=WARMING, rng=rng):
                pass

        self._thread.submit(write).result()

    def submit(self, asks: Sequence[Ask], *, streamed: bool = True) -> Generation:
        """Begin to answer, as soon as there is room; 429 where too many wait. Called in the event loop.

        `streamed`: whether pieces are handed on as they come, or all at the end.
        """
        generation = Generation(asks, limit=self.limits.time, streamed=streamed)
        rows = sum(ask.rows for ask in asks)
        with self._lock:
            self._sweep()
            taken = sum(one.ask.rows for one in (*self._waiting, *self._writing))
            if taken + rows > self.limits.at_once + self.limits.waiting:
                seconds = math.ceil(max(1.0, self._row_time * taken / self.limits.at_once))
                raise Refused(
                    429,
                    "overloaded",
                    f"{taken} answers are being written or wait, {rows} more are too many. Try again later.",
                    headers={"Retry-After": str(seconds)},
                )
            first = 0
            for ask in asks:
                self._waiting.append(_Answering(ask, generation, self._generator, first))
                first += ask.choices
            self._meter()
            if not self._turning:
                self._turning = True
                self._thread.submit(self._turn)
        return generation

    def _turn(self) -> None:
        """In the thread: at most one new prompt is read, and each answer gets its next token."""
        with self._lock:
            self._sweep()
            self._admit()
        for one in self._writing:
            self._advance(one)
        with self._lock:
            self._writing = [one for one in self._writing if not one.done]
            self._meter()
            self._turning = bool(self._writing or self._waiting)
            if self._turning:
                with contextlib.suppress(RuntimeError):  # the thread was let go: the process is ending
                    self._thread.submit(self._turn)

    def _sweep(self) -> None:
        """What nobody wants any more goes."""
        self._waiting = deque(one for one in self._waiting if not one.generation.cancelled)
        self._writing = [one for one in self._writing if not one.generation.cancelled]

    def _admit(self) -> None:
        """The one that waits longest begins where its rows fit; one a turn, because a prompt takes as long as many tokens."""
        taken = sum(one.ask.rows for one in self._writing)
        if self._waiting and taken + self._waiting[0].ask.rows <= self.limits.at_once:
            self._writing.append(self._waiting.popleft())
            self._meters.read.inc(len(self._writing[-1].ask.prompt))

    def _advance(self, one: _Answering) -> None:
        before, since = one.drawn, one.latest
        try:
            pieces = next(one.steps)
        except StopIteration:
            one.done = True
            # an exponential mean over about 16 answers, as the engine of predictions keeps
            self._row_time += (time.perf_counter() - one.begun - self._row_time) / 16
            return
        except Exception as error:
            one.done = True
            one.generation.post(error)
            return
        one.latest = time.perf_counter()
        if one.drawn > before:
            self._meters.written.inc(one.drawn - before)
            (self._meters.next if before else self._meters.first).observe(one.latest - since)
        one.generation.post(pieces)

    def _meter(self) -> None:
        self._meters.waiting.set(sum(one.ask.rows for one in self._waiting))
        self._meters.writing.set(sum(one.ask.rows for one in self._writing))


class _Answering:
    """The answers to one prompt on their way."""

    def __init__(self, ask: Ask, generation: Generation, generator: Generator, first: int) -> None:
        self.ask, self.generation, self._generator = ask, generation, generator
        self._choices = [_Choice(first + row, ask, generator.decode) for row in range(ask.choices)]
        self.steps = self._steps()
        """The work that is left, a token of each answer at a time; what may be shown after each."""
        self.done = False
        self.begun = 0.0
        self.latest = generation.begun
        """When the latest token came."""

    @property
    def drawn(self) -> int:
        """Tokens of all its answers so far."""
        return sum(choice.drawn for choice in self._choices)

    def _steps(self) -> Iterator[list[Piece]]:
        self.begun = time.perf_counter()
        if self.ask.echo is not None:
            yield from self._echoed(self.ask.echo)
        yield from (self._searched() if self.ask.beams > 1 else self._sampled())

    def _sampled(self) -> Iterator[list[Piece]]:
        ask = self.ask
        rngs = [np.random.default_rng([ask.seed, number]) for number in range(ask.choices)]
        answers = Answers(
            self._generator.decoder, ask.prompt, ask.sampling, most=ask.most, rngs=rngs, likeliest=ask.likeliest
        )
        if not answers.going:
            yield [choice.end("length") for choice in self._choices]
        while answers.going:
            pieces = []
            for row, token in answers.step().items():
                choice = self._choices[row]
                if token is None:
                    piece = choice.end("stop")
                else:
                    piece = choice.add(token, last=row not in answers.going)
                if piece.finish:
                    answers.drop(row)
                pieces.append(piece)
            yield [piece for piece in pieces if piece.text or piece.tokens or piece.finish]

    def _searched(self) -> Iterator[list[Piece]]:
        ask, choice = self.ask, self._choices[0]
        for found in searched(self._generator.decoder, ask.prompt, beams=ask.beams, most=ask.most):
            pieces = []
            if found is not None:
                for number in found.ids:
                    pieces.append(choice.add(Token(number, math.nan)))
                    if pieces[-1].finish:
                        break
                else:
                    pieces.append(choice.end("stop" if found.ended else "length"))
            yield pieces

    def _echoed(self, text: str) -> Iterator[list[Piece]]:
        """The prompt as the beginning of each answer, its tokens scored where logarithms are wanted."""
        shown: list[Shown] | None = None
        if self.ask.logarithms:
            decode, ids = self._generator.decode, self.ask.prompt
            writer = Writer(decode)
            shown = [Shown(decode([int(ids[0])]), 0, None)]
            writer.add(int(ids[0]))
            for place, token in enumerate(scored(self._generator.decoder, ids, likeliest=self.ask.likeliest)):
                shown.append(_shown(token, decode, before=int(ids[place]), offset=writer.known))
                writer.add(token.id)
                yield []
        tokens = None if shown is None else tuple(shown)
        yield [Piece(choice.number, text, 0, tokens) for choice in self._choices]


class _Choice:
    """One answer: its text, and the tokens whose text is not certain yet."""

    def __init__(self, number: int, ask: Ask, decode: Any) -> None:
        self.number, self.drawn = number, 0
        before = ask.prompt[-BEFORE:].tolist()
        self._latest = before[-1]
        self._decode, self._writer = decode, Writer(decode, ask.stops, before=before)
        self._logarithms, self._offset = ask.logarithms, len(ask.echo or "")
        self._held: list[Shown] = []

    def add(self, token: Token, *, last: bool = False) -> Piece:
        """What a token makes certain; where it is the last one there is room for, all that is left."""
        if self._logarithms:
            offset = self._offset + self._writer.known
            self._held.append(_shown(token, self._decode, before=self._latest, offset=offset))
        self.drawn += 1
        self._latest = token.id
        text = self._writer.add(token.id)
        if last and not self._writer.stopped:
            return self._piece(text + self._writer.end(), "length")
        return self._piece(text, None)

    def end(self, finish: Finish) -> Piece:
        """What is left."""
        return self._piece(self._writer.end(), finish)

    def _piece(self, text: str, finish: Finish | None) -> Piece:
        finish = "stop" if self._writer.stopped else finish
        tokens = self._released(finish) if self._logarithms else None
        return Piece(self.number, text, self.drawn, tokens, finish)

    def _released(self, finish: Finish | None) -> tuple[Shown, ...]:
        """Tokens whose text is told in full; in the end all, but for those of a stop sequence, which may begin amid one."""
        certain = self._offset + self._writer.written
        if self._writer.stopped:
            cut = [replace(one, text=one.text[: certain - one.offset]) for one in self._held if one.offset < certain]
            return tuple(cut)
        if finish is not None:
            return tuple(self._held)
        told = tuple(takewhile(lambda one: one.offset + len(one.text) <= certain, self._held))
        self._held = self._held[len(told) :]
        return told


def _shown(token: Token, decode: Any, *, before: int, offset: int) -> Shown:
    others = tuple((_text(decode, before, number), logarithm) for number, logarithm in token.likeliest)
    return Shown(_text(decode, before, token.id), offset, token.logarithm, others)


def _text(decode: Any, before: int, number: int) -> str:
    """What a token spells after another one: some decoders leave out the space at a text's beginning."""
    known, both = decode([before]), decode([before, number])
    return (both[len(known) :] if both.startswith(known) else "") or str(decode([number]))
