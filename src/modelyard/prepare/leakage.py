"""Leakage suspects: a column that alone predicts the target, an identifier that does, a time that runs backwards. It names, it does not drop.

Each column is tried alone, cross-fitted: numbers as quantile bins and by interpolation between neighbours, categories by the mean
target of each value. Free text is not tried: that text predicts is its use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard import metrics
from modelyard.records.prepared import ColumnCard, Suspect
from modelyard.rows import Array

if TYPE_CHECKING:
    import polars

SAMPLE = 5000
FOLDS = 3
BINS = 64
TOO_GOOD = 0.98
"""ROC-AUC, or R², from which one column alone is suspicious."""
LEAST_ROWS = 30
"""With fewer rows a column is that good by chance."""


def suspects(
    frame: polars.DataFrame, target: polars.Series, cards: Sequence[ColumnCard], *, seed: int
) -> list[Suspect]:
    """Columns that alone predict the target. `frame` and `target` are training rows."""
    if target.len() < LEAST_ROWS:
        return []
    rng = np.random.default_rng(seed)
    wanted = _target(target)
    rows = _sample(wanted, rng)
    fold = rng.integers(0, FOLDS, len(rows))
    found = []
    for card in cards:
        if card.role == "target" or card.type in ("text", "image", "sequence"):
            continue
        identifier = card.type == "ignore" and card.reason.startswith("identifier")
        if card.type == "ignore" and not identifier:
            continue
        series = frame[card.name].gather(rows)
        value = alone(series, wanted[rows], fold, kind="identifier" if identifier else card.type)
        if value >= TOO_GOOD:
            detail = {
                "measure": "roc_auc" if wanted.ndim == 2 else "r2",
                "role": card.role,
                "rows": len(rows),
                "limit": TOO_GOOD,
            }
            found.append(
                Suspect(
                    kind="identifier" if identifier else "predicts_target",
                    column=card.name,
                    value=round(value, 4),
                    detail=detail,
                )
            )
    return found


def _target(target: polars.Series) -> Array:
    """(n, K) one-hot classes of at least 5 rows, or (n,) numbers."""
    import polars as pl

    if target.dtype != pl.String:
        return target.to_numpy().astype(np.float64)
    counts = target.value_counts(sort=True).filter(pl.col("count") >= 5)
    names = sorted(counts[target.name].head(20).to_list())  # the 20 largest classes tell enough
    looked_for = names[1:] if len(names) == 2 else names  # of two, one says it all
    values = target.to_numpy()
    return (
        np.stack([values == name for name in looked_for], axis=1).astype(np.float64)
        if names
        else np.zeros((len(values), 1))
    )


def _sample(wanted: Array, rng: np.random.Generator) -> Array:
    """At most SAMPLE rows; of a rare positive class, up to half of them, for the AUC does not depend on its share."""
    count = len(wanted)
    if count <= SAMPLE:
        return np.arange(count)
    if wanted.ndim == 2 and wanted.shape[1] == 1:
        halves = [np.flatnonzero(wanted[:, 0] == value) for value in (0.0, 1.0)]
        small = min(len(half) for half in halves)
        wants = [min(len(half), max(SAMPLE // 2, SAMPLE - small)) for half in halves]
        return np.sort(
            np.concatenate([rng.choice(half, want, replace=False) for half, want in zip(halves, wants, strict=True)])
        )
    return np.sort(rng.choice(count, SAMPLE, replace=False))


def alone(series: polars.Series, wanted: Array, fold: Array, *, kind: str) -> float:
    """How well one column predicts alone, cross-fitted: the mean one-against-rest ROC-AUC, or R². At most 1."""
    import polars as pl

    if kind in ("number", "date", "boolean") or (kind == "identifier" and series.dtype.is_numeric()):
        values = (
            (series.cast(pl.Datetime("us")).dt.epoch("us") if kind == "date" else series)
            .cast(pl.Float64)
            .fill_null(float("nan"))
            .to_numpy()
        )
        codes = _bins(values)
    else:
        texts = series.cast(pl.String)
        if kind == "identifier":  # the answer may stand before the number: spam-00017
            texts = texts.str.extract(r"^([^\d]*)", 1)
        codes = texts.rank("dense").fill_null(0).to_numpy().astype(np.int64)
        values = None
    if wanted.ndim == 2:
        scores = np.stack([_fitted_means(codes, column, fold) for column in wanted.T], axis=1)
        area = metrics.find("roc_auc")
        areas = [
            np.nan_to_num(area(one > 0, np.stack([-score, score], axis=1)))
            for score, one in zip(scores.T, wanted.T, strict=True)
        ]  # 0 where a side is empty
        return float(np.mean(areas)) if areas else 0.0
    guesses = [_fitted_means(codes, wanted, fold)]
    if values is not None:
        guesses.append(_interpolated(values, wanted, fold))
    spread = ((wanted - wanted.mean()) ** 2).sum()
    return float(max(1 - ((wanted - guess) ** 2).sum() / spread for guess in guesses)) if spread else 0.0


def _bins(values: Array) -> Array:
    """Quantile bins from 1; missing is 0."""
    present = values[~np.isnan(values)]
    if not len(present):
        return np.zeros(len(values), dtype=np.int64)
    edges = np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.where(np.isnan(values), 0, np.searchsorted(edges, values, side="right") + 1)


def _fitted_means(codes: Array, wanted: Array, fold: Array) -> Array:
    """For each row, the mean target of its value in the other folds, drawn to the overall mean by two rows' weight."""
    size = int(codes.max()) + 1
    result = np.empty(len(codes))
    for number in range(FOLDS):
        inside, outside = fold == number, fold != number
        mean = wanted[outside].mean() if outside.any() else 0.0
        sums = np.bincount(codes[outside], weights=wanted[outside], minlength=size)
        counts = np.bincount(codes[outside], minlength=size)
        result[inside] = ((sums + 2 * mean) / (counts + 2))[codes[inside]]
    return result


def _interpolated(values: Array, wanted: Array, fold: Array) -> Array:
    """For each row, the target interpolated between the neighbouring values of the other folds."""
    result = np.full(len(values), wanted.mean())
    known = ~np.isnan(values)
    for number in range(FOLDS):
        inside, outside = (fold == number) & known, (fold != number) & known
        if outside.any():
            places, inverse = np.unique(values[outside], return_inverse=True)
            means = np.bincount(inverse, weights=wanted[outside]) / np.bincount(inverse)
            result[inside] = np.interp(values[inside], places, means)
    return result


LATE_SHARE = 0.01
"""Share of training rows later than the first test row from which a time split is suspicious. Below it are the later copies of earlier
rows, which go to the side of the first (see `splitting.by_time`)."""


def time_backwards(times: Mapping[str, Array], column: str, *, by_time: bool) -> Suspect | None:
    """Training rows later than test rows. By time: more than a few, brought by duplicates. Given splits: train is later by the median."""
    train, test = (times[name][~np.isnan(times[name])] for name in ("train", "test"))
    if not len(train) or not len(test):
        return None
    late = int((train > test.min()).sum())
    backwards = late > LATE_SHARE * len(train) if by_time else bool(np.median(train) > np.median(test))
    detail: dict[str, Any] = {"rows": late, "of": len(train), "by_time": by_time}
    return (
        Suspect(kind="time_backwards", column=column, value=round(late / len(train), 4), detail=detail)
        if backwards
        else None
    )
