"""The command `yard` (also `modelyard`): the only module that prints, with `report`.

Every command imports what it needs when it runs, so that `yard --help` is quick. A user's error prints one message without a
traceback and exits 2; a failed gate exits 3.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.accounts import commands as accounts
from modelyard.errors import ModelyardError, UserError
from modelyard.serve.commands import app as models
from modelyard.serve.feedback_commands import app as feedback
from modelyard.serve.payload_commands import app as payloads

app = typer.Typer(
    name="yard", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown",
    help="From one blueprint to a trained, audited, compressed, served and priced model.\n\n"
    "Start with `yard init DATA --target COLUMN`, look at the blueprint it writes, then `yard run blueprint.yaml`.",
)  # fmt: skip

BLUEPRINT = Annotated[Path, typer.Argument(help="A blueprint file, or the folder that holds blueprint.yaml.")]
OUT = Annotated[Path | None, typer.Option("-o", "--out", help="The build folder (default: builds/NAME).")]

RATES = Annotated[
    Path | None,
    typer.Option(
        "--rates",
        metavar="FILE",
        help="A price table of machines, in the place of business.rates (docs/business.md has its keys).",
    ),
]


def main() -> None:
    """Run the command line; every error of ours becomes a message and an exit code."""
    try:
        app()
    except ModelyardError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("stopped. A build can be resumed: run the same command again.", 130)


def _fail(message: str, code: int) -> None:
    sys.stderr.write(f"error: {message}\n")
    raise SystemExit(code)


@app.command()
def init(
    data: Annotated[str, typer.Argument(help="A data file, glob or folder, or the name of a recipe.")],
    target: Annotated[str | None, typer.Option(help="The column the service is to answer.")] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write blueprint.yaml into.")] = Path("."),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a blueprint that is there.")] = False,
) -> None:
    """Read a data file and write a commented blueprint for it.

    Example: `yard init mails.csv --target label -o spam`
    """
    from modelyard.starting import start

    path = start(data, target=target, folder=out, overwrite=overwrite)
    typer.echo(f"wrote {path}\nnext: yard check {path}  then  yard run {path}")


@app.command()
def check(blueprint: BLUEPRINT = Path("blueprint.yaml")) -> None:
    """Check a blueprint without reading data; every fault is shown with its line."""
    from modelyard.blueprint import Blueprint

    found = Blueprint.load(blueprint)
    typer.echo(f"{blueprint}: {found.name}: task {found.task or 'inferred from the data'}, size {found.size}: in order")


@app.command()
def forecast(
    blueprint: BLUEPRINT = Path("blueprint.yaml"),
    out: OUT = None,
    score: Annotated[
        bool, typer.Option("--score", help="Print how wrong the forecasts of this machine's builds were, and stop.")
    ] = False,
    rates: RATES = None,
) -> None:
    """Say what a build will take and give, before anything is spent: time, memory, disk, cost, energy, carbon, quality.

    It tries the blueprint on a few rows, for at most a tenth of the time that it predicts, and writes forecast.json into the build.
    """
    from modelyard.blueprint import Blueprint
    from modelyard.forecast import commands

    for line in commands.scores() if score else commands.told(_with_rates(Blueprint.load(blueprint), rates), out):
        typer.echo(line)


@app.command()
def run(
    blueprint: BLUEPRINT = Path("blueprint.yaml"),
    out: OUT = None,
    to: Annotated[str | None, typer.Option(help="Run what is stale up to this stage.")] = None,
    only: Annotated[str | None, typer.Option(help="Run this stage alone, again.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Go on past failed gates; the report says so.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors and the result.")] = False,
    forecast: Annotated[
        bool,
        typer.Option("--forecast/--no-forecast", help="Whether a new build is forecast first (see `yard forecast`)."),
    ] = True,
    rates: RATES = None,
) -> None:
    """Run every stage that is stale: prepare, train, evaluate, audit, compress, package, serve, business, report.

    A run that was stopped goes on where it was: type the same command again.
    """
    from modelyard.blueprint import Blueprint

    found = _with_rates(Blueprint.load(blueprint), rates)
    if forecast and not quiet:
        from modelyard.forecast import commands

        folder = out or Path("builds") / found.name
        if commands.due(found, folder, to=to, only=only):
            commands.before(blueprint, folder, rates=rates, say=typer.echo)
    _run(found, out, to=to, only=only, force=force, quiet=quiet)


def _with_rates(blueprint: Any, file: Path | None) -> Any:
    from modelyard.blueprint.reading import with_rates

    return blueprint if file is None else with_rates(blueprint, file)


def _run(blueprint: Any, out: Path | None, *, to: str | None, only: str | None, force: bool, quiet: bool) -> None:
    from modelyard.context import Silence
    from modelyard.run import run as engine

    try:
        build = engine(blueprint, out, to=to, only=only, force=force, progress=Silence() if quiet else Screen())
    finally:
        _judged(out or Path("builds") / blueprint.name)
    failed = len(build.failed)
    forced = f" Forced past {failed} failed gate{'s' * (failed > 1)}." if force and failed else ""
    typer.echo(f"build: {build.folder}{forced}")
    if build.report.exists():
        typer.echo(f"report: {build.report}")
        brief = build.report.with_name("brief.html")
        if brief.exists():
            typer.echo(f"brief:  {brief}  (the business case in a few pages, to print)")
    if build.package.exists() and to in (None, "serve", "business", "report"):
        typer.echo(f"serve it: yard serve {build.package}{' --force' * bool(failed)}")


def _judged(folder: Path) -> None:
    """A build that was forecast and has ended, also at a failed gate, is set beside its forecast (`yard forecast --score`)."""
    if (folder / "forecast.json").exists() and (folder / "report.json").exists():
        from modelyard.forecast import scoring

        scoring.note(folder)


def _stage_command(name: str, sentence: str) -> Callable[..., None]:
    def command(
        blueprint: BLUEPRINT = Path("blueprint.yaml"),
        out: OUT = None,
        force: Annotated[bool, typer.Option("--force", help="Go on past failed gates; the report says so.")] = False,
    ) -> None:
        from modelyard.blueprint import Blueprint

        _run(Blueprint.load(blueprint), out, to=name, only=None, force=force, quiet=False)

    command.__doc__ = f"{sentence} Runs what is stale up to `{name}`: the same as `yard run --to {name}`."
    return command


for _name, _text in {
    "prepare": "Read, clean and split the data, and write the data card.",
    "train": "Train every candidate within the budget and choose.",
    "evaluate": "Measure the chosen model on the test rows, with intervals.",
    "audit": "Check leakage, calibration, slices, robustness and sensitive columns.",
    "compress": "Export, quantise, and keep the fastest variant that answers alike.",
    "package": "Write the folder that is shipped.",
    "report": "Write report.html.",
}.items():
    app.command(name=_name, rich_help_panel="Stages")(_stage_command(_name, _text))


@app.command(rich_help_panel="Stages")
def business(
    blueprint: BLUEPRINT = Path("blueprint.yaml"),
    out: OUT = None,
    force: Annotated[bool, typer.Option("--force", help="Go on past failed gates; the report says so.")] = False,
    what_if: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=VALUE,...",
            help="Answer at once, from what was measured: churn=0.03, plans.starter.price=19, cac=+20%, prices=x0.8. Nothing is run or written.",
        ),
    ] = None,
    rates: RATES = None,
    ledger: Annotated[
        Path | None,
        typer.Option(
            "--ledger",
            metavar="STATE",
            help="Set what was assumed beside what this state folder's ledger says of a month. Nothing is run or written.",
        ),
    ] = None,
    database: Annotated[
        str | None, typer.Option("--database", help="The same from sqlite:///FILE or postgresql://...")
    ] = None,
    month: Annotated[
        str | None,
        typer.Option("--month", help="The ledger's month, such as 2026-10 (default: the last one that is over)."),
    ] = None,
) -> None:
    """Price the service from what was measured: costs, plans, months of cash, what may happen. Runs what is stale up to `business`.

    With --what-if the finished build answers for other assumptions: keys of the blueprint's business section, `prices` and `machines` as
    factors on all prices and on the machine's, `rate` for the measured rate. With --ledger it says how the assumptions hold.
    """
    from modelyard.blueprint import Blueprint

    loaded = _with_rates(Blueprint.load(blueprint), rates)
    if what_if is None and ledger is None and database is None:
        _run(loaded, out, to="business", only=None, force=force, quiet=False)
        return
    from modelyard.run import finished

    if what_if is not None:
        from modelyard.business.what_if import answer

        typer.echo(answer(finished(loaded, out), what_if))
    if ledger is not None or database is not None:
        typer.echo(_observed(finished(loaded, out), ledger, database, month))


def _observed(context: Any, ledger: Path | None, database: str | None, month: str | None) -> str:
    from modelyard.accounts.commands import opened
    from modelyard.accounts.observing import last_month, seen
    from modelyard.business.observed import told

    currency = context.blueprint.business.currency
    with opened(ledger, database) as found, found.read() as held:
        there = seen(held, month or last_month(held, currency), currency)
    return told(context, there)


@app.command()
def serve(
    packages: Annotated[
        list[Path] | None,
        typer.Argument(help="Packages: the folders or archives that builds left.", metavar="PACKAGE..."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the port.")] = 1,
    state: Annotated[
        Path | None,
        typer.Option(
            help="Folder for what is served and what it did; versions are swapped through it (`yard models`)."
        ),
    ] = None,
    open_to_all: Annotated[
        bool,
        typer.Option(
            "--open", help="Without a state folder, listen on other addresses than this machine's: nobody needs a key."
        ),
    ] = False,
    origin: Annotated[
        list[str] | None, typer.Option(help="A site whose pages may ask from a browser; may be repeated.")
    ] = None,
    docs: Annotated[bool, typer.Option("--docs/--no-docs", help="Whether /docs is open to everybody.")] = True,
    certificate: Annotated[Path | None, typer.Option(help="PEM file: speak HTTPS.")] = None,
    certificate_key: Annotated[
        Path | None, typer.Option(help="PEM file of its key, where it is not in the same file.")
    ] = None,
    keep_payloads: Annotated[
        float | None,
        typer.Option(metavar="DAYS", help="Keep requests and answers, encrypted, for so many days (`yard payloads`)."),
    ] = None,
    telemetry: Annotated[
        str | None, typer.Option(metavar="URL", help="Send traces to this OpenTelemetry collector (OTLP over HTTP).")
    ] = None,
    alert: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="A webhook that is told what is wrong; may be repeated.")
    ] = None,
    alert_private: Annotated[
        bool, typer.Option("--alert-private", help="Webhooks may be addresses of the own network.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Serve a package whose gates failed.")] = False,
) -> None:
    """Serve packages over HTTP: /v1/predict, /healthz, /readyz, /metrics, /docs, /console.

    With `--state DIR` every request needs a customer's key and is billed (`yard customers --help`), and versions are tried, promoted and
    taken back while it runs (`yard models --help`). Without, it answers anybody on this machine: for trying out.
    """
    from modelyard.serve.server import serve as start

    if state is None and not open_to_all and host not in ("127.0.0.1", "localhost", "::1"):
        raise UserError(
            f"on {host} anybody could ask without a key. Give --state DIR, so that customers have keys, or --open if that is meant."
        )

    def listening(url: str) -> None:
        typer.echo(f"serving on {url}  (docs: {url}/docs)")

    raise SystemExit(
        start(
            *(packages or ()),
            host=host,
            port=port,
            workers=workers,
            state=state,
            force=force,
            listening=listening,
            origins=origin or (),
            docs=docs,
            certificate=certificate,
            certificate_key=certificate_key,
            keep_payloads=keep_payloads,
            telemetry=telemetry,
            alerts=alert or (),
            alert_private=alert_private,
        )
    )


@app.command()
def predict(
    package: Annotated[Path, typer.Argument(help="A package: the folder or archive that a build left.")],
    rows: Annotated[str, typer.Argument(help="A file of rows (.csv .jsonl .parquet), or - for standard input.")] = "-",
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="File of answers (.csv .jsonl .parquet); standard output without it."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Use a package whose gates failed.")] = False,
) -> None:
    """Answer rows from a file: `answer` and `probability_<class>`, in the order of the input."""
    from modelyard.predict import predict_file

    count = predict_file(package, rows if rows == "-" else Path(rows), out, force=force)
    if out is not None:
        from modelyard.units import counted

        typer.echo(f"{counted(count, 'answer')}: {out}")


@app.command("list")
def list_parts(shelf: Annotated[str | None, typer.Argument(help="One shelf; all without it.")] = None) -> None:
    """List what can be named in a blueprint: tasks, models, checks, methods, with a line each."""
    from modelyard import parts
    from modelyard.errors import nearest

    if shelf is not None and shelf not in parts.SHELVES:
        raise UserError(f"no shelf {shelf!r}.{nearest(shelf, parts.SHELVES)} Allowed: {', '.join(parts.SHELVES)}")
    for name in [shelf] if shelf else parts.SHELVES:
        typer.echo(name)
        for part in parts.names(name):
            typer.echo(f"  {part:<24} {parts.summary(name, part)}")


@app.command()
def explain(
    name: Annotated[
        str, typer.Argument(help="A part (linear, encoder, calibration, ...) or a blueprint key (train.budget).")
    ],
) -> None:
    """Explain a part or a blueprint key: file and line, what it is for, its options and an example."""
    from modelyard.explaining import explain as text

    typer.echo(text(name))


@app.command("check-part")
def check_part(file: Annotated[Path, typer.Argument(help="The part's Python file.")]) -> None:
    """Run the conformance checks of a shelf on a part: the same that the built-in ones pass."""
    from modelyard.conformance import check_file

    for line in check_file(file):
        typer.echo(line)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a blueprint, for editors."""
    from modelyard.blueprint.reading import json_schema
    from modelyard.store import to_json

    typer.echo(to_json(json_schema()))


accounts.mount(app)


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        from modelyard import __version__

        typer.echo(f"modelyard {__version__}")
        raise typer.Exit


class Screen:
    """Progress on a terminal: bars while something runs, one line for each piece of news. Plain lines where there is no terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)
        self._bars: Any = None

    def say(self, line: str) -> None:
        """One line of news."""
        self.console.print(line, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, label: str, total: float | None = None) -> Iterator[Callable[[float], None]]:
        """A bar; nested bars stand below each other."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        outer = self._bars
        if outer is None:
            self._bars = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn(),
                                  console=self.console, transient=True, disable=not self.console.is_terminal)  # fmt: skip
            self._bars.start()
        bars = self._bars
        task = bars.add_task(label, total=total)
        try:
            yield lambda amount: bars.advance(task, amount)
        finally:
            bars.remove_task(task)
            if outer is None:
                bars.stop()
                self._bars = None


app.add_typer(models, name="models")
app.add_typer(payloads, name="payloads")
app.add_typer(feedback, name="feedback")


if __name__ == "__main__":
    main()
