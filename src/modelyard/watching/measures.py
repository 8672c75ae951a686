"""What is watched of rows and answers: every value becomes one bin of a few, so that a reference holds counts and nobody's row.

    number, boolean, date, sequence   tenths of the training rows' values (ties have a bin of their own), and missing
    category, class                   values that at least 2 % of them have, the rest (unseen ones with them), and missing
    text                              length, shares of kinds of characters, and whether some word falls into each of 64 hashed buckets
    image                             brightness, contrast, saturation, edges, shares of darkest and lightest pixels
    answer                            its class and how sure it is, or its number

Only numpy (and Pillow for images). It knows no statistics: `drift` has them.

>>> [feature.counts for feature in learnt("age", "number", np.array([1.0, 1.0, 2.0, np.nan]))]
[(2, 1, 1)]
"""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Literal
from zlib import crc32

import numpy as np

from modelyard.errors import RequestError
from modelyard.frozen import Frozen
from modelyard.rows import Array, Column, Rows

Kind = Literal["number", "date", "category", "text", "image", "sequence", "class", "confidence", "value"]

TENTHS = 10
"""Bins of what can be ordered: enough to see a shape change, few enough that each holds 50 rows of a window."""
SMALLEST = 0.02
"""Share of the training rows in a bin of ordered values; cuts that would leave less are not made."""
RARE = 0.02
"""Share of the training rows from which a category has a bin of its own."""
MOST_CATEGORIES = 50
LONGEST = 400
"""Characters of a text that are looked at: what is watched must stay cheap, and a shift shows in beginnings too."""
HASHES, BUCKETS = 512, 64
"""Buckets that words fall into, and how many of them are watched: those that nearest to half of the training texts have."""
COMMON = 0.05
"""Share of the training texts that have a watched bucket, at least; and lack it. Rarer ones swing too far for the statistic."""
SIDE = 128
"""Points of an image a side that are looked at, at most."""
DARK, LIGHT = 5, 250
"""Grey levels up to and from which a pixel counts as darkest and lightest: room for what JPEG does to black and white."""
DIGITS = 4
"""Significant digits of a measure: rounding of other hardware or other batches must not move a value over a cut."""
_PLAIN = bytes.maketrans(
    string.ascii_uppercase.encode() + string.punctuation.encode(),
    string.ascii_lowercase.encode() + b" " * len(string.punctuation),
)
"""Bytes of UTF-8 as those of words: small letters, nothing between."""
_FIRST_IDEOGRAPH = "\u2e80"
"""From here on scripts write without spaces: each character counts as a word."""
_KINDS = {
    "digits": string.digits.encode(),
    "uppercase": string.ascii_uppercase.encode(),
    "punctuation": string.punctuation.encode(),
    "spaces": string.whitespace.encode(),
    "other_scripts": bytes(range(128, 256)),
}
"""Kinds of characters, as bytes of UTF-8."""
_IMAGE = ("brightness", "contrast", "saturation", "edges", "dark", "light")


class Feature(Frozen):
    """One thing that is watched, its bins, and how many of the reference's rows fell into each (missing last)."""

    column: str
    """The input's name; empty for the answer."""
    part: str
    """What of it: `value`, `length`, `digits`, `word`, `brightness`, `class`, `confidence` ..."""
    kind: Kind
    bucket: int | None = None
    """Of hashed words."""
    cuts: tuple[float, ...] = ()
    """Where one bin of ordered values ends and the next begins (from the cut on)."""
    values: tuple[str, ...] = ()
    """Categories with a bin of their own; the rest has the next one."""
    counts: tuple[int, ...] = ()
    freedom: int = 1
    """Degrees of freedom: bins that training rows fell into, less one. Not those of the reference: one that happens to have an empty bin
    would make a window's first row there look far off."""

    @property
    def bins(self) -> int:
        """How many there are, the missing one counted."""
        return 2 + (len(self.values) if self.kind in ("category", "class") else len(self.cuts))


def kind_of(column: Column) -> Kind:
    """How a column is watched."""
    return "number" if column.type == "boolean" else column.type


