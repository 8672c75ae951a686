"""Figures of made images beside real ones as metrics of a sample: a row's own image is the truth, the one made for it the answer.

No image is compared with its own row's; the rows are two crowds. Figures are those of `imagery`, on the features of one fixed
network (`models._perception`), which is asked once for each different image. It knows no generators.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from modelyard.errors import UserError
from modelyard.metrics import imagery
from modelyard.metrics._contract import Metric, Sample, Statistic
from modelyard.metrics.imagery import Figure, Pair
from modelyard.rows import Array

MOST_FEATURES = 40_000
"""Images whose features are kept in memory: 200 MB."""
MOST_PAIRS = 3
"""Pairs of crowds that are kept: the figures of one sample share theirs."""
_FEATURES: OrderedDict[bytes, Array] = OrderedDict()
_PAIRS: OrderedDict[bytes, Pair] = OrderedDict()


def shape_of(width: int) -> tuple[int, int, int]:
    """Channels, height and width of a square image of so many numbers: grey where that is a square, else three channels.

    >>> shape_of(784), shape_of(3072)
    ((1, 28, 28), (3, 32, 32))
    """
    side = math.isqrt(width)
    if side * side == width:
        return 1, side, side
    side = math.isqrt(width // 3)
    assert 3 * side * side == width, f"{width} numbers are no square image of one or three channels"
    return 3, side, side


def features(images: ArrayLike) -> Array:
    """(n, D) whole numbers of 0 to 255 -> (n, 1280) features; each different image is looked at once."""
    pixels = np.ascontiguousarray(np.asarray(images).astype(np.uint8))
    marks = [_mark(each) for each in pixels]
    lacking = {mark: row for row, mark in enumerate(marks) if mark not in _FEATURES}
    if lacking:
        rows = list(lacking.values())
        fresh = _perception().perceive(pixels[rows].reshape(len(rows), *shape_of(pixels.shape[1])))
        _FEATURES.update(zip(lacking, fresh, strict=True))
    found = np.stack([_FEATURES[mark] for mark in marks]) if marks else np.zeros((0, 1))
    while len(_FEATURES) > MOST_FEATURES:
        _FEATURES.popitem(last=False)
    return found


def identity() -> str:
    """Which network the features are of: figures compare where this is equal."""
    return str(_perception().identity())


def pair_of(real: Array, made: Array) -> Pair:
    """The crowds of real (n, D) and made (m, D) images, kept."""
    mark = _mark(real) + _mark(made)
    if mark not in _PAIRS:
        neighbours = max(1, min(imagery.NEIGHBOURS, len(real) - 1, len(made) - 1))
        _PAIRS[mark] = Pair.of(features(real), features(made), neighbours=neighbours)
        while len(_PAIRS) > MOST_PAIRS:
            _PAIRS.popitem(last=False)
    return _PAIRS[mark]


def _mark(pixels: Array) -> bytes:
    given = np.ascontiguousarray(pixels.astype(np.uint8))
    return hashlib.blake2b(given.tobytes() + repr(given.shape).encode(), digest_size=16).digest()


def _perception() -> Any:
    """The fixed network stands among the models, above metrics, and needs none of them."""
    return import_module("modelyard.models._perception")


def _over(figure: Figure) -> Callable[[Sample], Statistic]:
    """A figure of two crowds as one of rows: a row that is drawn twice brings both of its images twice."""

    def over(sample: Sample) -> Statistic:
        if len(sample) < 2:
            return lambda weights: np.full(len(weights), np.nan)
        statistic = figure.over(pair_of(sample.target, sample.scores))
        if figure.rows == "both":
            return lambda weights: statistic(np.concatenate([weights, weights], axis=1))
        return statistic

    return over


def _refused(sample: Sample) -> Statistic:
    raise UserError(
        "kernel_ratio, sample_accuracy and least_share need more than rows: evaluate.gates may name them, train.metric may not"
    )


METRICS = (
    *(
        Metric(figure.name, "image", greater_is_better=figure.greater_is_better, over=_over(figure))
        for figure in imagery.FIGURES
    ),
    Metric("kernel_ratio", "image", greater_is_better=False, over=_refused, studied=True),
    Metric("sample_accuracy", "image", greater_is_better=True, over=_refused, studied=True),
    Metric("least_share", "image", greater_is_better=True, over=_refused, studied=True),
)
