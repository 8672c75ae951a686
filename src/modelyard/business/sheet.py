"""A model of numbers as one graph of named lines, so that whoever computes with it computes the same.

    givens (assumptions, measurements) ─► lines: one number each, or one a month ─► numpy, for one case or 20,000 at once
                                                                                 └─► a spreadsheet's formulas, cell by cell

Every term has a unit: sums and comparisons demand equal ones, products compose them, and a line says which one it must have, so that a
cost per token cannot become a cost per request (UnitError while the graph is built, before anything is computed). Lines are computed in
the order in which they are written. A line that rolls takes its own value of the month before. It knows no business and no file format.

>>> sheet = Sheet(months=3)
>>> churn = sheet.given("churn", "1/month")
>>> customers = sheet.rolling("customers", "customer", sheet.number(100, "customer"), lambda before: before - before * churn * MONTH)
>>> sheet.solve({"churn": 0.1})["customers"].round(6).tolist()
[90.0, 81.0, 72.9]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelyard.errors import UnitError
from modelyard.rows import Array
from modelyard.units import canonical

NEARLY = 1e-9
"""Slack before rounding up, so that 3.0000000001 machines are 3."""
COMPARING = ("<", "<=", ">", ">=", "=")
"""Operations that compare."""


@dataclass(frozen=True, eq=False)
class Term:
    """A number that is computed: an operation over other terms, a given, or a constant. Never compared with `==`: use `equals`."""

    operation: str
    unit: str
    """Canonical; empty for a share or a count of nothing."""
    monthly: bool = False
    """Whether it has a value in each month."""
    inputs: tuple[Term, ...] = ()
    constant: float = 0.0
    name: str = ""
    """Of a given, a line or what rolls."""

    def __add__(self, other: Term | float) -> Term:
        return self._like("+", other)

    def __radd__(self, other: float) -> Term:
        return _term(other) + self

    def __sub__(self, other: Term | float) -> Term:
        return self._like("-", other)

    def __rsub__(self, other: float) -> Term:
        return _term(other) - self

    def __mul__(self, other: Term | float) -> Term:
        other = _term(other)
        return _joined("*", _product(self.unit, other.unit), self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Term | float) -> Term:
        other = _term(other)
        return _joined("/", _product(self.unit, other.unit, over=True), self, other)

    def __rtruediv__(self, other: float) -> Term:
        return _term(other) / self

    def __neg__(self) -> Term:
        return self * -1.0

    def __pow__(self, other: Term | float) -> Term:
        """A bare number to a bare power."""
        other = _term(other)
        for each in (self, other):
            if each.unit:
                raise UnitError(f"a power is of numbers without a unit, not of {each.unit!r}")
        return _joined("^", "", self, other)

    def __lt__(self, other: Term | float) -> Term:
        return self._like("<", other, unit="")

    def __le__(self, other: Term | float) -> Term:
        return self._like("<=", other, unit="")

    def __gt__(self, other: Term | float) -> Term:
        return self._like(">", other, unit="")

    def __ge__(self, other: Term | float) -> Term:
        return self._like(">=", other, unit="")

    def equals(self, other: Term | float) -> Term:
        """1 where both are the same number, else 0."""
        return self._like("=", other, unit="")

    def _like(self, operation: str, other: Term | float, *, unit: str | None = None) -> Term:
        other = _term(other)
        _same(operation, self, other)
        return _joined(operation, (self.unit or other.unit) if unit is None else unit, self, other)


def _term(given: Term | float) -> Term:
    return given if isinstance(given, Term) else Term("number", "", constant=float(given))


def _joined(operation: str, unit: str, *inputs: Term) -> Term:
    return Term(operation, unit, any(each.monthly for each in inputs), inputs)


def _product(one: str, other: str, *, over: bool = False) -> str:
    if not other:
        return one
    first, *rest = other.split("/")
    above, below = ([*first.split("*")] if first != "1" else []), rest
    if over:
        above, below = below, above
    return canonical("*".join([one or "1", *above]) + "".join(f"/{name}" for name in below))[0]


def _same(operation: str, one: Term, other: Term) -> None:
    zero = any(each.operation == "number" and each.constant == 0 and not each.unit for each in (one, other))
    if one.unit != other.unit and not zero:  # nothing is nothing in any unit
        raise UnitError(
            f"{operation}: {one.unit or 'a bare number'!r} and {other.unit or 'a bare number'!r} do not go together"
        )


# -- what operators do not say -------------------------------------------------------------------------------------------

MONTH = Term("number", "month", constant=1.0)
"""One month: what turns a rate into an amount."""


def least(one: Term, other: Term | float) -> Term:
    """The smaller of both."""
    return one._like("min", other)


def greatest(one: Term, other: Term | float) -> Term:
    """The larger of both."""
    return one._like("max", other)


def whole(term: Term) -> Term:
    """The next whole number above, give or take `NEARLY`."""
    return _joined("ceil", term.unit, term)


def exponential(term: Term) -> Term:
    """e to a bare number."""
    if term.unit:
        raise UnitError(f"e is raised to numbers without a unit, not to {term.unit!r}")
    return _joined("exp", "", term)


def logarithm(term: Term) -> Term:
    """The natural logarithm of a bare number."""
    if term.unit:
        raise UnitError(f"logarithms are of numbers without a unit, not of {term.unit!r}")
    return _joined("ln", "", term)


def normal(term: Term) -> Term:
    """The share of a standard normal distribution that lies below a bare number."""
    if term.unit:
        raise UnitError(f"a normal distribution is of numbers without a unit, not of {term.unit!r}")
    return _joined("normal", "", term)


def choose(condition: Term, yes: Term | float, no: Term | float) -> Term:
    """`yes` where the condition holds, else `no`."""
    yes, no = _term(yes), _term(no)
    _same("choose", yes, no)
    return _joined("if", yes.unit or no.unit, condition, yes, no)


def where(condition: Term, term: Term) -> Term:
    """The term where the condition holds, else nothing: NaN here, an empty cell in a spreadsheet."""
    return _joined("where", term.unit, condition, term)


def total(term: Term) -> Term:
    """The sum over all months."""
    return Term("sum", term.unit, False, (_over_months(term),))


def lowest(term: Term) -> Term:
    """The smallest of all months."""
    return Term("lowest", term.unit, False, (_over_months(term),))


def last(term: Term) -> Term:
    """The value in the last month."""
    return Term("last", term.unit, False, (_over_months(term),))


def earlier(line: Term, start: Term) -> Term:
    """A line's value in the month before; before the first month `start`."""
    _same("earlier", line, start)
    return Term("earlier", line.unit, True, (_over_months(line), start))


