"""A language model's exported graph, which keeps its keys and values itself, on the CPU. Needs openvino, not torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from modelyard.frozen import Frozen
from modelyard.models._contract import Session
from modelyard.models._language import LanguageSession
from modelyard.sessions._decoders import OpenVinoDecoder
from modelyard.tasks._contract import State


class Part(Frozen):
    """The OpenVINO session of a language model."""

    file: str = "model.xml"
    """The graph, in the member's folder; its weights lie beside it in a `.bin` file."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What matrix products compute in, where the processor can."""
    cache: Literal["fp32", "fp16", "int8"] = "fp32"
    """What keys and values are kept in."""
    group: int = 0
    """Activations that are rounded to int8 together where weights are integers; 0: none are."""
    threads: int | None = None
    """Threads of one answer; by default the cores this process may use."""

    def open(self, folder: Path, model: Any, features: dict[str, Any], state: State) -> Session:
        """Load and compile the graph."""
        decoder = OpenVinoDecoder(
            folder, ends=model.ends(features), context=model.window(features), file=self.file, threads=self.threads,
            precision=self.precision, cache=self.cache, group=self.group,
        )  # fmt: skip
        return LanguageSession(decoder)
