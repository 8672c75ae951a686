"""What was asked and answered, kept for a few days where the owner wants it: encrypted, bounded, off the path of requests.

    add (a request's thread: an append) ─► every second: the rows as JSON, packed, sealed ─► state/payloads/<time>-<random>.sealed
                                                                                         └► .index: where each request's frame begins

Off by default (`yard serve --keep-payloads DAYS`). Each process writes files of its own, a new one every hour, and only appends: a kill
at any moment loses at most what was added since the last flush, and half a frame at the end of a file is passed over. A file goes
`days` after it was begun, or when all files together are larger than allowed, the oldest first. A frame is AES-256-GCM, bound to its
file and its number, so that frames cannot be exchanged. Whoever has the folder without the key learns how much was asked, and when.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import secrets
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from modelyard.accounts.answers import Box
from modelyard.accounts.state import State
from modelyard.errors import UserError
from modelyard.rows import Rows, as_sent
from modelyard.serve.lines import say, say_failure

Json = dict[str, Any]
FOLDER, SEALED, INDEX = "payloads", ".sealed", ".index"
FLUSH = 1.0
"""Seconds between writes: what a killed process loses at most."""
HOUR = 3600.0
"""Seconds after which a process begins another file."""
MOST_FILE = 64 * 2**20
"""Bytes of one file, about: the next frame begins another."""
MOST_BYTES = 4 * 2**30
"""Of all files together; the oldest go first."""
MOST_WAITING = 64 * 2**20
"""Bytes of requests that wait to be written; beyond them nothing is kept, and the log says of how many."""
MOST_FRAME = 2**30
"""A longer frame is none: what stands there was never written by us."""
_HEAD = struct.Struct(">I12s")  # bytes of what is sealed, nonce
_PLACE = struct.Struct(">8sQ")  # hash of the request's id, where its frame begins


Read = Callable[[], tuple[Sequence[Json], Sequence[Mapping[str, Any]]]]
"""Rows as a client would send them, and their answers; called off the path of requests."""


def of_rows(rows: Rows, answers: Sequence[Mapping[str, Any]]) -> Read:
    """A prediction."""
    return lambda: ([as_sent(rows.record(row)) for row in range(len(rows))], answers)


def of_bodies(asked: bytes, answer: bytes, media: str) -> Read:
    """A request in JSON that was answered in JSON, or by a stream of events."""
    return lambda: (
        [from_json(asked)],
        [from_json(answer) if media.startswith("application/json") else {"events": answer.decode("utf-8", "replace")}],
    )


@dataclass(frozen=True, slots=True)
class Kept:
    """One request as it was kept."""

    id: str
    """The request's id, which its client may have chosen: of two of one customer's, the latest counts."""
    at: float
    """Seconds since 1970."""
    customer: str
    model: str
    version: str
    rows: tuple[Json, ...]
    """As a client would send them; of chats and completions the whole request."""
    answers: tuple[Json, ...]


@dataclass(slots=True)
class _Waiting:
    """A request that is to be written."""

    id: str
    at: float
    customer: str
    model: str
    version: str
    read: Read
    size: int

    def line(self) -> bytes:
        rows, answers = self.read()
        told = {
            "id": self.id, "at": self.at, "customer": self.customer, "model": self.model, "version": self.version,
            "rows": list(rows), "answers": [dict(answer) for answer in answers],
        }  # fmt: skip
        return json.dumps(told, ensure_ascii=False, default=lambda value: value.item()).encode("utf-8", "replace")


class Payloads:
    """The files of one process. `start` it after a fork, `add` from any thread, `stop` writes what waits."""

    def __init__(
        self, state: Path, *, days: float, most_bytes: int = MOST_BYTES, flush: float = FLUSH,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        if not 0 < days <= 3650:
            raise UserError(f"payloads are kept for more than 0 and at most 3650 days (got {days:g})")
        self.folder, self._key, self._box = state / FOLDER, payload_key(state), Box(payload_key(state))
        self._life, self._most, self._flush, self._clock = days * 86_400, most_bytes, flush, clock
        self._waiting: deque[_Waiting] = deque()
        self._size = self._dropped = 0
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None
        self._file: _File | None = None

    def start(self) -> None:
        """Begin to write."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._work, name="payloads", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, and end; blocks."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def add(self, id: str, *, customer: str, model: str, version: str, read: Read, size: int) -> None:
        """Keep an answered request of so many bytes; it is written within a second. Never waits and never fails."""
        with self._lock:
            if self._size + size > MOST_WAITING:
                self._dropped += 1
                return
            self._size += size
            self._waiting.append(_Waiting(id, self._clock(), customer, model, version, read, size))

    def _work(self) -> None:
        while not self._stopping.wait(self._flush):
            self._turn()
        self._turn()
        if self._file is not None:
            self._file.close()

    def _turn(self) -> None:
        """Write what waits, and delete what is too old or too much; a disk that is full costs what waits, and nothing else."""
        try:
            self._write()
            self._forget()
        except Exception as error:
            say_failure(error, while_doing="keeping payloads")

    def _write(self) -> None:
        with self._lock:
            waiting, dropped = list(self._waiting), self._dropped
            self._waiting.clear()
            self._size = self._dropped = 0
        if dropped:
            say("payloads_dropped", count=dropped)
        if not waiting:
            return
        now = self._clock()
        if self._file is not None and (self._file.size > MOST_FILE or now - self._file.begun > min(HOUR, self._life)):
            self._file.close()
            self._file = None
        if self._file is None:
            self._file = _File(self.folder, self._box, self._key, now)
        try:
            self._file.append([each.line() for each in waiting], [each.id for each in waiting])
        except OSError:  # what was half written stays the end of this file
            self._file.close()
            self._file = None
            raise

    def _forget(self) -> None:
        """Files whose time is over, and the oldest where all together are too large; of every process, dead ones included."""
        left, total = self._clock() - self._life, 0
        own = self._file.path if self._file is not None else None
        for path in sorted(self.folder.glob(f"*{SEALED}"), reverse=True):
            size = path.stat().st_size if path.exists() else 0
            total += size
            if begun(path) <= left or (total > self._most and path != own):
                total -= size
                if path == own and self._file is not None:
                    self._file.close()
                    self._file = None
                path.unlink(missing_ok=True)
                path.with_suffix(INDEX).unlink(missing_ok=True)


