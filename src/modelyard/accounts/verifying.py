"""`yard ledger verify`: is every chain whole, every anchor true, every balance the sum of its entries, no key billed twice?

It returns every fault it finds with where it is; a ledger without faults returns none. It changes nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.accounts.chain import hash_of, heads, select
from modelyard.accounts.database import Database, Transaction
from modelyard.accounts.writers import START

Heads = Mapping[str, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where: `entry WRITER/NUMBER`, `balance CUSTOMER/MONTH/UNIT/TARIFF`, ..."""

    where: str
    says: str

    def __str__(self) -> str:
        return f"{self.where}: {self.says}"


@dataclass(frozen=True, slots=True)
class Verified:
    """The faults, and the heads to keep elsewhere and compare with next time."""

    faults: tuple[Fault, ...]
    heads: dict[str, tuple[int, str]]
    entries: int


def verify(database: Database, *, heads_before: Heads | None = None) -> Verified:
    """Read the whole ledger in one snapshot; faults in the order of the chains."""
    with database.read() as held:
        chains = _Chains(held)
        faults = [
            *chains.faults(),
            *_missing(held, chains.anchored),
            *_missing(held, [(w, n, h, "the saved heads") for w, (n, h) in (heads_before or {}).items()]),
            *_twice(held),
            *_balances(held, chains.sums),
            *_reservations(held),
        ]
        return Verified(tuple(faults), heads(held), chains.count)


class _Chains:
    """One pass over all entries: chains checked, anchors and sums collected."""

    def __init__(self, held: Transaction) -> None:
        self._held = held
        self.anchored: list[tuple[str, int, str, str]] = []
        self.sums: Counter[tuple[str, str, str, str]] = Counter()
        self.count = 0

    def faults(self) -> Iterator[Fault]:
        writer, number, previous, time = "", 0, START, 0
        for row in self._held.each(select("ORDER BY writer, number")):
            fields, digest = row[:-1], row[-1]
            if fields[0] != writer:
                writer, number, previous, time = fields[0], 0, START, 0
            where = f"entry {writer}/{fields[1]}"
            if fields[1] != number + 1:
                yield Fault(where, f"follows entry {number}: {_gap(number, fields[1])}")
            if hash_of(fields) != digest:
                yield Fault(where, "its hash is not the hash of its fields: it was changed")
            if fields[15] != previous:
                yield Fault(
                    where, "does not continue the entry before it: one of them was changed, inserted or deleted"
                )
            if fields[2] < time:
                yield Fault(where, "is earlier than the entry before it")
            number, previous, time = fields[1], digest, max(time, fields[2])
            self.count += 1
            yield from self._collect(where, fields)

    def _collect(self, where: str, fields: tuple[Any, ...]) -> Iterator[Fault]:
        try:
            if fields[3] == "anchor":
                self.anchored += [
                    (writer, at, digest, where) for writer, (at, digest) in json.loads(fields[14]).items()
                ]
            for unit, count in json.loads(fields[7]).items():
                self.sums[(str(fields[4]), str(fields[5]), unit, str(fields[6]))] += count
        except (ValueError, TypeError, AttributeError):
            yield Fault(where, "cannot be read: its units or its anchor are not as we write them")


def _gap(before: int, number: int) -> str:
    return "one stands twice" if number <= before else f"{number - before - 1} are missing"


def _missing(held: Transaction, known: list[tuple[str, int, str, str]]) -> Iterator[Fault]:
    for writer, number, digest, where in known:
        found = held.one("SELECT hash FROM entries WHERE writer = ? AND number = ?", (writer, number))
        if found is None:
            yield Fault(f"entry {writer}/{number}", f"is gone; {where} knows it")
        elif found[0] != digest:
            yield Fault(f"entry {writer}/{number}", f"is not the one that {where} knows")


def _twice(held: Transaction) -> Iterator[Fault]:
    for customer, idempotency, count in held.each(
        "SELECT customer, idempotency, count(*) FROM entries WHERE idempotency IS NOT NULL "
        "GROUP BY customer, idempotency HAVING count(*) > 1 ORDER BY customer, idempotency"
    ):
        yield Fault(f"customer {customer}", f"the idempotency key {idempotency} is billed {count} times")


def _balances(held: Transaction, sums: Counter[tuple[str, str, str, str]]) -> Iterator[Fault]:
    reserved: Counter[tuple[str, str, str, str]] = Counter()
    for customer, month, tariff, units in held.each("SELECT customer, month, tariff, units FROM reservations"):
        for unit, count in json.loads(units).items():
            reserved[(customer, month, unit, tariff)] += count
    left, waiting = Counter(sums), Counter(reserved)
    for customer, month, unit, tariff, used, held_back in held.each(
        "SELECT customer, month, unit, tariff, used, reserved FROM balances ORDER BY customer, month, unit, tariff"
    ):
        place = (customer, month, unit, tariff)
        where = "balance " + "/".join(place)
        if used != left.pop(place, 0):
            yield Fault(where, f"says {used}, the entries sum to {sums[place]}")
        if held_back != waiting.pop(place, 0):
            yield Fault(where, f"says {held_back} reserved, the reservations sum to {reserved[place]}")
    for place in sorted(key for rest in (left, waiting) for key, count in rest.items() if count):
        yield Fault("balance " + "/".join(place), "is missing; entries or reservations have units of it")


def _reservations(held: Transaction) -> Iterator[Fault]:
    for customer, request, writer, state in held.each(
        "SELECT r.customer, r.request, r.writer, w.state FROM reservations r LEFT JOIN writers w ON w.id = r.writer "
        "WHERE w.id IS NULL OR w.state <> 'open' ORDER BY r.customer, r.request"
    ):
        yield Fault(
            f"reservation {customer}/{request}", f"belongs to the writer {writer}, which is {state or 'unknown'}"
        )
    for customer, request in held.each(
        "SELECT r.customer, r.request FROM reservations r JOIN entries e ON e.customer = r.customer "
        "AND e.idempotency = r.idempotency ORDER BY r.customer, r.request"
    ):
        yield Fault(f"reservation {customer}/{request}", "is already settled")
