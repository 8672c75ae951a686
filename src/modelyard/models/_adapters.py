"""Low-rank adapters: beside each frozen matrix W of a `_decoder` Network two thin ones are learnt, W + s B A, and merged into plain weights.

    attach(network, Adapting(kind="lora", rank=16))     what is frozen becomes buffers that no checkpoint holds
    merged(network)                                     plain weights by the Network's own names, float32
    export(network, folder, base="smollm2")             PEFT's adapter_config.json and adapter_model.safetensors

LoRA (Hu et al. 2022): s = alpha / rank. rsLoRA (Kalajdzievski 2023): s = alpha / sqrt(rank). DoRA (Liu et al. 2024): the rows of W + s B A
are brought to a length that is learnt too. QLoRA (Dettmers et al. 2023): LoRA beside weights of four bits (NF4), which are spelt out
where they are used; the scales of their blocks are kept in float32, not quantised a second time. It knows no data and no training.
"""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modelyard.frozen import Frozen
from modelyard.models._contract import Weights
from modelyard.models._llama import PARTS
from modelyard.store import replacing

Kind = Literal["lora", "rslora", "dora", "qlora"]
Target = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TARGETS: tuple[Target, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Matrices of a block by the names of Hugging Face's Llama."""
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
"""The numbers that four bits stand for: quantiles of a normal distribution (Dettmers et al. 2023, appendix E)."""
BLOCK = 64
"""Weights that share a scale, as in QLoRA."""


class Adapting(Frozen):
    """How adapters are made."""

    kind: Kind = "lora"
    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[Target, ...] = TARGETS

    @property
    def scale(self) -> float:
        """What B A is multiplied by."""
        return self.alpha / (math.sqrt(self.rank) if self.kind == "rslora" else self.rank)


def attach(network: Any, adapting: Adapting) -> Any:
    """The network with adapters, in place. All else is frozen: buffers that are not saved, because they come from their source again."""
    freeze(network)
    shape = network.shape
    size = shape.width // shape.heads
    rows = {
        "q_proj": shape.heads * size, "k_proj": shape.kv_heads * size, "v_proj": shape.kv_heads * size, "o_proj": shape.width,
        "gate_proj": shape.hidden, "up_proj": shape.hidden, "down_proj": shape.width,
    }  # fmt: skip
    for block in network.blocks:
        for ours, theirs in PARTS.items():
            *path, name, _ = ours.split(".")
            parts = [part.rsplit(".", 1)[-1] for part in theirs]
            if set(parts) & set(adapting.targets):
                holder = block.get_submodule(".".join(path))
                made = adapted()(getattr(holder, name), {part: rows[part] for part in parts}, adapting)
                setattr(holder, name, made)
    return network


def freeze(network: Any) -> None:
    """Make every parameter a buffer that is not saved."""
    for module in network.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, weight.detach(), persistent=False)


def merged(network: Any) -> Weights:
    """Plain weights by the Network's own names, float32: what stands beside a matrix is added to it."""
    found: Weights = {}
    inside = {name: module for name, module in network.named_modules() if isinstance(module, adapted())}
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if name != "frequencies" and not any(name.startswith(f"{one}.") for one in inside):
            found[name] = tensor.detach().float().cpu().numpy()
    for name, module in inside.items():
        found[f"{name}.weight"] = module.merged().float().cpu().numpy()
    return found


def export(network: Any, adapting: Adapting, folder: Path, *, base: str) -> None:
    """`adapter_config.json` and `adapter_model.safetensors` as PEFT 0.21 writes them for a LlamaForCausalLM."""
    from safetensors.numpy import save_file

    tensors: Weights = {}
    for number, block in enumerate(network.blocks):
        for ours, theirs in PARTS.items():
            module = block.get_submodule(ours.removesuffix(".weight"))
            if isinstance(module, adapted()):
                for part in theirs:
                    stem = f"base_model.model.model.layers.{number}.{part}"
                    tensors |= {
                        f"{stem}.{name}": one for name, one in module.published(part.rsplit(".", 1)[-1]).items()
                    }
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "inference_mode": True, "bias": "none",
        "r": adapting.rank, "lora_alpha": adapting.alpha, "lora_dropout": adapting.dropout, "target_modules": sorted(adapting.targets),
        "use_rslora": adapting.kind == "rslora", "use_dora": adapting.kind == "dora", "fan_in_fan_out": False, "modules_to_save": None,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "adapter_model.safetensors") as temporary:
        save_file(
            {name: np.ascontiguousarray(one) for name, one in tensors.items()}, temporary, metadata={"format": "pt"}
        )
    with replacing(folder / "adapter_config.json") as temporary:
        temporary.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


