"""A matrix of compressed sparse rows, in numpy alone, so that a served linear model needs no scipy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelyard.rows import Array


@dataclass(frozen=True)
class Sparse:
    """Row i holds `values[starts[i]:starts[i+1]]` at columns `indices[...]`; `width` columns."""

    starts: Array
    indices: Array
    values: Array
    width: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    def dot(self, dense: Array) -> Array:
        """(n, width) @ (width, K) -> (n, K)."""
        result = np.zeros((len(self), dense.shape[1]))
        filled = np.flatnonzero(np.diff(self.starts))  # reduceat cannot express an empty row
        if filled.size:
            products = self.values[:, None] * dense[self.indices]  # (entries, K)
            result[filled] = np.add.reduceat(products, self.starts[filled], axis=0)
        return result

    def dense(self) -> Array:
        """(n, width) float32."""
        result = np.zeros((len(self), self.width), dtype=np.float32)
        rows = np.repeat(np.arange(len(self)), np.diff(self.starts))
        result[rows, self.indices] = self.values
        return result

    def normalised(self) -> Sparse:
        """Every row divided by its Euclidean length."""
        rows = np.repeat(np.arange(len(self)), np.diff(self.starts))
        squares = np.bincount(rows, self.values**2, minlength=len(self))
        lengths = np.sqrt(np.where(squares > 0, squares, 1.0))
        return Sparse(self.starts, self.indices, self.values / lengths[rows], self.width)

    def scipy(self) -> Any:
        """The same as a scipy CSR matrix."""
        from scipy.sparse import csr_matrix

        return csr_matrix((self.values, self.indices, self.starts), shape=(len(self), self.width))


def beside(blocks: Sequence[Sparse]) -> Sparse:
    """Blocks of equal rows side by side."""
    if len(blocks) == 1:
        return blocks[0]
    count = len(blocks[0])
    sizes = np.stack([np.diff(block.starts) for block in blocks])  # (blocks, n)
    starts = np.concatenate([[0], np.cumsum(sizes.sum(axis=0))])
    indices = np.empty(starts[-1], dtype=np.int64)
    values = np.empty(starts[-1])
    offset = 0
    placed = starts[:-1].copy()
    for block, size in zip(blocks, sizes, strict=True):
        target = np.repeat(placed - block.starts[:-1], size) + np.arange(len(block.indices))
        indices[target] = block.indices + offset
        values[target] = block.values
        placed = placed + size
        offset += block.width
    assert len(starts) == count + 1
    return Sparse(starts, indices, values, offset)
