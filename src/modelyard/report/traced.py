"""Values of a build's records that remember where they came from, so that every number in the report can be followed back.

A source reads `evaluate.json#metrics.f1_macro.value`: a file of the build and a path of keys in it, each key percent-encoded.
A worked-out number names all its parts, `prepare.json#columns.0.missing / prepare.json#columns.0.rows`, read from left to right.
This module knows nothing about how a value is printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from modelyard.units import quantity

_WRITTEN = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?( [A-Za-z1][A-Za-z0-9_/*]*)?$")
"""A quantity as records write it: `0.012 s`, `5.6`, `55 input_token/request`; a version such as `1.0.0` is none."""
_STEPS = (" / ", " + ")


@dataclass(frozen=True, slots=True)
class Traced:
    """A value and its source. A key that is not there gives a Traced whose value is None, at any depth."""

    value: Any
    source: str

    def __getitem__(self, key: str | int) -> Traced:
        value: Any = None
        if isinstance(self.value, Mapping):
            value = self.value.get(key)
        elif (
            isinstance(self.value, Sequence)
            and not isinstance(self.value, str)
            and isinstance(key, int)
            and -len(self.value) <= key < len(self.value)
        ):
            key %= len(self.value)
            value = self.value[key]
        joint = "" if self.source.endswith("#") else "."
        return Traced(value, f"{self.source}{joint}{quote(str(key), safe='').replace('.', '%2E')}")

    def items(self) -> Iterator[tuple[str, Traced]]:
        """Keys and values of a mapping; nothing for anything else."""
        if isinstance(self.value, Mapping):
            for key in self.value:
                yield str(key), self[key]

    def __iter__(self) -> Iterator[Traced]:
        if isinstance(self.value, Sequence) and not isinstance(self.value, str):
            for number in range(len(self.value)):
                yield self[number]

    def __len__(self) -> int:
        return len(self.value) if isinstance(self.value, (Mapping, Sequence)) else 0

    def __bool__(self) -> bool:
        return bool(self.value)

    @property
    def there(self) -> bool:
        """Whether the record has it and it is not null."""
        return self.value is not None

    @property
    def text(self) -> str:
        """The value as a plain text, empty where there is none."""
        return "" if self.value is None else str(self.value)

    @property
    def number(self) -> float | None:
        """The plain number in canonical units (`'0.012 s'` is 0.012), or None."""
        return plain(self.value)

    @property
    def unit(self) -> str:
        """The canonical unit of a written quantity (`'0.02 USD/request'`), else an empty text."""
        return quantity(self.value).unit if isinstance(self.value, str) and _WRITTEN.match(self.value) else ""

    def __truediv__(self, other: Traced) -> Traced:
        ours, theirs = self.number, other.number
        return Traced(None if ours is None or not theirs else ours / theirs, f"{self.source} / {other.source}")

    def __add__(self, other: Traced) -> Traced:
        ours, theirs = self.number, other.number
        return Traced(None if ours is None or theirs is None else ours + theirs, f"{self.source} + {other.source}")


def plain(value: Any) -> float | None:
    """A number, a boolean's absence of one, or the value of a written quantity."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return float(value)
    return quantity(value).value if isinstance(value, str) and _WRITTEN.match(value) else None


def resolve(source: str, documents: Mapping[str, Any]) -> Any:
    """The value a source stands for; `documents` are the build's files by name. KeyError where it leads nowhere."""
    for step in _STEPS:
        if step in source:
            return _work_out(source, documents)
    file, _, path = source.partition("#")
    value = documents[file]
    for key in path.split(".") if path else ():
        value = value[int(key)] if isinstance(value, (list, tuple)) else value[unquote(key)]
    return value


def _work_out(source: str, documents: Mapping[str, Any]) -> float:
    pieces = source.split(" ")
    total = plain(resolve(pieces[0], documents))
    for sign, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        value = plain(resolve(piece, documents))
        if total is None or value is None:
            raise KeyError(source)
        total = total + value if sign == "+" else total / value if value else float("nan")
    if total is None:
        raise KeyError(source)
    return total
