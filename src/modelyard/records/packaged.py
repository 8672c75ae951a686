"""What `package` made: the folder and archive that are shipped, their hashes, and what serving them needs."""

from __future__ import annotations

from modelyard.records._base import Record
from modelyard.units import Bytes, Seconds


class Packaged(Record):
    """One package."""

    stage: str = "package"
    name: str
    version: str
    folder: str = "package"
    """Relative to the build."""
    archive: str
    """Relative to the build."""
    hash: str
    """SHA-256 of `hashes.json`, which holds the hash of every file."""
    archive_hash: str
    """SHA-256 of the archive as it was made; a verdict that a later stage adds changes it."""
    bytes: Bytes
    """Of the folder."""
    archive_bytes: Bytes
    files: dict[str, int]
    """Bytes of each file."""
    sessions: tuple[str, ...]
    """What answers, a member each."""
    requirements: tuple[str, ...]
    """What serving needs, pinned: `name==version`."""
    installed: Bytes
    """Size of these, installed."""
    refused: bool
    """Whether a gate before packaging failed and `--force` packaged all the same."""
    measured_cold_start: Seconds
    """From starting Python to the first answer, without the web service."""
