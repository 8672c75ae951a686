"""A GPT from scratch through the job that `yard run` trains candidates with, in so many seconds."""

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
        """Seconds that the job took, and the loss of its weights on the held-out chapters."""
        from modelyard import parts
        from modelyard.context import Silence
        from modelyard.learn import jobs
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
        with TemporaryDirectory() as build:
            spec = jobs.JobSpec(
                candidate="gpt",
                model="gpt",
                options=options,
                fold=0,
                seed=seed,
                metric="bits_per_byte",
                rows="",
                budget=seconds,
            )
            work = jobs.Work(
                task=task, state=state, train=rows, train_target=np.zeros(len(rows)), validation=held, validation_target=np.zeros(HELD),
                metric=lambda scores, target: float(scores[:, 0].sum() / scores[:, 2].sum()), greater_is_better=False, threads=threads,
                seconds=seconds, checkpoint_seconds=600.0, decide=lambda name, choose: decisions.setdefault(name, choose()),
                decided=decisions.get, progress=Silence(),
            )  # fmt: skip
            began = time.monotonic()
            job = jobs.execute(spec, work, Path(build))
            took = time.monotonic() - began
            session, features, model = _opened(Path(build) / spec.folder, options, state)
            found = _loss(session, features, model, place, characters=tokenizer == "characters")
        blocks = options["batch_rows"] * options["context"]
        return {
            "seconds": took,
            "steps": job.facts["steps"],
            "tokens": job.facts["steps"] * blocks,
            "parameters": job.facts["parameters"],
            **found,
        }


def _opened(place: Path, options: dict[str, Any], state: Any) -> tuple[Any, dict[str, Any], Any]:
    from modelyard import parts
    from modelyard.store import read_json

    model, features = parts.build("models", "gpt", options), read_json(place / "features.json")
    return parts.build("sessions", "torch").open(place, model, features, state), features, model


def _loss(session: Any, features: dict[str, Any], model: Any, place: Path, *, characters: bool) -> dict[str, float]:
    """`loss` (nats a token) and `bits_per_byte`: characters in the windows that nanoGPT is asked for, pieces in whole chapters."""
    from modelyard.features import subwords

    texts = nanogpt_alone.cut(place) if characters else pl.read_parquet(place / "test.parquet")["text"].to_list()
    ids = subwords.ids_of(texts, features)
    found = [(each, 1) if characters else ([features["end"], *each], 1) for each in ids]
    scores = np.concatenate(
        [
            session(subwords.encode(found[start : start + 256], features, context=model.context))
            for start in range(0, len(found), 256)
        ]
    )
    nats, tokens, size = scores.sum(axis=0)
    return {"loss": float(nats / tokens), "bits_per_byte": float(nats / size / np.log(2))}


if __name__ == "__main__":
    _talk.serve(Trained())