def backwards(term: Term) -> Term:
    """The months in reverse: the last one's value in the first month."""
    return Term("backwards", term.unit, True, (_over_months(term),))


def cohorts(joining: Term, backward: Term) -> Term:
    """Those who are there in each month, of all who joined until then: the sum of joining(k) x survival(t - k) over k up to t.

    Both are lines; `backward` is `backwards` of the survival by age, 1 in the first month, so that a sum of products of cells in a row
    computes it.
    """
    for each in (joining, backward):
        if each.operation != "line" or not each.monthly:
            raise ValueError("cohorts are of two lines of months")
    return Term("cohorts", _product(joining.unit, backward.unit), True, (joining, backward))


def _over_months(term: Term) -> Term:
    if not term.monthly:
        raise ValueError("it has one value, and none a month")
    return term


# -- the sheet -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Line:
    """A named term. Of one that rolls, `start` is its value before the first month."""

    name: str
    term: Term
    unit: str
    start: Term | None = None

    @property
    def monthly(self) -> bool:
        """Whether it has a value in each month."""
        return self.term.monthly


@dataclass
class Sheet:
    """Givens and lines, by name, in order."""

    months: int
    givens: dict[str, str] = field(default_factory=dict)
    """Canonical unit of each."""
    lines: dict[str, Line] = field(default_factory=dict)

    def given(self, name: str, unit: str = "") -> Term:
        """A number that is told from outside."""
        self._new(name)
        self.givens[name] = canonical(unit)[0]
        return Term("given", self.givens[name], name=name)

    @staticmethod
    def number(value: float, unit: str = "") -> Term:
        """A constant in a unit."""
        base, factor = canonical(unit)
        return Term("number", base, constant=value * factor)

    @property
    def month(self) -> Term:
        """1 in the first month, 2 in the second …"""
        return Term("month", "month", monthly=True)

    def line(self, name: str, unit: str, term: Term | float) -> Term:
        """A term that has a name from now on; UnitError where it is not in this unit."""
        self._new(name)
        term = _term(term)
        self._check(name, unit, term)
        self.lines[name] = Line(name, term, canonical(unit)[0])
        return Term("line", canonical(unit)[0], term.monthly, name=name)

    def rolling(self, name: str, unit: str, start: Term | float, step: Callable[[Term], Term]) -> Term:
        """A line of months: `step` makes a month's value of that of the month before; before the first it is `start`."""
        self._new(name)
        start, base = _term(start), canonical(unit)[0]
        self._check(name, unit, start)
        if start.monthly:
            raise ValueError(f"{name}: a line starts from one value, not from one a month")
        term = step(Term("before", base, True, name=name))
        self._check(name, unit, term)
        self.lines[name] = Line(name, Term("same", base, True, (term,)), base, start)
        return Term("line", base, True, name=name)

    def _new(self, name: str) -> None:
        if name in self.givens or name in self.lines:
            raise ValueError(f"two lines have the name {name!r}")

    def _check(self, name: str, unit: str, term: Term) -> None:
        zero = term.operation == "number" and term.constant == 0 and not term.unit
        if term.unit != canonical(unit)[0] and not zero:
            raise UnitError(
                f"{name} must be in {canonical(unit)[0] or 'no unit'!r}, and is computed in {term.unit or 'no unit'!r}"
            )

    # -- numbers -----------------------------------------------------------------------------------------------------------

    def solve(self, given: Mapping[str, Any]) -> dict[str, Array]:
        """Every line's values: () or (months,) for plain numbers, (draws,) or (draws, months) where a given is (draws,).

        Givens are in canonical units. ValueError where one is missing, not known or not finite. A division by nothing is NaN or infinite.
        """
        missing, unknown = self.givens.keys() - given.keys(), given.keys() - self.givens.keys()
        if missing or unknown:
            raise ValueError(
                f"givens: {', '.join(sorted(missing)) or 'none'} missing, {', '.join(sorted(unknown)) or 'none'} not known"
            )
        known = {name: np.asarray(value, dtype=np.float64) for name, value in given.items()}
        for name, value in known.items():
            if value.ndim > 1 or not np.isfinite(value).all():
                raise ValueError(f"{name} must be a finite number, or one for each draw")
        found = _Solving(self.months, {name: value[..., None] for name, value in known.items()})
        with np.errstate(all="ignore"):
            for line in self.lines.values():
                found.add(line)
        shape = np.broadcast_shapes(*(value.shape for value in known.values())) if known else ()
        return {
            name: np.broadcast_to(values if self.lines[name].monthly else values[..., 0], (*shape, self.months) if self.lines[name].monthly else shape)
            for name, values in found.lines.items()
        }  # fmt: skip


