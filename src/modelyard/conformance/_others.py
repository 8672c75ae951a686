"""The laws of the smaller shelves: sources, checks, methods, sessions, sections. What their work is like, their own tests show."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from modelyard import parts
from modelyard.conformance._common import Subject, demand
from modelyard.errors import DataError

GARBAGE = (b"", b"\x00\x01\x02\xff\xfe" * 50, b"PK\x03\x04" + b"\x00" * 100, b"\x89PNG\r\n\x1a\n" + b"\x00" * 50)
"""Bytes that are no table in any format of ours: nothing, noise, a zip's head, a picture's."""


def endings(subject: Subject) -> None:
    """A source names endings in small letters that no other source reads."""
    own = subject.kind.suffixes
    demand(own and all(suffix.startswith(".") and suffix == suffix.lower() for suffix in own), f"got {own!r}")
    for other in parts.names("prepare.sources"):
        theirs = parts.load("prepare.sources", other)
        twice = set(own) & set(theirs.suffixes) if parts.file_of("prepare.sources", other) != subject.file else set()
        demand(not twice, f"{', '.join(sorted(twice))} is read by {other!r} too")


def garbage_is_refused(subject: Subject) -> None:
    """A source refuses bytes that are no table with a DataError that names the file; where a file is a row, it keeps it as one."""
    for content in GARBAGE:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / f"garbage{subject.kind.suffixes[0]}"
            place.write_bytes(content)
            try:
                frame = subject.kind().read(place, ("",))
            except DataError as error:
                demand(place.name in str(error), f"the message does not name the file: {error}")
            else:
                rows = 1 if subject.kind.together else 0  # `prepare` lists what cannot be opened
                demand(frame.height == rows, f"{content[:8]!r} was read as {frame.height} rows")


def says_what_to_do(subject: Subject) -> None:
    """A check says in one sentence what one can do about a failure."""
    demand(
        isinstance(getattr(subject.kind, "cure", None), str) and subject.kind.cure.strip(), "`cure` is missing or empty"
    )


def method_is_known(subject: Subject) -> None:
    """A method names a session on the shelf and the libraries it needs, and says what is missing."""
    parts.check("sessions", subject.kind.session)
    demand(subject.kind.libraries, "`libraries` is empty")
    demand(isinstance(subject.kind().missing(), str), "`missing()` is no text")


def method_chooses_models(subject: Subject) -> None:
    """A method says for a model of each kind whether it can export it."""
    for learns in ("fit", "loop"):
        found = subject.kind().applies(SimpleNamespace(learns=learns, ragged=(), tasks=(), recurrent=False))
        demand(isinstance(found, bool), f"`applies` of a {learns} model gave {found!r}")


def session_opens(subject: Subject) -> None:
    """A session has `open(folder, model, features, state)`."""
    demand(callable(getattr(subject.kind, "open", None)), "there is no method `open`")
    names = list(inspect.signature(subject.kind.open).parameters)
    demand(names == ["self", "folder", "model", "features", "state"], f"its parameters are {', '.join(names[1:])}")


def section_is_named(subject: Subject) -> None:
    """A section stands alone: it constructs without a build."""
    demand(callable(subject.kind().render), "there is no method `render`")


LAWS: dict[str, tuple[Callable[[Subject], None], ...]] = {
    "prepare.sources": (endings, garbage_is_refused),
    "audit.checks": (says_what_to_do,),
    "compress.methods": (method_is_known, method_chooses_models),
    "sessions": (session_opens,),
    "report.sections": (section_is_named,),
}
