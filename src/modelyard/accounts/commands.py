"""`yard customers | keys | usage | invoice | ledger`: the accounts on the command line. Heavy imports stand inside functions.

yard customers plans --add blueprint.yaml
yard customers add "Acme Ltd" --id acme --plan starter
yard keys issue acme                       # shown once
yard usage acme
yard invoice acme 2026-11 --format html -o acme.html
yard ledger verify --save heads.json
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelyard.errors import UserError

if TYPE_CHECKING:
    from modelyard.accounts.database import Database, Transaction
    from modelyard.accounts.writers import Writer

customers = typer.Typer(no_args_is_help=True, help="Who may use the service: customers and the plans they pay for.")
keys = typer.Typer(no_args_is_help=True, help="Keys of customers: issued (shown once), rotated, revoked.")
ledger = typer.Typer(no_args_is_help=True, help="The ledger: verify it, correct it, export it.")

STATE = Annotated[Path | None, typer.Option("--state", help="The state folder (default: MODELYARD_STATE, or ./state).")]
DATABASE = Annotated[
    str | None,
    typer.Option(
        "--database", help="sqlite:///FILE or postgresql://... (default: MODELYARD_DATABASE, or the state folder's)."
    ),
]
CUSTOMER = Annotated[str, typer.Argument(help="A customer's id.")]
MONTH = Annotated[str | None, typer.Option("--month", help="Such as 2026-11 (default: this one).")]
DAYS = 86_400_000_000


def mount(app: typer.Typer) -> None:
    """Add the commands to `yard`."""
    app.add_typer(customers, name="customers", rich_help_panel="Accounts")
    app.add_typer(keys, name="keys", rich_help_panel="Accounts")
    app.command(name="usage", rich_help_panel="Accounts")(usage)
    app.command(name="invoice", rich_help_panel="Accounts")(invoice)
    app.add_typer(ledger, name="ledger", rich_help_panel="Accounts")


@contextmanager
def opened(state: Path | None, database: str | None, *, create: bool = False) -> Iterator[Database]:
    """The database of a state folder, or the one named."""
    from modelyard.accounts.database import open_database
    from modelyard.accounts.state import State

    url = database
    place = State(state) if database is None else None
    if place is not None:
        url = place.database
    assert url is not None
    with open_database(url, durability=place.durability if place else "process", create=create) as found:
        yield found


@contextmanager
def _writing(found: Database) -> Iterator[tuple[Transaction, Writer]]:
    """A writer for one command: it anchors the other chains and ends."""
    from modelyard.accounts.chain import anchor
    from modelyard.accounts.writers import end, open_writer

    with found.write() as held:
        writer = open_writer(held)
        yield held, writer
        anchor(held, writer)
        end(held, writer.id)


def _day(now: int | None) -> str:
    from modelyard.accounts.times import moment

    return "-" if now is None else f"{moment(now):%Y-%m-%d %H:%M}"


@customers.command("add")
def add_customer(
    name: Annotated[str, typer.Argument(help="The name that stands on invoices.")],
    id: Annotated[str | None, typer.Option(help="a-z, 0-9 and -; made up without it.")] = None,
    plan: Annotated[str | None, typer.Option(help="Name or hash of the first plan; it holds at once.")] = None,
    currency: Annotated[str | None, typer.Option(help="Three letters (default: the plan's, or USD).")] = None,
    state: STATE = None,
    database: DATABASE = None,
) -> None:
    """Create a customer."""
    from modelyard.accounts import customers as people
    from modelyard.accounts import plans

    with opened(state, database, create=True) as found, found.write() as held:
        digest = plans.find_plan(held, plan) if plan else None
        paid = plans.all_plans(held)[digest].currency if digest else "USD"
        new = people.add_customer(held, name, currency=currency or paid, id=id)
        if digest:
            plans.subscribe(held, new.id, digest)
    typer.echo(f"{new.id}\nnext: yard keys issue {new.id}")


@customers.command("list")
def list_customers(state: STATE = None, database: DATABASE = None) -> None:
    """List the customers with the plan of this month."""
    from modelyard.accounts import customers as people
    from modelyard.accounts import plans
    from modelyard.accounts.times import month_of

    with opened(state, database) as found, found.read() as held:
        for each in people.all_customers(held):
            sold = plans.subscription(held, each.id, month_of(held.now))
            end = f"closed {_day(each.closed)}" if each.closed is not None else ""
            typer.echo(
                f"{each.id:<20} {sold.plan.name if sold else '-':<16} {each.currency}  {each.name}  {end}".rstrip()
            )


@customers.command("plan")
def change_plan(
    customer: CUSTOMER,
    plan: Annotated[str, typer.Argument(help="Name or hash of a plan that is kept.")],
    state: STATE = None,
    database: DATABASE = None,
) -> None:
    """Give a customer a plan: the first holds at once, a later one from the next month."""
    from modelyard.accounts import plans

    with opened(state, database) as found, found.write() as held:
        month = plans.subscribe(held, customer, plans.find_plan(held, plan))
    typer.echo(f"{customer}: {plan} from {month}")


@customers.command("rename")
def rename(
    customer: CUSTOMER, name: Annotated[str, typer.Argument()], state: STATE = None, database: DATABASE = None
) -> None:
    """Change the name that stands on invoices."""
    from modelyard.accounts import customers as people

    with opened(state, database) as found, found.write() as held:
        people.rename(held, customer, name)


@customers.command("close")
def close(customer: CUSTOMER, state: STATE = None, database: DATABASE = None) -> None:
    """Revoke all keys of a customer at once; this month is still invoiced."""
    from modelyard.accounts import customers as people

    with opened(state, database) as found, found.write() as held:
        people.close(held, customer)
    typer.echo(f"{customer} is closed")


@customers.command("plans")
def list_plans(
    add: Annotated[Path | None, typer.Option(help="Keep the plans of this blueprint's business section.")] = None,
    state: STATE = None,
    database: DATABASE = None,
) -> None:
    """List the plans that are sold; with --add, keep those of a blueprint first. A kept plan never changes."""
    from modelyard.accounts import plans

    with opened(state, database, create=add is not None) as found:
        if add is not None:
            from modelyard.blueprint import Blueprint

            business = Blueprint.load(add).business
            with found.write() as held:
                for sold in business.plans:
                    plans.add_plan(held, plans.from_blueprint(sold, business.currency))
        with found.read() as held:
            for digest, plan in plans.all_plans(held).items():
                volume = "all requests" if plan.included is None else f"{plan.included} requests"
                typer.echo(
                    f"{digest[:12]}  {plan.name:<16} {plan.price:f} {plan.currency}/month, {volume}, {plan.quota}"
                )


@keys.command("issue")
def issue(
    customer: CUSTOMER,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may do (default: everything); several times.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Expires after so many days.")] = None,
    state: STATE = None,
    database: DATABASE = None,
) -> None:
    """Issue a key. It is shown now and never again: only its hash is kept."""
    from modelyard.accounts import keys as access

    with opened(state, database) as found, found.write() as held:
        expires = None if days is None else held.now + days * DAYS
        _, text = access.issue(held, customer, label=label, scopes=scope or access.SCOPES, expires=expires)
    typer.echo(text)


@keys.command("list")
def list_keys(customer: CUSTOMER, state: STATE = None, database: DATABASE = None) -> None:
    """List a customer's keys, without their secrets."""
    from modelyard.accounts import keys as access

    with opened(state, database) as found, found.read() as held:
        for key in access.keys_of(held, customer):
            now = key.refusal(held.now) or "works"
            typer.echo(
                f"{key.shown:<24} {now:<8} {','.join(key.scopes)}  expires {_day(key.expires)}  {key.label}".rstrip()
            )


