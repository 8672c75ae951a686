"""The venture as an Excel workbook of live formulas: change an assumption and every sheet follows, in Excel as in LibreOffice.

Each line of the graph is a row, each month a column. A number is written once, on the sheet of assumptions, with its unit, its value in each
scenario and where it comes from; a cell on the same sheet chooses the scenario. What the formulas compute is what `Sheet.solve` computes.
It knows no business: groups become sheets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.business.spelling import formula
from modelyard.business.venture import Given, Venture
from modelyard.errors import MissingExtra
from modelyard.records.valued import Scenario

ASSUMPTIONS, SUMMARY = "Assumptions", "Summary"
HEAD = 3
"""Rows above the first line of a sheet; the last of them names the columns."""
FIRST_MONTH = 4
"""Column of the first month; before it stand name, unit and the one value of lines that have no months."""
CHOSEN = "$C$2"
"""The cell that chooses the scenario, by its number."""
COLUMNS: dict[Scenario, str] = {"likely": "D", "low": "E", "high": "F"}
"""Columns of the assumptions' values; the first is scenario 1. Column C has the one in use."""
WIDTHS = {"A": 44, "B": 24, "C": 16}
_UNFIT = re.compile(r"[\[\]:*?/\\']")
Cells = Mapping[tuple[str, int | None], tuple[str, str]]
"""(given or line, month) -> (sheet, cell); of a given the cell in use."""


def write(venture: Venture, place: Path, *, told: Sequence[str] = (), drawn: str | None = None) -> Cells:
    """Write the workbook; where each number stands. `told`: lines of the summary; `drawn`: the line of months in its chart.

    MissingExtra where openpyxl is not installed.
    """
    try:
        from openpyxl import Workbook
    except ImportError:
        raise MissingExtra("the workbook", "business") from None
    book = _Book(Workbook(), venture)
    book.assumptions()
    book.lines()
    if told:
        book.summary([name for name in told if name in venture.sheet.lines], drawn)
    book.looks()
    book.book.save(place)
    return book.cells


