"""Which duties of the law apply where the service sells, and what in this build bears on each. A checklist: no legal advice, no judgement.

Duties stand in `duties.toml`, dated and sourced. It knows no law beyond that table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.blueprint.strategy import Selling, Strategy, duties
from modelyard.business.evidence import Documents, find
from modelyard.records.strategy import DutyState, DutyValue, Evidence

FINDINGS = "audit.findings."
GENERATIVE = ("language", "image")
"""Kinds of tasks that make texts or images."""


def applying(strategy: Strategy, kind: str, known: Documents) -> tuple[DutyValue, ...]:
    """Every duty of the markets named whose conditions hold, the earliest first; `kind` is the task's."""
    selling = strategy.selling
    if selling is None:
        return ()
    found = [
        _value(name, row, strategy, selling, known)
        for name, row in duties().items()
        if row["market"] in selling.markets and all(holds(one, selling, kind) for one in row["when"])
    ]
    return tuple(sorted(found, key=lambda one: (selling.markets.index(one.market), one.since, one.name)))


def holds(condition: str, selling: Selling, kind: str) -> bool:
    """Whether a condition of the table holds."""
    if condition.startswith("area:"):
        return selling.area == condition.removeprefix("area:")
    conditions = {
        "personal_data": selling.personal_data, "decides": selling.decides, "converses": selling.converses,
        "generative": kind in GENERATIVE, "high_risk": selling.area != "none",
    }  # fmt: skip
    return conditions[condition]


def _value(name: str, row: Mapping[str, Any], strategy: Strategy, selling: Selling, known: Documents) -> DutyValue:
    since = row.get("since_product", row["since"]) if selling.area == "safety-component" else row["since"]
    evidence = tuple(_evidence(path, known) for path in row["shown_by"])
    states = [one.state for one in evidence]
    state: DutyState = "open"
    if "failed" in states:
        state = "failed"
    elif name in selling.answers:
        state = "declared"
    elif states and all(one in ("there", "passed") for one in states):
        state = "shown"
    return DutyValue(
        name=name, market=row["market"], law=row["law"], article=row["article"], since=since, in_force=since <= strategy.start,
        state=state, evidence=evidence, source=row["source"], checked=row["checked"],
    )  # fmt: skip


def _evidence(path: str, known: Documents) -> Evidence:
    found = find(path, known)
    if found is None or found.value in ({}, [], "", ()):
        return Evidence(path=path, state="missing")
    if path.startswith(FINDINGS):
        return Evidence(path=path, origin=found.origin, state=found.value["status"])
    tried = [one["passed"] for one in found.value if "passed" in one] if isinstance(found.value, list) else []
    return Evidence(
        path=path, origin=found.origin, state="there" if not tried else "passed" if all(tried) else "failed"
    )
