"""OpenVINO graph with int8 weights and activations, calibrated by NNCF on training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from modelyard.compress.methods._contract import Exportable, Method
from modelyard.compress.methods._openvino import converted, nncf_quietly, save


class Part(Method):
    """Static int8."""

    session: ClassVar[str] = "openvino"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "openvino", "nncf")

    rows: int = Field(128, ge=1, le=300)
    """Training rows that calibrate the ranges of activations."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What the layers compute in that stay unquantised."""

    def applies(self, model: Any) -> bool:
        """Not recurrent networks: the plugin takes their weights only as they are, and rounding what stands around them moved logits of 2 by
        up to 2 (OpenVINO 2026.4, NNCF 3.4)."""
        return super().applies(model) and not model.recurrent

    def export(self, member: Exportable, folder: Path) -> dict[str, Any]:
        """`model.xml` and `model.bin`."""
        count = len(next(iter(member.examples.values())))
        chosen = [
            member.row(int(number))
            for number in np.unique(np.linspace(0, count - 1, min(self.rows, count)).astype(int))
        ]
        with nncf_quietly() as nncf:
            kind = nncf.ModelType.TRANSFORMER if member.model.ragged else None
            graph = nncf.quantize(converted(member), nncf.Dataset(chosen), model_type=kind, subset_size=len(chosen))
        return save(graph, folder, member, "auto") | {"precision": self.precision}
