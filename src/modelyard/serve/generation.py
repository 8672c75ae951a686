"""What is asked of a language model and what comes of it: prompts with options, pieces of answers. It knows no HTTP and computes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from modelyard.decoding.searching import Decoder
from modelyard.rows import Array
from modelyard.sampling import Sampling
from modelyard.serve.meters import LATENCY
from modelyard.serve.refusing import Refused

Finish = Literal["stop", "length"]


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

    caller: str = ""
    """Who asks; callers take their turns, whoever asks for most."""
    patient: bool = False
    """Whether it may wait for as long as others who are not wait: the batch tariff."""

    @property
    def rows(self) -> int:
        """Rows of keys and values that it takes."""
        return max(self.choices, self.beams)

    @property
    def length(self) -> int:
        """Tokens that each row may come to, prompt and answer."""
        return len(self.prompt) + self.most


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
        """Tokens of all answers that were handed out so far: what is billed, also where a stream breaks."""
        return sum(self._drawn.values())

    @property
    def over(self) -> bool:
        """Whether its answers have nobody to go to: cancelled, or too late."""
        return self.cancelled or time.perf_counter() - self.begun > self._limit

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
        self.together = Histogram(
            "modelyard_rows_together",
            "Answers whose next token one call of the model computed.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            **given,
        )
        answers = Gauge("modelyard_answers", "Answers by stage.", ["stage"], multiprocess_mode="livesum", **given)
        self.waiting, self.writing = answers.labels("waiting"), answers.labels("writing")
