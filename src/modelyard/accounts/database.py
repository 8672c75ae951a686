"""The only place that knows SQLite and PostgreSQL: connections, transactions, the schema and its version, errors with a cure.

    sqlite:///path/to/accounts.db      one host; any number of processes on it
    postgresql://user@host/name        several replicas; needs the extra `postgres`

**What survives.** `durability="process"`: everything committed survives a killed process (kill -9) and a crash of the service;
after a loss of power the last moments may be missing, but the file is whole and is a prefix of what happened (SQLite: WAL with
synchronous=NORMAL; PostgreSQL: synchronous_commit=off). `durability="power"`: a commit returns when it is on the disk (FULL, on).

One connection a thread; a transaction either commits as a whole or leaves nothing. It knows nothing about customers.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NoReturn

from modelyard.accounts import schema
from modelyard.accounts.times import Clock, host_clock
from modelyard.errors import DatabaseFault, MissingExtra, UserError

Durability = Literal["process", "power"]
WAIT = 5.0
"""Seconds to wait for another process's transaction; ours take about a millisecond each."""
PAGE = 2048
"""Bytes of SQLite's pages: a request changes about eight, and each is written whole."""
WAL_PAGES = 2000
"""A checkpoint each 4 MB where no thread does it (`checkpoint`); SQLite's own default."""
PASSES, TAIL, HELD = 4, 200, 0.02
"""A checkpoint copies beside the writers at most so often, until at most so many pages are left; then it holds the writers, and waits
so many seconds for them or for a reader."""
_POSTGRES_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
CURES = {
    "full": "the disk of the accounts' database is full: nothing of this was written. Free some space; the service goes on by itself.",
    "locked": "the accounts' database is held by another process for more than {wait:g} s. End it (a backup, a shell?); the service goes on by itself.",
    "gone": "the accounts' database does not answer. Start it again; the service goes on by itself.",
    "broken": "the accounts' database refused: {why}",
}


class Transaction:
    """What runs inside one transaction. SQL is written with `?`; rows are tuples."""

    def __init__(self, connection: Any, kind: str, now: int) -> None:
        self._connection, self.sqlite, self.now = connection, kind == "sqlite", now

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Execute; the number of rows changed."""
        changed: int = self._execute(sql, values).rowcount
        return changed

    def one(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row, or None."""
        found: tuple[Any, ...] | None = self._execute(sql, values).fetchone()
        return found

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Every row."""
        found: list[tuple[Any, ...]] = self._execute(sql, values).fetchall()
        return found

    def each(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Row after row, without holding them all."""
        if self.sqlite:
            yield from self._execute(sql, values)
        else:
            with self._connection.cursor(name="each") as cursor:
                cursor.execute(_dialect(sql), values)
                yield from cursor

    def lock(self, table: str, column: str, value: str) -> None:
        """Hold a row until the end of the transaction (SQLite holds the whole database already)."""
        if not self.sqlite:
            self._execute(f"SELECT 1 FROM {table} WHERE {column} = ? FOR UPDATE", (value,))

    def _execute(self, sql: str, values: Sequence[Any]) -> Any:
        if self.sqlite:
            return self._connection.execute(sql, values)
        return self._connection.execute(_dialect(sql), values or None)  # without values a % is a %


@lru_cache(512)
def _dialect(sql: str) -> str:
    return sql.replace("?", "%s")


