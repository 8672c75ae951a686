"""The model card: what the records say, for people. The sentences stand in `MODEL_CARD.md.jinja`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelyard.packages import Manifest
from modelyard.predictor import Artifact
from modelyard.records.audited import Audited
from modelyard.records.compressed import Compressed
from modelyard.records.evaluated import Evaluated
from modelyard.records.prepared import Prepared

MADE = {"text": "a text", "image": "an image", None: "a number"}
MOST_SLICES = 40
"""Rows of the table of groups: the report has them all."""


def write(
    manifest: Manifest,
    artifact: Artifact,
    *,
    prepared: Prepared | None,
    evaluated: Evaluated | None,
    audited: Audited | None,
    compressed: Compressed,
) -> str:
    """The card as Markdown."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Markdown, not HTML: escaping would show as entities
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    chosen = next(variant for variant in compressed.variants if variant.name == compressed.chosen)
    state = artifact.state
    levels = [found.level for found in manifest.metrics.values()]
    return pages.get_template("MODEL_CARD.md.jinja").render(
        manifest=manifest,
        refused=[gate for gate in manifest.gates if not gate.passed],
        answers=", ".join(f"`{name}`" for name in state.classes) or f"{MADE[state.makes]}, `{state.target}`",
        inputs=", ".join(f"`{column.name}` ({column.type})" for column in state.inputs),
        target=state.target,
        split_by=prepared.split_by if prepared else "unknown",
        splits={name: split.rows for name, split in prepared.splits.items()} if prepared else {},
        sources=_sources(prepared),
        metrics=manifest.metrics,
        level=levels[0] if levels else 0.95,
        measured="packaged" if compressed.test else "trained",
        slices=_slices(evaluated, manifest.metric),
        findings=audited.findings if audited else (),
        members=artifact.members,
        temperature=artifact.temperature,
        bias=artifact.bias,
        threshold=artifact.threshold,
        positive=state.positive,
        compression={
            "chosen": chosen.name,
            "agreement": chosen.same,
            "rows": chosen.rows,
            "ratio": compressed.size_ratio,
        },
    )


def _sources(prepared: Prepared | None) -> list[str]:
    """File names, without the folders of the machine that built it."""
    files = prepared.source.get("files", []) if prepared else []
    return [
        Path(str(file.get("path", file.get("name", "")) if isinstance(file, dict) else file)).name for file in files
    ]


def _slices(evaluated: Evaluated | None, metric: str) -> list[dict[str, Any]]:
    """Groups with their figure, worst first."""
    if evaluated is None:
        return []
    rows = [
        {"name": f"{column} = {value}", "rows": part.rows, "found": part.metrics[metric]}
        for column, groups in evaluated.slices.items()
        for value, part in groups.items()
        if metric in part.metrics
    ]
    better = evaluated.greater_is_better.get(metric, True)
    rows.sort(key=lambda row: row["found"].value if better else -row["found"].value)  # type: ignore[attr-defined]
    return rows[:MOST_SLICES]