@cache
def adapted() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Adapted(nn.Module):  # type: ignore[misc]  # torch is not followed
        """A frozen matrix whose rows are those of several published ones, and an adapter beside each that is a target."""

        def __init__(self, linear: Any, parts: dict[str, int], adapting: Adapting) -> None:
            super().__init__()
            self.in_features, self.out_features, self.parts = linear.in_features, linear.out_features, parts
            self.adapting, self.dropout = adapting, nn.Dropout(adapting.dropout)
            self.lora_A, self.lora_B, self.magnitude = nn.ParameterDict(), nn.ParameterDict(), nn.ParameterDict()
            for name, rows in parts.items():
                if name in adapting.targets:
                    first = torch.empty(adapting.rank, self.in_features)
                    nn.init.kaiming_uniform_(first, a=math.sqrt(5))
                    self.lora_A[name] = nn.Parameter(first)
                    self.lora_B[name] = nn.Parameter(torch.zeros(rows, adapting.rank))
            weight = linear.weight
            self.plain = adapting.kind != "qlora"
            if self.plain:
                self.register_buffer("weight", weight, persistent=False)
            else:
                codes, scales = quantised(weight)
                self.register_buffer("codes", codes, persistent=False)
                self.register_buffer("scales", scales, persistent=False)
            if adapting.kind == "dora":
                self.register_buffer("squares", weight.float().square().sum(1), persistent=False)  # (out,)
                for name, length in zip(parts, self.squares.sqrt().split(list(parts.values())), strict=True):
                    if name in self.lora_B:
                        self.magnitude[name] = nn.Parameter(length.clone())

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            """(..., in) -> (..., out)."""
            found = functional.linear(given, self.weight) if self.plain else self.through(given)
            low = functional.linear(self.dropout(given), self.narrow())  # (..., k rank)
            flat = torch.addmm(
                found.flatten(0, -2), low.flatten(0, -2).to(found.dtype), self.wide().t().to(found.dtype)
            )
            found = flat.view(found.shape)
            return found * self.stretch() if self.magnitude else found

        def through(self, given: torch.Tensor) -> torch.Tensor:
            """The product with a matrix of four bits, in the precision of its surroundings."""
            if torch.is_autocast_enabled(given.device.type):
                given = given.to(torch.get_autocast_dtype(given.device.type))
            return Through.apply(given, self.codes, self.scales)

        def narrow(self) -> torch.Tensor:
            """(k rank, in): every A."""
            return torch.cat(list(self.lora_A.values()))

        def wide(self) -> torch.Tensor:
            """(out, k rank): every s B in its rows and columns, zeros elsewhere."""
            rank, width, found = self.adapting.rank, self.adapting.rank * len(self.lora_B), []
            for name, rows in self.parts.items():
                if name in self.lora_B:
                    before = rank * list(self.lora_B).index(name)
                    found.append(functional.pad(self.lora_B[name], (before, width - rank - before)))
                else:
                    found.append(next(iter(self.lora_B.values())).new_zeros(rows, width))
            return torch.cat(found) * self.adapting.scale

        def stretch(self) -> torch.Tensor:
            """(out,) what DoRA multiplies rows by. No gradient goes through their length (Liu et al. 2024, section 4.3).

            |W + C A|^2 = |W|^2 + 2 <W A', C> + <C, C A A'> row by row, C = s B: the product C A is never spelt out.
            """
            with torch.no_grad(), torch.autocast(self.squares.device.type, enabled=False):
                narrow, wide = self.narrow(), self.wide()
                both = self.base() @ narrow.t()  # (out, k rank)
                squares = self.squares + (2 * both * wide).sum(1) + (wide @ (narrow @ narrow.t()) * wide).sum(1)
                lengths = squares.clamp_min(1e-12).sqrt()
            pieces = lengths.split(list(self.parts.values()))
            found = [
                self.magnitude[name] / length if name in self.magnitude else torch.ones_like(length)
                for name, length in zip(self.parts, pieces, strict=True)
            ]
            return torch.cat(found)

        def base(self) -> torch.Tensor:
            """(out, in) float32: the frozen matrix."""
            return (
                self.weight.float() if self.plain else spelt(self.codes, self.scales, self.in_features, torch.float32)
            )

        def merged(self) -> torch.Tensor:
            """(out, in) float32: one matrix that computes the same."""
            with torch.no_grad():
                found = self.base() + self.wide() @ self.narrow()
                return found * self.stretch()[:, None] if self.magnitude else found

        def published(self, name: str) -> Weights:
            """A part's tensors by PEFT's names; none where it is no target."""
            if name not in self.lora_A:
                return {}
            found = {"lora_A.weight": self.lora_A[name], "lora_B.weight": self.lora_B[name]}
            if name in self.magnitude:
                found["lora_magnitude_vector"] = self.magnitude[name]
            return {key: tensor.detach().float().cpu().numpy() for key, tensor in found.items()}

    class Through(torch.autograd.Function):  # type: ignore[misc]  # torch is not followed
        """A product with a matrix of four bits. It is spelt out once forth and once back, and never kept."""

        @staticmethod
        def forward(context: Any, given: torch.Tensor, codes: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
            context.save_for_backward(codes, scales)
            context.width = given.shape[-1]
            return given @ spelt(codes, scales, given.shape[-1], given.dtype).t()

        @staticmethod
        def backward(context: Any, *gradients: torch.Tensor) -> Any:
            codes, scales = context.saved_tensors
            return gradients[0] @ spelt(codes, scales, context.width, gradients[0].dtype), None, None

    return Adapted


def quantised(weight: Any) -> tuple[Any, Any]:
    """NF4 of (out, in): codes (out, in / 2) uint8, two a byte, and scales (out, in / BLOCK) float32; a row is filled up to whole blocks."""
    import torch

    rows, width = weight.shape
    blocks = torch.nn.functional.pad(weight.float(), (0, -width % BLOCK)).view(rows, -1, BLOCK)
    scales = blocks.abs().amax(2)
    table = torch.tensor(NF4, device=weight.device)
    codes = torch.bucketize(blocks / scales.clamp_min(1e-12)[:, :, None], (table[1:] + table[:-1]) / 2)
    pairs = codes.to(torch.uint8).view(rows, -1, 2)
    return pairs[:, :, 0] * 16 + pairs[:, :, 1], scales


def spelt(codes: Any, scales: Any, width: int, kind: Any) -> Any:
    """(out, width) numbers of a torch type that codes and scales stand for."""
    import torch

    pairs = _pairs().to(device=codes.device, dtype=kind)
    blocks = torch.nn.functional.embedding(codes.int(), pairs).view(len(codes), -1, BLOCK)
    return (blocks * scales.to(kind)[:, :, None]).view(len(codes), -1)[:, :width]


@cache
def _pairs() -> Any:
    """(256, 2): the two numbers of each byte."""
    import torch

    table = torch.tensor(NF4)
    return torch.stack([table.repeat_interleave(16), table.repeat(16)], dim=1)


def apart(ours: Any, theirs: Any, arrays: dict[str, Any], *, rows: int) -> float:
    """The greatest difference of two networks' logits at every place of some encoded rows."""
    import torch

    greatest = 0.0
    with torch.inference_mode():
        for row in range(min(rows, len(arrays["length"]))):
            ids, position = (
                torch.from_numpy(arrays[name][row : row + 1, : min(int(arrays["length"][row]), ours.shape.context)])
                for name in ("ids", "position")
            )
            given = {
                "ids": ids,
                "mask": torch.ones_like(ids),
                "position": position,
                "places": torch.arange(ids.shape[1])[None],
            }
            first, second = (each.decode(**given, past=each.nothing(1))[0] for each in (ours, theirs))
            greatest = max(greatest, float((first - second).abs().max()))
    return greatest
