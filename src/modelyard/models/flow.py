"""Flow matching (Lipman et al. 2023): a small U-Net that leads noise to images along straight paths, in a fixed number of steps.

One network, one loss with a known least, nothing that two sides could lose: steadier than a generative adversarial network, and
slower to answer, for each image takes a dozen passes. It knows nothing about training loops and files.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from modelyard.models import _flow, _gan
from modelyard.models._contract import Examples, LoopOptions, Lost
from modelyard.models._imaging import ImageNetwork
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State


class Part(ImageNetwork):
    """Flow matching."""

    tasks: ClassVar[tuple[str, ...]] = ("image-generation",)
    extra: ClassVar[str | None] = "images"

    width: int = Field(32, ge=8, le=512, multiple_of=8)
    """Channels of the network's largest maps; the smallest have twice as many."""
    steps: int = Field(5, ge=1, le=100)
    """Steps from noise to an image."""
    method: Literal["euler", "heun"] = "heun"
    """How a step is taken: `heun` asks the network twice and errs less."""
    guidance: float = Field(1.5, ge=0, le=10)
    """Above 1 images are led away from what no class in particular would give (Ho and Salimans 2022): more of their class, less various."""
    forgotten: float = Field(_flow.FORGOTTEN, ge=0, lt=1)
    """Share of training rows whose class is withheld, which guidance needs."""
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    """How weights move."""
    learning_rate: float = Field(2e-3, gt=0)
    """At its peak."""
    weight_decay: float = Field(0.0, ge=0)
    """L2: decoupled for adamw, in the gradient for the others."""
    averaging: float = Field(0.998, ge=0, lt=1)
    """Share of its weights that the running mean, which answers, keeps at a step."""
    schedule: Literal["cosine", "linear", "constant", "step"] = "cosine"
    """Learning rate after warm-up."""
    epochs: int = Field(60, ge=1)
    """Passes over the data at most; the budget may buy fewer."""
    batch_rows: int = Field(64, ge=2)
    """Images in an optimiser step."""
    validations_per_epoch: float = Field(0.125, gt=0)
    """How often made images are compared with validation rows: below 1, every so many passes over the data."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many validations without a better metric."""
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    """bf16 where it is measured to be faster."""

    def features(self, rows: Rows, target: Array, state: State, *, seed: int) -> dict[str, Any]:
        """Classes and shape, and the mean square of a pixel from -1 to 1: what knowing nothing loses."""
        scaled = np.asarray(target, dtype=np.float32) / 127.5 - 1.0
        return {**super().features(rows, target, state, seed=seed), "power": round(float(np.square(scaled).mean()), 6)}

    def examples(self, rows: Rows, target: Array, features: dict[str, Any], *, seed: int) -> Examples:
        """Encoded rows without their noise: every step draws its own."""
        arrays = self.encode(rows.take(slice(0, 1)), features)
        noise = np.broadcast_to(arrays["noise"][:1] * 0, (len(rows), self.numbers(features)))
        return Examples({"noise": noise, "label": self.labels(rows, features)}, target)

    def network(self, features: dict[str, Any]) -> Any:
        """`forward(noise, label)` -> (n, D); with `real` images, the loss of each row."""
        return _network()(features, self)

    def loop(self, features: dict[str, Any], state: State, rows: int) -> LoopOptions:
        """Its own options."""
        return LoopOptions(
            optimiser=self.optimiser, learning_rate=self.learning_rate, weight_decay=self.weight_decay, schedule=self.schedule,
            warmup=0.05, epochs=self.epochs, batch_rows=self.batch_rows, patience=self.patience, precision=self.precision,
            validations_per_epoch=self.validations_per_epoch,
        )  # fmt: skip

    def lost(
        self,
        turn: str,
        forward: Callable[..., Any],
        tensors: dict[str, Any],
        target: Any,
        task: Any,
        state: State,
        generator: Any,
    ) -> Lost:
        """The mean squared error of each row's velocity at a time and from noise of its own."""
        import torch

        real = (target / 255.0).unflatten(1, state.shape)  # (B, D) -> (B, C, S, S)
        each = forward(noise=tensors["noise"], label=tensors["label"], real=real, generator=generator)
        return Lost(each, torch.ones_like(each))

    def moved(self, turn: str, module: Any) -> None:
        """The running mean follows the network."""
        module.average.follow(module.network, self.averaging)

    def groups(self, module: Any) -> Any:
        return [(0, list(module.network.parameters()))]

    def first_loss(self, features: dict[str, Any], task: Any, state: State) -> float:
        """A velocity of 0 errs by image - noise: the mean square of the image, and 1 of the noise."""
        return 1.0 + float(features["power"])


@cache
def _network() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch
    from torch import nn

    class Network(nn.Module):  # type: ignore[misc]  # torch is not followed
        """A network of velocities, and its running mean, which answers through the sampler."""

        def __init__(self, features: dict[str, Any], options: Part) -> None:
            super().__init__()
            channels, side, _ = self.shape = tuple(features["shape"])
            classes = max(len(features["classes"]), 1)
            self.forgotten = options.forgotten
            guidance = options.guidance if features["classes"] else 1.0
            self.way: dict[str, Any] = {
                "steps": options.steps,
                "method": options.method,
                "guidance": guidance,
                "none": classes,
            }
            self.network = _flow.network(side=side, channels=channels, classes=classes, width=options.width)
            self.average = _gan.averaged(self.network)

        def forward(
            self, noise: torch.Tensor, label: torch.Tensor, real: Any = None, generator: Any = None
        ) -> torch.Tensor:
            if real is not None:
                return _flow.matching_loss(self.network, real, label, generator=generator, forgotten=self.forgotten)
            points = noise.unflatten(1, self.shape)  # (B, D) -> (B, C, S, S)
            return _flow.sample(self.average, points, label, **self.way).flatten(1)

    return Network
