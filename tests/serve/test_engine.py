"""The engine over small real models and over one whose time is known: equal answers, batches, refusals, deadlines, one bad row."""

from __future__ import annotations

import asyncio
import threading
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from serve_helpers import COLUMNS, ROW, make_records
from slow_service import Sleeper

from modelyard.context import available_cores
from modelyard.errors import RequestError
from modelyard.predictor import Predictor
from modelyard.records._base import cores
from modelyard.rows import Column, Rows, from_records
from modelyard.serve.engine import Answered, Engine
from modelyard.serve.limits import Limits
from modelyard.serve.refusing import Refused

ONE = from_records([ROW], COLUMNS)


class Counted(Sleeper):
    """A call takes `fixed` seconds, and `seconds` a row; it remembers its batches."""

    def __init__(self, seconds: float, fixed: float = 0.0) -> None:
        super().__init__(seconds)
        self.fixed, self.batches, self.ages = fixed, list[int](), list[float]()

    def answer(self, rows: Rows) -> list[dict[str, Any]]:
        self.batches.append(len(rows))
        self.ages += list(rows["age"])
        time.sleep(self.fixed)
        for row, age in enumerate(rows["age"]):
            if age == 97:
                raise RequestError([(row, "age", "planted")])
        return super().answer(rows)


def aged(*ages: float) -> Rows:
    return from_records([{**ROW, "age": age} for age in ages], COLUMNS)


def run(predictor: Any, test: Callable[[Engine], Awaitable[Any]], **limits: Any) -> Any:
    """A test over a warm engine, which ends."""

    async def bounded() -> Any:
        engine = Engine(predictor, Limits(**limits))
        try:
            await asyncio.to_thread(engine.warm, ONE)
            async with asyncio.timeout(30):
                return await test(engine)
        finally:
            engine.close()

    return asyncio.run(bounded())


