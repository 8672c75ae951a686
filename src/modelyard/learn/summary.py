"""A module's summary: layers, output shapes, parameters and FLOPs of one row's forward pass, counted while it runs.

FLOPs are those of matrix products and convolutions (`torch.utils.flop_counter`). It knows nothing about what layers are for.
"""

from __future__ import annotations

from typing import Any


def summary(module: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    """`layers` (name, kind, output shape, parameters, FLOPs), `parameters`, `trainable` and `flops` for the given inputs.

    A module without children is a layer; so is each member of a list of blocks, or a table of a transformer has 75 rows.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    shapes: dict[str, list[int]] = {}

    def note(name: str) -> Any:
        def hook(_: Any, __: Any, output: Any) -> None:
            found = output[0] if isinstance(output, (tuple, list)) else output
            shapes[name] = list(getattr(found, "shape", ()))

        return hook

    chosen = dict(layers_of(module))
    hooks = [layer.register_forward_hook(note(name)) for name, layer in chosen.items()]
    was_training = module.training
    module.eval()
    try:
        # oneDNN runs an LSTM as one operation, which is not counted
        with (
            torch.no_grad(),
            torch.backends.mkldnn.flags(enabled=False, allow_tf32=None, fp32_precision=None),
            FlopCounterMode(display=False, depth=99) as counter,
        ):
            module(**tensors)
    finally:
        module.train(was_training)
        for hook in hooks:
            hook.remove()
    counts = counter.get_flop_counts()
    root = type(module).__name__
    layers = [
        {
            "name": name,
            "kind": type(layer).__name__,
            "output": shapes.get(name, []),
            "parameters": sum(p.numel() for p in layer.parameters()),
            "flops": int(sum(counts.get(f"{root}.{name}", {}).values())),
        }
        for name, layer in chosen.items()
    ]
    return {
        "layers": layers,
        "parameters": sum(p.numel() for p in module.parameters()),
        "trainable": sum(p.numel() for p in module.parameters() if p.requires_grad),
        "flops": int(counter.get_total_flops()),
    }


def layers_of(module: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Layers by name: modules without children, and the members of lists of blocks."""
    import torch

    found = []
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        if isinstance(module, torch.nn.ModuleList) or not any(True for _ in child.children()):
            found.append((path, child))
        else:
            found += layers_of(child, f"{path}.")
    return found
