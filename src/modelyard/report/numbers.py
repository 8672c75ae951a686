"""How numbers are printed: the one place that knows significant digits, units, currencies and dates, and how to read them back.

It knows nothing about records. Sources of the forms: SI brochure (a space between number and unit), IEC 80000-13 (kB is 1000 bytes).

>>> significant(0.012345, 3), significant(23865.4, 3)
('0.0123', '23,865')
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

Style = Literal[
    "plain",
    "metric",
    "percent",
    "points",
    "count",
    "short",
    "seconds",
    "bytes",
    "money",
    "amount",
    "hourly",
    "rate",
    "factor",
    "ratio",
    "date",
    "months",
]
Say = Callable[[str], str]
"""Key of the catalogue -> text: unit names differ between languages."""

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NORMAL = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
MISSING = "–"
# (name in the catalogue, seconds) from small to large: the largest unit in which the number is at least 1.
_TIMES = (("microsecond", 1e-6), ("millisecond", 1e-3), ("second", 1.0), ("minute", 60.0), ("hour", 3600.0))
_BYTES = (("byte", 1.0), ("kilobyte", 1e3), ("megabyte", 1e6), ("gigabyte", 1e9), ("terabyte", 1e12))


def decimals_for(value: float, digits: int) -> int:
    """Decimals that show `digits` significant digits of a number (never fewer than its whole part has)."""
    return 0 if value == 0 else max(digits - 1 - math.floor(math.log10(abs(value))), 0)


def fixed(value: float, decimals: int) -> str:
    """A number with so many decimals, thousands separated, a true minus sign and no negative zero."""
    text = f"{value:,.{decimals}f}"
    if text.strip("-0.,") == "":
        text = text.lstrip("-")
    return text.replace("-", "\N{MINUS SIGN}")


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits; the whole part is never rounded away; very small ones as 1.2 × 10⁻⁵."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    if abs(rounded) < 1e-4 or abs(rounded) >= 1e15:
        head, _, power = f"{value:.{max(digits - 2, 0)}e}".partition("e")
        return f"{head} × 10{str(int(power)).translate(_SUPERSCRIPT)}".replace("-", "\N{MINUS SIGN}")
    if value == int(value) and abs(value) < 1e6:
        return fixed(value, 0)
    return fixed(value, decimals_for(rounded, digits))


def _scaled(value: float, steps: tuple[tuple[str, float], ...], say: Say, limit: float = 1.0) -> str:
    """A value in the largest unit where it reaches `limit` (seconds up to two minutes read better as seconds)."""
    if value == 0:
        return f"0 {say('unit.' + next(name for name, size in steps if size == 1.0))}"
    name, size = steps[0]
    for name_, size_ in steps:
        if abs(value) >= size_ * (limit if size_ > 1.0 else 1.0) * 0.9995:
            name, size = name_, size_
    return f"{significant(value / size, 3)} {say('unit.' + name)}"


def metric_decimals(*values: float) -> int:
    """Decimals for a metric and its bounds together: 3 for scores up to 1, else four significant digits of the largest."""
    largest = max((abs(value) for value in values), default=0.0)
    if largest == 0 or 0.01 <= largest <= 1.0:
        return 3
    return decimals_for(largest, 2 if largest < 0.01 else 4)


def show(value: float, style: Style, say: Say, *, currency: str = "", decimals: int | None = None) -> str:
    """A number as people read it. `percent` takes a share of 1; `points` a difference of shares; `seconds` and `bytes` choose their unit."""
    return _STYLES[style](value, say, currency, decimals)


def _plain(value: float, say: Say, currency: str, decimals: int | None) -> str:
    """Four significant digits without zeros at the end, or so many decimals."""
    text = significant(value, 4) if decimals is None else fixed(value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text and "×" not in text and decimals is None else text


def _metric(value: float, say: Say, currency: str, decimals: int | None) -> str:
    return fixed(value, metric_decimals(value) if decimals is None else decimals)


def _percent(value: float, say: Say, currency: str, decimals: int | None) -> str:
    """One decimal; one significant digit below 0.1 %; 0 and 100 are whole only where they are exact."""
    hundred = value * 100
    if decimals is None:
        decimals = 1 if abs(hundred) >= 0.1 or hundred == 0 else min(decimals_for(hundred, 1), 4)
        decimals = 0 if hundred in (0, 100) else decimals
    return fixed(hundred, decimals) + say("unit.percent")


def _points(value: float, say: Say, currency: str, decimals: int | None) -> str:
    text = fixed(value * 100, 2 if decimals is None else decimals)
    return f"{'' if text.startswith(chr(0x2212)) or value == 0 else '+'}{text}{say('unit.points')}"


def steps(say: Say) -> list[tuple[float, str]]:
    """A language's names of large numbers, from small to large: (1000, 'k')."""
    return [(float(size), name) for name, _, size in (item.partition("=") for item in say("unit.steps").split())]


