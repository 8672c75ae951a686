"""Entries of the ledger in hash chains: one chain a writer, heads anchored in each other.

An entry's hash is SHA-256 over the canonical JSON of its fields and the hash before it. Each 64 entries, at its start and at its
end, a writer appends an anchor: the heads of the other chains. To change one entry unseen, all that follow in its chain and all
chains that anchored it must be made again; what was cut off a chain's end after its last anchor shows in the balances, or
against heads that were saved elsewhere (`verify(..., heads=...)`). Nothing here knows who pays.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from modelyard.accounts.database import Transaction
from modelyard.accounts.writers import Writer

ANCHOR_EACH = 64
"""Entries between anchors."""
FIELDS = (
    "writer", "number", "time", "kind", "customer", "month", "tariff", "units", "key", "idempotency", "request", "body",
    "model", "version", "note", "previous",
)  # fmt: skip
"""What is hashed, in the order of the columns."""
_SPELT = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_COLUMNS = ", ".join((*FIELDS, "hash"))
_INSERT = f"INSERT INTO entries ({_COLUMNS}) VALUES ({', '.join('?' * (len(FIELDS) + 1))})"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger. `kind` is use, correction or anchor; units are whole numbers by unit of sale."""

    writer: str
    number: int
    time: int
    kind: str
    customer: str | None
    month: str | None
    tariff: str | None
    units: dict[str, int]
    key: str | None
    idempotency: str | None
    request: str | None
    body: str | None
    model: str | None
    version: str | None
    note: str
    previous: str
    hash: str

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Entry:
        """From a row of `select`."""
        values = list(row)
        values[7] = json.loads(row[7])
        return cls(*values)


def select(where: str) -> str:
    """The SQL of entries."""
    return f"SELECT {_COLUMNS} FROM entries {where}"


def canonical(value: Any) -> str:
    """JSON of one spelling: keys sorted, no blanks."""
    return _SPELT.encode(value)


def hash_of(fields: tuple[Any, ...]) -> str:
    """SHA-256 over the fields in the order of `FIELDS`, units as they are stored."""
    return sha256(canonical(dict(zip(FIELDS, fields, strict=True))).encode()).hexdigest()


def append(
    held: Transaction,
    writer: Writer,
    *,
    kind: str,
    customer: str | None = None,
    month: str | None = None,
    tariff: str | None = None,
    units: Mapping[str, int] | None = None,
    key: str | None = None,
    idempotency: str | None = None,
    request: str | None = None,
    body: str | None = None,
    model: str | None = None,
    version: str | None = None,
    note: str = "",
) -> None:
    """Add one entry to the writer's chain; call `writers.hold` before in the same transaction."""
    number, time = writer.number + 1, max(held.now, writer.time)
    fields = (
        writer.id, number, time, kind, customer, month, tariff, canonical(dict(units or {})), key, idempotency, request,
        body, model, version, note, writer.head,
    )  # fmt: skip
    digest = hash_of(fields)
    held.run(_INSERT, (*fields, digest))
    writer.number, writer.head, writer.time = number, digest, time
    writer.unanchored += 1
    if writer.unanchored >= ANCHOR_EACH and kind != "anchor":
        anchor(held, writer)


def anchor(held: Transaction, writer: Writer) -> None:
    """Append the heads of the other chains: of all that are open, and of each that ended since somebody last did."""
    heads: dict[str, list[Any]] = {}
    free = "" if held.sqlite else " FOR UPDATE SKIP LOCKED"  # another is marking it: no waiting for each other
    others = held.all("SELECT id, state FROM writers WHERE anchored = 0 ORDER BY id")
    for other, state in others:
        if other == writer.id:
            continue
        last = held.one("SELECT number, hash FROM entries WHERE writer = ? ORDER BY number DESC LIMIT 1", (other,))
        if last is not None:
            heads[other] = [last[0], last[1]]
        if state == "ended" and held.one("SELECT 1 FROM writers WHERE id = ?" + free, (other,)):
            held.run("UPDATE writers SET anchored = 1 WHERE id = ?", (other,))
    append(held, writer, kind="anchor", note=canonical(heads))
    writer.unanchored = 0


def entries(held: Transaction) -> Iterator[Entry]:
    """Every entry, chain after chain."""
    for row in held.each(select("ORDER BY writer, number")):
        yield Entry.of(row)


def heads(held: Transaction) -> dict[str, tuple[int, str]]:
    """Number and hash of each chain's last entry."""
    found: dict[str, tuple[int, str]] = {}
    for writer, number, digest in held.each(
        "SELECT e.writer, e.number, e.hash FROM entries e JOIN (SELECT writer, max(number) AS last FROM entries GROUP BY writer) m "
        "ON m.writer = e.writer AND m.last = e.number ORDER BY e.writer"
    ):
        found[writer] = (number, digest)
    return found
