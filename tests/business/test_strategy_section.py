"""The blueprint's `strategy`: nonsense refused with its line; money, machines, risks and duties against hand-worked numbers and planted faults."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import parts
from modelyard.blueprint import Blueprint
from modelyard.blueprint.ranges import Range
from modelyard.blueprint.reading import dump
from modelyard.blueprint.strategy import Selling, Strategy, duties, month_of
from modelyard.business import actions, evidence, market_and_strategy, risks
from modelyard.business import duties as law
from modelyard.business.lines import bare, solved
from modelyard.business.spelling import formula
from modelyard.errors import BlueprintError
from modelyard.records.audited import Audited
from modelyard.records.market import MarketValue
from modelyard.records.strategy import Resources, StrategyValue
from modelyard.report.catalogue import Words
from modelyard.rules._places import unknown_place
from modelyard.store import Store, write_json
from modelyard.units import quantity
from tests.business.business_helpers import facts
from tests.business.test_market_section import standard, valued
from tests.market_and_strategy import STRATEGY, text
from tests.report import report_builds as builds

METRIC = "{line: customers, at_least: 5}"
ACTION = f"name: a, owner: Ada, start: 2027-01-01, end: 2027-02-28, metric: {METRIC}"
SELLING = "markets: [EU], personal_data: true, decides: false"
RISK = "name: r, likelihood: 0.1, impact: 100, trigger: t, response: r, owner: Ada"


def _goal(action: str, due: str = "2027-12-31") -> str:
    return (
        f"{{start: 2027-01-01, goals: [{{name: g, milestones: [{{name: m, due: {due}, actions: [{{{action}}}]}}]}}]}}"
    )


def _changed(old: str, new: str) -> str:
    assert old in ACTION
    return _goal(ACTION.replace(old, new))


AT = "strategy.goals.0.milestones.0.actions.0"
NONSENSE = {
    "{}": ("strategy.start", "is required"),
    "{start: 2027-01-15}": ("strategy.start", "first day of a month"),
    "{start: soon}": ("strategy.start", "2026-01-31"),
    "{start: 2027-01-01, canvas: {partners: [a]}}": ("strategy.canvas", "is required"),
    _changed("2027-02-28", "2026-02-28"): (AT, "end on or after its start"),
    _changed("start: 2027-01-01", "start: 2026-12-01"): (f"{AT}.start", "before the plan begins"),
    _goal(ACTION.replace("end: 2027-02-28", "end: 2031-02-28"), "2031-12-31"): (f"{AT}.end", "lies in month 50 of the plan, which has 36"),
    _goal(ACTION, "2027-02-01"): ("strategy.goals.0.milestones.0", "is due on 2027-02-01"),
    _changed("owner: Ada", "owner: ''"): (f"{AT}.owner", "at least 1 character"),
    _changed("owner: Ada, ", ""): (f"{AT}.owner", "is required"),
    _changed(METRIC, "{line: custmers, at_least: 5}"): (f"{AT}.metric.line", "Did you mean 'customers'?"),
    _changed(METRIC, "{record: evaluate.metrics.f1_macro, at_least: 5}"): (f"{AT}.metric.record", "is no number", "value, low, high"),
    _changed(METRIC, "{record: business.cash, at_least: 5}"): (f"{AT}.metric.record", "no record 'business'"),
    _changed(METRIC, "{line: customers}"): (f"{AT}.metric", "give at_least or at_most"),
    _changed(METRIC, "{line: customers, record: serve.measured_rate, at_least: 1}"): (f"{AT}.metric", "give record or line"),
    _changed("owner: Ada", "owner: Ada, budget: -1"): (f"{AT}.budget", "at least 0"),
    _changed("owner: Ada", "owner: Ada, paid_from: marketing"): (f"{AT}.paid_from", "must be one of"),
    _changed("owner: Ada", "owner: Ada, builds: 1.5"): (f"{AT}.builds", "whole number"),
    "{start: 2027-01-01, goals: [{name: g, milestones: []}]}": ("strategy.goals.0.milestones", "at least 1 item"),
    f"{{start: 2027-01-01, risks: [{{{RISK.replace('0.1', '10')}}}]}}": ("strategy.risks.0.likelihood", "10 % is 0.1"),
    f"{{start: 2027-01-01, risks: [{{{RISK.replace('100', '-100')}}}]}}": ("strategy.risks.0.impact", "at least 0"),
    f"{{start: 2027-01-01, risks: [{{{RISK}}}, {{{RISK}}}]}}": ("strategy", "two risks have the name 'r'"),
    f"{{start: 2027-01-01, risks: [{{{RISK.replace('trigger: t, ', '')}}}]}}": ("strategy.risks.0.trigger", "is required"),
    "{start: 2027-01-01, selling: {markets: [MARS], personal_data: true, decides: false}}": ("strategy.selling.markets.0", "must be one of"),
    "{start: 2027-01-01, selling: {markets: [], personal_data: true, decides: false}}": ("strategy.selling.markets", "at least 1 item"),
    "{start: 2027-01-01, selling: {markets: [EU, EU], personal_data: true, decides: false}}": ("strategy.selling.markets", "names one twice"),
    "{start: 2027-01-01, selling: {markets: [EU], decides: false}}": ("strategy.selling.personal_data", "is required"),
    f"{{start: 2027-01-01, selling: {{{SELLING}, area: credit}}}}": ("strategy.selling", "decides must be true"),
    f"{{start: 2027-01-01, selling: {{{SELLING}, answers: {{eu-gdpr-7: {{how: h, source: s, date: 2026-01-01}}}}}}}}": ("strategy.selling.answers", "no duty 'eu-gdpr-7'"),
    "{start: 2027-01-01, machine_hours: -3}": ("strategy.machine_hours", "at least 0"),
}  # fmt: skip


@pytest.mark.parametrize("section", NONSENSE)
def test_nonsense_is_refused(section: str) -> None:
    whole = f"name: demo\ndata: {{source: rows.csv, target: label}}\nstrategy: {section}"
    with pytest.raises(BlueprintError) as caught:
        Blueprint.parse(whole)
    message = str(caught.value)
    assert message.startswith("blueprint.yaml:3: strategy"), message
    for words in NONSENSE[section]:
        assert words in message, message


def test_there_are_twenty_and_a_sound_plan_is_read() -> None:
    assert len(NONSENSE) >= 20
    Blueprint.parse(f"name: demo\ndata: {{source: rows.csv, target: label}}\nstrategy: {_goal(ACTION)}")
    assert len(list(actions.placed(strategy()))) == 4


def test_names_that_would_be_one_line_are_refused_before_anything_runs() -> None:
    one, other = (
        ACTION.replace("owner: Ada", "owner: Ada, builds: 1"),
        ACTION.replace("name: a,", "name: 'a: machine time',"),
    )
    both = _goal(f"{one}}}, {{{other}")
    with pytest.raises(BlueprintError, match="two lines have the name 'action: a: machine time': rename one"):
        Blueprint.parse(f"name: demo\ndata: {{source: rows.csv, target: label}}\nstrategy: {both}")


def strategy(given: str = STRATEGY, business: str = "{draws: 1000}") -> Strategy:
    found = Blueprint.parse(text("", given, business=business)).strategy
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("day", "month"), [("2027-01-01", 1), ("2027-01-31", 1), ("2027-12-31", 12), ("2028-01-01", 13), ("2029-03-05", 27)]
)
def test_months_of_the_plan(day: str, month: int) -> None:
    assert month_of(day, "2027-01-01") == month


# -- money and machines ----------------------------------------------------------------------------------------------------


def solve(business: str = "{draws: 1000}", given: str = STRATEGY) -> tuple[Strategy, dict[str, Any], dict[str, Any]]:
    read = Blueprint.parse(text("", given, business=business))
    assert read.strategy is not None
    return read.strategy, *solved(market_and_strategy.whole(read, facts()), count=2000)


def found(business: str = "{draws: 1000}", given: str = STRATEGY) -> Resources:
    declared, likely, draws = solve(business, given)
    measured = actions.resources(declared, likely, draws, build_hours=2 / 3, build_origin="build.run.seconds")
    assert measured is not None
    return measured


def test_budgets_are_spent_in_their_months_and_no_more() -> None:
    _, likely, _ = solve("{machine_price: 0.5, hosting_overhead: 0}")
    mails, certificate = likely["action: label more mails"], likely["action: a certificate"]
    assert mails[:4] == pytest.approx([1000, 1000, 1000, 0]) and mails.sum() == pytest.approx(3000)
    assert certificate[:7] == pytest.approx([0, 1000, 1000, 1000, 1000, 1000, 0])
    builds_ = 12 * (2 / 3) * 0.5  # 12 builds of 40 minutes at 0.50 USD an hour
    assert likely["cost of builds"].sum() == pytest.approx(builds_)
    spent = likely["spent on actions"]
    assert spent.sum() == pytest.approx(3000 + 5000 + builds_)
    np.testing.assert_allclose(likely["cash after actions"], likely["cash"] - np.cumsum(spent))
    assert likely["machine time of builds"][:4] / 3600 == pytest.approx([8 / 3, 8 / 3, 8 / 3, 0])


@pytest.mark.parametrize(("cash", "out"), [(150_000, False), (23_000, True)])
def test_actions_that_use_up_the_cash_are_seen(cash: int, out: bool) -> None:
    """With 23,000 the first months end above 0 without the actions, and below 0 with them."""
    measured = found(f"{{starting_cash: {cash}, new_customers: 0, people: 500, tools: 0, build_cost: 0, cac: 0}}")
    assert (measured.out is not None) == out
    if measured.out is not None:
        assert measured.cash[measured.out - 1] >= 0 > measured.after[measured.out - 1]
    assert measured.ruin > 0.9 if out else measured.ruin < 0.05


@pytest.mark.parametrize(("hours", "short"), [(100, None), (2, 1)])
def test_machine_hours_that_are_not_there_are_seen(hours: float, short: int | None) -> None:
    assert found(given=STRATEGY.replace("machine_hours: 100", f"machine_hours: {hours}")).hours_short == short


@pytest.mark.parametrize(("people", "short"), [(6000, None), (1999, 13)])
def test_costs_that_do_not_hold_their_actions_are_seen(people: float, short: int | None) -> None:
    """24,000 over the twelve months of 2028 are 2,000 a month out of people's cost."""
    measured = found(f"{{people: {people}}}")
    pots = {pot.name: pot for pot in measured.pots}
    assert pots["people"].short == short and pots["acquisition"].short is None
    assert sum(pots["people"].allocated) == pytest.approx(24_000)
    assert pots["people"].there[12] == pytest.approx(people)


