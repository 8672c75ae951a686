"""`yard business --what-if churn=0.03,plans.starter.price=19`: the likely scenario with other assumptions, from a finished build, at once.

A changed assumption is checked as the blueprint is; nothing is run or written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelyard.blueprint.business import Business
from modelyard.business import facts_of
from modelyard.business.planning import venture
from modelyard.business.venture import Venture
from modelyard.context import Context
from modelyard.errors import UserError, nearest
from modelyard.records.served import Served
from modelyard.rows import Array, listed
from modelyard.units import spell

FACTORS = {"prices": "scenario.prices", "machines": "scenario.machine_price"}
"""Names that multiply all of something."""
MEASURED = {"rate": "measured.rate", "build_time": "measured.build_time"}
SHOWN = (
    ("cost of 1,000 requests", "cost of a request", 1000.0), ("revenue of a customer", "revenue of a customer", 1.0),
    ("gross margin", "gross margin", 1.0), ("lifetime value", "lifetime value", 1.0), ("LTV:CAC", "LTV:CAC", 1.0),
    ("CAC payback, months", "CAC payback", 1.0), ("net present value", "net present value", 1.0), ("customers at the end", "customers", 1.0),
    ("revenue, last month", "revenue", 1.0), ("net, last month", "net", 1.0), ("last month of a loss", "last month of a loss", 1.0),
    ("lowest cash", "lowest cash", 1.0), ("cash at the end", "cash at the end", 1.0), ("months until cash is gone", "months until cash is gone", 1.0),
)  # fmt: skip
"""What is told: its name, its line, and a factor."""
_VALUE = re.compile(r"^(?P<kind>[x*]|[+-](?=.*%$))?(?P<number>[-+]?[\d.]+(?:[eE][-+]?\d+)?)(?P<share>%)?$")


def answer(context: Context, asked: str) -> str:
    """A table of the most important lines before and after; UserError for names and values that cannot be."""
    if "serve" not in context.records or context.record(Served).measured_rate.value <= 0:
        raise UserError(f"{context.store.folder} has no measured rate to price. Run first: yard run")
    facts = facts_of(context)
    business = context.blueprint.business
    before = venture(business, facts)
    changes = _read(asked, business, before)
    keys = {name: value for name, value in changes.items() if name not in FACTORS and name not in MEASURED}
    after = venture(_changed(business, keys), facts)
    values = after.values("likely")
    for name, value in changes.items():
        given = (FACTORS | MEASURED).get(name)
        if given:
            if value <= 0:
                raise UserError(f"--what-if: {name} must be above 0 (got {value:g})")
            values[given] = value * after.givens[given].factor
    was, now = before.sheet.solve(before.values("likely")), after.sheet.solve(values)
    return _table(business, before, changes, was, now)


# -- reading ---------------------------------------------------------------------------------------------------------------


def _read(asked: str, business: Business, model: Venture) -> dict[str, float]:
    """Names as the blueprint spells them, and their new values."""
    known = _known(business, model)
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in asked.split(","))):
        name, equals, text = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise UserError(f"--what-if: {part!r} is not NAME=VALUE. Write for example churn=0.03,cac=+20%")
        name = _full(name.removeprefix("business."), known)
        if name in found:
            raise UserError(f"--what-if: {name} is given twice")
        found[name] = _value(name, text, known[name])
    if not found:
        raise UserError("--what-if: nothing is asked. Write for example churn=0.03,plans.starter.price=19")
    return found


def _known(business: Business, model: Venture) -> dict[str, float]:
    """Every name that can be asked for, with its value now."""
    entries = {
        "plans": business.plans,
        "hires": business.hires,
        "channels": business.channels,
        "rounds": business.rounds,
    }
    found: dict[str, float] = dict.fromkeys(FACTORS, 1.0)
    for name, given in model.givens.items():
        origin, _, path = name.partition(".")
        if origin == "business":
            first, _, rest = path.partition(".")
            if first in entries:
                number, _, last = rest.partition(".")
                entry: Any = entries[first][int(number)]
                path = f"{first}.{getattr(entry, 'role', None) or entry.name}.{last}"
            found[path] = given.spread.likely
    return found | {name: model.givens[given].spread.likely for name, given in MEASURED.items()}


def _full(name: str, known: Mapping[str, float]) -> str:
    if name in known:
        return name
    ending = [each for each in known if each.endswith(f".{name}")]
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise UserError(
            f"--what-if: {name!r} is several: {', '.join(ending)}. Name one of them, or prices for a factor on all prices."
        )
    raise UserError(f"--what-if: no number {name!r}.{nearest(name, known)} Allowed: {listed(list(known))}")


def _value(name: str, text: str, now: float) -> float:
    """`0.03`, or `+20%`, `-10%` and `x1.5` of what it is now; a factor may also be written bare."""
    found = _VALUE.match(text.replace(" ", ""))
    if found is None:
        raise UserError(f"--what-if: {name}={text}: write a number (0.03), a change (+20%, -10%) or a factor (x1.5)")
    try:
        number = float(found["number"])
    except ValueError:
        raise UserError(f"--what-if: {name}={text}: {found['number']!r} is no number") from None
    if found["kind"] in ("+", "-"):
        return now * (1 + (number if found["kind"] == "+" else -number) / 100)
    if found["share"]:
        return number / 100
    return now * number if found["kind"] else number


def _changed(business: Business, changes: Mapping[str, float]) -> Business:
    """The section with other values, checked as a blueprint's is."""
    from pydantic import ValidationError

    values = business.model_dump()
    for name, value in changes.items():
        first, _, rest = name.partition(".")
        if not rest:
            whole = isinstance(values[first], int) and float(value).is_integer()
            values[first] = int(value) if whole else value
            continue
        entry, _, last = rest.rpartition(".")
        if ".prices." in rest:
            entry, _, unit = rest.partition(".prices.")
            _named(values["plans"], entry)["prices"][unit] = value
        else:
            one = _named(values[first], entry)
            one[last] = int(value) if isinstance(one[last], int) and float(value).is_integer() else value
    try:
        return Business.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(step) for step in fault["loc"])
        raise UserError(f"--what-if: {where}: {fault['msg'].removeprefix('Value error, ')}") from None


def _named(entries: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(entry for entry in entries if (entry.get("role") or entry["name"]) == name)


# -- showing ---------------------------------------------------------------------------------------------------------------


def _table(
    business: Business,
    before: Venture,
    changes: Mapping[str, float],
    was: Mapping[str, Array],
    now: Mapping[str, Array],
) -> str:
    known = _known(business, before)
    lines = [f"{name}: {spell(known[name])} -> {spell(value)}" for name, value in changes.items()]
    lines += ["", f"{f'likely, in {business.currency}':<28}{'now':>16}{'then':>16}{'change':>12}"]
    for title, line, factor in SHOWN:
        if line in was and line in now:
            one, other = (float(np.ravel(found[line])[-1]) * factor for found in (was, now))
            lines.append(f"{title:<28}{_shown(one):>16}{_shown(other):>16}{_change(one, other):>12}")
    return "\n".join(lines)


def _shown(value: float) -> str:
    if not np.isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"


def _change(one: float, other: float) -> str:
    if not np.isfinite(one) or not np.isfinite(other) or one == other:
        return ""
    return f"{(other - one) / abs(one):+.1%}" if one else ""
