"""Paired statistics over folds, ratios of times, and the tables of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.metrics import Bootstrap, Metric, Sample, mean_of
from modelyard.records._base import Estimate
from modelyard.rows import Array
from modelyard.store import write_text

BOOTSTRAP = Bootstrap(count=2000)

# -- statistics -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """Answers of several contenders to the same rows of one fold; `rows` (n,) names the rows across folds."""

    samples: Mapping[str, Sample]
    rows: Array


def folded(metric: Metric, pairs: Sequence[Pair], value: Callable[[dict[str, Array]], Array]) -> Estimate:
    """A statistic of the contenders' means over folds, with its bootstrap interval by rows.

    A row that is answered in several folds (repeated cross-validation) is drawn in all of them or in none. `value` maps
    {contender: mean over folds (b,)} to (b,). The interval is for these folds' models: training is not drawn anew.
    """
    starts = np.cumsum([0, *(len(pair.rows) for pair in pairs)])
    over = {name: [metric.over(pair.samples[name]) for pair in pairs] for name in pairs[0].samples}

    def statistic(weights: Array) -> Array:
        slices = [weights[:, start:end] for start, end in pairwise(starts)]
        return value(
            {
                name: np.mean([one(part) for one, part in zip(each, slices, strict=True)], axis=0)
                for name, each in over.items()
            }
        )

    (found,) = BOOTSTRAP.of([statistic], int(starts[-1]), groups=np.concatenate([pair.rows for pair in pairs]))
    assert found is not None, f"{metric.name} is undefined on these rows"
    return found


def over_folds(differences: Sequence[float], *, test_to_train: float) -> Estimate:
    """The mean of fold differences with the corrected resampled t interval (Nadeau and Bengio 2003, section 5): training varies too."""
    from scipy.stats import t

    values = np.asarray(differences, dtype=float)
    count = len(values)
    mean = float(values.mean())
    if count < 2:
        return Estimate(value=mean, low=mean, high=mean)
    reach = float(t.ppf(0.975, count - 1) * np.sqrt(values.var(ddof=1) * (1 / count + test_to_train)))
    return Estimate(value=mean, low=mean - reach, high=mean + reach)


def ratio(
    theirs: Sequence[Sequence[float]], ours: Sequence[Sequence[float]], *, groups: Sequence[Any] | None = None
) -> Estimate:
    """How many times faster: the geometric mean over rounds of the ratio of medians, rounds (or groups of them) drawn anew."""
    logs = np.log([float(np.median(a)) / float(np.median(b)) for a, b in zip(theirs, ours, strict=True)])
    labels = None if groups is None or len(set(groups)) == 1 else np.unique(np.asarray(groups), return_inverse=True)[1]
    (found,) = BOOTSTRAP.of([mean_of(logs)], len(logs), groups=labels)
    assert found is not None, "logarithms of seconds"
    return Estimate(**{bound: float(np.exp(getattr(found, bound))) for bound in ("value", "low", "high")})


# -- results --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """A demand and what was measured; losing ones stay."""

    what: str
    demanded: str
    measured: str
    passed: bool


def budget_kept(cells: Mapping[str, dict[str, Any]], name: str, budget: float) -> Bar:
    """Whether the stage `train` kept its budget (s) within 10 %, search, refits and ensemble included, in the worst cell."""
    worst = max(cell["contenders"][name]["facts"]["stages"]["train"] for cell in cells.values()) / budget
    return Bar("training, share of its budget, worst cell", "at most 1.10", f"{worst:.2f}", worst <= 1.1)


def trained(cell: dict[str, Any] | None, ours: str, peer: str) -> list[str]:
    """Our ensemble and both trainings' seconds, the last three columns of a line; blank for a line over several cells."""
    if cell is None:
        return ["", "", ""]
    mine, theirs = (cell["contenders"][name] for name in (ours, peer))
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in mine["facts"]["weights"].items())
    return [weights, f"{mine['seconds']['fit']:.0f}", f"{theirs['seconds']['fit']:.0f}"]


@dataclass
class Result:
    """What a benchmark found."""

    title: str
    bars: list[Bar]
    tables: list[tuple[str, list[str], list[list[str]]]]
    """Caption, header, lines."""
    figures: dict[str, Any]
    """Every number, for machines."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    """Of each cell: when, where, how loaded, which sources."""
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The section of docs/benchmarks.md."""
        blocks = [f"## {self.title}"]
        if self.bars:
            lines = [
                [bar.what, bar.demanded, bar.measured, "reached" if bar.passed else "**missed**"] for bar in self.bars
            ]
            blocks.append(table(["bar", "demanded", "measured", ""], lines))
        blocks += [f"{caption}\n\n{table(header, lines)}" for caption, header, lines in self.tables]
        blocks += self.notes
        if self.runs:
            blocks.append(self._provenance())
        return "\n\n".join(blocks)

    def _provenance(self) -> str:
        """One line on when and where."""
        dates = sorted(run["date"][:10] for run in self.runs)
        others = sorted(run["others"] for run in self.runs)
        told = self.runs[-1]["machine"]
        sources = sorted({run["sources"] for run in self.runs})
        span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        return (
            f"{len(self.runs)} cells, {span}; {told.get('processor', 'unknown processor')}, {told['cores']} cores; "
            f"other processes used {others[0]:.2f} to {others[-1]:.2f} cores; sources {', '.join(sources)}."
        )


def provenance(cells: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """`runs` and `versions` of a Result, from cells."""
    versions: dict[str, dict[str, str]] = {}
    for cell in cells.values():
        versions |= {name: one["versions"] for name, one in cell["contenders"].items() if "versions" in one}
    return {
        "runs": [{"cell": name, **cell["before"], "others": cell["others"]} for name, cell in cells.items()],
        "versions": versions,
    }


def interval(found: Estimate, places: int, *, scale: float = 1.0, unit: str = "") -> str:
    """`0.0123 (0.0045 to 0.0199)`."""
    return f"{found.value * scale:.{places}f}{unit} ({found.low * scale:.{places}f} to {found.high * scale:.{places}f})"


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows)


def write_section(document: Path, name: str, text: str) -> None:
    """Put `text` between the marks of `name` in a Markdown file; marks that are not there are added at its end."""
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    whole = document.read_text(encoding="utf-8") if document.exists() else "# Benchmarks\n"
    block = f"{first}\n{text}\n{last}"
    if first in whole and last in whole:
        head, rest = whole.split(first, 1)
        whole = head + block + rest.split(last, 1)[1]
    else:
        whole = whole.rstrip("\n") + f"\n\n{block}\n"
    write_text(document, whole)


def median(values: Sequence[float]) -> float:
    """The median as a plain number."""
    return float(np.median(np.asarray(values, dtype=float)))


def plain(value: Any) -> Any:
    """Estimates, at any depth, as values that JSON has."""
    if isinstance(value, Estimate):
        return value.model_dump()
    return {key: plain(inner) for key, inner in value.items()} if isinstance(value, dict) else value
