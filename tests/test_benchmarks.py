"""The harness of `benchmarks/`: statistics, resume, contenders, tables. No peer is installed and nothing is trained."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # `pytest` alone does not put the folder it runs in on the path

from benchmarks import harness, mail, tables  # noqa: E402
from benchmarks.__main__ import main  # noqa: E402
from modelyard.metrics import Sample, find  # noqa: E402
from modelyard.records._base import Estimate  # noqa: E402


def session(folder: Path, **changed: Any) -> harness.Session:
    values: dict[str, Any] = {"settings": {"budget": 1.0}, "defaults": {"budget": 1.0}, **changed}
    return harness.Session("toy", results=folder, document=folder / "benchmarks.md", **values)


def result(bars: list[harness.Bar] | None = None) -> harness.Result:
    return harness.Result("toy", bars or [], [("Figures.", ["a", "b"], [["1", "x|y"]])], {"a": 1})


# -- cells ----------------------------------------------------------------------------------------------------------------


def test_a_cell_that_is_there_is_not_run_again_unless_asked(tmp_path: Path) -> None:
    ran: list[str] = []

    def make(cell: str, turn: int) -> dict[str, Any]:
        ran.append(f"{cell}{turn}")
        return {"turn": turn}

    cells = ["a-0", "a-1", "b-0"]
    found = session(tmp_path, only=["a"]).run(cells, make)
    assert ran == ["a-00", "a-11"] and list(found) == ["a-0", "a-1"]
    assert found["a-1"]["turn"] == 1 and found["a-1"]["others"] >= 0
    assert list(session(tmp_path).run(cells, make)) == cells and ran[2:] == ["b-02"]
    session(tmp_path, only=["a-1"], again=True).run(cells, make)
    assert ran[3:] == ["a-11"]


def test_a_killed_cell_leaves_nothing_and_the_others_stay(tmp_path: Path) -> None:
    def make(cell: str, turn: int) -> dict[str, Any]:
        if cell == "b":
            raise KeyboardInterrupt
        return {"cell": cell}

    with pytest.raises(KeyboardInterrupt):
        session(tmp_path).run(["a", "b", "c"], make)
    assert session(tmp_path).path("a").exists() and not session(tmp_path).path("b").exists()
    assert list(session(tmp_path).run(["a", "b", "c"], lambda cell, turn: {})) == ["a", "b", "c"]


def test_other_settings_have_cells_of_their_own(tmp_path: Path) -> None:
    quick = session(tmp_path, settings={"budget": 0.1})
    quick.run(["a"], lambda cell, turn: {})
    assert not session(tmp_path).path("a").exists() and quick.path("a").exists()


def test_only_a_whole_run_at_the_defaults_is_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session(tmp_path, settings={"budget": 0.1}).finish(result(), whole=True)
    session(tmp_path).finish(result(), whole=False)
    assert not (tmp_path / "toy.json").exists() and not (tmp_path / "benchmarks.md").exists()
    session(tmp_path).finish(result([harness.Bar("speed", "≥ 2", "1.5", False)]), whole=True)
    assert "**missed**" in (tmp_path / "benchmarks.md").read_text() and (tmp_path / "toy.json").exists()
    assert capsys.readouterr().out.count("## toy") == 3


def test_a_section_of_the_document_is_replaced_and_the_rest_kept(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    document.write_text("# Title\n\n<!-- one -->\nold\n<!-- /one -->\n\nafter\n")
    harness.write_section(document, "one", "new")
    harness.write_section(document, "two", "added")
    text = document.read_text()
    assert "old" not in text and text.index("new") < text.index("after") < text.index("added")
    harness.write_section(document, "one", "new")
    assert document.read_text() == text


def test_a_table_escapes_bars_and_shows_every_row() -> None:
    assert result().markdown().endswith("| a | b |\n| --- | --- |\n| 1 | x\\|y |")


# -- statistics -----------------------------------------------------------------------------------------------------------


def answers(rng: np.random.Generator, target: np.ndarray, noise: float) -> Sample:
    score = 1 / (1 + np.exp(-(2 * target - 1 + rng.normal(0, noise, len(target)))))
    return Sample.of(target, np.stack([1 - score, score], axis=1), positive=1)


def repeated(ours: float, theirs: float, *, rows: int = 400, repetitions: int = 5) -> list[harness.Pair]:
    rng = np.random.default_rng(0)
    target, found = rng.integers(0, 2, rows), []
    for _ in range(repetitions):
        for half in np.array_split(rng.permutation(rows), 2):
            samples = {
                name: answers(rng, target[half], noise)
                for name, noise in (("modelyard", ours), ("lightgbm", theirs), ("autogluon", theirs))
            }
            found.append(harness.Pair(samples, half))
    return found


def test_the_loss_to_the_best_peer_has_the_right_sign_and_size() -> None:
    metric = find("roc_auc")
    worse, better = repeated(ours=3.0, theirs=1.0), repeated(ours=1.0, theirs=3.0)
    lost = tables.loss(metric, worse, tables.PEERS)
    means = {name: np.mean([metric.of(pair.samples[name]) for pair in worse]) for name in ("modelyard", *tables.PEERS)}
    assert lost.value == pytest.approx(max(means[peer] for peer in tables.PEERS) - means["modelyard"])
    assert 0 < lost.low < lost.value < lost.high
    assert tables.loss(metric, better, tables.PEERS).high < 0
    assert tables.loss(metric, worse, tables.PEERS).value >= tables.loss(metric, worse, ("lightgbm",)).value


def test_the_loss_of_an_error_is_a_share_of_the_best() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=300)
    off = {"modelyard": 0.22, "lightgbm": 0.2, "autogluon": 0.4}
    errors = rng.normal(size=300)
    samples = {name: Sample.of(truth, truth + size * errors) for name, size in off.items()}
    found = tables.loss(find("root_mean_squared_error"), [harness.Pair(samples, np.arange(300))], tables.PEERS)
    assert found.value == pytest.approx(0.1) and found.low == pytest.approx(0.1) and found.high == pytest.approx(0.1)


def test_a_row_repeated_in_every_repetition_does_not_narrow_the_interval() -> None:
    once = repeated(ours=2.0, theirs=1.0, repetitions=1)
    five = [pair for _ in range(5) for pair in once]
    one, many = (tables.loss(find("roc_auc"), pairs, tables.PEERS) for pairs in (once, five))
    assert (many.value, many.low, many.high) == pytest.approx((one.value, one.low, one.high))


def test_over_folds_is_the_corrected_resampled_t_interval() -> None:
    values = [0.01, 0.03, -0.01, 0.02]
    found = harness.over_folds(values, test_to_train=1.0)
    reach = 3.182446 * np.sqrt(np.var(values, ddof=1) * (1 / 4 + 1))  # t with 3 degrees of freedom at 0.975
    assert found.value == pytest.approx(0.0125) and found.high - found.value == pytest.approx(reach, rel=1e-6)


def test_times_faster() -> None:
    rng = np.random.default_rng(2)
    ours = [list(rng.lognormal(0, 0.1, 21)) for _ in range(12)]
    theirs = [[10 * second for second in reversed(part)] for part in ours]
    found = harness.ratio(theirs, ours)
    assert found.value == pytest.approx(10) and found.low == pytest.approx(10) and found.high == pytest.approx(10)
    assert harness.ratio(ours, theirs).value == pytest.approx(0.1)
    noisy = harness.ratio([list(rng.lognormal(1, 0.5, 21)) for _ in ours], ours, groups=[row // 3 for row in range(12)])
    assert noisy.low < noisy.value < noisy.high


def test_an_interval_is_written_with_its_unit() -> None:
    assert (
        harness.interval(Estimate(value=0.0123, low=0.001, high=0.02), 2, scale=100, unit=" %")
        == "1.23 % (0.10 to 2.00)"
    )


# -- folds and reports ----------------------------------------------------------------------------------------------------


def test_two_fold_cells_cover_every_row_once_and_hide_the_target(tmp_path: Path) -> None:
    tested = []
    for number in range(2):
        place = tmp_path / str(number)
        place.mkdir()
        fold = tables.write(f"credit-3-{number}", place)
        train, test, asked = (pl.read_parquet(file) for file in (fold.train, fold.test, fold.asked))
        assert set(asked.columns) == set(test.columns) - {"Status"} and set(train.columns) == set(test.columns)
        assert (
            not set(train[tables.IDENTITY]) & set(test[tables.IDENTITY]) and len(test.columns) == 15
        )  # 13 features, target, identity
        tested += test[tables.IDENTITY].to_list()
    assert sorted(tested) == list(range(4454))


def test_mail_folds_keep_sender_domains_together(tmp_path: Path) -> None:
    frame = pl.read_parquet(mail.RECIPE / "mail.parquet").drop("body").with_columns(pl.lit("text").alias("body"))
    seen: list[str] = []
    for number in range(mail.FOLDS):
        fold = mail.write(frame, f"domain-{number}", tmp_path)
        train, test, asked = (pl.read_parquet(file) for file in (fold.train, fold.test, fold.asked))
        assert not set(train["sender_domain"].drop_nulls()) & set(test["sender_domain"].drop_nulls())
        assert not {"label", "source"} & set(asked.columns)
        seen += test["id"].to_list()
    assert sorted(seen) == sorted(frame["id"])


def cell(contenders: dict[str, Any]) -> dict[str, Any]:
    run = {
        "date": "2026-11-22T00:00:00",
        "load": [0.1, 0.1, 0.1],
        "machine": {"cores": "2"},
        "commit": "",
        "sources": "abc",
    }
    return {"before": run, "after": run, "others": 0.0, "contenders": contenders}


def test_the_mail_report_pairs_answers_by_identity_whatever_their_order() -> None:
    known = pl.read_parquet(mail.RECIPE / "mail.parquet", columns=["id", "label"])[::40]
    rng = np.random.default_rng(0)

    def answer(right: float) -> dict[str, Any]:
        shuffled = known.sample(fraction=1.0, shuffle=True, seed=int(right * 100))
        names = [
            label if rng.uniform() < right else ("ham" if label == "spam" else "spam") for label in shuffled["label"]
        ]
        classes = ["ham", "spam"] if right < 1 else ["spam", "ham"]
        scores = [[float(name == each) for each in classes] for name in names]
        told = {"identity": shuffled["id"].to_list(), "classes": classes, "scores": scores, "labels": names}
        return {
            "answers": told,
            "facts": {"weights": {"linear": 1.0}},
            "seconds": {"fit": 1.0},
            "peak": 1,
            "versions": {},
            "one": [],
        }

    found = mail.report({"domain-0": cell({mail.OURS: answer(1.0), mail.PEER: answer(0.8)})})
    figures = found.figures["domain (pooled)"]
    assert figures["f1_macro"][mail.OURS] == 1.0 and 0.7 < figures["f1_macro"][mail.PEER] < 0.9
    assert figures["difference_by_rows"]["low"] > 0 and found.bars[0].passed
    swapped = mail.report({"domain-0": cell({mail.OURS: answer(0.8), mail.PEER: answer(1.0)})})
    assert not swapped.bars[0].passed and "**missed**" in swapped.markdown()


# -- contenders and commands ----------------------------------------------------------------------------------------------


def test_a_contender_answers_prints_harmlessly_and_dies_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "_talk.py").write_text((harness.CONTENDERS / "_talk.py").read_text())
    (tmp_path / "toy.py").write_text(
        "import os, _talk\n"
        "class Toy:\n"
        "    def fit(self, value): print('noise'); os.system('echo more noise'); return value + 1\n"
        "    def one(self, count, start): return _talk.timed(lambda row: row, [1, 2, 3], count=count, start=start)\n"
        "    def fail(self): raise ValueError('no luck')\n"
        "    def die(self): os._exit(3)\n"
        "_talk.serve(Toy())\n"
    )
    monkeypatch.setattr(harness, "CONTENDERS", tmp_path)
    with harness.contender("toy", "toy", sys.executable, folder=tmp_path) as toy:
        assert toy.do("fit", value=41) == 42 and toy.peak > 0 and "fit" in toy.seconds
        assert len(toy.do("one", count=5, start=2)) == 5
        with pytest.raises(RuntimeError, match="toy: fail: ValueError: no luck"):
            toy.do("fail")
        assert toy.do("fit", value=1) == 2
        with pytest.raises(RuntimeError, match="it died"):
            toy.do("die")
        with pytest.raises(RuntimeError, match="it died"):
            toy.do("fit", value=1)


def test_measured_reports_seconds_peak_output_and_failure() -> None:
    found = harness.measured([sys.executable, "-c", "data = bytearray(80_000_000); print(len(data))"])
    assert found["output"].strip() == "80000000" and found["peak"] > 80e6 and found["seconds"] > 0
    with pytest.raises(Exception, match="exit status 3"):
        harness.measured([sys.executable, "-c", "raise SystemExit(3)"])


def test_our_own_work_is_not_counted_as_others() -> None:
    others = harness.Others()
    harness.measured([sys.executable, "-c", "sum(range(10_000_000))"])
    assert 0 <= others.cores() <= (os.cpu_count() or 1)


def test_the_command_lists_benchmarks_and_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("mail", "tables", "single_row", "package"))
    for wrong in (["nothing"], ["mail", "--folds", "domain-9"], ["mail", "--rounds", "3"]):
        with pytest.raises(SystemExit) as stopped:
            main(wrong)
        assert stopped.value.code == 2
    assert "Cells: domain-0" in capsys.readouterr().err


def test_every_peer_has_pinned_requirements_without_cuda() -> None:
    for peer in {
        entry.peer
        for entry in (*mail.entries({"budget": 360.0}, "time"), *tables.entries(tables.DEFAULTS, "credit-0-0"))
    } - {None}:
        lines = [
            line
            for line in (harness.ENVIRONMENTS / f"{peer}.txt").read_text().splitlines()
            if line and not line.startswith("#")
        ]
        assert lines and all("==" in line for line in lines)
        assert not [line for line in lines if line.startswith("nvidia") or line.split("==")[0] == "xgboost"]
