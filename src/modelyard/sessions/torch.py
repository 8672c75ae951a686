"""A trained torch module answers from its own folder: `weights.safetensors` beside `features.json`.

It is what the exported variants are compared with, and what answers while a build trains and evaluates. Nothing pretrained
and no network is needed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modelyard.errors import MissingExtra, PackageError
from modelyard.frozen import Frozen
from modelyard.models._contract import OUTPUTS, Arrays, LoopModel, Session
from modelyard.models._language import Language, LanguageSession
from modelyard.models._vectors import opened
from modelyard.rows import Array
from modelyard.sessions._batches import by_length, cores
from modelyard.sessions._decoders import TorchDecoder
from modelyard.tasks._contract import State


class Part(Frozen):
    """Torch, in inference mode."""

    threads: int | None = None
    """Threads of one answer; null: torch's own choice."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: matrix products in bfloat16 (autocast)."""
    rows: int = 32
    """Rows in one forward pass of a model of ragged rows; rows of like length go together."""

    def open(self, folder: Path, model: LoopModel, features: dict[str, Any], state: State) -> Session:
        """Rebuild the module, load its weights, and answer with float32 outputs."""
        network = laid_out(load_module(folder, model, features, state))
        if isinstance(model, Language):
            return LanguageSession(TorchDecoder(network, ends=model.ends(features)))
        torch = _torch()
        device = next((tensor.device for tensor in network.parameters()), torch.device("cpu"))

        def forward(arrays: Arrays, ask: Any = network) -> Array:
            tensors = {
                name: torch.from_numpy(np.ascontiguousarray(values)).to(device) for name, values in arrays.items()
            }
            bf16 = self.precision == "bf16"
            with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
                return ask(**tensors).float().cpu().numpy()  # type: ignore[no-any-return]

        def answer(arrays: Arrays, ask: Any = network) -> Array:
            before = torch.get_num_threads()
            threads = self.threads or min(before, cores())  # torch counts the machine's cores, not those it may use
            if threads != before:
                torch.set_num_threads(threads)
            try:
                return by_length(arrays, model.ragged, partial(forward, ask=ask), rows=self.rows)
            finally:
                if threads != before:
                    torch.set_num_threads(before)

        return opened(
            model.exports, lambda name: answer if name == OUTPUTS else partial(answer, ask=getattr(network, name))
        )


def load_module(folder: Path, model: LoopModel, features: dict[str, Any], state: State) -> Any:
    """The trained `torch.nn.Module` of a folder, in evaluation mode, on the CPU. PackageError where weights do not fit."""
    _torch()
    from safetensors.torch import load_file

    network = model.module(features, state, seed=0, folder=folder)
    try:
        network.load_state_dict(load_file(folder / "weights.safetensors"))
    except (OSError, RuntimeError, ValueError) as error:
        raise PackageError(
            f"the weights in {folder} do not fit the model {model.__class__.__module__}: {error}"
        ) from None
    return network.eval().requires_grad_(False)


def laid_out(module: Any) -> Any:
    """The module, its convolutions' weights with channels last: on a CPU a training step of `cnn` takes 0.74 of its time so."""
    import torch

    flat = any(isinstance(layer, torch.nn.Conv2d) for layer in module.modules())
    return module.to(memory_format=torch.channels_last) if flat else module


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise MissingExtra("a torch session", "neural") from None
    return torch
