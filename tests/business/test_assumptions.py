"""Nonsense in the business section: each fault is one message that names the line, the key and what is allowed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modelyard.blueprint import Blueprint
from modelyard.blueprint.business import Business
from modelyard.blueprint.ranges import Range
from modelyard.errors import BlueprintError

PLAN = "name: a, price: 29, included: 1000, share: 1, usage: 500"
TOO_MANY = "[{name: a, price: 29, share: 0.6, usage: 5}, {name: b, price: 99, share: 0.6, usage: 5}]"
TWICE = "[{name: a, price: 29, share: 0.5, usage: 5}, {name: a, price: 99, share: 0.5, usage: 5}]"
UPSIDE_DOWN = "[{name: a, price: 29, share: 1, usage: {low: 9, likely: 5, high: 7}}]"
NO_VOLUME = "[{name: a, price: 29, overage: 0.001, share: 1, usage: 5}]"
NOTHING = "[{name: a, price: 29, included: 0, share: 1, usage: 5}]"
NONSENSE = {
    # key: value -> the path and words that the message must hold
    "churn: -0.01": ("business.churn", "at least 0 (got -0.01"),
    "churn: 4": ("business.churn", "at most 1", "4 % is 0.04"),
    "churn: 1.01": ("business.churn", "at most 1"),
    "churn: '4 %'": ("business.churn", "must be a number", "0.04"),
    "churn: true": ("business.churn", "must be a number"),
    "churn: null": ("business.churn", "must be a number"),
    "churn: .nan": ("business.churn", "finite"),
    "cac: .inf": ("business.cac", "finite"),
    "cac: -250": ("business.cac", "at least 0"),
    "cac: [100, 200, 300]": ("business.cac", "{low: ..., likely: ..., high: ...}"),
    "cac: {low: 300, likely: 200, high: 400}": ("business.cac", "low <= likely <= high (got 300, 200, 400)"),
    "cac: {low: 100, likely: 200}": ("business.cac.high", "is required"),
    "cac: {low: 100, likely: 200, high: 300, sourse: us}": ("business.cac.sourse", "Did you mean 'source'?"),
    "cac: {low: -100, likely: 200, high: 300}": ("business.cac", "got low -100"),
    "cac: {low: cheap, likely: 200, high: 300}": ("business.cac.low", "must be a number"),
    "cac: {low: 1, likely: 2, high: 3, date: soon}": ("business.cac.date", "2026-01-31"),
    "utilisation: 0": ("business.utilisation", "greater than 0"),
    "utilisation: 60": ("business.utilisation", "at most 1", "60 % is 0.6"),
    "relative_speed: 0": ("business.relative_speed", "greater than 0"),
    "hosting_overhead: -0.1": ("business.hosting_overhead", "at least 0"),
    "minimum_machines: 0": ("business.minimum_machines", "greater than or equal to 1"),
    "minimum_machines: 1.5": ("business.minimum_machines", "whole number"),
    "machine: aws-m7i-larg": ("business.machine", "Did you mean 'aws-m7i-large'?"),
    "machine_price: -0.1": ("business.machine_price", "at least 0"),
    "grid: US": ("business.grid", "Did you mean 'USA'?"),
    "currency: usd": ("business.currency", "must match"),
    "currency: EUR": ("exchange_rate is required with currency EUR",),
    "{currency: EUR, exchange_rate: 0}": ("business.exchange_rate", "greater than 0"),
    "exchange_rate: 0.9": ("must be 1 (got 0.9)", "set currency"),
    "payment_share: 2.9": ("business.payment_share", "at most 0.5"),
    "payment_fixed: -0.3": ("business.payment_fixed", "at least 0"),
    "support: -1": ("business.support", "at least 0"),
    "months: 0": ("business.months", "greater than or equal to 1 (got 0)"),
    "months: 1000": ("business.months", "less than or equal to 120"),
    "months: 3.5": ("business.months", "whole number"),
    "growth: -2": ("business.growth", "at least -1"),
    "growth: 5": ("business.growth", "at most 1", "5 % is 0.05"),
    "new_customers: -3": ("business.new_customers", "at least 0"),
    "starting_customers: -3": ("business.starting_customers", "greater than or equal to 0"),
    "people: -1": ("business.people", "at least 0"),
    "starting_cash: -1": ("business.starting_cash", "at least 0"),
    "minimum_margin: 1": ("business.minimum_margin", "less than 1"),
    "churnn: 0.04": ("business.churnn", "Did you mean 'churn'?"),
    "plans: []": ("business.plans", "at least one plan"),
    "plans: [{name: a, price: -29, share: 1, usage: 500}]": ("business.plans.0.price", "greater than or equal to 0"),
    "plans: [{name: a, price: 29, share: 1}]": ("business.plans.0.usage", "is required"),
    "plans: [{name: '', price: 29, share: 1, usage: 5}]": ("business.plans.0.name", "at least 1 character"),
    "plans: [{name: a, price: 29, share: 1.2, usage: 5}]": ("business.plans.0.share", "less than or equal to 1"),
    f"plans: {TOO_MANY}": (
        "business.plans", "sum to 1 (got 0.6 + 0.6 = 1.2)",
    ),
    f"plans: {TWICE}": ("two plans have the name 'a'",),
    "plans: [{name: a, price: 29, share: 1, usage: -5}]": ("business.plans.0.usage", "at least 0"),
    f"plans: {UPSIDE_DOWN}": ("business.plans.0.usage", "low <= likely <= high"),
    f"plans: {NO_VOLUME}": ("business.plans.0", "needs an included volume"),
    f"plans: {NOTHING}": ("business.plans.0", "includes no requests and sells none"),
    f"plans: [{{{PLAN}, overage: -0.001}}]": ("business.plans.0.overage", "greater than or equal to 0"),
    f"plans: [{{{PLAN}, prise: 3}}]": ("business.plans.0.prise", "unknown key"),
    f"plans: {{{PLAN}}}": ("business.plans",),
    "plans: starter": ("business.plans",),
}  # fmt: skip


@pytest.mark.parametrize("section", NONSENSE)
def test_nonsense_is_refused(section: str, parse: Callable[[str], Blueprint]) -> None:
    given = section if section.startswith("{") else f"{{{section}}}"
    with pytest.raises(BlueprintError) as caught:
        parse(given)
    message = str(caught.value)
    assert len(caught.value.faults) == 1, message
    assert message.startswith("blueprint.yaml:3: business")
    for words in NONSENSE[section]:
        assert words in message


def test_there_are_forty() -> None:
    assert len(NONSENSE) >= 40


def test_all_faults_at_once(parse: Callable[[str], Blueprint]) -> None:
    with pytest.raises(BlueprintError) as caught:
        parse("{churn: -1, cac: -1, months: 0, grid: XXX}")
    assert len(caught.value.faults) == 4


def test_a_number_is_a_range_of_one(parse: Callable[[str], Blueprint]) -> None:
    section = parse("{churn: 0.03, cac: {low: 1, likely: 2, high: 3, source: our pilot, date: 2026-10-01}}").business
    assert section.churn == Range(low=0.03, likely=0.03, high=0.03)
    assert (section.cac.likely, section.cac.source, section.cac.date) == (2, "our pilot", "2026-10-01")


def test_the_edges_of_sense_are_accepted(parse: Callable[[str], Blueprint]) -> None:
    parse("{churn: 0, growth: -1, utilisation: 1, months: 120, machine_price: 0, cac: 0, minimum_margin: -0.5}")
    parse(
        "{churn: 1, months: 1, currency: EUR, exchange_rate: 0.9, plans: [{name: free, price: 0, share: 1, usage: 0}]}"
    )


def test_our_assumptions_are_converted(parse: Callable[[str], Blueprint]) -> None:
    yuan, dollar = parse("{currency: CNY, exchange_rate: 7}").business, Business()
    assert yuan.cac.likely == pytest.approx(7 * dollar.cac.likely)
    assert yuan.plans[0].price == pytest.approx(7 * dollar.plans[0].price)
    assert yuan.plans[0].overage == pytest.approx(7 * (dollar.plans[0].overage or 0))
    assert (yuan.churn, yuan.months, yuan.plans[0].included) == (dollar.churn, dollar.months, dollar.plans[0].included)
    assert parse("{currency: CNY, exchange_rate: 7, cac: 100}").business.cac.likely == 100


def test_every_assumption_of_ours_is_dated_and_sourced() -> None:
    for name in Business.model_fields:
        value = getattr(Business(), name)
        if isinstance(value, Range):
            assert value.date and value.source != "the blueprint", name


def test_a_blueprint_with_no_business_section_is_complete() -> None:
    parsed = Blueprint.parse("name: demo\ndata: {source: rows.csv, target: label}")
    assert parsed.business == Business()
