"""What `prepare` learnt about the data. Owned by the prepare stage."""

from __future__ import annotations

from typing import Any, Literal

from modelyard.frozen import Frozen
from modelyard.records._base import Record


class ColumnCard(Frozen):
    """One column of the source."""

    name: str
    type: Literal["number", "category", "boolean", "text", "date", "ignore"]
    role: Literal["input", "target", "ignored"]
    """`ignored` columns stay in the files, for splits and slices, but no model sees them."""
    reason: str
    """Why this type."""
    rows: int
    missing: int
    distinct: int
    facts: dict[str, Any] = {}
    """By type: quantiles and histogram; top values; length quantiles, script; range of dates."""


class SplitCard(Frozen):
    """One split."""

    rows: int
    target: dict[str, float] = {}
    """Rows of each class, or mean, deviation, lowest and highest of a number."""
    hash: str
    """Of the split's file."""


class CleaningStep(Frozen):
    """One step of cleaning: what was found and done."""

    name: str
    column: str | None = None
    before: int
    after: int
    detail: dict[str, Any] = {}


class Suspect(Frozen):
    """A leakage suspect."""

    kind: Literal["predicts_target", "identifier", "time_backwards", "repeated_across_splits"]
    column: str | None
    value: float
    detail: dict[str, Any] = {}


class Prepared(Record):
    """The data card."""

    stage: str = "prepare"
    task: str
    task_reason: str
    target: str
    source: dict[str, Any]
    """Files read, with bytes, rows and hash each."""
    columns: tuple[ColumnCard, ...]
    split_by: str
    split_reason: str
    splits: dict[str, SplitCard]
    cleaning: tuple[CleaningStep, ...] = ()
    duplicates: dict[str, int] = {}
    suspects: tuple[Suspect, ...] = ()

    def inputs_types(self) -> dict[str, str]:
        """Name to type of the columns a model may see."""
        return {column.name: column.type for column in self.columns if column.role == "input"}
