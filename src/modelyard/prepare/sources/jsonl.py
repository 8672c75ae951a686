"""JSON Lines: one object a line. Nested values are kept as JSON text. It does not know what the columns mean.

Read with the standard library, so that a fault is reported with its line.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelyard.errors import DataError
from modelyard.prepare.sources import _encoding
from modelyard.prepare.sources._contract import Source

if TYPE_CHECKING:
    import polars


class Part(Source):
    """JSON Lines."""

    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")

    def read(self, path: Path, missing: Sequence[str]) -> polars.DataFrame:
        """The file's rows; DataError with the line where one is not an object."""
        import polars as pl

        text, _ = _encoding.read(path)
        columns: dict[str, list[Any]] = {}
        count = 0
        for number, line in enumerate(
            text.split("\n"), start=1
        ):  # not splitlines(): U+2028 is allowed inside a JSON string
            if not line.strip():
                continue
            for name, value in _object(path, number, line).items():
                values = columns.setdefault(name, [])
                values.extend([None] * (count - len(values)))
                values.append(value)
            count += 1
        if not columns:
            raise DataError(f"{path}: is empty: expected one JSON object a line")
        for values in columns.values():
            values.extend([None] * (count - len(values)))
        return pl.DataFrame([_series(name, values) for name, values in columns.items()])

    def facts(self, path: Path) -> dict[str, Any]:
        """Its encoding."""
        return {"encoding": _encoding.read(path)[1]}


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        hint = (
            " This looks like one JSON array; write one object a line."
            if number == 1 and line.lstrip().startswith("[")
            else ""
        )
        raise DataError(f"{path}:{number}: is not valid JSON: {str(error)[:120]}.{hint}") from None
    if not isinstance(found, dict):
        raise DataError(f'{path}:{number}: must be a JSON object such as {{"column": 1}} (got {line.strip()[:60]})')
    return found


def _series(name: str, values: list[Any]) -> polars.Series:
    """A typed series: all of one kind keeps it, a mixture becomes text."""
    import polars as pl

    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool}:
        return pl.Series(name, values, dtype=pl.Boolean if kinds else pl.Null)
    if kinds == {int} and all(value is None or abs(value) < 2**63 for value in values):
        return pl.Series(name, values, dtype=pl.Int64)
    if kinds <= {int, float}:
        return pl.Series(name, [None if value is None else float(value) for value in values], dtype=pl.Float64)
    return pl.Series(name, [_text(value) for value in values], dtype=pl.String)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return (
        text.encode("utf-8", "replace").decode() if not text.isascii() else text
    )  # "\ud800" alone is legal JSON, not UTF-8
