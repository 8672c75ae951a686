"""The target column: class names or a number, the task that follows, and whether a declared task fits. It does not know splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from modelyard import parts
from modelyard.errors import DataError, nearest
from modelyard.tasks._classification import MOST_CLASSES

if TYPE_CHECKING:
    import polars

MANY_VALUES = 20
"""A number target of more distinct values is to be estimated, of fewer to be told apart."""
KINDS = {"classification": "classes", "regression": "number", "language": "text", "image": "image"}
"""What a target holds, by the task's kind."""
DECLARED = {"number": "number", "category": "classes", "boolean": "classes", "text": "classes"}
"""What a target holds, by the type that the blueprint declares."""


@dataclass(frozen=True)
class Target:
    """The read target, nulls where missing."""

    name: str
    kind: Literal["classes", "number", "text", "image"]
    values: polars.Series
    """String, Float64 or Binary."""

    @property
    def type(self) -> str:
        """As a column's type."""
        return "category" if self.kind == "classes" else self.kind


def find(columns: list[str], name: str | None, wanted: str = "data.target") -> str:
    """The target's name; DataError with the nearest column where there is none."""
    if name is None:
        raise DataError(f"{wanted} is required: name the column the service is to answer, one of: {_some(columns)}")
    if name not in columns:
        raise DataError(f"{wanted}: the data has no column {name!r}.{nearest(name, columns)} Columns: {_some(columns)}")
    return name


def read(series: polars.Series, task: str | None, declared: str | None) -> Target:
    """Class names or numbers, as the declared task or type says, else as the values look."""
    import polars as pl

    from modelyard.prepare import inference
    from modelyard.prepare.inference import numbers_of, plain_text

    kind = KINDS[parts.load("tasks", task).kind] if task else DECLARED.get(declared or "")
    if kind is None and series.dtype == pl.Binary and inference.guess(series).type == "image":
        kind = "image"
    if kind == "image":
        return Target(
            series.name, "image", inference.convert(series, "image", reading=inference.find_reading(series, "image"))[0]
        )
    if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object) or series.dtype.is_temporal():
        raise DataError(
            f"the target {series.name!r} holds {series.dtype}, which no task answers. It must hold class names or numbers."
        )
    numbers = None if series.dtype == pl.Boolean else numbers_of(series)
    if kind is None:
        kind = "number" if numbers is not None and numbers.drop_nulls().n_unique() > MANY_VALUES else "classes"
    if kind == "number":
        if numbers is None:
            raise DataError(
                f"the target {series.name!r} is not a number (it holds, for example, {_examples(series)}), so {task or 'regression'!r} cannot "
                "answer it. Choose task: tabular-classification, or another target."
            )
        return Target(
            series.name, "number", pl.select(pl.when(numbers.is_finite()).then(numbers)).to_series().alias(series.name)
        )
    texts = plain_text(series).str.strip_chars()
    if kind == "text":
        return Target(
            series.name, "text", pl.select(pl.when(texts != "").then(plain_text(series))).to_series().alias(series.name)
        )
    return Target(series.name, "classes", pl.select(pl.when(texts != "").then(texts)).to_series().alias(series.name))


def infer_task(target: Target, types: dict[str, str]) -> str:
    """The task for a target and the types of the inputs."""
    if target.kind == "number":
        return "tabular-regression"
    if target.kind == "image":
        return "image-generation"
    kinds = set(types.values())
    if "image" in kinds:
        return "image-classification"
    if "number" in kinds:  # then lists and texts are columns of a table
        return "tabular-classification"
    if "sequence" in kinds:
        return "sequence-classification"
    return "text-classification" if "text" in kinds else "tabular-classification"


def task_reason(task: str, target: Target, types: dict[str, str]) -> str:
    """What in the data the task rests on; the same whether it was declared or inferred."""
    distinct = target.values.drop_nulls().n_unique()
    if target.kind == "number":
        return f"the target {target.name} is a number with {distinct} distinct values"
    if target.kind in ("text", "image"):
        given = f" from {_some(list(types))}" if types else ""
        return f"the target {target.name} holds {distinct} different {target.kind}s, which are to be made{given}"
    texts = [name for name, kind in types.items() if kind == "text"]
    if task == "text-classification":
        return f"the target {target.name} has {distinct} classes and the text columns {_some(texts)} are read"
    if task in ("image-classification", "sequence-classification"):
        read = task.removesuffix("-classification")
        named = [name for name, kind in types.items() if kind == read]
        return f"the target {target.name} has {distinct} classes and the {read} columns {_some(named)} are read"
    return f"the target {target.name} has {distinct} classes and the inputs are columns of a table"


def check(target: Target) -> None:
    """DataError where the values cannot be learnt: one class, too many, a class of one row, a number that never changes."""
    import polars as pl

    present = target.values.drop_nulls()
    if present.len() == 0:
        raise DataError(f"the target {target.name!r} is missing in every row")
    if target.kind == "number":
        if present.n_unique() == 1:
            raise DataError(f"the target {target.name!r} is {present[0]:g} in every row: there is nothing to learn")
        return
    if target.kind != "classes":
        if present.n_unique() == 1:
            raise DataError(
                f"the target {target.name!r} is the same {target.kind} in every row: there is nothing to learn"
            )
        return
    counts = present.value_counts(sort=True)
    if counts.height == 1:
        raise DataError(
            f"the target {target.name!r} has one class only, {present[0]!r}: there is nothing to tell apart. Add rows of another class."
        )
    if counts.height > MOST_CLASSES:
        raise DataError(
            f"the target {target.name!r} has {counts.height:,} classes; at most {MOST_CLASSES:,} are allowed. "
            "Is it an identifier or a number? Choose another target, or task: tabular-regression."
        )
    rare = sorted(counts.filter(pl.col("count") < 2)[target.name].to_list())
    if rare:
        raise DataError(
            f"the target {target.name!r} has {len(rare)} class{'es' if len(rare) > 1 else ''} of a single row ({_some(rare)}): every class needs at least 2 rows, "
            "one to learn from and one to test. Add rows, merge these classes or leave them out."
        )


def _examples(series: polars.Series) -> str:
    return ", ".join(repr(value)[:40] for value in series.drop_nulls().unique(maintain_order=True).head(3).to_list())


def _some(names: list[str], most: int = 12) -> str:
    return ", ".join(name[:40] for name in names[:most]) + (
        f" and {len(names) - most} more" if len(names) > most else ""
    )
