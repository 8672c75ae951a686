"""Uncertain numbers of a blueprint: one number, or low, likely and high, with a source and a date. It knows nothing about what they are of.

>>> Range.model_validate(0.03).high
0.03
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, field_validator, model_validator
from pydantic_core import CoreSchema, core_schema

from modelyard.frozen import Frozen

OURS = "assumption of Modelyard's, no data behind it"
ASSUMED_ON = "2026-11-22"


class Range(Frozen):
    """An uncertain number: `0.04`, or `{low: 0.03, likely: 0.04, high: 0.06, source: our pilot, date: 2026-10-01}`."""

    low: float
    """The lowest value that would not surprise."""
    likely: float
    """The value to plan with."""
    high: float
    """The highest value that would not surprise."""
    source: str = "the blueprint"
    """Who says so."""
    date: str | None = None
    """When, as 2026-01-31."""
    shape: Literal["pert", "triangular", "uniform", "normal", "lognormal"] = "pert"
    """How values spread between the two ends when thousands are drawn; of the two normal ones four fifths lie between them."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            if not math.isfinite(given):
                raise ValueError(f"must be a finite number (got {given})")
            return {"low": given, "likely": given, "high": given}
        if not isinstance(given, dict):
            cure = ". Write a share such as 0.04" if isinstance(given, str) and "%" in given else ""
            raise ValueError(f"must be a number, or {{low: ..., likely: ..., high: ...}} (got {given!r}){cure}")
        return given

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low <= self.likely <= self.high:
            raise ValueError(f"must have low <= likely <= high (got {self.low:g}, {self.likely:g}, {self.high:g})")
        if self.shape == "lognormal" and self.low <= 0:
            raise ValueError(f"a lognormal number is above 0 (got low {self.low:g}): choose another shape")
        return self

    @field_validator("date")
    @classmethod
    def _dated(cls, given: str | None) -> str | None:
        if given is not None:
            try:
                date.fromisoformat(given)
            except ValueError:
                raise ValueError(f"must be a date such as 2026-01-31 (got {given!r})") from None
        return given

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "number"}, handler(schema)]}


@dataclass(frozen=True, slots=True)
class Assumed:
    """Annotation of a Range: its unit (`{currency}` is filled in), the end that harms the venture, and what can be."""

    unit: str
    unfavourable: Literal["low", "high", "depends"]
    low: float | None = 0.0
    high: float | None = None
    above: float | None = None
    """Every value must be greater than this."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, given: Range | None) -> Range | None:
        if given is None:
            return given
        unit = f"; in {self.unit.replace('{currency}', 'currency')}" if self.unit else ""
        for name in ("low", "likely", "high"):
            value = getattr(given, name)
            where = f"got {value:g}" if given.low == given.high else f"got {name} {value:g}"
            if self.above is not None and value <= self.above:
                raise ValueError(f"must be greater than {self.above:g} ({where}{unit})")
            if self.low is not None and value < self.low:
                raise ValueError(f"must be at least {self.low:g} ({where}{unit})")
            if self.high is not None and value > self.high:
                cure = f". {value:g} % is {value / 100:g}" if self.high == 1 and value <= 100 else ""
                raise ValueError(f"must be at most {self.high:g} ({where}{unit}){cure}")
        return given


def guess(
    low: float, likely: float, high: float, source: str = OURS, when: str | None = ASSUMED_ON
) -> Callable[[], Range]:
    return lambda: Range(low=low, likely=likely, high=high, source=source, date=when)
