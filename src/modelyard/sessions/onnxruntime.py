"""An exported ONNX graph, answered by ONNX Runtime on the CPU. Needs onnxruntime, not torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import MissingExtra, PackageError
from modelyard.frozen import Frozen
from modelyard.models._contract import Arrays, Session
from modelyard.models._vectors import opened
from modelyard.rows import Array
from modelyard.sessions._batches import by_length, cores
from modelyard.tasks._contract import State

TYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_,
}  # fmt: skip


class Part(Frozen):
    """The ONNX Runtime session."""

    file: str = "model.onnx"
    """The graph, in the member's folder."""
    threads: int | None = None
    """Threads of one answer; by default the cores this process may use."""
    rows: int = 32
    """Rows answered at a time."""

    def open(self, folder: Path, model: Any, features: dict[str, Any], state: State) -> Session:
        """Load the graph; its input names are those of the model's arrays. PackageError where it cannot be read."""
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtra("a model exported to ONNX", "neural") from None
        onnxruntime.disable_telemetry_events()  # nothing phones home (events exist in Windows builds)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads or cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_mem_pattern = not model.ragged  # a plan is kept for every new length: slower, and it grows
        try:
            graph = onnxruntime.InferenceSession(str(folder / self.file), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise PackageError(
                f"{folder / self.file} is not a graph that ONNX Runtime {onnxruntime.__version__} reads: {error}"
            ) from None
        kinds = {given.name: TYPES[given.type] for given in graph.get_inputs()}

        def answering(output: str) -> Session:
            def run(arrays: Arrays) -> Array:
                given: Arrays = {name: np.ascontiguousarray(arrays[name], dtype=kind) for name, kind in kinds.items()}
                return np.asarray(graph.run([output], given)[0])

            return lambda arrays: by_length(arrays, model.ragged, run, rows=self.rows)

        return opened([made.name for made in graph.get_outputs()], answering)
