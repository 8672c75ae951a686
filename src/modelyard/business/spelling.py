"""Lines of a sheet as formulas of a spreadsheet, cell by cell: the same graph that numpy solves.

>>> from modelyard.business.sheet import Sheet
>>> sheet = Sheet(months=3)
>>> line = sheet.line("profit", "USD", sheet.given("revenue", "USD") - sheet.given("cost", "USD"))
>>> formula(sheet.lines["profit"], lambda name, month: {"revenue": "B1", "cost": "B2"}[name], lambda *_: "", months=3)
'(B1-B2)'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modelyard.business.sheet import COMPARING, NEARLY, Line, Term

Place = Callable[[str, int | None], str]
"""The cell of a given or a line; the number of its month (0 is the first), None for a line of one value."""
Across = Callable[[str, int, int], str]
"""The cells of a line from one month to another, both included, as a range; the first month is 0."""


def formula(line: Line, place: Place, across: Across, *, months: int, month: int | None = None) -> str:
    """A cell's formula in the language of spreadsheets (Excel's and LibreOffice's alike), without the equals sign.

    Sums over months are of lines: `total(line)`, not of terms without a name, so that what is added up can be seen.
    """
    return _Spelling(line, place, across, months).of(line.term, month)


@dataclass(frozen=True)
class _Spelling:
    line: Line
    place: Place
    across: Across
    months: int

    def of(self, term: Term, month: int | None) -> str:
        """A term's formula."""
        return _spelt(term, self, month)

    def all(self, term: Term) -> str:
        """The cells of a line's months; AssertionError where it is a term without a name."""
        assert term.operation == "line", f"{self.line.name}: give what is added up over the months a name of its own"
        return self.across(term.name, 0, self.months - 1)


def _spelt(term: Term, spelling: _Spelling, month: int | None) -> str:
    line, place = spelling.line, spelling.place

    def inner(each: Term) -> str:
        return spelling.of(each, month)

    match term.operation:
        case "number":
            return (
                repr(term.constant)
                if not term.constant.is_integer() or abs(term.constant) >= 1e15
                else str(int(term.constant))
            )
        case "given":
            return place(term.name, None)
        case "line":
            return place(term.name, month if term.monthly else None)
        case "month":
            assert month is not None
            return str(month + 1)
        case "before":
            assert month is not None and line.start is not None
            return place(line.name, month - 1) if month else f"({spelling.of(line.start, None)})"
        case "sum" | "lowest":
            return f"{'SUM' if term.operation == 'sum' else 'MIN'}({spelling.all(term.inputs[0])})"
        case "last":
            return spelling.of(term.inputs[0], spelling.months - 1)
        case "earlier":
            assert month is not None
            return spelling.of(term.inputs[0], month - 1) if month else spelling.of(term.inputs[1], None)
        case "backwards":
            assert month is not None
            return spelling.of(term.inputs[0], spelling.months - 1 - month)
        case "cohorts":
            assert month is not None
            joining, backward = (each.name for each in term.inputs)
            end = spelling.months - 1
            return f"SUMPRODUCT({spelling.across(joining, 0, month)},{spelling.across(backward, end - month, end)})"
        case "same":
            return inner(term.inputs[0])
        case "ceil":
            return f"CEILING({inner(term.inputs[0])}-{NEARLY!r},1)"
        case "ln":
            return f"LN({inner(term.inputs[0])})"
        case "normal":
            return f"NORMSDIST({inner(term.inputs[0])})"
        case "exp":
            return f"EXP({inner(term.inputs[0])})"
        case "if":
            return f"IF({','.join(map(inner, term.inputs))})"
        case "where":
            return f'IF({",".join(map(inner, term.inputs))},"")'
        case "min" | "max":
            return f"{term.operation.upper()}({','.join(map(inner, term.inputs))})"
    one, other = map(inner, term.inputs)
    text = f"({one}{term.operation}{other})"
    return f"IF({text},1,0)" if term.operation in COMPARING else text
