"""The gates of evaluation: better than the dummy with confidence, and the metrics that the blueprint demands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelyard.metrics import Metric, find
from modelyard.records._base import Estimate, Gate


def is_better(difference: Estimate, metric: Metric) -> bool:
    """Whether the whole interval of a difference lies on the good side of 0."""
    return difference.low > 0 if metric.greater_is_better else difference.high < 0


UNDEFINED = "undefined on these rows"


def beats_baseline(baseline: str, difference: Estimate | None, metric: Metric, level: float) -> Gate:
    """The artifact minus the baseline on the same rows must be better with confidence; a figure that is undefined shows nothing."""
    sign = ">" if metric.greater_is_better else "<"
    return Gate(
        name=f"evaluate.beats_{baseline}",
        demanded=f"{metric.name} minus the {baseline}'s {sign} 0 with {level:.0%} confidence",
        measured=UNDEFINED if difference is None else str(difference),
        passed=difference is not None and is_better(difference, metric),
        cure="Give more rows, or columns that say something about the target; check that the target is the right one.",
    )


def sound(troubles: Sequence[str]) -> Gate:
    """No sign of collapse or divergence in what was trained and made."""
    return Gate(
        name="evaluate.collapse",
        demanded="no sign of collapse or divergence",
        measured=", ".join(troubles) or "none",
        passed=not troubles,
        cure="Lower the learning rates, choose another loss (hinge, wasserstein), or train longer.",
    )


def demanded(gates: Mapping[str, float], metrics: Mapping[str, Estimate], kind: str) -> tuple[Gate, ...]:
    """The blueprint's gates, held against the value (the interval is shown). An undefined figure fails."""
    found = []
    for name, limit in gates.items():
        greater = find(name, kind).greater_is_better
        measured = metrics.get(name)
        passed = measured is not None and (measured.value >= limit if greater else measured.value <= limit)
        found.append(
            Gate(
                name=f"evaluate.{name}",
                demanded=f"{name} {'>=' if greater else '<='} {limit:g}",
                measured=str(measured) if measured else UNDEFINED,
                passed=passed,
                cure=f"Improve the model or its data, or change evaluate.gates.{name}.",
            )
        )
    return tuple(found)
