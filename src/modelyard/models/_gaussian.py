"""Images drawn from a normal distribution of each class, over its principal components: what a generator has to beat.

It knows each class's mean image, in which directions images of it differ and how much, and no more: what it draws are
ghosts, right in every average. In closed form and numpy only. It knows nothing about networks.

>>> weights = fit(images, labels, classes=10)  # doctest: +SKIP
>>> draw(weights, rng.standard_normal((5, noise_of(weights))), np.arange(5))  # doctest: +SKIP
array([...], dtype=uint8)  # (5, C, S, S)
"""

from __future__ import annotations

import numpy as np

from modelyard.errors import UserError
from modelyard.rows import Array

COMPONENTS = 64
"""Principal components of a class."""


def fit(images: Array, labels: Array, *, classes: int, components: int | float = COMPONENTS) -> dict[str, Array]:
    """Means, directions and deviations of images (n, C, S, S) uint8 with class numbers (n,) of K.

    `components`: so many of each class, or a share of its variance to keep (0.99). A class without images is grey.
    """
    share = isinstance(components, float) and components < 1
    if components <= 0 or (not share and components != int(components)):
        raise UserError(f"components must be a count or a share of the variance below 1 (got {components})")
    flat = images.reshape(len(images), -1)
    parts = [_one(flat[labels == number], components, share=share) for number in range(classes)]
    most = max(len(deviations) for _, _, deviations in parts)
    found: dict[str, Array] = {
        "mean": np.full((classes, flat.shape[1]), 127.5, dtype=np.float32),
        "directions": np.zeros((classes, most, flat.shape[1]), dtype=np.float32),
        "deviations": np.zeros((classes, most), dtype=np.float32),
        "shape": np.array(images.shape[1:], dtype=np.int64),
    }
    for number, (mean, directions, deviations) in enumerate(parts):
        if mean is not None:
            found["mean"][number] = mean
        found["directions"][number, : len(deviations)] = directions
        found["deviations"][number, : len(deviations)] = deviations
    return found


def _one(flat: Array, components: float, *, share: bool) -> tuple[Array | None, Array, Array]:
    """Mean (D,), directions (P, D) and deviations (P,) of one class (n, D), those that vary most first."""
    if len(flat) < 2:
        return flat[0] if len(flat) else None, np.zeros((0, flat.shape[1])), np.zeros(0)
    mean = flat.mean(axis=0, dtype=np.float64)
    _, values, directions = np.linalg.svd(flat - mean, full_matrices=False)
    variances = values**2 / (len(flat) - 1)
    kept = int(components)
    if share:
        reached = np.cumsum(variances) / max(variances.sum(), np.finfo(np.float64).tiny)
        kept = int(np.searchsorted(reached, components)) + 1
    return mean, directions[:kept], np.sqrt(variances[:kept])


def noise_of(weights: dict[str, Array]) -> int:
    """P, the numbers of noise an image needs."""
    return int(weights["deviations"].shape[1])


def draw(weights: dict[str, Array], noise: Array, labels: Array) -> Array:
    """Images (n, C, S, S) uint8 of standard normal noise (n, P) and class numbers (n,), cut to what a pixel can be."""
    found = np.empty((len(labels), weights["mean"].shape[1]), dtype=np.uint8)
    for number in np.unique(labels):
        rows = np.flatnonzero(labels == number)
        moved = (noise[rows] * weights["deviations"][number]) @ weights["directions"][number]  # (rows, D)
        found[rows] = np.clip(np.round(weights["mean"][number] + moved), 0, 255).astype(np.uint8)
    return found.reshape(len(labels), *weights["shape"])
