"""What is wrong now, and what is to be told of it: once when it begins, and once when it is over.

Rules turn facts into alerts; a `Board` remembers which of them have been told. It sends nothing and knows no service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

CALM = 2
"""Looks without an alert after which it is over."""
FEWEST = 50
"""Requests from which a share of errors or a percentile says something."""
ERRORS = 0.02
"""Share of requests that fail with 5xx, from which it is told."""
QUOTA = (0.8, 1.0)
"""Shares of an included volume at which it is told."""

Severity = Literal["warning", "critical"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that is wrong. `kind` and `subject` say which; `facts` are numbers."""

    kind: str
    subject: str
    severity: Severity
    says: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Which alert it is."""
        return f"{self.kind} {self.subject}"


def errors(failed: int, asked: int, *, minutes: float) -> list[Alert]:
    """Too many failures."""
    if asked < FEWEST or failed / asked <= ERRORS:
        return []
    says = f"{failed / asked:.1%} of {asked} requests of the last {minutes:g} minutes failed (5xx)."
    return [Alert("errors", "service", "critical", says, {"failed": failed, "asked": asked})]


def latency(p95: float, target: float, asked: int, *, minutes: float) -> list[Alert]:
    """Too slow. `p95`: a bound below it, in seconds."""
    if asked < FEWEST or p95 < target:
        return []
    says = f"p95 of the last {minutes:g} minutes is above {p95 * 1e3:.0f} ms; the target is {target * 1e3:.0f} ms."
    return [Alert("latency", "service", "warning", says, {"p95": p95, "target": target, "asked": asked})]


def quality(models: Iterable[Mapping[str, Any]]) -> list[Alert]:
    """Versions that are worse than their test promised, by the labels that came back."""
    return [
        Alert(
            "quality", f"{one['name']} {one['version']}", "critical",
            f"{one['name']} {one['version']}: {one['value']:.1%} of {one['rows']} judged answers are right (at most {one['high']:.1%} beyond doubt), "
            f"the test promised {one['expected']['value']:.1%}.",
            {name: one[name] for name in ("rows", "value", "low", "high")},
        )
        for one in models if one["below"]
    ]  # fmt: skip


def drift(models: Iterable[Mapping[str, Any]]) -> list[Alert]:
    """Versions whose last window does not look like the data they were made with."""
    found = []
    for one in models:
        verdict = one.get("verdict")
        if verdict and verdict["drift"]:
            moved = [each["feature"] for each in verdict["features"] if each["statistic"] > each["threshold"]]
            says = f"{one['name']}: the last {one['window']} rows differ from the training data in {', '.join(moved[:5]) or 'several features'}."
            found.append(Alert("drift", one["name"], "warning", says, {"features": moved}))
    return found


def margin(lines: Iterable[Mapping[str, Any]], *, floor: float, least_hours: float = 24.0) -> list[Alert]:
    """Currencies in which less is left than wanted, after a day at least."""
    return [
        Alert("margin", one["currency"], "warning", f"The margin of {one['month']} is {float(one['margin']):.1%} so far; wanted are {floor:.0%}.", dict(one))
        for one in lines if one["margin"] is not None and float(one["hours"]) >= least_hours and float(one["margin"]) < floor
    ]  # fmt: skip


def quotas(used: Iterable[tuple[str, int, int]]) -> list[Alert]:
    """Customers near their included volume or at it: (customer, used, included)."""
    found = []
    for customer, count, included in used:
        reached = [share for share in QUOTA if included and count >= share * included]
        if reached:
            says = f"{customer} has used {count} of {included} included requests."
            level: Severity = "critical" if reached[-1] >= 1 else "warning"
            found.append(Alert("quota", f"{customer} {reached[-1]:.0%}", level, says, {"used": count, "included": included}))  # fmt: skip
    return found


def ledger(healthy: bool) -> list[Alert]:
    """The ledger cannot be written."""
    return [] if healthy else [Alert("ledger", "service", "critical", "The ledger cannot be written: nothing is answered.")]  # fmt: skip


class Board:
    """Which alerts stand. `update` says what is news; `state` is JSON and survives a restart."""

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self._open: dict[str, dict[str, Any]] = {key: dict(value) for key, value in (state or {}).items()}

    @property
    def state(self) -> dict[str, Any]:
        """What stands, by key."""
        return self._open

    def update(self, alerts: Iterable[Alert], now: float) -> list[dict[str, Any]]:
        """The events to tell: what began, and what has been over for `CALM` looks."""
        events = []
        present = {alert.key: alert for alert in alerts}
        for key, alert in present.items():
            if key not in self._open:
                told = {"kind": alert.kind, "subject": alert.subject, "severity": alert.severity, "says": alert.says, "since": now}  # fmt: skip
                self._open[key] = {**told, "calm": 0}
                events.append({"status": "firing", **told, "facts": dict(alert.facts)})
            self._open[key]["calm"] = 0
        for key in [key for key in self._open if key not in present]:
            self._open[key]["calm"] += 1
            if self._open[key]["calm"] >= CALM:
                gone = self._open.pop(key)
                gone.pop("calm")
                events.append({"status": "resolved", **gone, "facts": {}})
        return events
