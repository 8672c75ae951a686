"""`yard payloads`: what a service kept of requests and answers (`yard serve --keep-payloads DAYS`), with the key of its state folder."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated

import typer

from modelyard.errors import UserError

app = typer.Typer(
    no_args_is_help=True, help="Export or find kept requests and answers; they are encrypted on the disk."
)

STATE = Annotated[Path, typer.Option("--state", help="The state folder that `yard serve --state` was given.")]


@app.command()
def export(
    state: STATE,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to write (JSON Lines, 0600); standard output without it.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Of this model only.")] = None,
    customer: Annotated[str | None, typer.Option(help="Of this customer only.")] = None,
    since: Annotated[datetime | None, typer.Option(help="From this moment on, UTC.")] = None,
) -> None:
    """Write kept requests with their answers, a line each. The audit log (`admin.jsonl`) says that it was done.

    Example: `yard payloads export --state service -o asked.jsonl`
    """
    from modelyard.serve.admin import AuditLog
    from modelyard.serve.payloads import Reading

    reading, count = Reading(state), 0
    first = since.replace(tzinfo=since.tzinfo or UTC).timestamp() if since else 0.0
    AuditLog(state).add("export_payloads", model=model or "", customer=customer or "")
    with _opened(out) as file:
        for kept in reading:
            if model in (None, kept.model) and customer in (None, kept.customer) and kept.at >= first:
                file.write(json.dumps(asdict(kept), ensure_ascii=False) + "\n")
                count += 1
    if out is not None:
        from modelyard.units import counted

        typer.echo(f"{counted(count, 'request')}: {out}")
    if reading.damaged:
        raise UserError(f"{reading.damaged} pieces could not be read: they were changed, or belong to another key.")


@app.command()
def find(request_id: Annotated[str, typer.Argument(help="X-Request-ID of the answer.")], state: STATE) -> None:
    """Show one kept request with its answer."""
    from modelyard.serve.admin import AuditLog
    from modelyard.serve.payloads import Reading

    AuditLog(state).add("find_payload")
    found = Reading(state).find(request_id)
    if found is None:
        raise UserError(f"no request {request_id[:80]!r} is kept. Requests are kept while `--keep-payloads` is given.")
    typer.echo(json.dumps(asdict(found), ensure_ascii=False, indent=2))


def _opened(out: Path | None) -> IO[str]:
    """The file, readable by its owner alone; or standard output, which stays open."""
    if out is None:
        return open(sys.stdout.fileno(), "w", encoding="utf-8", closefd=False)
    import os

    return os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8")
