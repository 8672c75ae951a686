"""The prepare stage: from what the blueprint names to typed, cleaned, split rows and their data card.

It knows the blueprint's `data` and `prepare`, and no model. Try it: `yard run blueprint.yaml --to prepare`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelyard.context import Context
    from modelyard.records.prepared import Prepared

__all__ = ["run"]


def run(context: Context, frame: Any = None) -> Prepared:
    """Read, clean, type and split the rows; writes `data/<split>.parquet`. `frame` (polars, pandas) takes the place of `data.source`.

    DataError says what is wrong with the data, or where it does not fit the blueprint.
    """
    from modelyard.prepare.stage import run as stage

    return stage(context, frame)
