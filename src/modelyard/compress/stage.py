"""The stage compress: make the variants, compare them, measure them, choose the fastest that keeps the answers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modelyard import parts
from modelyard.compress import measuring, variants
from modelyard.compress.comparing import Comparison, trained_scores
from modelyard.context import Context
from modelyard.errors import MissingExtra, ModelyardError
from modelyard.predictor import Artifact, Predictor
from modelyard.records._base import Derived, Gate
from modelyard.records.compressed import Compressed, Variant
from modelyard.records.trained import Trained
from modelyard.rows import from_frame, read_split
from modelyard.store import fingerprint, hash_tree, read_json
from modelyard.units import Quantity

SOURCES = ("compress", "sessions", "models", "tasks", "predictor.py")
"""Code that changes what a variant holds or answers."""


def run(context: Context) -> Compressed:
    """See `modelyard.compress.run`."""
    trained = context.record(Trained)
    source = context.store.path(trained.artifact)
    artifact = Artifact.model_validate(read_json(source / "artifact.json"))
    hashes = trained.hashes or hash_tree(source)
    comparison = Comparison(context, trained_scores(context, trained, artifact, hashes))
    tried = _made(context, artifact, source, hashes)
    tried = [comparison.screened(variant) for variant in tried]
    made = [variant for variant in tried if variant.status == "measured"]
    if not made:
        raise _nothing(tried)
    timings = _timed(context, made, source, comparison)
    tried = [variant.model_copy(update={"timings": timings.get(variant.name, {})}) for variant in tried]
    tried, chosen = _choose(context, tried, comparison)
    p50 = {name: timings[name]["row_p50"] for name in ("trained", chosen.name) if name in timings}
    rows = comparison.everything
    value = rows.metric.of(rows.sample(rows.trained))
    methods = {variant.name: variant.options for variant in tried if variant.name != variants.NATIVE}
    told = Derived(path="compress.methods", value=methods, reason="every method that applies, with every option")
    return Compressed(
        metric=rows.metric.name,
        greater_is_better=rows.metric.greater_is_better,
        rows=len(rows.rows),
        rows_seen_in_training=trained.saw_validation,
        trained_metric=value if np.isfinite(value) else None,
        trained_bytes=Quantity(float(variants.size(source)), "B"),
        derived=(told,) if methods else (),
        variants=tuple(tried),
        chosen=chosen.name,
        artifact=chosen.folder,
        hashes=chosen.hashes,
        size_ratio=variants.size(source) / chosen.bytes.value,
        gates=_gates(context, chosen),
        timings={
            "trained": timings.get("trained", {}),
            "speedup": p50["trained"] / p50[chosen.name] if len(p50) == 2 else 1.0,
        },
    )


def _made(context: Context, artifact: Artifact, source: Path, hashes: dict[str, str]) -> list[Variant]:
    """Every variant's folder, kept by key, so that a killed build goes on where it was."""
    blueprint = context.blueprint
    asked = variants.recipes(artifact.members, blueprint.compress.methods, parts.names("compress.methods"))
    sources = parts.source_hash(*SOURCES)
    rows = from_frame(read_split(context.store.path("data"), "train"), artifact.state.scored())
    with (
        tempfile.TemporaryDirectory(prefix="modelyard-") as workshop,
        context.progress.bar("compress", len(asked)) as advance,
    ):
        bench = variants.Workbench(
            artifact, source, rows, Path(workshop), seed=blueprint.train.seed, threads=context.threads
        )
        made = []
        for recipe in asked:
            folder = context.store.path("compress", recipe.name)
            made.append(_make(recipe, artifact, source, folder, recipe.key(hashes, sources), bench))
            advance(1)
    return made


