"""Toy data for the laws: small tables and texts of every column type, and rows as strange as requests can be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelyard import parts
from modelyard.rows import Array, Column, Rows, from_records
from modelyard.tasks._contract import State, Task

GOOD = ["thank", "you", "the", "parcel", "came", "early", "and", "all", "is", "well"]
BAD = ["broken", "late", "refund", "angry", "never", "again", "terrible", "service"]
BOTH = ["order", "customer", "delivery", "the", "a", "on", "monday", "again", "please", "note"]
STRANGE = (
    "", " ", "\t\n", "a", "🙂🙃", "日本語のテキスト", "ไม่มีช่องว่าง", "مرحبا بالعالم", "e\u0301\u0323\u0308", "\u200b\u202e\ufeff", "\x00\x07", "x" * 5000, "word " * 2000,
    "0", "null", "1e308", "<script>&amp;</script>", "'; --", "\ud7ff\ue000\U0010ffff",
)  # fmt: skip
"""Texts that requests have held."""
NUMBERS = (None, 0.0, -1.0, 1e12, -1e12, 1e-300, 1e300, -1e300)


@dataclass(frozen=True)
class Toy:
    """A task with fitted state, its rows, and targets as models learn them."""

    task: Task
    state: State
    train: Rows
    validation: Rows
    train_target: Array
    validation_target: Array
    strange: Rows


def records(count: int, *, seed: int, texts_only: bool) -> tuple[list[dict[str, Any]], Array]:
    """Rows and the side (0 or 1) they belong to; one value in ten is missing, and both sides have the same number of rows."""
    rng = np.random.default_rng(seed)
    found, sides = [], np.arange(count) % 2
    for side in sides:
        words = rng.choice(BAD if side else GOOD, rng.integers(2, 6)).tolist() + rng.choice(BOTH, 3).tolist()
        row: dict[str, Any] = {"note": " ".join(rng.permutation(words))}
        if texts_only:
            row["subject"] = str(rng.choice(BAD if side else GOOD))
        else:
            row |= {
                "amount": round(float(rng.lognormal(3 + side)), 2),
                "visits": int(rng.integers(0, 9)),
                "colour": str(rng.choice(["red", "green", "blue"], p=[0.2, 0.3, 0.5] if side else [0.5, 0.3, 0.2])),
                "member": bool(rng.random() < 0.3 + 0.4 * side),
                "joined": f"20{rng.integers(10, 25):02d}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}",
            }
        missing = [name for name in row if name != "note" and rng.random() < 0.1]
        found.append({**row, **dict.fromkeys(missing)})
    return found, sides


def columns(*, texts_only: bool) -> tuple[Column, ...]:
    """The inputs of the toys."""
    if texts_only:
        return (Column(name="subject", type="text"), Column(name="note", type="text"))
    kinds = {
        "amount": "number",
        "visits": "number",
        "colour": "category",
        "member": "boolean",
        "joined": "date",
        "note": "text",
    }
    return tuple(Column(name=name, type=kind) for name, kind in kinds.items())


def strange(inputs: tuple[Column, ...]) -> Rows:
    """Rows of unseen categories, missing values, empty texts, odd Unicode and far-out numbers, alone and together."""
    rows: list[dict[str, Any]] = [{}]
    rows += [{column.name: text for column in inputs if column.type in ("text", "category")} for text in STRANGE]
    rows += [{column.name: value for column in inputs if column.type == "number"} for value in NUMBERS]
    rows += [
        {column.name: moment for column in inputs if column.type == "date"}
        for moment in ("0001-01-01", "1969-12-31T23:59:59", "9999-12-31")
    ]
    return from_records(rows, inputs)


def toy(task_name: str, *, rows: int = 64, task: Task | None = None) -> Toy:
    """A toy for a task on the shelf, or for the `task` given: two classes or a number, by its kind."""
    part: Task = task or parts.build("tasks", task_name)
    texts_only = task_name.startswith("text")
    inputs = columns(texts_only=texts_only)
    found, sides = records(2 * rows, seed=0, texts_only=texts_only)
    table = from_records(found, inputs)
    values = targets(part.kind, sides)
    state = part.fit(values[:rows], "answer", inputs, None)
    learnt = part.standardised(part.encode_target(values, state), state)
    return Toy(
        part,
        state,
        table.take(slice(0, rows)),
        table.take(slice(rows, None)),
        learnt[:rows],
        learnt[rows:],
        strange(inputs),
    )


def targets(kind: str, sides: Array) -> Array:
    """Class names, or numbers around 10 and 30 with some noise."""
    if kind == "classification":
        return np.array(["bad" if side else "good" for side in sides], dtype=object)
    noise: Array = np.array([math.sin(7.0 * number) for number in range(len(sides))])
    found: Array = 10.0 + 20.0 * sides + noise
    return found
