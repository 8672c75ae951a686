"""What `report` did. Owned by the report stage."""

from __future__ import annotations

from modelyard.records._base import Record
from modelyard.units import Bytes


class Reported(Record):
    """The written report."""

    stage: str = "report"
    path: str
    """Relative to the build."""
    brief: str | None = None
    """The business case in a few pages, beside it; null where no request has a price."""
    bytes: Bytes
    language: str
    numbers: int
    """Numbers printed with the place in a record that they come from."""
    missing: tuple[str, ...] = ()
    """Stages whose record was not there, so that their section only says so."""
