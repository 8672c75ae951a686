"""Several workers under one supervisor: a drain loses nothing, whoever is signalled and whenever; and what a second signal does."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from serve_helpers import ROW, Running, client, until

from modelyard.serve.server import AGAIN

SLOW = str(Path(__file__).parent / "slow_service.py")
Launch = Callable[..., Running]


def slow(launch: Launch, seconds: float, *, workers: int = 1, **limits: float) -> Running:
    """A server with answers of that duration, when all its workers are ready."""
    running = launch(SLOW, str(seconds), json.dumps(limits), str(workers))
    until(lambda: sum(line["event"] == "ready" for line in running.lines()) == workers)
    return running


def in_flight(url: str) -> int:
    """Requests that are being answered, this question among them."""
    found = re.search(r"^modelyard_in_flight (\S+)$", client().get(f"{url}/metrics").text, re.MULTILINE)
    return round(float(found[1])) if found else 0


class Customers:
    """So many clients that ask over and over, each until it is told to go elsewhere or its connection breaks.

    Inside, all of them wait for an answer.
    """

    def __init__(self, running: Running, count: int) -> None:
        self.url, self.count = running.url, count
        self.answers: list[int] = []
        self.broken: list[str] = []
        self._leaving = False

    def __enter__(self) -> Customers:
        self._crowd = ThreadPoolExecutor(self.count)
        for _ in range(self.count):
            self._crowd.submit(self._ask)
        until(lambda: in_flight(self.url) >= self.count)
        return self

    def __exit__(self, *error: object) -> None:
        self._leaving = True
        self._crowd.shutdown()

    def _ask(self) -> None:
        while not self._leaving:
            try:
                answer = client().post(self.url + "/v1/predict", json=ROW)
            except httpx.HTTPError as error:
                self.broken.append(repr(error))
                return
            self.answers.append(answer.status_code)
            if "close" in answer.headers.get("connection", ""):
                return


def refused(running: Running) -> bool:
    """Whether nobody accepts connections there any more."""
    where = urlsplit(running.url)
    try:
        socket.create_connection((str(where.hostname), where.port or 0), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_workers_drain_when_the_whole_group_is_signalled(launch: Launch) -> None:
    """Ctrl-C: each worker gets the terminal's SIGINT and the supervisor's SIGTERM, with two seconds' work in flight."""
    running = slow(launch, 0.2, workers=2, linger=0.3)
    with Customers(running, 20) as customers:
        os.killpg(running.process.pid, signal.SIGINT)
        until(lambda: refused(running))  # once they linger no more, not after a wait for workers that do not accept
        assert running.process.poll() is None
        assert running.process.wait(timeout=25) == 0
    assert customers.broken == []
    assert set(customers.answers) == {200}
    assert sorted(running.events()) == sorted(["listening"] * 3 + ["draining", "stopped"] * 2)
    assert [line["in_flight"] for line in running.lines() if line["event"] == "stopped"] == [0, 0]


def test_the_same_wish_twice_is_no_hurry(launch: Launch) -> None:
    running = slow(launch, 0.3, linger=0.1)
    with Customers(running, 5) as customers:
        running.process.terminate()
        until(lambda: "draining" in running.events())
        for number in (signal.SIGTERM, signal.SIGINT):
            running.process.send_signal(number)
        assert running.process.wait(timeout=25) == 0
    assert (customers.broken, set(customers.answers)) == ([], {200})


def test_a_later_signal_ends_at_once(launch: Launch) -> None:
    running = slow(launch, 0.3, linger=0.1, queue_time=30.0)
    with Customers(running, 24) as customers:  # 7 s of work
        running.process.terminate()
        until(lambda: "draining" in running.events())
        time.sleep(AGAIN + 0.3)
        running.process.terminate()
        assert running.process.wait(timeout=25) == 0
    assert customers.broken or set(customers.answers) != {200}  # a request that is cut may still be told so with a 500


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_signal_at_a_fork_reaches_the_worker(moment: str) -> None:
    """SIGTERM just before a worker is forked, or just after: no worker is left that nobody tells to end."""
    code = """
import os, signal, sys, time
from modelyard.serve import server, supervisor

plainly = os.fork

def fork():
    if sys.argv[1] == "before":
        os.kill(os.getpid(), signal.SIGTERM)
    child = plainly()
    if child and sys.argv[1] == "after":
        os.kill(os.getpid(), signal.SIGTERM)
    return child

os.fork = fork
with server._bound("127.0.0.1", 0) as sock, server._shared_meters():
    sys.exit(supervisor.supervise(lambda: time.sleep(60), sock, workers=2, url=server.address(sock)))
"""
    done = subprocess.run([sys.executable, "-c", code, moment], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")
