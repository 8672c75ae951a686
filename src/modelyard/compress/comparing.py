"""Keep what comparing a variant costs: the trained model's scores, and each variant's figures by key.

It knows nothing about how variants are made, and leaves the arithmetic to `measuring`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from modelyard import parts
from modelyard.compress import measuring
from modelyard.compress.measuring import Compared, Figures
from modelyard.context import Context
from modelyard.metrics import Bootstrap, find, top_k_of
from modelyard.predictor import Artifact, Predictor
from modelyard.records.compressed import Variant
from modelyard.records.trained import Trained
from modelyard.rows import ROW, Array, Rows, from_frame, groups_of, read_split
from modelyard.store import fingerprint, read_json, replacing, write_json

SCREEN_ROWS = 128
"""Rows every variant is compared on before the fastest is compared on all: the slow ones need not cost minutes."""

CONFIRMED_ROWS = 64
"""Rows on which the trained artifact is asked again before its scores written by `train` are believed."""


def trained_scores(context: Context, trained: Trained, artifact: Artifact, hashes: dict[str, str]) -> Compared:
    """Validation rows and what the trained artifact says about them."""
    blueprint, state = context.blueprint, artifact.state
    task = parts.build("tasks", state.task)
    frame = read_split(context.store.path("data"), "validation")
    rows = from_frame(frame, state.scored())
    return Compared(
        rows=rows,
        target=task.encode_target(state.target_of(frame), state),
        groups=groups_of(frame),
        trained=_reference(context, trained, frame, rows, hashes),
        task=task,
        state=state,
        threshold=artifact.threshold,
        metric=find(trained.metric),
        positive=state.positive_class,
        top_k=top_k_of(frame, blueprint),
        tolerance=blueprint.compress.tolerance or task.tolerance,
        bootstrap=Bootstrap(
            count=blueprint.evaluate.bootstrap, level=blueprint.evaluate.level, seed=blueprint.train.seed
        ),
    )


def _reference(context: Context, trained: Trained, frame: Any, rows: Rows, hashes: dict[str, str]) -> Array:
    """Scores (n, K) of the trained artifact: `train`'s own where a sample of them is confirmed, else computed and kept."""
    key = fingerprint([sorted(hashes.items()), trained.hashes, frame[ROW].to_list()])
    place = context.store.path("compress", "trained.npz")
    scores = _kept(place, key)
    if scores is not None:
        return scores
    predictor = measuring.open_with(context.store.path(trained.artifact), context.threads)
    scores = (
        _of_training(context.store.path(trained.validation_scores), frame, rows, predictor)
        if trained.folds == 1
        else None
    )
    if scores is None:
        scores = predictor.scores(rows)
    with replacing(place) as temporary, temporary.open("wb") as file:
        np.savez(file, scores=scores, key=np.array(key))
    return scores


def _of_training(place: Path, frame: Any, rows: Rows, predictor: Predictor) -> Array | None:
    """The scores that `train` wrote, if they are of these rows and of this artifact: torch need not answer them all again."""
    if not place.exists():
        return None
    with np.load(place, allow_pickle=False) as found:
        numbers, scores = found["row"], np.asarray(found["scores"])
    if not np.array_equal(numbers, frame[ROW].to_numpy()):
        return None
    places = measuring.spread(len(rows), CONFIRMED_ROWS)
    again = predictor.scores(rows.take(places))
    return (
        scores
        if again.shape == scores[places].shape and np.allclose(again, scores[places], rtol=1e-5, atol=1e-6)
        else None
    )


def _kept(place: Path, key: str) -> Array | None:
    if not place.exists():
        return None
    with np.load(place, allow_pickle=False) as kept:
        return kept["scores"] if str(kept["key"]) == key else None


class Comparison:
    """Compares variants with the trained artifact, on a sample or on all rows, each once."""

    def __init__(self, context: Context, everything: Compared) -> None:
        self.everything = everything
        count = len(everything.rows)
        few = count <= 2 * SCREEN_ROWS
        self._sample = everything if few else everything.take(measuring.spread(count, SCREEN_ROWS))
        self._context, self._section = context, context.blueprint.compress

    def screened(self, variant: Variant) -> Variant:
        """The variant with figures on the sample; `failed` where it cannot be opened or run."""
        if variant.status != "measured":
            return variant
        try:
            return variant.model_copy(update=self._figures(variant, self._sample))
        except (MemoryError, OSError):
            raise
        except Exception as error:  # a runtime that does not know an operator says so only now
            lines = str(error).strip().splitlines() or [""]
            return variant.model_copy(
                update={"status": "failed", "reason": f"{type(error).__name__}: {lines[0][:300]}"}
            )

    def hopeful(self, variant: Variant) -> bool:
        """Whether it would pass if every row outside the sample agreed."""
        missed = round((1 - (variant.agreement or 0.0)) * variant.rows)
        alone = 1.0 if variant.alone is None else variant.alone
        return (
            1 - missed / max(len(self.everything.rows), 1) >= self._section.agreement
            and alone >= self._section.agreement
        )

    def full(self, variant: Variant) -> Variant:
        """The variant with figures on all rows, and whether it passes."""
        found = variant.model_copy(update=self._figures(variant, self.everything))
        kept = found.drop is None or found.drop.value <= self._section.max_drop
        return found.model_copy(update={"passed": kept and found.same >= self._section.agreement})

    def _figures(self, variant: Variant, rows: Compared) -> dict[str, Any]:
        """Fields of the record, kept by what they depend on."""
        settings = [
            rows.threshold,
            rows.tolerance,
            rows.metric.name,
            len(rows.rows),
            rows.top_k.k,
            vars(rows.bootstrap),
        ]
        code = parts.source_hash("metrics", "tasks", "compress")
        trained = fingerprint([np.asarray(rows.trained).tolist()])
        key = fingerprint([sorted(variant.hashes.items()), settings, code, trained])
        place = self._context.store.path("compress", f"{variant.name}.{len(rows.rows)}.json")
        kept = read_json(place) if place.exists() else {}
        if kept.get("key") != key:
            folder = self._context.store.path(variant.folder)
            figures = rows.parity(measuring.open_with(folder, self._context.threads))
            kept = {"key": key, "figures": figures.model_dump(mode="json")}
            write_json(place, kept)
        found = Figures.model_validate(kept["figures"])
        return {name: getattr(found, name) for name in Figures.model_fields}
