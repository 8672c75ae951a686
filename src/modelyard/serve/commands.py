"""`yard models`: which versions a running service serves. It changes the state folder; every process of the service follows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    no_args_is_help=True, help="Place, try, promote and take back versions of models while they are served."
)

STATE = Annotated[Path, typer.Option("--state", help="The state folder that `yard serve --state` was given.")]
PACKAGE = Annotated[Path, typer.Argument(help="A package: the folder or archive that a build left.")]
MODEL = Annotated[str, typer.Argument(help="The model's name, as `yard models list` shows it.")]
FORCE = Annotated[bool, typer.Option("--force", help="Place a package whose gates failed.")]


@app.command("list")
def list_models(state: STATE) -> None:
    """List the models, the version that is live, the one that is tried, and what happened last."""
    from modelyard.serve.deployment import DeploymentFile

    for name, model in DeploymentFile(state).read().models.items():
        trial = model.trial
        tried = f"; {trial.kind} {trial.placed.version} on {trial.percent:g} % of the requests" if trial else ""
        typer.echo(f"{name}: live {model.live.version}{tried}")
        for event in model.events[-5:]:
            when = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(event.at))
            typer.echo(
                f"  {when} {event.kind.replace('_', ' ')} {event.version}{': ' if event.reason else ''}{event.reason}"
            )


@app.command()
def place(package: PACKAGE, state: STATE, force: FORCE = False) -> None:
    """Make a package the live version of its model: the running service swaps it in without losing a request.

    Example: `yard models place builds/churn/package --state builds/churn/service`
    """
    from modelyard.serve.deployment import DeploymentFile

    DeploymentFile(state).place(package, now=time.time(), force=force)
    list_models(state)


@app.command("try")
def try_out(
    package: PACKAGE,
    state: STATE,
    kind: Annotated[
        Literal["canary", "shadow"],
        typer.Option(help="A canary answers a share of the requests; a shadow is asked the same and nobody is told."),
    ] = "canary",
    percent: Annotated[float, typer.Option(min=0.01, max=100, help="Share of the requests.")] = 10.0,
    disagreement: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the answers that may differ from the live version's.")
    ] = 0.1,
    force: FORCE = False,
) -> None:
    """Try a package beside the live version. It is taken back by itself when it fails more, is slower, or answers otherwise.

    Example: `yard models try builds/churn/package --state builds/churn/service --percent 5`
    """
    from modelyard.serve.deployment import DeploymentFile

    DeploymentFile(state).try_out(
        package, now=time.time(), kind=kind, percent=percent, disagreement=disagreement, force=force
    )
    list_models(state)


@app.command()
def promote(model: MODEL, state: STATE) -> None:
    """Make the version that is tried the live one."""
    from modelyard.serve.deployment import DeploymentFile

    DeploymentFile(state).promote(model, now=time.time())
    list_models(state)


@app.command("roll-back")
def roll_back(
    model: MODEL, state: STATE, reason: Annotated[str, typer.Option(help="Why; kept in the list of events.")] = ""
) -> None:
    """End the trial, or, where there is none, return to the version that was live before."""
    from modelyard.serve.deployment import DeploymentFile

    DeploymentFile(state).roll_back(model, now=time.time(), reason=reason)
    list_models(state)
