"""An exported OpenVINO graph, answered on the CPU. Needs openvino, not torch.

OpenVINO sends usage statistics when it is imported and when it converts; `openvino_quietly` is the only door by which
Modelyard imports it, and closes that off.
"""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modelyard.errors import MissingExtra, PackageError
from modelyard.frozen import Frozen
from modelyard.models._contract import Arrays, Session
from modelyard.models._vectors import opened
from modelyard.rows import Array
from modelyard.sessions._batches import by_length, cores
from modelyard.tasks._contract import State


def openvino_quietly() -> Any:
    """The openvino module, with its telemetry off: nothing phones home. MissingExtra where it is not installed.

    openvino and nncf fall back to stubs where `openvino_telemetry` cannot be imported, and None in `sys.modules` says so
    (docs.python.org, "The module cache"). Where a program has imported it before us, its sender is silenced instead.
    """
    loaded = sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    if loaded is not None:
        importlib.import_module("openvino_telemetry.utils.sender").TelemetrySender.send = lambda *given, **named: None
    try:
        import openvino
    except ImportError:
        raise MissingExtra("a model exported to OpenVINO", "text") from None
    return openvino


class Part(Frozen):
    """The OpenVINO session."""

    file: str = "model.xml"
    """The graph, in the member's folder; its weights lie beside it in a `.bin` file."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What matrix products compute in, where the processor can."""
    threads: int | None = None
    """Threads of one answer; by default the cores this process may use."""
    rows: int = 32
    """Rows answered at a time."""
    multiple: int = 16
    """Lengths are rounded up to a multiple of it, because each new shape costs milliseconds once."""
    longest: int = 0
    """Rounding up never exceeds this length, the longest the model was exported with."""

    def open(self, folder: Path, model: Any, features: dict[str, Any], state: State) -> Session:
        """Load and compile the graph; its input names are those of the model's arrays. PackageError where it cannot be read."""
        openvino = openvino_quietly()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[self.precision],
            "INFERENCE_NUM_THREADS": self.threads or cores(),
        }
        core = openvino.Core()
        core.set_property({"ENABLE_MMAP": False})  # a mapped file that is overwritten kills the process (bus error)
        try:
            compiled = core.compile_model(core.read_model(folder / self.file), "CPU", settings)
        except Exception as error:
            raise PackageError(
                f"{folder / self.file} is not a graph that OpenVINO {openvino.__version__} reads: {error}"
            ) from None
        inputs = [(_name(given), given.get_element_type().to_dtype()) for given in compiled.inputs]
        outputs = [_name(made) for made in compiled.outputs]
        own = threading.local()  # a request serves one thread at a time

        def answering(output: str) -> Session:
            number = outputs.index(output)

            def run(arrays: Arrays) -> Array:
                if not hasattr(own, "request"):
                    own.request = compiled.create_infer_request()
                given = {
                    place: np.ascontiguousarray(arrays[name], dtype=kind) for place, (name, kind) in enumerate(inputs)
                }
                return np.array(own.request.infer(given, share_inputs=True)[number])

            return lambda arrays: by_length(
                arrays, model.ragged, run, rows=self.rows, multiple=self.multiple, longest=self.longest
            )

        return opened(outputs, answering)


def _name(given: Any) -> str:
    """The array's name; a conversion may leave internal names beside it, which the export therefore puts away."""
    names = given.get_names()
    assert len(names) == 1, f"a tensor with several names: {sorted(names)}"
    return next(iter(names))  # type: ignore[no-any-return]
