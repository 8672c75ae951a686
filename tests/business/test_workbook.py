"""The workbook, computed by LibreOffice, against the graph: every cell, before and after assumptions are changed in the file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.blueprint.business import Business
from modelyard.business.planning import venture
from modelyard.business.venture import Venture
from tests.business.business_helpers import VENTURES, facts

openpyxl = pytest.importorskip("openpyxl")
from modelyard.business import workbook  # noqa: E402

OFFICE = shutil.which("soffice") or shutil.which("libreoffice")
CHANGED = {
    "business.churn": 0.08, "business.cac": 90.0, "business.growth": -0.02, "business.new_customers": 31.0, "business.people": 9_100.0,
    "business.utilisation": 0.75, "business.hosting_overhead": 0.0, "business.payment_share": 0.05, "business.starting_cash": 7_000.0,
    "measured.rate": 3.25,
}  # fmt: skip


def computed(place: Path, folder: Path) -> Path:
    """The file as LibreOffice saves it, every formula computed anew."""
    if OFFICE is None:
        pytest.skip("LibreOffice is not installed")
    profile = f"-env:UserInstallation=file://{folder}/profile"
    command = [OFFICE, profile, "--headless", "--convert-to", "xlsx", "--outdir", str(folder), str(place)]
    subprocess.run(command, check=True, capture_output=True, timeout=180)
    return folder / place.name


def compare(model: Venture, values: dict[str, float], place: Path, cells: Any) -> int:
    solved, told = model.sheet.solve(values), workbook.read(place, cells)
    count = 0
    for (name, month), value in told.items():
        if name in model.givens:
            continue
        expected = float(solved[name] if month is None else solved[name][month])
        if np.isnan(expected):
            assert value is None, (name, value)
        else:
            assert value == pytest.approx(expected, rel=1e-6, abs=1e-6), (name, month)
        count += 1
    return count


def put(place: Path, changed: Path, values: dict[str, Any]) -> None:
    """Write numbers into cells, by sheet and cell, as somebody would in a spreadsheet program."""
    book = openpyxl.load_workbook(place)
    for cell, value in values.items():
        book[workbook.ASSUMPTIONS][cell] = value
    book.save(changed)


COMPANY = {
    "plans": ({"name": "soft", "price": 12.0, "included": 1000, "overage": 0.01, "share": 1.0, "usage": 900, "usage_spread": 0.8},),
    "hires": ({"role": "engineer", "month": 7, "cost": 4000.0},), "starting_customers": 20.0, "expansion": 0.01, "churn_spread": 0.2,
    "rounds": ({"name": "seed", "month": 6, "raised": 1e5, "pre_money": 1e6},), "months": 26,
}  # fmt: skip


@pytest.mark.parametrize("name", [*VENTURES, "a company"])
def test_every_cell_is_what_python_computes(name: str, tmp_path: Path) -> None:
    model = venture(Business.model_validate((VENTURES | {"a company": COMPANY})[name]), facts())
    cells = workbook.write(model, tmp_path / "venture.xlsx", told=("LTV:CAC", "cash"), drawn="cash")
    (tmp_path / "computed").mkdir()
    values = {key: given.spread.likely * given.factor for key, given in model.givens.items()}
    count = compare(model, values, computed(tmp_path / "venture.xlsx", tmp_path / "computed"), cells)
    assert count > 15 * model.sheet.months
    likely = {cells[key, None][1].replace("$C$", workbook.COLUMNS["likely"]): value for key, value in CHANGED.items()}
    put(tmp_path / "venture.xlsx", tmp_path / "changed.xlsx", likely)
    changed = values | {key: value * model.givens[key].factor for key, value in CHANGED.items()}
    assert compare(model, changed, computed(tmp_path / "changed.xlsx", tmp_path / "computed"), cells) == count


@pytest.mark.parametrize(("number", "scenario"), [(2, "low"), (3, "high")])
def test_a_cell_chooses_the_scenario(number: int, scenario: Any, tmp_path: Path) -> None:
    model = venture(Business(), facts())
    cells = workbook.write(model, tmp_path / "venture.xlsx", told=("LTV:CAC", "cash"))
    put(tmp_path / "venture.xlsx", tmp_path / "chosen.xlsx", {workbook.CHOSEN.replace("$", ""): number})
    (tmp_path / "computed").mkdir()
    place = computed(tmp_path / "chosen.xlsx", tmp_path / "computed")
    compare(model, model.values(scenario), place, cells)
    page = openpyxl.load_workbook(place, data_only=True)[workbook.SUMMARY]
    for row in (4, 5):
        now, likely, low, high = (page.cell(row, column).value for column in (3, 4, 5, 6))
        assert now == pytest.approx({"low": low, "high": high}[scenario], rel=1e-6) != likely


def test_a_name_is_never_a_formula(tmp_path: Path) -> None:
    plan = {
        "name": "=HYPERLINK(1)",
        "price": 9.0,
        "share": 1.0,
        "usage": {"low": 1, "likely": 2, "high": 3, "source": "=1+1"},
    }
    model = venture(Business.model_validate({"plans": (plan,)}), facts())
    workbook.write(model, tmp_path / "venture.xlsx")
    book = openpyxl.load_workbook(tmp_path / "venture.xlsx")
    texts = [cell for page in book for row in page for cell in row if cell.value and "HYPERLINK(1)" in str(cell.value)]
    texts += [cell for row in book[workbook.ASSUMPTIONS] for cell in row if cell.value == "=1+1"]
    assert len(texts) > 3
    (tmp_path / "computed").mkdir()
    place = computed(tmp_path / "venture.xlsx", tmp_path / "computed")
    saved = openpyxl.load_workbook(place, data_only=True)
    for cell in texts:
        if cell.data_type != "f":
            assert saved[cell.parent.title][cell.coordinate].value == cell.value


def test_a_wrong_formula_is_found(tmp_path: Path) -> None:
    model = venture(Business(), facts())
    cells = workbook.write(model, tmp_path / "venture.xlsx")
    book = openpyxl.load_workbook(tmp_path / "venture.xlsx")
    sheet, cell = cells["net", 5]
    book[sheet][cell.replace("$", "")] = book[sheet][cell.replace("$", "")].value + "+1"
    book.save(tmp_path / "venture.xlsx")
    (tmp_path / "computed").mkdir()
    values = {key: given.spread.likely * given.factor for key, given in model.givens.items()}
    with pytest.raises(AssertionError):
        compare(model, values, computed(tmp_path / "venture.xlsx", tmp_path / "computed"), cells)


def test_numbers_are_written_once() -> None:
    """Formulas hold no assumption's value: each refers to its cell."""
    import re
    import tempfile

    model = venture(Business(), facts())
    with tempfile.TemporaryDirectory() as folder:
        cells = workbook.write(model, Path(folder) / "venture.xlsx")
        book = openpyxl.load_workbook(Path(folder) / "venture.xlsx")
    allowed = {
        "0.5",
        "0",
        "1",
        "730",
        "3600",
        "3600.0",
        "1E-09",
        "1e-09",
        "1e-06",
        "0.0002777777777777778",
        "2628000",
        *map(str, range(1, 37)),
    }
    for (name, _), (sheet, cell) in cells.items():
        text = book[sheet][cell.replace("$", "")].value
        if name not in model.givens:
            assert isinstance(text, str) and text.startswith("=")
            bare = re.sub(r"'[^']*'!\$?[A-Z]+\$?\d+(:\$?[A-Z]+\$?\d+)?", "", text)
            assert set(re.findall(r"(?<![A-Za-z])\d[\d.]*(?:[eE]-?\d+)?", bare)) <= allowed, (name, text)