def learnt(column: str, kind: Kind, values: Array) -> list[Feature]:
    """What is watched of one column, its bins and counts learnt from these values."""
    if kind in ("category", "class"):
        known = Counter(value for value in values if value is not None)
        kept = [name for name, count in known.most_common(MOST_CATEGORIES) if count >= RARE * len(values)]
        plain = Feature(column=column, part=kind if kind == "class" else "value", kind=kind, values=tuple(kept))
        return [_counted(plain, values)]
    measured = _measured(kind, values, range(HASHES))
    words = measured.pop("words", None)
    found = [
        _counted(Feature(column=column, part=part, kind=kind, cuts=cuts_of(each)), each)
        for part, each in measured.items()
    ]
    if words is not None:
        whole = words[~np.isnan(words[:, 0])]
        shares = whole.mean(axis=0) if len(whole) else np.zeros(HASHES)
        nearest = np.lexsort((np.arange(HASHES), np.abs(shares - 0.5)))[:BUCKETS]
        found += [
            _counted(Feature(column=column, part="word", kind=kind, bucket=bucket, cuts=(0.5,)), words[:, bucket])
            for bucket in sorted(nearest.tolist())
            if COMMON <= shares[bucket] <= 1 - COMMON
        ]
    return found


def cuts_of(values: Array) -> tuple[float, ...]:
    """Cuts at the tenths, halfway between two values that occur; a value with a tenth of the rows or more stands alone. Where none leaves
    enough on both sides, the commonest value stands alone, so that leaving it shows.

    >>> cuts_of(np.array([0.0] * 6 + [1.0, 2.0, 3.0, 4.0]))
    (0.5, 1.5, 2.5, 3.5)
    """
    known = np.sort(values[~np.isnan(values)])
    if not len(known):
        return ()
    seen, begins, counts = np.unique(known, return_index=True, return_counts=True)
    tenths = known[(np.arange(1, TENTHS) * len(known)) // TENTHS]
    wanted = set(np.searchsorted(seen, tenths).tolist())  # each of these values begins a bin
    wanted |= {place + 1 for place in list(wanted) if counts[place] * TENTHS >= len(known)}
    cuts, last = [], 0
    for place in sorted(wanted - {0, len(seen)}):
        if min(begins[place] - last, len(known) - begins[place]) >= max(SMALLEST * len(known), 1):
            cuts.append(_between(float(seen[place - 1]), float(seen[place])))
            last = begins[place]
    if cuts:
        return tuple(cuts)
    alone = float(seen[np.argmax(counts)])
    return alone, math.nextafter(alone, math.inf)


def _between(low: float, high: float) -> float:
    middle = low / 2 + high / 2
    return middle if low < middle else high


class Binner:
    """Rows and answers as bin numbers, one of each feature."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = tuple(features)
        self.starts = np.cumsum([0, *(feature.bins for feature in self.features)])[:-1]
        """Where each feature's bins begin when all stand in one line."""
        self.width = sum(feature.bins for feature in self.features)
        self._groups = [
            (column, kind, tuple(group))
            for (column, kind), group in groupby(self.features, key=lambda feature: (feature.column, feature.kind))
        ]

    def bins(self, rows: Rows, answers: Sequence[Mapping[str, Any]]) -> Array:
        """(n, F) int16."""
        found = np.empty((len(rows), len(self.features)), dtype=np.int16)
        place = 0
        for column, kind, features in self._groups:
            values = rows[column] if column else said(answers, kind)
            if kind in ("category", "class"):
                found[:, place] = _bins(features[0], values)
            else:
                buckets = [feature.bucket for feature in features if feature.bucket is not None]
                measured = _measured(kind, values, buckets)
                ordered = len(features) - len(buckets)  # the words stand last
                for number, feature in enumerate(features[:ordered], start=place):
                    found[:, number] = _bins(feature, measured[feature.part])
                if buckets:
                    found[:, place + ordered : place + len(features)] = np.nan_to_num(measured["words"], nan=2)
            place += len(features)
        return found

    def counts(self, bins: Array) -> Array:
        """(B,) int64: how many rows fell into each bin of each feature, all in one line."""
        return np.bincount((bins + self.starts).ravel(), minlength=self.width)


def said(answers: Sequence[Mapping[str, Any]], kind: Kind) -> Array:
    """(n,) the class, the confidence or the number of each answer."""
    if kind == "confidence":
        return np.array([max(answer["probabilities"].values()) for answer in answers], dtype=np.float64)
    if kind == "class":
        return np.array([str(answer["answer"]) for answer in answers], dtype=object)
    return np.array([answer["answer"] for answer in answers], dtype=np.float64)


# -- bins --------------------------------------------------------------------------------------------------------------


def _bins(feature: Feature, values: Array) -> Array:
    """(n,) bin numbers of measured values."""
    if feature.kind in ("category", "class"):
        place = {name: number for number, name in enumerate(feature.values)}
        other = len(place)
        return np.array([other + 1 if value is None else place.get(value, other) for value in values], dtype=np.int16)
    found = np.searchsorted(feature.cuts, values, side="right")
    return np.where(np.isnan(values), len(feature.cuts) + 1, found).astype(np.int16)


def _counted(feature: Feature, values: Array) -> Feature:
    counts = np.bincount(_bins(feature, values), minlength=feature.bins)
    freedom = max(int(np.count_nonzero(counts)) - 1, 1)
    return feature.model_copy(update={"counts": tuple(counts.tolist()), "freedom": freedom})


# -- measures ----------------------------------------------------------------------------------------------------------


def _measured(kind: Kind, values: Array, buckets: Sequence[int]) -> dict[str, Array]:
    """(n,) float64 for each part of a column of this kind, NaN where missing; for texts `words` too, (n, buckets) (1: has such a word)."""
    if kind == "text":
        return _texts(values, buckets)
    if kind == "image":
        return _transposed(_IMAGE, [_image(value) for value in values])
    if kind == "sequence":
        return _transposed(("length", "mean", "spread"), [_series(value) for value in values])
    return {"confidence" if kind == "confidence" else "value": _rounded(np.asarray(values, dtype=np.float64))}


def _transposed(names: Sequence[str], found: Sequence[Sequence[float] | None]) -> dict[str, Array]:
    table = np.array([[math.nan] * len(names) if each is None else each for each in found], dtype=np.float64)
    table = table.reshape(-1, len(names))
    return {name: _rounded(table[:, number]) for number, name in enumerate(names)}


def _rounded(values: Array) -> Array:
    """To `DIGITS` significant digits; dates and other large whole numbers stay as they are."""
    with np.errstate(all="ignore"):
        scale = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.abs(values))))
        found = np.where(
            (values == 0) | (np.abs(values) >= 10**DIGITS) | ~np.isfinite(scale),
            values,
            np.round(values * scale) / scale,
        )
    return np.where(np.isinf(found), np.nan, found)


