"""The input columns of a service, with what the training rows show of each. It knows frames and types, no stage and no task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from modelyard.rows import OBJECTS, Array, Column, InputType, Reading, from_frame

if TYPE_CHECKING:
    import polars

MOST_VALUES = 1000


def input_columns(
    frame: polars.DataFrame,
    types: Mapping[str, str],
    *,
    mended: bool = False,
    readings: Mapping[str, Reading] | None = None,
) -> tuple[Column, ...]:
    """One Column for each input, filled from `frame`, which must be the training rows only.

    `mended`: whether its texts were mended. `readings`: how each input's values were read; by default plainly.
    """
    rows = from_frame(frame, types)
    found = (_column(name, kind, rows[name]) for name, kind in types.items())  # type: ignore[arg-type]
    read = readings or {}
    return tuple(
        column.model_copy(update={"mended": mended, "reading": read.get(column.name, Reading())}) for column in found
    )


def _column(name: str, kind: InputType, values: Array) -> Column:
    if kind in OBJECTS:
        present = [value for value in values if value is not None]
        missing = 1 - len(present) / max(len(values), 1)
        if kind == "sequence":
            channels = max((value.shape[1] for value in present), default=1)
            return Column(name=name, type=kind, missing=missing, channels=channels)
        if kind != "category":
            return Column(name=name, type=kind, missing=missing)  # no example: it would be somebody's text or picture
        counted = sorted(Counter(present).items(), key=lambda item: (-item[1], item[0]))
        names = tuple(name for name, _ in counted[:MOST_VALUES])
        return Column(name=name, type=kind, values=names, missing=missing, example=names[0] if names else None)
    known = values[~np.isnan(values)]
    missing = 1 - len(known) / max(len(values), 1)
    if not len(known):
        return Column(name=name, type=kind, missing=missing)
    if kind == "boolean":
        return Column(name=name, type=kind, low=0.0, high=1.0, missing=missing, example=bool(known.mean() >= 0.5))
    middle = float(np.sort(known)[len(known) // 2])
    whole = bool((known == np.round(known)).all())
    return Column(
        name=name, type=kind, low=float(known.min()), high=float(known.max()), missing=missing, whole=whole and kind == "number",
        example=_date_text(middle) if kind == "date" else middle,
    )  # fmt: skip


def _date_text(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
