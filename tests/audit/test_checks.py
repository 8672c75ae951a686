"""Every check fires on a planted fault and stays quiet on a clean build."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tiny_build import credit, houses, mails, tiny_build

from modelyard import audit, evaluate, parts
from modelyard.audit.checks._contract import Rule, finding
from modelyard.audit.world import World
from modelyard.context import Context
from modelyard.errors import DataError
from modelyard.metrics import Sample
from modelyard.records import without_times
from modelyard.records._base import Estimate
from modelyard.records.audited import Audited, Finding
from modelyard.records.prepared import Suspect

FAST = {"bootstrap": 300}
CHECKS = ("calibration", "leakage", "overfit", "robustness", "sensitive", "slices")
TEST = pl.int_range(pl.len()) % 5 >= 3  # the rows that tiny_build tests on


def audited(context: Context) -> Audited:
    context.records["evaluate"] = evaluate.run(context)
    return audit.run(context)


def clean_credit(folder: Path) -> Context:
    frame, types = credit()
    return tiny_build(folder, frame, types, evaluate=FAST, audit={"sensitive": ["age"]})


def clean_houses(folder: Path) -> Context:
    frame, types = houses()
    return tiny_build(folder, frame, types, task="tabular-regression", evaluate=FAST, audit={"sensitive": ["quarter"]})


def clean_mails(folder: Path) -> Context:
    frame, types = mails()
    return tiny_build(folder, frame, types, task="text-classification", evaluate=FAST)


@pytest.mark.parametrize("build", [clean_credit, clean_houses, clean_mails])
def test_clean_builds_fail_no_check(build: Callable[[Path], Context], tmp_path: Path) -> None:
    found = audited(build(tmp_path))
    assert tuple(finding.name for finding in found.findings) == CHECKS == tuple(parts.names("audit.checks"))
    assert {finding.name: finding.status for finding in found.findings if finding.status == "failed"} == {}
    assert all(gate.passed for gate in found.gates)
    assert Audited.model_validate_json(found.model_dump_json()) == found


def leaking(folder: Path) -> Context:
    frame, types = credit()
    copy = pl.when(pl.col("target") == "repaid").then(1.0).otherwise(0.0) + pl.int_range(pl.len()) % 7 / 100
    return tiny_build(
        folder, frame.with_columns(copy.alias("paid_in_full")), {**types, "paid_in_full": "number"}, evaluate=FAST
    )


def leaking_price(folder: Path) -> Context:
    frame, types = houses()
    frame = frame.with_columns((pl.col("target") * 1.05 + pl.col("area")).alias("taxed"))
    return tiny_build(folder, frame, {**types, "taxed": "number"}, task="tabular-regression", evaluate=FAST)


def repeating(folder: Path) -> Context:
    """Labels are noise, and most test rows repeat a training row: a forest remembers them."""
    rng = np.random.default_rng(0)
    half = pl.DataFrame({"x": rng.normal(size=600), "y": rng.normal(size=600), "target": rng.choice(["a", "b"], 600)})
    fresh = pl.DataFrame({"x": rng.normal(size=200), "y": rng.normal(size=200), "target": rng.choice(["a", "b"], 200)})
    train = half.with_columns(split=pl.lit("train"))
    validation = fresh[:100].with_columns(split=pl.lit("validation"))
    test = pl.concat([half[:400], fresh[100:]]).with_columns(split=pl.lit("test"))
    frame, types = pl.concat([train, validation, test]), {"x": "number", "y": "number"}
    candidates = {"dummy": "dummy", "extra-trees": "extra-trees"}
    options = {"extra-trees": {"smallest_leaf": 1}}
    return tiny_build(folder, frame, types, candidates=candidates, options=options, chosen="extra-trees", evaluate=FAST)


def overconfident(folder: Path) -> Context:
    frame, types = credit()
    turned = pl.Series("turned", np.random.default_rng(0).uniform(size=frame.height) < 0.2)
    other = pl.when(pl.col("target") == "repaid").then(pl.lit("default")).otherwise(pl.lit("repaid"))
    noisy = frame.with_columns(pl.when(pl.lit(turned)).then(other).otherwise(pl.col("target")).alias("target"))
    return tiny_build(folder, noisy, types, temperature=0.05, evaluate=FAST)


def badly_served_group(folder: Path) -> Context:
    frame, types = credit(2500)
    other = pl.when(pl.col("target") == "repaid").then(pl.lit("default")).otherwise(pl.lit("repaid"))
    fault = TEST & (pl.col("home") == "own")
    return tiny_build(
        folder,
        frame.with_columns(pl.when(fault).then(other).otherwise(pl.col("target")).alias("target")),
        types,
        evaluate=FAST,
    )


def badly_served_quarter(folder: Path) -> Context:
    frame, types = houses()
    fault = TEST & (pl.col("quarter") == "old town")
    target = pl.when(fault).then(pl.col("target") * 2).otherwise(pl.col("target"))
    return tiny_build(
        folder, frame.with_columns(target.alias("target")), types, task="tabular-regression", evaluate=FAST,
        audit={"sensitive": ["quarter"]},
    )  # fmt: skip


def case_bound(folder: Path) -> Context:
    """Only the case of a word tells the classes apart, and the model sees case."""
    frame, _ = mails(300)
    loud = np.random.default_rng(0).uniform(size=300) < 0.5
    body = np.where(loud, frame["body"].str.to_uppercase().to_numpy(), frame["body"].to_numpy())
    frame = pl.DataFrame({"body": body, "target": np.where(loud, "loud", "quiet")})
    return tiny_build(
        folder,
        frame,
        {"body": "text"},
        task="text-classification",
        options={"linear": {"characters": True, "strengths": (1.0,)}},
        evaluate=FAST,
    )


def field_bound(folder: Path) -> Context:
    """The answer rests on the digits behind a wide number: noise of a hundredth of its spread destroys it."""
    rng = np.random.default_rng(0)
    fine = rng.uniform(0, 1, 1500)
    x = fine + rng.choice([-1000.0, 1000.0], 1500)
    frame = pl.DataFrame({"x": x, "y": rng.normal(size=1500), "target": np.where(fine < 0.5, "low", "high")})
    candidates = {"dummy": "dummy", "gradient-boosting": "gradient-boosting"}
    return tiny_build(
        folder, frame, {"x": "number", "y": "number"}, candidates=candidates, chosen="gradient-boosting",
        evaluate=FAST,
    )  # fmt: skip


def ageist(folder: Path) -> Context:
    frame, types = credit(2500)
    old = pl.col("age") > 60
    target = pl.when(old & (pl.int_range(pl.len()) % 10 != 0)).then(pl.lit("default")).otherwise(pl.col("target"))
    return tiny_build(
        folder,
        frame.with_columns(target.alias("target")),
        {**types, "age": "number"},
        evaluate=FAST,
        audit={"sensitive": ["age"]},
    )


def chosen_by_luck(folder: Path) -> Context:
    """What held on validation rows does not hold on test rows."""
    frame, types = credit(2500)
    shuffled = pl.Series("shuffled", np.random.default_rng(0).permutation(frame["target"].to_numpy()))
    target = pl.when(TEST).then(pl.lit(shuffled)).otherwise(pl.col("target"))
    return tiny_build(folder, frame.with_columns(target.alias("target")), types, evaluate=FAST)


FAULTS = [
    ("leakage", leaking, "paid_in_full alone"),
    ("leakage", leaking_price, "taxed alone"),
    ("leakage", repeating, "seen rows"),
    ("calibration", overconfident, "calibration_error"),
    ("slices", badly_served_group, "home=own"),
    ("slices", badly_served_quarter, "quarter=old town"),
    ("robustness", case_bound, "case drop"),
    ("robustness", field_bound, "noise drop"),
    ("sensitive", ageist, "selection_ratio age="),
    ("sensitive", badly_served_quarter, "bias quarter=old town"),
    ("overfit", chosen_by_luck, "drop"),
]


@pytest.mark.parametrize(
    ("check", "build", "figure"), FAULTS, ids=[f"{check}-{build.__name__}" for check, build, _ in FAULTS]
)
def test_planted_fault_fires(check: str, build: Callable[[Path], Context], figure: str, tmp_path: Path) -> None:
    context = build(tmp_path)
    found = audited(only(context, check))
    finding = one(found)
    assert finding.status == "failed", finding
    assert any(name.startswith(figure) for name in finding.broken), finding.broken
    (gate,) = found.gates
    assert gate.name == f"audit.{check}" and not gate.passed and figure in gate.demanded and gate.cure


def only(context: Context, check: str, **options: Any) -> Context:
    """The same build with one check and its options."""
    checks = {name: {"skip": True} for name in CHECKS} | {check: options}
    return replace(context, blueprint=with_checks(context, checks))


def one(found: Audited) -> Finding:
    (finding,) = [finding for finding in found.findings if finding.reason != "left out by the blueprint"]
    return finding


def with_checks(context: Context, checks: dict[str, dict[str, Any]]) -> Any:
    wanted = context.blueprint.audit.model_copy(update={"checks": checks})
    return context.blueprint.model_copy(update={"audit": wanted})


def test_typing_errors_fire_where_words_decide_and_a_limit_can_be_moved(tmp_path: Path) -> None:
    context = clean_mails(tmp_path)
    context = only(context, "robustness", typos=1.0, case=False)
    finding = one(audited(context))
    assert finding.status == "failed" and "typos drop" in finding.broken and "case drop" not in finding.measured
    context = only(context, "robustness", typos=1.0, fail_drop=None)
    finding = one(audit.run(context))
    assert finding.status == "warning"
    assert audit.run(context).gates[0].passed


def test_suspects_of_prepare_are_a_warning(tmp_path: Path) -> None:
    frame, types = credit()
    suspect = Suspect(kind="identifier", column="debt", value=1.0)
    context = tiny_build(tmp_path, frame, types, suspects=(suspect,), evaluate=FAST)
    finding = audited(context).finding("leakage")
    assert finding is not None and finding.status == "warning"
    assert finding.details["suspects"][0]["kind"] == "identifier"


def test_checks_that_do_not_apply_say_why(tmp_path: Path) -> None:
    frame, _ = houses(400)
    context = tiny_build(
        tmp_path, frame.select("area", "target"), {"area": "number"}, task="tabular-regression", evaluate=FAST
    )
    found = {finding.name: (finding.status, finding.reason) for finding in audited(context).findings}
    assert found["calibration"] == ("skipped", "answers are numbers, not probabilities")
    assert found["slices"] == ("skipped", "no column to slice by")
    assert found["sensitive"] == ("skipped", "no audit.sensitive columns are declared")


def test_names_are_checked(tmp_path: Path) -> None:
    frame, types = credit(400)
    context = tiny_build(tmp_path, frame, types, evaluate={**FAST, "slices": ["home"]}, audit={"sensitive": ["age"]})
    context.records["evaluate"] = evaluate.run(context)
    wrong = context.blueprint.audit.model_copy(update={"sensitive": ("Age",)})
    with pytest.raises(DataError, match=r"audit\.sensitive: no column 'Age'\. Did you mean 'age'\?"):
        audit.run(replace(context, blueprint=context.blueprint.model_copy(update={"audit": wrong})))
    with pytest.raises(DataError, match=r"no class 'payed'\..*Classes: default, repaid"):
        audit.run(replace(context, blueprint=with_checks(context, {"sensitive": {"favourable": "payed"}})))


def test_same_build_same_findings(tmp_path: Path) -> None:
    context = clean_credit(tmp_path)
    assert without_times(audited(context)) == without_times(audit.run(context))


# -- hand-worked fairness ------------------------------------------------------------------------------------------------


def fairness(tmp_path: Path, truth: dict[str, tuple[int, int, int, int]], **options: Any) -> Finding:
    """A finding for groups of (true and chosen, true and not chosen, false and chosen, false and not chosen) rows."""
    groups, target, labels = [], [], []
    for name, (hit, missed, alarm, rest) in truth.items():
        groups += [name] * (hit + missed + alarm + rest)
        target += [1] * (hit + missed) + [0] * (alarm + rest)
        labels += [1] * hit + [0] * missed + [1] * alarm + [0] * rest
    count = len(groups)
    frame = pl.DataFrame({"x": np.random.default_rng(0).normal(size=count), "group": groups})
    frame = frame.with_columns(pl.Series("target", np.array(["no", "yes"])[target]))
    fitted = pl.concat([frame.with_columns(split=pl.lit(split)) for split in ("train", "validation", "test")])
    context = tiny_build(
        tmp_path,
        fitted,
        {"x": "number", "group": "ignore"},
        evaluate={**FAST, "positive": "yes"},
        audit={"sensitive": ["group"]},
    )
    context.records["evaluate"] = evaluate.run(context)
    world = World.of(context)
    scores = np.eye(2)[labels]
    sample = Sample.of(np.array(target), scores, labels=np.array(labels), positive=1)
    return parts.build("audit.checks", "sensitive", {"favourable": "yes", **options})(replace(world, sample=sample))  # type: ignore[no-any-return]


def test_fairness_figures_by_hand(tmp_path: Path) -> None:
    found = fairness(tmp_path, {"a": (80, 20, 40, 60), "b": (30, 30, 30, 60)})
    a, b = found.details["columns"]["group"]["a"], found.details["columns"]["group"]["b"]
    assert a["selection_rate"] == 120 / 200 and b["selection_rate"] == 60 / 150
    assert a["true_positive_rate"] == 0.8 and b["true_positive_rate"] == 0.5
    assert found.measured["selection_ratio group=b"].value == pytest.approx((60 / 150) / (120 / 200))
    assert found.measured["opportunity_difference group=b"].value == pytest.approx(0.3)
    recall_gap = ((0.8 - 0.5) + (60 / 100 - 60 / 90)) / 2  # yes: a better; no: b better
    assert found.measured["recall_gap group=b"].value == pytest.approx(recall_gap)
    assert (
        found.floors["selection_ratio group=b"] == pytest.approx(0.6)
        and found.limits["opportunity_difference group=b"] == 0.2
    )
    strict = fairness(tmp_path / "strict", {"a": (80, 20, 40, 60), "b": (30, 30, 30, 60)}, stops="limit")
    assert strict.status == "failed" and strict.floors["selection_ratio group=b"] == 0.8
    assert found.status == "warning" and "opportunity_difference group=b" in found.broken


def test_fairness_figures_are_those_of_the_field(tmp_path: Path) -> None:
    """As fairlearn defines them: the demographic parity ratio is the smallest of the groups' selection rates over the largest; the
    equal opportunity difference (Hardt, Price and Srebro 2016) is the largest of their true positive rates less the smallest."""
    counts = {"a": (80, 20, 40, 60), "b": (50, 30, 30, 60), "c": (45, 15, 20, 70)}
    found = fairness(tmp_path, counts)
    groups = np.repeat(list(counts), [sum(count) for count in counts.values()])
    target = np.concatenate([np.repeat([1, 1, 0, 0], count) for count in counts.values()])
    chosen = np.concatenate([np.repeat([1, 0, 1, 0], count) for count in counts.values()])
    selected = [chosen[groups == name].mean() for name in counts]
    recalled = [chosen[(groups == name) & (target == 1)].mean() for name in counts]
    ratios = [one.value for name, one in found.measured.items() if name.startswith("selection_ratio")]
    assert min(ratios) == pytest.approx(min(selected) / max(selected))
    gaps = [one.value for name, one in found.measured.items() if name.startswith("opportunity")]
    assert max(gaps) == pytest.approx(max(recalled) - min(recalled))


def test_small_groups_are_not_judged(tmp_path: Path) -> None:
    found = fairness(tmp_path, {"a": (80, 20, 40, 60), "tiny": (0, 5, 0, 5)})
    assert found.measured == {} and found.status == "passed"
    assert found.details["columns"]["group"]["tiny"]["rows"] == 10


def test_a_gate_demands_nothing_that_its_figures_break() -> None:
    wide, surely = Estimate(value=0.346, low=0.205, high=0.487), Estimate(value=0.6, low=0.55, high=0.65)
    warned = finding("sensitive", [Rule("age", wide, 0.1), Rule("marital", wide, 0.1, 0.3)])
    assert warned.status == "warning" and warned.broken == ("age", "marital") and warned.stops == ("marital",)
    passed = audit.gate(warned, "")
    assert passed.passed and passed.demanded == "marital not surely above 0.3" and "age" not in passed.measured
    assert audit.gate(finding("sensitive", [Rule("age", wide, 0.1)]), "").demanded == "no figure that stops the build"
    failed = audit.gate(finding("sensitive", [Rule("age", surely, 0.1, 0.5), Rule("marital", wide, 0.1, 0.3)]), "")
    assert not failed.passed and failed.demanded == "age not surely above 0.5"
