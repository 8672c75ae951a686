"""Customers: who they are and what they pay in. It knows nothing about keys or plans."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from modelyard.accounts.database import Transaction
from modelyard.errors import AccountError, nearest

_ID = re.compile(r"[a-z0-9][a-z0-9-]{1,39}")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters, ends of lines, and those that turn the direction of writing: with them a name shows as another."""


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer; times in microseconds."""

    id: str
    name: str
    currency: str
    created: int
    closed: int | None


def add_customer(held: Transaction, name: str, *, currency: str = "USD", id: str | None = None) -> Customer:
    """Create one. Its id is given (lower case, digits, hyphens), or made up."""
    _check_name(name)
    if not re.fullmatch("[A-Z]{3}", currency):
        raise AccountError(f"no currency {currency!r}. Write three letters, such as USD")
    chosen = id or "c" + secrets.token_hex(6)
    if not _ID.fullmatch(chosen):
        raise AccountError(f"a customer's id is 2 to 40 of a-z, 0-9 and - (got {chosen!r})")
    if held.one("SELECT 1 FROM customers WHERE id = ?", (chosen,)) is not None:
        raise AccountError(f"there is a customer {chosen!r} already: choose another id")
    held.run(
        "INSERT INTO customers (id, name, currency, created) VALUES (?, ?, ?, ?)", (chosen, name, currency, held.now)
    )
    held.run("INSERT INTO flow (customer, arrival) VALUES (?, 0)", (chosen,))
    return Customer(chosen, name, currency, held.now, None)


def customer(held: Transaction, id: str) -> Customer:
    """One customer, or AccountError."""
    row = held.one("SELECT id, name, currency, created, closed FROM customers WHERE id = ?", (id,))
    if row is None:
        known = [each.id for each in all_customers(held)]
        raise AccountError(f"no customer {id!r}.{nearest(id, known)} List them: yard customers list")
    return Customer(*row)


def all_customers(held: Transaction) -> list[Customer]:
    """All, the oldest first."""
    return [
        Customer(*row)
        for row in held.all("SELECT id, name, currency, created, closed FROM customers ORDER BY created, id")
    ]


def rename(held: Transaction, id: str, name: str) -> Customer:
    """Change the name that stands on invoices."""
    customer(held, id)
    _check_name(name)
    held.run("UPDATE customers SET name = ? WHERE id = ?", (name, id))
    return customer(held, id)


def close(held: Transaction, id: str) -> Customer:
    """End a customer: the keys are revoked at once, this month is still invoiced, the months after are not."""
    customer(held, id)
    held.run("UPDATE customers SET closed = ? WHERE id = ? AND closed IS NULL", (held.now, id))
    held.run("UPDATE keys SET revoked = ? WHERE customer = ? AND revoked IS NULL", (held.now, id))
    return customer(held, id)


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > 200 or not shown(name):
        raise AccountError(f"a customer's name is 1 to 200 characters in one line (got {name[:60]!r})")


def shown(text: str) -> bool:
    """Whether a text holds nothing that cannot be seen or turns what is seen around."""
    return _UNSEEN.search(text) is None
