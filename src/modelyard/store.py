"""The build folder: atomic writes, fingerprints, decisions and the lock. It knows nothing about what is stored.

    build/
      blueprint.resolved.yaml   decisions.json   <stage>.json   report.html
      data/                     the prepared splits and the data card's figures
      train/<candidate>/<job>/  one cached job: candidate x fold x seed
      model/                    the trained artifact      compress/<variant>/  exported ones      package/

A write goes to a temporary name in the same folder, is flushed to disk and renamed, so that a reader or a process killed at
any moment sees the old file or the new one, never half of one.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from modelyard.errors import Busy, UserError

T = TypeVar("T")


def to_json(value: Any, *, indent: int | None = 1) -> str:
    """JSON as we write it everywhere: sorted by nothing, UTF-8, no NaN."""
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)


def fingerprint(value: Any) -> str:
    """A 128-bit hash of a JSON-able value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return blake2b(text.encode(), digest_size=16).hexdigest()


def hash_file(path: Path) -> str:
    """A 128-bit hash of a file's bytes."""
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def hash_tree(folder: Path) -> dict[str, str]:
    """The hash of every file below a folder, by its relative name."""
    return {
        file.relative_to(folder).as_posix(): hash_file(file) for file in sorted(folder.rglob("*")) if file.is_file()
    }


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write to the yielded temporary path; on success it takes the place of `path` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if error.errno == 28:  # ENOSPC
            raise UserError(f"the disk is full: {path} could not be written. Free some space and run again.") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Fill the yielded empty folder; on success it takes the place of `path` (an old one is removed first)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        if error.errno == 28:
            raise UserError(f"the disk is full: {path} could not be written. Free some space and run again.") from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, to_json(value) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


class Store:
    """One build folder.

    >>> store = Store(Path("builds/mail-spam"))  # doctest: +SKIP
    >>> store.path("data", "test.parquet")  # doctest: +SKIP
    PosixPath('builds/mail-spam/data/test.parquet')
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, *parts: str) -> Path:
        """A path inside the build."""
        return self.folder.joinpath(*parts)

    def decide(self, name: str, choose: Callable[[], T]) -> T:
        """A choice that depends on a clock: taken once, written before it is used, replayed ever after (JSON values only)."""
        place = self.path("decisions.json")
        taken: dict[str, Any] = read_json(place) if place.exists() else {}
        if name not in taken:
            taken[name] = choose()
            write_json(place, taken)
        return json.loads(json.dumps(taken[name]))  # type: ignore[no-any-return]

    def decided(self, name: str) -> Any:
        """A choice already taken, or None."""
        place = self.path("decisions.json")
        return read_json(place).get(name) if place.exists() else None

    def sweep(self) -> None:
        """Remove what a killed process left half-written."""
        for left in self.folder.rglob(".*.part"):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder; a second process is told who does. The kernel frees the lock of a killed process."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"the build folder {self.folder} cannot be made: {error.strerror}. Name another with -o."
            ) from error
        with self.path(".lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise Busy(
                    f"the build folder {self.folder} is in use by {file.read().strip() or 'another process'}. "
                    "Wait for it, stop it, or name another folder with -o."
                ) from None
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
            file.flush()
            self.sweep()
            yield
