"""What models that make images share: which column says the class, a row's class number, and the noise that its seed fixes.

Noise is drawn in numpy from a generator that counts (Philox, Salmon et al. 2011) and is keyed by the row's own seed, so that a
row alone, in a batch, in torch and in an exported graph begins with the same numbers. It knows no networks.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from modelyard.errors import DataError, MissingExtra
from modelyard.models._contract import Arrays, LoopModel, Model, Weights
from modelyard.records.trained import Work
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State

SEED = "seed"
"""The input that fixes a row's noise; a row without one has the seed 0."""
AVERAGE = "average."
"""Under which names the weights stand that answer."""
NOISE, CLASS = 0, 1
"""Streams of a seed: of its noise, and of its class where none is asked for."""


class ImageMaker(Model):
    """A model of images. Abstract: it reads `noise` (n, z) and `label` (n,), and puts out pixels (n, D) of 0 to 1."""

    tasks: ClassVar[tuple[str, ...]] = ("image-generation",)

    def unfit(self, state: State) -> str:
        if state.makes != "image" or state.shape is None:
            return f"it makes images; the target {state.target!r} is none"
        others = [column.name for column in state.inputs if column.type != "category" and not _is_seed(column)]
        if others:
            return f"it reads a column of classes and the number {SEED!r}, not {', '.join(others)}: ignore these under data.columns"
        if len(conditions(state)) > 1:
            return f"it reads one column of classes, not {', '.join(conditions(state))}: ignore the others under data.columns"
        return ""

    def features(self, rows: Rows, target: Array, state: State, *, seed: int) -> dict[str, Any]:
        """The classes with their shares of the training rows, and the images' shape."""
        if reason := self.unfit(state):
            raise DataError(reason)
        condition = next(iter(conditions(state)), None)
        values = [value for value in rows[condition] if value is not None] if condition else []
        classes, counts = np.unique(np.array(values, dtype=str), return_counts=True)
        shares = (counts / max(len(values), 1)).tolist()
        return {"condition": condition, "classes": classes.tolist(), "shares": shares, "shape": list(_shape(state))}

    def encode(self, rows: Rows, features: dict[str, Any]) -> Arrays:
        """`noise` (n, z) float32, standard normal, and `label` (n,) int64. Without a known class one is drawn, by the shares in training."""
        return {"noise": normal(_keys(rows), self.numbers(features)), "label": self.labels(rows, features)}

    def labels(self, rows: Rows, features: dict[str, Any]) -> Array:
        """(n,) int64 class numbers; 0 everywhere where there are no classes."""
        return _labels(rows, _keys(rows), features)

    def numbers(self, features: dict[str, Any]) -> int:
        """How many numbers of noise an image is made from: by default as many as it has pixels."""
        return math.prod(features["shape"])


class ImageNetwork(LoopModel, ImageMaker):
    """One that learns by gradient and answers with a running mean of itself. Abstract: a model brings its network."""

    @abstractmethod
    def network(self, features: dict[str, Any]) -> Any:
        """A fresh `torch.nn.Module`: `forward(noise, label)` -> (n, D), more arguments for the loss of each row."""

    def module(self, features: dict[str, Any], state: State, *, seed: int, folder: Any = None) -> Any:
        """The network, its weights drawn from the seed alone."""
        try:
            import torch
        except ImportError:
            raise MissingExtra("a generative network", "images") from None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.network(features)

    def work(self, weights: Weights, features: dict[str, Any], state: State) -> Work:
        """Of the running mean, which answers; FLOPs as torch counts them while one image is made."""
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        network = self.module(features, state, seed=0).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, self.numbers(features)), torch.zeros(1, dtype=torch.int64))
        own = {name: array for name, array in weights.items() if name.startswith(AVERAGE)}
        found = super().work(own, features, state)
        return found.model_copy(update={"flops_per_row": float(counter.get_total_flops())})


def _labels(rows: Rows, seeds: Array, features: dict[str, Any]) -> Array:
    found, classes = np.zeros(len(rows), dtype=np.int64), features["classes"]
    if not classes:
        return found
    number = {name: place for place, name in enumerate(classes)}
    bounds = np.cumsum(features["shares"])
    for row, value in enumerate(rows[features["condition"]]):
        known = number.get(value)
        if known is None:
            drawn = _generator(seeds[row], CLASS).random()
            known = min(int(np.searchsorted(bounds, drawn, side="right")), len(classes) - 1)
        found[row] = known
    return found


def normal(seeds: Array, count: int) -> Array:
    """(n, count) float32 of seeds (n,), a row of its own for each."""
    found = np.empty((len(seeds), count), dtype=np.float32)
    for row, seed in enumerate(seeds):
        found[row] = _generator(seed, NOISE).standard_normal(count, dtype=np.float32)
    return found


def unit_images(target: Array, shape: tuple[int, ...]) -> Array:
    """Encoded targets (n, D) as images (n, C, S, S) uint8."""
    return np.asarray(target, dtype=np.uint8).reshape(len(target), *shape)


def _generator(seed: Any, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream], dtype=np.uint64)))


def _keys(rows: Rows) -> Array:
    """(n,) uint64: the bits of each row's seed, whatever number it is; 0 and -0 are one."""
    given = rows[SEED] if SEED in rows.columns else np.zeros(len(rows))
    return np.ascontiguousarray(np.nan_to_num(given, nan=0.0) + 0.0).view(np.uint64)


def conditions(state: State) -> list[str]:
    """The columns of classes that a request may hold."""
    return [column.name for column in state.inputs if column.type == "category"]


def _is_seed(column: Any) -> bool:
    return column.name == SEED and column.type == "number"


def _shape(state: State) -> tuple[int, int, int]:
    assert state.shape is not None, "an image's state has its size"
    return state.shape
