"""Numbers, booleans, categories and dates as one matrix: standardised and one-hot for gradients, raw and coded for trees.

It knows nothing about text; see `ngrams`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from modelyard.features import lookups
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State

DATE_PARTS = ("year", "month", "day", "weekday", "hour", "days")
RAREST = 5
"""A category of fewer training rows is `other`: its weight could not be told from noise."""
CUT = 6.0
"""Standardised numbers are cut here, so that one absurd value cannot carry a linear answer away."""
SMOOTHING = 10.0
"""Pseudo-rows of the overall mean in a category's target mean (Micci-Barreca 2001)."""


def date_parts(seconds: Array) -> Array:
    """(n,) seconds since 1970 -> (n, 6) float64, NaN where missing."""
    result = np.full((len(seconds), len(DATE_PARTS)), np.nan)
    for row in np.flatnonzero(~np.isnan(seconds)):
        when = datetime.fromtimestamp(float(seconds[row]), UTC)
        result[row] = (when.year, when.month, when.day, when.weekday(), when.hour, seconds[row] / 86400)
    return result


def _numbers(rows: Rows, features: dict[str, Any]) -> Array:
    """(n, numbers + booleans + date parts) raw."""
    plain, dates = features["numbers"], features["dates"]
    matrix = np.empty((len(rows), len(plain) + len(dates) * len(DATE_PARTS)))
    for place, name in enumerate(plain):
        matrix[:, place] = rows[name]
    for number, name in enumerate(dates):
        start = len(plain) + number * len(DATE_PARTS)
        matrix[:, start : start + len(DATE_PARTS)] = date_parts(rows[name])
    return matrix


def _columns(state: State) -> dict[str, Any]:
    of = {kind: [c.name for c in state.inputs if c.type in kinds] for kind, kinds in
          (("numbers", ("number", "boolean")), ("dates", ("date",)), ("categories", ("category",)))}  # fmt: skip
    return dict(of)


def number_names(features: dict[str, Any]) -> list[str]:
    """Names of the raw number columns, date parts spelt out."""
    return [*features["numbers"], *(f"{name} {part}" for name in features["dates"] for part in DATE_PARTS)]


# -- for gradients -----------------------------------------------------------------------------------------------------


def fit_dense(rows: Rows, state: State) -> dict[str, Any]:
    """Medians, means, deviations, which columns miss values or are skewed, and the kept categories. From training rows only."""
    features = _columns(state)
    raw = _numbers(rows, features)
    with np.errstate(all="ignore"):
        logged = _skewed(raw)
        moved = _moved(raw, logged)
        median = np.nan_to_num(np.array([np.median(c[~np.isnan(c)]) if (~np.isnan(c)).any() else 0.0 for c in moved.T]))
        filled = np.where(np.isnan(moved), median, moved)
        mean, scale = filled.mean(axis=0), filled.std(axis=0)
    values = {}
    for name in features["categories"]:
        seen, counts = np.unique([value for value in rows[name] if value is not None], return_counts=True)
        values[name] = [str(value) for value, count in zip(seen, counts, strict=True) if count >= RAREST]
    return {
        **features, "log": logged.tolist(), "median": median.tolist(), "mean": mean.tolist(),
        "scale": np.where(scale > 0, scale, 1.0).tolist(), "missing": np.isnan(raw).any(axis=0).tolist(), "values": values,
    }  # fmt: skip


def _skewed(raw: Array) -> Array:
    """Which non-negative columns are so skewed (above 2) that their log1p is standardised instead."""
    flags = []
    for column in raw.T:
        seen = column[~np.isnan(column)]
        spread = seen.std() if len(seen) else 0.0
        flags.append(
            bool(len(seen) and seen.min() >= 0 and spread > 0 and ((seen - seen.mean()) ** 3).mean() / spread**3 > 2)
        )
    return np.array(flags, dtype=bool)


def _moved(raw: Array, logged: Array) -> Array:
    return np.where(logged, np.log1p(np.maximum(raw, 0)), raw) if raw.shape[1] else raw


def dense_names(features: dict[str, Any]) -> list[str]:
    """A name for each column of `encode_dense`."""
    numbers = number_names(features)
    flags = [f"{name} missing" for name, missing in zip(numbers, features["missing"], strict=True) if missing]
    hot = [
        f"{name} = {value}"
        for name in features["categories"]
        for value in [*features["values"][name], "(other)", "(missing)"]
    ]
    return [*numbers, *flags, *hot]


