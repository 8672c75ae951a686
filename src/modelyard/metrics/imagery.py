"""Figures of made images beside real ones: are they alike, as various, of every class, and nobody's copies. numpy only.

All but the classes' are computed on features, one vector an image; which network made them decides the figures, and two
compare only where it was the same. Like every metric here a figure is a function of row weights, so that it and its bootstrap
resamples are one implementation; a figure says whose rows the weights are of (`rows`): the made, the real, or both, one
after the other, the real first. It knows nothing about networks, generators or pixels.

>>> pair = Pair(np.zeros((4, 2)), np.ones((4, 2)))
>>> round(find("kernel_distance").of(pair), 3)  # (0 + 1)^3 + (1 + 1)^3 - 2 (0 + 1)^3
7.0
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from modelyard.errors import DataError, UnknownPart, UserError, nearest
from modelyard.metrics._contract import Costly, Statistic, mean_of, ratio
from modelyard.rows import Array

NEIGHBOURS = 5
"""Nearest neighbours that say how far an image's surroundings reach (Naeem et al. 2020, section 4.2; Kynkäänniemi et al. 2019 use 3)."""
COPIED = 0.01
"""Share of training images that are nearer to another one than the distance below which a made image is a near-copy."""
FEW = 12
"""Resamples of a figure that takes long: their deviation is known to a fifth of itself (1 / sqrt(2 * 11))."""
_BLOCK = 4_000_000
"""Distances made at a time: 32 MB, whatever the number of rows."""


# -- distances between rows --------------------------------------------------------------------------------------------


