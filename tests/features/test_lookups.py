"""What encoding keeps on features is left out when they are written, and nothing else is: columns may have any name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import parts
from modelyard.context import Silence
from modelyard.features import lookups
from modelyard.learn import jobs
from modelyard.predictor import Artifact, Member, Predictor
from modelyard.rows import Column, Rows
from modelyard.store import Store
from modelyard.tasks._contract import State

COLUMNS = (
    Column(name="_size", type="number"), Column(name="_type", type="category"), Column(name="_codes", type="category"),
    Column(name="_body", type="text"), Column(name=lookups.KEY, type="text"),
)  # fmt: skip
STATE = State(
    task="tabular-classification", target="t", inputs=COLUMNS, classes=("no", "yes"), counts=(100, 100), positive="yes"
)


def rows(count: int = 200) -> tuple[Rows, np.ndarray]:
    """Every category and text leans towards the target."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, count)

    def drawn(yes: list[str], no: list[str]) -> np.ndarray:
        return np.array([str(rng.choice(yes if side else no)) for side in target], dtype=object)

    return Rows(
        {
            "_size": rng.normal(size=count), "_type": drawn(["a", "b"], ["b", "c"]), "_codes": drawn(["x", "y"], ["y", "z"]),
            "_body": drawn(["free prize", "cash offer"], ["lunch agenda", "cash review"]),
            lookups.KEY: drawn(["click here", "see below"], ["see below", "kind regards"]),
        },
        count,
    ), target  # fmt: skip


def accuracy(scores: np.ndarray, target: np.ndarray) -> float:
    return float((scores.argmax(axis=1) == target).mean())


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("linear", {"characters": True}),
        ("decision-tree", {}),
        ("gradient-boosting", {"trees": 20}),
        ("mlp", {"epochs": 2, "hidden": (8,)}),
    ],
)
def test_columns_of_any_name_answer_from_files_as_in_memory(
    model: str, options: dict[str, Any], tmp_path: Path
) -> None:
    if model == "mlp":
        pytest.importorskip("torch")
    table, target = rows()
    train, held = table.take(slice(0, 140)), table.take(slice(140, None))
    store = Store(tmp_path)
    work = jobs.Work(
        task=parts.build("tasks", STATE.task), state=STATE, train=train, train_target=target[:140], validation=held,
        validation_target=target[140:], metric=accuracy, greater_is_better=True, threads=1, seconds=60.0, checkpoint_seconds=60.0,
        decide=store.decide, decided=store.decided, progress=Silence(),
    )  # fmt: skip
    spec = jobs.JobSpec(
        candidate=model, model=model, options=options, fold=0, seed=0, metric="accuracy", rows="r", budget=60.0
    )
    jobs.execute(spec, work, tmp_path)
    in_memory = jobs.scores(spec, tmp_path)

    session = "torch" if model == "mlp" else "native"
    member = Member(candidate=model, model=model, options=options, folder=spec.folder, session=session)
    Artifact(name="toy", state=STATE, members=(member,)).save(tmp_path)
    np.testing.assert_allclose(Predictor.open(tmp_path).scores(held), in_memory, rtol=1e-5, atol=1e-7)


def test_a_look_up_is_made_once_and_never_written() -> None:
    made = []

    def make(features: dict[str, Any]) -> set[str]:
        made.append(features)
        return set(features["terms"])

    features = {"words": {"_body": {"terms": ["a", "b"]}}}
    inner = features["words"]["_body"]
    assert lookups.kept(inner, make) is lookups.kept(inner, make) and len(made) == 1
    assert json.loads(json.dumps(lookups.plain(features))) == {"words": {"_body": {"terms": ["a", "b"]}}}
