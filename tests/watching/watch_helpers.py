"""The recipes' real data, a real model on a part of each, and windows of the rest."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from modelyard import parts
from modelyard.models._contract import Clock, Examples
from modelyard.predictor import Artifact, Member, Predictor
from modelyard.rows import Array, Column, Rows, from_frame
from modelyard.rows_schema import input_columns
from modelyard.store import write_json
from modelyard.watching.measures import Binner
from modelyard.watching.reference import Reference, make_reference

RECIPES = Path(__file__).parents[2] / "recipes"
TASKS = {
    "mail": "text-classification",
    "credit": "tabular-classification",
    "house-prices": "tabular-regression",
    "fashion": "image-classification",
}
TARGETS = {"mail": "label", "credit": "Status", "house-prices": "Sale_Price", "fashion": "label"}
WINDOW = 500


@dataclass(frozen=True)
class Data:
    """A data set, the rows that its model learnt from, and what the model answers to all of them."""

    rows: Rows
    columns: tuple[Column, ...]
    answers: tuple[dict[str, Any], ...]
    kind: Literal["classification", "regression"]
    learnt: Array
    """Numbers of the rows that the model learnt from."""
    sent: Array
    """When, in seconds since 1970; NaN where it is not known."""
    predictor: Predictor

    @property
    def others(self) -> Array:
        """Numbers of the rows that it did not learn from."""
        return np.setdiff1d(np.arange(len(self.rows)), self.learnt)

    def said(self, places: Sequence[int] | Array) -> list[dict[str, Any]]:
        return [self.answers[place] for place in places]

    def reference(self, places: Array, *, seed: int = 0, resamples: int = 10_000, window: int = WINDOW) -> Reference:
        return make_reference(
            self.rows.take(places), self.said(places), training=self.rows.take(self.learnt), columns=self.columns, kind=self.kind,
            seed=seed, resamples=resamples, window=window,
        )  # fmt: skip

    def bins(self, reference: Reference, places: Array | slice = slice(None)) -> Array:
        numbers = np.arange(len(self.rows))[places]
        return reference.binner.bins(self.rows.take(numbers), self.said(numbers))


def load(name: str, folder: Path, *, learn: int, most: int | None = None, learn_from: str = "anywhere") -> Data:
    """A recipe's data; a linear model learns from `learn` rows drawn from anywhere, or from the `earliest` 80 %."""
    frame = pl.read_parquet(next((RECIPES / {"mail": "mail-spam"}.get(name, name)).glob("*.parquet")))
    frame = frame if most is None else frame.head(most)
    types: dict[str, Any] = {"mail": {"subject": "text", "body": "text"}, "fashion": {"image": "image"}}.get(name) or {
        column: "category" if kind == pl.String else "number"
        for column, kind in frame.schema.items()
        if column != TARGETS[name]
    }
    rows, sent = from_frame(frame, types), _sent(frame)
    rng = np.random.default_rng(7)
    from_ = earliest(sent) if learn_from == "earliest" else np.arange(len(rows))
    learnt = rng.choice(from_, learn, replace=False)
    columns = tuple(input_columns(frame, types))
    predictor = _fitted(TASKS[name], frame, rows, columns, TARGETS[name], learnt, folder / name)
    kind: Literal["classification", "regression"] = "regression" if name == "house-prices" else "classification"
    return Data(rows, columns, tuple(predictor.answer(rows)), kind, learnt, sent, predictor)


def earliest(sent: Array, share: float = 0.8) -> Array:
    """Numbers of the earliest rows of those whose time is known."""
    known = np.flatnonzero(~np.isnan(sent))
    return known[np.argsort(sent[known], kind="stable")][: int(share * len(known))]


def clean_alarms(data: Data, *, references: int, held: int, resamples: int, windows: int = 1000) -> tuple[int, int]:
    """(alarms, windows) of disjoint windows of rows that neither model nor reference knows, against several references."""
    alarms = count = 0
    of_inputs: Array | None = None  # the same for every reference: these bins are made of the training rows
    for seed in range(references):
        order = np.random.default_rng(100 + seed).permutation(data.others)
        reference = data.reference(order[:held], seed=seed, resamples=resamples)
        if of_inputs is None:
            inputs = [feature for feature in reference.features if feature.column]
            of_inputs = Binner(inputs).bins(data.rows, data.answers)
        answers = Binner([feature for feature in reference.features if not feature.column])
        everything = np.hstack([of_inputs, answers.bins(data.rows, data.answers)])
        for start in range(held, len(order) - WINDOW + 1, WINDOW):
            counts = reference.binner.counts(everything[order[start : start + WINDOW]])
            alarms += reference.judge(counts, WINDOW, at=0.0).drift
            count += 1
            if count == windows:
                return alarms, count
    return alarms, count


def brightened(data: Data, places: Array, factor: float) -> Rows:
    """Images of these rows, each pixel times a factor and cut at white."""
    from PIL import Image

    rows = data.rows.take(places)
    changed = np.empty(len(rows), dtype=object)
    for number, image in enumerate(rows["image"]):
        pixels = np.asarray(Image.open(io.BytesIO(image)), dtype=np.float64)
        file = io.BytesIO()
        Image.fromarray(np.clip(np.round(pixels * factor), 0, 255).astype(np.uint8)).save(file, "PNG")
        changed[number] = file.getvalue()
    return rows.replace(image=changed)


def _fitted(
    task_name: str, frame: pl.DataFrame, rows: Rows, columns: Sequence[Column], target: str, learnt: Array, folder: Path
) -> Predictor:
    from safetensors.numpy import save_file

    task, model = parts.build("tasks", task_name), parts.build("models", "linear")
    values = frame[target].to_numpy()
    values = values.astype(np.float64) if task.kind == "regression" else values.astype(object)
    state = task.fit(values[learnt], target, columns, None)
    numbers, some = task.standardised(task.encode_target(values[learnt], state), state), rows.take(learnt)
    features = model.features(some, numbers, state, seed=0)
    (folder / "linear").mkdir(parents=True)
    write_json(
        folder / "linear" / "features.json", {key: each for key, each in features.items() if not key.startswith("_")}
    )
    half = len(learnt) // 2
    examples = [
        Examples(model.encode(some.take(part), features), numbers[part]) for part in (slice(half), slice(half, None))
    ]
    weights = model.fit(*examples, state, features, seed=0, threads=1, clock=Clock())
    save_file(weights, str(folder / "linear" / "weights.safetensors"))
    artifact = Artifact(name="x", state=state, members=(Member(candidate="linear", model="linear", folder="linear"),))
    artifact.save(folder)
    return Predictor.open(folder)


def _sent(frame: pl.DataFrame) -> Array:
    """When each mail was sent; those that claim a year before 2000 or after 2003 lie."""
    found = np.full(frame.height, np.nan)
    for row, text in enumerate(frame["sent"] if "sent" in frame.columns else []):
        try:
            when = parsedate_to_datetime(text)
        except (TypeError, ValueError):
            continue
        if 2000 <= when.year <= 2003:
            found[row] = when.timestamp()
    return found