class Database:
    """A database of accounts. `with database.write() as held: held.run(...)`; closed by `close()` or leaving its `with`."""

    def __init__(
        self, url: str, *, durability: Durability = "process", clock: Clock | None = None, wait: float = WAIT
    ) -> None:
        self.url, self.durability, self._clock, self._wait = url, durability, clock, wait
        self.kind, self._where = _read_url(url)
        self._local = threading.local()
        self._opened: list[Any] = []
        self._guard = threading.Lock()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self) -> contextlib.AbstractContextManager[Transaction]:
        """A transaction that changes; commits at the end, undone by any exception."""
        return self._transaction("BEGIN IMMEDIATE", "BEGIN")

    def read(self) -> contextlib.AbstractContextManager[Transaction]:
        """A transaction that sees one state from its beginning to its end."""
        return self._transaction("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    @contextlib.contextmanager
    def _transaction(self, sqlite: str, postgres: str) -> Iterator[Transaction]:
        connection = None
        try:
            connection = self._begin(sqlite if self.kind == "sqlite" else postgres)
            yield Transaction(connection, self.kind, self._now(connection))
            connection.execute("COMMIT")
        except BaseException as error:
            if connection is not None:
                self._undo(connection)
            self._raise(error)

    def _begin(self, how: str) -> Any:
        """A connection with a transaction begun; one that PostgreSQL closed since (a restart) is made anew."""
        connection = self._connection()
        try:
            connection.execute(how)
        except Exception as error:
            if self.kind == "sqlite" or _postgres_fault(error) != "gone":
                raise
            self._drop(connection)
            connection = self._connection()
            connection.execute(how)
        return connection

    def _undo(self, connection: Any) -> None:
        try:
            if self.kind == "postgres" or connection.in_transaction:
                connection.execute("ROLLBACK")
        except Exception:  # whatever it is, this connection is not used again
            self._drop(connection)

    def _now(self, connection: Any) -> int:
        if self._clock is not None:
            return self._clock()
        if self.kind == "sqlite":
            return host_clock()
        return int(connection.execute(_POSTGRES_NOW).fetchone()[0])

    def _connection(self) -> Any:
        found = getattr(self._local, "connection", None)
        if found is not None and self.kind == "postgres" and found.closed:
            self._drop(found)
            found = None
        if found is None:
            found = self._connect()
            self._local.connection = found
            with self._guard:
                self._opened.append(found)
        return found

    def _connect(self) -> Any:
        if self.kind == "sqlite":
            return _sqlite(self._where, self.durability, self._wait)
        return _postgres(self._where, self.durability)

    def _drop(self, connection: Any) -> None:
        with contextlib.suppress(Exception):
            connection.close()
        with self._guard:
            self._opened = [each for each in self._opened if each is not connection]
        if getattr(self._local, "connection", None) is connection:
            self._local.connection = None

    def off_the_path(self) -> None:
        """This thread's commits never copy the WAL into the file; `checkpoint` in another thread must. SQLite only."""
        if self.kind == "sqlite":
            with self._told():
                self._connection().execute("PRAGMA wal_autocheckpoint = 0")

    def checkpoint(self) -> bool:
        """Copy the WAL into the file and begin it anew; whether that was possible. Nothing to do on PostgreSQL.

        Nearly all of it is copied beside the writers. While they go on it would never be copied to its end, and would grow without
        one, so they are then held for the few pages that are left. Where a reader still needs old pages, the next call tries again.
        """
        if self.kind != "sqlite":
            return True
        with self._told():
            connection, before = self._connection(), 0
            for _ in range(PASSES):
                _, pages, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if pages - before <= TAIL:
                    break
                before = copied
            else:
                return False
            connection.execute(f"PRAGMA busy_timeout = {HELD * 1000:.0f}")
            try:
                return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                connection.execute(f"PRAGMA busy_timeout = {self._wait * 1000:.0f}")

    def wal_bytes(self) -> int:
        """Bytes of the WAL since it was last begun anew; 0 on PostgreSQL. Asked of the folder: see `_make_file`."""
        if self.kind != "sqlite":
            return 0
        try:
            return os.stat(self._where + "-wal").st_size
        except FileNotFoundError:
            return 0

    def impatient(self) -> Database:
        """The same by connections of their own, which never wait for another's transaction (DatabaseFault `locked`) or checkpoint."""
        return Database(self.url, durability=self.durability, clock=self._clock, wait=0.0)

    def close(self) -> None:
        """Close every connection; transactions that run are undone."""
        with self._guard:
            opened, self._opened = self._opened, []
        for connection in opened:
            with contextlib.suppress(Exception):
                connection.close()
        self._local = threading.local()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the two libraries as DatabaseFault."""
        try:
            yield
        except Exception as error:
            self._raise(error)

    def _raise(self, error: BaseException) -> NoReturn:
        """The error; one of the two libraries' as a DatabaseFault."""
        if isinstance(error, sqlite3.Error):
            kind: str | None = _sqlite_fault(error)
        else:
            kind = _postgres_fault(error) if self.kind == "postgres" else None
        if kind is None:
            raise error
        raise DatabaseFault(kind, CURES[kind].format(wait=self._wait, why=str(error).strip())) from error


def open_database(
    url: str, *, durability: Durability = "process", clock: Clock | None = None, create: bool = True
) -> Database:
    """Open a database, creating its tables where there are none; DatabaseFault `version` where a newer Modelyard made them."""
    database = Database(url, durability=durability, clock=clock)
    try:
        _prepare(database, create=create)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: Database, *, create: bool) -> None:
    if database.kind == "sqlite" and not create and not Path(database._where).exists():
        raise UserError(f"no database {database.url!r}. Create a customer first: yard customers add NAME")
    if database.kind == "sqlite" and create:
        _make_file(Path(database._where))
    there = "SELECT 1 FROM {} WHERE name = 'meta'"
    if database.kind == "postgres":
        there = "SELECT 1 FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = 'meta'"
    with database.write() as held:
        if database.kind == "postgres":
            held.run("SELECT pg_advisory_xact_lock(7709234501)")  # two replicas that start at once: one creates
        if held.one(there.format("sqlite_master")) is None:
            if not create:
                raise UserError(f"no accounts in {database.url!r}. Create a customer first: yard customers add NAME")
            for statement in schema.statements(database.kind):
                held.run(statement)
            held.run("INSERT INTO meta (name, value) VALUES ('version', ?)", (str(schema.VERSION),))
        found = held.one("SELECT value FROM meta WHERE name = 'version'")
    version = int(found[0]) if found else 0
    if version != schema.VERSION:
        raise DatabaseFault(
            "version",
            f"the accounts' database has version {version}, this Modelyard reads {schema.VERSION}. "
            "Install the Modelyard that wrote it, or restore a backup.",
        )


