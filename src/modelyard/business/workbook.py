"""The venture as an Excel workbook of live formulas: change an assumption and every sheet follows, in Excel as in LibreOffice.

Each line of the graph is a row, each month a column; a number is written once, as an assumption, with its unit and where it comes from.
What the formulas compute is what `Sheet.solve` computes. It knows no business: groups become sheets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.business.sheet import formula
from modelyard.business.venture import Given, Venture
from modelyard.errors import MissingExtra

ASSUMPTIONS = "Assumptions"
HEAD = 3
"""Rows above the first line of a sheet."""
FIRST_MONTH = 4
"""Column of the first month; before it stand name, unit and the one value of lines that have no months."""
VALUE = 3
_UNFIT = re.compile(r"[\[\]:*?/\\']")
Cells = Mapping[tuple[str, int | None], tuple[str, str]]
"""(given or line, month) -> (sheet, cell)."""


def write(venture: Venture, place: Path, *, words: Mapping[str, str] | None = None) -> Cells:
    """Write the workbook; where each number stands. `words` are the names of lines in the reader's language.

    MissingExtra where openpyxl is not installed.
    """
    try:
        from openpyxl import Workbook
        from openpyxl.comments import Comment
        from openpyxl.styles import Font, PatternFill
        from openpyxl.utils import get_column_letter
    except ImportError:
        raise MissingExtra("the workbook", "business") from None
    words = words or {}
    book = Workbook()
    cells: dict[tuple[str, int | None], tuple[str, str]] = {}
    bold, input_ = Font(bold=True), PatternFill("solid", fgColor="FFF2CC")

    first = book.active
    first.title = ASSUMPTIONS
    first.append([words.get("head", "Change the yellow numbers; everything else follows.")])
    first.append([])
    first.append(["Number", "Unit", "Value", "Low", "High", "From", "Source"])
    for row, (name, given) in enumerate(venture.givens.items(), HEAD + 1):
        spread = given.spread
        first.append(
            [words.get(name, name), given.unit, spread.likely, spread.low, spread.high, given.origin, given.source]
        )
        first.cell(row, VALUE).fill = input_
        first.cell(row, 1).comment = Comment(name, "Modelyard")
        cells[name, None] = (ASSUMPTIONS, f"$C${row}")
    titles = _titles(list(venture.groups))
    for group, lines in venture.groups.items():
        page = book.create_sheet(titles[group])
        months = any(venture.sheet.lines[line].monthly for line in lines)
        page.append([words.get(group, group)])
        page.append([])
        page.append(["Line", "Unit", "Value", *(range(1, venture.sheet.months + 1) if months else ())])
        for row, line in enumerate(lines, HEAD + 1):
            if venture.sheet.lines[line].monthly:
                for month in range(venture.sheet.months):
                    cells[line, month] = (titles[group], f"${get_column_letter(FIRST_MONTH + month)}${row}")
            else:
                cells[line, None] = (titles[group], f"$C${row}")
    spelling = _Places(cells, venture.givens)
    for group, lines in venture.groups.items():
        page = book[titles[group]]
        for row, name in enumerate(lines, HEAD + 1):
            written = venture.sheet.lines[name]
            page.cell(row, 1, words.get(name, name))
            page.cell(row, 2, written.unit)
            columns: list[int | None] = [*range(venture.sheet.months)] if written.monthly else [None]
            for column in columns:
                text = formula(written, spelling.place, spelling.across, months=venture.sheet.months, month=column)
                cell = page[cells[name, column][1].replace("$", "")]
                cell.value, cell.number_format = f"={text}", _format(written.unit)
    for page in book:
        for cell in page[HEAD]:
            cell.font = bold
        page["A1"].font = Font(bold=True, size=14)
        page.column_dimensions["A"].width, page.column_dimensions["B"].width = 44, 24
        page.freeze_panes = page.cell(HEAD + 1, FIRST_MONTH)
    book.save(place)
    return cells


class _Places:
    def __init__(self, cells: Cells, givens: Mapping[str, Given]) -> None:
        self._cells, self._givens = cells, givens

    def place(self, name: str, month: int | None) -> str:
        """The cell of a number; a given in another unit than the canonical one is turned into it."""
        sheet, cell = self._cells[name, month]
        where = f"'{sheet}'!{cell}"
        factor = self._givens[name].factor if name in self._givens else 1.0
        return where if factor == 1.0 else f"({where}*{factor!r})"

    def across(self, name: str, first: int, last: int) -> str:
        """The cells of months in a row."""
        sheet, cell = self._cells[name, first]
        return f"'{sheet}'!{cell}:{self._cells[name, last][1]}"


def _titles(names: list[str]) -> dict[str, str]:
    """Names of sheets: at most 31 characters, some forbidden, none twice."""
    found: dict[str, str] = {}
    for name in names:
        title = _UNFIT.sub(" ", name)[:31].strip() or "Sheet"
        number = 1
        while title.lower() in {each.lower() for each in (*found.values(), ASSUMPTIONS)}:
            number += 1
            title = f"{_UNFIT.sub(' ', name)[: 28 - len(str(number))].strip()} ({number})"
        found[name] = title
    return found


def _format(unit: str) -> str:
    """How a number of a unit is shown."""
    if unit in ("", "month"):
        return "0.00"
    return "#,##0.00" if re.match(r"[A-Z]{3}\b", unit) and "request" not in unit else "General"


def read(place: Path, cells: Cells) -> dict[tuple[str, int | None], Any]:
    """What a spreadsheet program computed and saved, by line and month; None where a cell is empty."""
    from openpyxl import load_workbook

    book = load_workbook(place, data_only=True)
    found = {key: book[sheet][cell.replace("$", "")].value for key, (sheet, cell) in cells.items()}
    return {key: None if value == "" else value for key, value in found.items()}
