"""Images changed while training, so that a model learns what does not matter: a batch at a time, in torch, from a given generator.

What is drawn is drawn on the CPU and then moved to where the images are: the same seed gives the same images on every device.

Names are the field's: flip, crop, rotation, zoom, shear, colour, RandAugment (Cubuk et al. 2020), random erasing (Zhong et al. 2020),
mixup (Zhang et al. 2018), cutmix (Yun et al. 2019). It knows nothing about models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from modelyard.frozen import Frozen

LEVELS = 10
"""RandAugment's magnitudes: 0 leaves an image as it is, 10 changes it most."""


class Augment(Frozen):
    """What is done to training images, and how much; zeros and false: nothing."""

    flip: bool = True
    """Mirror half of the images, left to right."""
    flip_vertical: bool = False
    """Turn half of them upside down."""
    crop: float = Field(0.1, ge=0, le=0.5)
    """Shift by up to this share of the side, what comes in being mirrored."""
    rotation: float = Field(0.0, ge=0, le=180)
    """Degrees either way."""
    zoom: float = Field(0.0, ge=0, lt=1)
    """Enlarge or shrink by up to this share."""
    shear: float = Field(0.0, ge=0, le=45)
    """Degrees either way."""
    colour: float = Field(0.0, ge=0, lt=1)
    """Brightness, contrast and saturation by up to this share."""
    randaugment: int = Field(0, ge=0, le=8)
    """Operations drawn for each image (RandAugment's N)."""
    magnitude: float = Field(5.0, ge=0, le=LEVELS)
    """How strong they are (its M, of 10)."""
    erasing: float = Field(0.0, ge=0, le=1)
    """Chance that a rectangle of an image is replaced by noise."""
    mixup: float = Field(0.0, ge=0)
    """Alpha of the Beta distribution by which two images and their targets are blended."""
    cutmix: float = Field(0.0, ge=0)
    """Alpha by which a rectangle of another image, and its share of the target, is pasted in."""

    @property
    def any(self) -> bool:
        """Whether anything is done."""
        return self != NOTHING


NOTHING = Augment(flip=False, crop=0.0)


@dataclass(frozen=True)
class Mix:
    """Which other row of the batch each was mixed with, and how much of it is its own."""

    other: Any
    """(n,) int64 tensor."""
    own: Any
    """(n,) float tensor, 0 to 1."""


def change(images: Any, options: Augment, generator: Any) -> tuple[Any, Mix | None]:
    """(n, C, H, W) floats of 0 to 1 -> the same shape, changed, and how rows were mixed (None: they were not)."""
    images = _moved(images, options, generator)
    if options.colour:
        images = _coloured(images, [_spread(images, options.colour, generator) for _ in range(3)])
    for _ in range(options.randaugment):
        images = _operated(images, options.magnitude / LEVELS, generator)
    if options.erasing:
        images = _erased(images, options.erasing, generator)
    if options.mixup or options.cutmix:
        return _mixed(images, options, generator)
    return images, None


def _drawn(images: Any, generator: Any) -> Any:
    """(n,) numbers of 0 to 1, one for each image."""
    import torch

    return torch.rand(len(images), generator=generator).to(images.device)


def _uniform(images: Any, generator: Any) -> Any:
    """(n,) numbers of -1 to 1."""
    return _drawn(images, generator) * 2 - 1


def _spread(images: Any, share: float, generator: Any) -> Any:
    """(n,) factors around 1."""
    return 1 + share * _uniform(images, generator)


def _signs(images: Any, wanted: bool, generator: Any) -> Any:
    """(n,) -1 for about half of the images where that is wanted, else 1."""
    import torch

    return torch.where((_drawn(images, generator) < 0.5) & wanted, -1.0, 1.0)


