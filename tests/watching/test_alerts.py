"""What is told: once when it begins, once when it is over, and only with reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.watching import alerts
from modelyard.watching.alerts import CALM, Alert, Board

ONE, TWO = Alert("errors", "service", "critical", "x"), Alert("drift", "mail", "warning", "y")


def test_an_alert_is_told_once_and_its_end_once():
    board = Board()
    assert [event["status"] for event in board.update([ONE], 1.0)] == ["firing"]
    assert board.update([ONE], 2.0) == [] == board.update([], 3.0), "one calm look may be chance"
    assert board.update([ONE], 4.0) == [], "it was not over"
    told = [board.update([], 5.0 + look) for look in range(CALM)]
    assert told[:-1] == [[]] * (CALM - 1) and [event["status"] for event in told[-1]] == ["resolved"]
    assert told[-1][0]["since"] == 1.0
    assert [event["status"] for event in board.update([ONE], 9.0)] == ["firing"]


@given(st.lists(st.sets(st.sampled_from([ONE.key, TWO.key])), max_size=30), st.integers(0, 29))
def test_every_beginning_has_one_end_whenever_it_is_restarted(looks, cut):
    board, standing = Board(), set()
    for number, present in enumerate(looks):
        if number == cut:
            board = Board(json.loads(json.dumps(board.state)))
        for event in board.update([each for each in (ONE, TWO) if each.key in present], float(number)):
            key = f"{event['kind']} {event['subject']}"
            assert (event["status"] == "firing") == (key not in standing)
            standing ^= {key}
    assert standing == set(board.state)


@pytest.mark.parametrize(
    ("found", "count"),
    [
        (alerts.errors(3, 100, minutes=5), 1),
        (alerts.errors(2, 100, minutes=5), 0),
        (alerts.errors(40, 49, minutes=5), 0),
        (alerts.latency(0.25, 0.2, 100, minutes=5), 1),
        (alerts.latency(0.1, 0.2, 100, minutes=5), 0),
        (alerts.latency(9.0, 0.2, 10, minutes=5), 0),
        (alerts.ledger(False), 1),
        (alerts.ledger(True), 0),
        (alerts.quotas([("a", 79, 100), ("b", 80, 100), ("c", 250, 100)]), 2),
        (alerts.quality([{"name": "m", "version": "1", "rows": 9, "value": 0.5, "low": 0.4, "high": 0.6, "below": True, "expected": {"value": 0.9}}]), 1),
        (alerts.quality([{"name": "m", "version": "1", "below": False}]), 0),
        (alerts.margin([{"month": "2026-10", "currency": "USD", "margin": "-0.2", "hours": "25"}], floor=0.0), 1),
        (alerts.margin([{"month": "2026-10", "currency": "USD", "margin": "-0.2", "hours": "23"}], floor=0.0), 0),
        (alerts.margin([{"month": "2026-10", "currency": "USD", "margin": None, "hours": "99"}], floor=0.0), 0),
        (alerts.drift([{"name": "m", "window": 500, "verdict": {"drift": True, "features": [{"feature": "age", "statistic": 9, "threshold": 3}]}}]), 1),
        (alerts.drift([{"name": "m", "window": 500, "verdict": None}, {"name": "m", "window": 500, "verdict": {"drift": False}}]), 0),
    ],
)  # fmt: skip
def test_what_is_wrong_and_what_is_not(found, count):
    assert len(found) == count
    assert all(alert.says.endswith(".") and json.dumps(dict(alert.facts)) for alert in found)


def test_the_second_quota_is_another_alert():
    (soft,), (hard,) = alerts.quotas([("a", 80, 100)]), alerts.quotas([("a", 100, 100)])
    assert soft.key != hard.key and (soft.severity, hard.severity) == ("warning", "critical")
