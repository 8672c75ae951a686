"""What a training step of a network needs, before one is run: operations, and memory of weights, gradients, optimiser and activations.

Operations are those of matrix products and convolutions, counted in one forward pass of a row (`learn.summary`, which is
`torch.utils.flop_counter`); a step takes three times that, because the backward pass multiplies once for the weights and once for the
inputs (Kaplan and others 2020, arXiv 2001.08361, section 2.1). Activations are what autograd keeps for the backward pass, weighed by its
own hooks on a few rows and scaled. It knows nothing about seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PASSES = 3.0
"""Forward passes' worth of operations in a training step."""
STATES = {"adamw": 2, "adam": 2, "sgd": 1}
"""Numbers that an optimiser keeps for each trainable weight (SGD: its momentum)."""
COPIES = 2
"""Copies of all weights that the training loop holds: those it began with, and the best so far."""


@dataclass(frozen=True, slots=True)
class Training:
    """One optimiser step of so many rows; bytes, and operations."""

    parameters: int
    trainable: int
    flops: float
    weights: float
    gradients: float
    optimiser: float
    activations: float

    @property
    def memory(self) -> float:
        """Bytes above what the process holds without the network."""
        return self.weights * (1 + COPIES) + self.gradients + self.optimiser + self.activations


def training(module: Any, tensors: dict[str, Any], *, rows: int, optimiser: str = "adamw") -> Training:
    """The needs of a step of `rows` rows; `tensors` are a few typical ones, by name, as the module takes them.

    ValueError for an optimiser that is not known or for no rows.
    """
    from modelyard.learn.summary import summary

    given = max((len(tensor) for tensor in tensors.values()), default=0)
    if optimiser not in STATES:
        raise ValueError(f"no optimiser {optimiser!r}. Allowed: {', '.join(STATES)}")
    if rows < 1 or given < 1:
        raise ValueError("a step has rows")
    every = list(module.parameters())
    moved = sum(each.numel() * each.element_size() for each in every if each.requires_grad)
    held = sum(each.numel() * each.element_size() for each in (*every, *module.buffers()))
    return Training(
        parameters=sum(each.numel() for each in every),
        trainable=sum(each.numel() for each in every if each.requires_grad),
        flops=PASSES * summary(module, tensors)["flops"] * rows / given,
        weights=float(held),
        gradients=float(moved),
        optimiser=float(moved * STATES[optimiser]),
        activations=kept(module, tensors) * rows / given,
    )


def kept(module: Any, tensors: dict[str, Any]) -> float:
    """Bytes that autograd keeps of one forward pass; what is a weight or was kept before counts once, weights not at all."""
    import torch

    known = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())}
    given = {tensor.untyped_storage().data_ptr(): float(tensor.nbytes) for tensor in tensors.values()}
    found: dict[int, tuple[Any, float]] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            # the storage is held, so that no other one takes its address; an input may be a part of a larger one
            found[storage.data_ptr()] = storage, given.get(storage.data_ptr(), float(storage.nbytes()))
        return tensor

    was_training = module.training
    module.train()
    try:
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            module(**tensors)
    finally:
        module.train(was_training)
    return sum(size for _, size in found.values())
