"""The state folder of a service: where its database, its encryption key and its admin token lie.

    state/accounts.db      the database, unless an address of PostgreSQL is given
    state/answers.key      32 bytes in base64: encrypts kept answers; or the environment's MODELYARD_ANSWERS_KEY
    state/payloads.key     32 bytes in base64: encrypts kept requests, where they are kept; or MODELYARD_PAYLOAD_KEY
    state/admin.token      what the admin API asks for; or MODELYARD_ADMIN_TOKEN

Each variable may name a file instead, as containers hand out secrets: MODELYARD_DATABASE_FILE, MODELYARD_ANSWERS_KEY_FILE, MODELYARD_ADMIN_TOKEN_FILE,
MODELYARD_PAYLOAD_KEY_FILE.
The folder is 0700 and the files 0600, written once. Replicas share the database and must share the key by the environment.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path

from modelyard.accounts.answers import Box
from modelyard.accounts.database import Durability
from modelyard.errors import UserError

FOLDER = "MODELYARD_STATE"
DATABASE = "MODELYARD_DATABASE"
KEY = "MODELYARD_ANSWERS_KEY"
TOKEN = "MODELYARD_ADMIN_TOKEN"
PAYLOADS = "MODELYARD_PAYLOAD_KEY"
DURABILITY = "MODELYARD_DURABILITY"


class State:
    """A state folder; made when something is written into it. Default: MODELYARD_STATE, or `state` here."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder or os.environ.get(FOLDER) or "state")

    @property
    def database(self) -> str:
        """The database's address."""
        return _given(DATABASE) or f"sqlite:///{self.folder / 'accounts.db'}"

    @property
    def durability(self) -> Durability:
        """`process` or `power`, see `database`."""
        given = os.environ.get(DURABILITY, "process")
        if given == "power":
            return "power"
        if given != "process":
            raise UserError(f"{DURABILITY} must be process or power (got {given!r})")
        return "process"

    def box(self) -> Box:
        """What encrypts kept answers."""
        text = _given(KEY) or self._secret("answers.key", base64.b64encode(secrets.token_bytes(32)).decode())
        try:
            return Box(base64.b64decode(text, validate=True))
        except binascii.Error:
            raise UserError(
                f"the encryption key of kept answers ({KEY} or answers.key) is no base64 of 32 bytes"
            ) from None

    def payload_key(self, *, make: bool) -> str:
        """What encrypts kept requests, in base64; UserError where there is none and none is to be made."""
        if not make and not _given(PAYLOADS) and not (self.folder / "payloads.key").is_file():
            raise UserError(f"no key of payloads: set {PAYLOADS}, or name the state folder that holds payloads.key")
        return _given(PAYLOADS) or self._secret("payloads.key", base64.b64encode(secrets.token_bytes(32)).decode())

    def admin_token(self) -> str:
        """What the admin API asks for."""
        return _given(TOKEN) or self._secret("admin.token", secrets.token_urlsafe(32))

    def _make(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the state folder {self.folder} cannot be made: {error.strerror}. Name another: --state FOLDER") from None  # fmt: skip

    def _secret(self, name: str, new: str) -> str:
        """A file's text; written first where it is not there. Two processes that start at once end with one secret."""
        path = self.folder / name
        if not path.exists():
            self._make()
            part = self.folder / f".{name}.{secrets.token_hex(4)}"
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(new + "\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(part, path)  # fails where another was faster
            except FileExistsError:
                pass
            finally:
                part.unlink()
        return path.read_text().strip()


def _given(name: str) -> str:
    """A variable of the environment, or the text of the file that NAME_FILE names; nothing where neither is set."""
    place = os.environ.get(f"{name}_FILE")
    if os.environ.get(name) or not place:
        return os.environ.get(name, "")
    try:
        text = Path(place).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{name}_FILE: {place} cannot be read ({type(error).__name__}). Write the secret into it, readable by this user."
        ) from None
    if not text:
        raise UserError(f"{name}_FILE: {place} is empty. Write the secret into it.")
    return text
