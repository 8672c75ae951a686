"""tables: is our default as good as the better of LightGBM and AutoGluon, and how much faster does it answer one row?

Five repetitions of two-fold cross-validation on credit and house prices. Every contender gets every column of the file, the same
rows and the same cores; AutoGluon and ours get the same time. What ours scores and answers with is the compressed model, which is
what would be shipped.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks import harness, ratios
from benchmarks.harness import Entry, Fold, Session
from benchmarks.ratios import Bar, Pair, Result, interval
from modelyard.metrics import Metric, Sample, find
from modelyard.records._base import Estimate

REPETITIONS, FOLDS, SEED = 5, 2, 0
OURS, LIGHTGBM, AUTOGLUON = "modelyard", "lightgbm", "autogluon"
PEERS = (LIGHTGBM, AUTOGLUON)
DEFAULTS = {"budget": 120.0, "rounds": 3}
ROWS = 30
"""Single rows a round."""
IDENTITY = "benchmark_row"
FASTER = 5.0
MINUTES = 130.0


@dataclass(frozen=True)
class Data:
    """One data set and the bar on it."""

    file: str
    target: str
    metric: str
    positive: str | None
    allowed: float
    """Largest upper bound of the loss: absolute, or a share of the error."""

    @property
    def classes(self) -> bool:
        """Whether the target is a class."""
        return self.positive is not None


DATA = {
    "credit": Data("credit/credit.parquet", "Status", "roc_auc", "bad", 0.005),
    "house-prices": Data("house-prices/house-prices.parquet", "Sale_Price", "root_mean_squared_error", None, 0.02),
}
CELLS = [f"{name}-{repetition}-{fold}" for repetition in range(REPETITIONS) for name in DATA for fold in range(FOLDS)]


def run(session: Session) -> None:
    """Run the missing cells and report."""

    def make(cell: str, turn: int) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as place:
            folder = Path(place)
            fold = write(cell, folder)
            return harness.compete(
                fold,
                entries(session.settings, cell),
                turn=turn,
                rounds=session.settings["rounds"],
                rows=ROWS,
                folder=folder,
            )

    cells = session.run(CELLS, make)
    if cells:
        session.finish(report(cells, session.settings["budget"]), whole=len(cells) == len(CELLS))


def data_of(cell: str) -> tuple[str, Data]:
    """The data set of a cell: `credit-0-1`."""
    name = cell.rsplit("-", 2)[0]
    return name, DATA[name]


def frame_of(data: Data) -> pl.DataFrame:
    """The whole table, each row with its number."""
    return (
        pl.read_parquet(harness.ROOT.parent / "recipes" / data.file).with_row_index(IDENTITY).cast({IDENTITY: pl.Int64})
    )


def write(cell: str, folder: Path) -> Fold:
    """Training and test rows of a cell as files."""
    from sklearn.model_selection import KFold, StratifiedKFold

    _, data = data_of(cell)
    repetition, number = map(int, cell.rsplit("-", 2)[1:])
    frame = frame_of(data)
    kind = StratifiedKFold if data.classes else KFold
    folds = kind(FOLDS, shuffle=True, random_state=SEED + repetition)
    train, test = list(folds.split(np.zeros(frame.height), frame[data.target].to_numpy()))[number]
    fold = Fold(
        cell, folder / "train.parquet", folder / "test.parquet", folder / "asked.parquet", data.target, IDENTITY
    )
    frame[train].write_parquet(fold.train)
    frame[test].write_parquet(fold.test)
    frame[test].drop(data.target).write_parquet(fold.asked)
    return fold


def entries(settings: dict[str, Any], cell: str) -> list[Entry]:
    """Ours and the peers, for a cell."""
    _, data = data_of(cell)
    blueprint = {
        "train": {"budget": f"{settings['budget']} s", "seed": SEED, "metric": data.metric},
        "evaluate": {"positive": data.positive},
    }
    return [
        Entry(OURS, "ours", None, {"blueprint": blueprint, "to": "compress"}),
        Entry(
            LIGHTGBM,
            "lightgbm_alone",
            LIGHTGBM,
            {
                "kind": "classification" if data.classes else "regression",
                "metric": "auc" if data.classes else "rmse",
                "seed": SEED,
            },
        ),
        Entry(AUTOGLUON, "autogluon_tabular", AUTOGLUON, {"metric": data.metric, "time_limit": settings["budget"]}),
    ]


# -- report ---------------------------------------------------------------------------------------------------------------


def pair(cell: dict[str, Any], data: Data, truth: dict[int, Any]) -> Pair:
    """Every contender's answers to the rows of a cell, in one order."""
    names = sorted(cell["contenders"][OURS]["answers"]["identity"])
    samples = {}
    for name, one in cell["contenders"].items():
        answers = one["answers"]
        place = {identity: row for row, identity in enumerate(answers["identity"])}
        assert sorted(place) == names, f"{name} answered other rows"
        scores = np.asarray(answers["scores"])[[place[identity] for identity in names]]
        classes = answers["classes"]
        target = [classes.index(truth[row]) if data.classes else float(truth[row]) for row in names]
        samples[name] = Sample.of(target, scores, positive=classes.index(data.positive) if data.classes else None)
    return Pair(samples, np.asarray(names))


