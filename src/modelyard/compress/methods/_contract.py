"""The Method contract: a trained torch member in, a folder with a graph and the session that answers for it out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from modelyard.frozen import Frozen
from modelyard.models._contract import Arrays
from modelyard.models._language import Language
from modelyard.tasks._contract import State


@dataclass
class Exportable:
    """A trained member, and what its exports share. Nothing here changes it."""

    model: Any
    """Its part of the models shelf."""
    open_module: Callable[[], Any]
    """Makes the torch module with its trained weights, fp32, on the CPU, in evaluation mode."""
    state: State
    examples: Arrays
    """Encoded training rows, at most 300: what calibrates and what traces."""
    workshop: Path
    """A temporary folder, gone when the stage ends."""
    made: dict[str, Any] = field(default_factory=dict)
    """Intermediate results that methods share, such as the path of the fp32 ONNX graph."""

    @cached_property
    def module(self) -> Any:
        """The torch module."""
        return self.open_module()

    @property
    def longest(self) -> int:
        """Width of the ragged arrays, 0 where there are none."""
        return max((self.examples[name].shape[1] for name in self.model.ragged if name in self.examples), default=0)

    def row(self, number: int) -> Arrays:
        """One example as it is served: alone, its ragged arrays cut to its length."""
        one = {name: _plain(array[number : number + 1]) for name, array in self.examples.items()}
        if "length" in one:
            width = max(int(one["length"][0]), 1)
            one |= {name: one[name][:, :width] for name in self.model.ragged if name in one}
        return one

    def sample(self) -> dict[str, Any]:
        """A few rows of different lengths as torch tensors: what an exporter traces with."""
        import torch

        count = 4  # a dimension of size 1 would be taken for constant
        chosen = {name: _plain(np.resize(array, (count, *array.shape[1:]))) for name, array in self.examples.items()}
        if "length" in chosen and self.model.ragged:
            width = max(8, min(self.longest, 32))
            chosen["length"] = np.array([width, max(width // 2, 1), max(width // 3, 1), 1], dtype=np.int64)
            for name in (name for name in self.model.ragged if name in chosen):
                array = chosen[name][:, :width]
                chosen[name] = np.pad(array, [(0, 0), (0, width - array.shape[1]), *[(0, 0)] * (array.ndim - 2)])
        return {name: torch.from_numpy(np.array(array)) for name, array in chosen.items()}

    @cached_property
    def program(self) -> Any:
        """`torch.export`'s graph, free in the number of rows and in length."""
        import torch

        free = torch.export.Dim.DYNAMIC
        sample = self.sample()
        shapes = {name: {0: free, 1: free} if name in self.model.ragged else {0: free} for name in sample}
        with torch.no_grad(), free_length():
            return torch.export.export(self.model.exported(self.module), (), sample, dynamic_shapes=shapes)


@contextmanager
def free_length() -> Iterator[None]:
    """Recurrent layers keep their length free while a graph is made; torch would else unroll them at the example's own.

    torch's exporter does so itself while it traces, and forgets it while it translates (pytorch issue 191855, mended after 2.13).
    """
    with ExitStack() as stack:
        with suppress(ImportError):  # torch before 2.10 has none of it
            from torch.export import _patches

            for name in ("register_lstm_while_loop_decomposition", "register_gru_while_loop_decomposition"):
                if hasattr(_patches, name):
                    stack.enter_context(getattr(_patches, name)())
        yield


def _plain(array: Any) -> Any:
    """Whole numbers as int64, bytes of images as they are, others as float32: what torch modules are given."""
    kind = array.dtype
    if np.issubdtype(kind, np.floating):
        kind = np.float32
    elif np.issubdtype(kind, np.integer) and kind != np.uint8:
        kind = np.int64
    return np.ascontiguousarray(array, dtype=kind)


class Method(Frozen):
    """A way to export. Its fields are its options. Subclasses are final and named `Part`."""

    session: ClassVar[str]
    """The session part that answers for what it exports."""
    libraries: ClassVar[tuple[str, ...]]
    """Modules that must be installed to export."""
    extra: ClassVar[str] = "text"
    """The extra that brings them."""
    exact: ClassVar[bool] = False
    """Whether it computes in float32, so that every answer is the trained model's."""

    def missing(self) -> str:
        """Why it cannot run here, or nothing."""
        absent = [name for name in self.libraries if find_spec(name) is None]
        return f"needs {', '.join(absent)}. Run: pip install 'modelyard[{self.extra}]'" if absent else ""

    def applies(self, model: Any) -> bool:
        """Whether it can export this model: texts are continued by methods of their own."""
        return model.learns == "loop" and not isinstance(model, Language)

    @abstractmethod
    def export(self, member: Exportable, folder: Path) -> dict[str, Any]:
        """Write the graph into `folder`; the answer is the session's options."""