def test_a_forecast_takes_the_place_of_what_was_measured() -> None:
    read = Blueprint.parse(text("", STRATEGY))
    likely, draws = solved(
        market_and_strategy.whole(read, facts(), forecast=Range(low=1, likely=2, high=5)), count=2000
    )
    assert likely["machine time of builds"].sum() / 3600 == pytest.approx(24)
    hours = draws["machine time of builds"].sum(axis=-1) / 3600
    assert 12 <= hours.min() < 20 < 30 < hours.max() <= 60


def test_the_forecast_of_the_build_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert market_and_strategy.forecast_in(store) is None
    write_json(
        store.path("forecast.json"),
        {"seconds": {"value": "7200.0 s", "low": "3600.0 s", "high": "10800.0 s", "level": 0.9}},
    )
    found = market_and_strategy.forecast_in(store)
    assert found is not None and (found.low, found.likely, found.high) == (1, 2, 3)
    measured = valued(tmp_path, Blueprint.parse(text())).measured_strategy
    assert measured is not None and measured.resources is not None
    assert (measured.resources.build_hours, measured.resources.build_origin) == (2, "forecast.json#seconds")
    assert sum(measured.resources.hours) == pytest.approx(24)
    write_json(store.path("forecast.json"), {"seconds": "soon"})
    assert market_and_strategy.forecast_in(store) is None


