"""Two networks that learn images from each other: a generator, and a critic that tells its images from real ones.

Convolutions as in DCGAN (Radford et al. 2016), for sides of 16 to 64 that are multiples of 4, of every class or of none. The
losses are those of Goodfellow et al. 2014 (`bce`), of Lim and Ye 2017 (`hinge`) and of Gulrajani et al. 2017 (`wasserstein`,
with its gradient penalty), each a number for each row, so that a training loop may sum and count. It knows nothing about
optimisers, files or the images' meaning.

>>> made = generator(side=28, channels=1, classes=10)(noise, label)  # (B, 1, 28, 28), 0 to 1  # doctest: +SKIP
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from modelyard.errors import UserError
from modelyard.rows import Array

Loss = Literal["bce", "hinge", "wasserstein"]
NOISE = 64
"""Numbers that an image is made from."""
WIDTH = 64
"""Channels of the largest maps; every halving of the side doubles them."""
SIDES = (16, 64)
"""The smallest and the largest side."""
DECAY = 0.999
"""Share of its weights that the average keeps at a step."""
GUESSING: dict[Loss, float] = {"bce": 2 * math.log(2.0), "hinge": 2.0, "wasserstein": 1.0}
"""What a critic that scores all alike loses; of `wasserstein`, which loses nothing then, the scale its penalty gives."""
PENALTY = 10.0
"""Weight of the gradient penalty (Gulrajani et al. 2017, section 4)."""
LAST, WON, RUNAWAY, COLLAPSED = 100, 0.05, 10.0, 0.25
"""Steps that signs are read from, and the levels they are read at."""


def halvings(side: int) -> int:
    """How often a side is halved: twice, and more while an even side is above 8.

    >>> [side >> halvings(side) for side in (16, 28, 32, 48, 60, 64)]
    [4, 7, 8, 6, 15, 8]
    """
    if side % 4 or not SIDES[0] <= side <= SIDES[1]:
        raise UserError(f"side must be a multiple of 4 from {SIDES[0]} to {SIDES[1]} (got {side})")
    times = 2
    while (side >> times) > 8 and (side >> times) % 2 == 0:
        times += 1
    return times


def generator(*, side: int, channels: int, classes: int, noise: int = NOISE, width: int = WIDTH) -> Any:
    """`forward(noise (B, z), label (B,) int64)` -> (B, C, S, S) floats of 0 to 1. `classes` 0: the label is not read."""
    return _modules().Generator(side, channels, classes, noise, width)


def critic(*, side: int, channels: int, classes: int, width: int = WIDTH, spectral: bool = True) -> Any:
    """`forward(images (B, C, S, S), label (B,) int64)` -> (B,), larger for what looks real and of its class.

    `spectral`: every layer's weights are divided by their largest singular value (Miyato et al. 2018).
    """
    return _modules().Critic(side, channels, classes, width, spectral)


@dataclass(frozen=True)
class _Modules:
    """The module classes."""

    Generator: Any
    Critic: Any


@cache
def _modules() -> _Modules:
    """Made on first use, because torch is heavy."""
    import torch
    from torch import nn
    from torch.nn.functional import leaky_relu, relu

    class Normalised(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Batch normalisation with a scale and a shift for each class (de Vries et al. 2017)."""

        def __init__(self, width: int, classes: int) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(width, affine=False)
            self.scale = nn.Parameter(torch.ones(max(classes, 1), width))
            self.shift = nn.Parameter(torch.zeros(max(classes, 1), width))

        def forward(self, maps: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            return self.norm(maps) * self.scale[label, :, None, None] + self.shift[label, :, None, None]

    class Generator(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Noise to the smallest map, then transposed convolutions that double the side, the last of them to the image."""

        def __init__(self, side: int, channels: int, classes: int, noise: int, width: int) -> None:
            super().__init__()
            times = halvings(side)
            self.noise, self.classes, self.base = noise, classes, side >> times
            widths = [width << times - 1 - number for number in range(times)]
            self.first = nn.Linear(noise, widths[0] * self.base**2)
            self.norms = nn.ModuleList(Normalised(each, classes) for each in widths)
            outward = [*widths[1:], channels]
            self.layers = nn.ModuleList(
                nn.ConvTranspose2d(inner, outer, 4, stride=2, padding=1, bias=outer == channels and number == times - 1)
                for number, (inner, outer) in enumerate(zip(widths, outward, strict=True))
            )
            for layer in (self.first, *self.layers):
                nn.init.normal_(layer.weight, std=0.02)  # Radford et al. 2016, section 4

        def forward(self, noise: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            label = label if self.classes else torch.zeros_like(label)
            maps = self.first(noise).unflatten(1, (-1, self.base, self.base))  # (B, W, s, s)
            for norm, layer in zip(self.norms, self.layers, strict=True):
                maps = layer(relu(norm(maps, label)))  # (B, 2W, s, s) -> (B, W, 2s, 2s)
            return torch.sigmoid(maps)

    class Critic(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Convolutions that halve the side, and a sum over the last map that its class has a say in (Miyato and Koyama 2018)."""

        def __init__(self, side: int, channels: int, classes: int, width: int, spectral: bool) -> None:
            super().__init__()
            times = (
                halvings(side) + 1
            )  # one more than the generator doubles: it then tells classes apart a third sooner
            self.classes = classes
            bounded: Callable[[Any], Any] = nn.utils.parametrizations.spectral_norm if spectral else lambda layer: layer
            widths = [channels, *(width << number for number in range(times))]
            layers = [nn.Conv2d(inner, outer, 4, stride=2, padding=1) for inner, outer in itertools.pairwise(widths)]
            flat = widths[-1] * (side >> times) ** 2
            head, of_class = nn.Linear(flat, 1), nn.Embedding(max(classes, 1), flat)
            nn.init.zeros_(of_class.weight) if not spectral else nn.init.normal_(of_class.weight)
            self.layers = nn.ModuleList(map(bounded, layers))
            self.head = bounded(head)
            self.of_class = bounded(of_class) if classes else None

        def forward(self, images: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            maps = images * 2.0 - 1.0
            for layer in self.layers:
                maps = leaky_relu(layer(maps), 0.2)
            flat = maps.flatten(1)  # (B, F)
            score = self.head(flat)[:, 0]
            return score if self.of_class is None else score + (self.of_class(label) * flat).sum(dim=1)

    return _Modules(Generator, Critic)


# -- losses, a number a row --------------------------------------------------------------------------------------------


def critic_loss(loss: Loss, real: Any, made: Any) -> Any:
    """What the critic lost on scores (B,) of real and (B,) of made images."""
    from torch.nn.functional import relu, softplus

    if loss == "bce":
        return softplus(-real) + softplus(made)
    return relu(1.0 - real) + relu(1.0 + made) if loss == "hinge" else made - real


def generator_loss(loss: Loss, made: Any) -> Any:
    """What the generator lost on the critic's scores (B,) of its images; for `bce` the one that does not saturate."""
    from torch.nn.functional import softplus

    return softplus(-made) if loss == "bce" else -made


def gradient_penalty(critic: Any, real: Any, made: Any, label: Any, *, generator: Any) -> Any:
    """(B,) the squared gap between 1 and the critic's slope, somewhere between a real and a made image each (Gulrajani et al. 2017)."""
    import torch

    share = torch.rand(len(real), 1, 1, 1, generator=generator).to(real.device)
    between = (share * real + (1.0 - share) * made).detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(between, label).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1.0) ** 2


@contextmanager
def held(network: Any) -> Iterator[None]:
    """Inside, no gradients are kept for a network's weights: those that pass through it to another's cost a third less."""
    wanted = [one for one in network.parameters() if one.requires_grad]
    for one in wanted:
        one.requires_grad_(False)
    try:
        yield
    finally:
        for one in wanted:
            one.requires_grad_(True)


# -- the average generator ---------------------------------------------------------------------------------------------


def averaged(network: Any) -> Any:
    """A copy that follows a generator's weights slowly (Yazici et al. 2019): `forward` as the generator's, `follow(generator)` after each step.

    It begins as the generator is and forgets what it was sooner at first, by (1 + steps) / (10 + steps).
    """
    return _averaged()(network)


@cache
def _averaged() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch
    from torch import nn

    class Averaged(nn.Module):  # type: ignore[misc]  # torch is not followed
        """An exponential moving average of another module."""

        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network = copy.deepcopy(network).requires_grad_(False).eval()
            self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

        def train(self, mode: bool = True) -> Any:
            """As torch's, but that the average is never trained."""
            super().train(mode)
            self.network.eval()
            return self

        def follow(self, live: Any, decay: float = DECAY) -> None:
            """One step towards the live weights; what is counted, not learnt, is as theirs."""
            self.steps += 1
            share = 1.0 - min(decay, (1.0 + int(self.steps)) / (10.0 + int(self.steps)))
            with torch.no_grad():
                for slow, fast in zip(self.network.parameters(), live.parameters(), strict=True):
                    slow.lerp_(fast, share)
                for slow, fast in zip(self.network.buffers(), live.buffers(), strict=True):
                    slow.copy_(fast)

        def forward(self, *given: Any) -> Any:
            return self.network(*given)

    return Averaged


# -- signs of trouble --------------------------------------------------------------------------------------------------


def spread(images: Array, labels: Array, *, classes: int) -> float:
    """The mean squared distance of images (n, ...) to their class's mean image, over n - 1: NaN where no class has two.

    Of made images over that of real ones of the same classes it says how various they are: near 1, or 0 where each class is one image.
    """
    flat = np.asarray(images, dtype=np.float64).reshape(len(images), -1)
    member = (np.asarray(labels)[:, None] == np.arange(max(classes, 1))).astype(np.float64)
    member = member if classes else np.ones_like(member)
    counts = member.sum(axis=0)
    means = member.T @ flat / np.maximum(counts, 1.0)[:, None]  # (K, D)
    freedom = np.maximum(counts - 1.0, 0.0).sum()
    return float(((flat - member @ means) ** 2).sum() / freedom) if freedom else float("nan")


Sign = Literal["loss_not_finite", "critic_wins", "losses_run_away", "mode_collapse"]


def signs(
    critic_losses: Sequence[float],
    generator_losses: Sequence[float],
    variety: Sequence[float],
    *,
    loss: Loss,
    last: int = LAST,
) -> tuple[Sign, ...]:
    """What is wrong with a training, from the mean losses of its steps and `spread` of made over real images; () where nothing is.

    `critic_wins`: it loses under a twentieth of what it would by guessing, so that nothing is left to learn from it (not for
    `wasserstein`, which has no such level). `losses_run_away`: the last are ten times what they were midway, and ten times what
    guessing loses. `mode_collapse`: images of a class are under a quarter as various as real ones. All over the `last` steps, for
    single ones mean nothing; 1 where each value is a mean of many steps.
    """
    critic, generator = np.asarray(critic_losses, dtype=np.float64), np.asarray(generator_losses, dtype=np.float64)
    if not (np.isfinite(critic).all() and np.isfinite(generator).all()):
        return ("loss_not_finite",)
    found: list[Sign] = []
    level = GUESSING[loss]
    if loss != "wasserstein" and len(critic) >= last and critic[-last:].mean() < WON * level:
        found.append("critic_wins")
    if any(_run_away(each, level, last) for each in (critic, generator)):
        found.append("losses_run_away")
    known = np.asarray(variety, dtype=np.float64)
    known = known[np.isfinite(known)][-last:]
    if len(known) and np.median(known) < COLLAPSED:
        found.append("mode_collapse")
    return tuple(found)


def _run_away(losses: Array, level: float, last: int) -> bool:
    if len(losses) < 4 * last:
        return False
    half = len(losses) // 2
    before, after = (float(np.median(np.abs(part))) for part in (losses[half - last : half], losses[-last:]))
    return after > RUNAWAY * max(before, level)
