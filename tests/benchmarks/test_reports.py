"""The folds of `benchmarks/` on the recipes' data, and the reports on planted cells: where ours is better the bars are reached, and swapped they are missed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from benchmarks import fraud, mail, package, single_row, tables
from benchmarks.ratios import Result


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


def cell(contenders: dict[str, Any], **more: Any) -> dict[str, Any]:
    run = {
        "date": "2026-11-22T00:00:00",
        "load": [0.1, 0.1, 0.1],
        "machine": {"cores": "2"},
        "commit": "",
        "sources": "abc",
    }
    return {"before": run, "after": run, "others": 0.0, "contenders": contenders, **more}


BUDGET = 100.0
"""Seconds; a good contender trains for all of them, a bad one for a fifth more."""


def competed(
    answers: dict[str, Any], *, good: bool, facts: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A contender of a cell that trained and answered."""
    seconds = BUDGET if good else 1.2 * BUDGET
    told = {"weights": {"linear": 1.0}, "stages": {"train": seconds}, **(facts or {})}
    return {
        "answers": answers,
        "facts": told,
        "seconds": {"fit": seconds},
        "peak": 1,
        "versions": {},
        "one": [],
        **more,
    }


def verdicts(result: Result) -> list[bool]:
    """Whether each bar is reached; the document says so too."""
    told = [bar.passed for bar in result.bars]
    assert result.markdown().count("**missed**") == told.count(False)
    return told


@pytest.fixture(scope="module")
def known() -> pl.DataFrame:
    """Some mail, whose answers are known."""
    return pl.read_parquet(mail.RECIPE / "mail.parquet", columns=["id", "label"])[::40]


def mailed(known: pl.DataFrame, right: float) -> dict[str, Any]:
    """A contender that answers this share of the mail rightly, in an order of its own."""
    rng = np.random.default_rng(0)
    shuffled = known.sample(fraction=1.0, shuffle=True, seed=int(right * 100))
    names = [label if rng.uniform() < right else ("ham" if label == "spam" else "spam") for label in shuffled["label"]]
    classes = ["ham", "spam"] if right < 1 else ["spam", "ham"]
    scores = [[float(name == each) for each in classes] for name in names]
    told = {"identity": shuffled["id"].to_list(), "classes": classes, "scores": scores, "labels": names}
    return competed(told, good=right == 1)


def test_the_mail_report_pairs_answers_by_identity_whatever_their_order(known: pl.DataFrame) -> None:
    good, bad = mailed(known, 1.0), mailed(known, 0.8)
    found = mail.report({"domain-0": cell({mail.OURS: good, mail.PEER: bad})}, BUDGET)
    figures = found.figures["domain (pooled)"]
    assert figures["f1_macro"][mail.OURS] == 1.0 and 0.7 < figures["f1_macro"][mail.PEER] < 0.9
    assert figures["difference_by_rows"]["low"] > 0 and verdicts(found) == [True, True]
    assert verdicts(mail.report({"domain-0": cell({mail.OURS: bad, mail.PEER: good})}, BUDGET)) == [False, False]


def test_by_time_the_mail_report_asks_that_ours_is_not_worse(known: pl.DataFrame) -> None:
    good, bad = mailed(known, 1.0), mailed(known, 0.8)
    found = mail.report({"time": cell({mail.OURS: good, mail.PEER: bad})}, BUDGET)
    figures = found.figures["time (pooled)"]
    assert figures["difference_by_rows"]["value"] == pytest.approx(1.0 - figures["f1_macro"][mail.PEER])
    assert verdicts(found) == [True, True]
    assert verdicts(mail.report({"time": cell({mail.OURS: bad, mail.PEER: bad})}, BUDGET)) == [True, False], (
        "equal is not worse"
    )
    assert verdicts(mail.report({"time": cell({mail.OURS: bad, mail.PEER: good})}, BUDGET)) == [False, False]
    both = {name: cell({mail.OURS: good, mail.PEER: bad}) for name in ("domain-0", "time")}
    assert verdicts(mail.report(both, BUDGET)) == [True] * 3


