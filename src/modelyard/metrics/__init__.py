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

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points

from modelyard.errors import UnknownPart, UserError, nearest
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


@cache
def _shelf() -> dict[str, Metric]:
    """All metrics by name: `METRICS` of each file here that has them, and of each entry point of group `modelyard.metrics`."""
    own = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    families = [*own, *(entry.load() for entry in entry_points(group=__name__))]
    every = [metric for family in families for metric in getattr(family, "METRICS", ())]
    return {metric.name: metric for metric in sorted(every, key=lambda metric: metric.name)}


def names(kind: Kind | None = None) -> list[str]:
    """The names on the shelf, of one kind or all."""
    return [metric.name for metric in _shelf().values() if kind is None or metric.kind == kind]


def find(name: str, kind: str | None = None) -> Metric:
    """The metric of that name. UnknownPart with the nearest name; UserError where it is not of the `kind` asked for."""
    found = _shelf().get(name)
    if found is None:
        known = [metric.name for metric in _shelf().values() if kind is None or metric.kind == kind]
        raise UnknownPart(f"no metric {name!r}.{nearest(name, known)} Allowed: {', '.join(known)}")
    if kind is not None and found.kind != kind:
        allowed = ", ".join(metric.name for metric in _shelf().values() if metric.kind == kind)
        raise UserError(f"metric {name!r} is for {found.kind}; this task is {kind}. Allowed: {allowed}")
    return found


def forget() -> None:
    """Read the shelf anew where it is asked for next: plug-ins came or went while this process ran."""
    _shelf.cache_clear()
