"""One file that holds a training in progress: weights, best weights, optimiser, random state, cursor and curve.

A safetensors file whose metadata is JSON, replaced in one step: a process killed at any moment leaves the old one or the new
one. It knows nothing about what the tensors mean.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelyard.store import replacing

FILE = "checkpoint.safetensors"


def save(folder: Path, tensors: dict[str, Any], state: dict[str, Any]) -> None:
    """Write torch tensors and JSON values as one file."""
    from safetensors.torch import save_file

    flat = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with replacing(folder / FILE) as temporary:
        save_file(flat, temporary, metadata={"state": json.dumps(state)})


def load(folder: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The tensors and JSON values, or None where there is no checkpoint."""
    from safetensors import safe_open

    place = folder / FILE
    if not place.exists():
        return None
    with safe_open(place, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["state"])  # noqa: SIM118


def under(prefix: str, tensors: dict[str, Any]) -> dict[str, Any]:
    """The tensors whose names start with `prefix.`, without it."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(prefix + ".")}


def optimiser_tensors(turn: str, optimiser: Any) -> dict[str, Any]:
    """The state of a turn's optimiser as named tensors."""
    import torch

    return {
        f"optimiser.{turn}.{number}.{key}": torch.as_tensor(value)
        for number, state in optimiser.state_dict()["state"].items()
        for key, value in state.items()
        if value is not None
    }


def restore_optimiser(turn: str, optimiser: Any, tensors: dict[str, Any]) -> None:
    """Put back what `optimiser_tensors` took, each tensor laid out in memory as the weights it belongs to.

    Of convolutions with channels last, moments laid out otherwise are added up in another order: other bits.
    """
    import torch

    state: dict[int, dict[str, Any]] = {}
    for name, tensor in under(f"optimiser.{turn}", tensors).items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    for weight, own in optimiser.state.items():
        for key, tensor in own.items():
            if tensor.shape == weight.shape:
                own[key] = torch.empty_like(weight, dtype=tensor.dtype).copy_(tensor)
