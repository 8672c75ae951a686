"""The commands that others script against, as real processes on one toy build: exit codes, files of answers, a service, one stage again."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import polars as pl
import pytest

from modelyard.packages import open_package
from modelyard.records import without_times
from modelyard.rows import from_records
from modelyard.run import NAMES
from tests import toys

YARD = [sys.executable, "-m", "modelyard"]


def yard(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*YARD, *map(str, words)], capture_output=True, text=True, check=False)


def test_run_with_a_failed_gate_exits_3_and_names_it(tmp_path: Path) -> None:
    path = toys.write_blueprint(
        tmp_path, toys.write_table(tmp_path), target="status", train={"candidates": {"linear": {}}},
        evaluate={"gates": {"roc_auc": 0.9999}},
    )  # fmt: skip
    ended = yard("run", path, "-o", tmp_path / "build", "-q")
    assert ended.returncode == 3, ended.stderr
    assert ended.stderr.startswith("error: gate evaluate.roc_auc failed: demanded ") and "0.9999" in ended.stderr
    assert "Traceback" not in ended.stderr and ended.stdout == ""
    assert not (tmp_path / "build" / "package").exists()


def test_predict_writes_answers_in_the_order_of_the_input(finished: Path, tmp_path: Path) -> None:
    frame = toys.table(200, seed=7).drop("price").with_row_index("key")
    predictor = open_package(finished / "package").predictor
    inputs = [column.name for column in predictor.state.inputs]
    records = frame.with_columns(pl.col("opened").dt.strftime("%Y-%m-%d")).select(inputs).to_dicts()
    wanted = dict(zip(frame["key"], predictor.answer(from_records(records, predictor.state.inputs)), strict=True))
    assert len({answer["probabilities"]["good"] for answer in wanted.values()}) > 150, "equal answers have no order"
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=1)
    assert shuffled["key"].to_list() != frame["key"].to_list()
    shuffled.write_csv(tmp_path / "rows.csv")
    ended = yard("predict", finished / "package", tmp_path / "rows.csv", "-o", tmp_path / "answers.csv")
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    assert ended.stdout == f"200 answers: {tmp_path / 'answers.csv'}\n"
    with (tmp_path / "answers.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["answer", "probability_bad", "probability_good"]
    for key, row in zip(shuffled["key"], found, strict=True):
        assert row["answer"] == wanted[key]["answer"]
        for name, share in wanted[key]["probabilities"].items():
            assert float(row[f"probability_{name}"]) == pytest.approx(share, abs=1e-6)


def test_predict_says_nothing_before_an_error(finished: Path, tmp_path: Path) -> None:
    """A column too few leaves standard output empty; no rows at all are no error, and answered by the header alone."""
    frame = toys.table(5, seed=7).drop("price")
    absent = open_package(finished / "package").predictor.state.inputs[0].name
    frame.drop(absent).write_csv(tmp_path / "short.csv")
    ended = yard("predict", finished / "package", tmp_path / "short.csv")
    assert (ended.returncode, ended.stdout) == (2, "") and f"no column '{absent}'" in ended.stderr
    frame.head(0).write_csv(tmp_path / "none.csv")
    ended = yard("predict", finished / "package", tmp_path / "none.csv")
    assert (ended.returncode, ended.stdout) == (0, "answer,probability_bad,probability_good\n"), ended.stderr


def test_serve_answers_and_drains_on_sigterm(finished: Path, tmp_path: Path) -> None:
    row = json.loads((finished / "package" / "package.json").read_text(encoding="utf-8"))["examples"][0]
    predictor = open_package(finished / "package").predictor
    (wanted,) = predictor.answer(from_records([row], predictor.state.inputs))
    with (tmp_path / "log").open("w") as log, httpx.Client(timeout=20) as client:
        process = subprocess.Popen(
            [*YARD, "serve", str(finished / "package"), "--port", "0"], stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.startswith("serving on http://127.0.0.1:"), (tmp_path / "log").read_text()
            url = said.split()[2]
            assert client.get(f"{url}/healthz").json() == {"status": "ok"}
            ends = time.monotonic() + 60
            while client.get(f"{url}/readyz").status_code != 200:
                assert time.monotonic() < ends, "never ready"
                time.sleep(0.02)
            answer = client.post(f"{url}/v1/predict", json={"row": row})
            assert (answer.status_code, answer.json()["answers"]) == (200, [wanted])
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
            process.communicate()
    events = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]
    assert [event for event in events if event != "request"] == ["listening", "draining", "stopped"]


def test_only_runs_one_stage_again_and_leaves_every_other_record(finished: Path, tmp_path: Path) -> None:
    build = shutil.copytree(finished, tmp_path / "build")
    files = {name: build / f"{name}.json" for name in NAMES}
    times = {name: file.stat().st_mtime_ns for name, file in files.items()}
    before = json.loads(files["evaluate"].read_text())
    ended = yard("run", finished.parent, "-o", build, "--only", "evaluate")
    assert ended.returncode == 0 and "evaluate: running" in ended.stderr, ended.stderr
    assert [name for name, file in files.items() if file.stat().st_mtime_ns != times[name]] == ["evaluate"]
    after = json.loads(files["evaluate"].read_text())
    assert without_times(after) == without_times(before) and after["run"] != before["run"]
