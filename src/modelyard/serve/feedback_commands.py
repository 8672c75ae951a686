"""`yard feedback`: the rows that customers labelled and allowed to learn from, as the next build's data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.errors import UserError
from modelyard.store import read_json

app = typer.Typer(no_args_is_help=True, help="Export the rows whose true labels came back, for the next build.")
FORMATS = (".csv", ".jsonl", ".parquet")


@app.command()
def export(
    state: Annotated[Path, typer.Option("--state", help="The state folder that `yard serve --state` was given.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write: .csv, .jsonl or .parquet.")],
    model: Annotated[str | None, typer.Option(help="Which model, where there are several.")] = None,
) -> None:
    """Write labelled rows with their true label in the target's column. Only rows of requests that were kept (`yard serve --keep-payloads`)
    and whose customer gave its consent. The audit log (`admin.jsonl`) says that it was done.

    Example: `yard feedback export --state service -o next.parquet`
    """
    from modelyard.serve.admin import AuditLog
    from modelyard.serve.deployment import DeploymentFile
    from modelyard.serve.labels import Labels, database
    from modelyard.serve.payloads import Reading
    from modelyard.units import counted

    if out.suffix not in FORMATS:
        raise UserError(f"{out}: no format {out.suffix!r}. Allowed: {', '.join(FORMATS)}")
    file = DeploymentFile(state)
    models = file.read().models
    if model is None and len(models) != 1:
        raise UserError(f"which model? Name it: --model. There are: {', '.join(models) or 'none'}")
    name = model or next(iter(models))
    target = _target(state / file.read().model(name).live.folder)
    labels = Labels(database(state)).consented(name)
    AuditLog(state).add("export_feedback", model=name, rows=len(labels))
    reading = Reading(state) if labels else None
    rows: list[dict[str, Any]] = []
    for label in labels:
        kept = None if reading is None else reading.find(label.request, customer=label.customer)
        if kept is not None and label.place < len(kept.rows):
            rows.append({**kept.rows[label.place], target: label.truth})
    if not rows:
        raise UserError(
            f"{len(labels)} labels of {name} came with consent, and of none of their requests the rows were kept. Keep them: yard serve "
            "--keep-payloads DAYS"
        )
    _write(rows, out)
    missing = len(labels) - len(rows)
    left = f"; {counted(missing, 'label')} without a kept row" if missing else ""
    typer.echo(f"{out}: {counted(len(rows), 'row')}{left}")


def _target(package: Path) -> str:
    target: str = read_json(package / "artifact.json")["state"]["target"]
    return target


def _write(rows: list[dict[str, Any]], out: Path) -> None:
    import os

    import polars as pl

    frame = pl.DataFrame(rows, infer_schema_length=None, strict=False)
    part = out.with_name(f".{out.name}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # what customers sent: the owner's alone
    with os.fdopen(handle, "wb") as file:
        if out.suffix == ".csv":
            frame.write_csv(file)
        elif out.suffix == ".jsonl":
            frame.write_ndjson(file)
        else:
            frame.write_parquet(file)
    part.replace(out)
