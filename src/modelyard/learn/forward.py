"""The surroundings of forward passes: tensors from arrays, outputs of many rows, and settings of torch that are put back.

It knows nothing about losses or steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.learn import batches, precision
from modelyard.models._contract import Arrays
from modelyard.rows import Array
from modelyard.store import replacing

ROWS = 64
"""Most rows of a pass without gradients, where rows have no token budget to say..."""
TOKENS = 4_096
"""... and most tokens, unless one row has more: what lies between two layers of a small network then still fits a processor's cache."""


@contextmanager
def settings(threads: int, seed: int, device: Any) -> Iterator[None]:
    """Threads, random state and (on a GPU) deterministic kernels; everything is put back afterwards."""
    import torch

    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, before[0])
        stack.callback(torch.use_deterministic_algorithms, before[1], warn_only=before[2])
        stack.enter_context(
            torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else [])
        )
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(device.type == "cuda" or before[1], warn_only=True)
        torch.manual_seed(seed)
        yield


def tensors(arrays: Arrays, device: Any) -> dict[str, Any]:
    """Numpy arrays as tensors on a device."""
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(values)).to(device) for name, values in arrays.items()}


def outputs(
    forward: Callable[..., Any],
    arrays: Arrays,
    *,
    ragged: Sequence[str],
    rows: int,
    tokens: int | None,
    number_format: str,
    device: Any,
) -> Array:
    """(n, K) float32 of `forward` on all rows, in order, without gradients; rows of like length go together."""
    import torch

    length = batches.lengths(arrays, ragged)
    every = np.arange(len(next(iter(arrays.values()))))
    if length is None:
        size = max(rows, ROWS)
        passes = [every[start : start + size] for start in range(0, len(every), size)]
    else:
        longest = int(length.max(initial=1))
        passes = batches.passes(every, length, tokens or min(ROWS * longest, max(longest, TOKENS)))
    with torch.inference_mode(), precision.autocast(number_format, device):
        found = [
            forward(**tensors(batches.take(arrays, part, ragged), device)).float().cpu().numpy() for part in passes
        ]
    return np.concatenate(found)[np.argsort(np.concatenate(passes), kind="stable")]


def kept(place: Path, make: Callable[[], dict[str, Array]], counts: dict[str, int]) -> dict[str, Array]:
    """Arrays that take long to make, from a file where it holds rows of these counts, else made and written."""
    from safetensors.numpy import load_file, save_file

    found = load_file(place) if place.exists() else {}
    if {name: len(array) for name, array in found.items()} != counts:
        found = make()
        with replacing(place) as temporary:
            save_file(found, temporary)
    return found
