"""Answers to questions about prices, read from a file: a row a person. It knows no statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelyard.errors import DataError

FOUR = ("too_cheap", "cheap", "expensive", "too_expensive")
HIGHEST = "highest"
FEWEST = 10
"""Persons, below which no crossing means anything."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What each person said; None where it was not asked."""

    persons: int
    four: tuple[tuple[float, ...], ...] | None
    highest: tuple[float, ...] | None

    @classmethod
    def read(cls, path: Path, *, prices: Sequence[float] = ()) -> Answers:
        """DataError that names file, column and row where the file cannot be read or says something that cannot be."""
        import polars as pl

        try:
            frame = pl.read_csv(path)
        except (OSError, pl.exceptions.PolarsError, UnicodeError) as error:
            raise DataError(f"the survey {path} cannot be read as CSV: {str(error).splitlines()[0]}") from None
        has_four = [name for name in FOUR if name in frame.columns]
        if has_four and len(has_four) < len(FOUR):
            missing = ", ".join(name for name in FOUR if name not in has_four)
            raise DataError(
                f"the survey {path} lacks the column {missing}. Van Westendorp's meter needs {', '.join(FOUR)}"
            )
        if not has_four and HIGHEST not in frame.columns:
            raise DataError(
                f"the survey {path} has the columns {', '.join(frame.columns)}. Give {', '.join(FOUR)}, or {HIGHEST}, or all five"
            )
        if frame.height < FEWEST:
            raise DataError(f"the survey {path} has {frame.height} persons. At least {FEWEST} are needed")
        four = tuple(_numbers(frame, name, path) for name in FOUR) if has_four else None
        for number, row in enumerate(zip(*four, strict=True) if four else (), 1):
            if list(row) != sorted(row):
                told = ", ".join(f"{price:g}" for price in row)
                raise DataError(
                    f"the survey {path}, person {number}: prices must rise from too_cheap to too_expensive (got {told})"
                )
        highest = _numbers(frame, HIGHEST, path) if HIGHEST in frame.columns else None
        if highest is not None:
            if len(prices) < 2:
                raise DataError(
                    f"the survey {path} has the column {HIGHEST}: say in business.survey.prices which prices were asked, two at least"
                )
            strange = next((price for price in highest if price and price not in prices), None)
            if strange is not None:
                raise DataError(
                    f"the survey {path}: {strange:g} in {HIGHEST} is none of the prices that were asked ({', '.join(f'{price:g}' for price in prices)}), nor 0"
                )
        return cls(frame.height, four, highest)


def _numbers(frame: object, name: str, path: Path) -> tuple[float, ...]:
    import polars as pl

    assert isinstance(frame, pl.DataFrame)
    column = frame[name].cast(pl.Float64, strict=False)
    wrong = [row for row, value in enumerate(column, 1) if value is None or not value >= 0 or value == float("inf")]
    if wrong:
        raise DataError(
            f"the survey {path}, person {wrong[0]}: {name} must be a price not below 0 (got {frame[name][wrong[0] - 1]!r})"
        )
    return tuple(column.to_list())
