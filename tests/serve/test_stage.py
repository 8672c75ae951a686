"""The serve stage over a real service: its record, its gates, and that nothing is left running."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from serve_helpers import Running, make_model, make_package, make_records

from modelyard import serve
from modelyard.blueprint import Blueprint
from modelyard.context import Context
from modelyard.errors import PackageError
from modelyard.records import without_times
from modelyard.records.served import Served
from modelyard.report.catalogue import texts
from modelyard.report.sections.serve import Part
from modelyard.report.world import World
from modelyard.serve import client, load, stage
from modelyard.store import Store, write_json


def build(folder: Path, *, options: str = "p95: 2 s, level_time: 0.3 s, levels: [20, 40]") -> Context:
    """A build that has a package and test rows."""
    make_package(make_model(folder / "model"), folder / "package")
    (folder / "data").mkdir()
    frame = pl.DataFrame(make_records(60, seed=3)).with_columns(pl.col("joined").str.to_date(), standing=pl.lit("good"))
    frame.with_row_index("__row__").write_parquet(folder / "data" / "test.parquet")
    text = f"name: demo\nsize: tiny\ndata: {{source: rows.csv, target: standing}}\nserve: {{{options}}}"
    return Context(Blueprint.parse(text), Store(folder))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """The record of one run."""
    options = "p95: 2 s, level_time: 0.3 s, levels: [20, 40], rate: 10000"
    return serve.run(build(tmp_path_factory.mktemp("build"), options=options))


def test_the_record(served: Served) -> None:
    assert [item.offered.value for item in served.measured_levels] == [20, 40, 10000]
    assert not served.measured_at_least
    assert served.measured_rate.unit == "request/s"
    assert (
        0 < served.measured_latency.p50.value <= served.measured_latency.p95.value <= served.measured_latency.p99.value
    )
    assert served.measured_cold_start.value > 0
    assert served.measured_memory.value > 20e6  # an interpreter with numpy takes more
    assert served.package_bytes.value > 1000
    assert served.rows_seen == 60
    assert set(served.measured_stages) == {"read", "check", "gate", "wait", "predict", "write"}
    assert Served.model_validate_json(served.model_dump_json()) == served


def test_a_broken_level_is_in_no_other_measurement(
    tmp_path: Path, launch: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 ms an answer, 150 and 160 asked for in half a second: when a level is given up, its queue is more than a second long."""
    running = launch(str(Path(__file__).parent / "slow_service.py"), "0.02")
    slow = client.RunningService(running.process, running.log, tmp_path)
    slow._await_ready(time.monotonic())
    in_flight: list[int] = []

    def drive(plan: dict[str, Any]) -> dict[str, Any]:
        if "rate" in plan:
            in_flight.append(slow.in_flight())
        return plainly(plan)

    plainly = load.drive
    monkeypatch.setattr(load, "drive", drive)
    monkeypatch.setattr(client, "running", lambda package: contextlib.nullcontext(slow))
    monkeypatch.setattr(stage, "ONE_BY_ONE", 30)
    found = serve.run(build(tmp_path, options="p95: 100 ms, level_time: 0.5 s, levels: [300, 320]"))
    assert all("timeout" in item.errors for item in found.measured_levels)
    assert in_flight == [0, 0]
    assert found.measured_stages["wait"] < 0.01 < found.measured_stages["predict"]


def test_the_report_says_when_no_limit_was_found(served: Served, tmp_path: Path) -> None:
    for language, said in (("en", "at least"), ("zh", "至少")):
        for at_least in (True, False):
            record = served.model_copy(update={"measured_at_least": at_least})
            write_json(tmp_path / "serve.json", record.model_dump(mode="json"))
            world = World.open(tmp_path, language)
            page = Part().render(world)
            assert (f"{said} <span" in page) == at_least
            assert (world.words.plain("serve.no_limit") in page) == at_least


def test_the_words_promise_what_was_measured() -> None:
    """A target holds for 95 % of requests, not for all; and nothing is put into batches."""
    english, chinese = texts("en"), texts("zh")
    assert "p95" in english["serve.levels_note"]
    assert all("95%" in chinese[key] for key in ("serve.levels_note", "verdict.rate_note"))
    assert "batch" not in english["part.wait"] and "批" not in chinese["part.wait"]


def test_its_refusals_are_right(served: Served) -> None:
    assert all(refusal.passed for refusal in served.refusals)
    named = {refusal.name: refusal.field for refusal in served.refusals if refusal.name.startswith("wrong_type")}
    assert named == {
        "wrong_type_number": "age", "wrong_type_category": "job", "wrong_type_boolean": "member", "wrong_type_date": "joined", "wrong_type_text": "note",
    }  # fmt: skip


def test_a_rate_that_is_demanded_and_not_reached_fails_its_gate(served: Served) -> None:
    gates = {gate.name: gate for gate in served.gates}
    assert gates["serve.p95"].passed
    assert gates["serve.refusals"].passed
    assert not gates["serve.rate"].passed
    assert "10000" in gates["serve.rate"].demanded


def test_clocks_stand_in_measured_fields(served: Served) -> None:
    left = json.dumps({name: value for name, value in without_times(served).items() if name != "gates"})
    assert not [word for word in ("p50", "cold", "memory", "achieved") if word in left]


def test_a_service_that_cannot_start_says_why(tmp_path: Path) -> None:
    context = build(tmp_path)
    (tmp_path / "package" / "one" / "features.json").write_text("{")
    with pytest.raises(PackageError, match="did not start"):
        serve.run(context)
    with pytest.raises(PackageError, match="no package"):
        serve.run(Context(context.blueprint, Store(tmp_path / "elsewhere")))


def test_an_error_ends_the_service(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError),
        client.running(make_package(make_model(tmp_path / "model"), tmp_path / "m")) as served,
    ):
        pid = served.pid
        raise RuntimeError
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_killing_the_stage_ends_the_service(tmp_path: Path) -> None:
    make_package(make_model(tmp_path / "model"), tmp_path / "m")
    code = (
        "import sys, time; from pathlib import Path; from modelyard.serve.client import running\n"
        "with running(Path(sys.argv[1])) as served: print(served.pid, flush=True); time.sleep(60)"
    )
    stage = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "m")], stdout=subprocess.PIPE, text=True)
    assert stage.stdout is not None
    with stage.stdout:
        pid = int(stage.stdout.readline())
    stage.send_signal(signal.SIGKILL)
    stage.wait()
    deadline = time.monotonic() + 10
    while (
        Path(f"/proc/{pid}/cmdline").exists()
        and Path(f"/proc/{pid}/cmdline").read_bytes()
        and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    assert time.monotonic() < deadline
