"""A fixed network's view of images: what figures of likeness are computed on. 1,280 numbers an image, by EfficientNet-Lite0 as it comes.

Pixels of two pictures of one thing differ everywhere; what a network trained on ImageNet makes of them does not. The usual
network is Inception (Heusel et al. 2017), so that figures made with this one compare only with others made with it: `identity`
says with which. A pure function of the pixels: answers may be kept. It knows nothing about figures, and trains nothing.

It stands here, not among the features, because the network is a model's trunk.

>>> perceive(pixels)  # (n, C, S, S) or (n, S, S, C) uint8  # doctest: +SKIP
array([...], dtype=float32)  # (n, 1280)
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import numpy as np

from modelyard.errors import MissingExtra, UserError
from modelyard.models import efficientnet
from modelyard.rows import Array

SIDE = 112
"""Pixels that images are resized to: half of what the weights were trained with, so a quarter of the time; four times 28, seven fourths of 64."""
WIDTH = efficientnet.TOP
"""Numbers an image."""
ROWS = 16
"""Images of a pass: at 64 one takes 1.2 times as long, its maps no longer fit the cache."""


def identity() -> str:
    """The sha256 of the weights' file, and the side: figures compare where this is equal. MissingExtra where the package is not installed."""
    with efficientnet.packaged().open("rb") as file:
        return f"{hashlib.file_digest(file, 'sha256').hexdigest()}-{SIDE}"


def perceive(images: Array) -> Array:
    """(n, C, S, S) or (n, S, S, C) uint8 of 1 or 3 channels -> (n, 1280) float32.

    UserError where the array is neither; MissingExtra where the package or torch is not installed.
    """
    planes = _planes(images)
    trunk = _eyes()
    import torch

    found = np.empty((len(planes), WIDTH), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(planes), ROWS):
            part = torch.from_numpy(np.ascontiguousarray(planes[start : start + ROWS]))
            found[start : start + ROWS] = trunk(_ready(part)).numpy()
    return found


def _planes(images: Array) -> Array:
    """(n, C, S, S) of either order."""
    if images.dtype == np.uint8 and images.ndim == 4:
        if images.shape[1] in (1, 3):
            return images
        if images.shape[3] in (1, 3):
            return images.transpose(0, 3, 1, 2)
    raise UserError(
        f"images must be (n, C, S, S) or (n, S, S, C) uint8 of 1 or 3 channels (got {images.shape} {images.dtype})"
    )


def _ready(planes: Any) -> Any:
    """(n, C, S, S) uint8 -> (n, 3, SIDE, SIDE) floats as the weights expect; smoothed where it shrinks."""
    import torch
    from torch.nn.functional import interpolate

    scaled = (planes.float() / 255.0 - efficientnet.MEAN) / efficientnet.SCALE
    if scaled.shape[-2:] != (SIDE, SIDE):
        scaled = interpolate(scaled, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
    return scaled.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


@cache
def _eyes() -> Any:
    """The network, made once a process."""
    try:
        import torch
    except ImportError:
        raise MissingExtra("what a network sees in images", "images") from None
    trunk = efficientnet.Part().trunk({}, pretrained=True).eval().requires_grad_(False)
    return trunk.to(memory_format=torch.channels_last)
