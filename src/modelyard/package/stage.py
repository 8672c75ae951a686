"""The stage package: assemble the folder, prove in a fresh process that it answers, pack it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from modelyard import __version__, packages, parts
from modelyard.context import Context
from modelyard.errors import GateFailed
from modelyard.package import card, deploying, held_out, licence, probe, requirements, wheel
from modelyard.packages import Manifest
from modelyard.predictor import Artifact, Predictor
from modelyard.records._base import Gate
from modelyard.records.audited import Audited
from modelyard.records.compressed import Compressed
from modelyard.records.evaluated import Evaluated
from modelyard.records.packaged import Packaged
from modelyard.records.prepared import Prepared
from modelyard.rows import GREY_IMAGE, Array, Column, example_series, from_frame, from_records, read_split
from modelyard.store import read_json, replacing_folder, to_json, write_json, write_text
from modelyard.units import Quantity

LARGEST = 600e6
"""Bytes that serving may need installed: what a small container image still carries lightly."""
BEFORE = ("prepare", "train", "evaluate", "audit", "compress")
"""Stages whose gates a package carries; later ones write `verdict.json`."""
EXAMPLES = 3


def run(context: Context) -> Packaged:
    """See `modelyard.package.run`."""
    failed = [
        gate
        for record in context.records.values()
        for gate in record.gates
        if record.stage in BEFORE and not gate.passed
    ]
    if failed and not context.force:
        raise GateFailed(
            "; ".join(f"{gate.name}: demanded {gate.demanded}, measured {gate.measured}" for gate in failed)
        )
    compressed = context.record(Compressed)
    source = context.store.path(compressed.artifact)
    artifact = Artifact.model_validate(read_json(source / "artifact.json"))
    predictor = Predictor(artifact, source)
    manifest = _manifest(context, predictor)
    folder = context.store.path("package")
    with context.progress.bar("package", 3) as advance, replacing_folder(folder) as temporary:
        _fill(context, temporary, manifest, artifact, source)
        held_out.reference(context, predictor).save(temporary)
        packages.write_hashes(temporary)
        advance(1)
        tried = probe.attempt(temporary)
        needed = requirements.closure({*requirements.SERVER, *requirements.of_modules(tried.loaded)})
        advance(1)
        installed = requirements.installed_bytes(needed)
        write_text(temporary / "requirements.txt", _requirements(requirements.pinned(needed)))
        deploying.write(temporary, manifest, requirements.pinned(needed), installed=installed)
        digest = packages.write_hashes(temporary)
        _open_to_read(temporary)
        advance(1)
    archive = packages.archive_of(folder)
    packages.pack(folder, archive)
    names = packages.files(folder)
    return Packaged(
        name=manifest.name,
        version=manifest.version,
        archive=archive.name,
        hash=digest,
        archive_hash=packages.sha256(archive),
        bytes=Quantity(float(sum(place.stat().st_size for place in names.values())), "B"),
        archive_bytes=Quantity(float(archive.stat().st_size), "B"),
        files={name: place.stat().st_size for name, place in names.items()},
        sessions=tuple(member.session for member in artifact.members),
        requirements=requirements.pinned(needed),
        installed=Quantity(float(installed), "B"),
        refused=manifest.refused,
        measured_cold_start=Quantity(round(tried.seconds, 3), "s"),
        gates=_gates(tried, manifest, installed),
    )


def _manifest(context: Context, predictor: Predictor) -> Manifest:
    """What the package says of itself."""
    blueprint, state = context.blueprint, predictor.state
    evaluated = _found(context, Evaluated)
    compressed = context.record(Compressed)
    measured = compressed.test.metrics if compressed.test else evaluated.metrics if evaluated else {}
    examples = _examples(context, state.inputs)
    return Manifest(
        name=blueprint.name,
        version=blueprint.package.version,
        description=blueprint.package.description,
        licence=blueprint.package.licence,
        task=state.task,
        modelyard=__version__,
        metric=compressed.metric,
        metrics=measured,
        gates=tuple(gate for record in context.records.values() for gate in record.gates if record.stage in BEFORE),
        max_rows=blueprint.serve.max_rows,
        max_body=int(blueprint.serve.max_body.value),
        p95=blueprint.serve.p95.value,
        missing=blueprint.data.missing,
        examples=tuple(examples),
        answers=tuple(predictor.answer(from_records(examples, state.inputs))) if examples else (),
    )


def _found(context: Context, kind: Any) -> Any:
    """An earlier record, or None where its stage did not run."""
    return next((record for record in context.records.values() if isinstance(record, kind)), None)


def _examples(context: Context, inputs: tuple[Column, ...]) -> list[dict[str, Any]]:
    """A few made-up rows as the API takes them: the quartiles of each column on its own, so that a package shows nobody's row.

    Texts are nobody's either: a sentence that says which column it stands for.
    """
    frame = read_split(context.store.path("data"), "train")
    rows = from_frame(frame, {column.name: column.type for column in inputs})
    columns = {column.name: _quartiles(rows[column.name], column) for column in inputs}
    return [{name: values[number] for name, values in columns.items()} for number in range(EXAMPLES)]


def _quartiles(values: Array, column: Column) -> list[Any]:
    """`EXAMPLES` values of a column: quartiles of what can be ordered, the commonest categories, a made-up text, image or series."""
    if column.type == "text":
        return [f"A {column.name} to try." for _ in range(EXAMPLES)]
    if column.type == "image":
        return [GREY_IMAGE] * EXAMPLES
    if column.type == "sequence":
        return [example_series(column.channels)] * EXAMPLES
    if column.type == "category":
        return [column.values[number % len(column.values)] if column.values else None for number in range(EXAMPLES)]
    known = np.sort(values[~np.isnan(values)])
    shares = np.linspace(0, 1, EXAMPLES + 2)[1:-1]
    return [_plain(float(known[int(share * (len(known) - 1))]), column) if len(known) else None for share in shares]


def _plain(value: float, column: Column) -> Any:
    """A number as a person would send it."""
    if column.type == "boolean":
        return bool(value)
    if column.type == "date":
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return int(value) if column.whole and value.is_integer() else value


def _fill(context: Context, folder: Path, manifest: Manifest, artifact: Artifact, source: Path) -> None:
    """Everything but requirements and hashes. Files are copied, not linked: what is shipped may be edited."""
    for member in artifact.members:
        shutil.copytree(source / member.folder, folder / member.folder)
    artifact.save(folder)
    write_json(folder / packages.MANIFEST, manifest.model_dump(mode="json"))
    page = card.write(
        manifest,
        artifact,
        prepared=_found(context, Prepared),
        evaluated=_found(context, Evaluated),
        audited=_found(context, Audited),
        compressed=context.record(Compressed),
    )
    write_text(folder / "MODEL_CARD.md", page)
    started = licence.pretrained_of(
        [parts.build("models", each.model, each.options).model_dump() for each in artifact.members]
    )
    write_text(folder / "LICENCE.txt", licence.text(manifest.name, manifest.licence, started))
    (folder / "wheels").mkdir()
    wheel.write(folder / "wheels")


def _open_to_read(folder: Path) -> None:
    """Everybody may read it: safetensors writes files for their owner alone, and a service runs as another user."""
    for place in folder.rglob("*"):
        place.chmod(0o755 if place.is_dir() else 0o644)


def _requirements(pinned: tuple[str, ...]) -> str:
    lines = ["# pip install --no-deps -r requirements.txt", "--find-links wheels", f"modelyard=={__version__}", *pinned]
    return "\n".join(lines) + "\n"


def _gates(tried: probe.Tried, manifest: Manifest, installed: int) -> tuple[Gate, ...]:
    """What a fresh process showed."""
    same = tried.agrees(manifest.answers)
    return (
        Gate(
            name="package.answers",
            demanded="a fresh process gives the manifest's answers",
            measured="the same" if same else f"others: {to_json(tried.answers, indent=None)[:200]}",
            passed=same,
        ),
        Gate(
            name="package.imports",
            demanded=f"none of {', '.join(probe.FORBIDDEN)}",
            measured=", ".join(tried.forbidden) or "none",
            passed=not tried.forbidden,
        ),
        Gate(
            name="package.size",
            demanded=f"installed for serving < {LARGEST / 1e6:g} MB",
            measured=f"{installed / 1e6:.0f} MB",
            passed=installed < LARGEST,
        ),
    )
