"""The stage as a whole: a default venture, traces, gates, remarks, and what must not change when only clocks do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.blueprint import Blueprint
from modelyard.blueprint.business import Business
from modelyard.blueprint.reading import dump
from modelyard.business import run
from modelyard.business.trace import formulas
from modelyard.context import Context
from modelyard.errors import BlueprintError
from modelyard.records import Record, without_times
from modelyard.records.served import Served
from modelyard.records.valued import SCENARIOS, Valued, trace_key
from modelyard.store import Store
from modelyard.units import quantity

Venture = Callable[..., Valued]
ROOT = Path(__file__).parents[2]


def numbers(value: Any, path: str = "") -> Iterator[str]:
    """Paths of all numbers and quantities in the measured part of a record."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("name", "unit", "code", "subject", "given", "wanted", "path"):
                yield from numbers(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from numbers(inner, f"{path}.{number}")
    elif value is not None:
        yield path


def plain(given: Any) -> float:
    return quantity(given).value


def test_out_of_the_box_the_venture_is_sensible(venture: Venture) -> None:
    record = venture()
    economics, cash = record.measured_unit_economics, record.measured_cash
    assert economics is not None and cash is not None
    assert economics.gross_margin.likely is not None and 0.5 < economics.gross_margin.likely.value < 0.98
    assert economics.ltv_to_cac.likely is not None and 3 < economics.ltv_to_cac.likely.value < 10
    assert economics.payback.likely is not None and 1 < economics.payback.likely.value < 12
    assert cash.likely.break_even_month is not None and 12 <= cash.likely.break_even_month <= 30
    assert cash.low.runway is not None and cash.likely.runway is None
    assert record.machine == "aws-c7i-large"
    assert "all_assumed" in {remark.code for remark in record.measured_remarks}
    assert all(one.default for one in record.assumptions)
    assert all(gate.passed for gate in record.gates)


def test_the_cost_of_a_request_by_hand(venture: Venture) -> None:
    """0.36 USD/h, 100 request/s at half load: 0.0001 USD/s ÷ 50 request/s = 2e-6 USD, 0.002 USD for 1,000."""
    record = venture("{machine_price: 0.36, utilisation: 0.5, relative_speed: 1}")
    costs = record.measured_costs
    assert costs is not None and costs.per_request.likely is not None and costs.per_thousand.likely is not None
    assert costs.per_request.likely.to("USD/request") == pytest.approx(2e-6)
    assert costs.per_thousand.likely.to("USD/kilorequest") == pytest.approx(0.002)
    assert costs.machine_month.low is not None and costs.machine_month.low.to("USD/month") == pytest.approx(0.36 * 730)


def test_the_build_is_paid_with_measured_time(venture: Venture) -> None:
    build = venture("{machine_price: 2, build_cost: 100}").measured_build
    assert build is not None and build.total.likely is not None
    assert build.machine_time.to("h") == pytest.approx(1)
    assert build.total.likely.to("USD") == pytest.approx(102)


def test_an_earlier_business_record_is_not_paid_again(
    tmp_path: Path, load: Callable[[float], Served], parse: Callable[[str], Blueprint]
) -> None:
    records: dict[str, Record] = {"serve": load(100.0)}
    first = run(Context(parse("{}"), Store(tmp_path), records=dict(records)))
    records["business"] = first.model_copy(update={"run": records["serve"].run})
    again = run(Context(parse("{}"), Store(tmp_path), records=records))
    assert again.measured_build == first.measured_build


def test_scenarios_are_ordered(venture: Venture) -> None:
    record = venture()
    economics, cash = record.measured_unit_economics, record.measured_cash
    assert economics is not None and cash is not None and record.measured_costs is not None
    for name in ("ltv", "ltv_to_cac"):
        low, likely, high = (plain(getattr(getattr(economics, name), scenario)) for scenario in SCENARIOS)
        assert low < likely < high, name
    low, likely, high = (plain(getattr(record.measured_costs.per_request, scenario)) for scenario in SCENARIOS)
    assert low > likely > high  # the low scenario is the dear one
    ends = [getattr(cash, scenario).columns["cash"].values[-1] for scenario in SCENARIOS]
    assert ends == sorted(ends)


def test_every_number_can_be_traced(venture: Venture) -> None:
    record = venture()
    document = json.loads(record.model_dump_json())
    paths = [path for key in document if key.startswith("measured_") for path in numbers(document[key], key)]
    assert len(paths) > 1000
    missing = {
        key
        for key in {trace_key(path) for path in paths} - set(record.trace)
        if not any(key.startswith(f"{begun}.") for begun in record.trace)
    }
    assert not missing - {"measured_remarks.code"}


@pytest.mark.parametrize(
    "section", ["{}", "{machine_price: 0.1, minimum_margin: 0.5}", "{currency: EUR, exchange_rate: 0.9}"]
)
def test_every_trace_ends_in_something_read(section: str, venture: Venture) -> None:
    record = venture(section)

    def leaves(key: str, seen: frozenset[str] = frozenset()) -> set[str]:
        step = record.trace[key]
        inputs = [one for one in step.inputs if one not in seen]
        return {key} if not step.inputs else set().union(*(leaves(one, seen | {key}) for one in inputs))

    for key, step in record.trace.items():
        assert step.source, key
        for leaf in leaves(key):
            found = record.trace[leaf]
            assert found.kind in ("measured", "rate", "assumed"), (key, leaf)
            if found.kind == "assumed":
                field = found.origin.split(".")[1]
                assert field in Business.model_fields, leaf
            if found.kind == "rate":
                assert re.search(r"\d{4}-\d\d-\d\d", found.source), leaf
    assert "serve.measured_rate" in leaves("measured_cash.cash")
    assert "measured_rate" in Served.model_fields


def test_formulas_are_in_the_document() -> None:
    text = (ROOT / "docs" / "business.md").read_text(encoding="utf-8")
    for key, row in formulas().items():
        assert row["formula"] == "read" or row["formula"] in text, key


def test_clocks_change_only_measured_fields(venture: Venture) -> None:
    slow, fast = venture(rate=30), venture(rate=300)
    drop = {"gates"}  # for people: they hold what was measured in words
    slow_facts, fast_facts = without_times(slow), without_times(fast)
    assert {k: v for k, v in slow_facts.items() if k not in drop} == {
        k: v for k, v in fast_facts.items() if k not in drop
    }
    assert slow.measured_costs != fast.measured_costs


def test_a_resolved_blueprint_gives_the_same_record(venture: Venture, parse: Callable[[str], Blueprint]) -> None:
    for section in ("{}", "{currency: CNY, exchange_rate: 7.1, churn: 0.02}"):
        resolved = dump(parse(section))
        again = Blueprint.parse(resolved).business
        assert again == parse(section).business
        assert venture(again.model_dump_json()) == venture(section)


def test_the_record_survives_json(venture: Venture) -> None:
    record = venture("{months: 6}")
    assert Valued.model_validate(json.loads(record.model_dump_json())) == record


def test_currency_changes_no_ratio(venture: Venture) -> None:
    dollar, yuan = (
        venture().measured_unit_economics,
        venture("{currency: CNY, exchange_rate: 7}").measured_unit_economics,
    )
    assert dollar is not None and yuan is not None
    for name in ("gross_margin", "ltv_to_cac", "payback", "break_even_customers"):
        assert plain(getattr(dollar, name).likely) == pytest.approx(plain(getattr(yuan, name).likely)), name
    assert plain(yuan.arpa.likely) == pytest.approx(7 * plain(dollar.arpa.likely))


def test_no_sustained_rate_has_no_price(venture: Venture) -> None:
    record = venture(rate=0.0)
    gate = next(gate for gate in record.gates if gate.name == "business.rate")
    assert not gate.passed and gate.cure
    assert record.measured_costs is None and record.measured_cash is None and record.measured_plans == ()


@pytest.mark.parametrize(("demanded", "passed"), [(0.5, True), (0.99, False)])
def test_the_margin_gate(demanded: float, passed: bool, venture: Venture) -> None:
    gates = {gate.name: gate for gate in venture(f"{{minimum_margin: {demanded}}}").gates}
    assert gates["business.margin"].passed is passed
    assert "business.margin" not in {gate.name for gate in venture().gates}


def test_the_memory_gate(venture: Venture) -> None:
    assert not all(gate.passed for gate in venture("{machine: aws-c7i-large}", memory="5 GiB").gates)
    assert all(gate.passed for gate in venture(memory="5 GiB").gates)


def codes(record: Valued) -> set[tuple[str, str]]:
    return {(remark.code, remark.subject) for remark in record.measured_remarks}


def test_remarks_fire_and_keep_silent(venture: Venture) -> None:
    clean = codes(venture("{churn: 0.02, people: 100, tools: 10}"))
    assert clean == set()
    plan = "{name: cheap, price: 1, included: 10, overage: 0.00000001, share: 1, usage: 100}"
    bad = codes(venture(f"{{plans: [{plan}], machine: nebius-e2-2vcpu-8gb}}", rate=1.0))
    assert {("plan_below_cost", "cheap"), ("overage_below_cost", "cheap"), ("ltv_to_cac_low", "")} <= bad
    assert {
        ("machine_older", "nebius-e2-2vcpu-8gb"),
        ("cash_runs_out", "likely"),
        ("never_breaks_even", "high"),
    } <= bad
    assert ("payback_slow", "") in codes(venture("{cac: 5000}"))


def test_a_machine_of_the_user_is_no_derived_value(venture: Venture) -> None:
    assert venture("{machine: aws-m7i-large}").derived == ()
    derived = venture().derived[0]
    assert (derived.path, derived.value) == ("business.machine", "aws-c7i-large")


def test_a_gpu_without_known_power_has_no_carbon(venture: Venture) -> None:
    unknown = venture("{machine: nebius-l40s-8vcpu-32gb}").measured_costs
    known = venture("{machine: nebius-h100-16vcpu-200gb}").measured_costs
    assert unknown is not None and unknown.carbon is None
    assert known is not None and known.carbon is not None and known.carbon.likely is not None
    assert known.carbon.likely.unit == "gCO2e/kilorequest"


def test_cleaner_electricity_emits_less(venture: Venture) -> None:
    dirty, clean = venture("{grid: IND}").measured_costs, venture("{grid: SWE}").measured_costs
    assert dirty is not None and clean is not None and dirty.carbon is not None and clean.carbon is not None
    assert plain(clean.carbon.likely) < plain(dirty.carbon.likely)


def test_nobody_uses_it(venture: Venture) -> None:
    record = venture("{plans: [{name: idle, price: 10, share: 1, usage: 0}], new_customers: 0}")
    assert record.measured_cash is not None and record.measured_unit_economics is not None
    assert set(record.measured_cash.likely.columns["customers"].values) == {0.0}
    assert record.measured_unit_economics.break_even_customers.likely is not None


TOKENS = {"input token": "20 input_token/request", "output token": "50 output_token/request"}
PAID_BY_USE = """
machine_price: 0.36
utilisation: 0.5
relative_speed: 1
hosting_overhead: 0.25
payment_share: 0.03
minimum_margin: 0.47
plans: [{name: use, price: 0, share: 1, usage: 10000, prices: {input token: 0.1, output token: 0.5}}]
"""


def _use(text: str = PAID_BY_USE) -> str:
    return "\n" + "\n".join(f"  {line}" for line in text.strip().splitlines())


def test_tokens_read_and_written_have_costs_of_their_own(venture: Venture) -> None:
    """A request costs 2e-6 x 1.25 USD; a fifth of its time is reading: 20 tokens cost 0.5e-6, 50 written ones 2e-6."""
    record = venture(_use(), units=TOKENS, reading=0.2)
    read, written = record.measured_units
    assert (read.unit, read.lot, written.unit) == ("input token", 1_000_000, "output token")
    assert read.cost.likely is not None and read.cost.likely.to("USD/megainput_token") == pytest.approx(0.025)
    assert written.cost.likely is not None and written.cost.likely.to("USD/megaoutput_token") == pytest.approx(0.04)
    assert read.price_floor.likely is not None and read.price_floor.likely.value == pytest.approx(0.05)
    whole = read.cost.likely.value * 20 / 1e6 + written.cost.likely.value * 50 / 1e6
    assert whole == pytest.approx(2.5e-6), "together they are what a request costs"


def test_a_plan_may_charge_by_use_alone(venture: Venture) -> None:
    """10,000 requests of 20 tokens at 0.1 and 50 at 0.5 USD a million: 0.02 + 0.25 USD; both above their floors."""
    record = venture(_use(), units=TOKENS, reading=0.2)
    (plan,) = record.measured_plans
    assert plan.revenue.likely is not None and plan.revenue.likely.value == pytest.approx(0.27)
    assert "unit_below_cost" not in {remark.code for remark in record.measured_remarks}
    cheap = venture(_use(PAID_BY_USE.replace("output token: 0.5", "output token: 0.05")), units=TOKENS, reading=0.2)
    told = [remark for remark in cheap.measured_remarks if remark.code == "unit_below_cost"]
    assert [remark.subject for remark in told] == ["use: output token"]
    assert told[0].wanted is not None and told[0].wanted.value == pytest.approx(0.08)


def test_images_are_priced_by_the_thousand(venture: Venture) -> None:
    record = venture(units={"image": "1 image/request"})
    (image,) = record.measured_units
    costs = record.measured_costs
    assert costs is not None and costs.per_thousand.likely is not None and image.cost.likely is not None
    assert (image.lot, image.share) == (1000, 1.0)
    assert image.cost.likely.value == pytest.approx(costs.per_thousand.likely.value * 1.3), "hosting overhead is 0.3"


def test_a_unit_that_nobody_sells_is_refused_before_anything_runs() -> None:
    text = "name: demo\ntask: text-generation\ndata: {source: rows.csv, target: label}\nbusiness:" + _use()
    Blueprint.parse(text)
    with pytest.raises(
        BlueprintError, match="no unit of sale 'image': text-generation sells input token, output token"
    ):
        Blueprint.parse(text.replace("input token: 0.1", "image: 0.1"))