def tabled(name: str, rows: slice, off: float, second: float) -> dict[str, Any]:
    """A contender on some rows of a table: `off` times a known error from the truth, so long for one row."""
    data = tables.DATA[name]
    frame = tables.frame_of(data)[rows].reverse()
    noise = np.random.default_rng(0).normal(size=frame.height)
    if data.classes:
        chance = 1 / (1 + np.exp(-(2.0 * (frame[data.target] == data.positive).to_numpy() - 1 + off * noise)))
        classes = sorted({"bad", "good"})
        scores = [[each if name == data.positive else 1 - each for name in classes] for each in chance.tolist()]
    else:
        classes, scores = [], (frame[data.target].to_numpy() + off * noise).reshape(-1, 1).tolist()
    told = {"identity": frame[tables.IDENTITY].to_list(), "classes": classes, "scores": scores, "labels": []}
    return competed(told, good=off < 4, one=[[second] * 3, [second] * 3])


def table_cells(ours: tuple[float, float], lightgbm: tuple[float, float], autogluon: tuple[float, float]) -> Any:
    """Two folds of each table; a contender is how far off it is and how long a row takes."""
    told = dict(zip((tables.OURS, *tables.PEERS), (ours, lightgbm, autogluon), strict=True))
    return {
        f"{name}-0-{fold}": cell({each: tabled(name, slice(20 * fold, None, 40), *how) for each, how in told.items()})
        for name in tables.DATA
        for fold in range(tables.FOLDS)
    }


def test_the_tables_report_asks_for_the_best_peers_quality_and_five_times_autogluons_speed() -> None:
    good, middling, bad = (1.0, 0.001), (2.0, 0.002), (4.0, 0.010)
    found = tables.report(table_cells(good, middling, bad), BUDGET)
    assert verdicts(found) == [True] * 5
    prices, credit = found.figures["house-prices"], found.figures["credit"]
    assert prices["loss_to_best"]["value"] == prices["loss"]["lightgbm"]["value"] == pytest.approx(1 / 2 - 1)
    assert prices["loss"]["autogluon"]["value"] == pytest.approx(1 / 4 - 1)
    assert credit["loss_to_best"]["high"] < 0 and credit["cells"] == 2
    assert credit["times_faster"]["autogluon"]["value"] == pytest.approx(10)
    assert credit["times_faster"]["lightgbm"]["value"] == pytest.approx(2)
    assert [len(lines) for _, _, lines in found.tables] == [3, 3]
    swapped = tables.report(table_cells(bad, middling, good), BUDGET)
    assert verdicts(swapped) == [False] * 5
    assert swapped.figures["house-prices"]["loss_to_best"]["value"] == pytest.approx(4 - 1)
    level = tables.report(table_cells(middling, middling, middling), BUDGET)
    assert verdicts(level) == [True, False, True, False, True], "as good, and no faster"


def row_cells(packaged: float, trained: float) -> dict[str, Any]:
    """Every build with so many seconds over HTTP, half of them in the model."""
    told = {single_row.PACKAGED: packaged, single_row.TRAINED: trained}
    return {
        name: cell(
            {each: {"one": [[second / 2] * 3] * 2, "http": [second] * 2, "peak": 1} for each, second in told.items()},
            build={"variant": "onnx"},
        )
        for name in single_row.CELLS
    }


def test_the_single_row_report_asks_for_milliseconds_and_twice_torchs_speed() -> None:
    found = single_row.report(row_cells(0.004, 0.020))
    assert verdicts(found) == [True] * 4
    assert found.figures["encoder"]["times_faster_http"]["value"] == pytest.approx(5)
    assert found.figures["credit"]["in_process"] == {"packaged": 0.002, "trained": 0.010}
    assert verdicts(single_row.report(row_cells(0.020, 0.004))) == [False] * 4
    told = {bar.what.split()[0].rstrip(":"): bar.passed for bar in single_row.report(row_cells(0.014, 0.014)).bars[:3]}
    assert told == {"credit": False, "house-prices": False, "encoder": True}, "5 ms for tables, 15 for the encoder"


