"""Small builds made of real record classes, for tests of the report: a text classifier and a regression, whole or cut short."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from modelyard.blueprint.business import Business
from modelyard.business import planning, valuing
from modelyard.business.running import running
from modelyard.business.solving import Solved
from modelyard.business.venture import Venture
from modelyard.models._contract import Work
from modelyard.records._base import Derived, Estimate, Gate, Run, machine, versions
from modelyard.records.audited import Audited, Finding
from modelyard.records.compressed import Compressed, Variant
from modelyard.records.evaluated import Compared, Confusion, Evaluated, Mistake, Money, Slice
from modelyard.records.packaged import Packaged
from modelyard.records.prepared import CleaningStep, ColumnCard, Prepared, SplitCard, Suspect
from modelyard.records.running import Meter, Running, Surveyed, Willing
from modelyard.records.served import Latency, Level, Refusal, Served
from modelyard.records.trained import Candidate, Epoch, Job, Trained
from modelyard.records.valued import (
    Assumption,
    Build,
    ByScenario,
    Cash,
    CashByScenario,
    CashColumn,
    MachineCosts,
    PlanValue,
    Rate,
    Remark,
    Trace,
    UnitEconomics,
    Valued,
)
from modelyard.store import write_json, write_text
from modelyard.units import Quantity, quantity
from tests.business.business_helpers import facts

SCRIPT = "<script>alert('owned')</script><img src=x onerror=alert(1)> Buy now & save"
STRANGE = "Price / unit (net.) % <b>"
"""A column whose name holds everything that a source or HTML could trip over."""


def estimate(value: float, spread: float = 0.01) -> Estimate:
    return Estimate(value=value, low=value - spread, high=value + spread * 0.8)


def ran(seconds: float) -> Run:
    return Run(
        started="2026-11-22T03:41:00+0000",
        seconds=quantity(seconds, "s"),
        peak_memory=quantity(7.31e8, "B"),
        machine=machine(),
        versions=versions(),
    )


def prepared(kind: str) -> Prepared:
    numbers = {
        "quantiles": {"0": 1.0, "0.01": 2.0, "0.05": 3.5, "0.25": 10.0, "0.5": 21.25, "0.75": 40.0, "0.95": 90.5, "0.99": 140.0, "1": 9020.0},
        "mean": 33.123, "deviation": 40.5, "zeros": 0, "whole": False,
        "histogram": {"edges": [float(edge) for edge in range(21)], "counts": [20 - abs(10 - place) for place in range(20)], "below": 1, "above": 2},
    }  # fmt: skip
    text = {
        "characters": {"0.05": 120.0, "0.5": 1043.5, "0.95": 6021.0},
        "words": {"0.5": 170.0},
        "empty": 3,
        "script": "Latin",
        "scripts": {"Latin": 0.99},
        "unspaced": False,
    }
    target: dict[str, Any] = {"top": [["ham", 4151], ["spam", 1895]], "others": 0} if kind == "text" else numbers
    columns = [
        ColumnCard(name=STRANGE, type="number", role="input", reason="numbers, 214 distinct", rows=6046, missing=37, distinct=214, facts=numbers),
        ColumnCard(name="subject", type="text", role="input", reason="free text: 4,801 distinct in 6046 rows", rows=6046, missing=9, distinct=4801, facts=text),
        ColumnCard(name="domain", type="category", role="input", reason="short texts", rows=6046, missing=0, distinct=912, facts={"top": [["a.org", 900], [SCRIPT, 301]], "others": 4845}),
        ColumnCard(name="id", type="ignore", role="ignored", reason="identifier: 6046 texts without spaces, no two equal", rows=6046, missing=0, distinct=6046),
        ColumnCard(name="label", type="category" if kind == "text" else "number", role="target", reason="the target", rows=6046, missing=0, distinct=2, facts=target),
    ]  # fmt: skip
    shares = {"train": 3930, "validation": 907, "test": 1209}

    def goal(rows: int) -> dict[str, float]:
        return (
            {"ham": round(rows * 0.7), "spam": round(rows * 0.3)}
            if kind == "text"
            else {"mean": 180796.1, "deviation": 79886.7, "lowest": 12789.0, "highest": 755000.0}
        )

    return Prepared(
        task="text-classification" if kind == "text" else "tabular-regression",
        task_reason="the target label has 2 classes and the text columns subject are read",
        target="label",
        source={"files": [{"name": "mail.parquet", "bytes": 9400123, "rows": 6046, "hash": "a" * 32}]},
        columns=tuple(columns),
        split_by="group",
        split_reason="as prepare.split.by says",
        splits={name: SplitCard(rows=rows, target=goal(rows), hash="b" * 32) for name, rows in shares.items()},
        cleaning=(
            CleaningStep(
                name="encodings",
                column="subject",
                before=211,
                after=0,
                detail={"mojibake": 12, "control_characters": 199},
            ),
            CleaningStep(name="repeats", before=6046, after=5990),
        ),
        duplicates={"clusters": 120, "rows": 402, "exact": 31},
        suspects=(
            Suspect(
                kind="predicts_target", column="domain", value=0.9812, detail={"measure": "roc_auc", "limit": 0.98}
            ),
        ),
        derived=(
            Derived(
                path="task",
                value="text-classification",
                reason="the target label has 2 classes and the text columns subject are read",
            ),
        ),
        run=ran(6.4),
    )


def trained(kind: str) -> Trained:
    metric, base = ("f1_macro", 0.96) if kind == "text" else ("root_mean_squared_error", 24000.0)
    spread = 0.01 if kind == "text" else 1500.0
    curve = tuple(
        Epoch(epoch=step / 2, step=step * 40, train_loss=0.7 * math.exp(-step / 2), validation_loss=0.7 * math.exp(-step / 2) + 0.06, train_metric=base * (1 - math.exp(-step)),
              validation_metric=base * (1 - math.exp(-step)) * 0.99, learning_rate=1e-4)
        for step in range(1, 8)
    )  # fmt: skip
    rules = [
        {"depth": 0, "condition": "", "leaf": False, "answer": {"ham": 0.7, "spam": 0.3}},
        {"depth": 1, "condition": "subject: free <= 0.5", "leaf": True, "answer": {"ham": 0.93, "spam": 0.07}},
        {"depth": 1, "condition": "subject: free > 0.5", "leaf": True, "answer": {"ham": 0.112, "spam": 0.888}},
    ]
    layers = [
        {"name": "embedding", "kind": "Embedding", "output": [1, 128, 384], "parameters": 11720448, "flops": 0},
        {"name": "head", "kind": "Linear", "output": [1, 2], "parameters": 770, "flops": 1536},
    ]

    gradients = {
        "turn": "weights", "state": "vanishing", "reason": "layer", "layer": "embedding", "share": 3.2e-8, "reach": None, "norm": 0.21,
        "long": 0.0, "clipped": 0.4, "limit": 10.0, "looks": 40,
        "layers": [{"name": "embedding", "norm": 6e-9, "ratio": 1e-9}, {"name": "head", "norm": 0.19, "ratio": 0.02}],
    }  # fmt: skip

    def candidate(name: str, value: float, parameters: int, **more: Any) -> Candidate:
        job = Job(
            fold=0,
            seed=0,
            key="k" * 32,
            folder=f"train/{name}/0-0",
            curve=more.pop("curve", ()),
            facts=more.pop("facts", {}),
            timings={"fit": 3.2, "encode": 0.9},
        )
        return Candidate(name=name, model=name, status="trained", jobs=(job,), validation={metric: estimate(value, spread)},
                         work=Work(parameters=parameters, flops_per_row=parameters * 2.0, bytes=parameters * 4), **more)  # fmt: skip

    worse = -1 if kind == "text" else 1
    return Trained(
        task=prepared(kind).task, metric=metric, greater_is_better=kind == "text", folds=1,
        candidates=(
            candidate("dummy", base + worse * abs(base) * 0.55, 2),
            candidate("linear", base + worse * spread, 412031, explain={"weights": [["subject: free", 3.21], ["subject: re", -2.87]], "strength": 1.0}),
            candidate("decision-tree", base + worse * spread * 4, 31, explain={"rules": rules}),
            candidate("encoder", base, 22713216, curve=curve, facts={"layers": layers, "gradients": [gradients]}),
            Candidate(name="gradient-boosting", model="gradient-boosting", status="skipped", reason="the budget was spent"),
        ),
        weights={"encoder": 0.65, "linear": 0.35, "dummy": 0.0}, validation={metric: estimate(base, spread)}, temperature=1.13,
        threshold=0.41 if kind == "text" else None, threshold_reason="lowest declared cost on validation rows" if kind == "text" else "",
        threshold_curve={"threshold": [0.1, 0.3, 0.41, 0.6, 0.9], "cost": [0.3, 0.12, 0.1, 0.14, 0.4]} if kind == "text" else {}, run=ran(241.0),
    )  # fmt: skip


def evaluated(kind: str, *, passed: bool = True) -> Evaluated:
    text = kind == "text"
    metric, base, spread = ("f1_macro", 0.967, 0.009) if text else ("root_mean_squared_error", 23865.4, 1700.0)
    metrics = {"f1_macro": estimate(0.967, 0.009), "accuracy": estimate(0.972, 0.008), "roc_auc": estimate(0.9943, 0.003), "log_loss": estimate(0.0912, 0.01)} if text else {
        "root_mean_squared_error": estimate(base, spread), "r2": estimate(0.91, 0.02), "mean_absolute_percentage_error": estimate(0.0832, 0.004)}  # fmt: skip
    ramp = [step / 20 for step in range(21)]
    curves = {
        "roc": {"false_positive_rate": ramp, "true_positive_rate": [step**0.2 for step in ramp], "threshold": ramp[::-1]},
        "precision_recall": {"recall": ramp, "precision": [1 - step**6 / 2 for step in ramp], "threshold": ramp[::-1]},
        "calibration": {"probability": [0.05, 0.4, 0.95], "frequency": [0.02, 0.5, 0.97], "low": [0.0, 0.3, 0.94], "high": [0.04, 0.7, 0.99], "rows": [700.0, 40.0, 400.0]},
        "threshold": {"threshold": ramp, "cost": [0.2 + (step - 0.4) ** 2 for step in ramp], "low": [0.15 + (step - 0.4) ** 2 for step in ramp], "high": [0.3 + (step - 0.4) ** 2 for step in ramp]},
    } if text else {
        "predicted": {"true": [100000.0, 150000.0, 300000.0], "predicted": [110000.0, 149000.0, 280000.0]},
        "residual_histogram": {"edge": [-50000.0, 0.0, 50000.0], "rows": [20.0, 30.0]},
    }  # fmt: skip
    fields: dict[str, str | float | None] = {
        "subject": SCRIPT,
        "body": "A long mail. " * 150,
        STRANGE: 12.5,
        "domain": None,
    }
    worst = (
        Mistake(
            row=4021,
            true="spam" if text else 755000.0,
            answer="ham" if text else 481000.0,
            score=0.012 if text else -274000.0,
            fields=fields,
        ),
        Mistake(
            row=12,
            true="ham" if text else 12789.0,
            answer="spam" if text else 90211.0,
            score=0.031 if text else 77422.0,
            fields={"subject": "Re: meeting", "domain": "a.org"},
        ),
    )
    money = {
        name: estimate(value, 0.02)
        for name, value in (
            ("chosen", 0.08),
            ("at_half", 0.11),
            ("never", 1.5),
            ("always", 0.7),
            ("saved", 0.03),
            ("saved_against_never", 1.42),
        )
    }
    sign = 1 if text else -1
    return Evaluated(
        task=prepared(kind).task, kind="classification" if text else "regression", metric=metric, rows=1209, grouped=True,
        greater_is_better={name: name not in ("root_mean_squared_error", "mean_absolute_percentage_error", "log_loss") for name in metrics},
        classes=("ham", "spam") if text else (), positive="spam" if text else None, threshold=0.41 if text else None, metrics=metrics,
        at_half={"f1_macro": estimate(0.961)} if text else {},
        candidates={
            "dummy": Compared(metrics={metric: estimate(base * (0.42 if text else 3.3), spread)}, difference=estimate(sign * base * 0.5, spread), better=True),
            "linear": Compared(metrics={metric: estimate(base * (0.99 if text else 1.1), spread)}, difference=estimate(sign * base * 0.01, spread), better=False),
        },
        slices={"domain": {"a.org": Slice(rows=211, metrics={metric: estimate(base, spread * 2)}), "": Slice(rows=9, metrics={metric: estimate(base * 0.97, spread * 4)})}},
        curves=curves, confusion=Confusion(true=("ham", "spam"), answered=("ham", "spam"), counts=((823, 10), (17, 359))) if text else None, worst=worst,
        money=Money(**money) if text else None,
        gates=(
            Gate(name="evaluate.beats_dummy", demanded=f"{metric} minus the dummy's > 0 with 95% confidence", measured="0.5 (0.49 to 0.51)", passed=True),
            Gate(name=f"evaluate.{metric}", demanded=f"{metric} >= 0.9", measured="0.967 (0.958 to 0.975)", passed=passed, cure="Improve the model or its data."),
        ),
        run=ran(11.2),
    )  # fmt: skip


def audited(kind: str) -> Audited:
    return Audited(
        findings=(
            Finding(name="leakage", status="passed", measured={"share": estimate(0.002, 0.001)}, limits={"share": 0.01}, details={"rows": 1209, "columns": [{"column": "domain", "value": 0.41}]}),
            Finding(name="calibration", status="warning", measured={"expected_calibration_error": estimate(0.031, 0.004)}, limits={"expected_calibration_error": 0.05}),
            Finding(name="robustness", status="passed", measured={"typos": estimate(0.011, 0.003)}, limits={"typos": 0.05}, details={"edits": {"typos": {"share": 0.05}, "missing": {"share": 0.1}}}),
            Finding(name="sensitive", status="skipped", reason="no sensitive columns declared"),
        ),
        run=ran(8.0),
    )  # fmt: skip


def compressed(kind: str) -> Compressed:
    def variant(name: str, size: float, time: float, *, passed: bool = True) -> Variant:
        return Variant(name=name, status="measured", folder=f"compress/{name}", bytes=quantity(size, "B"), agreement=0.9989, alone=1.0, difference=0.0132, metric=0.9661, drop=estimate(0.0008, 0.0015),
                       passed=passed, timings={"row_p50": time, "row_p95": time * 1.3, "open": 0.4, "rows_per_second": 120.0})  # fmt: skip

    return Compressed(
        metric="f1_macro" if kind == "text" else "root_mean_squared_error", greater_is_better=kind == "text", rows=907, rows_seen_in_training=False, trained_metric=0.967,
        trained_bytes=quantity(9.2e7, "B"), variants=(variant("onnx", 9.1e7, 0.021), variant("openvino-int8", 2.4e7, 0.0061), variant("onnx-int8", 2.38e7, 0.0093, passed=False),
                                                     Variant(name="openvino-bf16", status="skipped", reason="this processor has no bf16")),
        chosen="openvino-int8", artifact="compress/openvino-int8", size_ratio=3.83, timings={"trained": {"row_p50": 0.0312, "row_p95": 0.041, "rows_per_second": 44.0}, "speedup": 5.11},
        gates=(Gate(name="compress.parity", demanded="agreement >= 0.995", measured="0.9989 (openvino-int8)", passed=True),), run=ran(61.0),
    )  # fmt: skip


def served(*, late: bool = False) -> Served:
    def level(offered: float, p50: float, sustained: bool) -> Level:
        latency = Latency(
            requests=round(offered * 3),
            p50=quantity(p50, "s"),
            p95=quantity(p50 * 1.8, "s"),
            p99=quantity(p50 * 2.6, "s"),
        )
        return Level(offered=quantity(offered, "request/s"), achieved=quantity(min(offered, 140), "request/s"), requests=round(offered * 3), errors={} if sustained else {"status 503": 12},
                     latency=latency, mean=quantity(p50, "s"), sender_delay=quantity(0.0004, "s"), sustained=sustained)  # fmt: skip

    return Served(
        package_bytes=quantity(2.6e7, "B"), rows_seen=1209, target_p95=quantity(0.1, "s"), level_time=quantity(3, "s"),
        refusals=(Refusal(name="unknown_field", wanted=422, got=422, field="subjekt", passed=True), Refusal(name="not_json", wanted=400, got=400, passed=True)),
        measured_rate=quantity(0 if late else 80, "request/s"), measured_knee=quantity(80, "request/s"),
        measured_latency=Latency(requests=200, p50=quantity(0.0071, "s"), p95=quantity(0.0098, "s"), p99=quantity(0.0133, "s")),
        measured_levels=tuple(level(rate, time, rate <= 80) for rate, time in ((5, 0.0071), (10, 0.0072), (20, 0.0075), (40, 0.0083), (80, 0.0121), (160, 0.31))),
        measured_cold_start=quantity(1.42, "s"), measured_memory=quantity(3.1e8, "B"), measured_stages={"read": 0.0001, "check": 0.0002, "wait": 0.0011, "predict": 0.0051, "write": 0.0001},
        gates=(Gate(name="serve.p95", demanded="some rate sustained with p95 <= 100 ms", measured="80 request/s sustained", passed=not late, cure="Allow more time."),), run=ran(24.0),
    )  # fmt: skip


def _three(likely: float, unit: str, low: float = 0.8, high: float = 1.3) -> ByScenario:
    return ByScenario(
        low=Quantity(likely * low, unit), likely=Quantity(likely, unit), high=Quantity(likely * high, unit)
    )


def running_of(model: Venture, venturing: Business) -> Running:
    """Everything that the running part of the record can hold."""
    variants = tuple(
        Variant(name=name, status="measured", metric=metric, timings={"row_p95": p95, "rows_per_second": rate})
        for name, metric, p95, rate in (
            ("int8", 0.95, 0.002, 900.0),
            ("fp32", 0.97, 0.004, 300.0),
            ("slow", 0.96, 0.006, 200.0),
        )
    )
    record = Compressed(
        metric="f1_macro", greater_is_better=True, rows=100, rows_seen_in_training=False, trained_metric=0.97, trained_bytes=Quantity(1.0, "B"),
        chosen="int8", artifact="artifact", size_ratio=1.0, variants=variants,
    )  # fmt: skip
    found = running(
        Solved.of(model), venturing, facts(), {"compress": record}, folder=Path(), cores=2, instructions="avx2"
    )

    def a_month(price: float) -> Quantity:
        return quantity(price, "USD/customer/month")

    meter = Meter(
        persons=40, cheapest=a_month(9), dearest=a_month(31), optimal=a_month(17), indifferent=a_month(21), prices=(5.0, 20.0, 40.0),
        too_cheap=(1.0, 0.2, 0.0), cheap=(1.0, 0.6, 0.1), expensive=(0.0, 0.5, 1.0), too_expensive=(0.0, 0.1, 0.9),
    )  # fmt: skip
    willing = Willing(
        persons=40, prices=(10.0, 20.0, 30.0), buying=(0.8, 0.6, 0.2), revenue_price=a_month(20), margin_price=a_month(20), low=a_month(20), high=a_month(30),
    )  # fmt: skip
    return found.model_copy(
        update={"survey": Surveyed(source="a mail to <everybody>", date="2026-10-01", meter=meter, willing=willing)}
    )


def valued() -> Valued:
    def cash(growth: float) -> Cash:
        values = tuple(150000.0 - 6500 * month + growth * month**2 for month in range(1, 37))
        columns = {
            name: CashColumn(unit=unit, values=tuple(value * scale for value in values))
            for name, unit, scale in (
                ("cash", "USD", 1.0),
                ("customers", "customer", 0.001),
                ("revenue", "USD/month", 0.1),
                ("net", "USD/month", -0.02),
            )
        }
        return Cash(
            columns=columns,
            opening_cash=quantity("145000 USD"),
            break_even_month=23 if growth > 100 else None,
            repaid_month=None,
            lowest_cash=Quantity(min(values), "USD"),
            lowest_month=20,
            runway=None if growth > 100 else 31,
        )

    venturing = Business.model_validate(
        {
            "rounds": ({"name": "seed", "month": 6, "raised": 1e5, "pre_money": 1e6, "pool": 0.1},),
            "draws": 1000,
            "stresses": ({"name": "a flood", "factors": {"people": 1.5}},),
            "alternatives": (
                {"name": "an <API>", "price": 0.4, "source": "its page", "date": "2026-11-01"},
                {"name": "by tokens", "price": 3, "unit": "word", "source": "its page", "date": "2026-11-01"},
            ),
        }
    )
    model = planning.venture(venturing, facts())
    plan = PlanValue(
        name="starter", share=0.7, usage=_three(30000, "request/customer/month"), revenue=_three(29, "USD/customer/month"), machine_cost=_three(0.21, "USD/customer/month"),
        payment_cost=_three(1.14, "USD/customer/month"), support_cost=_three(4, "USD/customer/month"), cost=_three(5.35, "USD/customer/month"), gross_margin=_three(0.815, ""),
        price_floor=_three(5.9, "USD/customer/month"), overage_floor=_three(0.0000071, "USD/request"),
    )  # fmt: skip
    return Valued(
        currency="USD", months=36, machine="aws-m7i-large",
        assumptions=(Assumption(path="business.churn", unit="1/month", low=0.03, likely=0.04, high=0.07, unfavourable="high", default=True, source="small-business SaaS", date="2026-11-22"),),
        rates=(Rate(origin="rates/machines.toml: aws-m7i-large", value=quantity("0.1008 USD/h"), source="AWS price list", date="2026-11-01"),),
        measured_costs=MachineCosts(machine_month=_three(73.6, "USD/month"), capacity=_three(32, "request/s"), per_request=_three(8.75e-7, "USD/request"), per_thousand=_three(8.75e-4, "USD/kilorequest"), carbon=_three(0.41, "gram/kilorequest")),
        measured_plans=(plan,),
        measured_unit_economics=UnitEconomics(
            arpa=_three(65, "USD/customer/month"), cost=_three(9, "USD/customer/month"), gross_margin=_three(0.861, ""), churn=_three(0.04, "1/month"), lifetime=_three(25, "month"), ltv=_three(1400, "USD/customer"),
            cac=_three(250, "USD/customer"), ltv_to_cac=_three(5.6, ""), payback=_three(4.4, "month"), break_even_customers=_three(118, "customer"),
        ),
        measured_build=Build(machine_time=quantity("361 s"), machine_cost=_three(0.0101, "USD"), other=_three(5000, "USD"), total=_three(5000.01, "USD")),
        measured_cash=CashByScenario(low=cash(40), likely=cash(150), high=cash(260)),
        measured_returns=valuing.returns(Solved.of(model)), measured_running=running_of(model, venturing), measured_owners=valuing.owners(venturing), measured_outlook=valuing.outlook(model, venturing),
        workbook="business/venture.xlsx",
        measured_remarks=(Remark(code="all_assumed"), Remark(code="cash_runs_out", subject="low", given=quantity("31 month"))),
        trace={"measured_costs.per_request": Trace(kind="computed", formula="machine price ÷ (rate × speed × utilisation)", source="definition", inputs=("rates.machine_price",))}, run=ran(0.2),
    )  # fmt: skip


BLUEPRINT = """\
# Every value this build used.
name: mail-spam
task: text-classification
business:
  currency: USD
  plans:
  - {name: starter, price: 29.0, included: 50000.0, overage: 0.0008, share: 0.7}
