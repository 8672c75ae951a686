"""Audit: may the chosen artifact be trusted? One check a file in `checks/`; a check that fails is a gate.

It reads the saved test answers of `evaluate`, and asks the artifact again only for rows that a check edited. It does
not know how models learn, and chooses nothing.

    yard run blueprint.yaml --only audit
"""

from __future__ import annotations

from modelyard import parts
from modelyard.audit.world import World
from modelyard.context import Context
from modelyard.records._base import Derived, Gate
from modelyard.records.audited import Audited, Finding

SHOWN = 3
"""Broken figures that a gate names; the finding holds all."""


def run(context: Context) -> Audited:
    """Run every check that applies, with the blueprint's options."""
    world = World.of(context)
    options = context.blueprint.audit.checks or {}
    names = parts.names("audit.checks")
    findings, gates, used = [], [], {}
    with context.progress.bar("audit", len(names)) as advance:
        for name in names:
            check = parts.build("audit.checks", name, options.get(name))
            used[name] = check.model_dump(mode="json")
            reason = "left out by the blueprint" if check.skip else check.applies(world)
            if reason:
                findings.append(Finding(name=name, status="skipped", reason=reason))
            else:
                findings.append(check(world))
                gates.append(gate(findings[-1], check.cure))
            advance(1)
    derived = Derived(path="audit.checks", value=used, reason="every check with every option")
    return Audited(findings=tuple(findings), gates=tuple(gates), derived=(derived,))


def gate(finding: Finding, cure: str) -> Gate:
    """The gate of a finding: it stops the run only where a whole interval lies beyond a limit that stops; other limits warn."""
    failed = finding.status == "failed"
    limits = {name: f"not surely above {limit:g}" for name, limit in finding.limits.items()}
    limits |= {name: f"not surely below {limit:g}" for name, limit in finding.floors.items()}
    ordered = [name for name in finding.measured if name in limits and name in finding.stops]
    shown = [name for name in ordered if _beyond(finding, name)][:SHOWN] if failed else ordered[:1]
    demanded = "; ".join(f"{name} {limits[name]}" for name in shown) or "no figure that stops the build"
    measured = "; ".join(f"{name} {finding.measured[name]}" for name in shown)
    return Gate(
        name=f"audit.{finding.name}",
        demanded=demanded,
        measured=measured or finding.status,
        passed=not failed,
        cure=cure,
    )


def _beyond(finding: Finding, name: str) -> bool:
    """Whether a figure's whole interval is beyond its limit."""
    found = finding.measured[name]
    return found.low > finding.limits[name] if name in finding.limits else found.high < finding.floors[name]
