"""Texts to points in time: ISO 8601, e-mail dates (RFC 5322, with the two- and three-digit years of RFC 2822 4.3), and written-out
orders of day, month and year where they are unambiguous. Epoch numbers are numbers. It does not know the blueprint.

>>> import polars as pl
>>> parse(pl.Series(["Thu, 22 Aug 2002 18:26:25 +0700"]))[0]
datetime.datetime(2002, 8, 22, 11, 26, 25)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import parsedate_tz
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars

SAMPLE = 500
"""Distinct values tried before the whole column is read."""
ENOUGH = 0.95
"""Share of values that must be dates for a column to be one; the others count as missing."""
ISO = (
    "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d",
)  # fmt: skip
ISO_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z")
OTHER = ("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y")
DAY_FIRST = ("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y")
MONTH_FIRST = ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y")
EPOCH = datetime(1970, 1, 1)
_SHAPE = r"^\s*(\d{4}-\d{1,2}-\d{1,2}|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{4}|([A-Za-z]{3,9},?\s+)?\d{1,2}\s+[A-Za-z]{3,9}\.?,?\s+\d{2,4}\b)"


def looks_like_dates(texts: polars.Series) -> bool:
    """Whether nearly all values of a String series (nulls left out) can be read as dates. A sample of distinct values decides."""
    sample = texts.drop_nulls().unique(maintain_order=True).head(SAMPLE)
    if sample.len() == 0 or (sample.str.contains(_SHAPE).mean() or 0) < ENOUGH:  # type: ignore[operator]
        return False
    return parse(sample).drop_nulls().len() >= ENOUGH * sample.len()


def parse(texts: polars.Series) -> polars.Series:
    """String series -> Datetime[us], UTC without zone; what cannot be read is null. A text without zone counts as UTC."""
    import polars as pl

    distinct = texts.drop_nulls().unique(maintain_order=True)
    trimmed = distinct.str.strip_chars()
    found = pl.Series(trimmed.name, [None] * trimmed.len(), dtype=pl.Datetime("us"))
    slashes = _slash_order(trimmed)
    for formats, zoned in ((ISO_ZONED, True), ((*ISO, *OTHER, *slashes), False)):
        for format in formats:
            if found.null_count() == 0:
                break
            zone = "UTC" if zoned else None
            read = trimmed.str.to_datetime(format, strict=False, time_unit="us", time_zone=zone)
            found = found.zip_with(found.is_not_null(), read.dt.replace_time_zone(None) if zoned else read)
    left = found.is_null().to_numpy()
    if left.any():
        values = found.to_list()
        for place in left.nonzero()[0]:
            values[place] = _mail_date(trimmed[int(place)])
        found = pl.Series(trimmed.name, values, dtype=pl.Datetime("us"))
    table = pl.DataFrame({"text": distinct, "date": found})
    return (
        pl.DataFrame({"text": texts})
        .join(table, on="text", how="left", maintain_order="left")["date"]
        .alias(texts.name)
    )


def _slash_order(texts: polars.Series) -> tuple[str, ...]:
    """`31/01/2026` is read where some value shows whether the day or the month stands first; else not at all."""
    parts = texts.str.extract_groups(r"^(\d{1,2})/(\d{1,2})/\d{4}").struct.unnest()
    if parts.width < 2:
        return ()
    first, second = (parts[name].cast(int, strict=False).max() or 0 for name in parts.columns[:2])
    if first > 12 >= second:  # type: ignore[operator]
        return DAY_FIRST
    return MONTH_FIRST if second > 12 >= first else ()  # type: ignore[operator]


def _mail_date(text: str) -> datetime | None:
    """One RFC 5322 date, or None. parsedate_tz leaves three-digit years alone; RFC 2822 4.3 adds 1900 (a fault of the year 2000)."""
    try:
        found = parsedate_tz(text)
        if found is None:
            return None
        year = found[0] + 1900 if 50 <= found[0] <= 999 else found[0]
        return datetime(year, *found[1:6]) - timedelta(seconds=found[9] or 0)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
