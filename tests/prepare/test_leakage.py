"""Every suspect has a planted fault that must fire and a clean control that must not."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from prepare_helpers import run, table

from modelyard.prepare import leakage

ROWS = 600
RNG = np.random.default_rng(0)
FRAME = table(ROWS)
IS_YES = (FRAME["y"] == "yes").to_numpy()
PLANTED: list[tuple[str, str, pl.Series, str]] = [
    ("a copy as a number", "y", pl.Series("leak", IS_YES * 3.0 + RNG.normal(size=ROWS) * 0.2), "predicts_target"),
    ("a copy as words", "y", pl.Series("leak", np.where(IS_YES, RNG.choice(["p", "q"], ROWS), "r")), "predicts_target"),
    (
        "missing gives it away",
        "y",
        pl.Series("leak", [None if yes else float(n % 5) for n, yes in enumerate(IS_YES)]),
        "predicts_target",
    ),
    (
        "a date gives it away",
        "y",
        pl.Series("leak", [datetime(2024 if yes else 2020, 1, 1 + n % 28) for n, yes in enumerate(IS_YES)]),
        "predicts_target",
    ),
    (
        "an id that begins with the answer",
        "y",
        pl.Series("row_id", [f"{'spam' if yes else 'ham'}-{n}" for n, yes in enumerate(IS_YES)]),
        "identifier",
    ),
    (
        "an id in the order of the answer",
        "y",
        pl.Series("row_id", np.argsort(np.argsort(~IS_YES, kind="stable")) * 3),
        "identifier",
    ),
    ("the number in another unit", "x", pl.Series("leak", FRAME["x"] * 2.54 + 7), "predicts_target"),
    ("the number rounded", "x", pl.Series("leak", (FRAME["x"] * 20).round() / 20), "predicts_target"),
]


@pytest.mark.parametrize(
    ("target", "series", "kind"), [case[1:] for case in PLANTED], ids=[case[0] for case in PLANTED]
)
def test_planted_leaks_fire(tmp_path: Path, target: str, series: pl.Series, kind: str) -> None:
    FRAME.with_columns(series).write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet", target)
    (suspect,) = (one for one in record.suspects if one.column == series.name)
    assert suspect.kind == kind
    assert suspect.value >= leakage.TOO_GOOD


@pytest.mark.parametrize("target", ["y", "x"])
def test_honest_columns_do_not(tmp_path: Path, target: str) -> None:
    more = {
        "noise": RNG.normal(size=ROWS),
        "row_id": [f"m-{n}" for n in range(ROWS)],
        "many": [f"v{n % 200}" for n in range(ROWS)],
    }
    FRAME.with_columns(pl.Series(name, values) for name, values in more.items()).write_parquet(
        tmp_path / "rows.parquet"
    )
    assert run(tmp_path, "rows.parquet", target).suspects == ()


@pytest.mark.parametrize(("step", "fires"), [(1, False), (-1, True)])
def test_time_that_runs_backwards_across_given_splits(tmp_path: Path, step: int, fires: bool) -> None:
    days: list[Any] = [datetime(2024, 1, 1) + timedelta(days=step * number) for number in range(ROWS)]
    parts = ["train"] * 400 + ["validation"] * 100 + ["test"] * 100
    FRAME.with_columns(when=pl.Series(days), part=pl.Series(parts)).write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet", prepare={"split": {"by": "column", "column": "part"}})
    assert [one.kind for one in record.suspects] == (["time_backwards"] if fires else [])
