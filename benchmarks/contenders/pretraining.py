"""A GPT from scratch through the loop that `yard run` trains every network with, in so many seconds."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import _talk
import nanogpt_alone
import numpy as np
import polars as pl

SIZE = {"layers": 4, "heads": 4, "width": 128, "dropout": 0.0}
CHARACTERS = {"tokenizer": "characters", "context": 64, "batch_rows": 12}
HELD = 8
"""Chapters on which the job validates."""
PIECES = {"tokenizer": "bpe", "vocabulary": 2048, "context": 128, "batch_rows": 12}


class Trained:
    """One way to train."""

    def versions(self) -> dict[str, str]:
        """Of what it uses."""
        return _talk.versions("torch", "tokenizers", "numpy")

    def train(self, folder: str, seconds: float, seed: int, threads: int, tokenizer: str) -> dict[str, Any]:
        """Seconds that the loop took, and the loss of its weights on the held-out chapters."""
        import torch

        from modelyard import parts
        from modelyard.context import Silence
        from modelyard.learn import loop
        from modelyard.models._contract import Examples
        from modelyard.rows import Column, Rows

        place = Path(folder)
        options = {**SIZE, **(CHARACTERS if tokenizer == "characters" else PIECES)}
        texts = pl.read_parquet(place / "train.parquet")["text"].to_list()
        task = parts.build("tasks", "text-generation")
        state = task.fit(np.array(texts, dtype=object), "text", [Column(name="prompt", type="text", missing=1.0)], None)
        rows, held = (
            Rows({"text": np.array(part, dtype=object)}, len(part)) for part in (texts[:-HELD], texts[-HELD:])
        )
        decisions: dict[str, Any] = {}
        model = parts.build("models", "gpt", options)
        target = np.zeros(len(rows))
        features = model.features(rows, target, state, seed=seed)
        examples = model.examples(rows, target, features, seed=seed)
        validation = Examples(model.encode(held, features), np.zeros(HELD))
        module = model.module(features, state, seed=seed)
        with TemporaryDirectory() as build:
            began = time.monotonic()
            learnt = loop.train(
                model, module, examples, validation, task=task, state=state, options=model.loop(features, state, len(examples)),
                metric=lambda scores, target: float(scores[:, 0].sum() / scores[:, 2].sum()), greater_is_better=False, seed=seed, threads=threads,
                seconds=seconds, folder=Path(build), decide=lambda name, choose: decisions.setdefault(name, choose()), name="gpt",
                checkpoint_seconds=600.0, progress=Silence(), tracking=(),
            )  # fmt: skip
            took = time.monotonic() - began
        module.load_state_dict({name: torch.from_numpy(array) for name, array in learnt.weights.items()})
        found = _loss(module.eval(), features, model, place, characters=tokenizer == "characters")
        tokens = learnt.facts["steps"] * options["batch_rows"] * options["context"]
        return {
            "seconds": took, "steps": learnt.facts["steps"], "tokens": tokens, "parameters": learnt.facts["parameters"], **found,
        }  # fmt: skip


def _loss(module: Any, features: dict[str, Any], model: Any, place: Path, *, characters: bool) -> dict[str, float]:
    """`loss` (nats a token) and `bits_per_byte`: characters in the windows that nanoGPT is asked for, pieces in whole chapters."""
    from modelyard.features import subwords

    texts = nanogpt_alone.cut(place) if characters else pl.read_parquet(place / "test.parquet")["text"].to_list()
    ids = subwords.ids_of(texts, features)
    found = [(each, 1) if characters else ([features["end"], *each], 1) for each in ids]
    scores = np.concatenate(
        [
            _scored(module, subwords.encode(found[start : start + 16], features, context=model.context))
            for start in range(0, len(found), 16)
        ]
    )
    nats, tokens, size = scores.sum(axis=0)
    return {"loss": float(nats / tokens), "bits_per_byte": float(nats / size / np.log(2))}


def _scored(module: Any, arrays: dict[str, Any]) -> Any:
    import torch

    with torch.inference_mode():
        return module(**{name: torch.from_numpy(array) for name, array in arrays.items()}).double().numpy()


if __name__ == "__main__":
    _talk.serve(Trained())
