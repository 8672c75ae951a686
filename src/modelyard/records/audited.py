"""What `audit` found: one finding a check."""

from __future__ import annotations

from typing import Any, Literal

from modelyard.frozen import Frozen
from modelyard.records._base import Estimate, Record


class Finding(Frozen):
    """The result of one check."""

    name: str
    status: Literal["passed", "warning", "failed", "skipped"]
    """`warning`: worth a look, stops nothing. `failed`: the interval lies beyond the limit; a gate."""
    reason: str = ""
    """Why it was skipped, in a word or two."""
    measured: dict[str, Estimate] = {}
    """Figure -> estimate; the figures that decide."""
    limits: dict[str, float] = {}
    """Figure -> limit it must not certainly lie above."""
    floors: dict[str, float] = {}
    """Figure -> limit it must not certainly lie below."""
    stops: tuple[str, ...] = ()
    """Figures whose limit stops the build; the limits of the others only warn."""
    broken: tuple[str, ...] = ()
    """Names of figures beyond their limit."""
    details: dict[str, Any] = {}
    """Facts for the report, by check (see its file)."""


class Audited(Record):
    """The findings, by check."""

    stage: str = "audit"
    findings: tuple[Finding, ...]

    def finding(self, name: str) -> Finding | None:
        """The finding of a check, if it ran."""
        return next((finding for finding in self.findings if finding.name == name), None)
