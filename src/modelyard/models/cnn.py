"""A convolutional network as textbooks draw it: convolution, normalisation, activation, pooling; again; dense layers (LeCun et al. 1998).

Small enough to train from scratch on a CPU in minutes. It knows nothing about training loops.
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
    """A plain convolutional network."""

    largest: ClassVar[int] = 64

    widths: tuple[int, ...] = (48, 96, 192)
    """Channels of each stage; a stage halves the side."""
    convolutions: int = Field(2, ge=1, le=4)
    """Convolutions in a stage."""
    kernel: int = Field(3, ge=1, le=11)
    """Side of a convolution's window, in pixels."""
    pooling: Literal["max", "average"] = "max"
    """How a stage halves the side."""
    pooled: Literal["first", "last"] = "first"
    """After which of a stage's convolutions the side is halved; after the first, the others work on a quarter of the places."""
    dense: tuple[int, ...] = (128,)
    """Width of each dense layer between the convolutions and the classes."""
    activation: Literal["relu", "gelu", "silu", "leaky_relu"] = "relu"
    """Between layers."""
    normalisation: Literal["batch", "none"] = "batch"
    """After each convolution."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Before each dense layer."""
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    """How weights move."""
    learning_rate: float = Field(2e-3, gt=0)
    """At its peak."""
    weight_decay: float = Field(0.02, ge=0)
    """L2: decoupled for adamw, in the gradient for the others."""
    l1: float = Field(0.0, ge=0)
    """Weight of the sum of absolute weights in the loss."""
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
            raise MissingExtra("a convolutional network", "images") from None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _network()(features, state.outputs, self)

    def loop(self, features: dict[str, Any], state: State, rows: int) -> LoopOptions:
        """Its own options."""
        return LoopOptions(
            optimiser=self.optimiser, learning_rate=self.learning_rate, weight_decay=self.weight_decay, l1=self.l1,
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

    activations = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "leaky_relu": nn.LeakyReLU}
    poolings = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}

    class Network(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Stages of convolutions that halve the side, then dense layers, then a head that starts at zero."""

        def __init__(self, features: dict[str, Any], outputs: int, options: Part) -> None:
            super().__init__()
            self.scaling, self.mirrored = scaling(features), options.mirrored
            width, side = features["channels"] * len(features["columns"]), features["size"]
            blocks: list[Any] = []
            for channels in options.widths:
                for number in range(options.convolutions):
                    plain = options.normalisation == "none"
                    convolution = nn.Conv2d(width, channels, options.kernel, padding=options.kernel // 2, bias=plain)
                    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
                    side += 2 * (options.kernel // 2) - options.kernel + 1  # an even window adds a pixel
                    # before what follows, which is then a quarter of the work
                    halved = side > 1 and number == (0 if options.pooled == "first" else options.convolutions - 1)
                    blocks += [
                        convolution,
                        *([poolings[options.pooling](2)] if halved else []),
                        *([] if plain else [nn.BatchNorm2d(channels)]),
                        activations[options.activation](),
                    ]
                    width, side = channels, side // 2 if halved else side
            self.body = nn.Sequential(*blocks)
            flat, layers = width * side * side, []
            for dense in options.dense:
                layers += [nn.Dropout(options.dropout), nn.Linear(flat, dense), activations[options.activation]()]
                flat = dense
            self.dense = nn.Sequential(nn.Flatten(), *layers)
            self.head = nn.Linear(flat, outputs)
            nn.init.zeros_(self.head.weight)  # so that the first loss is that of knowing nothing: ln K
            nn.init.zeros_(self.head.bias)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return mirrored(self.answer, pixels) if self.mirrored and not self.training else self.answer(pixels)

        def answer(self, pixels: torch.Tensor) -> torch.Tensor:
            maps = self.body(self.scaling(pixels))  # (B, C, S, S) -> (B, W, s, s)
            return self.head(self.dense(maps))  # (B, K)

    return Network
