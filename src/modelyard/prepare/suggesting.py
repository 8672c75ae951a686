"""How else the rows could be split: a date suggests time, a repeated identifier suggests groups. It knows names and counts, no rows."""

from __future__ import annotations

from typing import Literal

from modelyard.prepare.inference import named_like_id

FEWEST = 10
"""Dates, or distinct identifiers, from which another split is worth a thought."""
MOST_MISSING = 0.2
"""Share of missing values from which a column cannot split."""
REPEATED = 1.5
"""Rows that an identifier has on average before it repeats."""
REASONS = {
    "time": "rows carry a date: if the service will answer for later rows than it learnt from, test it on later rows",
    "group": "rows of one identifier repeat: if the service will meet new ones, keep each on one side",
}


def split_of(name: str, kind: str, *, distinct: int, missing: int, rows: int) -> Literal["time", "group"] | None:
    """By what a column could split the rows, or None."""
    if missing > MOST_MISSING * rows:
        return None
    if kind == "date" and distinct > FEWEST:
        return "time"
    repeats = FEWEST <= distinct <= rows / REPEATED
    return "group" if kind in ("category", "number") and named_like_id(name) and repeats else None
