"""What a metric is: one function of row weights, so that a figure and its bootstrap resamples share one implementation.

A resample of the rows is a vector of whole weights (how often each row was drawn); the figure itself has weight one
everywhere. A metric prepares what does not depend on the weights (sorting, indicators) once, and then answers many
weight vectors at a time. It knows nothing about tasks, models or intervals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from modelyard.errors import UserError
from modelyard.metrics.top_k import TopK
from modelyard.rows import Array

Kind = Literal["classification", "regression", "language", "image"]
Statistic = Callable[[Array], Array]
"""Weights (b, n) -> values (b,), NaN where the figure is undefined."""


@dataclass(frozen=True)
class Reflected:
    """A statistic that chance alone pushes up (a sum of absolute gaps). Its resamples are pushed up once more, so its
    interval is the percentile one reflected at the value (basic bootstrap, Davison and Hinkley 1997, section 5.2)."""

    statistic: Statistic

    def __call__(self, weights: Array) -> Array:
        return self.statistic(weights)


@dataclass(frozen=True)
class Costly:
    """A statistic of which one resample takes long: at most `most` are drawn, and its interval is normal, from their deviation."""

    statistic: Statistic
    most: int

    def __call__(self, weights: Array) -> Array:
        return self.statistic(weights)


@dataclass(frozen=True)
class Sample:
    """Rows with their truth and their answers.

    `target` (n,) class numbers (-1: a class never seen in training) or numbers, or (n, D) pixels; `scores` (n, K) probabilities,
    (n, 1) numbers or (n, D) pixels; `labels` (n,) decided classes, the likeliest where not given; `positive` is the number of the class looked
    for; `top_k` says what of them somebody can check.
    """

    target: Array
    scores: Array
    labels: Array
    positive: int | None = None
    top_k: TopK = field(default_factory=TopK)

    @classmethod
    def of(
        cls,
        target: ArrayLike,
        scores: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        positive: int | None = None,
        top_k: TopK = TopK(),  # noqa: B008  # frozen
    ) -> Sample:
        """A checked sample; numbers may come as (n,). UserError where lengths differ."""
        target, scores = np.asarray(target), np.asarray(scores, dtype=np.float64)
        scores = scores[:, None] if scores.ndim == 1 else scores
        if labels is None:
            labels = scores.argmax(axis=1) if scores.shape[1] > 1 else scores[:, 0]
        labels = np.asarray(labels)
        if not len(target) == len(scores) == len(labels):
            raise UserError(
                f"target, scores and labels must be of one length (got {len(target)}, {len(scores)} and {len(labels)})"
            )
        return cls(target, scores, labels, positive, top_k)

    def __len__(self) -> int:
        return len(self.target)

    @property
    def classes(self) -> int:
        """K, the number of classes."""
        return int(self.scores.shape[1])

    def take(self, index: Array) -> Sample:
        """The rows at an index array or mask."""
        return Sample(
            self.target[index],
            self.scores[index],
            self.labels[index],
            self.positive,
            self.top_k.take(index),
        )

    def looked_for(self, name: str) -> int:
        """The positive class; by default the second of two, as in scikit-learn. UserError where more leave it open."""
        if self.positive is not None:
            return self.positive
        if self.classes == 2:
            return 1
        raise UserError(
            f"{name} needs a positive class among {self.classes}. Name one as evaluate.positive, or use {name}_macro."
        )


@dataclass(frozen=True)
class Metric:
    """A figure of merit.

    >>> find("accuracy")([0, 1], [[0.9, 0.1], [0.8, 0.2]])  # doctest: +SKIP
    0.5
    """

    name: str
    kind: Kind
    greater_is_better: bool
    over: Callable[[Sample], Statistic]
    """Prepares a sample; the answer maps weights (b, n) to values (b,)."""
    decides: bool = False
    """Judges decided labels, which a threshold changes, not scores."""
    studied: bool = False
    """Not a figure of rows alone: a study of what was made measures it, and gates may name it."""
    needs_positive: bool = False
    """Only defined where one class is looked for: two classes, or a declared positive one."""

    def __call__(
        self,
        target: ArrayLike,
        scores: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        positive: int | None = None,
        k: int = 100,
    ) -> float:
        """The figure on all rows; NaN where it is undefined (no rows, one class only)."""
        return self.of(Sample.of(target, scores, labels=labels, positive=positive, top_k=TopK(k)))

    def of(self, sample: Sample) -> float:
        """The figure of a sample."""
        return float(self.over(sample)(np.ones((1, len(sample))))[0]) if len(sample) else float("nan")

    def applies(self, classes: int, positive: int | None = None) -> bool:
        """Whether it is defined for a task with so many classes (0 or 1: none)."""
        if self.kind != "classification" or classes < 2:
            return self.kind != "classification" and classes < 2
        return not self.needs_positive or classes == 2 or positive is not None

    @property
    def sign(self) -> int:
        """1 where greater is better, else -1."""
        return 1 if self.greater_is_better else -1


def ratio(above: Array, below: Array, *, empty: float) -> Array:
    """above / below, `empty` where below is 0."""
    result: Array = np.divide(above, below, out=np.full(np.broadcast(above, below).shape, empty), where=below != 0)
    return result


def mean_of(values: Array) -> Statistic:
    """The statistic of a mean of one value a row (n,)."""
    return lambda weights: ratio(weights @ values, weights.sum(axis=1), empty=np.nan)
