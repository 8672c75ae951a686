"""A decoder network as one OpenVINO graph that keeps its keys and values itself, so that a step sends a token and gets its logits.

    graph = stateful(network)      inputs `ids`, `mask`, `position`, `places` as in `Network.decode`, and `beam_idx`
    graph = light(graph, "int8")   weights of fewer bits
    options = save(graph, folder)  what `sessions._decoders.OpenVinoDecoder` opens

`beam_idx` (B,) says which row of the batch before each row goes on from. Where keys and values are joined and
attended in this way, OpenVINO's CPU plugin makes one operation of both (as optimum-intel found). It knows no tokens and no text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from modelyard.compress.methods._contract import Method
from modelyard.compress.methods._onnx import quietly
from modelyard.compress.methods._openvino import _number, nncf_quietly
from modelyard.models._contract import OUTPUTS
from modelyard.models._language import Language
from modelyard.sessions.openvino import openvino_quietly

GIVEN = ("ids", "mask", "position", "places")
ORDER = "beam_idx"
Bits = Literal["int8", "int4"]
GROUP = 64
"""Weights of four bits that share a scale and a zero point; fewer, or eight bits, where it does not divide a matrix's width."""


ROUNDED = 32
"""Activations that are rounded to int8 together where weights are integers. SmolLM2-135M with int8 weights, nats a token more than float32:
none rounded 0.002, 32 together 0.008, 64 0.011, 192 0.017; a step takes 24, 17, 17 and 18 ms (one thread, OpenVINO 2026.4)."""


class LanguageMethod(Method):
    """A way to export a language model. Abstract: how many bits its weights have is a file of its own."""

    session: ClassVar[str] = "openvino-decoder"

    def applies(self, model: Any) -> bool:
        return model.learns == "loop" and isinstance(model, Language)


def stateful(network: Any) -> Any:
    """A fresh `openvino.Model` of the network's `decode`, float32, rows and lengths free, its past inside."""
    graph = _converted(network)
    from openvino.passes import MakeStateful, Manager

    pairs = _named(graph, layers=network.shape.layers)
    _reordered(graph, list(pairs))
    manager = Manager()
    manager.register_pass(MakeStateful(pairs))
    manager.run_passes(graph)
    _started(graph)
    return graph


def _converted(network: Any) -> Any:
    """`decode` as a graph, every past an input of its own. Traced: `torch.export` took 44 CPU seconds for 30 layers, this 5."""
    import torch

    class Flat(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
        """Logits, then keys and values."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: Any, mask: Any, position: Any, places: Any, *past: Any) -> tuple[Any, ...]:
            logits, after = self.network.decode(ids, mask, position, places, list(past))
            return logits, *after

    rows, width, before, shape = 2, 3, 4, network.shape
    ids, mask = (torch.ones(rows, length, dtype=torch.int64) for length in (width, before + width))
    past = [torch.zeros(rows, before, shape.kv_heads, shape.width // shape.heads) for _ in range(2 * shape.layers)]
    given = (ids, mask, torch.zeros_like(ids), torch.tensor([[0, 2], [1, 2]]), *past)
    with torch.no_grad(), quietly():
        return openvino_quietly().convert_model(Flat().eval(), example_input=given)


def _named(graph: Any, *, layers: int) -> dict[str, str]:
    """Names for inputs and outputs, nothing else left of them: {past: what follows it}."""
    before = [f"past.{number}" for number in range(2 * layers)]
    after = [f"present.{number}" for number in range(2 * layers)]
    for given, name in zip(graph.inputs, (*GIVEN, *before), strict=True):
        given.get_tensor().set_names({name})
    for found, name in zip(graph.outputs, (OUTPUTS, *after), strict=True):
        found.get_tensor().set_names({name})
    return dict(zip(before, after, strict=True))


def _reordered(graph: Any, pasts: list[str]) -> None:
    """The past's rows in the order of a new input, before anything reads them."""
    from openvino import opset13

    order = opset13.parameter([-1], dtype=np.int32, name=ORDER)
    order.output(0).get_tensor().set_names({ORDER})
    graph.add_parameters([order])
    for name in pasts:
        port = graph.input(name)
        readers = port.get_target_inputs()
        gathered = opset13.gather(port, order, opset13.constant(0))
        for reader in readers:
            reader.replace_source_output(gathered.output(0))
    graph.validate_nodes_and_infer_types()


def _started(graph: Any) -> None:
    """An answer begins with an empty past of as many rows as `ids` has."""
    from openvino import opset13

    rows = opset13.gather(opset13.shape_of(graph.input("ids")), opset13.constant([0]), opset13.constant(0))
    for operation in graph.get_ops():
        if operation.get_type_name() == "ReadValue":
            _, _, heads, size = operation.get_output_partial_shape(0)
            shape = opset13.concat([rows, opset13.constant([0, heads.get_length(), size.get_length()])], axis=0)
            empty = opset13.broadcast(opset13.constant(np.float32(0)), shape)
            operation.set_arguments([empty.output(0)])
    graph.validate_nodes_and_infer_types()


def light(graph: Any, bits: Bits) -> Any:
    """The graph with weights rounded by NNCF: int8 with a scale and a zero point a row; int4 with them a group, its first and last matrix
    int8. Symmetric int8, without zero points, lost twice as much and was no quicker."""
    with nncf_quietly() as nncf:
        if bits == "int8":
            return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)
        smaller = nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST)
        return nncf.compress_weights(
            graph, mode=nncf.CompressWeightsMode.INT4_ASYM, group_size=GROUP, ratio=1.0, advanced_parameters=smaller
        )


def save(graph: Any, folder: Path) -> dict[str, Any]:
    """`model.xml` and `model.bin`, the same for the same network; the session's options."""
    openvino = openvino_quietly()
    _number(graph)
    openvino.save_model(graph, folder / "model.xml", compress_to_fp16=False)
    return {"file": "model.xml", "group": ROUNDED if _whole_numbers(graph) else 0}


def _whole_numbers(graph: Any) -> bool:
    """Whether any matrix is kept in integers."""
    return any(
        operation.get_type_name() == "Constant"
        and operation.get_element_type().get_type_name() in ("u8", "i8", "u4", "i4")
        and len(operation.get_output_shape(0)) > 1
        for operation in graph.get_ops()
    )