@keys.command("rotate")
def rotate(
    key: Annotated[str, typer.Argument(help="The key's id: the part between the underscores.")],
    hours: Annotated[int, typer.Option(min=0, help="The old key works for so long.")] = 24,
    state: STATE = None,
    database: DATABASE = None,
) -> None:
    """Issue a successor, shown once; the old key expires after a day."""
    from modelyard.accounts import keys as access

    with opened(state, database) as found, found.write() as held:
        _, text = access.rotate(held, _id(key), grace=hours * DAYS // 24)
    typer.echo(text)


@keys.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id: the part between the underscores.")],
    state: STATE = None,
    database: DATABASE = None,
) -> None:
    """Refuse a key from now on."""
    from modelyard.accounts import keys as access

    with opened(state, database) as found, found.write() as held:
        gone = access.revoke(held, _id(key))
    typer.echo(f"{gone.shown} is revoked")


def _id(given: str) -> str:
    """The id, from itself or from a key as it is shown."""
    return given.split("_")[1] if given.startswith("yard_") else given


def usage(customer: CUSTOMER, month: MONTH = None, state: STATE = None, database: DATABASE = None) -> None:
    """What a customer used in a month, by tariff and unit: the number that quota and invoice read."""
    from modelyard.accounts import customers as people
    from modelyard.accounts import ledger as book
    from modelyard.accounts.times import check_month, month_of

    with opened(state, database) as found, found.read() as held:
        people.customer(held, customer)
        chosen = check_month(month) if month else month_of(held.now)
        for tariff, units in book.usage(held, customer, chosen).items():
            for unit, count in units.items():
                typer.echo(f"{chosen}  {tariff:<10} {unit:<20} {count}")


