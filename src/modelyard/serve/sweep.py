"""Which rates to offer, which of them were sustained, and where the knee is. It knows nothing about how a level is measured.

Kleinrock, "Power and deterministic rules of thumb for probabilistic problems in computer communications" (ICC 1979): the knee of
a throughput-delay curve is where power, throughput divided by delay, is greatest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelyard.records.served import Latency, Level
from modelyard.units import Quantity

FIRST_RATE, MOST_RATE = 5.0, 5120.0
"""Requests a second; above the last one the load generator itself would be measured."""
LEAST_RATE = 0.5
"""Requests a second below which a level of seconds would hold too few requests to say anything."""
BISECTIONS = 3
"""Halvings, on a log scale, of the factor 2 between the last sustained rate and the first broken one: to within 9 %."""
FEWEST = 20
"""Requests of a level at least, however long they take: of a service that answers twice in a second, five requests in three seconds
begin no queue at a rate that it cannot keep up."""
LONGEST_LEVEL = 60.0
"""Seconds."""
KEPT_UP = 0.9
"""Share of the offered rate at which answers must come. Less would let a queue grow for the whole level."""
REFUSED = 0.01
"""Share of a level's requests that may be told to come again later (429): arrivals by chance come in bursts, and admission refuses what
would be late. Any other error breaks a level."""
FAR_OFF = 3.0
"""A level whose p95 is beyond this many targets, or that has errors, is broken; one nearer is tried once more, because a pause of
the machine fails a short level too."""

Measure = Callable[[float], Level]


def level(result: dict[str, Any], *, rate: float, seconds: float, target: float, alone: float = 0.0) -> Level:
    """A level from what the load generator found: `rate` offered for `seconds`.

    `alone` is the time of one answer on an idle service: the last answer takes as long, and that is no queue.
    """
    achieved = result["answered"] / max(seconds, result["seconds"])
    latency = mean = None
    if "p50" in result:
        latency = Latency(
            requests=result["requests"], **{name: _seconds(result[name]) for name in ("p50", "p95", "p99")}
        )
        mean = _seconds(result["mean"])
    kept_up = result["answered"] / max(seconds, result["seconds"] - alone) >= KEPT_UP * result["requests"] / seconds
    sustained = (
        not _failing(result["errors"], result["requests"])
        and latency is not None
        and latency.p95.value <= target
        and kept_up
    )
    return Level(
        offered=Quantity(rate, "request/s"),
        achieved=Quantity(round(achieved, 3), "request/s"),
        requests=result["requests"],
        errors=result["errors"],
        latency=latency,
        mean=mean,
        sender_delay=_seconds(result["sender_delay"]),
        sustained=sustained,
    )


def lasting(rate: float, level_time: float) -> float:
    """Seconds that a level lasts: `level_time`, or longer where that holds too few requests."""
    return max(level_time, min(FEWEST / rate, LONGEST_LEVEL))


def sweep(
    measure: Measure,
    *,
    rates: Sequence[float] | None,
    target: float,
    enough: Callable[[], bool],
    demanded: float | None = None,
) -> list[Level]:
    """Levels by rising rate: the given ones, or doubled from 5 until one breaks (halved where 5 does) and then closed in on the limit.

    Given rates and the demanded one are offered in any case. `enough` is asked before each other level but the first, and before a
    level is tried again: when it says yes, neither is done any more.
    """
    found: dict[float, Level] = {}

    def take(rate: float) -> bool:
        found[rate] = measure(rate)
        if not found[rate].sustained and not _broken(found[rate], target) and not enough():
            again = measure(rate)
            found[rate] = again if again.sustained else found[rate]
        return found[rate].sustained

    wanted: set[float] = set() if demanded is None else {demanded}
    if rates is not None:
        for rate in sorted(wanted.union(rates)):
            take(rate)
        return list(found.values())
    good = bad = 0.0
    for rate in sorted(wanted.union(_doubled())):
        if found and enough():
            break
        if not take(rate):
            bad = rate
            break
        good = rate
    while bad > 2 * LEAST_RATE and not good and not enough():
        good, bad = (bad / 2, bad) if take(bad / 2) else (0.0, bad / 2)
    for _ in range(BISECTIONS if good and bad else 0):
        if enough():
            break
        middle = round((good * bad) ** 0.5, 1)
        good, bad = (middle, bad) if take(middle) else (good, middle)
    for rate in wanted - found.keys():
        take(rate)
    return [found[rate] for rate in sorted(found)]


def highest(levels: Sequence[Level]) -> float:
    """The highest sustained rate (requests a second), 0 where none was."""
    return max((item.offered.value for item in levels if item.sustained), default=0.0)


def open_ended(levels: Sequence[Level]) -> bool:
    """Whether the highest rate offered was sustained: the limit was not found, and `highest` is a lower bound."""
    return bool(levels) and max(levels, key=lambda item: item.offered.value).sustained


def knee(levels: Sequence[Level]) -> float | None:
    """The rate of the level with the greatest power; None where no level was answered without errors."""
    clean = [item for item in levels if item.mean is not None and item.mean.value > 0 and not item.errors]
    best = max(clean, key=lambda item: item.achieved.value / item.mean.value, default=None)  # type: ignore[union-attr]
    return None if best is None else best.offered.value


def _doubled() -> list[float]:
    rates = [FIRST_RATE]
    while rates[-1] * 2 <= MOST_RATE:
        rates.append(rates[-1] * 2)
    return rates


def _broken(item: Level, target: float) -> bool:
    return _failing(item.errors, item.requests) or item.latency is None or item.latency.p95.value > FAR_OFF * target


def _failing(errors: Mapping[str, int], requests: int) -> bool:
    return bool(errors.keys() - {"status 429"}) or sum(errors.values()) > REFUSED * requests


def _seconds(value: float) -> Quantity:
    return Quantity(round(value, 7), "s")
