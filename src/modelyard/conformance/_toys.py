"""Toy data for the laws: small tables and texts of every column type, and rows as strange as requests can be."""

from __future__ import annotations

import io
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
    "", " ", "\t\n", "a", "🙂🙃", "日本語のテキスト", "ไม่มีช่องว่าง", "مرحبا بالعالم", "e\u0301\u0323\u0308", "\u200b\u202e\ufeff", "\x00\x07", "".join(map(chr, range(32))), "x" * 100_000, "word " * 2000,
    "0", "null", "1e308", "<script>&amp;</script>", "'; --", "\ud7ff\ue000\U0010ffff",
)  # fmt: skip
"""Texts that requests have held."""
LONGEST_MADE = 500
"""Characters of strange texts where every token is scored: a hundred thousand would take the default network a minute."""
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


def records(count: int, *, seed: int, read: str) -> tuple[list[dict[str, Any]], Array]:
    """Rows of what a task reads and the side (0 or 1) they belong to; both sides have the same number of rows.

    Of tables and texts one value in ten is missing.
    """
    rng = np.random.default_rng(seed)
    sides = np.arange(count) % 2
    if read == "image":
        return [{"picture": picture(_blob(rng, int(side)))} for side in sides], sides
    if read == "sequence":
        return [{"wave": _wave(rng, int(side))} for side in sides], sides
    if read == "class":
        return [{"kind": "down" if side else "up", "seed": number} for number, side in enumerate(sides)], sides
    found = []
    for side in sides:
        words = rng.choice(BAD if side else GOOD, rng.integers(2, 6)).tolist() + rng.choice(BOTH, 3).tolist()
        row: dict[str, Any] = {"note": " ".join(rng.permutation(words))}
        if read == "text":
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


def _blob(rng: np.random.Generator, side: int, size: int = 12) -> Array:
    """(size, size) uint8 noise, brighter in the upper or the lower half."""
    found, half = rng.integers(0, 80, (size, size)), size // 2
    found[half * side : half * side + half] += rng.integers(60, 140)
    return found.astype(np.uint8)


def picture(pixels: Array, mode: str | None = None) -> bytes:
    """Pixels as the bytes of a PNG."""
    from PIL import Image

    memory = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(memory, format="PNG")
    return memory.getvalue()


def _wave(rng: np.random.Generator, side: int) -> list[list[float | None]]:
    """A series of two channels and 5 to 20 steps that rises, or falls; one value in ten lacks."""
    steps = np.linspace(0, 1, int(rng.integers(5, 21)))
    values = np.stack([(1 - 2 * side) * steps, np.sin(6 * steps)], axis=1) + rng.normal(0, 0.2, (len(steps), 2))
    return [[None if rng.random() < 0.1 else float(value) for value in step] for step in values]


def read_by(task_name: str) -> str:
    """What a task's toys hold: `text`, `image`, `sequence`, a `class` and a seed, or a table's columns (`tabular`)."""
    if task_name == "image-generation":
        return "class"
    kind = task_name.partition("-")[0]
    return kind if kind in ("text", "image", "sequence") else "tabular"


def columns(read: str) -> tuple[Column, ...]:
    """The inputs of the toys."""
    if read == "image":
        return (Column(name="picture", type="image"),)
    if read == "sequence":
        return (Column(name="wave", type="sequence", channels=2),)
    if read == "class":
        return (Column(name="kind", type="category", values=("down", "up")), Column(name="seed", type="number"))
    if read == "text":
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


def strange(inputs: tuple[Column, ...], *, longest: int = 100_000) -> Rows:
    """Rows of unseen categories, missing values, empty texts and some of `longest` characters, odd Unicode, far-out numbers, odd images and
    series, alone and together."""
    rows: list[dict[str, Any]] = [{}]
    texts = [text[:longest] for text in STRANGE]
    rows += [{column.name: text for column in inputs if column.type in ("text", "category")} for text in texts]
    rows += [{column.name: value for column in inputs if column.type == "number"} for value in NUMBERS]
    rows += [
        {column.name: moment for column in inputs if column.type == "date"}
        for moment in ("0001-01-01", "1969-12-31T23:59:59", "9999-12-31")
    ]
    kinds = {column.type: column.name for column in inputs}
    if "image" in kinds:
        rows += [{kinds["image"]: image} for image in _odd_pictures()]
    if "sequence" in kinds:
        lone, long = [[0.0, 0.0]], [[float(step), -1.0] for step in range(10_000)]
        odd: list[Any] = [None, lone, long, [[None, None]] * 3, [[1e30, -1e30]] * 4]
        rows += [{kinds["sequence"]: series} for series in odd]
    return from_records(rows, inputs)


def _odd_pictures() -> list[bytes]:
    """One pixel, a strip, a large one, colour, transparency, 16 bits, one bit, a photograph's twelve megapixels."""
    rng = np.random.default_rng(0)
    deep: Array = rng.integers(0, 65536, (9, 7)).astype(np.uint16)
    colour: Array = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    plain: list[Array] = [
        np.zeros((1, 1), np.uint8),
        np.full((1, 300), 255, np.uint8),
        rng.integers(0, 256, (400, 300)).astype(np.uint8),
        np.zeros((3000, 4000), np.uint8),
    ]
    return [
        *(picture(one) for one in (*plain, colour, deep)),
        *(picture(colour, mode) for mode in ("RGBA", "LA", "P", "1")),
    ]


def toy(task_name: str, *, rows: int = 64, task: Task | None = None) -> Toy:
    """A toy for a task on the shelf, or for the `task` given: two classes or a number, by its kind."""
    part: Task = task or parts.build("tasks", task_name)
    read = read_by(task_name)
    inputs = columns(read)
    found, sides = records(2 * rows, seed=0, read=read)
    values = targets(part.kind, sides)
    makes: dict[str, tuple[Column, ...]] = {
        "language": (Column(name="answer", type="text"),),
        "image": (Column(name="answer", type="image"),),
    }
    made = makes.get(part.kind, ())
    if made:  # what is made is scored beside the inputs
        found = [{**row, "answer": value} for row, value in zip(found, values, strict=True)]
    table = from_records(found, (*inputs, *made))
    state = part.fit(values[:rows], "answer", inputs, None)
    learnt = part.standardised(part.encode_target(values, state), state)
    return Toy(
        part,
        state,
        table.take(slice(0, rows)),
        table.take(slice(rows, None)),
        learnt[:rows],
        learnt[rows:],
        strange((*inputs, *made), longest=LONGEST_MADE if made else 100_000),
    )


def targets(kind: str, sides: Array) -> Array:
    """Class names, short texts, images of 16 x 16 pixels, or numbers around 10 and 30 with some noise."""
    if kind == "image":
        rng = np.random.default_rng(0)
        pictures = np.empty(len(sides), dtype=object)
        pictures[:] = [picture(_blob(rng, int(side), 16)) for side in sides]
        return pictures
    if kind == "language":
        words = [(BAD if side else GOOD) + BOTH for side in sides]
        found_texts = [
            " ".join(own[(number + 3 * place) % len(own)] for place in range(2 + number % 5))
            for number, own in enumerate(words)
        ]
        return np.array(found_texts, dtype=object)
    if kind == "classification":
        return np.array(["bad" if side else "good" for side in sides], dtype=object)
    noise: Array = np.array([math.sin(7.0 * number) for number in range(len(sides))])
    found: Array = 10.0 + 20.0 * sides + noise
    return found
