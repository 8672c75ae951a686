"""OpenVINO graph with int8 weights by NNCF, a scale a channel; activations are quantised while answering, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from modelyard.compress.methods._contract import Exportable, Method
from modelyard.compress.methods._openvino import converted, nncf_quietly, recurrent_left, save


class Part(Method):
    """Weight-only int8."""

    session: ClassVar[str] = "openvino"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "openvino", "nncf")

    precision: Literal["fp32", "bf16"] = "fp32"
    """What the layers compute in."""

    def applies(self, model: Any) -> bool:
        """Token models: a table's network is too small to gain from it."""
        return super().applies(model) and bool(model.ragged)

    def export(self, member: Exportable, folder: Path) -> dict[str, Any]:
        """`model.xml` and `model.bin`."""
        with nncf_quietly() as nncf:
            graph = nncf.compress_weights(
                converted(member), mode=nncf.CompressWeightsMode.INT8_ASYM, ignored_scope=recurrent_left(nncf)
            )
        return save(graph, folder, member, "auto") | {"precision": self.precision}
