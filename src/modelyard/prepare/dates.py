"""Texts to points in time: ISO 8601, e-mail dates (RFC 5322, with the two- and three-digit years of RFC 2822 4.3), and written-out
orders of day, month and year where they are unambiguous. Epoch numbers are numbers. It does not know the blueprint.

What may be written is said in `modelyard.rows`, which reads one value of a request; this reads columns.

>>> import polars as pl
>>> parse(pl.Series(["Thu, 22 Aug 2002 18:26:25 +0700"]))[0]
datetime.datetime(2002, 8, 22, 11, 26, 25)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelyard.rows import TIMES, day_formats, mail_date

if TYPE_CHECKING:
    import polars

SAMPLE = 500
"""Distinct values tried before the whole column is read."""
ENOUGH = 0.95
"""Share of values that must be dates for a column to be one; the others count as missing."""
ISO = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M")
ISO_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z")
_SHAPE = r"^\s*(\d{4}-\d{1,2}-\d{1,2}|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{4}|([A-Za-z]{3,9},?\s+)?\d{1,2}\s+[A-Za-z]{3,9}\.?,?\s+\d{2,4}\b)"


def looks_like_dates(texts: polars.Series) -> bool:
    """Whether nearly all values of a String series (nulls left out) can be read as dates. A sample of distinct values decides."""
    sample = texts.drop_nulls().unique(maintain_order=True).head(SAMPLE)
    if sample.len() == 0 or (sample.str.contains(_SHAPE).mean() or 0) < ENOUGH:  # type: ignore[operator]
        return False
    return parse(sample, day_first=day_first(sample)).drop_nulls().len() >= ENOUGH * sample.len()


def parse(texts: polars.Series, *, day_first: bool | None = None) -> polars.Series:
    """String series -> Datetime[us], UTC without zone; what cannot be read is null. A text without zone counts as UTC.

    `day_first` says how `05/01/2026` is read; without it, it is not.
    """
    import polars as pl

    distinct = texts.drop_nulls().unique(maintain_order=True)
    trimmed = distinct.str.strip_chars()
    found = pl.Series(trimmed.name, [None] * trimmed.len(), dtype=pl.Datetime("us"))
    written = tuple(day + time for time in reversed(TIMES) for day in day_formats(day_first))
    for formats, zoned in ((ISO_ZONED, True), ((*ISO, *written), False)):
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
            values[place] = mail_date(trimmed[int(place)])
        found = pl.Series(trimmed.name, values, dtype=pl.Datetime("us"))
    table = pl.DataFrame({"text": distinct, "date": found})
    return (
        pl.DataFrame({"text": texts})
        .join(table, on="text", how="left", maintain_order="left")["date"]
        .alias(texts.name)
    )


def day_first(texts: polars.Series) -> bool | None:
    """Whether `05/01/2026` has the day first, where some value of the column shows it (`31/01/2026`); else None."""
    parts = texts.str.strip_chars().str.extract_groups(r"^(\d{1,2})/(\d{1,2})/\d{4}").struct.unnest()
    if parts.width < 2:
        return None
    first, second = (parts[name].cast(int, strict=False).max() or 0 for name in parts.columns[:2])
    if first > 12 >= second:  # type: ignore[operator]
        return True
    return False if second > 12 >= first else None  # type: ignore[operator]