def invoice(
    customer: CUSTOMER,
    month: Annotated[str, typer.Argument(help="Such as 2026-11.")],
    format: Annotated[str, typer.Option(help="json, csv, html or pdf.")] = "json",
    seller: Annotated[str, typer.Option(help="Who sends it: stands on top of html and pdf.")] = "",
    language: Annotated[str, typer.Option(help="en or zh, of html.")] = "en",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="A file; standard output without it.")] = None,
    state: STATE = None,
    database: DATABASE = None,
) -> None:
    """The invoice of a month, from the ledger: the same entries give the same bytes."""
    from modelyard.accounts import invoices

    if language not in invoices.WORDS:
        raise UserError(f"no language {language!r}. Allowed: {', '.join(invoices.WORDS)}")
    with opened(state, database) as found, found.read() as held:
        made = invoices.invoice(held, customer, month)
    if format == "pdf":
        if out is None:
            raise UserError("a PDF needs a file: -o invoice.pdf")
        out.write_bytes(invoices.to_pdf(made, seller=seller))
        return
    writers = {"json": lambda: invoices.to_text(made), "csv": lambda: invoices.to_csv(made),
               "html": lambda: invoices.to_html(made, seller=seller, language=language)}  # fmt: skip
    if format not in writers:
        raise UserError(f"no format {format!r}. Allowed: json, csv, html, pdf")
    text = writers[format]()
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")


@ledger.command("verify")
def verify(
    heads: Annotated[
        Path | None, typer.Option(help="Heads that were saved before: nothing of them may be gone.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Save the heads to keep elsewhere.")] = None,
    state: STATE = None,
    database: DATABASE = None,
) -> None:
    """Check every chain, anchor, balance and key of the ledger; exits 1 where there is a fault."""
    from modelyard.accounts import verifying
    from modelyard.units import counted

    before = None if heads is None else _heads(heads)
    with opened(state, database) as found:
        result = verifying.verify(found, heads_before=before)
    for writer, (number, digest) in result.heads.items():
        typer.echo(f"head {writer} {number} {digest}")
    for fault in result.faults:
        typer.echo(f"fault: {fault}")
    found_of = ((result.entries, "entry"), (len(result.heads), "chain"), (len(result.faults), "fault"))
    typer.echo(", ".join(counted(number, noun) for number, noun in found_of))
    if save is not None and not result.faults:
        save.write_text(json.dumps({writer: list(head) for writer, head in result.heads.items()}, indent=1) + "\n")
    if result.faults:
        raise typer.Exit(1)


def _heads(file: Path) -> dict[str, tuple[int, str]]:
    try:
        given: dict[str, Any] = json.loads(file.read_text())
        return {writer: (int(number), str(digest)) for writer, (number, digest) in given.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        raise UserError(f"{file} holds no heads. Save them first: yard ledger verify --save {file}") from None


@ledger.command("credit")
def credit(
    customer: CUSTOMER,
    unit: Annotated[str, typer.Argument(help="A unit of sale, such as request.")],
    amount: Annotated[int, typer.Argument(min=1, help="How many are taken off what was used.")],
    reason: Annotated[str, typer.Option(help="Stands in the ledger and on the invoice.")],
    month: MONTH = None,
    tariff: Annotated[str, typer.Option(help="standard or batch.")] = "standard",
    state: STATE = None,
    database: DATABASE = None,
) -> None:
    """Take units off what a customer used: an entry of the ledger with its reason."""
    from modelyard.accounts import ledger as book

    with opened(state, database) as found, _writing(found) as (held, writer):
        book.correct(held, writer, customer, unit=unit, amount=-amount, reason=reason, month=month, tariff=tariff)
    typer.echo(f"{customer}: {amount} of {unit!r} taken off")


@ledger.command("events")
def export(
    customer: Annotated[str | None, typer.Option(help="Of one customer only.")] = None,
    month: MONTH = None,
    state: STATE = None,
    database: DATABASE = None,
) -> None:
    """Print usage as CloudEvents 1.0, one JSON object a line (all months without --month)."""
    from modelyard.accounts.customers import customer as find
    from modelyard.accounts.events import events
    from modelyard.accounts.times import check_month

    with opened(state, database) as found, found.read() as held:
        if customer is not None:
            find(held, customer)
        for line in events(held, customer=customer, month=check_month(month) if month else None):
            typer.echo(line)
