"""Inception v3's convolutions (Szegedy et al. 2016), by the names that timm's weights have.

The second classifier, which helped to train it, is left out. It knows nothing about where weights come from.
"""

from __future__ import annotations

from functools import cache
from typing import Any

NAMES = ("inception_v3",)
LEAST = 75
"""Smallest side: below, the last of the convolutions without a border find nothing."""

Chain = tuple[tuple[str, int, Any], ...]
"""Convolutions one after another: name, channels, window. The last may be two (`a` and `b`), which both read the one before."""
WIDE, TALL = (1, 7), (7, 1)


def _mixed_5(pooled: int) -> tuple[Chain, ...]:
    return (
        (("branch1x1", 64, 1),),
        (("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
        (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)),
        (("branch_pool", pooled, 1),),
    )


def _mixed_6(inner: int) -> tuple[Chain, ...]:
    return (
        (("branch1x1", 192, 1),),
        (("branch7x7_1", inner, 1), ("branch7x7_2", inner, WIDE), ("branch7x7_3", 192, TALL)),
        (
            ("branch7x7dbl_1", inner, 1),
            ("branch7x7dbl_2", inner, TALL),
            ("branch7x7dbl_3", inner, WIDE),
            ("branch7x7dbl_4", inner, TALL),
            ("branch7x7dbl_5", 192, WIDE),
        ),
        (("branch_pool", 192, 1),),
    )


_HALVING_6: tuple[Chain, ...] = (
    (("branch3x3", 384, 3),),
    (("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)),
)
_HALVING_7: tuple[Chain, ...] = (
    (("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3)),
    (("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, WIDE), ("branch7x7x3_3", 192, TALL), ("branch7x7x3_4", 192, 3)),
)
_MIXED_7: tuple[Chain, ...] = (
    (("branch1x1", 320, 1),),
    (("branch3x3_1", 384, 1), ("branch3x3_2a", 384, (1, 3)), ("branch3x3_2b", 384, (3, 1))),
    (
        ("branch3x3dbl_1", 448, 1),
        ("branch3x3dbl_2", 384, 3),
        ("branch3x3dbl_3a", 384, (1, 3)),
        ("branch3x3dbl_3b", 384, (3, 1)),
    ),
    (("branch_pool", 192, 1),),
)
BLOCKS = (
    ("Mixed_5b", _mixed_5(32), False),
    ("Mixed_5c", _mixed_5(64), False),
    ("Mixed_5d", _mixed_5(64), False),
    ("Mixed_6a", _HALVING_6, True),
    ("Mixed_6b", _mixed_6(128), False),
    ("Mixed_6c", _mixed_6(160), False),
    ("Mixed_6d", _mixed_6(160), False),
    ("Mixed_6e", _mixed_6(192), False),
    ("Mixed_7a", _HALVING_7, True),
    ("Mixed_7b", _MIXED_7, False),
    ("Mixed_7c", _MIXED_7, False),
)
"""Name, chains, and whether the side is halved."""


def inception(name: str) -> Any:
    """The trunk, of random weights."""
    assert name in NAMES
    return _trunk()()


@cache
def _trunk() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch
    from torch import nn
    from torch.nn.functional import avg_pool2d, max_pool2d

    class Layer(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Convolution, normalisation, ReLU."""

        def __init__(self, width: int, channels: int, window: Any, *, stride: int = 1, border: bool = True) -> None:
            super().__init__()
            sides = window if isinstance(window, tuple) else (window, window)
            around = tuple(side // 2 for side in sides) if border else 0
            self.conv = nn.Conv2d(width, channels, sides, stride=stride, padding=around, bias=False)
            self.bn = nn.BatchNorm2d(channels, eps=1e-3)  # as trained

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            return self.bn(self.conv(maps)).relu()

    class Mixed(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Chains side by side, their maps put together."""

        def __init__(self, width: int, chains: tuple[Chain, ...], *, halves: bool) -> None:
            super().__init__()
            self.halves, self.width = halves, width if halves else 0
            self.chains: list[tuple[list[str], list[str]]] = []
            """Names of each chain: those one after another, and those at its end, side by side."""
            for chain in chains:
                before, names = width, [name for name, _, _ in chain]
                twins = [name for name in names if name[-1] in "ab"]
                line = [name for name in names if name not in twins]
                ends = twins or [line.pop()]
                for name, channels, window in chain:
                    last = halves and name in ends
                    setattr(self, name, Layer(before, channels, window, stride=2 if last else 1, border=not last))
                    before = before if name in twins else channels
                    self.width += channels if name in ends else 0
                self.chains.append((line, ends))

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            found = []
            for line, ends in self.chains:
                part = avg_pool2d(maps, 3, stride=1, padding=1) if ends == ["branch_pool"] else maps
                for name in line:
                    part = getattr(self, name)(part)
                found += [getattr(self, name)(part) for name in ends]
            if self.halves:
                found.append(max_pool2d(maps, 3, stride=2))
            return torch.cat(found, dim=1)

    class Trunk(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Five convolutions and two poolings, eleven mixed blocks, and the mean over the last map."""

        def __init__(self) -> None:
            super().__init__()
            self.Conv2d_1a_3x3 = Layer(3, 32, 3, stride=2, border=False)
            self.Conv2d_2a_3x3 = Layer(32, 32, 3, border=False)
            self.Conv2d_2b_3x3 = Layer(32, 64, 3)
            self.Conv2d_3b_1x1 = Layer(64, 80, 1)
            self.Conv2d_4a_3x3 = Layer(80, 192, 3, border=False)
            self.width = 192
            for name, chains, halves in BLOCKS:
                block = Mixed(self.width, chains, halves=halves)
                setattr(self, name, block)
                self.width = block.width

        def _blocks(self) -> list[Any]:
            return [getattr(self, name) for name, _, _ in BLOCKS]

        def stages(self) -> list[list[Any]]:
            """Convolutions up to the first pooling, those up to the second, and each block."""
            first = [self.Conv2d_1a_3x3, self.Conv2d_2a_3x3, self.Conv2d_2b_3x3]
            second = [self.Conv2d_3b_1x1, self.Conv2d_4a_3x3]
            groups = [first, second, *([block] for block in self._blocks())]
            return [[layer for part in group for layer in part.modules()] for group in groups]

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            maps = self.Conv2d_2b_3x3(
                self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(maps))
            )  # (n, 3, 299, 299) -> (n, 64, 147, 147)
            maps = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(max_pool2d(maps, 3, stride=2)))  # (n, 192, 71, 71)
            maps = max_pool2d(maps, 3, stride=2)  # (n, 192, 35, 35)
            for block in self._blocks():
                maps = block(maps)
            return maps.mean(dim=(2, 3))  # (n, 2048, 8, 8) -> (n, 2048)

    return Trunk