def _short(value: float, say: Say, currency: str, decimals: int | None) -> str:
    """Large counts with the language's own steps: 22.7 M, or 2270 万."""
    for size, name in reversed(steps(say)):
        if abs(value) >= size * 0.9995:
            return f"{significant(value / size, 3)} {name}"
    return significant(value, 3)


def _money(value: float, say: Say, currency: str, decimals: int | None) -> str:
    if decimals is None:
        size = abs(value)
        decimals = 0 if size >= 1000 or value == 0 else 2 if size >= 0.1 else min(decimals_for(value, 2), 8)
    text = fixed(abs(value), decimals)
    sign = "\N{MINUS SIGN}" if value < 0 and text.strip("0.,") else ""
    known = say("money." + currency) if currency in CURRENCIES else f"{{amount}} {currency}"
    return sign + known.replace("{amount}", text)


def _amount(value: float, say: Say, currency: str, decimals: int | None) -> str:
    """Money of which nobody knows the last digits, three significant ones: $5.65 M."""
    if abs(value) < 1e4:
        return _money(value, say, currency, decimals)
    sign = "\N{MINUS SIGN}" if value < 0 else ""
    known = say("money." + currency) if currency in CURRENCIES else f"{{amount}} {currency}"
    return sign + known.replace("{amount}", _short(abs(value), say, currency, decimals))


def _hourly(value: float, say: Say, currency: str, decimals: int | None) -> str:
    """A price a second as clouds write it: by the hour."""
    return _money(value * 3600, say, currency, decimals) + say("unit.per_hour")


def _date(value: float, say: Say, currency: str, decimals: int | None) -> str:
    return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d")


CURRENCIES = ("USD", "EUR", "CNY", "GBP", "JPY")


def sizes(say: Say) -> dict[str, float]:
    """What each printed unit of a language is worth, to read numbers back."""
    known = {say("unit." + name): size for name, size in (*_TIMES, *_BYTES)}
    known |= {name: size for size, name in steps(say)}
    hourly = [
        say("money." + currency).partition("{amount}")[2].strip() + say("unit.per_hour") for currency in CURRENCIES
    ]
    known |= dict.fromkeys(hourly, 1 / 3600)
    for size, name in steps(say):
        known |= {(name + say("money." + currency).partition("{amount}")[2]).strip(): size for currency in CURRENCIES}
    return known | {say("unit.percent").strip(): 0.01, say("unit.points").strip(): 0.01}


_STYLES: dict[str, Callable[[float, Say, str, int | None], str]] = {
    "plain": _plain,
    "ratio": lambda value, say, currency, decimals: significant(value, 2),
    "metric": _metric,
    "percent": _percent,
    "points": _points,
    "count": lambda value, say, currency, decimals: fixed(value, 0) if value == round(value) else significant(value, 3),
    "short": _short,
    "seconds": lambda value, say, currency, decimals: _scaled(value, _TIMES, say, 2.0),
    "bytes": lambda value, say, currency, decimals: _scaled(value, _BYTES, say),
    "money": _money,
    "amount": _amount,
    "hourly": _hourly,
    "rate": lambda value, say, currency, decimals: f"{significant(value, 3)}{say('unit.per_second')}",
    "factor": lambda value, say, currency, decimals: f"{significant(value, 3)}×",
    "date": _date,
    "months": lambda value, say, currency, decimals: f"{significant(value, 3)} {say('unit.month')}",
}


def read(text: str, units: dict[str, float]) -> tuple[float, float]:
    """A printed number back as (value, half of its last digit), for tests. `units` maps a printed unit to its size."""
    if found := re.fullmatch(r"\s*(\d{4})-(\d\d)-(\d\d)\s*", text):
        return datetime(int(found[1]), int(found[2]), int(found[3]), 12, tzinfo=UTC).timestamp(), 43200.0
    superscript = re.search(r"10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", text)
    power = int(superscript[1].translate(_NORMAL)) if superscript else 0
    text = re.sub(r"\s*×\s*10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+", "", text).translate(_NORMAL).strip()
    found = re.search(r"\d[\d,]*(?:\.\d+)?", text)
    if not found:
        raise ValueError(f"{text!r} holds no number")
    sign = -1.0 if "-" in text[: found.start()] else 1.0
    rest = text[found.end() :].strip()
    factor = units.get(rest, 1.0) * 10.0**power
    digits = found[0].replace(",", "")
    decimals = len(digits.partition(".")[2])
    return sign * float(digits) * factor, 0.5 * 10.0**-decimals * factor