_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "^": np.power, "min": np.minimum, "max": np.maximum,
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "=": np.equal,
}  # fmt: skip


class _Solving:
    """Values of terms as arrays (draws or 1, months or 1), so that they broadcast."""

    def __init__(self, months: int, givens: dict[str, Array]) -> None:
        self._months, self._givens = months, givens
        self.lines: dict[str, Array] = {}

    def add(self, line: Line) -> None:
        if line.start is None:
            self.lines[line.name] = self.of(line.term)
            return
        before = self.of(line.start)
        values = []
        for month in range(self._months):
            before = self.of(line.term, month=month, before=before)
            values.append(before)
        self.lines[line.name] = np.concatenate(np.broadcast_arrays(*values), axis=-1)

    def of(self, term: Term, *, month: int | None = None, before: Array | None = None) -> Array:
        """A term's values, of one month where it is named."""
        match term.operation:
            case "number":
                return np.array([term.constant])
            case "given":
                return self._givens[term.name]
            case "month":
                return np.arange(1.0, self._months + 1) if month is None else np.array([month + 1.0])
            case "before":
                assert before is not None, f"{term.name}: what rolls is used outside its own step"
                return before
            case "line":
                values = self.lines[term.name]
                return values if month is None or not term.monthly else values[..., month : month + 1]
            case "backwards" | "cohorts" | "earlier" if month is not None:
                return self.of(term)[..., month : month + 1]
            case "backwards":
                return np.broadcast_to(inner := self.of(term.inputs[0]), (*inner.shape[:-1], self._months))[..., ::-1]
            case "earlier":
                values, start = (self.of(each) for each in term.inputs)
                values = np.broadcast_to(values, (*values.shape[:-1], self._months))
                shape = np.broadcast_shapes(values.shape[:-1], start.shape[:-1])
                return np.concatenate(
                    [np.broadcast_to(start, (*shape, 1)), np.broadcast_to(values, (*shape, self._months))[..., :-1]],
                    axis=-1,
                )
            case "cohorts":
                joining, backward = (self.of(each) for each in term.inputs)
                months = range(1, self._months + 1)
                found = [
                    (joining[..., :t] * backward[..., self._months - t :]).sum(axis=-1, keepdims=True) for t in months
                ]
                return np.concatenate(found, axis=-1)
            case "sum" | "lowest" | "last":
                values = np.broadcast_to(inner := self.of(term.inputs[0]), (*inner.shape[:-1], self._months))
                if term.operation == "last":
                    return values[..., -1:]
                return (np.sum if term.operation == "sum" else np.min)(values, axis=-1, keepdims=True)  # type: ignore[no-any-return]
        inputs = [self.of(each, month=month, before=before) for each in term.inputs]
        match term.operation:
            case "same":
                return inputs[0]
            case "ceil":
                return np.ceil(inputs[0] - NEARLY)
            case "exp":
                return np.exp(inputs[0])
            case "ln":
                return np.log(inputs[0])
            case "normal":
                from scipy.special import ndtr

                return np.asarray(ndtr(inputs[0]))
            case "if":
                return np.where(inputs[0] != 0, inputs[1], inputs[2])
            case "where":
                return np.where(inputs[0] != 0, inputs[1], np.nan)
        return np.asarray(_BINARY[term.operation](*inputs), dtype=np.float64)


def depends(sheet: Sheet, name: str) -> Sequence[str]:
    """Givens and lines that a line is computed from, in the order in which they are named in it."""
    found: dict[str, None] = {}

    def walk(term: Term) -> None:
        if term.operation in ("given", "line"):
            found[term.name] = None
        for each in term.inputs:
            walk(each)

    line = sheet.lines[name]
    if line.start is not None:
        walk(line.start)
    walk(line.term)
    return list(found)