class _File:
    """One file being written, and its index."""

    def __init__(self, folder: Path, box: Box, key: bytes, now: float) -> None:
        self.begun, self.size, self._number = now, 0, 0
        name = f"{int(now * 1000):015d}-{secrets.token_hex(4)}"
        self.path, self._box, self._key = folder / f"{name}{SEALED}", box, key
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        self._data = os.open(self.path, flags, 0o600)
        self._index = os.open(self.path.with_suffix(INDEX), flags, 0o600)

    def append(self, lines: Sequence[bytes], ids: Sequence[str]) -> None:
        """A frame, then its places in the index: a place without a frame is never written."""
        nonce, sealed = self._box.seal(zlib.compress(b"\n".join(lines), 1), _bound(self.path, self._number))
        _whole(self._data, _HEAD.pack(len(sealed), nonce) + sealed)
        _whole(self._index, b"".join(_PLACE.pack(_mark(self._key, id), self.size) for id in ids))
        self.size += _HEAD.size + len(sealed)
        self._number += 1

    def close(self) -> None:
        """To the disk."""
        for handle in (self._data, self._index):
            os.fsync(handle)
            os.close(handle)


def _whole(handle: int, data: bytes) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


@dataclass
class Reading:
    """What is kept in a state folder, with its key. `damaged` counts the frames that could not be opened so far."""

    state: Path
    damaged: int = 0
    _key: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        self._key = payload_key(self.state, make=False)
        self._box = Box(self._key)

    def __iter__(self) -> Iterator[Kept]:
        """Everything, file by file, the oldest first."""
        for path in sorted((self.state / FOLDER).glob(f"*{SEALED}")):
            for packed in self._frames(path):
                yield from _opened(packed)

    def find(self, request_id: str, *, customer: str | None = None) -> Kept | None:
        """One request, the latest of that id (and customer); None where it is not kept (any more). Frames are looked up by the index;
        where a kill came between a frame and its places, what follows the index is read through."""
        mark = _mark(self._key, request_id)
        found: Kept | None = None
        for path in sorted((self.state / FOLDER).glob(f"*{SEALED}"), reverse=True):
            places = _places(path.with_suffix(INDEX))
            known = {place for each, place in places if each == mark}
            last = max((place for _, place in places), default=0)
            for packed in self._frames(path, frozenset(known), last):
                for kept in _opened(packed):
                    if (
                        kept.id == request_id
                        and customer in (None, kept.customer)
                        and (not found or kept.at > found.at)
                    ):
                        found = kept
            if found is not None:
                return found
        return None

    def _frames(self, path: Path, known: frozenset[int] = frozenset(), last: int = 0) -> Iterator[bytes]:
        """Content of the frames of a file at the `known` places and from `last` on, up to where it ends, or ends amid one."""
        try:
            file = path.open("rb")
        except FileNotFoundError:  # its time was over this moment
            return
        with file:
            place = number = 0
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                length, nonce = _HEAD.unpack(head)
                if length > MOST_FRAME:
                    self.damaged += 1
                    return
                if place in known or place >= last:
                    sealed = file.read(length)
                    if len(sealed) < length:
                        return
                    plain = self._box.open(nonce, sealed, _bound(path, number))
                    if plain is None:
                        self.damaged += 1
                    else:
                        yield plain
                else:
                    file.seek(length, os.SEEK_CUR)
                place, number = place + _HEAD.size + length, number + 1


def _opened(packed: bytes) -> Iterator[Kept]:
    for line in zlib.decompress(packed).split(b"\n"):
        told = json.loads(line)
        yield Kept(**{**told, "rows": tuple(told["rows"]), "answers": tuple(told["answers"])})


def _places(path: Path) -> list[tuple[bytes, int]]:
    """The whole entries of an index."""
    content = path.read_bytes() if path.exists() else b""
    return list(_PLACE.iter_unpack(content[: len(content) // _PLACE.size * _PLACE.size]))


def begun(path: Path) -> float:
    """When a file was begun, by its name, in seconds since 1970; 0 where that says nothing."""
    first = path.name.partition("-")[0]
    return int(first) / 1000 if first.isdecimal() else 0.0


def _bound(path: Path, number: int) -> str:
    return f"payloads {path.name} {number}"


def _mark(key: bytes, request_id: str) -> bytes:
    """What stands in the index for a request: nobody without the key learns whether it was asked."""
    return hmac.new(b"payloads index" + key, request_id.encode(), sha256).digest()[:8]


def payload_key(state: Path, *, make: bool = True) -> bytes:
    """The key of 32 bytes: MODELYARD_PAYLOAD_KEY (base64), or `payloads.key` of the state folder; UserError where there is none."""
    text = State(state).payload_key(make=make)
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise UserError(
            "the encryption key of payloads (MODELYARD_PAYLOAD_KEY or payloads.key) is no base64 of 32 bytes"
        )
    return key
