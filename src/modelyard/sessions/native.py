"""A `fit` model answers for itself, in numpy, from its safetensors file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelyard.frozen import Frozen
from modelyard.models._contract import Session
from modelyard.tasks._contract import State


class Part(Frozen):
    """The native session."""

    def open(self, folder: Path, model: Any, features: dict[str, Any], state: State) -> Session:
        """Read the weights and answer."""
        from safetensors.numpy import load_file

        return model.session(load_file(folder / "weights.safetensors"), features, state)  # type: ignore[no-any-return]
