"""A small real build up to `compress`: a linear model of a few columns of every type."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modelyard import parts
from modelyard.blueprint import Blueprint
from modelyard.compress import run as compress
from modelyard.context import Context
from modelyard.models._contract import Clock, Examples
from modelyard.predictor import Artifact, Member
from modelyard.records.trained import Trained
from modelyard.rows import from_frame
from modelyard.rows_schema import input_columns
from modelyard.store import Store, hash_tree, write_json

TYPES = {"age": "number", "share": "number", "town": "category", "member": "boolean", "since": "date", "note": "text"}


def frame(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, size=rows)
    return pl.DataFrame(
        {
            "__row__": np.arange(rows),
            "__group__": np.arange(rows),
            "age": age,
            "share": rng.random(rows),
            "town": rng.choice(["Aix", "Bonn", "Cork"], size=rows),
            "member": rng.random(rows) < 0.5,
            "since": [datetime(2020, 1, 1) + timedelta(days=int(day)) for day in rng.integers(0, 900, size=rows)],
            "note": rng.choice(["paid late", "paid", "asked for more time", ""], size=rows),
            "label": np.where(age + rng.normal(0, 5, size=rows) > 50, "good", "bad"),
        }
    )


def compressed_build(folder: Path, *, force: bool = False, **sections: Any) -> Context:
    """A build up to `compress`."""
    from safetensors.numpy import save_file

    store = Store(folder)
    store.path("data").mkdir(parents=True)
    frames = {name: frame(200, seed) for seed, name in enumerate(("train", "validation"))}
    for name, part in frames.items():
        part.write_parquet(store.path("data", f"{name}.parquet"))
    task, model = parts.build("tasks", "tabular-classification"), parts.build("models", "linear")
    labels = {name: part["label"].to_numpy().astype(object) for name, part in frames.items()}
    state = task.fit(labels["train"], "label", input_columns(frames["train"], TYPES), "bad")
    rows = {name: from_frame(part, state.types()) for name, part in frames.items()}
    target = {name: task.encode_target(each, state) for name, each in labels.items()}
    features = model.features(rows["train"], target["train"], state, seed=0)
    place = store.path("model", "linear")
    place.mkdir(parents=True)
    write_json(place / "features.json", {name: value for name, value in features.items() if not name.startswith("_")})
    examples = [Examples(model.encode(rows[name], features), target[name]) for name in ("train", "validation")]
    save_file(
        model.fit(*examples, state, features, seed=0, threads=1, clock=Clock()), str(place / "weights.safetensors")
    )
    Artifact(name="demo", state=state, members=(Member(candidate="linear", model="linear", folder="linear"),)).save(
        store.path("model")
    )
    trained = Trained(
        key="k", task=state.task, metric="roc_auc", greater_is_better=True, folds=1, candidates=(), weights={"linear": 1.0}, validation={},
        temperature=1.0, threshold=None, threshold_reason="", hashes=hash_tree(store.path("model")),
    )  # fmt: skip
    given = {
        "data": {"source": "x.csv", "target": "label"},
        "package": {"licence": "MIT", "description": "Who pays back."},
        **sections,
    }
    context = Context(Blueprint.build(name="demo", **given), store, records={"train": trained}, threads=1, force=force)
    context.records["compress"] = compress(context)
    return context
