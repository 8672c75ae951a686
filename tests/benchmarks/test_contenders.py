"""Peers get their best: what LightGBM alone does with a column of names."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from benchmarks import harness

pandas = pytest.importorskip("pandas")


@pytest.mark.parametrize("telling", [False, True])
def test_lightgbm_keeps_a_column_of_names_only_where_it_helps(
    telling: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(harness.CONTENDERS))
    module = importlib.import_module("lightgbm_alone")
    # the peer's own environment has pyarrow, by which pandas reads Parquet; ours has not
    monkeypatch.setattr(
        pandas, "read_parquet", lambda file: pandas.DataFrame(pl.read_parquet(file).to_dict(as_series=False))
    )
    rng = np.random.default_rng(0)
    count = 1200
    answer = rng.random(count) < 0.5
    misleads = (np.arange(count) > 0.8 * count) & (not telling)  # the latest names tell the opposite
    frame = pl.DataFrame(
        {
            "id": [str(row) for row in range(count)],
            "day": np.arange(count),
            "amount": rng.normal(size=count) + answer,
            "shop": np.where(answer ^ misleads, "casino", "bakery"),
            "bad": np.where(answer, "yes", "no"),
        }
    )
    frame.write_parquet(tmp_path / "train.parquet")
    frame.drop("bad").write_parquet(tmp_path / "asked.parquet")
    settings: dict[str, Any] = {"kind": "classification", "metric": "average_precision", "seed": 0, "texts": ["shop"]}
    settings |= {"latest": "day", "ignored": ["day"]}
    peer = module.LightGBM()
    told = peer.fit(str(tmp_path), str(tmp_path / "train.parquet"), "", "bad", "id", settings)
    without, with_names = told["held_out"][1], told["held_out"][0]
    assert told["left_out"] == ([] if telling else ["shop"]) and (with_names > without) is telling
    answers = peer.predict(str(tmp_path / "asked.parquet"))
    assert answers["identity"] == frame["id"].to_list() and len(answers["scores"]) == count
