"""ONNX graph in fp32 for ONNX Runtime: the most widely readable form."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from modelyard.compress.methods._contract import Exportable, Method
from modelyard.compress.methods._onnx import graph


class Part(Method):
    """fp32."""

    session: ClassVar[str] = "onnxruntime"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "onnx", "onnxscript", "onnxruntime")
    exact: ClassVar[bool] = True
    extra: ClassVar[str] = "neural"

    def export(self, member: Exportable, folder: Path) -> dict[str, Any]:
        """`model.onnx`, weights inside."""
        import onnx

        onnx.save(graph(member), str(folder / "model.onnx"))
        return {"file": "model.onnx"}
