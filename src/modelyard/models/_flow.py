"""A network that moves noise to images along straight paths: flow matching (Lipman et al. 2023), the rectified flow of Liu et al. 2023.

It learns the velocity of a point on its way: at time t the point is (1 - t) noise + t image, and its velocity image - noise.
Images are made by following the velocity from noise at 0 to 1 in a fixed number of steps. The network is a small U-Net
(Ronneberger et al. 2015) that is told the time and the class. The sampler is a fixed number of its steps, so that network and
sampler export as one graph. It knows nothing about optimisers, files or the images' meaning.

>>> images = sample(network, noise, label, steps=8)  # (B, C, S, S), 0 to 1  # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

from modelyard.errors import UserError

Method = Literal["euler", "heun"]
Velocity = Callable[[Any, Any, Any], Any]
"""Points (B, C, S, S), times (B,) and class numbers (B,) int64 -> velocities (B, C, S, S); class K means none in particular."""
WIDTH = 32
"""Channels of the largest maps; the next have twice as many, the smallest three times."""
TIMES = 64
"""Numbers that a time is told by."""
FORGOTTEN = 0.1
"""Share of training rows whose class is withheld, so that guidance has something to lead away from (Ho and Salimans 2022)."""
SIDES = (16, 64)
"""The smallest and the largest side."""


def network(*, side: int, channels: int, classes: int, width: int = WIDTH) -> Any:
    """`forward(points (B, C, S, S), times (B,), label (B,) int64)` -> (B, C, S, S). Class K, one more than the last, means none in particular."""
    if side % 4 or not SIDES[0] <= side <= SIDES[1]:
        raise UserError(f"side must be a multiple of 4 from {SIDES[0]} to {SIDES[1]} (got {side})")
    return _network()(channels, classes, width)


@cache
def _network() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch
    from torch import nn
    from torch.nn.functional import interpolate, pixel_shuffle, pixel_unshuffle, silu

    class Block(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Two convolutions that add to what came in; time and class scale and shift in between (Dhariwal and Nichol 2021)."""

        def __init__(self, width: int, channels: int, told: int) -> None:
            super().__init__()
            self.before, self.first = nn.GroupNorm(8, width), nn.Conv2d(width, channels, 3, padding=1)
            self.told = nn.Linear(told, 2 * channels)
            self.between, self.second = nn.GroupNorm(8, channels), nn.Conv2d(channels, channels, 3, padding=1)
            self.short = nn.Conv2d(width, channels, 1) if width != channels else nn.Identity()
            nn.init.zeros_(self.second.weight)  # so that a block begins as what it is given
            nn.init.zeros_(self.second.bias)

        def forward(self, maps: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
            scale, shift = self.told(told)[:, :, None, None].chunk(2, dim=1)
            inner = self.between(self.first(silu(self.before(maps)))) * (1.0 + scale) + shift
            return self.short(maps) + self.second(silu(inner))

    class Network(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Four pixels as one place, down once and up again; what was seen on the way down is laid beside what comes up."""

        def __init__(self, channels: int, classes: int, width: int) -> None:
            super().__init__()
            told = 4 * width
            self.time = nn.Sequential(nn.Linear(TIMES, told), nn.SiLU(), nn.Linear(told, told))
            self.label = nn.Embedding(classes + 1, told)
            self.stem = nn.Conv2d(4 * channels, width, 3, padding=1)
            self.down = Block(width, width, told)
            self.halve = nn.Conv2d(width, width, 3, stride=2, padding=1)
            self.middle = nn.ModuleList([Block(width, 2 * width, told), Block(2 * width, 2 * width, told)])
            self.up = Block(3 * width, width, told)
            self.last, self.out = nn.GroupNorm(8, width), nn.Conv2d(width, 4 * channels, 3, padding=1)
            frequencies = torch.exp(
                -math.log(10_000.0) * torch.arange(TIMES // 2) / (TIMES // 2)
            )  # Vaswani et al. 2017
            self.register_buffer("frequencies", 1000.0 * frequencies)
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)

        def forward(self, points: torch.Tensor, times: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            angle = times[:, None] * self.frequencies
            told = silu(self.time(torch.cat([angle.sin(), angle.cos()], dim=1)) + self.label(label))  # (B, 4W)
            beside = self.down(self.stem(pixel_unshuffle(points, 2)), told)  # (B, C, S, S) -> (B, W, S / 2, S / 2)
            maps = self.halve(beside)  # (B, W, S / 4, S / 4)
            for block in self.middle:
                maps = block(maps, told)  # (B, 2W, S / 4, S / 4)
            maps = self.up(torch.cat([interpolate(maps, scale_factor=2.0), beside], dim=1), told)
            return pixel_shuffle(self.out(silu(self.last(maps))), 2)

    return Network


def matching_loss(network: Any, images: Any, label: Any, *, generator: Any, forgotten: float = FORGOTTEN) -> Any:
    """(B,) mean squared error of the velocity at a time drawn for each of images (B, C, S, S), 0 to 1, of classes (B,)."""
    import torch

    target = images * 2.0 - 1.0
    noise = torch.randn(target.shape, generator=generator).to(target.device)
    times = torch.rand(len(target), generator=generator).to(target.device)
    withheld = torch.rand(len(target), generator=generator).to(target.device) < forgotten
    label = torch.where(withheld, network.label.num_embeddings - 1, label)
    share = times[:, None, None, None]
    found = network((1.0 - share) * noise + share * target, times, label)
    return ((found - (target - noise)) ** 2).flatten(1).mean(dim=1)


def sample(
    velocity: Velocity,
    noise: Any,
    label: Any,
    *,
    steps: int = 8,
    method: Method = "heun",
    guidance: float = 1.0,
    none: int | None = None,
) -> Any:
    """Images (B, C, S, S), 0 to 1, of standard normal noise (B, C, S, S) and class numbers (B,).

    `heun` asks for the velocity twice a step, but for the last, and errs less for the same number of questions; `guidance` above 1
    leads away from what class `none` would give (Ho and Salimans 2022), and asks twice as often.
    """
    if steps < 1 or guidance < 0:
        raise UserError(f"steps must be 1 or more and guidance 0 or more (got {steps} and {guidance})")
    if guidance != 1 and none is None:
        raise UserError("guidance needs `none`, the number of no class in particular")

    def guided(points: Any, time: float) -> Any:
        times = points.new_full((points.shape[0],), time)
        found = velocity(points, times, label)
        if guidance == 1:
            return found
        away = velocity(points, times, label * 0 + none)
        return away + guidance * (found - away)

    points, length = noise, 1.0 / steps
    for number in range(steps):
        slope = guided(points, number / steps)
        if method == "heun" and number + 1 < steps:
            slope = (slope + guided(points + length * slope, (number + 1) / steps)) / 2
        points = points + length * slope
    return ((points + 1.0) / 2.0).clamp(0.0, 1.0)
