"""What the OpenVINO methods share: the converted graph, its calibration, and how it is saved."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from modelyard.compress.methods._contract import Exportable
from modelyard.compress.methods._onnx import graph_file, quietly
from modelyard.sessions.openvino import openvino_quietly

Disk = Literal["auto", "fp32", "fp16"]


def converted(member: Exportable) -> Any:
    """A fresh `openvino.Model`: inputs named as the model's arrays and nothing else, rows and length free.

    Recurrent layers go through ONNX: OpenVINO reads torch's graphs, but not the loops in them (2026.4).
    """
    openvino = openvino_quietly()
    if "openvino" not in member.made:
        with quietly():
            graph = openvino.convert_model(str(graph_file(member)) if _recurrent(member) else member.program)
        names = set(member.examples)
        for given in graph.inputs:
            (own,) = given.get_names() & names
            given.get_tensor().set_names({own})
        for name, made in zip(member.model.exports, graph.outputs, strict=True):
            made.get_tensor().set_names({name})
        member.made["openvino"] = graph
    return member.made["openvino"].clone()


def _recurrent(member: Exportable) -> bool:
    import torch

    return any(isinstance(layer, torch.nn.RNNBase) for layer in member.module.modules())


def save(graph: Any, folder: Path, member: Exportable, disk: Disk) -> dict[str, Any]:
    """`model.xml` and `model.bin`; the session's options.

    fp16 halves the file and moves logits by about 1e-4 (half precision has 11 bits): an answer in classes bears that, a
    number that must agree to `compress.tolerance` does not, so `auto` keeps fp32 for numbers.
    """
    openvino = openvino_quietly()
    _number(graph)
    half = disk == "fp16" or (disk == "auto" and bool(member.state.classes))
    openvino.save_model(graph, folder / "model.xml", compress_to_fp16=half)
    return {"file": "model.xml", "longest": member.longest}


def _number(graph: Any) -> None:
    """Name operations by their place: OpenVINO numbers them through the life of a process, and the same model must give the same file."""
    graph.set_friendly_name("model")
    for place, operation in enumerate(graph.get_ordered_ops()):
        operation.set_friendly_name(f"{operation.get_type_name()}_{place}")


def recurrent_left(nncf: Any) -> Any:
    """What NNCF is to leave as it is: recurrent layers, whose weights OpenVINO's CPU plugin takes only as they are (2026.4)."""
    return nncf.IgnoredScope(types=["LSTMSequence", "GRUSequence", "RNNSequence"], validate=False)


@contextmanager
def nncf_quietly() -> Iterator[Any]:
    """The nncf module, its telemetry, its log and its progress bars off."""
    openvino_quietly()
    import nncf
    import rich

    nncf.set_log_level(logging.CRITICAL)
    console = rich.get_console()  # nncf draws on rich's shared console
    before, console.quiet = console.quiet, True
    try:
        with quietly():
            yield nncf
    finally:
        console.quiet = before