def _make_file(path: Path) -> None:
    """An empty file that its owner alone may read; SQLite gives its WAL the same rights.

    A file of a database is never opened here but by SQLite: closing it would drop every lock that this process has on it, and the next
    process would take the database for its own, and cut the WAL's index under those who use it (sqlite.org/howtocorrupt.html 2.2).
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
            os.close(handle)
            try:
                os.link(part, path)
            except FileExistsError:  # another was faster
                pass
            finally:
                os.unlink(part)
        elif not (path.is_file() and os.access(path, os.W_OK)):
            raise PermissionError(0, "it is no file that may be written")
    except OSError as error:
        raise UserError(
            f"the database {path} cannot be made: {error.strerror}. Name another place: --database"
        ) from None


def _read_url(url: str) -> tuple[Literal["sqlite", "postgres"], str]:
    if url.startswith("sqlite:///"):
        return "sqlite", url.removeprefix("sqlite:///")
    if url.startswith(("postgresql://", "postgres://")):
        return "postgres", url
    raise UserError(f"no database {url.split('@')[-1]!r}. Allowed: sqlite:///FILE, postgresql://USER@HOST/NAME")


def _sqlite(path: str, durability: Durability, wait: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=wait, isolation_level=None, cached_statements=256, check_same_thread=False
    )
    try:
        connection.execute(f"PRAGMA page_size = {PAGE}")  # heeded where the file is new
        _into_wal(connection, wait)
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if durability == 'process' else 'FULL'}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES if wait else 0}")
    except BaseException:
        connection.close()
        raise
    return connection


def _into_wal(connection: sqlite3.Connection, wait: float) -> None:
    """Several connections that open a new file at once: SQLite does not wait by itself where it turns a file into a WAL's."""
    until = time.monotonic() + wait
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if _sqlite_fault(error) != "locked" or time.monotonic() > until:
                raise
            time.sleep(0.005)


def _postgres(url: str, durability: Durability) -> Any:
    try:
        import psycopg
    except ImportError:
        raise MissingExtra("accounts in PostgreSQL", "postgres") from None
    connection = psycopg.connect(url, autocommit=True, connect_timeout=int(WAIT), prepare_threshold=3)
    connection.execute(f"SET synchronous_commit = {'off' if durability == 'process' else 'on'}")
    connection.execute(f"SET lock_timeout = '{WAIT:g}s'")
    return connection


def _sqlite_fault(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return "full"
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "locked"
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY):
        return "gone"
    return "broken"


def _postgres_fault(error: BaseException) -> str | None:
    """None where the error is not PostgreSQL's."""
    try:
        import psycopg
    except ImportError:
        return None
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate or ""
    if state in ("53100", "53200"):  # disk_full, out_of_memory
        return "full"
    if state in ("55P03", "40P01", "40001"):  # lock_not_available, deadlock_detected, serialization_failure
        return "locked"
    if state.startswith(("08", "57P")) or (not state and isinstance(error, psycopg.OperationalError)):
        return "gone"
    return "broken"
