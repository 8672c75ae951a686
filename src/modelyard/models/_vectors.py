"""Models whose rows become vectors that are of use by themselves, and the sessions that answer with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelyard.models._contract import OUTPUTS, Arrays, Session
from modelyard.rows import Array

VECTORS = "vectors"
"""Name of what a graph answers besides its outputs: (n, D), what its last layer reads."""


@dataclass(frozen=True)
class VectorSession:
    """A session like any other (arrays to outputs), which also tells the vectors."""

    outputs: Session
    vectors: Session

    def __call__(self, arrays: Arrays) -> Array:
        """(n, K) outputs."""
        return self.outputs(arrays)


def opened(names: Sequence[str], answering: Callable[[str], Session]) -> Session:
    """The session of a graph that answers with these names; `answering` makes the one that answers with a name."""
    outputs = answering(OUTPUTS)
    return VectorSession(outputs, answering(VECTORS)) if VECTORS in names else outputs