class _Book:
    """The workbook while it is written."""

    def __init__(self, book: Any, venture: Venture) -> None:
        self.book, self.venture = book, venture
        self.cells: dict[tuple[str, int | None], tuple[str, str]] = {}
        self.titles = _titles(list(venture.groups))

    def assumptions(self) -> None:
        """Every given: the value in use, and what each scenario takes."""
        from openpyxl.styles import PatternFill
        from openpyxl.worksheet.datavalidation import DataValidation

        page, yellow = self.book.active, PatternFill("solid", fgColor="FFF2CC")
        page.title = ASSUMPTIONS
        _row(page, 1, ["Change the yellow numbers; everything else follows."])
        _row(page, 2, ["Scenario in use: 1 likely, 2 low, 3 high"])
        page[CHOSEN.replace("$", "")] = 1
        choice = DataValidation(type="list", formula1='"1,2,3"', allow_blank=False)
        page.add_data_validation(choice)
        choice.add(CHOSEN.replace("$", ""))
        page[CHOSEN.replace("$", "")].fill = yellow
        _row(
            page,
            HEAD,
            [
                "Number",
                "Unit",
                "In use",
                "Likely",
                "Low scenario",
                "High scenario",
                "Lowest",
                "Highest",
                "From",
                "Source",
            ],
        )
        values = {scenario: self.venture.values(scenario) for scenario in COLUMNS}
        for row, (name, given) in enumerate(self.venture.givens.items(), HEAD + 1):
            spread, chosen = given.spread, ",".join(f"{column}{row}" for column in COLUMNS.values())
            _row(page, row, [name, given.unit])
            page.cell(row, 3, f"=CHOOSE({CHOSEN},{chosen})")
            for scenario, column in COLUMNS.items():
                page[f"{column}{row}"] = values[scenario][name] / given.factor
                page[f"{column}{row}"].fill = yellow
            _row(page, row, [spread.low, spread.high, given.origin, given.source], first=7)
            self.cells[name, None] = (ASSUMPTIONS, f"$C${row}")

    def lines(self) -> None:
        """A sheet for each group, a row for each line, a column for each month."""
        from openpyxl.utils import get_column_letter

        sheet = self.venture.sheet
        for group, names in self.venture.groups.items():
            for row, name in enumerate(names, HEAD + 1):
                if not sheet.lines[name].monthly:
                    self.cells[name, None] = (self.titles[group], f"$C${row}")
                for month in range(sheet.months) if sheet.lines[name].monthly else ():
                    self.cells[name, month] = (self.titles[group], f"${get_column_letter(FIRST_MONTH + month)}${row}")
        spelling = _Places(self.cells, self.venture.givens)
        for group, names in self.venture.groups.items():
            page = self.book.create_sheet(self.titles[group])
            months = any(sheet.lines[name].monthly for name in names)
            _row(page, 1, [group])
            _row(page, HEAD, ["Line", "Unit", "Value", *(range(1, sheet.months + 1) if months else ())])
            for row, name in enumerate(names, HEAD + 1):
                line = sheet.lines[name]
                _row(page, row, [name, line.unit])
                columns: list[int | None] = [*range(sheet.months)] if line.monthly else [None]
                for column in columns:
                    text = formula(line, spelling.place, spelling.across, months=sheet.months, month=column)
                    cell = page[self.cells[name, column][1].replace("$", "")]
                    cell.value, cell.number_format = f"={text}", _format(line.unit)

    def summary(self, told: Sequence[str], drawn: str | None) -> None:
        """What matters: live, beside what each scenario gave when the workbook was written."""
        sheet, page = self.venture.sheet, self.book.create_sheet(SUMMARY, 0)
        _row(page, 1, ["What comes of it (of months: the last one)"])
        _row(page, HEAD, ["Line", "Unit", "In use now", "As built: likely", "As built: low", "As built: high"])
        solved = [sheet.solve(self.venture.values(scenario)) for scenario in COLUMNS]
        for row, name in enumerate(told, HEAD + 1):
            line = sheet.lines[name]
            where, cell = self.cells[name, sheet.months - 1 if line.monthly else None]
            _row(page, row, [name, line.unit])
            page.cell(row, 3, f"='{where}'!{cell}")
            for column, values in enumerate(solved, 4):
                value = float(np.ravel(values[name])[-1])
                page.cell(row, column, value if np.isfinite(value) else None)
            for column in range(3, 7):
                page.cell(row, column).number_format = _format(line.unit)
        if drawn is not None:
            self._chart(page, drawn, row=HEAD + len(told) + 3)

    def _chart(self, page: Any, name: str, *, row: int) -> None:
        from openpyxl.chart import LineChart, Reference

        title, first = self.cells[name, 0]
        place = self.book[title][first.replace("$", "")].row
        chart, last = LineChart(), FIRST_MONTH + self.venture.sheet.months - 1
        chart.title, chart.y_axis.title, chart.x_axis.title = name, self.venture.sheet.lines[name].unit, "month"
        chart.legend, chart.width, chart.height = None, 24, 9
        chart.x_axis.delete = chart.y_axis.delete = False
        across = {"min_col": FIRST_MONTH, "max_col": last}
        chart.add_data(Reference(self.book[title], min_row=place, max_row=place, **across), from_rows=True)
        chart.set_categories(Reference(self.book[title], min_row=HEAD, max_row=HEAD, **across))
        page.add_chart(chart, f"A{row}")

    def looks(self) -> None:
        """Headings, widths, and what stays in sight."""
        from openpyxl.styles import Font

        for page in self.book:
            for cell in page[HEAD]:
                cell.font = Font(bold=True)
            page["A1"].font = Font(bold=True, size=14)
            for column, width in WIDTHS.items():
                page.column_dimensions[column].width = width
            for column in "DEFGH" if page.title in (ASSUMPTIONS, SUMMARY) else "":
                page.column_dimensions[column].width = 16
            page.freeze_panes = page.cell(HEAD + 1, FIRST_MONTH)


def _row(page: Any, row: int, values: Sequence[Any], *, first: int = 1) -> None:
    """Values as they are: a text that begins with = is a text, not a formula."""
    for column, value in enumerate(values, first):
        cell = page.cell(row, column, value)
        if isinstance(value, str):
            cell.data_type = "s"


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
        while title.lower() in {each.lower() for each in (*found.values(), ASSUMPTIONS, SUMMARY)}:
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
