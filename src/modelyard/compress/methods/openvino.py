"""OpenVINO graph computed in fp32: same answers to the sixth digit, faster kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from modelyard.compress.methods._contract import Exportable, Method
from modelyard.compress.methods._openvino import Disk, converted, save


class Part(Method):
    """fp32."""

    session: ClassVar[str] = "openvino"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "openvino")
    exact: ClassVar[bool] = True

    disk: Disk = "auto"
    """Precision of the weights in the file; `auto`: fp16 for classes, fp32 for numbers."""

    def export(self, member: Exportable, folder: Path) -> dict[str, Any]:
        """`model.xml` and `model.bin`."""
        return save(converted(member), folder, member, self.disk)
