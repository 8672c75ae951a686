"""What `prepare` learnt about the data. Owned by the prepare stage."""

from __future__ import annotations

from typing import Any, Literal

from modelyard.frozen import Frozen
from modelyard.records._base import Record
from modelyard.rows import Reading


class ColumnCard(Frozen):
    """One column of the source."""

    name: str
    type: Literal["number", "category", "boolean", "text", "date", "image", "sequence", "ignore"]
    """What the values are, whatever the role; `ignore`: of no use to a model (constant, identifier, nested)."""
    role: Literal["input", "target", "ignored"]
    """`ignored` columns stay in the files, for splits and slices, but no model sees them."""
    reason: str
    """Why this type."""
    rows: int
    missing: int
    distinct: int
    facts: dict[str, Any] = {}
    """number: `quantiles`, `mean`, `deviation`, `histogram`; category, boolean: `top` [value, rows]; date: `earliest`, `latest`, `histogram`;
    text: `characters`, `words` (quantiles), `empty`, `script`, `scripts` (shares of letters), `unspaced`; image: `width`, `height`, `bytes`,
    `brightness` (quantiles), `modes` (rows of each of Pillow's); sequence: `steps` (quantiles). Of all cleaned rows."""
    reading: Reading = Reading()
    """How its values are read, beyond the type: found in the source, or said by the blueprint. The service reads alike."""


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


class Suggestion(Frozen):
    """Another value of a blueprint key that the data would allow; nothing is changed because of it."""

    path: str
    """Dotted blueprint key: `prepare.split.by`."""
    value: Any
    column: str | None
    reason: str


class Prepared(Record):
    """The data card."""

    stage: str = "prepare"
    task: str
    task_reason: str
    target: str
    source: dict[str, Any]
    """`files`: read files in order, each with `name`, `bytes`, `rows`, `hash`, `split` (given splits only) and what its source part says (encoding)."""
    columns: tuple[ColumnCard, ...]
    split_by: str
    split_reason: str
    splits: dict[str, SplitCard]
    given: tuple[str, ...] = ()
    """The splits that the data named itself: files, folders, or a column."""
    cleaning: tuple[CleaningStep, ...] = ()
    duplicates: dict[str, int] = {}
    """Counts: `clusters` of more than one row, `rows` in them, `exact` rows that repeat an earlier one's inputs."""
    suspects: tuple[Suspect, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()

    def column(self, name: str) -> ColumnCard:
        """The card of one column; KeyError where there is none."""
        found = next((column for column in self.columns if column.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    def inputs_types(self) -> dict[str, str]:
        """Name to type of the columns a model may see."""
        return {column.name: column.type for column in self.columns if column.role == "input"}

    def readings(self) -> dict[str, Reading]:
        """Name to reading of the columns a model may see."""
        return {column.name: column.reading for column in self.columns if column.role == "input"}
