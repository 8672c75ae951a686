"""VGG's convolutions (Simonyan and Zisserman 2015), by the names that timm's weights have.

The three dense layers behind them, 120 M of 138 M parameters, are left out: a trunk ends with the mean over its last map.
It knows nothing about where weights come from.
"""

from __future__ import annotations

from functools import cache
from typing import Any

CONVOLUTIONS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
"""Convolutions of each stage (table 1: A, B, D, E); with `_bn` each is normalised."""
WIDTHS = (64, 128, 256, 512, 512)
"""Channels of the stages."""
NAMES = (*CONVOLUTIONS, *(f"{name}_bn" for name in CONVOLUTIONS))
LEAST = 32
"""Smallest side: five stages halve it."""


def vgg(name: str) -> Any:
    """The trunk of one of NAMES, of random weights."""
    return _trunk()(CONVOLUTIONS[name.removesuffix("_bn")], normalised=name.endswith("_bn"))


@cache
def _trunk() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch
    from torch import nn

    class Trunk(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Five stages of convolutions, each ended by a pooling that halves the side."""

        width = WIDTHS[-1]

        def __init__(self, convolutions: tuple[int, ...], *, normalised: bool) -> None:
            super().__init__()
            layers: list[Any] = []
            self.ends: list[int] = []
            width = 3
            for count, channels in zip(convolutions, WIDTHS, strict=True):
                for _ in range(count):
                    layers.append(nn.Conv2d(width, channels, 3, padding=1))
                    layers += [nn.BatchNorm2d(channels)] if normalised else []
                    layers.append(nn.ReLU(inplace=True))
                    width = channels
                layers.append(nn.MaxPool2d(2))
                self.ends.append(len(layers))
            self.features = nn.Sequential(*layers)

        def stages(self) -> list[list[Any]]:
            """Up to each pooling."""
            layers = list(self.features)
            return [layers[start:end] for start, end in zip([0, *self.ends], self.ends, strict=False)]

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            return self.features(maps).mean(dim=(2, 3))  # (n, 3, S, S) -> (n, 512, S / 32, S / 32) -> (n, 512)

    return Trunk
