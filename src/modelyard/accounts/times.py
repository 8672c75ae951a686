"""Times of the accounts: whole microseconds since 1970 UTC, and calendar months of UTC as `2026-11`.

>>> month_of(micros(2026, 11, 30)), days_in("2026-02"), next_month("2026-12")
('2026-11', 28, '2027-01')
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from modelyard.errors import AccountError

SECOND = 1_000_000
DAY = 86_400 * SECOND
Clock = Callable[[], int]
_MONTH = re.compile(r"(19[7-9]|2[0-9]{2})[0-9]-(0[1-9]|1[0-2])")
"""1970 to 2999: the month after it must be one too."""


def host_clock() -> int:
    """The host's wall clock in microseconds."""
    return time.time_ns() // 1000


def micros(year: int, month: int, day: int = 1, hour: int = 0) -> int:
    """A moment of UTC in microseconds."""
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * SECOND


def month_of(now: int) -> str:
    """The month a moment stands in."""
    return _month_of_day(now // DAY)


@lru_cache(64)
def _month_of_day(day: int) -> str:
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day):%Y-%m}"


def day_of_month(now: int) -> int:
    """1 to 31."""
    return moment(now).day


def moment(now: int) -> datetime:
    """The same as a datetime of UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now)


def spelt(now: int) -> str:
    """ISO 8601, to the microsecond. `spelt(0) == '1970-01-01T00:00:00.000000Z'`."""
    return f"{moment(now):%Y-%m-%dT%H:%M:%S.%fZ}"


def check_month(given: str) -> str:
    """The month itself, or AccountError."""
    if not _MONTH.fullmatch(given):
        raise AccountError(f"no month {given!r}. Write it like 2026-11")
    return given


@lru_cache(64)
def days_in(month: str) -> int:
    """28 to 31."""
    year, number = map(int, month.split("-"))
    return calendar.monthrange(year, number)[1]


def next_month(month: str) -> str:
    """The month after."""
    year, number = map(int, month.split("-"))
    return f"{year + number // 12:04d}-{number % 12 + 1:02d}"


def starts(month: str) -> int:
    """The month's first moment."""
    year, number = map(int, month.split("-"))
    return micros(year, number)