def _texts(values: Array, buckets: Sequence[int]) -> dict[str, Array]:
    measured: list[list[float] | None] = []
    places: list[int] = []  # of the words, in a line of (rows, HASHES)
    for row, text in enumerate(values):
        if text is None:
            measured.append(None)
            continue
        beginning = text[:LONGEST]
        raw = beginning.encode("utf-8", "replace")
        size = max(len(raw), 1)
        measured.append([len(text), *[(len(raw) - len(raw.translate(None, kind))) / size for kind in _KINDS.values()]])
        words = set(raw.translate(_PLAIN).split())
        if len(raw) != len(beginning):
            words |= {each.encode("utf-8", "replace") for each in set(beginning) if each >= _FIRST_IDEOGRAPH}
        first = row * HASHES
        places += [first + crc32(word) % HASHES for word in words]
    has: Array = np.zeros((len(values), HASHES))
    has.reshape(-1)[places] = 1.0
    has[[each is None for each in measured]] = np.nan
    return {**_transposed(("length", *_KINDS), measured), "words": has[:, list(buckets)]}


def _image(data: bytes | None) -> tuple[float, ...] | None:
    """Each as a share of 255; None where there is no image that can be read."""
    if data is None:
        return None
    from modelyard.features.images import pixels

    try:
        image = pixels(data, channels=3)
    except (ValueError, RequestError):
        return None
    step = max(1, -(-max(image.shape[:2]) // SIDE))
    red, green, blue = np.ascontiguousarray(image[::step, ::step].transpose(2, 0, 1), dtype=np.float32)  # each (H, W)
    grey = (red + green + blue) / 3
    vivid = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    edges = np.abs(grey[1:] - grey[:-1]).sum() + np.abs(grey[:, 1:] - grey[:, :-1]).sum()
    size = grey.size
    mean = float(grey.sum()) / size
    spread = math.sqrt(max(float(np.vdot(grey, grey)) / size - mean * mean, 0.0))
    dark, light = np.count_nonzero(grey <= DARK), np.count_nonzero(grey >= LIGHT)
    return (
        mean / 255,
        spread / 255,
        float(vivid.sum()) / size / 255,
        float(edges) / (2 * size) / 255,
        dark / size,
        light / size,
    )


def _series(series: Array | None) -> tuple[float, ...] | None:
    if series is None:
        return None
    known = series[np.isfinite(series)].astype(np.float64)
    if not len(known):
        return len(series), math.nan, math.nan
    return len(series), float(known.mean()), float(known.std())
