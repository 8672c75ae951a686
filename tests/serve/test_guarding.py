"""Who sends or reads a letter now and then holds nothing for long: a real server that waits a second instead of fifteen."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from fortress import status_of
from serve_helpers import Running, until

from modelyard.serve import reading
from modelyard.serve.limits import Limits
from modelyard.serve.refusing import Refused


@pytest.fixture(scope="module")
def address(launch: Callable[..., Running]) -> tuple[str, int]:
    running = launch(str(Path(__file__).parent / "impatient_service.py"))
    where = urlsplit(running.url)
    until(lambda: httpx.get(f"{running.url}/readyz").status_code == 200)
    return str(where.hostname), int(where.port or 0)


def hung_up(address: tuple[str, int], begin: bytes, drip: bytes, *, seconds: float = 8.0) -> tuple[float, bytes]:
    """After how many seconds of drops the server hangs up, and what it said."""
    began, found = time.monotonic(), b""
    with socket.create_connection(address, timeout=0.1) as sock:
        sock.sendall(begin)
        while (took := time.monotonic() - began) < seconds:
            with contextlib.suppress(BrokenPipeError, ConnectionError):
                sock.sendall(drip)
            try:
                piece = sock.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if not piece:
                break
            found += piece
    return took, found


@pytest.mark.parametrize(("begin", "drip"), [(b"", b""), (b"G", b""), (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X")])
def test_a_head_that_drips(address: tuple[str, int], begin: bytes, drip: bytes) -> None:
    took, found = hung_up(address, begin, drip)
    assert 0.5 < took < 4 and found == b""


def test_a_second_head_that_drips(address: tuple[str, int]) -> None:
    took, found = hung_up(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"G")
    assert took < 5 and status_of(found) == 200


def test_a_body_that_drips(address: tuple[str, int]) -> None:
    begin = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    took, found = hung_up(address, begin, b" ")
    assert took < 5 and status_of(found) == 408


def test_a_head_without_end_at_full_speed(address: tuple[str, int]) -> None:
    took, found = hung_up(address, b"GET / HTTP/1.1\r\nX: ", b"a" * 20_000)
    assert took < 4 and status_of(found) in (0, 431)


def test_an_answer_that_nobody_reads(address: tuple[str, int]) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10)
        sock.connect(address)
        head = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        with contextlib.suppress(TimeoutError, ConnectionError):
            for _ in range(2000):  # pipelined, until the server reads no more
                sock.sendall(head)
        time.sleep(2.5)
        with pytest.raises(ConnectionError):  # aborted, and not waited for
            for _ in range(10):
                sock.sendall(head * 100)
                time.sleep(0.1)


def test_who_is_quick_is_not_cut_off(address: tuple[str, int]) -> None:
    """The control: a kept connection is used again after more than the time of a head."""
    with httpx.Client(base_url=f"http://{address[0]}:{address[1]}") as client:
        assert client.get("/healthz").status_code == 200
        time.sleep(1.6)
        assert client.get("/healthz").status_code == 200


def test_many_large_bodies_at_once_are_refused_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_ARRIVING", 1000)

    async def slowly(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            await asyncio.sleep(0.001)
            yield b"a" * 100

    async def all_of(senders: int, pieces: int) -> list[int]:
        limits = Limits(max_body=10_000)
        bodies = (reading.read_body(slowly(pieces), None, limits) for _ in range(senders))
        found = await asyncio.gather(*bodies, return_exceptions=True)
        return sorted(each.status if isinstance(each, Refused) else len(each) for each in found)  # type: ignore[arg-type]

    assert asyncio.run(all_of(5, 2)) == [200] * 5  # the control: they fit
    crowd = asyncio.run(all_of(10, 5))
    assert 429 in crowd and 500 in crowd and set(crowd) == {429, 500}
    assert asyncio.run(all_of(1, 9)) == [900] and reading._arriving == 0  # and all is given back
