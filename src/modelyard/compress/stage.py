"""The stage compress: variants, parity, speed, choice, gates."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelyard import parts
from modelyard.compress import measuring, variants
from modelyard.compress.measuring import Compared
from modelyard.context import Context
from modelyard.errors import MissingExtra, ModelyardError
from modelyard.metrics import Bootstrap, find
from modelyard.predictor import Artifact, Predictor
from modelyard.records._base import Gate
from modelyard.records.compressed import Compressed, Variant
from modelyard.records.trained import Trained
from modelyard.rows import GROUP, from_frame, read_split
from modelyard.store import fingerprint, hash_tree, read_json, replacing, write_json
from modelyard.units import Quantity

SOURCES = ("compress", "sessions", "models/_contract.py", "predictor.py")
"""Code that changes what a variant holds or answers."""


def run(context: Context) -> Compressed:
    """See `modelyard.compress.run`."""
    trained = context.record(Trained)
    source = context.store.path(trained.artifact)
    artifact = Artifact.model_validate(read_json(source / "artifact.json"))
    hashes = trained.hashes or hash_tree(source)
    compared = _compared(context, trained, artifact, source, hashes)
    tried = _tried(context, artifact, source, hashes, compared)
    made = [variant for variant in tried if variant.status == "measured"]
    if not made:
        raise _nothing(tried)
    timings = _timed(context, made, source, compared)
    tried = [variant.model_copy(update={"timings": timings.get(variant.name, {})}) for variant in tried]
    chosen = _choose(context, tried)
    p50 = {name: timings[name]["row_p50"] for name in ("trained", chosen.name) if name in timings}
    value = compared.metric.of(compared.sample(compared.trained))
    return Compressed(
        metric=compared.metric.name,
        greater_is_better=compared.metric.greater_is_better,
        rows=len(compared.rows),
        rows_seen_in_training=trained.folds > 1,
        trained_metric=value if np.isfinite(value) else None,
        trained_bytes=Quantity(float(variants.size(source)), "B"),
        variants=tuple(tried),
        chosen=chosen.name,
        artifact=chosen.folder,
        hashes=chosen.hashes,
        size_ratio=variants.size(source) / chosen.bytes.value,
        gates=_gates(context, tried, chosen),
        timings={"trained": timings.get("trained", {}), "speedup": p50["trained"] / p50[chosen.name] if len(p50) == 2 else 1.0},
    )


def _compared(context: Context, trained: Trained, artifact: Artifact, source: Path, hashes: dict[str, str]) -> Compared:
    """Validation rows and what the trained artifact says about them (kept, because torch takes its time)."""
    blueprint, state = context.blueprint, artifact.state
    task = parts.build("tasks", state.task)
    frame = read_split(context.store.path("data"), "validation")
    rows = from_frame(frame, state.types())
    target = task.encode_target(_target(frame, state), state)
    place = context.store.path("compress", "trained.npz")
    key = fingerprint([sorted(hashes.items()), trained.key, frame.height])
    scores = _kept(place, key)
    if scores is None:
        scores = measuring.open_with(source, context.threads).scores(rows)
        with replacing(place) as temporary, temporary.open("wb") as file:
            np.savez(file, scores=scores, key=np.array(key))
    groups = frame[GROUP].to_numpy() if GROUP in frame.columns else None
    return Compared(
        rows=rows, target=target, groups=groups, trained=scores, task=task, state=state, threshold=artifact.threshold,
        metric=find(trained.metric), positive=state.classes.index(state.positive) if state.positive is not None else None,
        k=blueprint.evaluate.top_k, tolerance=blueprint.compress.tolerance,
        bootstrap=Bootstrap(count=blueprint.evaluate.bootstrap, level=blueprint.evaluate.level, seed=blueprint.train.seed),
    )  # fmt: skip


def _target(frame: Any, state: Any) -> Any:
    import polars as pl

    column = frame[state.target]
    return column.cast(pl.String).to_numpy().astype(object) if state.classes else column.cast(pl.Float64).to_numpy()


def _kept(place: Path, key: str) -> Any:
    if not place.exists():
        return None
    with np.load(place, allow_pickle=False) as kept:
        return kept["scores"] if str(kept["key"]) == key else None


def _tried(context: Context, artifact: Artifact, source: Path, hashes: dict[str, str], compared: Compared) -> list[Variant]:
    """Every variant, made and compared; both are kept, so that a killed build goes on where it was."""
    blueprint = context.blueprint
    asked = variants.recipes(artifact.members, blueprint.compress.methods, parts.names("compress.methods"))
    sources = parts.source_hash(*SOURCES)
    rows = from_frame(read_split(context.store.path("data"), "train"), artifact.state.types())
    tried = []
    with tempfile.TemporaryDirectory(prefix="modelyard-") as workshop, context.progress.bar("compress", len(asked)) as advance:
        bench = variants.Workbench(artifact, source, rows, Path(workshop), seed=blueprint.train.seed)
        for recipe in asked:
            tried.append(_try(context, recipe, artifact, source, recipe.key(hashes, sources), bench, compared))
            advance(1)
    return tried


def _try(
    context: Context, recipe: variants.Recipe, artifact: Artifact, source: Path, key: str, bench: variants.Workbench, compared: Compared
) -> Variant:
    """Make one variant and compare it."""
    named: dict[str, Any] = {"name": recipe.name, "options": recipe.options}
    reason = recipe.method.missing() if recipe.method else ""
    if reason:
        return Variant(**named, status="skipped", reason=reason)
    folder = context.store.path("compress", recipe.name)
    note = context.store.path("compress", f"{recipe.name}.json")
    demands = fingerprint([key, compared.threshold, compared.tolerance, compared.metric.name, len(compared.rows), fingerprint(compared.bootstrap.__dict__)])
    kept = read_json(note) if note.exists() else {}
    try:
        variants.make(recipe, artifact, source, folder, key=key, exportables=bench)
        if kept.get("key") != demands or kept["hashes"] != variants.contents(folder):
            found = compared.parity(measuring.open_with(folder, context.threads))
            kept = {"key": demands, "hashes": variants.contents(folder), "found": Variant(**named, status="measured", **found).model_dump(mode="json")}
            write_json(note, kept)
    except (MemoryError, OSError):
        raise
    except ModelyardError as error:
        return Variant(**named, status="failed", reason=str(error))
    except Exception as error:  # exporters raise of every kind; one that fails leaves the other methods
        return Variant(**named, status="failed", reason=f"{type(error).__name__}: {str(error).strip()[:300]}")
    variant = Variant.model_validate(kept["found"])
    section = context.blueprint.compress
    passed = _agreement(variant) >= section.agreement and (variant.drop is None or variant.drop.value <= section.max_drop)
    return variant.model_copy(
        update={
            "passed": passed,
            "folder": f"compress/{recipe.name}",
            "bytes": Quantity(float(variants.size(folder)), "B"),
            "hashes": kept["hashes"],
        }
    )


def _agreement(variant: Variant) -> float:
    """The lower of the two: with the trained model, and of rows alone with rows beside others."""
    return min(variant.agreement or 0.0, 1.0 if variant.alone is None else variant.alone)


def _nothing(tried: Sequence[Variant]) -> ModelyardError:
    reasons = "; ".join(f"{variant.name}: {variant.reason}" for variant in tried) or "no method applies"
    if all(variant.status == "skipped" for variant in tried):
        return MissingExtra(f"a model that runs without torch ({reasons})", "text")
    return ModelyardError(f"no compress method could export the trained model: {reasons}")


def _timed(context: Context, made: Sequence[Variant], source: Path, compared: Compared) -> dict[str, dict[str, float]]:
    """Speeds of the trained artifact and of the variants that may be chosen; others are not worth their seconds."""
    eligible = [variant for variant in made if variant.passed] or [_fallback(made)]
    predictors: dict[str, Predictor] = {}
    opened: dict[str, float] = {}
    for name, folder in {"trained": source, **{variant.name: context.store.path(variant.folder) for variant in eligible}}.items():
        start = time.perf_counter()
        predictors[name] = measuring.open_with(folder, context.threads)
        opened[name] = time.perf_counter() - start
    return {name: {**found, "open": opened[name]} for name, found in measuring.speeds(predictors, compared.rows).items()}


def _fallback(made: Sequence[Variant]) -> Variant:
    """What `--force` would package where no variant passes: the one that agrees most."""
    return max(made, key=lambda variant: (_agreement(variant), -(variant.drop.value if variant.drop else 0.0)))


def _choose(context: Context, tried: Sequence[Variant]) -> Variant:
    """The fastest that passes. A clock decides, so the choice is written down, under the key of what there was to choose from."""
    passing = [variant for variant in tried if variant.passed]
    if len(passing) <= 1:
        return passing[0] if passing else _fallback([variant for variant in tried if variant.status == "measured"])
    key = fingerprint([[variant.name, variant.hashes] for variant in passing])[:12]
    name = context.decide(f"compress.variant.{key}", lambda: min(passing, key=lambda variant: variant.timings.get("row_p50", 0.0)).name)
    return next(variant for variant in passing if variant.name == name)


def _gates(context: Context, tried: Sequence[Variant], chosen: Variant) -> tuple[Gate, ...]:
    """Whether any variant gives the trained model's answers, and whether any of those keeps its quality."""
    section = context.blueprint.compress
    cure = "Allow more under compress (agreement, tolerance, max_drop), or try other methods or options."
    agreeing = _agreement(chosen)
    unit = "rows" if chosen.drop is None else chosen.drop
    drop = "undefined on these rows" if unit == "rows" else f"{chosen.drop.value:.5g} ({chosen.drop.low:.5g} to {chosen.drop.high:.5g})"  # type: ignore[union-attr]
    return (
        Gate(
            name="compress.parity", demanded=f"agreement >= {section.agreement:g}", measured=f"{agreeing:.5g} ({chosen.name})",
            passed=agreeing >= section.agreement, cure=cure,
        ),
        Gate(
            name="compress.drop", demanded=f"drop <= {section.max_drop:g}", measured=f"{drop} ({chosen.name})",
            passed=chosen.drop is None or chosen.drop.value <= section.max_drop, cure=cure,
        ),
    )  # fmt: skip
