"""Kept answers: what a settled request answered, for its idempotency key, encrypted, for 24 hours.

AES-256-GCM; the customer and the key are bound to the text, so that one row cannot be passed off as another. The encryption key
lies in the state folder or the environment, never in the database.
"""

from __future__ import annotations

import secrets

from modelyard.accounts.database import Transaction
from modelyard.accounts.times import DAY
from modelyard.errors import UserError

KEEP = DAY
"""How long an answer is kept."""
AT_ONCE = 500
"""Answers that one transaction forgets: it stays short."""


class Box:
    """What encrypts and decrypts. `Box(bytes(32))`."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if len(key) != 32:
            raise UserError(f"an encryption key has 32 bytes (got {len(key)})")
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, bound: str) -> tuple[bytes, bytes]:
        """(nonce, sealed)."""
        nonce = secrets.token_bytes(12)
        return nonce, self._cipher.encrypt(nonce, plain, bound.encode())

    def open(self, nonce: bytes, sealed: bytes, bound: str) -> bytes | None:
        """The text again; None where it was sealed under another key, for another row, or changed."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(bytes(nonce), bytes(sealed), bound.encode())
        except InvalidTag:
            return None


def keep(held: Transaction, box: Box, customer: str, idempotency: str, answer: bytes) -> None:
    """Keep an answer from now on for 24 hours."""
    nonce, sealed = box.seal(answer, f"{customer} {idempotency}")
    held.run(
        "INSERT INTO answers (customer, idempotency, nonce, sealed, expires) VALUES (?, ?, ?, ?, ?)",
        (customer, idempotency, nonce, sealed, held.now + KEEP),
    )


def kept(held: Transaction, box: Box, customer: str, idempotency: str) -> bytes | None:
    """The answer, if it is still kept."""
    row = held.one(
        "SELECT nonce, sealed, expires FROM answers WHERE customer = ? AND idempotency = ?", (customer, idempotency)
    )
    if row is None or row[2] <= held.now:
        return None
    return box.open(row[0], row[1], f"{customer} {idempotency}")


def forget(held: Transaction) -> int:
    """Delete answers whose time is over, some at once; how many."""
    old = held.all(
        f"SELECT customer, idempotency FROM answers WHERE expires <= ? ORDER BY expires LIMIT {AT_ONCE}", (held.now,)
    )
    for place in old:
        held.run("DELETE FROM answers WHERE customer = ? AND idempotency = ?", place)
    return len(old)
