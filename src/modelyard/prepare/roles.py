"""Types and roles of all columns together: what is declared, what the values look like, and what the task reads.

It knows neither rows nor splits. Reasons describe the outcome and not who chose it, so that the resolved blueprint, in which every
type is declared, gives the same record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modelyard.errors import DataError
from modelyard.prepare.inference import Guess, guess
from modelyard.prepare.target import Target, infer_task
from modelyard.rows import Reading

if TYPE_CHECKING:
    import polars


READERS = {
    "text-classification": "text", "image-classification": "image", "sequence-classification": "sequence", "text-generation": "text",
    "image-generation": "category",
}  # fmt: skip
"""Tasks that read columns of one type only."""
PLURALS = {"category": "categories"}


@dataclass(frozen=True)
class Roles:
    """What `assign` decided."""

    task: str
    types: dict[str, str]
    """Every column but the target: what its values are."""
    inputs: tuple[str, ...]
    reasons: dict[str, str]
    """Every column but the target: why this type and, where no model reads it, why not."""
    readings: dict[str, Reading] = field(default_factory=dict)
    """Every column but the target: how its values are read, known once they have been."""

    def input_types(self) -> dict[str, str]:
        """Name to type of the inputs."""
        return {name: self.types[name] for name in self.inputs}

    def declaration(self, name: str) -> str:
        """What `data.columns` must say of a column to come out the same."""
        return self.types[name] if name in self.inputs else "ignore"


def assign(
    frame: polars.DataFrame, target: Target, declared: Mapping[str, str], *, task: str | None, split_column: str | None
) -> Roles:
    """Types, roles and task. DataError where nothing is left to read."""
    names = [name for name in frame.columns if name != target.name]
    guesses = {name: guess(frame[name]) for name in names}
    types = {name: kind if (kind := declared.get(name, "ignore")) != "ignore" else guesses[name].type for name in names}
    excluded = {name for name in names if declared.get(name) == "ignore" or types[name] == "ignore"}
    if split_column in names and declared.get(str(split_column), "ignore") == "ignore":
        excluded.add(str(split_column))
    task = task or infer_task(target, {name: kind for name, kind in types.items() if name not in excluded})
    promoted = _promoted(frame, guesses, skip={str(split_column)}) if task == "text-classification" else None
    if promoted and promoted not in declared:
        types[promoted] = "text"
    reads = READERS.get(task)
    inputs, reasons = [], {}
    for name in names:
        reason = _type_reason(guesses[name], types[name], promoted=name == promoted)
        why_not = _why_not(name, types[name], declared, reads=reads, split_column=split_column)
        if why_not is None:
            inputs.append(name)
        reasons[name] = reason if why_not in (None, "") else f"{reason}; not read: {why_not}"
    if not inputs and target.kind in ("text", "image"):
        return Roles(task, types, (), reasons)
    if not inputs:
        shown = "; ".join(f"{name}: {reasons[name]}" for name in names[:5]) or "there is no other column"
        raise DataError(f"no column is left to answer {target.name!r} from ({shown}). Declare one under data.columns.")
    if reads and not any(types[name] == reads for name in inputs):
        raise DataError(
            f"task {task} reads {reads}, and no column holds any ({', '.join(f'{name}: {types[name]}' for name in names[:8])}). "
            f"Declare one under data.columns as {reads}, or choose task: tabular-classification."
        )
    return Roles(task, types, tuple(inputs), reasons)


def _why_not(
    name: str, kind: str, declared: Mapping[str, str], *, reads: str | None, split_column: str | None
) -> str | None:
    """Why no model reads a column; an empty text where its type says so already; None where models read it."""
    said = declared.get(name, "ignore")
    if kind == "ignore":
        return ""
    if name == split_column and said == "ignore":
        return "it splits the rows"
    if reads and kind != reads and said == "ignore":
        return f"the task reads {PLURALS.get(reads, reads + 's')}"
    return "data.columns says ignore" if declared.get(name) == "ignore" else None


def _type_reason(found: Guess, kind: str, *, promoted: bool) -> str:
    if promoted and kind == "text":
        return f"the longest texts there are; {found.reason}"
    return found.reason if found.type == kind else f"declared; by itself {found.type} ({found.reason})"


def _promoted(frame: polars.DataFrame, guesses: Mapping[str, Guess], *, skip: set[str]) -> str | None:
    """Where no column looks like free text, the category whose values have the most words (two at least) on average."""
    import polars as pl

    if any(found.type == "text" for found in guesses.values()):
        return None
    words = {
        name: float(frame[name].cast(pl.String).str.count_matches(r"\S+").mean() or 0)  # type: ignore[arg-type]
        for name, found in guesses.items()
        if found.type == "category" and name not in skip
    }
    best = max(words, key=lambda name: words[name], default=None)
    return best if best is not None and words[best] >= 2 else None
