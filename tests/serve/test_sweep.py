"""Which rates are offered: doubled while they hold, halved where even the first breaks."""

from __future__ import annotations

import pytest

from modelyard.records.served import Level
from modelyard.serve import load, sweep


def levels(capacity: float) -> list[Level]:
    """The sweep of a service that keeps up to `capacity` requests a second and is hopeless above."""

    def measure(rate: float) -> Level:
        kept = rate <= capacity
        late = 0.05 if kept else 9.0
        result = {
            "answered": round(10 * rate), "requests": round(10 * rate), "errors": {}, "seconds": 10.0, "sender_delay": 0.0,
            "p50": late, "p95": late, "p99": late, "mean": late,
        }  # fmt: skip
        return sweep.level(result, rate=rate, seconds=10.0, target=0.1)

    return sweep.sweep(measure, rates=None, target=0.1, enough=lambda: False)


@pytest.mark.parametrize("capacity", [0.7, 1.0, 3.0, 5.0, 90.0, 3000.0])
def test_the_limit_is_found_to_within_a_tenth(capacity: float) -> None:
    assert 0.9 * capacity <= sweep.highest(levels(capacity)) <= capacity


def test_a_service_that_answers_less_than_one_in_two_seconds_sustains_nothing() -> None:
    found = levels(0.2)
    assert sweep.highest(found) == 0.0 and min(level.offered.value for level in found) >= sweep.LEAST_RATE


@pytest.mark.parametrize("answer", [0.635, 0.3, 2.0])
def test_a_slow_service_sustains_no_rate_that_it_cannot_answer(answer: float) -> None:
    """One answer after the other, requests at random: levels of three seconds found 2.1 a second where 1.6 were answered."""

    def measure(rate: float) -> Level:
        seconds = sweep.lasting(rate, 3.0)
        free, late = 0.0, []
        for due in load.arrivals(rate, seconds, kind="poisson", seed=0):
            free = max(free, due) + answer
            late.append(free - due)
        late.sort()
        result = {
            "answered": len(late), "requests": len(late), "errors": {}, "seconds": max(free, seconds), "sender_delay": 0.0,
            "mean": sum(late) / len(late), **{name: load.percentile(late, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))},
        }  # fmt: skip
        return sweep.level(result, rate=rate, seconds=seconds, target=20.0, alone=answer)

    found = sweep.highest(sweep.sweep(measure, rates=None, target=20.0, enough=lambda: False))
    assert 0.6 / answer <= found <= 1.1 / answer if answer < 1 else found == 0.0


@pytest.mark.parametrize(
    ("errors", "sustained"),
    [({}, True), ({"status 429": 2}, True), ({"status 429": 3}, False), ({"status 500": 1}, False), ({"status 429": 1, "timeout": 1}, False)],
)  # fmt: skip
def test_one_in_a_hundred_may_be_told_to_come_again(errors: dict[str, int], sustained: bool) -> None:
    answered = 200 - sum(errors.values())
    result = {
        "answered": answered, "requests": 200, "errors": errors, "seconds": 10.0, "sender_delay": 0.0,
        "p50": 0.05, "p95": 0.05, "p99": 0.05, "mean": 0.05,
    }  # fmt: skip
    assert sweep.level(result, rate=20.0, seconds=10.0, target=0.1).sustained is sustained
