"""The reference: what held-out rows and their answers looked like, in counts, with the threshold that belongs to it.

`package` writes it (`reference.json`), the service compares with it. It holds no row, no text and no word: bins, counts, and names of
categories that at least 2 % of the rows have. A package may have none, and then says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from modelyard.errors import PackageError
from modelyard.frozen import Frozen
from modelyard.rows import Array, Column, Rows
from modelyard.store import read_json, write_json
from modelyard.watching import drift
from modelyard.watching.measures import Binner, Feature, Kind, kind_of, learnt, said

FILE = "reference.json"
WINDOW = 500
"""Rows of a window: what a few hundred requests show, and 1,000 show twice."""
FEWEST, MOST = 100, 3000
"""Held-out rows from which there is a reference, and beyond which more of them add little (the window's own error is then seven
times the variance) but time."""


class Bin(Frozen):
    """One bin of a feature, as people are told of it: from `low` up to `high`, `just` the number `low`, `above` it, or what `key` says."""

    key: Literal["between", "just", "above", "is", "rest", "missing"]
    low: float | None = None
    high: float | None = None
    value: str | None = None
    before: float
    """Share of the reference's rows."""
    now: float
    """Share of the window's."""


class Shift(Frozen):
    """How a feature moved most, in words' keys and numbers: the share of rows for which `key` holds went from `before` to `now`."""

    key: Literal["over", "above", "is", "rest", "missing", "word"]
    value: str | float | None = None
    before: float
    now: float


class Moved(Frozen):
    """A feature in a window."""

    feature: str
    """`note.digits`; `answer.class` for answers."""
    kind: Kind
    """How it is watched; numbers of a `date` are seconds since 1970."""
    statistic: float
    threshold: float
    shift: Shift
    bins: tuple[Bin, ...] = ()


class Verdict(Frozen):
    """What a window showed."""

    at: float
    """When it closed, in seconds since 1970."""
    rows: int
    drift: bool
    statistic: float
    """The largest of its features."""
    threshold: float
    features: tuple[Moved, ...]
    """The furthest first."""


class Reference(Frozen):
    """What `reference.json` holds."""

    format: Literal[1] = 1
    reason: str = ""
    """Why nothing is watched, where nothing is."""
    split: str = ""
    """The split that its rows come from."""
    rows: int = 0
    window: int = WINDOW
    rate: float = drift.RATE
    """Share of clean windows that alarm, on average over references."""
    threshold: float = 0.0
    features: tuple[Feature, ...] = ()

    @cached_property
    def binner(self) -> Binner:
        """What makes bins of rows."""
        return Binner(self.features)

    @cached_property
    def counts(self) -> Array:
        """(B,) the reference's rows in each bin, all features in one line."""
        return np.array([count for feature in self.features for count in feature.counts])

    @cached_property
    def freedoms(self) -> tuple[int, ...]:
        """Degrees of freedom of each feature."""
        return tuple(feature.freedom for feature in self.features)

    def judge(self, counts: Array, rows: int, *, at: float, most: int = 12) -> Verdict:
        """A window's counts (B,) of `rows` rows; the features furthest off are told, `most` of them."""
        found = drift.statistics(
            counts, rows, self.counts, self.rows, starts=self.binner.starts, freedoms=self.freedoms
        )
        order = np.argsort(-found, kind="stable").tolist()
        largest = float(found[order[0]])
        first = {(self.features[place].column, self.features[place].part): place for place in reversed(order)}
        told = [place for place in order if place in first.values()][:most]  # of a column's words the furthest off
        moved = tuple(self._moved(place, counts, rows, float(found[place])) for place in told)
        return Verdict(
            at=at, rows=rows, drift=largest > self.threshold, statistic=round(largest, 3), threshold=self.threshold, features=moved
        )  # fmt: skip

    def _moved(self, place: int, counts: Array, rows: int, statistic: float) -> Moved:
        feature, start = self.features[place], self.binner.starts[place]
        now = counts[start : start + feature.bins] / rows
        before = np.array(feature.counts) / self.rows
        return Moved(
            feature=f"{feature.column or 'answer'}.{feature.part}",
            kind=feature.kind,
            statistic=round(statistic, 3),
            threshold=self.threshold,
            shift=_shift(feature, before, now),
            bins=_told(feature, before, now),
        )

    def save(self, folder: Path) -> None:
        """Write `reference.json`."""
        write_json(folder / FILE, self.model_dump(mode="json", exclude_defaults=True) | {"format": 1})


