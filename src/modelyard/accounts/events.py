"""Usage as CloudEvents 1.0, one JSON object a line, for a meter or a billing system of one's own.

The id is the entry's place in its chain, so a reader that has seen it before can drop it. It sends nothing anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from modelyard.accounts.chain import Entry, select
from modelyard.accounts.database import Transaction
from modelyard.accounts.times import spelt
from modelyard.store import to_json

TYPE = "modelyard.usage.v1"


def event(entry: Entry) -> dict[str, Any]:
    """One entry as an event; a correction is an event with the units it moves."""
    return {
        "specversion": "1.0",
        "id": f"{entry.writer}-{entry.number}",
        "source": "/modelyard/ledger",
        "type": TYPE,
        "subject": entry.customer,
        "time": spelt(entry.time),
        "datacontenttype": "application/json",
        "data": {
            "kind": entry.kind, "month": entry.month, "tariff": entry.tariff, "units": entry.units,
            "request": entry.request, "model": entry.model, "version": entry.version, "note": entry.note,
        },
    }  # fmt: skip


def events(held: Transaction, *, customer: str | None = None, month: str | None = None) -> Iterator[str]:
    """Lines of JSON, chain after chain, of all or of one customer or month."""
    where, values = ["kind <> 'anchor'"], []
    for column, value in (("customer", customer), ("month", month)):
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    for row in held.each(select(f"WHERE {' AND '.join(where)} ORDER BY writer, number"), values):
        yield to_json(event(Entry.of(row)), indent=None)
