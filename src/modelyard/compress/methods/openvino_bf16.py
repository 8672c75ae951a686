"""OpenVINO graph computed in bf16 where the processor can: fast with AMX, no faster without."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from modelyard.compress.methods._contract import Exportable, Method
from modelyard.compress.methods._openvino import Disk, converted, save


class Part(Method):
    """bf16."""

    session: ClassVar[str] = "openvino"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "openvino")

    disk: Disk = "fp16"
    """Precision of the weights in the file."""

    def applies(self, model: Any) -> bool:
        """Token models; a table's numbers need more than bf16's eight bits."""
        return model.learns == "loop" and bool(model.ragged)

    def export(self, member: Exportable, folder: Path) -> dict[str, Any]:
        """`model.xml` and `model.bin`."""
        return save(converted(member), folder, member, self.disk) | {"precision": "bf16"}
