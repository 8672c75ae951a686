"""How the service would run: a week's demand, the catalogue, buying instead, variants and surveys, each against arithmetic by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelyard.blueprint import Blueprint
from modelyard.blueprint.reading import dump, with_rates
from modelyard.business import rates, run
from modelyard.business.costs import MONTH
from modelyard.context import Context
from modelyard.errors import BlueprintError, UserError
from modelyard.records.compressed import Compressed, Variant
from modelyard.records.running import Running
from modelyard.records.served import Served
from modelyard.records.valued import Valued
from modelyard.store import Store
from modelyard.units import Quantity

ONE_PLAN = "plans: [{name: only, price: 20, included: 100000, share: 1, usage: 90000}]"
SIMPLE = f"{ONE_PLAN}, draws: 1000, relative_speed: 1, utilisation: 0.5, hosting_overhead: 0, machine_price: 0.1, minimum_machines: 1, build_cost: 0"
FLAT = f"week: {{hours: [{', '.join(['1'] * 24)}], days: [1, 1, 1, 1, 1, 1, 1], headroom: 0.5}}"
ROW = 'provider = "a rack"\ncores = 64\nmemory = 256\ninstructions = "avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_int8"\ndate = "2026-11-01"\nsource = "a bill"\n'


@pytest.fixture
def valued(tmp_path: Path, parse: Callable[[str], Blueprint], load: Callable[[float], Served]) -> Callable[..., Valued]:
    def make(section: str, rate: float = 100.0, **records: Any) -> Valued:
        return run(Context(parse(section), Store(tmp_path / "build"), records={"serve": load(rate), **records}))

    return make


def part(record: Valued) -> Running:
    assert record.measured_running is not None
    return record.measured_running


def of(given: Quantity | None, unit: str) -> float:
    assert given is not None
    return given.to(unit)


def test_a_flat_week_takes_what_the_mean_takes(valued: Callable[..., Valued]) -> None:
    record = valued(f"{{{SIMPLE}, {FLAT}, starting_customers: 4000, months: 12}}")
    demand = part(record).demand
    assert demand.peak == pytest.approx(1.0) and len(demand.shape) == 168 and demand.assumed == 0.5
    (month,) = demand.months
    cash = record.measured_cash
    assert cash is not None and month.month == 12
    customers = cash.likely.columns["customers"].values[-1]
    mean = customers * 90_000 / MONTH.value
    assert month.demand.value == pytest.approx(mean, rel=1e-4)
    needed = -(-mean // 50)  # 100 a second, half of a machine is kept free
    assert month.fixed == month.following == needed
    assert of(month.fixed_cost, "USD/month") == pytest.approx(needed * 73.0)
    assert month.fixed_busy == pytest.approx(mean / (needed * 100), rel=1e-4)


def test_machines_that_follow_the_hours_cost_less(valued: Callable[..., Valued]) -> None:
    for month in part(valued(f"{{{SIMPLE}, starting_customers: 20000, months: 24}}")).demand.months:
        assert month.fixed == month.following > 1
        assert month.following_cost.value < 0.9 * month.fixed_cost.value
        assert month.following_busy > month.fixed_busy


def test_the_catalogue(valued: Callable[..., Valued]) -> None:
    listed = part(valued(f"{{{ONE_PLAN}, draws: 1000, utilisation: 0.5, hosting_overhead: 0.2}}")).machines
    known = [one for one in listed if one.per_thousand is not None]
    assert known and [one.price.value for one in known] == sorted(one.price.value for one in known)
    for one in known:
        hour = one.price.to("USD/h")
        assert of(one.per_thousand, "USD/kilorequest") == pytest.approx(hour * 1.2 / 3600 / 50 * 1000)
    assert [one.machine for one in listed if one.chosen] == ["aws-c7i-large"]
    spot = next(one for one in listed if one.machine == "gcp-c3d-standard-4" and one.rent == "spot")
    assert spot.price.to("USD/h") == pytest.approx(0.02745)
    assert spot.per_thousand is None  # no AMX: its rate is not known
    assert all(rates.machine(one.machine).accelerator is None for one in listed)


def test_a_table_of_ones_own(valued: Callable[..., Valued], tmp_path: Path) -> None:
    table = tmp_path / "prices.toml"
    table.write_text(f"[my-rack]\n{ROW}price = 0.02\nreserved_1_year = 0.01\n")
    record = valued(f"{{rates: {table}, machine: my-rack, rent: reserved-1-year, draws: 1000}}")
    assert record.machine == "my-rack" and record.rates[0].origin == "prices.toml: my-rack, reserved-1-year"
    assert record.rates[0].value.to("USD/h") == pytest.approx(0.01) and record.rates[0].source == "a bill"
    assert [one.rent for one in part(record).machines if one.machine == "my-rack"] == ["reserved-1-year", "on-demand"]
    cheapest = valued(f"{{rates: {table}, draws: 1000}}")
    assert cheapest.machine == "my-rack"  # chosen by itself: the cheapest that is no smaller


@pytest.mark.parametrize(
    ("table", "section", "told"),
    [
        (None, "{rates: nowhere.toml}", "business.rates: the price table .*nowhere.toml cannot be read"),
        ("price = ", "{rates: prices.toml}", "business.rates: .* is not valid TOML"),
        ("[a]\nprice = 1\n", "{rates: prices.toml}", "machine a: provider: .*allowed: provider, cores"),
        (f"[a]\n{ROW}price = -1\n", "{rates: prices.toml}", "machine a: price: .*greater than 0"),
        (f"[a]\n{ROW}price = 1\ncolour = 2\n", "{rates: prices.toml}", "machine a: colour"),
        ("a = 3\n", "{rates: prices.toml}", "a must be a table such as"),
        (f"[a]\n{ROW}price = 1\n", "{rates: prices.toml, machine: b}", "business.machine: no machine 'b'"),
        (f"[a]\n{ROW}price = 1\n", "{rates: prices.toml, machine: a, rent: spot}", "business.rent: .*no price of a for business.rent: spot. It has on-demand"),
        (None, "{machine: aws-c7i-large, rent: spot}", "business.rent: .*no price of aws-c7i-large"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be(
    table: str | None, section: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if table is not None:
        (tmp_path / "prices.toml").write_text(table)
    text = f"name: demo\ntask: text-classification\ndata: {{source: rows.csv, target: label}}\nbusiness: {section}\n"
    with pytest.raises(BlueprintError, match=told):
        Blueprint.parse(text, folder=tmp_path)


def test_a_table_from_the_command_line(parse: Callable[[str], Blueprint], tmp_path: Path) -> None:
    table = tmp_path / "prices.toml"
    table.write_text(f"[my-rack]\n{ROW}price = 0.02\n")
    found = with_rates(parse("{}"), table)
    assert found.business.rates == str(table) and found.folder == parse("{}").folder
    assert f"rates: {table}" in dump(found)
    table.write_text("[")
    with pytest.raises(BlueprintError, match=r"rates: .* is not valid TOML"):
        with_rates(parse("{}"), table)


# -- buying instead --------------------------------------------------------------------------------------------------------


def api(price: float, **more: Any) -> str:
    keys = ", ".join(f"{key}: {value}" for key, value in more.items())
    return f"alternatives: [{{name: an API, price: {price}, source: its page, date: 2026-11-01{', ' + keys if keys else ''}}}]"


def test_build_or_buy_by_hand(valued: Callable[..., Valued]) -> None:
    (one,) = part(
        valued(f"{{{SIMPLE}, {api(0.01)}, starting_customers: 1000, new_customers: 0, churn: 0, months: 6}}")
    ).bought
    assert of(one.bought, "USD/kilorequest") == pytest.approx(0.01)
    # 1,000 customers x 90,000 requests: 34.2 a second on one machine of 50; 73 USD a month for 90 million requests
    assert of(one.own, "USD/kilorequest") == pytest.approx(73 / 90_000)
    assert of(one.break_even, "request/month") == pytest.approx(73 / 0.00001)
    assert of(one.saved, "USD") == pytest.approx(6 * (900 - 73), rel=1e-3)
    assert one.repaid == 1


def test_where_buying_is_cheaper(valued: Callable[..., Valued]) -> None:
    (one,) = part(valued(f"{{{SIMPLE}, {api(0.0001)}, starting_customers: 10, months: 6}}")).bought
    assert one.break_even is None and one.repaid is None
    assert of(one.saved, "USD") < 0


def test_units_of_sale_that_are_not_measured(valued: Callable[..., Valued]) -> None:
    (unknown,) = part(valued(f"{{{SIMPLE}, {api(2, unit='input token')}}}")).bought
    assert unknown.bought is None and unknown.own is None and unknown.saved is None
    (known,) = part(valued(f"{{{SIMPLE}, {api(2, unit='input token', per_request=500)}}}")).bought
    assert of(known.bought, "USD/kilorequest") == pytest.approx(1.0)


# -- variants --------------------------------------------------------------------------------------------------------------


def compressed(*variants: tuple[str, float, float, float], greater: bool = True) -> Compressed:
    return Compressed(
        metric="f1_macro" if greater else "mae", greater_is_better=greater, rows=100, rows_seen_in_training=False, trained_metric=0.9,
        trained_bytes=Quantity(1.0, "B"), chosen=variants[0][0], artifact="artifact", size_ratio=1.0,
        variants=tuple(
            Variant(name=name, status="measured", metric=metric, timings={"row_p95": p95, "rows_per_second": rate})
            for name, metric, p95, rate in variants
        ),
    )  # fmt: skip


def test_what_a_point_of_quality_costs(valued: Callable[..., Valued]) -> None:
    record = compressed(("int8", 0.90, 0.002, 100.0), ("fp32", 0.92, 0.004, 50.0), ("slow", 0.91, 0.005, 25.0))
    front = part(valued(f"{{{SIMPLE}}}", compress=record)).front
    assert front is not None
    each = 0.1 / 3600 / 50 * 1000  # of the chosen one, which is int8
    assert [one.per_thousand.to("USD/kilorequest") for one in front.points] == pytest.approx([each, 2 * each, 4 * each])
    assert [one.front for one in front.points] == [True, True, False] and [one.chosen for one in front.points] == [
        True,
        False,
        False,
    ]
    (step,) = front.steps
    assert (step.cheaper, step.better) == ("int8", "fp32") and step.quality == pytest.approx(0.02)
    assert step.point.to("USD/kilorequest") == pytest.approx(each / 2) and step.latency.to("s") == pytest.approx(0.002)


def test_a_front_of_errors_and_one_that_is_best_in_all(valued: Callable[..., Valued]) -> None:
    record = compressed(("int8", 2.0, 0.002, 100.0), ("fp32", 2.5, 0.004, 50.0), greater=False)
    front = part(valued(f"{{{SIMPLE}}}", compress=record)).front
    assert front is not None and [one.front for one in front.points] == [True, False] and front.steps == ()
    assert [one.quality for one in front.points] == [2.0, 2.5]
    assert part(valued(f"{{{SIMPLE}}}", compress=compressed(("only", 1.0, 0.1, 10.0)))).front is None


# -- surveys ---------------------------------------------------------------------------------------------------------------

ASKED = "source: a mail to customers, date: 2026-10-01"


def survey(tmp_path: Path, rows: list[str], columns: str = "too_cheap,cheap,expensive,too_expensive,highest") -> Path:
    path = tmp_path / "survey.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


def test_both_questions(valued: Callable[..., Valued], tmp_path: Path) -> None:
    rows = [
        f"{5 + at},{8 + at},{15 + at},{20 + at},{price}"
        for at, price in enumerate([10, 10, 20, 20, 20, 20, 30, 30, 0, 0])
    ]
    path = survey(tmp_path, rows)
    found = part(valued(f"{{{SIMPLE}, survey: {{file: {path}, prices: [10, 20, 30], {ASKED}}}}}")).survey
    assert found is not None and found.meter is not None and found.willing is not None
    assert found.willing.buying == (0.8, 0.6, 0.2) and found.willing.revenue_price == Quantity(
        20.0, "USD/customer/month"
    )
    assert found.willing.low <= found.willing.margin_price <= found.willing.high
    assert found.meter.cheapest < found.meter.optimal < found.meter.dearest
    assert len(found.meter.prices) == len(found.meter.cheap) and found.meter.persons == 10


@pytest.mark.parametrize(
    ("columns", "rows", "prices", "told"),
    [
        ("too_cheap,cheap", ["1,2"] * 12, "", "lacks the column expensive, too_expensive"),
        ("age", ["1"] * 12, "", "has the columns age. Give too_cheap"),
        ("highest", ["10"] * 3, "prices: [10, 20], ", "has 3 persons. At least 10"),
        ("highest", ["10"] * 12, "", "say in business.survey.prices"),
        ("highest", ["10"] * 11 + ["11"], "prices: [10, 20], ", "11 in highest is none of the prices"),
        ("highest", ["10"] * 11 + ["ten"], "prices: [10, 20], ", "person 12: highest must be a price"),
        ("highest", ["10"] * 11 + ["-1"], "prices: [10, 20], ", "person 12: highest must be a price"),
        ("too_cheap,cheap,expensive,too_expensive", ["1,2,3,4"] * 11 + ["4,3,2,1"], "", "person 12: prices must rise"),
        ("highest", ["10"] * 12, "prices: [20, 10], ", "must rise"),
    ],
)  # fmt: skip
def test_surveys_that_cannot_be(
    columns: str, rows: list[str], prices: str, told: str, tmp_path: Path, parse: Callable[[str], Blueprint]
) -> None:
    path = survey(tmp_path, rows, columns)
    with pytest.raises(BlueprintError, match=told):
        parse(f"{{survey: {{file: {path}, {prices}{ASKED}}}}}")


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("{week: {hours: [1, 2]}}", "at least 24"),
        ("{week: {days: [0, 0, 0, 0, 0, 0, 0]}}", "above 0 somewhere"),
        ("{week: {headroom: 1}}", "less than 1"),
        ("{alternatives: [{name: a, price: 0, source: s, date: 2026-01-01}]}", "greater than 0"),
        ("{alternatives: [{name: a, price: 1, source: s, date: yesterday}]}", "must be a date"),
        ("{alternatives: [{name: a, price: 1, source: s, date: 2026-01-01}, {name: a, price: 2, source: s, date: 2026-01-01}]}", "two alternatives have the name 'a'"),
        ("{survey: {file: nowhere.csv, source: s, date: 2026-01-01}}", "cannot be read as CSV"),
    ],
)  # fmt: skip
def test_nonsense_names_its_line(section: str, told: str, parse: Callable[[str], Blueprint]) -> None:
    with pytest.raises(BlueprintError, match=told) as caught:
        parse(section)
    assert ":3: business" in str(caught.value)


def test_the_stage_is_stale_when_a_file_of_it_changes(tmp_path: Path) -> None:
    """Fingerprints are of the contents, not of the names."""
    from modelyard.run import _Engine

    table = tmp_path / "prices.toml"
    text = f"name: demo\ntask: text-classification\ndata: {{source: rows.csv, target: label}}\nbusiness: {{rates: {table}}}\n"
    keys = []
    for price in (0.02, 0.02, 0.03):
        table.write_text(f"[my-rack]\n{ROW}price = {price}\n")
        engine = _Engine(
            Blueprint.parse(text, folder=tmp_path), Store(tmp_path / "build"), frame=None, force=False, progress=None
        )  # type: ignore[arg-type]
        stage = next(one for one in __import__("modelyard.run").run.STAGES if one.name == "business")
        keys.append(engine._key(stage)[0])
    assert keys[0] == keys[1] != keys[2]


def test_every_number_is_written_as_json(valued: Callable[..., Valued]) -> None:
    document = json.loads(valued(f"{{{SIMPLE}, {api(1)}}}").model_dump_json())
    assert document["measured_running"]["demand"]["months"][0]["fixed"] >= 1
    with pytest.raises(UserError, match="no machine 'nothing'"):
        rates.machine("nothing")
