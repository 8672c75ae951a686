"""An image for each row: of a class where the data have a column of classes, drawn from noise that a row's seed fixes.

An answer to one row cannot be right or wrong; answers to many are compared with real images as a crowd. Models make pixels; this
task owns their size, what is compared and what is sold.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from modelyard.errors import DataError
from modelyard.rows import Array, Column
from modelyard.tasks._contract import Kind, State, Task

SIDES = (16, 64)
"""Pixels of the smallest and the largest side that is made; larger images are shrunk to it."""
STEP = 4
"""Sides are multiples of it, so that they can be halved twice."""


class Part(Task):
    """An image for each row."""

    units: ClassVar[tuple[str, ...]] = ("image",)
    kind: ClassVar[Kind] = "image"
    metrics: ClassVar[tuple[str, ...]] = (
        "kernel_distance", "generative_precision", "generative_recall", "density", "coverage", "frechet_distance",
    )  # fmt: skip
    baselines: ClassVar[tuple[str, ...]] = ("gaussian",)
    combines: ClassVar[bool] = False
    judged: ClassVar[bool] = False
    tolerance: ClassVar[float] = 1.0
    """Of 255: how far an image may be, on average over its pixels, from what the trained model makes of the same noise."""

    def added(self, inputs: Mapping[str, str]) -> dict[str, str]:
        """The seed of a row's noise."""
        return {"seed": "number"}

    def candidates(self, size: str, columns: Sequence[Column]) -> dict[str, dict[str, Any]]:
        return {"gan": {}} if size in ("tiny", "small") else {"gan": {}, "flow": {}}

    def fit(self, values: Array, target: str, inputs: Sequence[Column], positive: str | None) -> State:
        """The size of what is made: that of the training images, a multiple of 4 between 16 and 64; grey where none has colour."""
        if len(set(values)) < 2:
            raise DataError(f"target {target!r} is the same image in every training row; there is nothing to learn")
        side, channels = _images().usual(values)
        rounded = int(np.clip(STEP * round(side / STEP), *SIDES))
        shape = (channels, rounded, rounded)
        return State(
            task="image-generation", target=target, inputs=tuple(inputs), makes="image", shape=shape, width=math.prod(shape)
        )  # fmt: skip

    def encode_target(self, values: Array, state: State) -> Array:
        """(n, D) uint8: the images, in the size that is made."""
        channels, side, _ = _shape(state)
        found: Array = _images().stacked(values, side=side, channels=channels)
        return found.reshape(len(values), channels * side * side)

    def losses(self, outputs: Any, target: Any, state: State) -> tuple[Any, Any]:
        """The mean squared distance of two images: what nobody learns by, because a made image is not a copy of a row's own."""
        import torch

        each = ((outputs.float() - target.float() / 255.0) ** 2).mean(dim=1)
        return each, torch.ones_like(each)

    def first_loss(self, state: State) -> float:
        """Models bring their own losses."""
        return 0.0

    def scores(self, outputs: Array, state: State) -> Array:
        """(n, D) floats of 0 to 1 -> whole numbers of 0 to 255."""
        return np.clip(np.round(np.asarray(outputs, dtype=np.float64) * 255.0), 0, 255)

    def labels(self, scores: Array, state: State, threshold: float | None) -> Array:
        """(n,) the mean pixel."""
        result: Array = scores.mean(axis=1)
        return result

    def decode(self, scores: Array, state: State, threshold: float | None) -> list[dict[str, Any]]:
        """`{'answer': the PNG's bytes in base64}`."""
        channels, height, width = _shape(state)
        pixels = scores.astype(np.uint8).reshape(len(scores), channels, height, width).transpose(0, 2, 3, 1)
        return [{"answer": base64.b64encode(_images().png(each)).decode("ascii")} for each in pixels]

    def same(self, ours: Array, theirs: Array, state: State, *, threshold: float | None, tolerance: float) -> Array:
        """Under the same noise: images whose pixels differ by `tolerance` of 255 on average at most."""
        apart = np.abs(np.asarray(ours, dtype=np.float64) - theirs).mean(axis=1)
        return np.asarray(apart <= tolerance)


def _shape(state: State) -> tuple[int, int, int]:
    assert state.shape is not None, "the state of a task that makes images has their size"
    return state.shape


def _images() -> Any:
    """What reads and writes images stands above tasks, and needs none of them."""
    return import_module("modelyard.features.images")
