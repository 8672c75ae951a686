"""OpenVINO graph computed in bf16, for processors with AMX.

With AVX-512 bf16 alone it was slower than fp32 (MiniLM, 128 tokens, OpenVINO 2026.4: 32 ms against 19 ms).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from modelyard.compress.methods._contract import Exportable, Method
from modelyard.compress.methods._openvino import Disk, converted, save
from modelyard.records._base import machine


class Part(Method):
    """bf16."""

    session: ClassVar[str] = "openvino"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "openvino")

    disk: Disk = "fp16"
    """Precision of the weights in the file."""

    def applies(self, model: Any) -> bool:
        """Token models; a table's numbers need more than bf16's eight bits."""
        return super().applies(model) and bool(model.ragged)

    def missing(self) -> str:
        """Libraries, or the processor's matrix unit."""
        without = (
            "" if "amx_bf16" in machine().get("instructions", "") else "this processor has no bf16 matrix unit (AMX)"
        )
        return super().missing() or without

    def export(self, member: Exportable, folder: Path) -> dict[str, Any]:
        """`model.xml` and `model.bin`."""
        return save(converted(member), folder, member, self.disk) | {"precision": "bf16"}