def test_actions_without_money_leave_the_cash() -> None:
    read = Blueprint.parse(f"name: demo\ndata: {{source: rows.csv, target: label}}\nstrategy: {_goal(ACTION)}")
    likely, _ = solved(market_and_strategy.whole(read, facts()), count=10)
    np.testing.assert_array_equal(likely["cash after actions"], likely["cash"])
    assert likely["spent on actions"].shape == (36,) and not likely["spent on actions"].any()


def test_every_line_is_shown_once_and_can_be_spelt() -> None:
    whole = market_and_strategy.whole(Blueprint.parse(text()), facts())
    shown = [name for names in whole.groups.values() for name in names]
    assert sorted(shown) == sorted(whole.sheet.lines) and whole.givens.keys() == whole.sheet.givens.keys()
    for name in (*whole.groups["Actions"], *whole.groups["Risks"]):
        line = whole.sheet.lines[name]
        told = formula(
            line,
            lambda given, month: "A1",
            lambda given, first, last: "A1:B1",
            months=36,
            month=5 if line.monthly else None,
        )
        assert told.count("(") == told.count(")")


@pytest.mark.long
def test_the_workbook_computes_market_actions_and_risks(tmp_path: Path) -> None:
    """LibreOffice against the graph, as written and after assumptions of both sections are changed in the file."""
    openpyxl = pytest.importorskip("openpyxl")
    from modelyard.business import workbook
    from tests.business.test_workbook import compare, computed

    model = market_and_strategy.whole(Blueprint.parse(text()), facts())
    cells = workbook.write(model, tmp_path / "venture.xlsx")
    (tmp_path / "computed").mkdir()
    values = {key: given.spread.likely * given.factor for key, given in model.givens.items()}
    count = compare(model, values, computed(tmp_path / "venture.xlsx", tmp_path / "computed"), cells)
    changed = {
        "market.segments.0.customers": 777.0, "market.segments.1.spend": 5.0, "market.adoption.innovation": 0.011, "market.adoption.elapsed": 0.0,
        "strategy.goals.0.milestones.0.actions.0.budget": 12_345.0, "strategy.goals.1.milestones.0.actions.1.budget": 99.0,
        "strategy.risks.0.likelihood": 0.9, "strategy.risks.1.impact": 1.0, "business.people": 10.0, "measured.build_time": 31.0,
    }  # fmt: skip
    book = openpyxl.load_workbook(tmp_path / "venture.xlsx")
    for key, value in changed.items():
        sheet, cell = cells[key, None]
        book[sheet][cell.replace("$", "")] = value
    book.save(tmp_path / "changed.xlsx")
    values |= {key: value * model.givens[key].factor for key, value in changed.items()}
    assert compare(model, values, computed(tmp_path / "changed.xlsx", tmp_path / "computed"), cells) == count
    assert count > 20 * model.sheet.months


