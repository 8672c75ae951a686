"""Small real builds: trained artifacts with random weights, their splits, and the source of planted methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modelyard import parts
from modelyard.blueprint import Blueprint
from modelyard.context import Context
from modelyard.predictor import Artifact, Member
from modelyard.records.trained import Trained
from modelyard.rows import from_frame
from modelyard.rows_schema import input_columns
from modelyard.store import Store, hash_tree, write_json

PLANTED = """
from typing import Any, ClassVar
from modelyard.compress.methods._contract import Method


class Perturbed(Method):
    session: ClassVar[str] = "onnxruntime"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "onnx")
    noise: float = 1.0

    def export(self, member, folder) -> dict[str, Any]:
        import numpy, onnx
        from modelyard.compress.methods._onnx import graph

        model, rng = graph(member), numpy.random.default_rng(0)
        for weight in model.graph.initializer:
            values = onnx.numpy_helper.to_array(weight)
            if values.dtype == numpy.float32:
                moved = values + self.noise * rng.normal(size=values.shape).astype(numpy.float32)
                weight.CopyFrom(onnx.numpy_helper.from_array(moved, weight.name))
        onnx.save(model, str(folder / "model.onnx"))
        return {}


class Absent(Perturbed):
    libraries: ClassVar[tuple[str, ...]] = ("no_such_library",)


class Broken(Perturbed):
    def export(self, member, folder) -> dict[str, Any]:
        raise RuntimeError("no kernel for this operator")
"""


def frame(rows: int, *, seed: int, words: bool = False) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {"__row__": np.arange(rows), "__group__": np.arange(rows)}
    if words:
        vocabulary = ["offer", "free", "money", "meeting", "report", "lunch", "project", "winner", "click", "thanks"]
        columns["body"] = [" ".join(rng.choice(vocabulary, size=rng.integers(1, 60))) for _ in range(rows)]
        columns["label"] = rng.choice(["ham", "spam"], size=rows)
        return pl.DataFrame(columns)
    columns |= {f"x{number}": rng.normal(size=rows) for number in range(5)}
    columns["label"] = np.where(columns["x0"] + columns["x1"] > 0, "yes", "no")
    columns["price"] = 100 + 10 * columns["x0"] + rng.normal(size=rows)
    return pl.DataFrame(columns)


def trained_build(
    folder: Path, *, task: str, model: str, target: str, rows: int = 300, edit: Any = None, **compress: Any
) -> Context:
    """A build up to `train`, its torch module with random weights."""
    from safetensors.torch import save_file

    words = model == "encoder"
    store, frames = (
        Store(folder),
        {name: frame(rows, seed=seed, words=words) for seed, name in enumerate(("train", "validation"))},
    )
    for name, part in frames.items():
        store.path("data").mkdir(parents=True, exist_ok=True)
        part.write_parquet(store.path("data", f"{name}.parquet"))
    types = {
        name: "text" if words else "number"
        for name in frames["train"].columns
        if name == "body" or name.startswith("x")
    }
    columns = input_columns(frames["train"], types)
    fitted, architecture = parts.build("tasks", task), parts.build("models", model)
    values = frames["train"][target].to_numpy()
    state = fitted.fit(values.astype(object) if target == "label" else values, target, columns, None)
    inputs = from_frame(frames["train"], state.types())
    features = architecture.features(inputs, fitted.encode_target(values, state), state, seed=0)
    features = edit(features) if edit else features
    module = random_weights(architecture.module(features, state, seed=0, folder=folder))
    place = store.path("model", "member")
    place.mkdir(parents=True)
    write_json(place / "features.json", features)
    save_file(module.state_dict(), str(place / "weights.safetensors"))
    Artifact(
        name="demo", state=state, members=(Member(candidate=model, model=model, folder="member", session="torch"),)
    ).save(store.path("model"))
    metric = "accuracy" if target == "label" else "root_mean_squared_error"
    trained = Trained(
        key="k", task=task, metric=metric, greater_is_better=target == "label", folds=1, candidates=(), weights={model: 1.0}, validation={},
        temperature=1.0, threshold=None, threshold_reason="", hashes=hash_tree(store.path("model")),
    )  # fmt: skip
    blueprint = Blueprint.build(
        name="demo", data={"source": "x.csv", "target": target}, evaluate={"bootstrap": 100}, compress=compress
    )
    return Context(blueprint, store, records={"train": trained}, threads=2)


def random_weights(module: Any) -> Any:
    """Heads start at zero; a model that always answers the same would agree with any."""
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.startswith("head"):
                parameter.normal_()
    return module


def tiny_encoder(features: dict[str, Any]) -> dict[str, Any]:
    """MiniLM's tokenizer, a smaller network."""
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    return {**features, "config": {**features["config"], **small}}
