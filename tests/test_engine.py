"""The engine's promises about gates after packaging, exit codes, cut-off runs and what a stage needs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from modelyard import Blueprint, train
from modelyard.context import Silence
from modelyard.errors import DataError, GateFailed, PackageError, UserError
from modelyard.packages import open_package
from modelyard.run import run
from tests import toys


def blueprint(folder: Path, **sections: Any) -> Blueprint:
    data = toys.write_table(folder)
    sections.setdefault("train", {"candidates": {"linear": {}}})
    return Blueprint.load(toys.write_blueprint(folder, data, target="status", **sections))


def test_a_late_gate_refuses_the_package_until_it_is_met(tmp_path: Path) -> None:
    build, hard = tmp_path / "build", blueprint(tmp_path, serve={"rate": 1e6})
    with pytest.raises(GateFailed, match=r"serve\.rate failed: demanded at least 1e\+06 request/s") as failure:
        run(hard, build)
    assert failure.value.exit_code == 3 and (build / "report.html").exists()
    for stage in ("package", "compress"):
        run(hard, build, to=stage)  # up to date: what the service was found to be still holds
        with pytest.raises(PackageError, match=r"refused by its own gates: serve\.rate"):
            open_package(build / "package")
    for stage in ("serve", "business", "report"):
        with pytest.raises(GateFailed, match=r"serve\.rate"):
            run(hard, build, to=stage)
    assert run(hard, build, force=True).failed
    other = blueprint(tmp_path, serve={"rate": 1e6}, package={"version": "2.0.0"})
    for _ in range(2):  # made, then up to date: a new package, which nobody has judged
        run(other, build, to="package")
        assert not open_package(build / "package").refused
    run(blueprint(tmp_path, serve={"rate": 0.1}), build)
    assert not open_package(build / "package").refused
    made = {name: (build / f"{name}.json").stat().st_mtime_ns for name in ("package", "serve", "business")}
    run(blueprint(tmp_path, serve={"rate": 0.1}, business={"churn": 0.05}), build)  # the same service, priced anew
    again = {name for name, when in made.items() if (build / f"{name}.json").stat().st_mtime_ns != when}
    assert again == {"business"}


def test_compressing_alone_says_what_it_needs(tmp_path: Path) -> None:
    made = blueprint(tmp_path)
    run(made, tmp_path / "build", to="train")
    with pytest.raises(UserError, match="'compress' needs 'evaluate'"):
        run(made, tmp_path / "build", only="compress")


def test_a_record_never_stands_beside_files_of_a_run_that_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, build = blueprint(tmp_path), tmp_path / "build"
    run(first, build, to="train")
    before = json.loads((build / "train.json").read_text())["weights"]

    def cut_off(_: Any) -> Any:
        (build / "model" / "artifact.json").write_text("{}")
        raise KeyboardInterrupt

    other = blueprint(tmp_path, train={"candidates": {"linear": {"word_ngrams": 1}}})
    with monkeypatch.context() as patch:
        patch.setattr(train, "run", cut_off)
        with pytest.raises(KeyboardInterrupt):
            run(other, build, to="train")
    run(first, build, to="train")
    assert json.loads((build / "train.json").read_text())["weights"] == before
    assert json.loads((build / "model" / "artifact.json").read_text())["members"]


def test_the_choosing_metric_must_say_something_on_validation_rows(tmp_path: Path) -> None:
    frame = toys.table().drop("price").sort("opened")
    last = frame["opened"][150]
    frame = frame.filter((frame["opened"] < last) | (frame["status"] == "good"))
    frame.write_csv(tmp_path / "rows.csv")
    made = Blueprint.build(
        folder=tmp_path, name="late", size="tiny", data={"source": "rows.csv", "target": "status"},
        prepare={"split": {"by": "time", "column": "opened"}}, train={"metric": "roc_auc", "candidates": {"linear": {}}},
    )  # fmt: skip
    with pytest.raises(
        DataError, match=r"train\.metric: roc_auc is undefined on the \d+ validation rows \(bad: 0, good: \d+\)"
    ):
        run(made, tmp_path / "build", to="train")


def test_given_validation_rows_choose(tmp_path: Path) -> None:
    frame = toys.table(300).drop("price")
    frame[:200].write_csv(tmp_path / "train.csv")
    frame[200:].write_csv(tmp_path / "validation.csv")
    made = Blueprint.build(
        folder=tmp_path, name="given", data={"source": "train.csv", "validation": "validation.csv", "target": "status"},
        train={"candidates": {"linear": {}}},
    )  # fmt: skip
    found = run(made, tmp_path / "build", to="train").records["train"]
    assert found.folds == 1 and "the validation rows were given" in str(found.derived)  # type: ignore[attr-defined]


def test_a_candidate_that_is_added_when_the_budget_was_used_gets_its_share(tmp_path: Path) -> None:
    budget = {"budget": "4 s", "candidates": {"linear": {}}}
    run(blueprint(tmp_path, train=budget), tmp_path / "build", to="train")
    for job in (tmp_path / "build" / "train").glob("*/*/job.json"):  # as if the first list had used the whole budget
        told = json.loads(job.read_text())
        told["timings"]["total"] = 4.0
        job.write_text(json.dumps(told))
    more = {"budget": "4 s", "candidates": {"linear": {}, "decision-tree": {}}}
    found = run(blueprint(tmp_path, train=more), tmp_path / "build", to="train").records["train"]
    assert {one.name: one.status for one in found.candidates}["decision-tree"] == "trained"  # type: ignore[attr-defined]


def test_each_stage_has_a_peak_of_its_own(tmp_path: Path) -> None:
    from modelyard.records._base import watch

    with watch() as large:
        kept = bytearray(300 * 2**20)
    del kept
    with watch() as small:
        pass
    assert large["run"].peak_memory.to("MiB") - small["run"].peak_memory.to("MiB") > 250


class Heard(Silence):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_a_line_for_each_epoch_tells_the_numbers_of_the_curve(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    candidates = {"mlp": {"epochs": 4, "hidden": [8]}}
    heard, made = Heard(), blueprint(tmp_path, train={"folds": 1, "candidates": candidates})
    record = run(made, tmp_path / "build", to="train", progress=heard).records["train"]
    (mlp,) = [candidate for candidate in record.candidates if candidate.name == "mlp"]  # type: ignore[attr-defined]
    (curve,) = [job.curve for job in mlp.jobs]
    said = r"mlp\S*: epoch (\S+) step (\d+)/\d+  loss (\S+) / (\S+)  metric (\S+) / (\S+)  \(train / validation\)"
    told = [found.groups() for line in heard.lines if (found := re.fullmatch(said, line))]
    assert told == [
        (f"{one.epoch:g}", str(one.step), f"{one.train_loss:.4f}", f"{one.validation_loss:.4f}", f"{one.train_metric:.4f}", f"{one.validation_metric:.4f}")
        for one in curve
    ]  # fmt: skip
    assert len(told) == 4 and len(set(told)) == 4
    assert [line.split(":")[0] for line in heard.lines if "running" in line] == ["prepare", "train"]
