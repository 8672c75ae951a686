"""The one implementation of each metric, with bootstrap intervals. One file a family; numpy only, but that
images are looked at by a network.

It knows nothing about tasks and models: it is given truth and answers as arrays.

>>> find("accuracy")([0, 1], [[0.9, 0.1], [0.8, 0.2]])
0.5
>>> find("acuracy")
Traceback (most recent call last):
modelyard.errors.UnknownPart: no metric 'acuracy'. Did you mean 'accuracy'? Allowed: accuracy, ...
"""

from __future__ import annotations

from modelyard.errors import UnknownPart, UserError, nearest
from modelyard.metrics import calibration, classification, language, likeness, ranking, regression
from modelyard.metrics._contract import Kind, Metric, Sample, Statistic, mean_of
from modelyard.metrics.intervals import Bootstrap, difference, estimate, estimates, paired
from modelyard.metrics.top_k import TopK, top_k_of

__all__ = [
    "Bootstrap",
    "Kind",
    "Metric",
    "Sample",
    "Statistic",
    "TopK",
    "difference",
    "estimate",
    "estimates",
    "find",
    "mean_of",
    "names",
    "paired",
    "top_k_of",
]  # fmt: skip

_FAMILIES = (classification, ranking, calibration, regression, language, likeness)
_ALL: dict[str, Metric] = {metric.name: metric for family in _FAMILIES for metric in family.METRICS}


def names(kind: Kind | None = None) -> list[str]:
    """The names on the shelf, of one kind or all."""
    return [metric.name for metric in _ALL.values() if kind is None or metric.kind == kind]


def find(name: str, kind: str | None = None) -> Metric:
    """The metric of that name. UnknownPart with the nearest name; UserError where it is not of the `kind` asked for."""
    found = _ALL.get(name)
    if found is None:
        known = [metric.name for metric in _ALL.values() if kind is None or metric.kind == kind]
        raise UnknownPart(f"no metric {name!r}.{nearest(name, known)} Allowed: {', '.join(known)}")
    if kind is not None and found.kind != kind:
        allowed = ", ".join(metric.name for metric in _ALL.values() if metric.kind == kind)
        raise UserError(f"metric {name!r} is for {found.kind}; this task is {kind}. Allowed: {allowed}")
    return found
