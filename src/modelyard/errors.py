"""Every error a person can meet, drawn as a tree.

    ModelyardError
    ├── UserError              exit 2: something given to us is wrong; printed without a traceback
    │   ├── BlueprintError     one or many faults of a blueprint, each with file and line
    │   ├── DataError          the data cannot be read or does not fit the blueprint
    │   ├── UnknownPart        no part of that name on that shelf
    │   ├── MissingExtra       an optional dependency is absent; names the install command
    │   ├── MissingLibrary     a library of the system is absent; names the package that holds it
    │   ├── MissingDownload    something must be fetched and may not be, or is not there
    │   ├── PackageError       a package is changed, broken or refused
    │   ├── RequestError       rows given to a model do not fit its schema
    │   ├── AccountError       a customer, key, plan or month is not there or not allowed
    │   └── Busy               another process holds this build
    ├── DatabaseFault          the accounts' database is full, locked, gone or of another version; says which
    ├── GateFailed             exit 3: the build is sound, its result is not good enough
    └── UnitError              two quantities of different kinds were mixed (also a TypeError)

A message says what was given, what is allowed and what to do. `raise` these for what users do; `assert` for what we
promised ourselves.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ModelyardError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = 1


class UserError(ModelyardError):
    """What was given is wrong; the message says what is allowed and what to do."""

    exit_code = 2


class BlueprintError(UserError):
    """All faults of one blueprint at once, each `file:line: path: what is wrong`."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class DataError(UserError):
    """The data cannot be read, or does not fit the blueprint."""


class UnknownPart(UserError):
    """A shelf has no part of that name."""


class MissingExtra(UserError):
    """An optional dependency is absent."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the extra {extra!r}, which is not installed. Run: pip install 'modelyard[{extra}]'"
        )


class MissingLibrary(UserError):
    """A library of the operating system, which pip does not install, is absent."""


class MissingDownload(UserError):
    """A file must be fetched and is neither here nor allowed to be fetched."""


class PackageError(UserError):
    """A package is changed, broken or refused."""


class RequestError(UserError):
    """Rows given to a model do not fit its schema; `faults` are `(row, field, message)`."""

    def __init__(self, faults: Iterable[tuple[int, str, str]]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(f"row {row}: {field}: {message}" for row, field, message in self.faults))


class AccountError(UserError):
    """A customer, key, plan or month that was named is not there, or may not be used so."""


class Busy(UserError):
    """Another process holds this build."""


class DatabaseFault(ModelyardError):
    """The accounts' database cannot be used; nothing was half-written. `kind` is full, locked, gone, version or broken."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


class GateFailed(ModelyardError):
    """A gate of the blueprint was not met."""

    exit_code = 3


class UnitError(ModelyardError, TypeError):
    """Two quantities of different kinds were mixed."""


def nearest(given: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` where a known name is close, else an empty string.

    >>> nearest("trian", ["train", "serve"])
    " Did you mean 'train'?"
    """
    close = difflib.get_close_matches(given, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
