"""The engine of generation without HTTP: who is written when, what is refused, and what others do in the same thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from writing_service import BREAKS, Speaker

from modelyard.decoding.sampling import Sampling
from modelyard.serve.refusing import Refused
from modelyard.serve.writer import Ask, Generation, GenerationEngine, GenerationLimits, TokenMeters

pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    return Speaker(pause=0.002)


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


def engine(speaker: Speaker, thread: ThreadPoolExecutor, **limits: Any) -> GenerationEngine:
    return GenerationEngine(speaker, GenerationLimits(**limits), thread=thread, meters=TokenMeters(CollectorRegistry()))


def ask(speaker: Speaker, *, most: int, text: str = "user: where", **options: Any) -> Ask:
    """An answer of exactly so many tokens."""
    return Ask(prompt=np.array(speaker.encode_prompt(text)), most=most, sampling=Sampling(bias={0: -100.0}), **options)


async def whole(generation: Generation) -> tuple[str, int]:
    """The first answer's text, and the tokens of all."""
    text = "".join([piece.text async for piece in generation if piece.choice == 0])
    return text, generation.completion_tokens


def test_a_short_answer_does_not_wait_for_a_long_one(speaker: Speaker, thread: ThreadPoolExecutor) -> None:
    made, order = engine(speaker, thread), []

    async def one(most: int) -> None:
        await whole(made.submit([ask(speaker, most=most)]))
        order.append(most)

    async def together() -> None:
        await asyncio.gather(one(60), one(5), one(20))

    asyncio.run(together())
    assert order == [5, 20, 60]


def test_what_shares_the_thread_comes_in_between(speaker: Speaker, thread: ThreadPoolExecutor) -> None:
    made = engine(speaker, thread)

    async def together() -> tuple[bool, str]:
        generation = made.submit([ask(speaker, most=100)])
        reading = asyncio.ensure_future(whole(generation))
        await asyncio.sleep(0.02)
        name = await asyncio.wrap_future(thread.submit(lambda: threading.current_thread().name))
        early = not reading.done()
        assert (await reading)[1] == 100
        return early, name

    early, name = asyncio.run(together())
    assert early
    assert name != threading.current_thread().name


def test_who_leaves_the_queue_makes_room(speaker: Speaker, thread: ThreadPoolExecutor) -> None:
    made = engine(speaker, thread, at_once=1, waiting=2)

    async def together() -> list[tuple[str, int]]:
        first, second, third = (made.submit([ask(speaker, most=30)]) for _ in range(3))
        with pytest.raises(Refused) as error:
            made.submit([ask(speaker, most=1)])
        assert (error.value.status, int(error.value.headers["Retry-After"]) >= 1) == (429, True)
        second.cancel()
        fourth = made.submit([ask(speaker, most=7)])
        answers = [await whole(one) for one in (first, third, fourth)]
        assert second.completion_tokens == 0
        return answers

    assert [count for _, count in asyncio.run(together())] == [30, 30, 7]


def test_rows_that_do_not_fit_wait_for_their_turn(speaker: Speaker, thread: ThreadPoolExecutor) -> None:
    """Never more rows at once than allowed, however many answers a request wants."""
    made, seen = engine(speaker, thread, at_once=3, waiting=9), []
    step = speaker.decoder._logits

    def watched(state: Any) -> Any:
        seen.append(sum(one.ask.rows for one in made._writing))
        return step(state)

    async def together() -> list[tuple[str, int]]:
        asks = [[ask(speaker, most=9, choices=2)], [ask(speaker, most=9, choices=2), ask(speaker, most=9)]]
        return await asyncio.gather(*(whole(made.submit(one)) for one in asks))

    speaker.decoder._logits = watched  # type: ignore[method-assign]
    try:
        answers = asyncio.run(together())
    finally:
        speaker.decoder._logits = step  # type: ignore[method-assign]
    assert [count for _, count in answers] == [18, 27]
    assert max(seen) == 3


def test_one_that_breaks_breaks_no_other(speaker: Speaker, thread: ThreadPoolExecutor) -> None:
    made = engine(speaker, thread)

    async def together() -> list[Any]:
        broken, sound = made.submit([ask(speaker, most=9, text=BREAKS)]), made.submit([ask(speaker, most=9)])
        return await asyncio.gather(whole(broken), whole(sound), return_exceptions=True)

    broken, sound = asyncio.run(together())
    assert isinstance(broken, RuntimeError)
    assert sound[1] == 9


def test_an_engine_rests_when_nothing_is_wanted(speaker: Speaker, thread: ThreadPoolExecutor) -> None:
    made = engine(speaker, thread)
    made.warm()

    async def left() -> None:
        generation = made.submit([ask(speaker, most=200)])
        await anext(generation.__aiter__())
        generation.cancel()

    asyncio.run(left())
    time.sleep(0.05)
    assert (made._turning, made._writing) == (False, [])
