"""Figures of groups of test rows: which columns are sliced, and what is measured in each slice."""

from __future__ import annotations

from modelyard.context import Context
from modelyard.evaluate._rows import Trial
from modelyard.metrics import Metric, Sample, estimates
from modelyard.metrics.slicing import MOST, Slices, slices_of
from modelyard.records.evaluated import Slice

FIGURES = 3
"""Metrics measured in a slice: the choosing one and the next; all of them in every slice would bury what matters."""


def columns(context: Context, test: Trial) -> dict[str, Slices]:
    """The slices of each sliced column; columns with one value only are left out."""
    blueprint = context.blueprint
    named: dict[str, str] = {}
    if blueprint.evaluate.slices is not None:
        named |= dict.fromkeys(blueprint.evaluate.slices, "evaluate.slices")
    else:
        named |= {
            name: "inputs" for name, kind in test.state.types().items() if kind in ("category", "boolean", "text")
        }
    named |= dict.fromkeys(blueprint.audit.sensitive, "audit.sensitive")
    found = {}
    for name, where in named.items():
        values, kind = test.column(name, where)
        slices = slices_of(values, kind)
        if 1 < len(slices.names) <= MOST or (where != "inputs" and len(slices.names) > 1):
            found[name] = slices
    return found


def measure(context: Context, test: Trial, sample: Sample, metrics: list[Metric]) -> dict[str, dict[str, Slice]]:
    """Column -> value -> rows and figures; undefined figures (ranking rows of one class) are left out."""
    found: dict[str, dict[str, Slice]] = {}
    for name, slices in columns(context, test).items():
        found[name] = {}
        for number, value in enumerate(slices.names):
            mask = slices.mask(number)
            groups = None if test.groups is None else test.groups[mask]
            part = sample.take(mask)
            measured = estimates(metrics[:FIGURES], part, groups=groups, bootstrap=test.bootstrap)
            found[name][value] = Slice(rows=len(part), metrics=measured)
    return found