def read_reference(folder: Path) -> Reference | None:
    """A package's reference; None where it was packaged without. PackageError where it cannot be read."""
    if not (folder / FILE).exists():
        return None
    try:
        return Reference.model_validate(read_json(folder / FILE))
    except (ValueError, ValidationError) as error:
        raise PackageError(f"{folder / FILE} cannot be read: {error}. Package it again.") from None


def make_reference(
    rows: Rows, answers: Sequence[Mapping[str, Any]], *, training: Rows, columns: Sequence[Column], seed: int,
    kind: Literal["classification", "regression"] | None = None, split: str = "validation", window: int = WINDOW,
    resamples: int = drift.RESAMPLES,
) -> Reference:  # fmt: skip
    """The reference of held-out rows, `columns` of them, and of the answers to them (`kind` says which; None: answers are not watched).

    Bins are made of training rows: bins chosen by the rows that are counted in them would fit these better than any others, and twice
    as many clean windows would alarm (docs/log.md). A second or two: the threshold is tried on `resamples` windows.
    """
    if not columns and kind is None:
        return Reference(reason="its requests hold nothing that could shift")
    if len(rows) < FEWEST:
        return Reference(reason=f"{len(rows)} held-out rows are too few to compare with (at least {FEWEST})")
    features = [
        feature for column in columns for feature in learnt(column.name, kind_of(column), training[column.name])
    ]
    kinds: dict[str | None, tuple[Kind, ...]] = {"classification": ("class", "confidence"), "regression": ("value",)}
    for each in kinds.get(kind, ()):
        features += learnt("", each, said(answers, each))
    binner = Binner(features)
    bins = binner.bins(rows, answers)
    counted = np.split(binner.counts(bins), binner.starts[1:])
    features = [
        feature.model_copy(update={"counts": tuple(counts.tolist())})
        for feature, counts in zip(features, counted, strict=True)
    ]
    largest = drift.largest_by_chance(
        bins, starts=binner.starts, width=binner.width, window=window, seed=seed, resamples=resamples,
        freedoms=[feature.freedom for feature in features],
    )  # fmt: skip
    return Reference(
        split=split,
        rows=len(rows),
        window=window,
        threshold=round(drift.threshold(largest), 4),
        features=tuple(features),
    )


def _shift(feature: Feature, before: Array, now: Array) -> Shift:
    """What changed most, said of the share of rows for which it holds."""
    rare = len(before) - 1  # the last bin: missing
    found = [Shift(key="missing", before=_short(before[rare]), now=_short(now[rare]))]
    if feature.kind in ("category", "class"):
        found += [
            Shift(key="is", value=value, before=_short(before[place]), now=_short(now[place]))
            for place, value in enumerate(feature.values)
        ]
        found.append(Shift(key="rest", before=_short(before[rare - 1]), now=_short(now[rare - 1])))
    else:
        above = [
            (float(before[place + 1 : rare].sum()), float(now[place + 1 : rare].sum()))
            for place in range(len(feature.cuts))
        ]
        for place, (one, other) in enumerate(above):
            said: dict[str, Any] = {"key": "over", "value": feature.cuts[place]}
            if feature.bucket is not None:
                said = {"key": "word"}
            elif place and _next(feature.cuts[place - 1], feature.cuts[place]):
                said = {"key": "above", "value": feature.cuts[place - 1]}
            found.append(Shift(**said, before=_short(one), now=_short(other)))
    return max(found, key=lambda shift: abs(shift.now - shift.before))


def _told(feature: Feature, before: Array, now: Array) -> tuple[Bin, ...]:
    """Every bin with both shares; empty ones of both left out."""
    named: list[dict[str, Any]]
    if feature.kind in ("category", "class"):
        named = [{"key": "is", "value": value} for value in feature.values] + [{"key": "rest"}]
    else:
        edges = [None, *feature.cuts, None]
        named = [{"key": "between", "low": low, "high": high} for low, high in pairwise(edges)]
        if len(feature.cuts) == 2 and _next(*feature.cuts):
            named[1:] = [{"key": key, "low": feature.cuts[0]} for key in ("just", "above")]
    named.append({"key": "missing"})
    shares = zip(named, before.tolist(), now.tolist(), strict=True)
    return tuple(Bin(**name, before=_short(one), now=_short(other)) for name, one, other in shares if one or other)


def _next(low: float, high: float) -> bool:
    """Whether nothing lies between two cuts: one value stands alone (`measures.cuts_of`)."""
    return high == math.nextafter(low, math.inf)


def _short(share: float) -> float:
    return round(float(share), 4)