def package_cells(
    packaged: float, trained: float, installed: float, helped: float = 0.4, *, torch: bool = False
) -> dict[str, Any]:
    """Every build with so many seconds to the first answer (the first start, which compiles, is slow) and to `yard --help`."""

    def starts(seconds: float, torch: bool) -> list[dict[str, Any]]:
        return [{"seconds": each, "peak": 1, "torch": torch, "torch_loaded": torch} for each in (60.0, *[seconds] * 3)]

    told = {
        package.PACKAGED: {"starts": starts(packaged, torch), "installed": installed},
        package.TRAINED: {"starts": starts(trained, True)},
    }
    return {name: cell(told, build={"bytes": 1e6}, help=[helped] * 3) for name in package.CELLS}


def test_the_package_report_asks_for_a_quick_start_without_torch_and_a_small_environment() -> None:
    found = package.report(package_cells(1.0, 4.0, 300e6))
    assert verdicts(found) == [True] * 5
    assert found.figures["encoder"]["cold_start"] == {"packaged": 1.0, "trained": 4.0}
    assert found.figures["encoder"]["times_faster"]["value"] == pytest.approx(4)
    assert verdicts(package.report(package_cells(4.0, 1.0, 700e6, helped=0.6))) == [False] * 5
    assert verdicts(package.report(package_cells(1.0, 4.0, 300e6, torch=True))) == [*[False, True] * 2, True]


def test_the_fraud_worlds_split_by_time_and_leave_out_labels_that_come_late(tmp_path: Path) -> None:
    frame = pl.read_parquet(fraud.RECIPE / "card-fraud.parquet")
    fold = fraud.write(frame, "world-1", tmp_path)
    train, test, asked = (pl.read_parquet(file) for file in (fold.train, fold.test, fold.asked))
    assert test[fraud.WHEN].min() - train[fraud.WHEN].max() >= fraud.GAP  # type: ignore[operator]
    assert test.height == pytest.approx(0.2 * frame.height, abs=1) and asked.columns == [
        name for name in test.columns if name != fraud.TARGET
    ]
    settings = fraud.entries(fraud.DEFAULTS)
    known = settings[0].settings["blueprint"]["columns"]
    assert {name for name, kind in known.items() if kind == "ignore"} == set(settings[1].settings["ignored"])
    assert settings[1].settings["texts"] == ["merchant"]
    assert fraud.WHEN in settings[1].settings["ignored"]  # both learn from the same columns


def test_the_fraud_report_prices_each_decision_and_has_the_right_sign() -> None:
    names, frauds = [f"T{row}" for row in range(200)], [row % 10 == 0 for row in range(200)]
    tested = {
        fraud.IDENTITY: names,
        fraud.TARGET: ["yes" if each else "no" for each in frauds],
        fraud.WHO: [f"C{row % 40}" for row in range(200)],
        "amount": [100.0] * 200,
    }

    def answer(scores: list[float], threshold: float | None) -> dict[str, Any]:
        told = {
            "identity": names[::-1],
            "classes": ["no", "yes"],
            "scores": [[1 - each, each] for each in scores[::-1]],
        }
        return competed(told, good=scores is good, facts={"threshold": threshold})

    rng = np.random.default_rng(0)
    good = [0.3 if each else 0.1 for each in frauds]  # ranks rightly, and 0.5 finds none of them
    bad = list(rng.uniform(0, 0.4, 200))
    contenders = {fraud.OURS: answer(good, 0.2), fraud.PEER: answer(bad, None)}
    found = fraud.report({"world-1": cell(contenders, tested=tested)}, BUDGET)
    whole = found.figures["all"]
    assert whole["average_precision"][fraud.OURS] == 1.0 and verdicts(found) == [True] * 3
    assert whole["cost_of_a_row"] == {fraud.OURS: 0.0, fraud.PEER: 10.0}  # one row in ten is a fraud of 100 USD
    assert whole["saved_of_a_row"]["value"] == pytest.approx(10.0)
    swapped = {fraud.OURS: answer(bad, None), fraud.PEER: answer(good, 0.2)}
    lost = fraud.report({"world-1": cell(swapped, tested=tested)}, BUDGET)
    assert verdicts(lost) == [False] * 3
