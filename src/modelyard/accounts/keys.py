"""Keys: `yard_<id>_<secret>`, shown once. Only the SHA-256 of the secret is kept.

The secret has 256 random bits, so a fast hash is enough: nobody guesses it, and there is nothing to slow down. Comparison takes
the same time for a right and a wrong secret, and for an id that is not there.

>>> id, secret = split("yard_k0_abc")
>>> id, secret == digest("abc")
('k0', True)
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256

from modelyard.accounts.chain import canonical
from modelyard.accounts.customers import customer, shown
from modelyard.accounts.database import Transaction
from modelyard.accounts.times import DAY
from modelyard.errors import AccountError, nearest

SCOPES = ("predict", "batch", "feedback", "usage")
"""What a key may do: ask for answers of every kind, run batch jobs, send feedback, read its own usage."""
GRACE = DAY
"""After a rotation the old key still works for so long."""
_NOBODY = sha256(b"").hexdigest()
_COLUMNS = "id, customer, last4, label, scopes, created, expires, revoked"


@dataclass(frozen=True, slots=True)
class Key:
    """What may be shown of a key."""

    id: str
    customer: str
    last4: str
    label: str
    scopes: tuple[str, ...]
    created: int
    expires: int | None
    revoked: int | None

    @property
    def shown(self) -> str:
        """`yard_k3…9f2a`: enough to recognise it."""
        return f"yard_{self.id}_…{self.last4}"

    def refusal(self, now: int) -> str | None:
        """`revoked`, `expired`, or None while it works."""
        if self.revoked is not None and self.revoked <= now:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else None


def issue(
    held: Transaction,
    customer_id: str,
    *,
    label: str = "",
    scopes: Iterable[str] = SCOPES,
    expires: int | None = None,
) -> tuple[Key, str]:
    """A new key and its whole text, which is never to be had again."""
    owner = customer(held, customer_id)
    if owner.closed is not None:
        raise AccountError(f"{customer_id} is closed and gets no key")
    allowed = tuple(sorted(set(scopes)))
    for scope in allowed:
        if scope not in SCOPES:
            raise AccountError(f"no scope {scope!r}.{nearest(scope, SCOPES)} Allowed: {', '.join(SCOPES)}")
    if not allowed:
        raise AccountError(f"a key without a scope may do nothing. Allowed: {', '.join(SCOPES)}")
    if expires is not None and expires <= held.now:
        raise AccountError("the key would have expired already: give a later time")
    if not shown(label):
        raise AccountError(f"a key's label is in one line, without control characters (got {label[:60]!r})")
    secret = base64.b32encode(secrets.token_bytes(32)).decode().rstrip("=").lower()
    key = Key(secrets.token_hex(5), customer_id, secret[-4:], label[:100], allowed, held.now, expires, None)
    held.run(
        "INSERT INTO keys (id, customer, secret, last4, label, scopes, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (key.id, customer_id, digest(secret), key.last4, key.label, canonical(allowed), held.now, expires),
    )
    return key, f"yard_{key.id}_{secret}"


def rotate(held: Transaction, id: str, *, grace: int = GRACE) -> tuple[Key, str]:
    """A new key like this one; the old one expires after `grace` microseconds, unless it does so before."""
    old = find_key(held, id)
    if old.refusal(held.now):
        raise AccountError(f"the key {old.shown} is {old.refusal(held.now)}: issue a new one")
    end = held.now + grace if old.expires is None else min(old.expires, held.now + grace)
    held.run("UPDATE keys SET expires = ? WHERE id = ?", (end, id))
    return issue(held, old.customer, label=old.label, scopes=old.scopes)


def revoke(held: Transaction, id: str) -> Key:
    """It is refused from now on."""
    found = find_key(held, id)
    held.run("UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL", (held.now, id))
    return replace(found, revoked=found.revoked if found.revoked is not None else held.now)


def find_key(held: Transaction, id: str) -> Key:
    """One key by its id, or AccountError."""
    row = held.one(f"SELECT {_COLUMNS} FROM keys WHERE id = ?", (id,))
    if row is None:
        raise AccountError(f"no key {id!r}. List them: yard keys list CUSTOMER")
    return _of(row)


def keys_of(held: Transaction, customer_id: str) -> list[Key]:
    """All keys of a customer, the oldest first."""
    customer(held, customer_id)
    rows = held.all(f"SELECT {_COLUMNS} FROM keys WHERE customer = ? ORDER BY created, id", (customer_id,))
    return [_of(row) for row in rows]


def split(presented: str) -> tuple[str, str] | None:
    """Id and the hash of the secret of a presented key; None where it has not the form of one."""
    parts = presented.split("_")
    if len(parts) != 3 or parts[0] != "yard" or not parts[1] or not parts[2] or len(presented) > 200:
        return None
    return parts[1], digest(parts[2])


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return sha256(secret.encode()).hexdigest()


def check(held: Transaction, id: str, secret_hash: str) -> Key | None:
    """The key, if the secret is its own; revoked and expired ones too (see `Key.refusal`)."""
    row = held.one(f"SELECT {_COLUMNS}, secret FROM keys WHERE id = ?", (id,))
    right = hmac.compare_digest(_NOBODY if row is None else row[-1], secret_hash)
    return None if row is None or not right else _of(row[:-1])


def _of(row: tuple[object, ...]) -> Key:
    values = list(row)
    values[4] = tuple(json.loads(str(values[4])))
    return Key(*values)  # type: ignore[arg-type]