def _make(
    recipe: variants.Recipe, artifact: Artifact, source: Path, folder: Path, key: str, bench: variants.Workbench
) -> Variant:
    """One variant's folder, or why there is none."""
    variant = Variant(name=recipe.name, options=recipe.options, status="measured", folder=f"compress/{recipe.name}")
    reason = recipe.method.missing() if recipe.method else ""
    if reason:
        return variant.model_copy(update={"status": "skipped", "reason": reason, "folder": ""})
    try:
        variants.make(recipe, artifact, source, folder, key=key, exportables=bench)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # exporters raise errors of every kind; one that fails leaves the other methods
        lines = str(error).strip().splitlines() or [""]
        return variant.model_copy(
            update={"status": "failed", "reason": f"{type(error).__name__}: {lines[0][:300]}", "folder": ""}
        )
    return variant.model_copy(
        update={"bytes": Quantity(float(variants.size(folder)), "B"), "hashes": variants.contents(folder)}
    )


def _nothing(tried: Sequence[Variant]) -> ModelyardError:
    reasons = "; ".join(f"{variant.name}: {variant.reason}" for variant in tried) or "no method applies"
    if all(variant.status == "skipped" for variant in tried):
        return MissingExtra(f"a model that runs without torch ({reasons})", "text")
    return ModelyardError(f"no compress method could export the trained model: {reasons}")


def _timed(
    context: Context, made: Sequence[Variant], source: Path, comparison: Comparison
) -> dict[str, dict[str, float]]:
    """Speeds of the trained artifact and of every variant, all open at once and asked in turns."""
    predictors: dict[str, Predictor] = {}
    opened: dict[str, float] = {}
    for name, folder in {
        "trained": source,
        **{variant.name: context.store.path(variant.folder) for variant in made},
    }.items():
        start = time.perf_counter()
        predictors[name] = measuring.open_with(folder, context.threads)
        opened[name] = time.perf_counter() - start
    found = measuring.speeds(predictors, comparison.everything.rows)
    return {name: {**each, "open": opened[name]} for name, each in found.items()}


def _choose(context: Context, tried: Sequence[Variant], comparison: Comparison) -> tuple[list[Variant], Variant]:
    """The fastest that passes on all rows; slower ones are not asked. A clock orders them, so the order is written down."""
    hopeful = [variant for variant in tried if variant.status == "measured" and comparison.hopeful(variant)]
    key = fingerprint([[variant.name, sorted(variant.hashes.items())] for variant in hopeful])[:12]

    def order() -> list[str]:
        return [variant.name for variant in sorted(hopeful, key=lambda variant: variant.timings.get("row_p50", 0.0))]

    asked = order() if len(hopeful) < 2 else context.decide(f"compress.variant.{key}", order)
    known = {variant.name: variant for variant in tried}
    hopeless = [variant.name for variant in tried if variant.status == "measured" and variant not in hopeful]
    known |= {name: known[name].model_copy(update={"passed": False}) for name in hopeless}
    for name in asked:
        known[name] = comparison.full(known[name])
        if known[name].passed:
            return list(known.values()), known[name]
    measured = [variant for variant in known.values() if variant.status == "measured"]
    best = max(measured, key=lambda variant: (variant.same, -(variant.drop.value if variant.drop else 0.0)))
    known[best.name] = comparison.full(best)
    return list(known.values()), known[best.name]


def _gates(context: Context, chosen: Variant) -> tuple[Gate, ...]:
    """The chosen variant's parity and quality; where none passed, those of the one that agrees most."""
    section, drop = context.blueprint.compress, chosen.drop
    cure = "Allow more under compress (agreement, tolerance, max_drop), or name other methods or options there."
    lost = "undefined on these rows" if drop is None else f"{drop.value:.5g} ({drop.low:.5g} to {drop.high:.5g})"
    return (
        Gate(
            name="compress.parity",
            demanded=f"agreement >= {section.agreement:g}",
            measured=f"{chosen.same:.5g} ({chosen.name})",
            passed=chosen.same >= section.agreement,
            cure=cure,
        ),
        Gate(
            name="compress.drop",
            demanded=f"drop <= {section.max_drop:g}",
            measured=f"{lost} ({chosen.name})",
            passed=drop is None or drop.value <= section.max_drop,
            cure=cure,
        ),
    )