def test_another_currency_goes_through() -> None:
    whole = market_and_strategy.whole(Blueprint.parse(text(business="{currency: EUR, exchange_rate: 0.9}")), facts())
    likely, _ = solved(whole, count=10)
    assert whole.sheet.lines["TAM"].unit == "EUR/month" and likely["TAM"] * 12 == pytest.approx(5_400_000)
    assert whole.sheet.lines["cash after actions"].unit == "EUR"


def test_without_a_rate_there_is_no_price_and_the_duties_stand(tmp_path: Path) -> None:
    served = builds.served().model_copy(update={"measured_rate": quantity("0 request/s")})
    record = valued(tmp_path, Blueprint.parse(text()), serve=served)
    assert record.measured_costs is None and record.measured_market is not None and record.measured_strategy is not None
    ours = record.measured_market.ours
    assert ours is not None and ours.price is None and ours.quality is not None and record.measured_market.size is None
    assert record.measured_strategy.duties and record.measured_strategy.resources is None


def test_states_of_actions(tmp_path: Path) -> None:
    measured = standard().measured_strategy
    assert measured is not None
    states = {one.name: one.state for one in measured.actions}
    assert states == {
        "label more mails": "done",
        "a certificate": "unknown",
        "write and show": "expected",
        "a person for support": "short",
    }
    mails, _, show, _ = measured.actions
    assert mails.metric.origin == "evaluate.json#metrics.f1_macro.value" and mails.metric.value == pytest.approx(0.967)
    assert (show.first, show.last) == (7, 18) and isinstance(show.metric.value, float) and show.metric.value >= 60
    missed = Blueprint.parse(
        text(
            strategy=STRATEGY.replace("at_least: 0.95", "at_least: 0.99").replace(
                "customers, at_least: 60", "customers, at_most: 60"
            )
        )
    )
    again = valued(tmp_path, missed).measured_strategy
    assert again is not None and [again.actions[0].state, again.actions[2].state] == ["open", "short"]


