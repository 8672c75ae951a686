"""A model's module as an ONNX graph and what answers from it, so that a test can hold exported against trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelyard import parts
from modelyard.compress.methods._contract import Exportable
from modelyard.models._contract import Arrays, Session
from modelyard.tasks._contract import State


def exported(
    model: Any,
    module: Any,
    features: dict[str, Any],
    state: State,
    examples: Arrays,
    folder: Path,
    *,
    method: str = "onnx",
) -> Session:
    """The session of the module's fp32 graph; skips where what makes it is not installed."""
    part = parts.build("compress.methods", method)
    for library in ("onnx", "onnxscript", *part.libraries):
        pytest.importorskip(library)
    (folder / "workshop").mkdir()
    member = Exportable(
        model=model,
        open_module=lambda: module.eval().requires_grad_(False),
        state=state,
        examples=examples,
        workshop=folder / "workshop",
    )
    options = part.export(member, folder)
    opened: Session = parts.build("sessions", part.session, {**options, "threads": 1}).open(
        folder, model, features, state
    )
    return opened
