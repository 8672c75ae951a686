"""What somebody says, with who says it and when, or with the place in this build's records that shows it. Shared by `market` and `strategy`."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from modelyard.frozen import Frozen


def _day(given: str) -> str:
    try:
        date.fromisoformat(given)
    except ValueError:
        raise ValueError(f"must be a date such as 2026-01-31 (got {given!r})") from None
    return given


Day = Annotated[str, AfterValidator(_day)]
"""A date, as 2026-01-31."""
Name = Annotated[str, Field(min_length=1, max_length=80)]
"""What something is called."""
Text = Annotated[str, Field(min_length=1, max_length=400)]
"""A sentence or two."""


class Claim(Frozen):
    """A sentence, and what it rests on: a source with its date, or a record of this build."""

    text: Text
    """What is claimed."""
    source: Text | None = None
    """Who says so: a page, a study, a letter."""
    date: Day | None = None
    """When it was said or read."""
    record: str | None = None
    """The place in this build's records that shows it, such as `evaluate.metrics.f1_macro.value`, in the place of a source."""

    @model_validator(mode="after")
    def _rests(self) -> Claim:
        rests(self.source, self.date, self.record)
        return self


def rests(source: str | None, when: str | None, record: str | None) -> None:
    """ValueError where something rests on nothing, on two things, or on a source without a date."""
    if (source is None) == (record is None):
        raise ValueError("must rest on one thing: give source and date, or record")
    if source is not None and when is None:
        raise ValueError("a source needs its date: give date, as 2026-01-31")


def distinct(names: tuple[str, ...], what: str) -> None:
    """ValueError where two have one name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two {what} have the name {twice[0]!r}: rename one")