def encode_dense(rows: Rows, features: dict[str, Any]) -> Array:
    """(n, d) float32: standardised numbers, missing flags, one-hot categories with (other) and (missing)."""
    known = lookups.kept(features, _Dense.of)
    raw = _numbers(rows, features)
    absent = np.isnan(raw)
    with np.errstate(all="ignore"):
        moved = _moved(raw, known.log)
    filled = np.where(absent, known.median, moved)
    result = np.zeros((len(rows), known.width), dtype=np.float32)
    numbers = raw.shape[1]
    result[:, :numbers] = np.clip((filled - known.mean) / known.scale, -CUT, CUT)
    result[:, numbers : numbers + len(known.missing)] = absent[:, known.missing]
    if known.places:
        hot = [
            [place.get(value, other) for value in rows[name]]  # a missing value has a place of its own
            for name, (place, other) in known.places.items()
        ]
        result[np.arange(len(rows)), np.array(hot, dtype=np.intp)] = 1.0
    return result


@dataclass(frozen=True)
class _Dense:
    """What `encode_dense` looks up at each call: made once from the features, which are plain lists."""

    log: Array
    median: Array
    mean: Array
    scale: Array
    missing: Array
    """Numbers of the columns that have a flag."""
    places: dict[str, tuple[dict[str | None, int], int]]
    """Column number of each value of a category, and of the values that were never seen."""
    width: int

    @classmethod
    def of(cls, features: dict[str, Any]) -> _Dense:
        log, missing = np.asarray(features["log"], dtype=bool), np.flatnonzero(features["missing"])
        width, places = len(log) + len(missing), {}
        for name in features["categories"]:
            values = features["values"][name]
            place: dict[str | None, int] = {value: width + number for number, value in enumerate(values)}
            other = width + len(values)
            places[name] = ({**place, None: other + 1}, other)
            width = other + 2
        return cls(
            log, np.asarray(features["median"]), np.asarray(features["mean"]), np.asarray(features["scale"]), missing, places, width
        )  # fmt: skip


# -- for trees ---------------------------------------------------------------------------------------------------------


def fit_coded(rows: Rows, target: Array, state: State) -> dict[str, Any]:
    """For each category its code, in the order of the target's smoothed mean, so that one split parts low from high.

    With more than two classes the order is that of the share of the commonest class. Code 0 is missing or never seen.
    """
    features = _columns(state)
    if state.classes:
        shown = int(np.argmax(state.counts)) if state.positive_class is None else state.positive_class
        target = (target == shown).astype(np.float64)
    overall = float(np.mean(target))
    orders = {}
    for name in features["categories"]:
        seen, inverse, counts = np.unique(
            [value or "" for value in rows[name]], return_inverse=True, return_counts=True
        )
        means = (np.bincount(inverse, target, minlength=len(seen)) + SMOOTHING * overall) / (counts + SMOOTHING)
        order = np.lexsort((seen, means))
        orders[name] = [str(seen[place]) for place in order if seen[place] != "" and counts[place] > 1]
    return {**features, "orders": orders}


def coded_names(features: dict[str, Any]) -> list[str]:
    """A name for each column of `encode_coded`."""
    return [*number_names(features), *features["categories"]]


def encode_coded(rows: Rows, features: dict[str, Any]) -> Array:
    """(n, d) float64: raw numbers with NaN where missing, then the codes of categories (0: missing or never seen)."""
    codes = lookups.kept(features, _codes)
    numbers = _numbers(rows, features)
    matrix = np.empty((len(rows), numbers.shape[1] + len(features["categories"])))
    matrix[:, : numbers.shape[1]] = numbers
    for place, name in enumerate(features["categories"], start=numbers.shape[1]):
        known = codes[name]
        matrix[:, place] = [known.get(value, 0) for value in rows[name]]
    return matrix


def _codes(features: dict[str, Any]) -> dict[str, dict[str, int]]:
    """For each category the code of each value, from 1."""
    return {
        name: {value: number + 1 for number, value in enumerate(order)} for name, order in features["orders"].items()
    }