def test_every_number_can_be_traced() -> None:
    record = standard()
    for part in ("market", "strategy"):
        kind = MarketValue if part == "market" else StrategyValue
        for field in kind.model_fields:
            key = f"measured_{part}.{field}"
            value = getattr(getattr(record, f"measured_{part}"), field)
            if isinstance(value, (str, bool)) or value is None or field == "duties":
                continue
            assert key in record.trace, key
            for needed in record.trace[key].inputs:
                assert needed in record.trace, (key, needed)


# -- risks -----------------------------------------------------------------------------------------------------------------


def test_losses_against_closed_forms() -> None:
    """PERT's mean is (low + 4 likely + high) ÷ 6; independent factors' means multiply; no risk at all: the product of (1 - p)."""
    declared = strategy()
    _, draws = solved(risks.risky(bare(12), declared, "USD"))
    measured = risks.measured(declared, draws)
    assert measured is not None
    copy = (0.1 + 0.8 + 0.4) / 6 * ((10_000 + 80_000 + 60_000) / 6)
    assert measured.expected.value == pytest.approx(copy + 4000, rel=0.02)
    assert {one.name: one.expected.value for one in measured.each}["mails leak"] == pytest.approx(4000)
    assert [one.name for one in measured.each] == ["a copy for nothing", "mails leak"]
    assert measured.none == pytest.approx((1 - 1.3 / 6) * 0.98, abs=0.01)
    assert measured.expected.low <= measured.expected.value <= measured.expected.high


def test_a_sure_loss_is_no_surprise() -> None:
    declared = Strategy.model_validate(
        {"start": "2027-01-01", "risks": ({"name": "rent", "likelihood": 1, "impact": 700, "trigger": "t", "response": "r", "owner": "A"},)}
    )  # fmt: skip
    likely, draws = solved(risks.risky(bare(12), declared, "USD"), count=500)
    measured = risks.measured(declared, draws)
    assert measured is not None and (measured.none, measured.bad_year, measured.expected.value) == (
        0,
        700,
        pytest.approx(700),
    )
    assert likely["expected loss of all risks"] * 12 == pytest.approx(700)


# -- duties ----------------------------------------------------------------------------------------------------------------

CONDITIONS = {"personal_data", "decides", "converses", "generative", "high_risk"}
EVERYTHING: dict[str, Any] = {
    "markets": ("EU", "US", "CN", "UK"),
    "personal_data": True,
    "decides": True,
    "converses": True,
}


@pytest.mark.parametrize("name", duties())
def test_every_duty_is_dated_sourced_and_bound_to_places_that_can_be(name: str) -> None:
    row = duties()[name]
    for key in ("since", "since_product", "checked"):
        if row.get(key):  # `checked` is empty where nobody compared the row with its text
            assert date.fromisoformat(row[key]).year > 1900
    assert row["since"] < row["since_product"] if "since_product" in row else True
    assert row["law"] and row["article"] and row["source"] and name.startswith(row["market"].lower())
    assert {one for one in row["when"] if not one.startswith("area:")} <= CONDITIONS
    for path in row["shown_by"]:
        if path.startswith("audit.findings."):
            assert path.removeprefix("audit.findings.") in parts.names("audit.checks")
        elif not path.startswith("blueprint."):
            assert unknown_place(path) == "", path
    for language in ("en", "zh"):
        assert Words(language).has(f"duty.{name.replace('-', '_')}"), language


def test_no_duty_has_words_without_a_row() -> None:
    said = {key.removeprefix("duty.") for key in Words("en")._texts if key.startswith("duty.")}
    assert said == {name.replace("-", "_") for name in duties()}


def named(kind: str = "classification", known: dict[str, Any] | None = None, **selling: Any) -> dict[str, str]:
    declared = Strategy.model_validate({"start": "2027-01-01", "selling": Selling.model_validate(EVERYTHING | selling)})
    return {one.name: one.state for one in law.applying(declared, kind, known or {})}


