"""Evaluation on small real builds: figures, comparisons, gates that fire and gates that must not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tiny_build import credit, houses, mails, tiny_build

from modelyard import evaluate
from modelyard.errors import DataError, UserError
from modelyard.predictor import Artifact, Member, Predictor
from modelyard.records import without_times
from modelyard.records.evaluated import Evaluated
from modelyard.rows import Array, from_frame, read_split

BOTH = {"dummy": "dummy", "linear": "linear"}
FAST = {"bootstrap": 200}


def test_classification_record_agrees_with_scikit_learn(tmp_path: Path) -> None:
    sk = pytest.importorskip("sklearn.metrics")
    frame, types = credit()
    context = tiny_build(tmp_path, frame, types, evaluate=FAST, audit={"sensitive": ["age"]})
    found = evaluate.run(context)
    predictor = Predictor.open(tmp_path / "train" / "linear")
    test = read_split(tmp_path / "data", "test")
    scores = predictor.scores(from_frame(test, predictor.state.types()))
    truth, positive = test["target"].to_numpy(), predictor.state.positive
    answered = np.array(predictor.state.classes)[scores.argmax(1)]
    number = predictor.state.classes.index(str(positive))
    assert found.positive == "default" and found.rows == test.height
    assert found.metrics["roc_auc"].value == pytest.approx(sk.roc_auc_score(truth == positive, scores[:, number]))
    assert found.metrics["f1_macro"].value == pytest.approx(sk.f1_score(truth, answered, average="macro"))
    assert found.metrics["recall"].value == pytest.approx(sk.recall_score(truth, answered, pos_label=positive))
    assert found.confusion is not None
    assert np.array_equal(found.confusion.counts, sk.confusion_matrix(truth, answered, labels=list(found.classes)))
    assert all(one.low <= one.value <= one.high for one in found.metrics.values())
    false, true, _ = sk.roc_curve(truth == positive, scores[:, number])
    roc = found.curves["roc"]
    assert np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"]) == pytest.approx(
        sk.auc(false, true), abs=0.005
    )
    assert {name for name, gate in ((g.name, g) for g in found.gates) if gate.passed} == {"evaluate.beats_dummy"}
    assert set(found.candidates) == {"dummy", "linear"} and found.candidates["dummy"].better
    assert found.candidates["linear"].difference is not None and found.candidates["linear"].difference.high == 0
    assert set(found.slices) == {"home", "employed", "age"}
    assert sum(part.rows for part in found.slices["age"].values()) == found.rows
    assert len(found.worst) == 20 and all(mistake.true != mistake.answer for mistake in found.worst)
    assert [mistake.score for mistake in found.worst] == sorted(mistake.score for mistake in found.worst)
    with np.load(tmp_path / found.scores, allow_pickle=False) as saved:
        assert np.array_equal(saved["scores"], scores) and "candidate:dummy" in saved


def test_members_that_artifacts_share_answer_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, types = credit(300)
    tiny_build(tmp_path, frame, types, evaluate=FAST)
    members = []
    for name in BOTH:
        shutil.copytree(tmp_path / "train" / name / "0", tmp_path / "both" / name)
        members.append(Member(candidate=name, model=name, folder=name, weight=len(name)))
        (tmp_path / "train" / name / "0" / "job.json").write_text("{}")  # stays beside a candidate's model
    state = Predictor.open(tmp_path / "train" / "linear").state
    Artifact(name="both", state=state, members=tuple(members), temperature=1.5).save(tmp_path / "both")
    rows = from_frame(read_split(tmp_path / "data", "test"), state.types())
    opened = [Predictor.open(tmp_path / place) for place in ("both", "train/linear", "train/dummy")]
    wanted = [predictor.scores(rows, batch=20) for predictor in opened]
    known: dict[str, Array] = {}
    assert np.array_equal(opened[0].scores(rows, batch=20, known=known), wanted[0]) and len(known) == 2
    monkeypatch.setattr(Predictor, "_each", lambda *_: pytest.fail("a member answered again"))
    for predictor, before in zip(opened, wanted, strict=True):
        assert np.array_equal(predictor.scores(rows, known=known), before)


def test_regression_record(tmp_path: Path) -> None:
    frame, types = houses()
    found = evaluate.run(tiny_build(tmp_path, frame, types, task="tabular-regression", evaluate=FAST))
    assert found.metrics["root_mean_squared_error"].value == pytest.approx(25_000, rel=0.2)  # the planted noise
    assert found.gates[0].passed and found.confusion is None and found.positive is None
    assert found.candidates["dummy"].difference is not None and found.candidates["dummy"].difference.high < 0
    assert abs(found.worst[0].score) >= abs(found.worst[-1].score)
    assert found.curves["residuals"]["residual"] == sorted(found.curves["residuals"]["residual"])
    assert set(found.slices) == {"quarter"}


def test_text_is_cut_and_sliced_by_length(tmp_path: Path) -> None:
    frame, types = mails(400)
    frame = frame.with_columns(pl.col("body") + pl.lit(" the" * 200))
    found = evaluate.run(tiny_build(tmp_path, frame, types, task="text-classification", evaluate=FAST))
    assert found.worst and all(len(str(mistake.fields["body"])) == 500 for mistake in found.worst)
    assert set(found.slices) == {"subject", "body"}


def test_no_signal_fails_the_dummy_gate(tmp_path: Path) -> None:
    frame, types = credit()
    noise = frame.with_columns(pl.Series("target", np.random.default_rng(1).permutation(frame["target"].to_numpy())))
    found = evaluate.run(tiny_build(tmp_path, noise, types, evaluate=FAST))
    assert [gate.name for gate in found.gates if not gate.passed] == ["evaluate.beats_dummy"]


def test_demanded_metrics_are_gates_in_the_good_direction(tmp_path: Path) -> None:
    frame, types = credit()
    gates = {"roc_auc": 0.8, "f1_macro": 0.999, "log_loss": 0.6, "brier": 0.0001}
    found = evaluate.run(tiny_build(tmp_path, frame, types, evaluate={**FAST, "gates": gates}))
    passed = {gate.name: gate.passed for gate in found.gates}
    assert passed == {
        "evaluate.beats_dummy": True,
        "evaluate.roc_auc": True,
        "evaluate.f1_macro": False,
        "evaluate.log_loss": True,
        "evaluate.brier": False,
    }
    gate = next(gate for gate in found.gates if gate.name == "evaluate.brier")
    assert gate.demanded == "brier <= 0.0001" and " to " in gate.measured


def test_metrics_must_exist_and_fit_the_task(tmp_path: Path) -> None:
    frame, types = houses(200)
    context = tiny_build(tmp_path, frame, types, task="tabular-regression", evaluate={"gates": {"roc_auc": 0.5}})
    with pytest.raises(UserError, match="'roc_auc' is for classification; this task is regression"):
        evaluate.run(context)
    three = credit(400)[0].with_columns(pl.Series("target", np.random.default_rng(0).choice(["a", "b", "c"], 400)))
    context = tiny_build(tmp_path / "three", three, credit(400)[1], evaluate={"metrics": ["recall"]})
    with pytest.raises(DataError, match=r"evaluate\.metrics: recall needs one class that is looked for.*3"):
        evaluate.run(context)


def test_money_by_hand_and_its_columns(tmp_path: Path) -> None:
    frame, types = credit()
    wanted = {**FAST, "costs": {"false_positive": "amount", "false_negative": 900}}
    context = tiny_build(tmp_path, frame, types, threshold=0.2, evaluate=wanted)
    found = evaluate.run(context)
    with np.load(tmp_path / found.scores, allow_pickle=False) as saved:
        target, labels, scores = saved["target"], saved["labels"], saved["scores"]
    amount = read_split(tmp_path / "data", "test")["amount"].to_numpy()
    cost = np.where((labels == 0) & (target == 1), amount, 0) + np.where((labels == 1) & (target == 0), 900, 0)
    assert found.money is not None and found.threshold == 0.2
    assert np.array_equal(labels == 0, scores[:, 0] >= 0.2)
    assert found.money.chosen.value == pytest.approx(cost.mean())
    assert found.money.never.value == pytest.approx(900 * (target == 0).mean())
    assert found.money.always.value == pytest.approx((amount * (target == 1)).mean())
    assert found.money.saved.value == pytest.approx(found.money.at_half.value - found.money.chosen.value)
    linear = found.candidates["linear"]
    assert linear.cost is not None and linear.cost.value == pytest.approx(found.money.chosen.value)
    assert linear.saved == found.money.saved
    curve = found.curves["threshold"]
    near = int(np.argmin(np.abs(np.array(curve["threshold"]) - 0.2)))
    assert curve["cost"][near] == pytest.approx(found.money.chosen.value, rel=0.05)
    assert curve["cost"][0] == pytest.approx(found.money.always.value)
    series = np.array([curve["low"], curve["cost"], curve["high"]])
    assert (np.diff(series, axis=0) >= 0).all() and (series[2] > series[0]).mean() > 0.9
    assert "recall" in found.at_half and "roc_auc" not in found.at_half
    assert found.at_half["recall"].value < found.metrics["recall"].value


def test_cost_columns_are_checked(tmp_path: Path) -> None:
    frame, types = credit(300)
    context = tiny_build(
        tmp_path / "a", frame, types, evaluate={"costs": {"false_positive": "amout", "false_negative": 1.0}}
    )
    with pytest.raises(
        DataError, match=r"evaluate\.costs\.false_positive: no column 'amout'\. Did you mean 'amount'\?"
    ):
        evaluate.run(context)
    context = tiny_build(
        tmp_path / "b", frame, types, evaluate={"costs": {"false_positive": "home", "false_negative": 1.0}}
    )
    with pytest.raises(DataError, match="column 'home' holds category values; a cost must be a number"):
        evaluate.run(context)
    context = tiny_build(
        tmp_path / "c", frame, types, evaluate={"costs": {"false_positive": "income", "false_negative": 1.0}}
    )
    with pytest.raises(DataError, match=r"column 'income' has no value in .* rows"):
        evaluate.run(context)


def test_unknown_classes_are_counted_and_wrong(tmp_path: Path) -> None:
    frame, types = credit(600)
    strange = frame.with_columns(
        pl.when(pl.int_range(pl.len()) % 50 == 3).then(pl.lit("fled")).otherwise(pl.col("target")).alias("target")
    )
    found = evaluate.run(tiny_build(tmp_path, strange, types, evaluate=FAST))
    assert found.unknown == {"fled": 12} and found.confusion is not None
    assert found.confusion.true == ("default", "repaid", "(unknown)") and sum(found.confusion.counts[2]) == 12
    assert {mistake.true for mistake in found.worst} == {"fled", "default", "repaid"}
    assert found.worst[0].true == "fled" and found.worst[0].score == 0.0


def test_groups_are_resampled_together(tmp_path: Path) -> None:
    frame, types = credit(300)
    index = np.repeat(np.arange(300), 6)
    split = np.array(["train", "train", "validation", "test", "test"])[index % 5]
    repeated = frame[index].with_columns(pl.Series("split", split))
    alone = evaluate.run(tiny_build(tmp_path / "a", repeated, types, evaluate=FAST))
    together = evaluate.run(tiny_build(tmp_path / "b", repeated, types, groups=index.tolist(), evaluate=FAST))
    assert together.grouped and not alone.grouped
    width = {
        name: one.metrics["accuracy"].high - one.metrics["accuracy"].low
        for name, one in (("a", alone), ("b", together))
    }
    assert width["b"] > 1.7 * width["a"]  # sqrt(6) = 2.4


def test_same_build_same_record_and_same_file(tmp_path: Path) -> None:
    frame, types = credit(400)
    context = tiny_build(tmp_path, frame, types, evaluate=FAST)
    first = evaluate.run(context)
    bytes_ = (tmp_path / first.scores).read_bytes()
    again = evaluate.run(context)
    assert without_times(first) == without_times(again) and (tmp_path / first.scores).read_bytes() == bytes_
    assert Evaluated.model_validate_json(first.model_dump_json()) == first


def test_measure_compares_with_the_trained_artifact(tmp_path: Path) -> None:
    frame, types = credit(500)
    context = tiny_build(tmp_path, frame, types, evaluate=FAST)
    record = evaluate.run(context)
    same = evaluate.measure(context, tmp_path / "train" / "linear")
    assert same.metrics == record.metrics and same.agreement is not None and same.agreement.value == 1.0
    assert same.difference is not None and (same.difference.low, same.difference.high) == (0.0, 0.0)
    worse = evaluate.measure(context, tmp_path / "train" / "dummy")
    assert worse.difference is not None and worse.difference.high < 0
    assert worse.agreement is not None and worse.agreement.value < 1


def test_three_classes(tmp_path: Path) -> None:
    frame, types = credit(600)
    debt = frame["debt"].to_numpy()
    three = frame.with_columns(pl.Series("target", np.select([debt < -0.5, debt < 0.5], ["low", "middle"], "high")))
    found = evaluate.run(tiny_build(tmp_path, three, types, evaluate=FAST))
    assert found.positive is None and "recall" not in found.metrics and found.metrics["roc_auc"].value > 0.9
    assert {"roc:low", "calibration:high", "precision_recall:middle"} <= set(found.curves)


def test_a_time_split_checks_k_rows_a_day(tmp_path: Path) -> None:
    frame, types = credit(900)
    when = pl.datetime(2026, 1, 1) + pl.duration(hours=pl.int_range(pl.len()) // 3)
    frame = frame.with_columns(when.alias("when"))
    wanted = {**FAST, "top_k": 5, "metrics": ["precision_at_k"]}
    split = {"split": {"by": "time", "column": "when"}}
    found = evaluate.run(tiny_build(tmp_path, frame, {**types, "when": "ignore"}, evaluate=wanted, prepare=split))
    assert found.days == 13 and found.top_k == 5
    with np.load(tmp_path / found.scores, allow_pickle=False) as saved:
        day, score, hit = saved["row"] // 72, saved["scores"][:, 0], saved["target"] == 0
    shares = [hit[day == one][np.argsort(-score[day == one])][:5].mean() for one in np.unique(day)]
    assert found.metrics["precision_at_k"].value == pytest.approx(np.mean(shares), abs=0.01)