report: {language: en}
"""


def make(
    folder: Path, kind: str = "text", *, stages: int = 8, passed: bool = True, late: bool = False, forced: bool = False
) -> Path:
    """Write a build of the first `stages` stages; `passed=False` fails a gate of `evaluate`, `late` one of `serve`."""
    package = Packaged(
        name="mail-spam", version="1.0.0", archive="mail-spam-1.0.0.tar.gz", hash="c" * 64, archive_hash="d" * 64, bytes=quantity(26012345.0, "B"), archive_bytes=quantity(21e6, "B"),
        files={"artifact.json": 2101, "members/encoder-0/model.xml": 811023}, sessions=("openvino", "native"), requirements=("numpy==2.4.6", "openvino==2026.4.1"),
        installed=quantity(3.1e8, "B"), refused=forced, measured_cold_start=quantity(1.34, "s"), run=ran(1.0),
        gates=(Gate(name="package.size", demanded="installed for serving < 600 MB", measured="310 MB", passed=True),),
    )  # fmt: skip
    records = [
        prepared(kind),
        trained(kind),
        evaluated(kind, passed=passed),
        audited(kind),
        compressed(kind),
        package,
        served(late=late),
        valued(),
    ]
    for name, record in list(
        zip(("prepare", "train", "evaluate", "audit", "compress", "package", "serve", "business"), records, strict=True)
    )[:stages]:
        write_json(folder / f"{name}.json", record.model_dump(mode="json"))
    write_text(folder / "blueprint.resolved.yaml", BLUEPRINT)
    write_json(folder / "decisions.json", {"precision.encoder": "bf16"})
    return folder
