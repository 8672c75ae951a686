"""ONNX graph with int8 weights, activations quantised as they come, for ONNX Runtime.

One scale serves a whole batch, so that a row's answer depends a little on the rows beside it: `Variant.alone` measures that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from modelyard.compress.methods._contract import Exportable, Method
from modelyard.compress.methods._onnx import graph, quietly


class Part(Method):
    """Dynamic int8."""

    session: ClassVar[str] = "onnxruntime"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "onnx", "onnxscript", "onnxruntime")
    extra: ClassVar[str] = "neural"

    per_channel: bool = True
    """A scale for each output of a layer instead of one a layer: closer answers, a little slower."""
    embeddings: bool = True
    """Embedding tables in int8 too: most of a small encoder's bytes."""

    def export(self, member: Exportable, folder: Path) -> dict[str, Any]:
        """`model.onnx`, weights inside."""
        from onnxruntime.quantization import QuantType, quantize_dynamic

        operators = ["MatMul", "Gemm", *(["Gather"] if self.embeddings else [])]
        with quietly():
            quantize_dynamic(
                graph(member), str(folder / "model.onnx"), weight_type=QuantType.QInt8, per_channel=self.per_channel,
                op_types_to_quantize=operators,
            )  # fmt: skip
        return {"file": "model.onnx"}
