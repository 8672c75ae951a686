"""Processes of a service killed with SIGKILL at random moments: what clients received is what is billed, exactly."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from modelyard.accounts import invoices, ledger
from modelyard.accounts.database import open_database
from modelyard.accounts.plans import Plan
from modelyard.accounts.times import month_of
from tests.accounts.accounts_helpers import buyer, faults, used

ROOT = Path(__file__).parents[2]
FREE = Plan(name="free", currency="USD", price=Decimal(0))


class Process:
    """One running service."""

    def __init__(self, address: str, key: str) -> None:
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.accounts.writing_process", address, key],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        self._guard, self._port = threading.Lock(), 0

    @property
    def port(self) -> int:
        """Where it listens, once it does; 0 where it was killed before."""
        with self._guard:
            if not self._port and self.process.stdout and not self.process.stdout.closed:
                self._port = int(self.process.stdout.readline() or 0)
            return self._port

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        with self._guard:
            assert self.process.stdout
            self.process.stdout.close()


def _ask(port: int, name: str) -> int | None:
    """Units that were answered, None where the client must try again."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(name.encode() + b"\n")
        with connection.makefile("r") as lines:
            said = lines.readline()
        if said.startswith("paid "):
            return int(said.split()[1])
    return None


class Clients:
    """Threads that ask under new keys until they are told to stop, and each key until it is answered."""

    def __init__(self, processes: list[Process], count: int) -> None:
        self.processes, self.stopping = processes, threading.Event()
        self.received: dict[str, int] = {}
        self.threads = [threading.Thread(target=self._work, args=(number,)) for number in range(count)]

    def _work(self, number: int) -> None:
        chance, count = random.Random(number), 0
        while not self.stopping.is_set():
            name, count = f"client {number} request {count}", count + 1
            until = time.monotonic() + 90
            while (units := _ask(chance.choice(self.processes).port, name)) is None:
                assert time.monotonic() < until, f"{name} was never answered"
                time.sleep(0.02)
            if chance.random() < 0.3:
                again = _ask(chance.choice(self.processes).port, name)
                assert again in (None, units), "a retry was told something else"
            self.received[name] = units

    def wait_for_an_answer(self) -> None:
        """So that a kill strikes at work, however slowly processes start here."""
        before, until = len(self.received), time.monotonic() + 90
        while len(self.received) == before:
            assert time.monotonic() < until, "nothing is answered any more"
            time.sleep(0.005)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        for thread in self.threads:
            thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            for thread in self.threads:
                thread.join()


def _try(address: str, kills: int, *, processes: int, clients: int) -> None:
    chance = random.Random(kills)
    with open_database(address) as database:
        who = buyer(database, FREE)
        running = [Process(address, who.key) for _ in range(processes)]
        asking = Clients(running, clients)
        try:
            with asking.running():
                for _ in range(kills):
                    asking.wait_for_an_answer()
                    time.sleep(chance.uniform(0.0, 0.1))
                    at = chance.randrange(processes)
                    running[at].kill()
                    running[at] = Process(address, who.key)
        finally:
            for each in running:
                each.kill()
        with database.write() as held:
            ledger.reap(held)
        with database.read() as held:
            month = month_of(held.now)
            bill = invoices.invoice(held, "acme", month)
            entries = held.one("SELECT count(*) FROM entries WHERE kind = 'use'")[0]
        received = sum(asking.received.values())
        assert len(asking.received) == entries >= kills
        assert bill.usage == used(database) == {"standard": {"request": received}}
        assert faults(database) == []


def test_kills_on_sqlite(tmp_path):
    _try(f"sqlite:///{tmp_path / 'a.db'}", 8, processes=2, clients=4)


def test_kills_on_postgres(postgres):
    _try(postgres.new(), 7, processes=2, clients=4)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_200_kills(kind, tmp_path, request):
    address = f"sqlite:///{tmp_path / 'a.db'}" if kind == "sqlite" else request.getfixturevalue("postgres").new()
    _try(address, 200, processes=4, clients=8)
