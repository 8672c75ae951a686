"""A small residual network from scratch (He et al. 2016, pre-activation): blocks of two convolutions that add to what they were given.

Deeper than `cnn` for the same time, and rarely worse; made for images of up to 64 pixels. It knows nothing about training loops.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Literal

from pydantic import Field

from modelyard.errors import MissingExtra
from modelyard.models._contract import LoopOptions, Weights
from modelyard.models._images import ImageModel, mirrored, scaling
from modelyard.records.trained import Work
from modelyard.tasks._contract import State


class Part(ImageModel):
    """A small residual network."""

    largest: ClassVar[int] = 64

    widths: tuple[int, ...] = Field((32, 64, 128), min_length=1)
    """Channels of each stage; every stage after the first halves the side."""
    blocks: int = Field(2, ge=1, le=8)
    """Residual blocks in a stage."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Before the head."""
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    """How weights move."""
    learning_rate: float = Field(3e-3, gt=0)
    """At its peak."""
    weight_decay: float = Field(0.05, ge=0)
    """L2: decoupled for adamw, in the gradient for the others."""
    schedule: Literal["cosine", "linear", "constant", "step"] = "cosine"
    """Learning rate after warm-up."""
    epochs: int = Field(30, ge=1)
    """Passes over the data at most; the budget may buy fewer."""
    batch_rows: int = Field(128, ge=1)
    """Images in an optimiser step."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many validations without a better metric."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 where it is measured to be faster."""

    def module(self, features: dict[str, Any], state: State, *, seed: int, folder: Any = None) -> Any:
        """`forward(pixels)` -> (n, K)."""
        try:
            import torch
        except ImportError:
            raise MissingExtra("a residual network", "images") from None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _network()(features, state.outputs, self)

    def loop(self, features: dict[str, Any], state: State, rows: int) -> LoopOptions:
        """Its own options."""
        return LoopOptions(
            optimiser=self.optimiser, learning_rate=self.learning_rate, weight_decay=self.weight_decay,
            schedule=self.schedule, warmup=0.1, epochs=self.epochs, batch_rows=self.batch_rows, patience=self.patience,
            precision=self.precision,
        )  # fmt: skip

    def work(self, weights: Weights, features: dict[str, Any], state: State) -> Work:
        """FLOPs as torch counts them while one image passes: those of convolutions and matrix products."""
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        network, side = self.module(features, state, seed=0).eval(), features["size"]
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, features["channels"] * len(features["columns"]), side, side))
        flops = float(counter.get_total_flops())
        return super().work(weights, features, state).model_copy(update={"flops_per_row": flops})


@cache
def _network() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch
    from torch import nn

    class Block(nn.Module):  # type: ignore[misc]  # torch is not followed
        """x + convolutions(x); where side or width change, x goes through a convolution of its own."""

        def __init__(self, width: int, channels: int, stride: int) -> None:
            super().__init__()
            self.before = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())
            self.inner = nn.Sequential(
                nn.Conv2d(width, channels, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            )
            same = width == channels and stride == 1
            self.short = None if same else nn.Conv2d(width, channels, 1, stride=stride, bias=False)

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            ready = self.before(maps)
            return (maps if self.short is None else self.short(ready)) + self.inner(ready)

    class Network(nn.Module):  # type: ignore[misc]  # torch is not followed
        """A convolution, stages of blocks, the mean over the map, and a head that starts at zero."""

        def __init__(self, features: dict[str, Any], outputs: int, options: Part) -> None:
            super().__init__()
            self.scaling, self.mirrored = scaling(features), options.mirrored
            width = options.widths[0]
            self.stem = nn.Conv2d(features["channels"] * len(features["columns"]), width, 3, padding=1, bias=False)
            blocks: list[Any] = []
            for stage, channels in enumerate(options.widths):
                for number in range(options.blocks):
                    blocks.append(Block(width, channels, 2 if stage and not number else 1))
                    width = channels
            self.body = nn.Sequential(*blocks)
            self.last = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.dropout = nn.Dropout(options.dropout)
            self.head = nn.Linear(width, outputs)
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(self.head.weight)  # so that the first loss is that of knowing nothing: ln K
            nn.init.zeros_(self.head.bias)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return mirrored(self.answer, pixels) if self.mirrored and not self.training else self.answer(pixels)

        def answer(self, pixels: torch.Tensor) -> torch.Tensor:
            maps = self.body(self.stem(self.scaling(pixels)))  # (B, C, S, S) -> (B, W, s, s)
            return self.head(self.dropout(self.last(maps)))  # (B, K)

    return Network
