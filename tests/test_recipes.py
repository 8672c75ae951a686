"""The recipes' own programs: the simulated table is what its maker makes, no feature knows the future, and result tables hold the records' figures."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

RECIPES = Path(__file__).parents[1] / "recipes"
FRAUD = RECIPES / "card-fraud"
MADE_WITH = {"numpy": "2.4.6", "polars": "2.1.0"}
"""As make_data.py says."""


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import a program of the recipes by name; nothing of it stays."""
    for folder in (RECIPES, FRAUD):
        monkeypatch.syspath_prepend(folder)

    def found(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield found
    for name in ("make_data", "check_data", "update_results"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def kept() -> pl.DataFrame:
    return pl.read_parquet(FRAUD / "card-fraud.parquet")


def test_the_maker_makes_the_kept_table(program: Any, kept: pl.DataFrame) -> None:
    here = {"numpy": np.__version__, "polars": pl.__version__}
    if here != MADE_WITH:
        pytest.skip(f"the table was made with {MADE_WITH}, here are {here}: other versions may draw other numbers")
    made = program("make_data").make()
    assert made.columns[-1] == "scenario" and made.drop("scenario").equals(kept)
    assert (kept["fraud"] == "yes").equals(made["scenario"] > 0)


def test_no_feature_knows_the_future(program: Any, kept: pl.DataFrame) -> None:
    check = program("check_data")
    assert check.check_past(kept, rows=12) >= 12 * 13
    for name in ("customer_count_7_days", "terminal_fraud_rate_30_days", "seconds_since_last"):
        wrong = kept.with_columns(pl.col(name) * 2 + 1)
        with pytest.raises(AssertionError, match=rf"{name} is .*, the past says"):
            check.check_past(wrong, rows=12)


def figures(text: str) -> tuple[float, ...]:
    """`0.967 (0.958 to 0.975)` as numbers."""
    found = re.fullmatch(r"(\S+) \((\S+) to (\S+)\)", text.strip(" *"))
    assert found, text
    return tuple(float(each.replace(",", "")) for each in found.groups())


def test_a_result_table_holds_the_records_figures(program: Any, finished: Path) -> None:
    update = program("update_results")
    text = update.results(finished)
    record = json.loads((finished / "evaluate.json").read_text(encoding="utf-8"))
    header, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    names = [name.strip("`") for name in header[1:-1]]
    assert names[0] == record["metric"] and len(names) == update.COLUMNS
    wanted = {"chosen": record["metrics"], **{n: one["metrics"] for n, one in record["candidates"].items()}}
    assert [re.split(r"\W", row[0].strip("*"))[0] for row in rows] == [re.split(r"\W", name)[0] for name in wanted]
    for row, metrics in zip(rows, wanted.values(), strict=True):
        for name, shown in zip(names, row[1:-1], strict=True):
            one = metrics[name]
            assert figures(shown) == pytest.approx((one["value"], one["low"], one["high"]), abs=5.1e-4), (row[0], name)
    served = json.loads((finished / "serve.json").read_text(encoding="utf-8"))
    (told,) = re.findall(r"p50 (\S+) ms", text)
    p50 = 1000 * float(served["measured_latency"]["p50"].split()[0])
    assert float(told) == pytest.approx(p50, rel=0.006)
    assert "Gate failed" not in text and record["run"]["started"][:10] in text


def test_no_result_table_is_made_of_no_build(program: Any, tmp_path: Path) -> None:
    update = program("update_results")
    with pytest.raises(update.NotABuild, match=r"evaluate\.json is missing: run `yard run` as far as `evaluate`"):
        update.results(tmp_path)
