"""Numbers that carry their unit, so that a cost per token cannot be mistaken for a cost per request.

A `Quantity` is a value in canonical units: seconds, bytes, joules, FLOP, a currency, or any counted noun. Products and
quotients compose units; sums and comparisons demand equal ones. It knows nothing about models or prices.

>>> str(quantity("6 min"))
'360 s'
>>> hourly = quantity("3.6 USD/h"); hourly / quantity("10 request/s")
Quantity(value=0.0001, unit='USD/request')
>>> hourly + quantity("1 s")
Traceback (most recent call last):
modelyard.errors.UnitError: cannot add 'USD/s' and 's'
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from modelyard.errors import UnitError

# name -> (canonical unit, factor). SI prefixes where the field uses them; binary prefixes for memory (IEC 80000-13).
SCALES: dict[str, tuple[str, float]] = {
    "ms": ("s", 1e-3), "us": ("s", 1e-6), "sec": ("s", 1), "second": ("s", 1), "seconds": ("s", 1),
    "min": ("s", 60), "minute": ("s", 60), "minutes": ("s", 60), "h": ("s", 3600), "hour": ("s", 3600),
    "hours": ("s", 3600), "day": ("s", 86400), "days": ("s", 86400),
    "month": ("month", 1), "months": ("month", 1), "year": ("month", 12), "years": ("month", 12),
    "kB": ("B", 1e3), "MB": ("B", 1e6), "GB": ("B", 1e9), "KiB": ("B", 2**10), "MiB": ("B", 2**20),
    "GiB": ("B", 2**30), "bytes": ("B", 1),
    "Wh": ("J", 3600), "kWh": ("J", 3.6e6), "W": ("J/s", 1), "kW": ("J/s", 1e3),
    "GFLOP": ("FLOP", 1e9), "TFLOP": ("FLOP", 1e12),
    "requests": ("request", 1), "rows": ("row", 1), "tokens": ("token", 1), "customers": ("customer", 1), "images": ("image", 1),
}  # fmt: skip
_TEXT = re.compile(
    r"^\s*([-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\d,.].*?)?\s*$"
)
"""A comma only between groups of three digits: `1,5 h` is refused, because it would be read as 15 hours."""


def _exponents(unit: str) -> tuple[Counter[str], float]:
    """`'USD/h'` -> ({'USD': 1, 's': -1}, 1/3600)."""
    powers: Counter[str] = Counter()
    factor, sign = 1.0, 1
    for token in re.split(r"([*/])", unit.replace(" ", "")):
        if token in ("*", "/"):
            sign = 1 if token == "*" else -1
        elif token and token != "1":
            base, scale = SCALES.get(token, (token, 1.0))
            factor *= scale**sign
            inner = ((base, 1),) if "/" not in base else ((base.split("/")[0], 1), (base.split("/")[1], -1))
            for name, power in inner:
                powers[name] += sign * power
    return powers, factor


def _spell(powers: Counter[str]) -> str:
    above = [name for name in sorted(powers) for _ in range(max(powers[name], 0))]
    below = [name for name in sorted(powers) for _ in range(max(-powers[name], 0))]
    head = "*".join(above) or ("1" if below else "")
    return head + "".join(f"/{name}" for name in below)


def canonical(unit: str) -> tuple[str, float]:
    """The canonical spelling of a unit and the factor to it. `canonical('USD/h') == ('USD/s', 1/3600)`."""
    powers, factor = _exponents(unit)
    return _spell(powers), factor


def spell(value: float) -> str:
    """A number for people: whole ones in full (`4194304`), others to six digits."""
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:g}"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value and its canonical unit. Build one with `quantity(...)`, which also converts."""

    value: float
    unit: str = ""

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.value + self._same(other, "add"), self.unit)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.value - self._same(other, "subtract"), self.unit)

    def __mul__(self, other: Quantity | float) -> Quantity:
        if isinstance(other, Quantity):
            return Quantity(self.value * other.value, canonical(f"{self.unit or '1'}*{_flat(other.unit)}")[0])
        return Quantity(self.value * other, self.unit)

    __rmul__ = __mul__

    def __truediv__(self, other: Quantity | float) -> Quantity:
        if isinstance(other, Quantity):
            return Quantity(self.value / other.value, canonical(f"{self.unit or '1'}*{_flat(other.unit, -1)}")[0])
        return Quantity(self.value / other, self.unit)

    def __lt__(self, other: Quantity) -> bool:
        return self.value < self._same(other, "compare")

    def __le__(self, other: Quantity) -> bool:
        return self.value <= self._same(other, "compare")

    def __str__(self) -> str:
        return f"{spell(self.value)} {self.unit}".strip()

    def to(self, unit: str) -> float:
        """The plain number in `unit`; a different kind of unit raises UnitError. `quantity('6 min').to('h') == 0.1`."""
        wanted, factor = canonical(unit)
        if wanted != self.unit:
            raise UnitError(f"expected a quantity in {unit!r}, got {self.value:g} {self.unit or '(no unit)'}")
        return self.value / factor

    def _same(self, other: Quantity, verb: str) -> float:
        if not isinstance(other, Quantity) or other.unit != self.unit:
            raise UnitError(f"cannot {verb} {self.unit!r} and {getattr(other, 'unit', type(other).__name__)!r}")
        return other.value


