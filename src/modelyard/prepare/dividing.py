"""Which rule of splitting applies, and what happens to rows that repeat across given splits. The rules themselves are in `splitting`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from modelyard.blueprint import Blueprint
from modelyard.errors import DataError
from modelyard.prepare import duplicates, grouping, inference, splitting
from modelyard.prepare.reading import GIVEN, SYNONYMS
from modelyard.prepare.roles import Roles
from modelyard.prepare.splitting import TEST, TRAIN, VALIDATION
from modelyard.prepare.target import Target
from modelyard.records.prepared import CleaningStep, Suspect
from modelyard.rows import SPLITS, Array

if TYPE_CHECKING:
    import polars

STRATA = 10
"""Quantile bins of a number target where a stratified split is asked for."""
DROPPED = -1


@dataclass(frozen=True)
class Division:
    """Where every row goes."""

    by: str
    reason: str
    side: Array
    """(n,) 0 train, 1 validation, 2 test, -1 left out (repeats a row of a given split that counts more, or its label would come too late)."""
    groups: Array
    """(n,) rows of one group share a side, and a fold."""
    dropped: list[CleaningStep] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    times: Array | None = None
    """(n,) the moments that split the rows, where they did."""
    given: tuple[str, ...] = ()
    """Splits that the data named itself."""


def divide(table: polars.DataFrame, blueprint: Blueprint, roles: Roles, wanted: Target, pairs: Array) -> Division:
    """Split the rows as the blueprint says. `pairs` (m, 2) are rows that repeat each other."""
    split = blueprint.prepare.split
    names, classes = _classes(wanted)
    groups = duplicates.clusters(table.height, pairs)
    by = split.by if split.by != "auto" else ("stratified" if wanted.kind == "classes" else "random")
    if by == "group":
        groups = duplicates.clusters(
            table.height, np.concatenate([pairs, grouping.column_pairs(table[str(split.column)])])
        )
    times = _times(table, str(split.column), roles) if by == "time" else None
    strata = (
        _strata(wanted, classes) if by in ("stratified", "group", "column") else np.zeros(table.height, dtype=np.int64)
    )
    marks = grouping.marks(table, [*roles.inputs, wanted.name])
    rules = _Rules(
        groups,
        classes,
        strata,
        marks,
        times,
        (1 - split.validation - split.test, split.validation, split.test),
        blueprint.train.seed,
    )
    if GIVEN in table.columns or by == "column":
        values = table[GIVEN] if GIVEN in table.columns else table[str(split.column)]
        division = _given(
            values.to_list(), rules, by="files" if GIVEN in table.columns else "column", column=split.column
        )
    elif times is not None:
        side, (first, last) = splitting.by_time(times, groups, shares=rules.shares)
        unknown = int(np.isnan(times).sum())
        told = f"; {unknown} rows without a time are learnt from" if unknown else ""
        moments = f"rows from {_moment(table, split.column, first)} validate, from {_moment(table, split.column, last)} test{told}"
        division = Division(by, moments, side, groups, times=times)
    else:
        side = splitting.by_groups(groups, classes, marks, strata=strata, shares=rules.shares, seed=rules.seed)
        division = Division(by, _reason(by, wanted, split.column), side, groups)
    if times is not None and split.gap.value:
        division = _without_recent(division, times, split.gap.value)
    splitting.check(division.side, classes, names, division.by)
    return division


def _without_recent(division: Division, times: Array, gap: float) -> Division:
    """The division without the rows whose labels would not be known when the next side begins."""
    late = splitting.too_recent(division.side, times, gap)
    detail = {SPLITS[number]: int((late & (division.side == number)).sum()) for number in (TRAIN, VALIDATION)}
    before = int((division.side != DROPPED).sum())
    step = CleaningStep(name="too_recent", before=before, after=before - int(late.sum()), detail=detail)
    return replace(division, side=np.where(late, DROPPED, division.side), dropped=[*division.dropped, step])


@dataclass(frozen=True)
class _Rules:
    """What splitting needs to know of the rows."""

    groups: Array
    classes: Array
    strata: Array
    marks: Array
    times: Array | None
    shares: tuple[float, float, float]
    seed: int


def _given(values: list[str | None], rules: _Rules, *, by: str, column: str | None) -> Division:
    """Given splits: repeats of test rows leave the others, of validation rows the training rows; an absent split is held out of train."""
    side = splitting.given(values, SYNONYMS, column or GIVEN)
    given = [split for number, split in enumerate(SPLITS) if (side == number).any()]
    lost = _repeated(side, rules.groups)
    steps, suspects = [], []
    if lost.any():
        detail = {SPLITS[number]: int((lost & (side == number)).sum()) for number in (TRAIN, VALIDATION)}
        steps.append(
            CleaningStep(
                name="repeated_across_splits", before=len(side), after=len(side) - int(lost.sum()), detail=detail
            )
        )
        suspects.append(Suspect(kind="repeated_across_splits", column=None, value=float(lost.sum()), detail=detail))
        side = np.where(lost, DROPPED, side)
    for absent in (TEST, VALIDATION):
        if not (side == absent).any():
            if SPLITS[absent] in given:
                raise DataError(
                    f"every given {SPLITS[absent]} row repeats a row of another split. Give other {SPLITS[absent]} rows."
                )
            _hold_out(side, absent, rules)
    made = [split for split in SPLITS if split not in given]
    where = "the files are the splits" if by == "files" else f"the column {column} says it"
    return Division(
        by,
        where + (f"; {' and '.join(made)} rows are held out of train" if made else ""),
        side,
        rules.groups,
        steps,
        suspects,
        given=tuple(given),
    )


def _repeated(side: Array, groups: Array) -> Array:
    """(n,) whether a row's group also stands on a side that counts more: test before validation before train."""
    latest = np.full(int(groups.max()) + 1, TRAIN)
    np.maximum.at(latest, groups, side)
    return np.asarray(latest[groups] > side)


