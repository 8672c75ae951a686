"""Tables of the accounts, for SQLite and PostgreSQL alike. Times are whole microseconds UTC; nothing that is money is a float.

A request's commits write each page that they touch: tables that every request changes have few indexes, and in SQLite lie in the
order of their key. What only grows is guarded by triggers: `entries` (the ledger) and `plans` refuse UPDATE and DELETE in both databases.
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
        since BIGINT NOT NULL, PRIMARY KEY (customer, month)){by_key}""",
    "CREATE TABLE flow (customer TEXT PRIMARY KEY REFERENCES customers (id), arrival BIGINT NOT NULL)",
    """CREATE TABLE writers (
        id TEXT PRIMARY KEY, host TEXT NOT NULL, process BIGINT NOT NULL, started TEXT NOT NULL, opened BIGINT NOT NULL,
        lease BIGINT NOT NULL, state TEXT NOT NULL, anchored INTEGER NOT NULL)""",
    "CREATE INDEX writers_unanchored ON writers (anchored, id)",
    """CREATE TABLE reservations (
        customer TEXT NOT NULL, idempotency TEXT NOT NULL, writer TEXT NOT NULL, request TEXT NOT NULL, key TEXT NOT NULL,
        body TEXT NOT NULL, month TEXT NOT NULL, tariff TEXT NOT NULL, units TEXT NOT NULL, made BIGINT NOT NULL,
        PRIMARY KEY (customer, idempotency)){by_key}""",
    """CREATE TABLE entries (
        writer TEXT NOT NULL, number BIGINT NOT NULL, time BIGINT NOT NULL, kind TEXT NOT NULL, customer TEXT,
        month TEXT, tariff TEXT, units TEXT NOT NULL, key TEXT, idempotency TEXT, request TEXT, body TEXT, model TEXT,
        version TEXT, note TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (writer, number))""",
    "CREATE UNIQUE INDEX entries_once ON entries (customer, idempotency)",
    "CREATE INDEX entries_month ON entries (customer, month)",
    """CREATE TABLE balances (
        customer TEXT NOT NULL, month TEXT NOT NULL, unit TEXT NOT NULL, tariff TEXT NOT NULL, used BIGINT NOT NULL,
        reserved BIGINT NOT NULL, PRIMARY KEY (customer, month, unit, tariff)){by_key}""",
    """CREATE TABLE answers (
        customer TEXT NOT NULL, idempotency TEXT NOT NULL, nonce {bytes} NOT NULL, sealed {bytes} NOT NULL,
        expires BIGINT NOT NULL, PRIMARY KEY (customer, idempotency))""",
    "CREATE INDEX answers_expire ON answers (expires)",
)
APPEND_ONLY = ("entries", "plans")
TERMS = ("customers", "keys", "subscriptions")
"""Who may ask, and on which terms: any change raises the number `terms`, so that a process knows when what it remembers is old."""


def statements(kind: str) -> list[str]:
    """What creates the schema in `sqlite` or `postgres`."""
    own = {"bytes": "BLOB", "by_key": " WITHOUT ROWID"} if kind == "sqlite" else {"bytes": "BYTEA", "by_key": ""}
    found = [table.format(**own) for table in TABLES]
    found.append("INSERT INTO meta (name, value) VALUES ('terms', '0')")
    return found + (_sqlite_triggers() if kind == "sqlite" else _postgres_triggers())


_RAISE = "UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE name = 'terms'"


def _sqlite_triggers() -> list[str]:
    terms = [
        f"CREATE TRIGGER {table}_{verb.lower()}_terms AFTER {verb} ON {table} BEGIN {_RAISE}; END"
        for table in TERMS
        for verb in ("INSERT", "UPDATE", "DELETE")
    ]
    return terms + [
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{table} only grows'); END"
        for table in APPEND_ONLY
        for verb in ("UPDATE", "DELETE")
    ]


def _postgres_triggers() -> list[str]:
    raised = f"CREATE FUNCTION new_terms() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_RAISE}; RETURN NULL; END $$"
    terms = "CREATE TRIGGER {0}_terms AFTER INSERT OR UPDATE OR DELETE ON {0} FOR EACH STATEMENT EXECUTE FUNCTION new_terms()"
    function = (
        "CREATE FUNCTION only_grows() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% only grows', TG_TABLE_NAME; END $$"
    )
    rows = "CREATE TRIGGER {0}_guard BEFORE UPDATE OR DELETE ON {0} FOR EACH ROW EXECUTE FUNCTION only_grows()"
    emptying = "CREATE TRIGGER {0}_truncate BEFORE TRUNCATE ON {0} FOR EACH STATEMENT EXECUTE FUNCTION only_grows()"
    changes = [raised] + [terms.format(table) for table in TERMS]
    return [*changes, function] + [text.format(table) for table in APPEND_ONLY for text in (rows, emptying)]