def _moved(images: Any, options: Augment, generator: Any) -> Any:
    """Flip, crop, rotation, zoom and shear as one affine map, so that pixels are interpolated once."""
    import torch

    sign_x, sign_y = (_signs(images, wanted, generator) for wanted in (options.flip, options.flip_vertical))
    angle, slant = (math.radians(most) * _uniform(images, generator) for most in (options.rotation, options.shear))
    scale = _spread(images, options.zoom, generator)
    shift_x, shift_y = (2 * options.crop * _uniform(images, generator) for _ in range(2))
    if options.rotation == options.zoom == options.shear == 0:
        return _shifted(images, sign_x, sign_y, shift_x, shift_y)
    turned = torch.stack(
        [torch.cos(angle), -torch.sin(angle + slant), torch.sin(angle), torch.cos(angle + slant)], dim=1
    )
    matrix = turned.view(-1, 2, 2) * scale[:, None, None] * torch.stack([sign_x, sign_y], dim=1)[:, None, :]
    return _mapped(images, torch.cat([matrix, torch.stack([shift_x, shift_y], dim=1)[:, :, None]], dim=2))


def _mapped(images: Any, theta: Any) -> Any:
    """Images (n, C, H, W) seen through affine maps (n, 2, 3)."""
    from torch.nn.functional import affine_grid, grid_sample

    grid = affine_grid(theta.to(images.dtype), list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _shifted(images: Any, sign_x: Any, sign_y: Any, shift_x: Any, shift_y: Any) -> Any:
    """Flips and shifts by whole pixels, which need no interpolation: one gather a side, mirrored beyond the border."""
    import torch

    def places(side: int, sign: Any, shift: Any) -> Any:
        moved = torch.round(shift * side / 2).long()[:, None]
        at = (torch.arange(side, device=images.device)[None, :] + moved).abs()  # (n, side); the border stands once
        at = torch.where(at >= side, 2 * (side - 1) - at, at)
        return torch.where(sign[:, None] < 0, side - 1 - at, at)

    height, width = images.shape[2:]
    rows, columns = places(height, sign_y, shift_y), places(width, sign_x, shift_x)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)  # (n, C, H, W)


def _coloured(images: Any, factors: list[Any]) -> Any:
    """Brightness, contrast and saturation, a factor an image each."""
    brightness, contrast, saturation = (factor.view(-1, 1, 1, 1) for factor in factors)
    images = images * brightness
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    images = middle + (images - middle) * contrast
    grey = images.mean(dim=1, keepdim=True)
    return (grey + (images - grey) * saturation).clamp(0, 1)


def _operated(images: Any, strength: float, generator: Any) -> Any:
    """One of RandAugment's operations for each image, drawn anew; each is done to the rows that drew it."""
    import torch

    drawn = torch.randint(len(_OPERATIONS), (len(images),), generator=generator).to(images.device)
    signed = strength * _signs(images, True, generator)
    result = images.clone()
    for number, operation in enumerate(_OPERATIONS):
        rows = torch.nonzero(drawn == number).flatten()
        if len(rows):
            result[rows] = operation(images[rows], signed[rows]).to(result.dtype)
    return result


def _theta(strength: Any, **parts: Any) -> Any:
    """(n, 2, 3) identity maps with some entries exchanged: a, b, c / d, e, f."""
    import torch

    base = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0], device=strength.device).repeat(len(strength), 1)
    for name, values in parts.items():
        base[:, "abcdef".index(name)] = values
    return base.view(-1, 2, 3)


def _rotated(images: Any, strength: Any) -> Any:
    import torch

    angle = strength * math.radians(30)
    sine, cosine = torch.sin(angle), torch.cos(angle)
    return _mapped(images, _theta(strength, a=cosine, b=-sine, d=sine, e=cosine))


def _posterised(images: Any, strength: Any) -> Any:
    import torch

    levels = (2 ** (8 - torch.round(4 * strength.abs()))).view(-1, 1, 1, 1)
    return torch.floor(images * levels).clamp(max=levels - 1) / (levels - 1)


def _solarised(images: Any, strength: Any) -> Any:
    import torch

    return torch.where(images > (1 - strength.abs()).view(-1, 1, 1, 1), 1 - images, images)


