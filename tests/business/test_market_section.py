"""The blueprint's `market`: nonsense refused with its line; sizes, adoption and our measured row against hand-worked numbers."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from modelyard import business
from modelyard.blueprint import Blueprint
from modelyard.blueprint.market import Market
from modelyard.blueprint.ranges import Range
from modelyard.business import market as theory
from modelyard.business import sizing
from modelyard.business.comparing import better
from modelyard.business.draws import Spread
from modelyard.business.lines import bare, solved
from modelyard.business.planning import venture
from modelyard.business.sheet import depends
from modelyard.business.spelling import formula
from modelyard.context import Context
from modelyard.errors import BlueprintError
from modelyard.records import Record
from modelyard.records.valued import Valued
from modelyard.store import Store
from tests.business.business_helpers import facts
from tests.market_and_strategy import text
from tests.report import report_builds as builds

SEGMENT = "name: a, customers: 10, spend: 5, serviceable: 0.5, obtainable: 0.1, source: us, date: 2026-01-01"
FORCE = "{strength: 3, why: w, source: s, date: 2026-01-01}"
NONSENSE = {
    # the section: what the message must hold, its line first
    f"segments: [{{{SEGMENT}}}, {{{SEGMENT}}}]": ("market.segments", "two segments have the name 'a'"),
    f"segments: [{{{SEGMENT.replace('10', '-10')}}}]": ("market.segments.0.customers", "at least 0 (got -10"),
    f"segments: [{{{SEGMENT.replace('serviceable: 0.5', 'serviceable: 50')}}}]": ("market.segments.0.serviceable", "50 % is 0.5"),
    f"segments: [{{{SEGMENT.replace('obtainable: 0.1', 'obtainable: 1.5')}}}]": ("market.segments.0.obtainable", "at most 1"),
    f"segments: [{{{SEGMENT.replace('spend: 5', 'spend: {low: 9, likely: 5, high: 7}')}}}]": ("market.segments.0.spend", "low <= likely <= high"),
    f"segments: [{{{SEGMENT.replace(', source: us', '')}}}]": ("market.segments.0.source", "is required"),
    f"segments: [{{{SEGMENT.replace('2026-01-01', 'last year')}}}]": ("market.segments.0.date", "2026-01-31"),
    f"segments: [{{{SEGMENT.replace('spend: 5', 'spent: 5')}}}]": ("market.segments.0.spent", "Did you mean 'spend'?"),
    "adoption: {innovation: 0.03, imitation: 0.4, source: s, date: 2026-01-01}": ("market.adoption", "needs market.segments"),
    f"segments: [{{{SEGMENT}}}]\nadoption: {{innovation: 0, imitation: 0.4, source: s, date: 2026-01-01}}": ("market.adoption.innovation", "greater than 0"),
    f"segments: [{{{SEGMENT}}}]\nadoption: {{innovation: 0.03, imitation: 38, source: s, date: 2026-01-01}}": ("market.adoption.imitation", "at most 2"),
    "price_of: reqest": ("market.price_of", "Did you mean 'request'?"),
    "quality: f1_macr": ("market.quality", "f1_macro"),
    "competitors: [{name: a, source: s, date: 2026-01-01}]": ("market.competitors.0", "says nothing to compare"),
    "competitors: [{name: a, price: -1, source: s, date: 2026-01-01}]": ("market.competitors.0.price", "at least 0"),
    "competitors: [{name: a, price: 1}]": ("market.competitors.0", "is required"),
    "competitors: [{name: a, p95: 0 s, source: s, date: 2026-01-01}]": ("market.competitors.0", "more than 0 s"),
    "competitors: [{name: a, p95: 3 GB, source: s, date: 2026-01-01}]": ("market.competitors.0.p95", "expected a quantity in 's'"),
    "competitors: [{name: a, features: [fast], source: s, date: 2026-01-01}]": ("market.competitors.0.features.0", "no feature 'fast'"),
    "competitors: [{name: a, price: 1, source: s, date: 2026-01-01}, {name: a, price: 2, source: s, date: 2026-01-01}]": ("market.competitors", "two competitors"),
    "features: [{name: fast, ours: true}]": ("market.features.0", "must rest on one thing"),
    "features: [{name: fast, ours: true, source: us}]": ("market.features.0", "a source needs its date"),
    f"forces: {{rivalry: {FORCE}}}": ("market.forces", "is required"),
    f"forces: {{rivalry: {FORCE.replace('3', '6')}, entrants: {FORCE}, substitutes: {FORCE}, buyers: {FORCE}, suppliers: {FORCE}}}": ("market.forces.rivalry.strength", "less than or equal to 5"),
    "swot: {strengths: [{text: fast, source: us, date: 2026-01-01, record: serve.measured_rate}]}": ("market.swot.strengths.0", "must rest on one thing"),
    "swot: {strengths: [{text: fast, record: served.measured_rate}]}": ("market.swot.strengths.0.record", "Did you mean 'serve'?"),
    "swot: {strengths: [{text: fast, record: serve.measured_rat}]}": ("market.swot.strengths.0.record", "Did you mean 'measured_rate'?"),
    "swot: {strengths: [{text: fast, record: serve.measured_rate.value.more}]}": ("market.swot.strengths.0.record", "nothing below it"),
    "swot: {strengths: [{text: '', record: serve.measured_rate}]}": ("market.swot.strengths.0.text", "at least 1 character"),
}  # fmt: skip


@pytest.mark.parametrize("section", NONSENSE)
def test_nonsense_is_refused(section: str) -> None:
    with pytest.raises(BlueprintError) as caught:
        Blueprint.parse(text(section, ""))
    message = str(caught.value)
    first = message.splitlines()[0]
    line = 7 if "adoption" in section and "segments" in section else 6
    assert first.startswith(f"blueprint.yaml:{line}: market"), message
    for words in NONSENSE[section]:
        assert words in message, message


def test_there_are_twenty_and_the_whole_section_is_in_order() -> None:
    assert len(NONSENSE) >= 20
    read = Blueprint.parse(text())
    assert read.market is not None and read.market.competitors[0].p95 is not None
    assert read.market.competitors[0].p95.to("ms") == pytest.approx(120)
    assert Blueprint.parse("name: demo\ndata: {source: rows.csv, target: label}").market is None


def market() -> Market:
    found = Blueprint.parse(text()).market
    assert found is not None
    return found


# -- sizes and adoption ----------------------------------------------------------------------------------------------------


def test_sizes_are_those_of_the_theory_and_of_hand() -> None:
    likely, _ = solved(sizing.sized(bare(12), market(), "USD"), count=10)
    by_hand = theory.size(
        [theory.Segment("small", 10_000, 300, 0.5, 0.04), theory.Segment("large", 200, 12_000, 0.2, 0.1)]
    )
    assert likely["TAM"] * 12 == pytest.approx(by_hand.tam) == pytest.approx(5_400_000)
    assert likely["SAM"] * 12 == pytest.approx(by_hand.sam) == pytest.approx(1_980_000)
    assert likely["SOM"] * 12 == pytest.approx(by_hand.som) == pytest.approx(108_000)
    assert [float(likely[name]) for name in sizing.COUNTS] == pytest.approx(by_hand.customers)


def test_one_uncertain_number_gives_its_own_quantiles() -> None:
    only = Market.model_validate(
        {"segments": ({"name": "a", "customers": {"low": 50, "likely": 100, "high": 300}, "spend": 12, "serviceable": 1,
                       "obtainable": 0.5, "source": "s", "date": "2026-01-01"},)}
    )  # fmt: skip
    _, draws = solved(sizing.sized(bare(3), only, "USD"))
    found = sizing.measured_size(only, draws)
    assert found is not None and found.draws == 20_000
    low, middle, high = Spread(50, 100, 300).at(np.array([0.1, 0.5, 0.9])) * 12
    assert (found.tam.low, found.tam.value, found.tam.high) == pytest.approx((low, middle, high), rel=0.01)
    assert found.som.value == pytest.approx(found.tam.value / 2)


def test_the_total_is_the_sum_of_draws_not_of_quantiles() -> None:
    _, draws = solved(sizing.sized(bare(3), market(), "USD"))
    found = sizing.measured_size(market(), draws)
    assert found is not None
    assert found.som.high < sum(one.som.high for one in found.segments)
    assert found.som.high < found.sam.low < found.sam.high < found.tam.low


def test_the_bound_is_bass_curve() -> None:
    likely, _ = solved(sizing.sized(bare(36), market(), "USD"), count=10)
    curve = theory.Bass(0.03 / 12, 0.4 / 12, 204.0)
    np.testing.assert_allclose(likely[sizing.BOUND], curve.adopted(np.arange(1, 37) + 48.0), rtol=1e-12)


@pytest.mark.parametrize(("customers", "beyond"), [(0.1, False), (40.0, True)])
def test_a_plan_beyond_the_market_is_seen(customers: float, beyond: bool) -> None:
    read = Blueprint.parse(text(business=f"{{new_customers: {customers}}}"))
    assert read.market is not None
    likely, draws = solved(sizing.sized(venture(read.business, facts()), read.market, "USD"), count=2000)
    found = sizing.measured_adoption(likely, draws)
    assert found is not None and (found.beyond is not None) == beyond
    assert found.chance > 0.95 if beyond else found.chance < 0.05
    if beyond:
        assert found.beyond is not None
        month = found.beyond - 1
        assert found.planned[month] > found.value[month]
        assert all(a <= b for a, b in zip(found.planned[:month], found.value[:month], strict=True))


def test_the_venture_is_left_as_it_was_and_the_workbook_can_spell_every_line() -> None:
    read = Blueprint.parse(text())
    assert read.market is not None
    before = venture(read.business, facts())
    lines = list(before.sheet.lines)
    grown = sizing.sized(before, read.market, "USD")
    assert list(before.sheet.lines) == lines and "Market" not in before.groups and "Market" in grown.groups
    shown = [name for names in grown.groups.values() for name in names]
    assert sorted(shown) == sorted(grown.sheet.lines) and grown.givens.keys() == grown.sheet.givens.keys()
    for name in grown.groups["Market"]:
        line = grown.sheet.lines[name]
        told = formula(
            line,
            lambda given, month: "A1",
            lambda given, first, last: "A1:B1",
            months=36,
            month=5 if line.monthly else None,
        )
        assert told.count("(") == told.count(")") and depends(grown.sheet, name)
    assert grown.givens["market.segments.1.serviceable"].source == "twelve interviews"
    assert grown.givens["market.segments.1.spend"].source == "a census of hosts (2026-03-01)"


# -- beside the others -----------------------------------------------------------------------------------------------------


def valued(tmp_path: Path, blueprint: Blueprint, **other: Record) -> Valued:
    records: dict[str, Record] = {
        "prepare": builds.prepared("text"), "train": builds.trained("text"), "evaluate": builds.evaluated("text"),
        "audit": builds.audited("text"), "compress": builds.compressed("text"), "serve": builds.served(), **other,
    }  # fmt: skip
    return business.run(Context(blueprint, Store(tmp_path), records=records))


@cache
def standard() -> Valued:
    """The stage on the whole example, run once: records are frozen."""
    with tempfile.TemporaryDirectory() as folder:
        return valued(Path(folder), Blueprint.parse(text()))


def test_our_row_is_measured() -> None:
    found = standard().measured_market
    assert found is not None and found.ours is not None and found.metric == "f1_macro" and found.greater_is_better
    evaluated, served = builds.evaluated("text"), builds.served()
    assert found.ours.quality == evaluated.metrics["f1_macro"]
    assert found.ours.p95 == served.measured_latency.p95
    assert found.ours.origins["quality"] == "evaluate.json#metrics.f1_macro"
    assert found.ours.features == ("runs on site",)
    guard, rules = found.competitors
    assert guard.verdicts["quality"] == "ours" and rules.verdicts["quality"] == "ours"
    assert rules.verdicts["price"] == "theirs" and "p95" not in rules.verdicts


def test_our_price_is_what_plans_come_to(tmp_path: Path) -> None:
    plan = "[{name: a, price: 30, share: 1, usage: {low: 1000, likely: 2000, high: 3000}}]"
    month = valued(tmp_path / "a", Blueprint.parse(text(business=f"{{draws: 1000, plans: {plan}}}"))).measured_market
    assert month is not None and month.ours is not None and month.ours.price is not None
    assert (month.ours.price.likely, month.lot, month.price_of) == (30, 1, "month")
    request = valued(
        tmp_path / "b", Blueprint.parse(text("price_of: request\n", business=f"{{draws: 1000, plans: {plan}}}"))
    ).measured_market
    assert request is not None and request.ours is not None and request.ours.price is not None
    assert (request.ours.price.likely, request.lot) == (pytest.approx(15), 1000)  # 30 ÷ 2,000 x 1,000


def test_references_are_looked_up() -> None:
    found = standard().measured_market
    assert found is not None
    by_path = {one.path: one for one in found.references}
    assert by_path["audit.findings.robustness.status"].origin == "audit.json#findings.2.status"
    assert by_path["audit.findings.robustness.status"].value == "passed"
    assert by_path["package.archive"].origin == ""  # there is no such record here
    assert by_path["evaluate.metrics.f1_macro.value"].value == builds.evaluated("text").metrics["f1_macro"].value


@pytest.mark.parametrize(
    ("ours", "theirs", "greater", "wanted"),
    [
        ((0.9, 0.95), (0.8, 0.89), True, "ours"), ((0.9, 0.95), (0.8, 0.89), False, "theirs"),
        ((0.8, 0.85), (0.9, 0.95), True, "theirs"), ((0.8, 0.91), (0.9, 0.95), True, "unsure"), ((1.0, 1.0), (1.0, 1.0), False, "unsure"),
    ],
)  # fmt: skip
def test_better_only_where_intervals_do_not_overlap(
    ours: tuple[float, float], theirs: tuple[float, float], greater: bool, wanted: str
) -> None:
    assert better(ours, theirs, greater=greater) == wanted


def test_an_own_source_of_a_number_is_told() -> None:
    assert Range.model_fields["source"].default == "the blueprint"  # what `lines.Adding` takes for no source of its own
