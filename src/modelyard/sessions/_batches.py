"""Rows of different lengths, answered in batches of similar length, so that little is computed on padding.

It needs numpy only and knows nothing about who answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from modelyard.models._contract import Arrays
from modelyard.rows import Array


def by_length(
    arrays: Arrays,
    ragged: Sequence[str],
    run: Callable[[Arrays], Array],
    *,
    rows: int = 32,
    multiple: int = 1,
    longest: int = 0,
) -> Array:
    """Outputs (n, K) of `run`, called on at most `rows` rows of similar `length` at a time; the order of rows is kept.

    Ragged arrays (n, L) are cut to each batch's longest row, rounded up to a `multiple` where that stays within `longest`:
    runtimes prepare themselves for each new shape once.
    """
    count = len(next(iter(arrays.values())))
    if "length" not in arrays or not ragged:
        pieces = [
            run({name: array[start : start + rows * 8] for name, array in arrays.items()})
            for start in range(0, count, rows * 8)
        ]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    order = np.argsort(arrays["length"], kind="stable")
    outputs: Array | None = None
    for start in range(0, count, rows):
        chosen = order[start : start + rows]
        batch = {name: array[chosen] for name, array in arrays.items()}
        width = max(int(batch["length"].max()), 1)
        rounded = -(-width // multiple) * multiple
        width = rounded if rounded <= max(longest, width) else width
        for name in (name for name in ragged if name in batch):
            batch[name] = _fit(batch[name], width)
        answered = run(batch)
        outputs = np.empty((count, *answered.shape[1:]), dtype=answered.dtype) if outputs is None else outputs
        outputs[chosen] = answered
    assert outputs is not None, "no rows"
    return outputs


def _fit(array: Array, width: int) -> Array:
    """(n, L, ...) cut or padded with zeros to (n, width, ...); what lies beyond `length` is never read."""
    if array.shape[1] >= width:
        return np.ascontiguousarray(array[:, :width])
    return np.pad(array, [(0, 0), (0, width - array.shape[1]), *[(0, 0)] * (array.ndim - 2)])


def cores() -> int:
    """Cores a session uses where nothing else is said."""
    from modelyard.context import available_cores

    return available_cores()
