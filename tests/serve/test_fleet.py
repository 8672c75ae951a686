"""Several versions of a model in one process: who answers, who is compared, and how one takes another's place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from serve_helpers import COLUMNS, ROW, make_package

from modelyard.predictor import Predictor
from modelyard.rows import Column, Rows, from_records
from modelyard.serve.deployed import Deployed, Service
from modelyard.serve.deployment import DeploymentFile
from modelyard.serve.fleet import Fleet, alike
from modelyard.serve.meters import Meters
from modelyard.serve.opening import open_service
from modelyard.serve.refusing import Refused, invalid_rows

METERS = Meters(name="fleet", version="0")


class Odd:
    """A real predictor with a fault."""

    def __init__(self, predictor: Predictor, *, fault: str) -> None:
        self.state, self.task = predictor.state, predictor.task
        self._predictor, self._fault, self._calls = predictor, fault, 0

    def answer(self, rows: Rows) -> list[dict[str, Any]]:
        self._calls += 1
        if self._fault == "fails" and self._calls > 15:  # not while it warms
            raise RuntimeError("planted")
        if self._fault == "slow":
            time.sleep(0.02 * len(rows))
        answers = self._predictor.answer(rows)
        return [{**answer, "answer": "neither"} for answer in answers] if self._fault == "differs" else answers


def opened(folder: Path, *, fault: str = "") -> Deployed:
    service = open_service(folder, force=True)
    if fault:
        predictor: Any = Odd(service.predictor, fault=fault)  # type: ignore[arg-type]
        service = Service(name=service.name, version=service.version, predictor=predictor, hash=service.hash)
    deployed = Deployed(service, METERS)
    deployed.warm()
    return deployed


def read(inputs: Sequence[Column]) -> Rows:
    return from_records([ROW], inputs)


async def fleet_of(state: Path, *, first: str = "", fault: str = "") -> tuple[Fleet, DeploymentFile]:
    """A fleet that follows a state folder's document; version 1 has the fault `first`, others `fault`."""
    file = DeploymentFile(state)
    live = file.read().models["standing"].live
    deployed = opened(file.state / live.folder, fault=first)
    fleet = Fleet({"standing": deployed}, file=file, open_=lambda folder: opened(folder, fault=fault))
    await fleet.converge(file.read())
    return fleet, file


@pytest.fixture
def state(model_folder: Path, tmp_path: Path) -> Path:
    DeploymentFile(tmp_path / "state").place(make_package(model_folder, tmp_path / "v1"), now=1.0)
    return tmp_path / "state"


@pytest.fixture
def second(model_folder: Path, tmp_path: Path) -> Path:
    return make_package(model_folder, tmp_path / "v2", version="2.0.0")


async def asked(fleet: Fleet, count: int) -> list[str]:
    """Versions that answered so many requests."""
    entry, versions = fleet.entry(None), []
    for number in range(count):
        answered, deployed, _ = await fleet.answer(entry, read, token=f"request {number}")
        assert answered.answers[0]["answer"] in ("good", "bad", "neither")
        versions.append(deployed.version)
        await asyncio.gather(*fleet._beside)
    return versions


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(bounded())


def test_a_canary_answers_its_share_and_the_same_request_always_goes_the_same_way(state: Path, second: Path) -> None:
    async def test() -> None:
        fleet, file = await fleet_of(state)
        await fleet.converge(file.try_out(second, now=2.0, percent=25))
        versions = await asked(fleet, 200)
        assert 25 <= versions.count("2.0.0") <= 75
        assert await asked(fleet, 200) == versions
        seen = fleet.entry(None).seen
        assert seen.compared > 0 and seen.differed == 0
        await fleet.converge(file.promote("standing", now=3.0))
        assert set(await asked(fleet, 20)) == {"2.0.0"}
        await fleet.converge(file.roll_back("standing", now=4.0))
        assert set(await asked(fleet, 20)) == {"1.0.0"}
        fleet.close()

    run(test)


@pytest.mark.parametrize(("fault", "reason"), [("fails", "failed"), ("slow", "took over"), ("differs", "differ")])
def test_a_bad_canary_is_rolled_back_and_no_client_notices(state: Path, second: Path, fault: str, reason: str) -> None:
    async def test() -> None:
        fleet, file = await fleet_of(state, fault=fault)
        await fleet.converge(file.try_out(second, now=2.0, percent=50))
        await asked(fleet, 400)
        assert fleet.entry(None).trial is None
        event = file.read().models["standing"].events[-1]
        assert event.kind == "rolled_back" and reason in event.reason
        assert set(await asked(fleet, 20)) == {"1.0.0"}
        fleet.close()

    run(test)


def test_a_shadow_is_asked_and_nobody_is_told(state: Path, second: Path) -> None:
    async def test() -> None:
        fleet, file = await fleet_of(state)
        await fleet.converge(file.try_out(second, now=2.0, kind="shadow", percent=100))
        assert set(await asked(fleet, 40)) == {"1.0.0"}
        seen = fleet.entry(None).seen
        assert seen.trial.asked == seen.compared > 20 and seen.differed == 0
        fleet.close()

    run(test)


def test_a_package_that_cannot_be_opened_leaves_the_old_one_answering(state: Path, second: Path) -> None:
    async def test() -> None:
        fleet, file = await fleet_of(state)
        trial = file.try_out(second, now=2.0).models["standing"].trial
        assert trial is not None
        (file.state / trial.placed.folder / "one" / "weights.safetensors").write_bytes(b"broken")
        await fleet.converge(file.read())
        assert "could not be opened" in file.read().models["standing"].events[-1].reason
        assert set(await asked(fleet, 10)) == {"1.0.0"}
        fleet.close()

    run(test)


def test_a_clients_mistake_counts_against_no_version(state: Path, second: Path) -> None:
    async def test() -> None:
        fleet, file = await fleet_of(state)
        await fleet.converge(file.try_out(second, now=2.0, percent=100))

        def wrong(inputs: Sequence[Column]) -> Rows:
            raise invalid_rows([(0, "age", "must be a number")])

        for number in range(20):
            with pytest.raises(Refused, match="must be a number"):
                await fleet.answer(fleet.entry(None), wrong, token=str(number))
        assert fleet.entry(None).trial is not None
        fleet.close()

    run(test)


def test_a_swap_loses_no_request_that_is_under_way(state: Path, second: Path) -> None:
    async def test() -> None:
        fleet, file = await fleet_of(state, first="slow")
        waiting = [asyncio.create_task(asked(fleet, 5)) for _ in range(8)]
        await asyncio.sleep(0.1)
        await fleet.converge(file.place(second, now=2.0))
        versions = [version for task in waiting for version in await task]
        assert len(versions) == 40 and set(versions) == {"1.0.0", "2.0.0"}
        fleet.close()

    run(test)


def test_what_counts_as_the_same_answer() -> None:
    assert alike({"answer": 100.0}, {"answer": 100.9}) and not alike({"answer": 100.0}, {"answer": 102.0})
    assert alike({"answer": "good", "p": 0.9}, {"answer": "good", "p": 0.8})
    assert not alike({"answer": "good"}, {"answer": "bad"})


def test_the_columns_of_the_helper_are_those_of_the_model(state: Path) -> None:
    assert [column.name for column in COLUMNS] == list(ROW)