def _stretched(images: Any, strength: Any) -> Any:
    """Contrast stretched towards the whole range, by the strength."""
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    whole = (images - low) / (high - low).clamp(min=1e-3)
    return images + strength.abs().view(-1, 1, 1, 1) * (whole - images)


def _sharpened(images: Any, strength: Any) -> Any:
    from torch.nn.functional import avg_pool2d, pad

    blurred = avg_pool2d(pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return (blurred + (images - blurred) * (1 + 0.9 * strength).view(-1, 1, 1, 1)).clamp(0, 1)


def _toned(number: int) -> Any:
    def toned(images: Any, strength: Any) -> Any:
        import torch

        factors = [torch.ones_like(strength)] * 3
        factors[number] = 1 + 0.9 * strength
        return _coloured(images, factors)

    return toned


_OPERATIONS = (
    lambda images, strength: images,
    _rotated,
    lambda images, strength: _mapped(images, _theta(strength, b=0.3 * strength)),
    lambda images, strength: _mapped(images, _theta(strength, d=0.3 * strength)),
    lambda images, strength: _mapped(images, _theta(strength, c=0.6 * strength)),
    lambda images, strength: _mapped(images, _theta(strength, f=0.6 * strength)),
    _toned(0),
    _toned(1),
    _toned(2),
    _sharpened,
    _posterised,
    _solarised,
    _stretched,
)
"""Nothing, rotation, shear, shift, brightness, contrast, saturation, sharpness, posterise, solarise, stretched contrast."""


def _rectangles(images: Any, shares: Any, generator: Any) -> Any:
    """(n, 1, H, W) bool: a rectangle of about each share of the area, at most three times as long as wide, anywhere."""
    import torch

    height, width = images.shape[2:]
    ratio = torch.exp(_uniform(images, generator) * math.log(3))
    tall = (torch.sqrt(shares * ratio) * height).round().clamp(1, height)
    wide = (torch.sqrt(shares / ratio) * width).round().clamp(1, width)
    top = torch.floor(_drawn(images, generator) * (height - tall + 1))
    left = torch.floor(_drawn(images, generator) * (width - wide + 1))
    down, across = (torch.arange(side, device=images.device)[None, :] for side in (height, width))
    inside_rows = (down >= top[:, None]) & (down < (top + tall)[:, None])  # (n, H)
    inside_columns = (across >= left[:, None]) & (across < (left + wide)[:, None])  # (n, W)
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]


def _erased(images: Any, chance: float, generator: Any) -> Any:
    import torch

    shares = 0.02 + 0.38 * _drawn(images, generator)  # of the area, as in the paper
    hit = _drawn(images, generator) < chance
    inside = _rectangles(images, shares, generator) & hit[:, None, None, None]
    noise = torch.rand(images.shape, generator=generator).to(images.device)
    return torch.where(inside, noise, images)


def _mixed(images: Any, options: Augment, generator: Any) -> tuple[Any, Mix]:
    """Each batch by one of the two, drawn by chance where both are asked for."""
    import torch

    count = len(images)
    other = torch.randperm(count, generator=generator).to(images.device)
    cut = bool(options.cutmix) and (not options.mixup or bool(torch.rand(1, generator=generator) < 0.5))
    own = _beta(options.cutmix if cut else options.mixup, generator)
    if not cut:
        return own * images + (1 - own) * images[other], Mix(other, torch.full((count,), own, device=images.device))
    inside = _rectangles(images, torch.full((count,), 1 - own, device=images.device), generator)
    kept = 1 - inside.float().mean(dim=(1, 2, 3))
    return torch.where(inside, images[other], images), Mix(other, kept)


def _beta(alpha: float, generator: Any) -> float:
    """One draw of Beta(alpha, alpha): gamma draws have no generator of their own in torch, so numpy's does it, seeded from it."""
    import numpy as np
    import torch

    seed = int(torch.randint(2**31, (1,), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))
