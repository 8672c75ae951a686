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


def counted(speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What the decoder is called for from now on: which method, and tokens."""
    calls: list[tuple[str, int]] = []
    decoder = speaker.decoder

    def watch(name: str, method: Any) -> None:
        def watched(ids: Any, *given: Any) -> Any:
            calls.append((name, len(ids)))
            return method(ids, *given)

        monkeypatch.setattr(decoder, name, watched)

    for name in ("start", "more", "step"):
        watch(name, getattr(decoder, name))
    return calls


def test_eight_answers_take_as_many_calls_as_the_longest(
    speaker: Speaker, thread: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, calls = engine(speaker, thread), counted(speaker, monkeypatch)

    async def together() -> list[tuple[str, int]]:
        return await asyncio.gather(*(whole(made.submit([ask(speaker, most=32, seed=seed)])) for seed in range(8)))

    assert [count for _, count in asyncio.run(together())] == [32] * 8
    steps = sum(name == "step" for name, _ in calls)
    assert 31 <= steps <= 34, "the first ones may begin a turn before the others"
    assert sum(name == "start" for name, _ in calls) == 8


def test_each_answer_is_the_one_it_is_alone(speaker: Speaker, thread: ThreadPoolExecutor) -> None:
    """Of different lengths, drawn, greedy, several of a prompt and by beams, with prompts read in pieces."""
    made = engine(speaker, thread, piece=4, at_once=20)
    asks = [
        *(ask(speaker, most=5 + 7 * seed, seed=seed, text="user: where is the cat?" * (seed + 1)) for seed in range(4)),
        ask(speaker, most=12, choices=3, seed=9),
        ask(speaker, most=12, beams=3),
        Ask(prompt=np.array(speaker.encode_prompt("system:")), most=20, sampling=Sampling(temperature=0)),
        ask(speaker, most=15, logarithms=True, likeliest=3),
        ask(speaker, most=30, stops=("sat",), seed=4),
    ]

    async def pieces(generation: Generation) -> list[Any]:
        found = [piece async for piece in generation]
        texts = ["".join(piece.text for piece in found if piece.choice == row) for row in range(3)]
        shown = [(one.text, round(one.logarithm or 0, 4)) for piece in found for one in piece.tokens or ()]
        return [texts, shown, generation.completion_tokens]

    async def alone() -> list[Any]:
        return [await pieces(made.submit([one])) for one in asks]

    async def together() -> list[Any]:
        return await asyncio.gather(*(pieces(made.submit([one])) for one in asks))

    expected = asyncio.run(alone())
    assert asyncio.run(together()) == expected
    assert len({str(one) for one in expected}) == len(asks), "no two alike, or mixing them up would not show"


def test_a_long_prompt_holds_nobody_up_for_more_than_a_piece(
    speaker: Speaker, thread: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, calls = engine(speaker, thread, piece=16), counted(speaker, monkeypatch)
    long = "the old wall sat on the moon. " * 20

    async def together() -> None:
        first = made.submit([ask(speaker, most=60)])
        await anext(first.__aiter__())
        second = made.submit([ask(speaker, most=1, text=long)])
        await asyncio.gather(whole(first), whole(second))

    size = len(speaker.encode_prompt(long))
    assert size > 64
    asyncio.run(together())
    read = 0
    for name, tokens in calls:
        read = 0 if name == "step" else read + tokens
        assert read <= 16
    assert sum(tokens for name, tokens in calls if name != "step") >= size


def test_callers_take_turns_whoever_asks_for_most(speaker: Speaker, thread: ThreadPoolExecutor) -> None:
    made, order = engine(speaker, thread, at_once=1), []

    async def one(caller: str, *, patient: bool = False) -> None:
        await whole(made.submit([ask(speaker, most=5, caller=caller, patient=patient)]))
        order.append(caller)

    async def together() -> None:
        await asyncio.gather(
            one("batch", patient=True), *(one("greedy") for _ in range(6)), one("modest"), one("modest")
        )

    asyncio.run(together())
    assert max(place for place, name in enumerate(order) if name == "modest") <= 4
    assert order.index("batch") in (0, 8), "it was there first, or is last"


def test_answers_that_together_take_too_much_memory_do_not_write_at_once(
    speaker: Speaker, thread: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaker.decoder, "token_bytes", 100, raising=False)
    one = ask(speaker, most=20)
    made, seen = engine(speaker, thread, memory=2 * one.length * 100), []
    step = speaker.decoder.step
    monkeypatch.setattr(speaker.decoder, "step", lambda ids, state: seen.append(len(ids)) or step(ids, state))  # type: ignore[func-returns-value]

    async def together() -> list[tuple[str, int]]:
        with pytest.raises(Refused) as error:
            made.submit([ask(speaker, most=2 * one.length)])
        assert (error.value.status, error.value.type) == (400, "too_large")
        return await asyncio.gather(*(whole(made.submit([one])) for _ in range(5)))

    assert [count for _, count in asyncio.run(together())] == [20] * 5
    assert max(seen) == 2


def test_who_would_wait_too_long_is_refused_at_once(speaker: Speaker, thread: ThreadPoolExecutor) -> None:
    made = engine(speaker, thread, at_once=1, wait_time=2.5)

    async def together() -> None:
        made._row_time = 1.0
        held = [made.submit([ask(speaker, most=30)]) for _ in range(3)]
        with pytest.raises(Refused) as error:
            made.submit([ask(speaker, most=1)])
        assert (error.value.status, error.value.headers["Retry-After"]) == (429, "3")
        held.append(made.submit([ask(speaker, most=1, patient=True)]))
        for one in held:
            one.cancel()

    asyncio.run(together())


def test_who_leaves_or_is_late_is_gone_with_the_next_step(speaker: Speaker, thread: ThreadPoolExecutor) -> None:
    made = engine(speaker, thread, time=0.1)

    async def together() -> int:
        left, late = made.submit([ask(speaker, most=250)]), made.submit([ask(speaker, most=250)])
        got = [piece.drawn async for piece in _few(left, 3)]
        left.cancel()
        with pytest.raises(Refused) as error:
            await whole(late)
        assert error.value.status == 504
        await asyncio.sleep(0.05)
        assert (made._writing, made._turning) == ([], False)
        return left.completion_tokens - got[-1]

    assert asyncio.run(together()) == 0, "what was handed out and no more is what is billed"


async def _few(generation: Generation, number: int) -> Any:
    left = number
    async for piece in generation:
        yield piece
        left -= 1
        if not left:
            return


def test_a_broken_step_is_told_to_all_and_the_engine_goes_on(
    speaker: Speaker, thread: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = engine(speaker, thread)

    async def together() -> list[Any]:
        with monkeypatch.context() as patched:
            patched.setattr(speaker.decoder, "step", lambda ids, state: 1 / 0)
            broken = [made.submit([ask(speaker, most=9)]) for _ in range(2)]
            found = await asyncio.gather(*map(whole, broken), return_exceptions=True)
        return [*found, await whole(made.submit([ask(speaker, most=9)]))]

    *broken, sound = asyncio.run(together())
    assert [type(one) for one in broken] == [ZeroDivisionError] * 2
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
