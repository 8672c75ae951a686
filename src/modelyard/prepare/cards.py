"""Facts of columns and splits, as numbers from which the report draws. It knows neither models nor sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard.prepare import scripts
from modelyard.records.prepared import SplitCard
from modelyard.rows import Array
from modelyard.store import hash_file

if TYPE_CHECKING:
    import polars

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
BINS = 20
TOP = 20
LONGEST_VALUE = 200
"""Characters of a top value that are kept."""


def facts(series: polars.Series, kind: str) -> dict[str, Any]:
    """What the data card says of a column in its type."""
    present = series.drop_nulls()
    if present.len() == 0 or kind == "ignore":
        return {}
    if kind == "number":
        return numbers(present.to_numpy())
    if kind == "date":
        seconds = present.dt.epoch("us").to_numpy() / 1e6
        ends: list[Any] = [present.min(), present.max()]
        earliest, latest = (end.isoformat() for end in ends)
        return {"earliest": earliest, "latest": latest, "histogram": _histogram(seconds)}
    if kind == "text":
        return _text(present)
    if kind == "sequence":
        return {"steps": quantiles(present.list.len().to_numpy())}
    counts = present.value_counts(sort=True, name="rows").sort(["rows", present.name], descending=[True, False])
    values = [_spell(value) for value in counts[present.name].head(TOP)]
    return {
        "top": [[value, rows] for value, rows in zip(values, counts["rows"].head(TOP), strict=True)],
        "others": int(counts["rows"][TOP:].sum()),
    }


def _spell(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)[:LONGEST_VALUE]


def _text(present: polars.Series) -> dict[str, Any]:
    trimmed = present.str.strip_chars()
    return {
        "characters": quantiles(present.str.len_chars().to_numpy()),
        "words": quantiles(present.str.count_matches(r"\S+").to_numpy()),
        "empty": int((trimmed == "").sum()),
        **scripts.script(present),
    }


def numbers(values: Array) -> dict[str, Any]:
    """Quantiles, mean, deviation, histogram and how many are whole or zero."""
    values = values.astype(np.float64)
    return {
        "quantiles": quantiles(values),
        "mean": float(values.mean()),
        "deviation": float(values.std()),
        "zeros": int((values == 0).sum()),
        "whole": bool((values == np.round(values)).all()),
        "histogram": _histogram(values),
    }


def quantiles(values: Array) -> dict[str, float]:
    found = np.quantile(values.astype(np.float64), QUANTILES)
    return {f"{share:g}": float(value) for share, value in zip(QUANTILES, found, strict=True)}


def _histogram(values: Array) -> dict[str, Any]:
    """20 equal bins between the 1 % and 99 % quantiles, so that one outlier does not flatten it; what lies outside is counted apart."""
    low, high = np.quantile(values, 0.01), np.quantile(values, 0.99)
    if low == high:
        low, high = values.min(), values.max()
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(values, bins=BINS, range=(low, high))
    return {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "below": int((values < low).sum()),
        "above": int((values > high).sum()),
    }


def split_card(frame: polars.DataFrame, target: str, kind: str, path: Path) -> SplitCard:
    """Rows, target (`kind`: classes, number, text, image) and file hash of one split."""
    series = frame[target]
    if kind == "text":
        stated = {
            "characters": float(series.str.len_chars().sum()),
            "words": float(series.str.count_matches(r"\S+").sum()),
        }
    elif kind == "image":
        stated = {"images": float(series.len())}
    elif kind == "classes":
        counts = dict(series.value_counts().iter_rows())
        stated = {str(name): float(counts[name]) for name in sorted(counts)}
    else:
        values = series.to_numpy().astype(np.float64)
        stated = {
            "mean": float(values.mean()),
            "deviation": float(values.std()),
            "lowest": float(values.min()),
            "highest": float(values.max()),
        }
    return SplitCard(rows=frame.height, target=stated, hash=hash_file(path))
