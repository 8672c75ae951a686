"""fp32 or bf16: measured once on the module and rows at hand, because no rule holds across processors.

bf16 means autocast: weights and optimiser stay in float32. It knows nothing about schedules or budgets.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any

ENOUGH = 1.25
"""bf16 must be so much faster, or its rounding is not worth it."""
ROUNDS = 2
"""Timed rounds; the fastest of each counts."""
SMALLEST = 200_000
"""Parameters below which nothing is measured: the time goes into calls, not into products."""


def autocast(precision: str, device: Any) -> Any:
    """The context in which forward passes run."""
    import torch

    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=True)


def choose(module: Any, loss: Callable[[Any], Any], device: Any) -> str:
    """`fp32` or `bf16`, whichever makes `loss(module)` and its backward pass faster; bf16 only where its loss is finite.

    On a CPU its own processor time counts, because other processes make the wall clock lie. A copy of the module is used and
    the random state is put back, so that measuring changes nothing.
    """
    import torch

    if sum(p.numel() for p in module.parameters()) < SMALLEST:
        return "fp32"
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    seconds = {"fp32": math.inf, "bf16": math.inf}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        trial = copy.deepcopy(module, _shared(module))
        for number in range(ROUNDS + 1):
            for precision in seconds:
                start = clock()
                with autocast(precision, device):
                    value = loss(trial)
                if value.requires_grad:
                    value.backward()
                finite = bool(torch.isfinite(value))  # also waits for the device
                if number:  # the first round prepares kernels
                    seconds[precision] = min(seconds[precision], clock() - start)
    return "bf16" if finite and seconds["bf16"] * ENOUGH < seconds["fp32"] else "fp32"


def _shared(module: Any) -> dict[int, Any]:
    """What a copy need not copy: buffers that are not saved, such as frozen weights, which may be most of the memory."""
    saved = module.state_dict().keys()
    return {id(buffer): buffer for name, buffer in module.named_buffers() if name not in saved}