def _hold_out(side: Array, absent: int, rules: _Rules) -> None:
    """Move training rows to a split that was not given: the latest ones where rows are split by time, else by groups."""
    rows = np.flatnonzero(side == TRAIN)
    share = min(0.5, rules.shares[absent] * (side != DROPPED).sum() / len(rows))
    groups = np.unique(rules.groups[rows], return_inverse=True)[1]
    if rules.times is not None:
        times = rules.times[rows]
        held = times >= splitting.cut(np.sort(times[~np.isnan(times)]), share)
        whole = np.ones(int(groups.max()) + 1, dtype=bool)
        np.logical_and.at(whole, groups, held)
        side[rows[whole[groups]]] = absent
        return
    shares = (1 - share, share, 0.0) if absent == VALIDATION else (1 - share, 0.0, share)
    side[rows] = splitting.by_groups(
        groups, rules.classes[rows], rules.marks[rows], strata=rules.strata[rows], shares=shares, seed=rules.seed
    )


def _classes(wanted: Target) -> tuple[list[str], Array]:
    """Class names and numbers; no names and zeros where the target has none."""
    if wanted.kind != "classes":
        return [], np.zeros(wanted.values.len(), dtype=np.int64)
    names, numbers = np.unique(wanted.values.to_numpy().astype(str), return_inverse=True)
    return names.tolist(), numbers.astype(np.int64)


def _strata(wanted: Target, classes: Array) -> Array:
    if wanted.kind == "classes":
        return classes
    if wanted.kind != "number":
        return np.zeros(wanted.values.len(), dtype=np.int64)
    values = wanted.values.to_numpy()
    return np.searchsorted(
        np.unique(np.quantile(values, np.linspace(0, 1, STRATA + 1)[1:-1])), values, side="right"
    ).astype(np.int64)


def _times(table: polars.DataFrame, column: str, roles: Roles) -> Array:
    import polars as pl

    kind = roles.types.get(column)
    values = (
        table[column].dt.epoch("us").cast(pl.Float64) / 1e6 if kind == "date" else inference.numbers_of(table[column])
    )
    if values is None or kind is None:
        raise DataError(
            f"prepare.split.column: the column {column!r} is no time: {kind} ({roles.reasons.get(column, 'the target')}). "
            "Name a column of dates or numbers, or declare it under data.columns as date."
        )
    return np.asarray(values.fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _moment(table: polars.DataFrame, column: str | None, value: float) -> str:
    import polars as pl

    if table.schema[str(column)] != pl.Datetime:
        return f"{value:g}"
    return str(pl.Series([round(value * 1e6)]).cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S")[0])


def _reason(by: str, wanted: Target, column: str | None) -> str:
    if by == "group":
        return f"rows of one {column} stay together"
    if by == "stratified":
        told = {
            "classes": "the target has classes: each keeps its share on every side",
            "number": "the target keeps its spread on every side",
        }
        return told.get(wanted.kind, "rows are drawn at random: the target has nothing to keep shares of")
    return "the target is a number" if wanted.kind == "number" else "rows are drawn at random"
