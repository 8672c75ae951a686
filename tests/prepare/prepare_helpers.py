"""Small real builds for the tests of the prepare stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modelyard import prepare
from modelyard.blueprint import Blueprint
from modelyard.context import Context
from modelyard.records.prepared import Prepared
from modelyard.store import Store

WORDS = np.array([f"word{number}" for number in range(2000)])


def blueprint(folder: Path, source: Any, target: str | None = "y", **sections: Any) -> Blueprint:
    """A checked blueprint; `data` and other sections may be added to."""
    data = {"source": source, "target": target, **sections.pop("data", {})}
    return Blueprint.build(folder=folder, name="demo", data=data, **sections)


def run(
    folder: Path, source: Any, target: str | None = "y", *, frame: Any = None, out: str = "build", **sections: Any
) -> Prepared:
    """Run the stage on a file (or files) in `folder`, or on a frame."""
    return prepare.run(Context(blueprint(folder, source, target, **sections), Store(folder / out)), frame)


def split(folder: Path, name: str, out: str = "build") -> pl.DataFrame:
    """A written split."""
    return pl.read_parquet(folder / out / "data" / f"{name}.parquet")


def whole(folder: Path, out: str = "build") -> pl.DataFrame:
    """All written rows with a column `side`, in source order."""
    parts = [split(folder, name, out).with_columns(side=pl.lit(name)) for name in ("train", "validation", "test")]
    return pl.concat(parts, how="vertical").sort("__row__")


def table(rows: int = 300, seed: int = 0) -> pl.DataFrame:
    """Two numbers, a category with gaps, and a target of two classes that follows the first number."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    return pl.DataFrame(
        {
            "x": x,
            "z": rng.integers(0, 7, rows),
            "c": rng.choice(np.array(["red", "green", None], dtype=object), rows).tolist(),
            "y": np.where(x + rng.normal(size=rows) > 0.3, "yes", "no").tolist(),
        }
    )


def texts(rows: int, words: int = 20, seed: int = 0) -> list[str]:
    """Random texts."""
    rng = np.random.default_rng(seed)
    return [" ".join(line) for line in WORDS[rng.integers(0, len(WORDS), (rows, words))]]
