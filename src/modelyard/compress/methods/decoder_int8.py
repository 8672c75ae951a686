"""OpenVINO graph of a language model that keeps its keys and values itself: int8 weights, a scale a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from modelyard.compress.methods._contract import Exportable
from modelyard.compress.methods._language import LanguageMethod, light, save, stateful


class Part(LanguageMethod):
    """A decoder with int8 weights, a scale a row."""

    libraries: ClassVar[tuple[str, ...]] = ("torch", "openvino", "nncf")

    def export(self, member: Exportable, folder: Path) -> dict[str, Any]:
        """`model.xml` and `model.bin`."""
        return save(light(stateful(member.module), "int8"), folder)
