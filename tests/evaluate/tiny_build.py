"""A small real build up to `train`: real task, real models, real files, made by hand so that faults can be planted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import save_file

from modelyard import parts
from modelyard.blueprint import Blueprint
from modelyard.context import Context
from modelyard.metrics import Sample, estimates, find
from modelyard.models._contract import Clock, Examples
from modelyard.predictor import Artifact, Member, Predictor
from modelyard.records.prepared import ColumnCard, Prepared, SplitCard, Suspect
from modelyard.records.trained import Candidate, Trained
from modelyard.rows import GROUP, ROW, Column, from_frame
from modelyard.store import Store, write_json


def tiny_build(
    folder: Path,
    frame: pl.DataFrame,
    types: Mapping[str, str],
    *,
    target: str = "target",
    task: str = "tabular-classification",
    candidates: Mapping[str, str] | None = None,
    options: Mapping[str, dict[str, Any]] | None = None,
    chosen: str = "linear",
    threshold: float | None = None,
    temperature: float = 1.0,
    groups: list[int] | None = None,
    suspects: tuple[Suspect, ...] = (),
    **sections: Any,
) -> Context:
    """Split by thirds (or by a column `split`), train each candidate, write artifacts and records. `types` name all columns."""
    frame = frame.with_columns(
        pl.int_range(pl.len()).alias(ROW), pl.Series(GROUP, groups if groups is not None else range(frame.height))
    )
    if "split" not in frame.columns:
        names = np.array(["train", "train", "validation", "test", "test"])
        frame = frame.with_columns(pl.Series("split", names[np.arange(frame.height) % 5]))
    store = Store(folder)
    (folder / "data").mkdir(parents=True)
    splits = {name: frame.filter(pl.col("split") == name).drop("split") for name in ("train", "validation", "test")}
    for name, part in splits.items():
        part.write_parquet(folder / "data" / f"{name}.parquet")
    part_of_task = parts.build("tasks", task)
    inputs = [Column(name=name, type=kind) for name, kind in types.items() if kind != "ignore"]  # type: ignore[arg-type]
    kind = "category" if part_of_task.kind == "classification" else "number"
    truth = {name: from_frame(part, {target: kind})[target] for name, part in splits.items()}
    blueprint = Blueprint.build(name="tiny", data={"source": "x.csv", "target": target}, **sections)
    state = part_of_task.fit(truth["train"], target, inputs, blueprint.evaluate.positive)
    rows = {name: from_frame(part, state.types()) for name, part in splits.items()}
    numbers = {name: part_of_task.encode_target(values, state) for name, values in truth.items()}
    learnt = {name: part_of_task.standardised(each, state) for name, each in numbers.items()}
    found = []
    for name, model_name in (candidates or {"dummy": "dummy", "linear": "linear"}).items():
        own = dict((options or {}).get(name, {}))
        model = parts.build("models", model_name, own)
        features = model.features(rows["train"], learnt["train"], state, seed=0)
        place = f"train/{name}"
        (folder / place / "0").mkdir(parents=True)
        write_json(
            folder / place / "0" / "features.json", features
        )  # before encoding, which keeps look-ups on the dict
        encoded = {
            split: Examples(model.encode(rows[split], features), learnt[split]) for split in ("train", "validation")
        }
        weights = model.fit(encoded["train"], encoded["validation"], state, features, seed=0, threads=1, clock=Clock())
        save_file(
            {key: np.ascontiguousarray(value) for key, value in weights.items()},
            folder / place / "0" / "weights.safetensors",
        )
        member = Member(candidate=name, model=model_name, options=own, folder="0")
        Artifact(name=name, state=state, members=(member,), temperature=temperature, threshold=threshold).save(
            folder / place
        )
        found.append(Candidate(name=name, model=model_name, status="trained", artifact=place))
    found.append(Candidate(name="encoder", model="encoder", status="skipped", reason="no text"))
    artifact = f"train/{chosen}"
    predictor = Predictor.open(folder / artifact)
    scores = predictor.scores(rows["validation"])
    np.savez(
        folder / "train" / "validation.npz",
        row=splits["validation"][ROW].to_numpy(),
        target=numbers["validation"],
        scores=scores,
        group=np.arange(len(scores)),
    )
    metric = find(part_of_task.metrics[0])
    positive = state.classes.index(state.positive) if state.positive else None
    labels = part_of_task.labels(scores, state, threshold)
    sample = Sample.of(numbers["validation"], scores, labels=labels, positive=positive)
    cards = [
        ColumnCard(
            name=name, type=kind, role="input" if kind != "ignore" else "ignored", reason="given",  # type: ignore[arg-type]
            rows=frame.height, missing=frame[name].null_count(), distinct=frame[name].n_unique(),
        )
        for name, kind in types.items()
    ]  # fmt: skip
    prepared = Prepared(
        task=task, task_reason="given", target=target, source={}, columns=tuple(cards), split_by=blueprint.prepare.split.by if blueprint.prepare.split.by == "time" else "random", split_reason="given",
        splits={name: SplitCard(rows=part.height, hash="") for name, part in splits.items()}, suspects=suspects,
    )  # fmt: skip
    trained = Trained(
        task=task, metric=metric.name, greater_is_better=metric.greater_is_better, folds=1, candidates=tuple(found),
        weights={chosen: 1.0}, validation=estimates([metric], sample), temperature=temperature, threshold=threshold,
        threshold_reason="given", artifact=artifact,
    )  # fmt: skip
    return Context(blueprint, store, records={"prepare": prepared, "train": trained})


def credit(count: int = 1500, seed: int = 0) -> tuple[pl.DataFrame, dict[str, str]]:
    """Two numbers, a category and a boolean that say something about who repays; age and a note say nothing."""
    rng = np.random.default_rng(seed)
    income, debt = rng.lognormal(0, 0.5, count), rng.normal(size=count)
    home = rng.choice(["rent", "own", "parents"], size=count, p=[0.5, 0.3, 0.2])
    employed = rng.uniform(size=count) < 0.8
    logit = 1.5 * np.log(income) - 1.2 * debt + 0.8 * (home == "own") + 0.7 * employed + rng.logistic(0, 0.5, count)
    frame = pl.DataFrame(
        {
            "income": income, "debt": debt, "home": home, "employed": employed, "age": rng.integers(18, 80, count).astype(float),
            "amount": rng.uniform(100, 1000, count).round(), "target": np.where(logit > -0.6, "repaid", "default"),
        }
    ).with_columns(pl.when(pl.int_range(pl.len()) % 17 == 0).then(None).otherwise(pl.col("income")).alias("income"))  # fmt: skip
    types = {
        "income": "number",
        "debt": "number",
        "home": "category",
        "employed": "boolean",
        "age": "ignore",
        "amount": "ignore",
    }
    return frame, types


def houses(count: int = 1000, seed: int = 0) -> tuple[pl.DataFrame, dict[str, str]]:
    """Prices from area and quarter."""
    rng = np.random.default_rng(seed)
    area = rng.uniform(30, 200, count)
    quarter = rng.choice(["north", "south", "old town"], size=count)
    price = area * 2000 + 60_000 * (quarter == "old town") + rng.normal(0, 25_000, count) + 50_000
    frame = pl.DataFrame({"area": area, "quarter": quarter, "target": price})
    return frame, {"area": "number", "quarter": "category"}


def mails(count: int = 900, seed: int = 0) -> tuple[pl.DataFrame, dict[str, str]]:
    """Short texts whose words give the class away, most of the time."""
    rng = np.random.default_rng(seed)
    words = {
        "spam": ["prize", "winner", "credit", "offer", "cheap", "click"],
        "ham": ["meeting", "report", "lunch", "notes", "draft", "project"],
    }
    both = ["the", "a", "today", "please", "you", "we", "and", "see", "new", "with"]
    classes = np.where(rng.uniform(size=count) < 0.35, "spam", "ham")
    texts, subjects = [], []
    for name in classes:
        own = words[name if rng.uniform() < 0.95 else ("ham" if name == "spam" else "spam")]
        texts.append(" ".join(rng.permutation([*rng.choice(own, 5), *rng.choice(both, 8)])))
        subjects.append(" ".join([*rng.choice(own, 2), *rng.choice(both, 2)]))
    return pl.DataFrame({"subject": subjects, "body": texts, "target": classes}), {"subject": "text", "body": "text"}