def _squared(left: Array, right: Array) -> Iterator[tuple[slice, Array]]:
    """Blocks of rows of `left`, and their squared distances to all of `right` (rows, m)."""
    middle = right.mean(axis=0)  # against cancellation: the spread may be small beside the level
    left, right = left - middle, right - middle
    lengths = (right**2).sum(axis=1)
    step = max(1, _BLOCK // max(len(right), 1))
    for start in range(0, len(left), step):
        rows = slice(start, min(start + step, len(left)))
        part = left[rows]
        found = (part**2).sum(axis=1)[:, None] + lengths - 2.0 * (part @ right.T)
        yield rows, np.maximum(found, 0.0, out=found)


def closest(images: ArrayLike, among: ArrayLike) -> tuple[Array, Array]:
    """The nearest row of `among` (n, d) to each of `images` (m, d): Euclidean distances (m,) and numbers (m,)."""
    images, among = _matrix(images, "images"), _matrix(among, "among")
    number = np.empty(len(images), dtype=np.int64)
    for rows, squared in _squared(images, among):
        number[rows] = squared.argmin(axis=1)
    return _apart(images, among, number), number


def closest_other(images: ArrayLike, *, asked: Array | None = None) -> tuple[Array, Array]:
    """The nearest other row to each (n, d), or to those of the numbers `asked` (m,): distances and numbers."""
    images = _matrix(images, "images", least=2)
    own = np.arange(len(images)) if asked is None else np.asarray(asked)
    number = np.empty(len(own), dtype=np.int64)
    for rows, squared in _squared(images[own], images):
        squared[np.arange(len(squared)), own[rows]] = np.inf
        number[rows] = squared.argmin(axis=1)
    return _apart(images[own], images, number), number


def _apart(images: Array, among: Array, number: Array) -> Array:
    """Distances again, of the differences themselves: a copy's is 0 to the last bit."""
    found = np.empty(len(images))
    step = max(1, _BLOCK // max(images.shape[1], 1))
    for start in range(0, len(images), step):
        rows = slice(start, start + step)
        found[rows] = np.sqrt(((images[rows] - among[number[rows]]) ** 2).sum(axis=1))
    return found


def _reach(features: Array, neighbours: int) -> Array:
    """(n,) squared distance of each row to its k-th nearest other one."""
    found = np.empty(len(features))
    for rows, squared in _squared(features, features):
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = np.inf
        found[rows] = np.partition(squared, neighbours - 1, axis=1)[:, neighbours - 1]
    return found


def _matrix(values: ArrayLike, name: str, *, least: int = 1) -> Array:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2 or len(found) < least:
        raise UserError(f"{name} must be (n, d), a vector an image, of {least} and more (got {found.shape})")
    if not np.isfinite(found).all():
        raise DataError(f"{name} must be finite numbers: {int((~np.isfinite(found)).any(axis=1).sum())} rows are not")
    return found


# -- made beside real --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """Features of real images (n, d) and of made ones (m, d)."""

    real: Array
    made: Array
    neighbours: int = NEIGHBOURS
    """Nearest neighbours k behind precision, recall, density and coverage."""

    @classmethod
    def of(cls, real: ArrayLike, made: ArrayLike, *, neighbours: int = NEIGHBOURS) -> Pair:
        """A checked pair; UserError where widths differ or a side has no more rows than `neighbours`."""
        if neighbours < 1:
            raise UserError(f"neighbours must be 1 or more (got {neighbours})")
        real, made = (_matrix(side, name, least=neighbours + 1) for side, name in ((real, "real"), (made, "made")))
        if real.shape[1] != made.shape[1]:
            raise UserError(f"real and made must have equally many features (got {real.shape[1]} and {made.shape[1]})")
        return cls(real, made, neighbours)

    def count(self, rows: Rows) -> int:
        """How many rows a figure's weights are of."""
        return {"real": len(self.real), "made": len(self.made), "both": len(self.real) + len(self.made)}[rows]

    @cached_property
    def surroundings(self) -> dict[str, Array]:
        """Who lies in whose surroundings: one value a made image (`precision`, `density`) or a real one (`recall`, `coverage`)."""
        real, made = _reach(self.real, self.neighbours), _reach(self.made, self.neighbours)
        inside = np.empty(len(self.made))
        recall, coverage = np.zeros(len(self.real), dtype=bool), np.zeros(len(self.real), dtype=bool)
        for rows, squared in _squared(self.made, self.real):
            within = squared <= real
            inside[rows] = within.sum(axis=1)
            coverage |= within.any(axis=0)
            recall |= (squared <= made[rows, None]).any(axis=0)
        shares = {"precision": inside > 0, "recall": recall, "coverage": coverage, "density": inside / self.neighbours}
        return {name: values.astype(np.float64) for name, values in shares.items()}


Rows = Literal["real", "made", "both"]


@dataclass(frozen=True)
class Figure:
    """A figure of made images beside real ones."""

    name: str
    greater_is_better: bool
    rows: Rows
    """Whose rows the weights are of; of `both` the real come first."""
    over: Callable[[Pair], Statistic]
    """Prepares a pair; the answer maps weights (b, count) to values (b,)."""

    def of(self, pair: Pair) -> float:
        """The figure of a pair."""
        return float(self.over(pair)(np.ones((1, pair.count(self.rows))))[0])


def _kernel(left: Array, right: Array) -> Array:
    """(x y / d + 1)^3 (Binkowski et al. 2018, section 4), as float32: a mean of millions keeps its digits."""
    found = np.empty((len(left), len(right)), dtype=np.float32)
    step = max(1, _BLOCK // len(right))
    for start in range(0, len(left), step):
        found[start : start + step] = (left[start : start + step] @ right.T / left.shape[1] + 1.0) ** 3
    return found


def _products(weights: Array, kernel: Array, others: Array) -> Array:
    """(b,) the sum of w_i k_ij v_j for each pair of weight vectors w (b, n) and v (b, m)."""
    found, step = np.zeros(len(weights)), max(1, _BLOCK // kernel.shape[1])
    for start in range(0, len(kernel), step):
        part = kernel[start : start + step].astype(np.float64)  # (rows, m)
        found += ((weights[:, start : start + step] @ part) * others).sum(axis=1)
    return found


def _kernel_distance(pair: Pair) -> Statistic:
    """Unbiased squared maximum mean discrepancy (Gretton et al. 2012, equation 3) with the cubic kernel: KID.

    A pair of a row with itself never counts, nor of its draws in a resample, which are no two images. Keeps 4 bytes for each
    pair of rows: 1.2 GB for 10,000 and 10,000.
    """
    real, made = pair.real, pair.made
    kernels = [_kernel(real, real), _kernel(made, made)]
    between = _kernel(real, made)

    def own(weights: Array, kernel: Array) -> Array:
        squares = weights**2
        total = _products(weights, kernel, weights) - squares @ kernel.diagonal().astype(np.float64)
        return ratio(total, weights.sum(axis=1) ** 2 - squares.sum(axis=1), empty=np.nan)

    def statistic(weights: Array) -> Array:
        first, second = weights[:, : len(real)], weights[:, len(real) :]
        both = ratio(_products(first, between, second), first.sum(axis=1) * second.sum(axis=1), empty=np.nan)
        value: Array = own(first, kernels[0]) + own(second, kernels[1]) - 2.0 * both
        return value

    return statistic


def _frechet_distance(pair: Pair) -> Statistic:
    """|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)) of normal distributions fitted to both (Dowson and Landau 1982): FID.

    It is biased upwards by few rows (Chong and Forsyth 2020), and once more by a resample's; two compare only at equal counts.
    The real images count as they are. The trace of the root is the sum of the singular values of A B', where S = A'A and S' = B'B:
    as many as there are rows or features, whichever are fewer. At 1,280 each resample takes half a second: a dozen are drawn.
    """
    mean, rows = _centred(pair.real, np.ones(len(pair.real)))
    total = float((rows**2).sum())
    if len(rows) > rows.shape[1]:
        values, vectors = np.linalg.eigh(rows.T @ rows)
        rows = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T  # (d, d), of the same covariance

    def one(weights: Array) -> float:
        if (weights > 0).sum() < 2:
            return float("nan")
        other, spread = _centred(pair.made, weights)
        both = rows @ spread.T  # (min(n, d), m)
        square = both @ both.T if len(both) <= both.shape[1] else both.T @ both
        shared = np.sqrt(np.maximum(np.linalg.eigvalsh(square), 0.0)).sum()
        return float(((mean - other) ** 2).sum() + total + (spread**2).sum() - 2.0 * shared)

    return Costly(lambda weights: np.array([one(each) for each in weights]), FEW)


def _centred(features: Array, weights: Array) -> tuple[Array, Array]:
    """Mean (d,), and rows A (n, d) whose A'A is the covariance over n - 1."""
    total = weights.sum()
    mean = weights @ features / total
    return mean, (features - mean) * np.sqrt(weights / (total - 1))[:, None]


def _surroundings(name: str) -> Callable[[Pair], Statistic]:
    return lambda pair: mean_of(pair.surroundings[name])


FIGURES = (
    Figure("kernel_distance", False, "both", _kernel_distance),
    Figure("frechet_distance", False, "made", _frechet_distance),
    Figure("generative_precision", True, "made", _surroundings("precision")),
    Figure("generative_recall", True, "real", _surroundings("recall")),
    Figure("density", True, "made", _surroundings("density")),
    Figure("coverage", True, "real", _surroundings("coverage")),
)
"""KID (Binkowski et al. 2018) and FID (Heusel et al. 2017); shares of the made in the real ones' surroundings and of the real in
the made ones' (Kynkäänniemi et al. 2019); how many real surroundings a made image lies in, and the share of those that hold
one (Naeem et al. 2020)."""


def find(name: str) -> Figure:
    """The figure of that name; UnknownPart with the nearest one."""
    known = {figure.name: figure for figure in FIGURES}
    if name not in known:
        raise UnknownPart(f"no figure of images {name!r}.{nearest(name, known)} Allowed: {', '.join(known)}")
    return known[name]


# -- classes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Discriminant:
    """Linear discriminant analysis: tells classes apart by features, in closed form, so that nothing is drawn.

    One covariance for all classes, shrunk towards a multiple of the identity (Friedman 1989), for features may outnumber rows.
    """

    weights: Array
    """(d, K)"""
    offsets: Array
    """(K,), -inf for a class without rows."""

    @classmethod
    def fit(cls, features: ArrayLike, labels: ArrayLike, *, classes: int, shrinkage: float = 0.1) -> Discriminant:
        """Learnt from features (n, d) and class numbers (n,)."""
        features, labels = _matrix(features, "features"), np.asarray(labels)
        member = (labels[:, None] == np.arange(classes)).astype(np.float64)  # (n, K)
        counts = member.sum(axis=0)
        means = ratio(member.T @ features, counts[:, None], empty=0.0)  # (K, d)
        inside = features - means[labels]
        covariance = inside.T @ inside / len(features)
        level = max(float(np.trace(covariance)) / len(covariance), np.finfo(np.float64).tiny)
        shrunk = (1 - shrinkage) * covariance + shrinkage * level * np.eye(len(covariance))
        weights = np.linalg.solve(shrunk, means.T)
        with np.errstate(divide="ignore"):
            return cls(weights, np.log(counts / len(features)) - 0.5 * (means.T * weights).sum(axis=0))

    def __call__(self, features: ArrayLike) -> Array:
        """(n,) class numbers of features (n, d)."""
        found: Array = (np.asarray(features, dtype=np.float64) @ self.weights + self.offsets).argmax(axis=1)
        return found


def _shares(labels: ArrayLike, classes: int) -> Statistic:
    """(b, K) the share of each class."""
    member = (np.asarray(labels)[:, None] == np.arange(classes)).astype(np.float64)
    return lambda weights: ratio(weights @ member, weights.sum(axis=1, keepdims=True), empty=np.nan)


def class_shares(labels: ArrayLike, *, classes: int) -> Array:
    """(K,) the share of each class among labels (n,)."""
    found: Array = _shares(labels, classes)(np.ones((1, len(np.asarray(labels)))))[0]
    return found


def least_share(labels: ArrayLike, *, classes: int) -> Statistic:
    """The share of the rarest class: 0 where a class is never made, at most 1 / K."""
    shares = _shares(labels, classes)
    return lambda weights: shares(weights).min(axis=1)


def class_entropy(labels: ArrayLike, *, classes: int) -> Statistic:
    """The entropy of the classes' shares over its largest, ln K: 1 where all are made equally often, 0 where one is."""
    shares = _shares(labels, classes)

    def statistic(weights: Array) -> Array:
        found = shares(weights)
        logarithms = np.log(found, out=np.zeros_like(found), where=found > 0)
        value: Array = -(found * logarithms).sum(axis=1) / np.log(max(classes, 2))
        return value

    return statistic


# -- copies ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Copies:
    """How near made images are to the training image nearest to each."""

    distance: Array
    """(m,) to it."""
    number: Array
    """(m,) which it is."""
    limit: float
    """Distance up to which an image is a near-copy: `share` of the training images have another one so near."""
    share: float

    @property
    def near(self) -> Array:
        """(m,) bool."""
        return np.asarray(self.distance <= self.limit)

    @property
    def statistic(self) -> Statistic:
        """The share of near-copies; as many images drawn anew from where the training images came from have about `share`."""
        return mean_of(self.near.astype(np.float64))


def near_limit(training: ArrayLike, *, share: float = COPIED, most: int = 2000, seed: int = 0) -> float:
    """The distance within which `share` of the training images (n, d) have another one; asked of at most so many of them."""
    if not 0 < share < 1:
        raise UserError(f"share must lie between 0 and 1 (got {share})")
    images = _matrix(training, "training", least=2)
    asked = np.sort(np.random.default_rng(seed).permutation(len(images))[:most])
    return float(np.quantile(closest_other(images, asked=asked)[0], share))


def copies(made: ArrayLike, training: ArrayLike, *, share: float = COPIED, limit: float | None = None) -> Copies:
    """The training image (n, d) nearest to each made one (m, d), of features or of pixels; `limit` where it is known."""
    limit = near_limit(training, share=share) if limit is None else limit
    distance, number = closest(made, training)
    return Copies(distance, number, limit, share)