@pytest.mark.parametrize("slower", [0.0, 0.003])
def test_answers_are_those_that_each_gets_alone(model_folder: Path, slower: float) -> None:
    predictor = Predictor.open(model_folder)
    pieces = [from_records(make_records(1 + seed % 7, seed=seed), COLUMNS) for seed in range(40)]
    wanted = [predictor.answer(rows) for rows in pieces]
    threads: set[str] = set()
    plain = predictor.answer

    def answer(rows: Rows) -> list[dict[str, Any]]:
        threads.add(threading.current_thread().name)
        time.sleep(slower)
        return plain(rows)

    predictor.answer = answer  # type: ignore[method-assign]

    async def test(engine: Engine) -> list[Answered]:
        threads.clear()
        return await asyncio.gather(*(engine.answer(rows, caller=str(n % 3)) for n, rows in enumerate(pieces)))

    found = run(predictor, test)
    if slower:  # only short ones may run in the loop
        assert all(name.startswith("predict") for name in threads)
    for one, alone in zip(found, wanted, strict=True):
        assert [answer["answer"] for answer in one.answers] == [answer["answer"] for answer in alone]
        for answer, other in zip(one.answers, alone, strict=True):
            assert answer["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)


def test_who_waits_is_answered_together_within_the_time_of_a_batch() -> None:
    model = Counted(0.001, fixed=0.004)

    def together(count: int) -> Callable[[Engine], Awaitable[None]]:
        async def test(engine: Engine) -> None:
            model.batches.clear()
            await asyncio.gather(*(engine.answer(ONE) for _ in range(count)))

        return test

    run(model, together(60))
    assert sum(model.batches) == 60
    assert len(model.batches) <= 12  # one by one: 60
    run(model, together(30), p95=0.06)  # a quarter of it is some ten rows
    assert sum(model.batches) == 30 and max(model.batches) <= 25


@pytest.mark.parametrize("faster", [1.0, 5.0])
def test_warming_makes_the_largest_batch_that_will_come(faster: float) -> None:
    """Of memory the model then holds what it will ever hold, however long the texts are that customers send, and however fast it becomes."""

    class Reader(Sleeper):
        """Takes a millisecond for ten tokens of what it reads."""

        longest = 50.0

        def __init__(self) -> None:
            super().__init__(0.0)
            self.state = self.state.model_copy(update={"inputs": (*COLUMNS, Column(name="note", type="text"))})
            self.read = list[float]()

        def answer(self, rows: Rows) -> list[dict[str, Any]]:
            self.read.append(sum(min(len(text) / 4 + 1, self.longest) for text in rows["note"]))
            time.sleep(self.read[-1] / 10_000 / (1.0 if len(self.read) <= 8 else faster))
            return super().answer(rows)

    async def test(engine: Engine) -> None:
        texts = ["word " * count for count in (1, 3, 10, 30, 300)] * (60 if faster == 1 else 300)
        asked = [from_records([{**ROW, "note": text}], engine._predictor.state.inputs) for text in texts]
        await asyncio.gather(*(engine.answer(one, later=True) for one in asked))

    reader = Reader()
    run(reader, test, p95=0.1)
    warmed, asked = reader.read[:8], reader.read[8:]
    assert warmed[-1] == max(warmed) and 150 <= warmed[-1] <= 1000, "some 25 ms of texts of 50 tokens"
    assert len(asked) > 5 and max(asked) <= warmed[-1]


def test_a_bad_row_fails_its_own_request_only() -> None:
    model = Counted(0.003)

    async def test(engine: Engine) -> list[Any]:
        asked = [aged(20), aged(20, 97), aged(99), aged(30), aged(40, 41)]
        return await asyncio.gather(*(engine.answer(rows) for rows in asked), return_exceptions=True)

    found = run(model, test)
    assert [type(one) for one in found] == [Answered, RequestError, RuntimeError, Answered, Answered]
    assert found[1].faults == ((1, "age", "planted"),)


def test_faults_of_a_cut_request_count_from_its_first_row() -> None:
    async def test(engine: Engine) -> Any:
        with pytest.raises(RequestError) as told:
            await engine.answer(aged(*[20.0] * 40, 97))
        return told.value.faults

    assert run(Counted(0.002), test, p95=0.05) == ((40, "age", "planted"),)


def test_a_short_request_passes_a_long_one_and_a_flood() -> None:
    async def test(engine: Engine) -> tuple[float, float]:
        began = time.perf_counter()
        long = asyncio.create_task(engine.answer(aged(*[20.0] * 200), caller="flood"))
        await asyncio.sleep(0.02)
        await engine.answer(ONE, caller="flood")
        same = time.perf_counter() - began
        await engine.answer(ONE, caller="other")
        assert not long.done()
        await long
        return same, time.perf_counter() - began

    same, whole = run(Counted(0.003), test, p95=0.1)
    assert same < whole / 3


def test_the_abandoned_and_the_late_are_never_computed() -> None:
    model = Counted(0.05)

    async def test(engine: Engine) -> None:
        busy = asyncio.create_task(engine.answer(aged(20)))
        await asyncio.sleep(0.01)
        left = asyncio.create_task(engine.answer(aged(55)))
        late = asyncio.create_task(engine.answer(aged(56), deadline=0.06))
        later = asyncio.create_task(engine.answer(aged(57), deadline=10))
        await asyncio.sleep(0.01)
        left.cancel()
        await asyncio.gather(busy, left, late, later, return_exceptions=True)

    run(model, test)
    assert 55 not in model.ages
    assert 57 in model.ages


def test_too_late_is_a_504_and_too_long_a_queue_a_429() -> None:
    async def test(engine: Engine) -> list[Any]:
        async with asyncio.timeout(10):
            with pytest.raises(Refused) as late:
                await engine.answer(aged(*[20.0] * 10), deadline=0.03)
        found = await asyncio.gather(*(engine.answer(ONE) for _ in range(80)), return_exceptions=True)
        return [late.value, *found]

    late, *found = run(Counted(0.01), test, queue_time=0.2)
    assert late.status == 504
    refused = [one for one in found if isinstance(one, Refused)]
    assert 10 <= len(refused) <= 75  # about 20 fit
    assert all(one.status == 429 and int(one.headers["Retry-After"]) >= 1 for one in refused)


@pytest.mark.parametrize("times", [0.5, 3.0])
def test_at_three_times_the_capacity_goodput_stays(times: float) -> None:
    """A row takes 4 ms, so that 250 a second is the capacity; open loop, for 2.5 s."""
    rate, seconds, target = 250.0 * times, 2.5, 0.2

    async def test(engine: Engine) -> tuple[list[float], int, int]:
        took: list[float] = []
        refused = 0

        async def one() -> None:
            nonlocal refused
            began = time.perf_counter()
            try:
                await engine.answer(ONE)
            except Refused:
                refused += 1
            else:
                took.append(time.perf_counter() - began)

        tracemalloc.start()
        began, sent, tasks = time.perf_counter(), 0, set[asyncio.Task[None]]()
        while (passed := time.perf_counter() - began) < seconds:
            while sent < passed * rate:
                tasks.add(task := asyncio.create_task(one()))
                task.add_done_callback(tasks.discard)
                sent += 1
            await asyncio.sleep(0.002)
        await asyncio.gather(*tasks)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return took, refused, peak

    took, refused, peak = run(Counted(0.004), test, p95=target)
    assert (refused > 0) == (times > 1)  # the clean control refuses nobody
    assert len(took) >= (0.75 if times > 1 else 0.95) * 250 * seconds * min(times, 1)
    assert peak < 20e6
    if times > 1:
        settled = sorted(took[len(took) // 2 :])
        assert settled[int(len(settled) * 0.95)] <= target


def test_cores_are_those_of_the_smallest_quota(tmp_path: Path) -> None:
    own, groups = tmp_path / "own", tmp_path / "groups"
    (groups / "a/b").mkdir(parents=True)
    own.write_text("0::/a/b\n")
    assert available_cores(groups, own) == cores()  # no quota anywhere
    (groups / "a/b/cpu.max").write_text("max 100000\n")
    assert available_cores(groups, own) == cores()
    (groups / "a/cpu.max").write_text("150000 100000\n")  # of the group above
    assert available_cores(groups, own) == 1
    own.write_text("4:cpu,cpuacct:/c\n3:memory:/c\n")
    (groups / "cpu,cpuacct/c").mkdir(parents=True)
    assert available_cores(groups, own) == cores()
    (groups / "cpu,cpuacct/c/cpu.cfs_period_us").write_text("100000\n")
    (groups / "cpu,cpuacct/c/cpu.cfs_quota_us").write_text("-1\n")
    assert available_cores(groups, own) == cores()
    (groups / "cpu,cpuacct/c/cpu.cfs_quota_us").write_text("50000\n")
    assert available_cores(groups, own) == 1
    assert available_cores(tmp_path / "none", tmp_path / "nothing") == cores()
