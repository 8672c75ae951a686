"""OpenVINO graph with int8 weights and activations, calibrated by NNCF on training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from modelyard.compress.methods._contract import Exportable, Method
from modelyard.compress.methods._openvino import converted, nncf_quietly, recurrent_left, save


class Part(Method):
    """Static int8."""

    session: ClassVar[str] = "openvino"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "openvino", "nncf")

    rows: int = Field(128, ge=1, le=300)
    """Training rows that calibrate the ranges of activations."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What the layers compute in that stay unquantised."""

    def export(self, member: Exportable, folder: Path) -> dict[str, Any]:
        """`model.xml` and `model.bin`."""
        count = len(next(iter(member.examples.values())))
        chosen = [
            member.row(int(number))
            for number in np.unique(np.linspace(0, count - 1, min(self.rows, count)).astype(int))
        ]
        with nncf_quietly() as nncf:
            kind = nncf.ModelType.TRANSFORMER if member.model.ragged else None
            graph = nncf.quantize(
                converted(member),
                nncf.Dataset(chosen),
                model_type=kind,
                subset_size=len(chosen),
                ignored_scope=recurrent_left(nncf),
            )
        return save(graph, folder, member, "auto") | {"precision": self.precision}