def test_duties_follow_from_where_and_what_it_sells() -> None:
    every, writes = named(area="credit"), named("language")
    assert {"eu-ai-act-10", "us-ecoa", "uk-gdpr-22a", "cn-pipl-24", "us-co-sb26-189"} <= every.keys()
    assert not any(name.startswith("cn-generative") for name in every) and "us-nyc-144" not in every
    assert {"cn-generative-17", "eu-ai-act-50-2", "us-ca-ab2013"} <= writes.keys() and "eu-ai-act-10" not in writes
    quiet = named(personal_data=False, decides=False, converses=False, markets=("EU",))
    assert set(quiet) == {"eu-ai-act-4", "eu-ai-act-5"}


def test_a_safety_component_has_more_time() -> None:
    declared = Strategy.model_validate({"start": "2027-01-01", "selling": EVERYTHING | {"area": "safety-component"}})
    found = {one.name: one for one in law.applying(declared, "classification", {})}
    assert found["eu-ai-act-9"].since == "2028-08-02" and not found["eu-ai-act-9"].in_force
    assert found["eu-ai-act-4"].in_force


def test_records_answers_and_planted_failures_decide_the_state() -> None:
    audited = builds.audited("text")
    known = {"audit": audited.model_dump(mode="json"), "prepare": builds.prepared("text").model_dump(mode="json")}
    assert named(known=known)["eu-gdpr-5"] == "shown"
    assert named()["eu-gdpr-5"] == "open"
    assert named(known=known, area="credit")["eu-ai-act-10"] == "open"  # the check of groups was skipped
    answer = {"how": "h", "source": "s", "date": "2026-01-01"}
    assert named(answers={"eu-gdpr-6": answer})["eu-gdpr-6"] == "declared"

    def with_groups(status: str) -> dict[str, Any]:
        changed = [
            one.model_copy(update={"status": status}) if one.name == "sensitive" else one for one in audited.findings
        ]
        return known | {"audit": Audited(findings=tuple(changed)).model_dump(mode="json")}

    states = {status: named(known=with_groups(status))["uk-equality"] for status in ("passed", "warning", "failed")}
    assert states == {"passed": "shown", "warning": "open", "failed": "failed"}, (
        "a warning shows nothing to be in order"
    )
    known = with_groups("failed")
    assert named(known=known, answers={"uk-equality": answer})["uk-equality"] == "failed", (
        "a finding outweighs what is declared"
    )


@pytest.mark.parametrize(("passed", "state"), [(True, "shown"), (False, "failed")])
def test_a_bad_request_that_was_let_in_speaks_against_security(passed: bool, state: str) -> None:
    refusals = [{"name": "not_json", "passed": True}, {"name": "wrong_type", "passed": passed}]
    known = {"serve": {"refusals": refusals}, "package": {"hash": "a" * 64}}
    assert named(known=known)["eu-gdpr-32"] == state


def test_the_resolved_blueprint_says_the_same() -> None:
    read = Blueprint.parse(text())
    again = Blueprint.parse(dump(read))
    assert again.market == read.market and again.strategy == read.strategy


def test_places_are_found_by_number_name_and_dotted_key() -> None:
    known = {
        "package": {"files": {"MODEL_CARD.md": 3}},
        "audit": {"findings": [{"name": "a", "status": "passed"}]},
        "blueprint": {"strategy": {"risks": [1]}},
    }
    place = evidence.find("package.files.MODEL_CARD.md", known)
    assert place is not None and (place.value, place.origin) == (3, "package.json#files.MODEL_CARD%2Emd")
    by_name, by_number = (
        evidence.find("audit.findings.a.status", known),
        evidence.find("audit.findings.0.status", known),
    )
    assert by_name == by_number and by_name is not None and by_name.value == "passed"
    assert evidence.find("audit.findings.b.status", known) is None and evidence.find("serve.x", known) is None
    risks_ = evidence.find("blueprint.strategy.risks", known)
    assert risks_ is not None and risks_.origin == "blueprint.resolved.yaml#strategy.risks"
