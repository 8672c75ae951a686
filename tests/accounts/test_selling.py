"""What the blueprint says about plans of a service: taken over exactly, contradictions refused with a cure."""

from __future__ import annotations

from decimal import Decimal

import pytest

from modelyard.accounts.plans import from_blueprint
from modelyard.blueprint import Blueprint
from modelyard.blueprint.plans import Plan
from modelyard.errors import BlueprintError

PLAN = "{{name: a, price: 9.99, share: 1, usage: 10, {}}}"


def _plan(more: str) -> Plan:
    text = f"name: demo\ndata: {{source: rows.csv, target: label}}\nbusiness: {{plans: [{PLAN.format(more)}]}}"
    return Blueprint.parse(text).business.plans[0]


def test_a_plan_is_taken_over_exactly():
    given = _plan("included: 100, overage: 0.0008, rate_limit: 0.5, burst: 4, trial_days: 14, batch_discount: 0.5, limits: {output token: 9}, prices: {output token: 0.1}")  # fmt: skip
    plan = from_blueprint(given, "USD")
    assert (plan.price, plan.overage, plan.batch_discount) == (Decimal("9.99"), Decimal("0.0008"), Decimal("0.5"))
    assert (plan.included, plan.quota, plan.interval, plan.at_once) == (100, "soft", 2_000_000, 4)
    assert (
        plan.prices == {"output token": Decimal("0.1")} and plan.limits == {"output token": 9} and plan.trial_days == 14
    )
    assert plan.hash() == from_blueprint(given, "USD").hash() != from_blueprint(given, "EUR").hash()


def test_quota_follows_from_the_overage_price():
    assert from_blueprint(_plan("included: 100"), "USD").quota == "hard"
    assert from_blueprint(_plan("included: 100, quota: hard"), "USD").quota == "hard"
    assert from_blueprint(_plan("included: 100, overage: 0, quota: soft"), "USD").quota == "soft"
    assert from_blueprint(_plan("rate_limit: 0.01"), "USD").at_once == 1
    assert from_blueprint(_plan("rate_limit: 3"), "USD").at_once == 30, "ten seconds' worth"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("included: 5, overage: 1, quota: hard", "leave overage or quota out"),
        ("included: 5, quota: soft", "a soft quota needs an overage price"),
        ("burst: 5", "give rate_limit, or leave burst out"),
        ("rate_limit: 0", "greater than 0"),
        ("batch_discount: 50", "less than or equal to 1|at most 1"),
    ],
)
def test_contradictions_are_refused_with_a_cure(more, says):
    with pytest.raises(BlueprintError, match=says):
        _plan(more)
