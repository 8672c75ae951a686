"""Who writes the ledger: each start of a process is a new writer with a lease and a hash chain of its own.

A writer renews its lease each second; one whose lease ran out, or whose process on this host is dead, is reaped by any other:
its reservations end and it may write no more. A writer that was only slow learns it at its next transaction (`hold`) and
starts again under a new name. Wrong clocks can therefore end a living writer, but never let two own one reservation.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from modelyard.accounts.database import Database, Transaction
from modelyard.accounts.times import SECOND
from modelyard.errors import ModelyardError

T = TypeVar("T")
BEAT = SECOND
"""A lease is renewed this often."""
LEASE = 5 * SECOND
"""A writer that has not renewed for so long is dead to the others."""
KNOWN = 10_000
"""Keys and plans that a writer remembers."""
START = "0" * 64
"""What stands before a chain's first entry."""


class Ended(ModelyardError):
    """This writer has been reaped: its lease ran out. Open a new one."""


@dataclass
class Writer:
    """One chain's end, kept in memory."""

    id: str
    number: int = 0
    """Entries written."""
    head: str = START
    """Hash of the last."""
    time: int = 0
    """Time of the last: a clock that jumps back does not turn a chain's times back."""
    unanchored: int = 0
    """Entries since the last anchor."""
    stale: bool = False
    """A transaction failed: what stands above is read again at the next `hold`."""
    terms: str = ""
    """The number of the terms under which the following was read."""
    known: dict[Any, Any] = field(default_factory=dict)
    """Keys and plans as they were read; empty again when the terms have changed."""

    def recall(self, what: Any, read: Callable[[], T]) -> T:
        """What `read` gives, remembered until the terms change. None is asked again each time."""
        found: T | None = self.known.get(what)
        if found is None:
            found = read()
            if found is not None:
                if len(self.known) >= KNOWN:
                    self.known.clear()
                self.known[what] = found
        return found


def open_writer(held: Transaction, *, process: int | None = None) -> Writer:
    """A new writer of this process (or of another one, for tests), with a lease from now."""
    number = os.getpid() if process is None else process
    writer = Writer(secrets.token_hex(8))
    held.run(
        "INSERT INTO writers (id, host, process, started, opened, lease, state, anchored) VALUES (?, ?, ?, ?, ?, ?, 'open', 0)",
        (writer.id, host(), number, started(number), held.now, held.now + LEASE),
    )
    return writer


def hold(held: Transaction, writer: Writer) -> None:
    """First in every transaction of a writer: nobody can reap it before the end. Renews a lease that is a beat old; Ended."""
    held.lock("writers", "id", writer.id)
    found = held.one(
        "SELECT state, lease, (SELECT value FROM meta WHERE name = 'terms') FROM writers WHERE id = ?", (writer.id,)
    )
    if found is None or found[0] != "open":
        raise Ended(f"the writer {writer.id} was reaped: its lease ran out")
    if abs(held.now + LEASE - found[1]) >= BEAT:
        renew(held, writer)
    if writer.stale or writer.terms != found[2]:
        writer.known.clear()
        writer.terms = found[2]
    if writer.stale:
        last = held.one(
            "SELECT number, hash, time FROM entries WHERE writer = ? ORDER BY number DESC LIMIT 1", (writer.id,)
        )
        writer.number, writer.head, writer.time = last or (0, START, 0)
        writer.unanchored, writer.stale = 0, False


@contextmanager
def writing(database: Database, writer: Writer) -> Iterator[Transaction]:
    """A transaction of this writer; where it fails, the chain's end is read again before the next."""
    try:
        with database.write() as held:
            hold(held, writer)
            yield held
    except BaseException:
        writer.stale = True
        raise


def renew(held: Transaction, writer: Writer) -> None:
    """Keep the lease for another five seconds; Ended where it is too late."""
    if held.run("UPDATE writers SET lease = ? WHERE id = ? AND state = 'open'", (held.now + LEASE, writer.id)) != 1:
        raise Ended(f"the writer {writer.id} was reaped: its lease ran out")


def end(held: Transaction, id: str) -> None:
    """It writes no more."""
    held.run("UPDATE writers SET state = 'ended' WHERE id = ?", (id,))


def dead_writers(held: Transaction) -> list[str]:
    """Open writers whose lease ran out, or whose process on this host is gone."""
    return [
        id
        for id, where, process, began, lease in held.all(
            "SELECT id, host, process, started, lease FROM writers WHERE state = 'open' ORDER BY id"
        )
        if lease < held.now or _gone(where, process, began)
    ]


def _gone(where: str, process: int, began: str) -> bool:
    """Whether a process of this host ended, or another one has its number now."""
    if where != host():
        return False
    now = started(process)
    return now == "" or now != began


def dead(held: Transaction, id: str) -> bool:
    """The same for one writer; one that is not open is."""
    found = held.one("SELECT host, process, started, lease, state FROM writers WHERE id = ?", (id,))
    if found is None or found[4] != "open":
        return True
    return bool(found[3] < held.now) or _gone(*found[:3])


def shorten(held: Transaction) -> None:
    """After a clock went back, leases would last too long: none lasts longer than five seconds from now."""
    held.run(
        "UPDATE writers SET lease = ? WHERE state = 'open' AND lease > ?", (held.now + LEASE, held.now + LEASE + BEAT)
    )


def host() -> str:
    """This host since its start, and this namespace of process numbers: where it differs, a number says nothing."""
    global _HOST
    if _HOST is None:
        boot = Path("/proc/sys/kernel/random/boot_id")
        spaces = Path("/proc/self/ns/pid")
        parts = [socket.gethostname()]
        if boot.exists() and spaces.exists():
            parts += [boot.read_text().strip(), os.readlink(spaces)]
        _HOST = " ".join(parts)
    return _HOST


_HOST: str | None = None


def started(process: int) -> str:
    """When a process of this host began, in the kernel's ticks; empty where it is gone, `unknown` where the kernel does not tell."""
    if not Path("/proc/self/stat").exists():
        return "unknown"
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    return "" if fields[0] in ("Z", "X") else fields[19]  # field 22 of proc(5)
