"""The wire before there is a request: how long a head may be and take, and how long a client may not read its answer.

uvicorn bounds neither the time of a head (a client that sends a letter a minute holds its connection for ever) nor, with httptools, its
size. `guarded()` makes uvicorn's own protocol with these bounds; `look` is the same for what one request says twice. It knows nothing
about paths or keys.
"""

from __future__ import annotations

import asyncio
import os
import re
from typing import Any

from modelyard.serve.refusing import Refused

MOST_HEAD = 64 * 1024
"""Bytes of a request's first line and headers: what h11 allows; browsers and proxies send less than 16 KB."""
HEAD_TIME = 15.0
"""Seconds from the first byte of a head to its last, and from the connection to the first byte of all."""
MOST_AFTER = 16 * 2**20
"""Bytes that are read and thrown away of a body that came too late: its request is answered already (a wrong key)."""
UNREAD_TIME = 60.0
"""Seconds for which a client may take nothing of an answer that waits for it."""
LONGEST_TARGET = 8 * 1024
"""Bytes of a path and its query."""
ONCE = frozenset(
    (b"authorization", b"host", b"content-length", b"content-type", b"content-encoding", b"idempotency-key", b"x-request-id")
)  # fmt: skip
"""Headers that may come once: where two parties read two different ones, one of them is deceived."""
_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def look(scope: Any) -> tuple[str, Refused | None]:
    """The request's id, the client's where it is a plain one, else a new one; and why the head is refused, where it is."""
    identity, size, seen, fault = "", 0, set(), ""
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name in ONCE:
            if name in seen:
                fault = name.decode()
            seen.add(name)
            if name == b"x-request-id" and not identity and _ID.fullmatch(value):
                identity = value.decode()
    identity = identity or os.urandom(12).hex()
    if fault:
        return identity, _refused(400, "duplicate_header", f"{fault} may be sent once.")
    if size > MOST_HEAD:
        return identity, _refused(431, "head_too_large", f"the headers have more than {MOST_HEAD} bytes.")
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > LONGEST_TARGET:
        return identity, _refused(414, "target_too_long", f"the path has more than {LONGEST_TARGET} bytes.")
    if b"host" not in seen and scope["http_version"] == "1.1":
        return identity, _refused(400, "no_host", "HTTP/1.1 needs a Host header.")
    return identity, None


def _refused(status: int, type: str, message: str) -> Refused:
    return Refused(status, type, message, headers={"Connection": "close"})


def guarded(*, head_time: float = HEAD_TIME, unread_time: float = UNREAD_TIME) -> type[asyncio.Protocol]:
    """uvicorn's protocol, h11 or httptools as it chooses, that hangs up on heads that take too long or are too large."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    base: Any = AutoHTTPProtocol

    class Guarded(base):  # type: ignore[misc]
        """One connection."""

        _timer: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None
        _came = 0
        """Bytes since the latest request."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._timer = self.loop.call_later(head_time, self._late)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop("_timer")
            self._stop("_unread")
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            cycle = self.cycle
            idle = cycle is None or cycle.response_complete
            heading = idle or not cycle.more_body
            super().data_received(data)
            if self.cycle is not cycle:  # a head is whole
                self._came = 0
                self._stop("_timer")
            elif heading:
                self._came += len(data)
                if idle and self._timer is None:
                    self._timer = self.loop.call_later(head_time, self._late)
                most = MOST_AFTER if cycle is not None and cycle.more_body else MOST_HEAD
                if self._came > most and not self.transport.is_closing():
                    self.transport.write(_TOO_LONG)
                    self.transport.close()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unread = self._unread or self.loop.call_later(unread_time, self._unread_too_long)

        def resume_writing(self) -> None:
            self._stop("_unread")
            super().resume_writing()

        def _stop(self, name: str) -> None:
            if (timer := getattr(self, name)) is not None:
                timer.cancel()
                setattr(self, name, None)

        def _late(self) -> None:
            self._timer = None
            if not self.transport.is_closing():
                self.transport.close()

        def _unread_too_long(self) -> None:
            self._unread = None
            self.transport.abort()

    return Guarded
