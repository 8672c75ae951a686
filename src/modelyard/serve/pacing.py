"""How long a batch takes: seconds ≈ a + b · work, fitted to the batches as they come; and how much work a row is.

Work is cheap to tell and only has to be about proportional to the time: a value of a table is 1, a text a token for each four
characters, a series its numbers, an image a sixteenth of its bytes. The fit finds what a unit costs here. It knows no queue and no clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from modelyard.rows import Column, Rows

MEMORY = 64
"""Batches that the fit remembers: a change of load is followed within a second, one slow batch does not throw it."""
STEP = 8.0
"""A batch counts as at most so many times what was expected: a process that was stopped for a second did not become that slow."""


class Pace:
    """Seconds of a batch by its work: weighted least squares, older batches weigh less (1 - 1/MEMORY each)."""

    def __init__(self) -> None:
        self.fixed = 0.0
        """Seconds that every batch takes (a)."""
        self.each = 0.0
        """Seconds of a unit of work (b)."""
        self._count = self._work = self._squares = self._seconds = self._products = 0.0

    def learn(self, work: float, seconds: float) -> None:
        """A batch of so much work took so long."""
        if self._count > 1:
            seconds = min(seconds, STEP * max(self.seconds(work), 1e-6))
        keep = 1 - 1 / MEMORY
        self._count = self._count * keep + 1
        self._work = self._work * keep + work
        self._squares = self._squares * keep + work * work
        self._seconds = self._seconds * keep + seconds
        self._products = self._products * keep + work * seconds
        spread = self._count * self._squares - self._work**2
        if spread > 1e-3 * self._work**2:
            slope = (self._count * self._products - self._work * self._seconds) / spread
        else:  # all alike: what is fixed and what is not cannot be told apart, so the slope stays as it was
            slope = self.each
        mean, average = self._work / self._count, self._seconds / self._count
        self.each = min(max(slope, 0.0), average / mean)
        self.fixed = max(average - self.each * mean, 0.0)

    def seconds(self, work: float) -> float:
        """What a batch of so much work takes."""
        return self.fixed + self.each * work

    def budget(self, seconds: float) -> float:
        """Work of a batch that takes so long.

        Where the fixed part alone takes half of it, as much time again as that part: else most of the time would go into calls.
        """
        return max(seconds - self.fixed, self.fixed) / self.each if self.each > 0 else float("inf")

    def backlog(self, work: float, *, budget: float) -> float:
        """Seconds until so much waiting work is done, in batches of the budget."""
        if work <= 0:
            return 0.0
        return self.fixed * max(work / budget, 1.0) + self.each * work


def sizes(rows: Rows, inputs: Sequence[Column], *, longest: float = math.inf) -> list[float]:
    """The work of each row; at least 1. Of its texts a model reads `longest` tokens at most."""
    texts = [0.0] * len(rows)
    table = sum(column.type in ("number", "category", "boolean", "date") for column in inputs)
    found = [float(max(table, 1))] * len(rows)
    for column in inputs:
        if column.type == "text":
            texts = [
                one + (len(value) / 4 + 1 if value is not None else 1.0)
                for one, value in zip(texts, rows[column.name], strict=True)
            ]
            continue
        if column.type == "image":
            parts = [len(value) / 16 if value is not None else 1.0 for value in rows[column.name]]
        elif column.type == "sequence":
            parts = [float(value.size) if value is not None else 1.0 for value in rows[column.name]]
        else:
            continue
        found = [one + other for one, other in zip(found, parts, strict=True)]
    return [one + min(text, longest) for one, text in zip(found, texts, strict=True)]


def lengthened(rows: Rows, inputs: Sequence[Column], *, longest: float) -> Rows:
    """The same rows, their texts repeated until a model that reads `longest` tokens reads no more of them."""
    size = math.ceil(4 * longest)
    texts = {column.name: rows[column.name] for column in inputs if column.type == "text"}
    return rows.replace(**{
        name: np.array([f"{value or 'a'} " * (size // (len(value or "a") + 1) + 1) for value in values], dtype=object)
        for name, values in texts.items()
    })  # fmt: skip