def _flat(unit: str, sign: int = 1) -> str:
    """`a/b` as a chain that can follow `*`; with sign -1, its inverse."""
    powers, _ = _exponents(unit)
    return _spell(Counter({name: sign * power for name, power in powers.items()})) or "1"


def quantity(given: str | float | Quantity, unit: str = "") -> Quantity:
    """Read `'6 min'`, `360` (taken in `unit`) or a Quantity; with `unit`, check its kind.

    Raises UnitError where the kind is not `unit`'s, ValueError where it is no number.
    """
    if isinstance(given, Quantity):
        result = given
    elif isinstance(given, bool):
        raise ValueError(f"{given!r} is not a number")
    elif isinstance(given, (int, float)):
        base, factor = canonical(unit)
        result = Quantity(float(given) * factor, base)
    else:
        found = _TEXT.match(str(given))
        if not found:
            raise ValueError(f"{given!r} is not a number with a unit, such as '6 min'")
        base, factor = canonical(found[2] or unit)
        result = Quantity(float(found[1].replace(",", "").replace("_", "")) * factor, base)
    if unit and result.unit != canonical(unit)[0]:
        raise UnitError(f"expected a quantity in {unit!r}, got {given!r}")
    if not math.isfinite(result.value):
        raise ValueError(f"{given!r} is not finite")
    return result


@dataclass(frozen=True, slots=True)
class In:
    """Annotation for pydantic fields: `Annotated[Quantity, In('s', low=0)]` reads `'6 min'` or `360`, writes `'360 s'`."""

    unit: str
    low: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(given: Any) -> Quantity:
            try:
                result = quantity(given, self.unit)
            except (UnitError, KeyError, TypeError) as error:
                raise ValueError(str(error)) from None
            if self.low is not None and result.value < self.low:
                raise ValueError(f"must be at least {self.low:g} {self.unit} (got {given})")
            return result

        return core_schema.no_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda q: f"{q.value!r} {q.unit}".strip()),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, {"type": "number"}], "description": f"a quantity in {self.unit}"}


Seconds = Annotated[Quantity, In("s", low=0)]
Bytes = Annotated[Quantity, In("B", low=0)]
PerSecond = Annotated[Quantity, In("request/s", low=0)]
"""Requests a second."""


class AnyUnit:
    """Annotation for a Quantity whose unit is not known before it is measured (a currency a unit of sale)."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda given: quantity(given),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda q: f"{q.value!r} {q.unit}".strip()),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "description": "a number with its unit, such as '0.02 USD/request'"}


Measure = Annotated[Quantity, AnyUnit]
"""A quantity of any unit."""


def counted(number: int, noun: str) -> str:
    """A count and its noun in the number that English asks for; a noun in -y after a consonant ends in -ies.

    >>> counted(1, "answer"), counted(1200, "answer"), counted(0, "entry")
    ('1 answer', '1,200 answers', '0 entries')
    """
    if number != 1:
        noun = noun[:-1] + "ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else noun + "s"
    return f"{number:,} {noun}"
