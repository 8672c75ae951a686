"""OpenVINO graph of a language model that keeps its keys and values itself: weights as they are, float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from modelyard.compress.methods._contract import Exportable
from modelyard.compress.methods._language import LanguageMethod, save, stateful


class Part(LanguageMethod):
    """A decoder with weights as they are, float32."""

    libraries: ClassVar[tuple[str, ...]] = ("torch", "openvino")
    exact: ClassVar[bool] = True

    def export(self, member: Exportable, folder: Path) -> dict[str, Any]:
        """`model.xml` and `model.bin`."""
        return save(stateful(member.module), folder)
