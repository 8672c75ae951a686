"""Tables of the accounts, for SQLite and PostgreSQL alike. Times are whole microseconds UTC; nothing that is money is a float.

What only grows is guarded by triggers: `entries` (the ledger) and `plans` refuse UPDATE and DELETE in both databases.
"""

from __future__ import annotations

VERSION = 1
"""Raised when a table changes; `database.open_database` refuses a newer one."""

TABLES = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE customers (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, currency TEXT NOT NULL, created BIGINT NOT NULL, closed BIGINT)""",
    """CREATE TABLE keys (
        id TEXT PRIMARY KEY, customer TEXT NOT NULL REFERENCES customers (id), secret TEXT NOT NULL, last4 TEXT NOT NULL,
        label TEXT NOT NULL, scopes TEXT NOT NULL, created BIGINT NOT NULL, expires BIGINT, revoked BIGINT)""",
    "CREATE INDEX keys_of ON keys (customer)",
    "CREATE TABLE plans (hash TEXT PRIMARY KEY, name TEXT NOT NULL, body TEXT NOT NULL, added BIGINT NOT NULL)",
    """CREATE TABLE subscriptions (
        customer TEXT NOT NULL REFERENCES customers (id), month TEXT NOT NULL, plan TEXT NOT NULL REFERENCES plans (hash),
        since BIGINT NOT NULL, PRIMARY KEY (customer, month))""",
    "CREATE TABLE flow (customer TEXT PRIMARY KEY REFERENCES customers (id), arrival BIGINT NOT NULL)",
    """CREATE TABLE writers (
        id TEXT PRIMARY KEY, host TEXT NOT NULL, process BIGINT NOT NULL, started TEXT NOT NULL, opened BIGINT NOT NULL,
        lease BIGINT NOT NULL, state TEXT NOT NULL, anchored INTEGER NOT NULL)""",
    "CREATE INDEX writers_unanchored ON writers (anchored, id)",
    """CREATE TABLE reservations (
        customer TEXT NOT NULL, idempotency TEXT NOT NULL, writer TEXT NOT NULL, request TEXT NOT NULL, key TEXT NOT NULL,
        body TEXT NOT NULL, month TEXT NOT NULL, tariff TEXT NOT NULL, units TEXT NOT NULL, made BIGINT NOT NULL,
        PRIMARY KEY (customer, idempotency))""",
    "CREATE INDEX reservations_of ON reservations (writer)",
    """CREATE TABLE entries (
        writer TEXT NOT NULL, number BIGINT NOT NULL, time BIGINT NOT NULL, kind TEXT NOT NULL, customer TEXT,
        month TEXT, tariff TEXT, units TEXT NOT NULL, key TEXT, idempotency TEXT, request TEXT, body TEXT, model TEXT,
        version TEXT, note TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (writer, number))""",
    "CREATE UNIQUE INDEX entries_once ON entries (customer, idempotency)",
    "CREATE INDEX entries_month ON entries (customer, month)",
    """CREATE TABLE balances (
        customer TEXT NOT NULL, month TEXT NOT NULL, unit TEXT NOT NULL, tariff TEXT NOT NULL, used BIGINT NOT NULL,
        reserved BIGINT NOT NULL, PRIMARY KEY (customer, month, unit, tariff))""",
    """CREATE TABLE answers (
        customer TEXT NOT NULL, idempotency TEXT NOT NULL, nonce {bytes} NOT NULL, sealed {bytes} NOT NULL,
        expires BIGINT NOT NULL, PRIMARY KEY (customer, idempotency))""",
    "CREATE INDEX answers_expire ON answers (expires)",
)
APPEND_ONLY = ("entries", "plans")


def statements(kind: str) -> list[str]:
    """What creates the schema in `sqlite` or `postgres`."""
    found = [table.format(bytes="BLOB" if kind == "sqlite" else "BYTEA") for table in TABLES]
    return found + (_sqlite_guards() if kind == "sqlite" else _postgres_guards())


def _sqlite_guards() -> list[str]:
    return [
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{table} only grows'); END"
        for table in APPEND_ONLY
        for verb in ("UPDATE", "DELETE")
    ]


def _postgres_guards() -> list[str]:
    function = (
        "CREATE FUNCTION only_grows() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% only grows', TG_TABLE_NAME; END $$"
    )
    rows = "CREATE TRIGGER {0}_guard BEFORE UPDATE OR DELETE ON {0} FOR EACH ROW EXECUTE FUNCTION only_grows()"
    emptying = "CREATE TRIGGER {0}_truncate BEFORE TRUNCATE ON {0} FOR EACH STATEMENT EXECUTE FUNCTION only_grows()"
    return [function] + [text.format(table) for table in APPEND_ONLY for text in (rows, emptying)]
