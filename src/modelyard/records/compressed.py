"""What `compress` learnt: every exported variant, its parity with the trained model, its size and speed, and the choice."""

from __future__ import annotations

from typing import Any, Literal

from modelyard.frozen import Frozen
from modelyard.records._base import Estimate, Record
from modelyard.records.evaluated import Measured
from modelyard.units import Bytes, Quantity


class Variant(Frozen):
    """The artifact with all its gradient-trained members exported by one method."""

    name: str
    """The method's name; `native` where there is nothing to export."""
    options: dict[str, Any] = {}
    status: Literal["measured", "skipped", "failed"]
    reason: str = ""
    """Why it was skipped, or how its export failed."""
    folder: str = ""
    """Relative to the build."""
    bytes: Bytes = Quantity(0.0, "B")
    """Of the whole artifact."""
    rows: int = 0
    """Validation rows compared: all of them where it was a candidate for the choice, else a sample."""
    agreement: float | None = None
    """Share of these rows with the trained artifact's answer."""
    alone: float | None = None
    """Share of some rows that, asked one by one, get the answer they get in a batch."""
    difference: float | None = None
    """Largest absolute difference of a score."""
    metric: float | None = None
    """The choosing metric on the compared rows."""
    drop: Estimate | None = None
    """How much worse than the trained artifact, paired row by row; relative for errors. Negative: better."""
    passed: bool | None = None
    """Whether it keeps parity and quality on all rows; null where a faster one did, so that it was not asked."""
    hashes: dict[str, str] = {}
    """Files of the artifact."""
    timings: dict[str, float] = {}
    """Seconds: `row_p50` and `row_p95` of one row alone, `open`; `rows_per_second` in batches."""

    @property
    def same(self) -> float:
        """The lower of `agreement` and `alone`."""
        return min(self.agreement or 0.0, 1.0 if self.alone is None else self.alone)


class Compressed(Record):
    """Variants, parity and choice; all on validation rows."""

    stage: str = "compress"
    metric: str
    greater_is_better: bool
    rows: int
    """Validation rows compared."""
    rows_seen_in_training: bool
    """Whether models of the artifact (of several folds, or refitted on every row) learnt from these rows: parity stands, the metric flatters."""
    trained_metric: float | None
    trained_bytes: Bytes
    variants: tuple[Variant, ...]
    chosen: str
    artifact: str
    """Folder of the chosen variant, relative to the build."""
    hashes: dict[str, str] = {}
    """Files of the chosen variant."""
    test: Measured | None = None
    """The chosen variant on the test rows, beside the trained artifact; the engine fills it in, nothing is chosen by it."""
    size_ratio: float
    """Bytes of the trained artifact to the chosen variant's."""
    timings: dict[str, Any] = {}
    """`trained`: the same seconds of the trained artifact (torch fp32); `speedup`: its `row_p50` to the chosen variant's."""
