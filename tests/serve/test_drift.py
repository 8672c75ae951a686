"""Drift in a running service: windows of all workers and across restarts, what is counted and what not, and that it harms no request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from serve_helpers import COLUMNS, Running, heard, make_drift_reference, make_key, make_package, make_records, until

from modelyard.rows import Column, Rows, from_records
from modelyard.serve.deployed import Deployed, Service
from modelyard.serve.deployment import DeploymentFile
from modelyard.serve.engine import Answered
from modelyard.serve.fleet import Fleet
from modelyard.serve.meters import Meters
from modelyard.serve.opening import open_service
from modelyard.serve.watching import KEPT, MOST_ROWS, Watch
from modelyard.watching.reference import Reference, Verdict

WINDOW = 100


@pytest.fixture(scope="module")
def reference(model_folder: Path) -> Reference:
    return make_drift_reference(model_folder, window=WINDOW)


@pytest.fixture(scope="module")
def package(model_folder: Path, reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_package(model_folder, tmp_path_factory.mktemp("drift") / "v1", reference=reference)


def shifted(count: int, *, seed: int) -> list[dict[str, Any]]:
    """Older people than the reference knows."""
    return [
        {**record, "age": None if record["age"] is None else record["age"] + 25}
        for record in make_records(count, seed=seed)
    ]


class Here:
    """A watch of this process over one version."""

    def __init__(self, package: Path, state: Path) -> None:
        self.meters = Meters(name="standing", version="1.0.0")
        self.deployed = Deployed(open_service(package), self.meters)
        self.watch = Watch(self.meters, state)
        self.verdicts: list[tuple[str, str, Verdict]] = []
        self.watch.on_verdict = lambda *told: self.verdicts.append(told)

    def answer(self, records: Sequence[dict[str, Any]]) -> None:
        rows = from_records(records, COLUMNS)
        answers = self.deployed.service.predictor.answer(rows)
        self.watch.add(self.deployed, rows, Answered(answers, {}, 0.0, 0.0))

    def told(self) -> dict[str, Any]:
        return self.watch.told(self.deployed)

    def sample(self, name: str) -> dict[str, float]:
        return {str(labels.get("drift", "")): value for each, labels, value in self.meters.samples() if each == name}


def test_a_window_closes_at_its_size_and_tells_whoever_asks(package: Path, tmp_path: Path) -> None:
    here = Here(package, tmp_path)
    here.answer(make_records(WINDOW - 1, seed=1))
    here.answer(shifted(WINDOW + 41, seed=2))
    here.watch.close()
    told = here.told()
    assert (told["rows"], told["windows"], told["window"], told["dropped"]) == (40, 2, WINDOW, 0)
    assert [(name, version, verdict.drift, verdict.rows) for name, version, verdict in here.verdicts] == [
        ("standing", "1.0.0", False, WINDOW),
        ("standing", "1.0.0", True, WINDOW),
    ]
    assert told["verdict"]["features"][0]["feature"] == "age.value" and told["verdict"]["features"][0]["bins"]
    assert [each["drift"] for each in told["history"]] == [True, False]
    assert here.sample("modelyard_drift_windows_total") == {"true": 1.0, "false": 1.0}
    assert here.sample("modelyard_drift_statistic")[""] > told["verdict"]["threshold"]


def test_a_restart_goes_on_and_two_processes_fill_one_window(package: Path, tmp_path: Path) -> None:
    both = [Here(package, tmp_path), Here(package, tmp_path)]
    for number, here in enumerate(both):
        here.answer(make_records(WINDOW // 2 - 5, seed=number))
        here.watch.close()
    assert both[0].told()["rows"] == both[1].told()["rows"] == WINDOW - 10 and not both[1].verdicts
    again = Here(package, tmp_path)
    again.answer(make_records(10, seed=3))
    again.watch.close()
    assert again.told()["rows"] == 0 and len(again.verdicts) == 1 and not again.verdicts[0][2].drift


def test_only_so_many_verdicts_are_kept(package: Path, tmp_path: Path) -> None:
    here = Here(package, tmp_path)
    rows = from_records(make_records(WINDOW * (KEPT + 10), seed=0), COLUMNS)
    watched = here.watch._of(here.deployed)
    assert watched is not None
    here.watch._add_bins(watched, rows, here.deployed.service.predictor.answer(rows))
    here.watch.close()
    here.watch._hand_over()
    told = here.told()
    assert told["windows"] == KEPT + 10 and len(told["history"]) == KEPT
    assert told["drifted"] <= 5  # 60 clean windows at 1 %: six or more come once in 30,000 times


def test_what_comes_too_fast_is_dropped_and_counted_and_no_request_waits(package: Path, tmp_path: Path) -> None:
    here = Here(package, tmp_path)
    rows = from_records(make_records(MOST_ROWS, seed=0), COLUMNS)
    answered = Answered(here.deployed.service.predictor.answer(rows), {}, 0.0, 0.0)
    with here.watch._lock:
        here.watch._rows = MOST_ROWS  # as if the queue were full
    began = time.perf_counter()
    here.watch.add(here.deployed, rows, answered)
    assert time.perf_counter() - began < 1.0
    with here.watch._lock:
        here.watch._rows = 0
    here.answer(make_records(1, seed=1))
    here.watch.close()
    assert (here.told()["dropped"], here.told()["rows"]) == (MOST_ROWS, 1)
    assert here.sample("modelyard_drift_rows_dropped_total") == {"": float(MOST_ROWS)}


def test_a_watch_that_breaks_harms_nobody_and_a_spoilt_file_begins_anew(package: Path, tmp_path: Path) -> None:
    here = Here(package, tmp_path)
    spoilt = from_records(make_records(3), COLUMNS).replace(age=np.array(["old"] * 3, dtype=object))
    with heard() as records:
        here.watch.add(here.deployed, spoilt, Answered([{}] * 3, {}, 0.0, 0.0))
        here.answer(make_records(5, seed=0))
        here.watch.close()
    assert here.told()["rows"] == 5
    assert [record.getMessage() for record in records] == ["failure"]
    (file,) = (tmp_path / "drift").glob("*.json")
    file.write_text("spoilt")
    assert here.told()["rows"] == 0


def test_a_file_holds_no_row(package: Path, tmp_path: Path) -> None:
    here = Here(package, tmp_path)
    here.answer([{**record, "note": "Zebrafinch", "job": "Falconer"} for record in make_records(WINDOW, seed=0)])
    here.watch.close()
    (file,) = (tmp_path / "drift").glob("*.json")
    assert here.verdicts[0][2].drift
    assert "zebrafinch" not in file.read_text().lower() and "falconer" not in file.read_text().lower()


def test_a_version_without_a_reference_says_why(model_folder: Path, tmp_path: Path) -> None:
    bare = Here(make_package(model_folder, tmp_path / "v1"), tmp_path / "state")
    bare.answer(make_records(3, seed=0))
    bare.watch.close()
    assert bare.told()["window"] is None and "no reference" in bare.told()["reason"]
    empty = make_package(model_folder, tmp_path / "v2", reference=Reference(reason="its requests hold nothing"))
    assert Here(empty, tmp_path / "state").told()["reason"] == "its requests hold nothing"


def test_versions_are_apart_and_a_shadow_is_not_watched(
    model_folder: Path, package: Path, reference: Reference, tmp_path: Path
) -> None:
    file = DeploymentFile(tmp_path / "state")
    file.place(package, now=1.0)
    second = make_package(model_folder, tmp_path / "v2", version="2.0.0", reference=reference)
    meters, watched = Meters(name="standing", version="1.0.0"), list[tuple[str, int]]()

    def read(inputs: Sequence[Column]) -> Rows:
        return from_records(make_records(3), inputs)

    async def asked(kind: Any) -> set[tuple[str, int]]:
        file.try_out(second, now=2.0, kind=kind, percent=100, disagreement=1.0)

        def open_(folder: Path) -> Deployed:
            return Deployed(open_service(folder), meters)

        first = open_(file.live()[0])
        first.warm()
        fleet = Fleet({"standing": first}, file=file, open_=open_)
        fleet.watch = lambda deployed, rows, answered: watched.append((deployed.version, len(rows)))
        await fleet.converge(file.read())
        for number in range(5):
            await fleet.answer(fleet.entry(None), read, token=str(number))
            await asyncio.sleep(0.05)  # the comparison beside
        assert fleet.entry(None).seen.compared > 0 or kind == "canary"
        fleet.close()
        found = set(watched)
        assert len(watched) == 5
        watched.clear()
        return found

    assert asyncio.run(asked("shadow")) == {("1.0.0", 3)}
    assert asyncio.run(asked("canary")) == {("2.0.0", 3)}


class TestAService:
    def test_two_workers_close_one_window_and_a_replay_is_not_counted(
        self, package: Path, tmp_path: Path, launch: Callable[..., Running]
    ) -> None:
        state = tmp_path / "state"
        running = launch(
            "-m", "modelyard.serve.server", str(package), "--state", str(state), "--port", "0", "--workers", "2"
        )
        until(lambda: httpx.get(f"{running.url}/readyz").status_code == 200)
        key, admin = make_key(state), (state / "admin.token").read_text().strip()

        def drift() -> dict[str, Any]:
            answer = httpx.get(f"{running.url}/admin/drift", headers={"Authorization": f"Bearer {admin}"})
            return answer.json()["models"][0]

        def ask(records: Sequence[dict[str, Any]], once: str | None = None) -> None:
            headers = {"Authorization": f"Bearer {key}"} | ({"Idempotency-Key": once} if once else {})
            # a connection of its own each time, so that both workers get some
            answer = httpx.post(f"{running.url}/v1/predict", json={"rows": list(records)}, headers=headers)
            assert answer.status_code == 200, answer.text

        assert httpx.get(f"{running.url}/admin/drift").status_code == 401
        for _ in range(3):
            ask(make_records(5, seed=1), once="the same")
        for seed in range(9):
            ask(make_records(10, seed=seed + 2))
        until(lambda: drift()["rows"] == 95)
        time.sleep(1.5)
        assert drift()["rows"] == 95 and drift()["verdict"] is None
        for seed in range(11):
            ask((make_records if not seed else shifted)(5 if not seed else 10, seed=seed + 50))
        until(lambda: drift()["windows"] == 2)
        assert [each["drift"] for each in drift()["history"]] == [True, False]
        metrics = httpx.get(f"{running.url}/metrics", headers={"Authorization": f"Bearer {admin}"}).text
        assert 'modelyard_drift_windows_total{drift="true",model="standing",version="1.0.0"} 1.0' in metrics
        until(lambda: "drift" in running.events())
        assert running.stop() == 0


def test_a_service_may_be_made_without_a_reference(model_folder: Path) -> None:
    assert Service(name="x", version="1", predictor=open_service(model_folder).predictor).reference is None