def loss(metric: Metric, pairs: list[Pair], peers: tuple[str, ...]) -> Estimate:
    """How much worse ours is than the best of `peers`: absolute where greater is better, else a share of the best's error."""

    def value(means: dict[str, Any]) -> Any:
        theirs = np.stack([means[peer] for peer in peers])
        return theirs.max(axis=0) - means[OURS] if metric.greater_is_better else means[OURS] / theirs.min(axis=0) - 1

    return ratios.folded(metric, pairs, value)


def loss_over_folds(metric: Metric, pairs: list[Pair], peer: str) -> Estimate:
    """The same to one peer, from the differences of whole folds."""
    differences = []
    for one in pairs:
        ours, theirs = metric.of(one.samples[OURS]), metric.of(one.samples[peer])
        differences.append(theirs - ours if metric.greater_is_better else ours / theirs - 1)
    return ratios.over_folds(differences, test_to_train=1.0)


def faster(cells: dict[str, dict[str, Any]], peer: str) -> Estimate | None:
    """How many times faster ours answers one row than a peer; None where no single rows were asked."""
    theirs, ours, groups = [], [], []
    for name, cell in cells.items():
        for mine, other in zip(cell["contenders"][OURS]["one"], cell["contenders"][peer]["one"], strict=True):
            ours.append(mine)
            theirs.append(other)
            groups.append(name)
    return ratios.ratio(theirs, ours, groups=groups) if ours else None


def measure(name: str, cells: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Every figure of one data set."""
    data = DATA[name]
    frame = frame_of(data)
    truth = dict(zip(frame[IDENTITY], frame[data.target], strict=True))
    metric = find(data.metric)
    pairs = [pair(cell, data, truth) for cell in cells.values()]
    contenders = {}
    for each in (OURS, *PEERS):
        found = [cell["contenders"][each] for cell in cells.values()]
        rows = [seconds for one in found for part in one["one"] for seconds in part]
        contenders[each] = {
            data.metric: float(np.mean([metric.of(one.samples[each]) for one in pairs])),
            "seconds": ratios.median([one["seconds"]["fit"] for one in found]),
            "peak_bytes": max(one["peak"] for one in found),
            "row_p50": ratios.median(rows) if rows else None,
        }
    return {
        "cells": len(cells),
        "contenders": contenders,
        "loss_to_best": loss(metric, pairs, PEERS),
        "loss": {peer: loss(metric, pairs, (peer,)) for peer in PEERS},
        "loss_over_folds": {peer: loss_over_folds(metric, pairs, peer) for peer in PEERS},
        "times_faster": {peer: faster(cells, peer) for peer in PEERS},
        "ours": {cell: found["contenders"][OURS]["facts"] for cell, found in cells.items()},
    }


def report(cells: dict[str, dict[str, Any]], budget: float = DEFAULTS["budget"]) -> Result:
    """Bars and a table for each data set."""
    bars, tables, figures = [], [], {}
    for name, data in DATA.items():
        mine = {cell: found for cell, found in cells.items() if data_of(cell)[0] == name}
        if not mine:
            continue
        found = figures[name] = measure(name, mine)
        gap, demanded = (
            found["loss_to_best"],
            f"upper bound ≤ {data.allowed:g}" if data.classes else f"upper bound ≤ {data.allowed:.0%}",
        )
        bars.append(
            Bar(f"{name}: {data.metric} lost to the best peer", demanded, _loss(gap, data), gap.high <= data.allowed)
        )
        speed = found["times_faster"][AUTOGLUON]
        if speed:
            bars.append(
                Bar(
                    f"{name}: one row, times faster than AutoGluon",
                    f"at least {FASTER:g}",
                    interval(speed, 1),
                    speed.low >= FASTER,
                )
            )
        tables.append(_table(name, data, found))
    note = (
        "The loss's interval is the paired bootstrap's: a row is drawn in all five repetitions or in none. The second is the corrected resampled t interval "
        "(Nadeau and Bengio 2003), which also counts that training rows change. One row: ours reads and checks a plain dict, the peers get a ready frame of "
        "one row and keep their models in memory, which favours them."
    )
    bars.append(ratios.budget_kept(cells, OURS, budget))
    return Result("tables", bars, tables, ratios.plain(figures), **ratios.provenance(cells), notes=[note])


def _loss(found: Estimate, data: Data) -> str:
    return interval(found, 4) if data.classes else interval(found, 2, scale=100, unit=" %")


def _table(name: str, data: Data, found: dict[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    lines = []
    for each, one in found["contenders"].items():
        told = ["", "", ""]
        if each != OURS:
            speed = found["times_faster"][each]
            told = [
                _loss(found["loss"][each], data),
                _loss(found["loss_over_folds"][each], data),
                interval(speed, 1) if speed else "",
            ]
        row = f"{one['row_p50'] * 1e3:.2f} ms" if one["row_p50"] else ""
        score = f"{one[data.metric]:.4f}" if data.classes else f"{one[data.metric]:,.0f}"
        lines.append(
            [each, score, *told[:2], row, told[2], f"{one['seconds']:.0f}", f"{one['peak_bytes'] / 1e6:,.0f} MB"]
        )
    header = [
        "",
        data.metric,
        "ours loses",
        "by folds",
        "one row, p50",
        "ours is faster by",
        "training seconds",
        "peak memory",
    ]
    return f"**{name}**, {found['cells']} of {REPETITIONS * FOLDS} folds.", header, lines
