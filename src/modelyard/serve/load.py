"""A small load generator for a service on this machine: open-loop arrivals, or one request after the other.

Open loop: requests are due at Poisson or constant times whatever the service does, and latency counts from the moment a request
was due. A service that stalls is therefore charged for everyone it kept waiting (Tene, "How NOT to measure latency": no
coordinated omission). It runs as a process of its own (`python -m modelyard.serve.load`, plan on standard input, result on
standard output) with nothing but the standard library, so that it takes little of the machine it shares with the service.

It knows nothing about rows or models, and it sends to this machine only.
"""

from __future__ import annotations

import asyncio
import bisect
import gc
import json
import math
import random
import selectors
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

HERE = ("127.0.0.1", "localhost", "::1")
MOST_REQUESTS, MOST_SECONDS = 50_000, 120.0
"""One plan sends no more than this, whatever it asks for."""
MOST_CONNECTIONS = 256
"""Below the 1,024 files that `select` can watch; a level with so many requests in flight is far past the knee."""
MOST_WAITING = 2_000
"""Requests due and not answered; with more, the level is broken beyond doubt and ends early."""

Json = dict[str, Any]


def drive(plan: Json) -> Json:
    """Run a plan in a process of its own. Keys: `host`, `port`, `path`, `bodies`, `headers`, and `count` (one after the other) or `rate`,
    `seconds`, `arrivals` (`poisson` or `constant`), `seed`, `grace` (seconds to wait for the last answers), `target` (seconds).

    Result: `requests`, `answered`, `errors` {kind: count}, `seconds`, `mean`, `p50`, `p95`, `p99` (seconds), `sender_delay`; of those
    answered with 200 alone `answered_p95` and `answered_p99`, and `in_time`, how many came within the target.
    """
    check(plan)
    allowed = plan.get("seconds", MOST_SECONDS) + plan.get("grace", 0.0) + 30.0
    done = subprocess.run(
        [sys.executable, "-m", "modelyard.serve.load"],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        timeout=allowed,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def check(plan: Json) -> None:
    """ValueError for a plan that leaves this machine or its bounds."""
    if plan["host"] not in HERE:
        raise ValueError(f"load is sent to this machine only ({', '.join(HERE)}), not to {plan['host']!r}")
    count = plan["count"] if "count" in plan else plan["rate"] * plan["seconds"]
    if not 0 < count <= MOST_REQUESTS:
        raise ValueError(f"a plan sends 1 to {MOST_REQUESTS} requests (asked: {count:g})")
    if plan.get("seconds", 0) > MOST_SECONDS:
        raise ValueError(f"a plan lasts at most {MOST_SECONDS:g} s (asked: {plan['seconds']:g})")


def arrivals(rate: float, seconds: float, *, kind: str, seed: int) -> list[float]:
    """Times in [0, seconds) at which requests are due: one every 1/rate, or a Poisson process of exactly rate x seconds arrivals.

    Given their number, the arrivals of a Poisson process are sorted uniform times; fixing the number keeps short levels honest.
    """
    count = max(round(rate * seconds), 1)
    if kind == "constant":
        return [number / rate for number in range(count)]
    chance = random.Random(seed)
    return sorted(chance.random() * seconds for _ in range(count))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of sorted values: the smallest value that at least `share` of them do not exceed."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


class Connection(asyncio.Protocol):
    """One kept-alive HTTP/1.1 connection with at most one request on its way."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._buffer = bytearray()
        self._done: Callable[[str], None] | None = None
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.open = transport, True

    def send(self, request: bytes, done: Callable[[str], None]) -> None:
        """Send; `done` is called once, with the status or `connection`."""
        self._done = done
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        lines = bytes(self._buffer[:head]).lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if len(self._buffer) < head + 4 + length:
            return
        status = lines[0].split()[1].decode()
        self._buffer.clear()
        if b"connection: close" in lines:
            self.close()
        self._finish(status)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._finish("connection")

    def close(self) -> None:
        """Close it; no answer is expected any more."""
        self.open = False
        self.transport.close()

    def _finish(self, status: str) -> None:
        done, self._done = self._done, None
        if done:
            done(status)


class Generator:
    """One plan being run."""

    def __init__(self, plan: Json) -> None:
        self.plan = plan
        self.loop = asyncio.get_running_loop()
        told = "".join(f"{name}: {value}\r\n" for name, value in plan.get("headers", {}).items())
        head = (
            f"POST {plan['path']} HTTP/1.1\r\nHost: {plan['host']}:{plan['port']}\r\nContent-Type: application/json\r\n"
            f"{told}Content-Length: "
        )
        bodies = [body.encode() for body in plan["bodies"]]
        self.requests = [head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies]
        self.idle: list[Connection] = []
        self.opened = 0
        self.waiting: list[tuple[int, float]] = []
        self.pending: dict[int, float] = {}
        self.latencies: list[float] = []
        self.good: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.delays: list[float] = []

    async def connect(self) -> Connection:
        """A new connection."""
        _, connection = await self.loop.create_connection(Connection, self.plan["host"], self.plan["port"])
        self.opened += 1
        return connection

    async def one_by_one(self, count: int, *, warm: int = 20) -> None:
        """`count` requests over one connection, each after the answer to the one before; `warm` more first, not counted."""
        connection = await self.connect()
        for number in range(-warm, count):
            answered: asyncio.Future[str] = self.loop.create_future()
            began = self.loop.time()
            connection.send(self.requests[number % len(self.requests)], answered.set_result)
            status = await answered
            if number >= 0:
                self.latencies.append(self.loop.time() - began)
                self.statuses[status] += 1
            if not connection.open:
                connection = await self.connect()
        connection.close()

    async def open_loop(self, due: Sequence[float], grace: float) -> None:
        """Send each request when it is due, over as many connections as that takes; wait `grace` seconds for the last ones."""
        self.idle = [await self.connect() for _ in range(min(8, len(due)))]
        start = self.loop.time() + 0.01
        for number, at in enumerate(due):
            if (ahead := start + at - self.loop.time()) > 0:
                await asyncio.sleep(ahead)
            if len(self.pending) >= MOST_WAITING:
                self.statuses["not sent"] += len(due) - number
                break
            self.pending[number] = start + at
            # taken here: waiting for a connection, which may follow, is the service's queue
            self.delays.append(self.loop.time() - (start + at))
            self.start(number, start + at)
        deadline = self.loop.time() + grace
        while self.pending and self.loop.time() < deadline:
            await asyncio.sleep(0.005)
        for at in self.pending.values():
            self.latencies.append(self.loop.time() - at)
            self.statuses["timeout"] += 1
        for connection in self.idle:
            connection.close()

    def start(self, number: int, at: float) -> None:
        """Send now where a connection is free; else open one, or wait for one."""
        if self.idle:
            self.send(self.idle.pop(), number, at)
            return
        self.waiting.append((number, at))
        if self.opened < MOST_CONNECTIONS:
            self.opened += 1
            self.loop.create_task(self.another())

    async def another(self) -> None:
        """One more connection, for the request that has waited longest."""
        try:
            _, connection = await self.loop.create_connection(Connection, self.plan["host"], self.plan["port"])
        except OSError:
            self.opened -= 1
            if self.waiting:
                self.finish(*self.waiting.pop(0), "connection")
            return
        self.free(connection)

    def free(self, connection: Connection) -> None:
        """A connection can take the next request."""
        if not connection.open:
            self.opened -= 1
            if self.waiting:
                self.opened += 1
                self.loop.create_task(self.another())
        elif self.waiting:
            self.send(connection, *self.waiting.pop(0))
        else:
            self.idle.append(connection)

    def send(self, connection: Connection, number: int, at: float) -> None:
        """Put a request on a connection."""
        if not connection.open:  # closed by the service while idle
            self.opened -= 1
            self.start(number, at)
            return

        def done(status: str) -> None:
            self.finish(number, at, status)
            self.free(connection)

        connection.send(self.requests[number % len(self.requests)], done)

    def finish(self, number: int, at: float, status: str) -> None:
        """A request is answered or lost."""
        if self.pending.pop(number, None) is not None:
            self.latencies.append(self.loop.time() - at)
            self.statuses[status] += 1
            if status == "200":
                self.good.append(self.latencies[-1])


async def execute(plan: Json) -> Json:
    """Run a plan in this process."""
    check(plan)
    generator = Generator(plan)
    gc.freeze()
    gc.disable()  # a collection would look like a slow service; the plan is bounded
    began = generator.loop.time()
    if "count" in plan:
        await generator.one_by_one(plan["count"])
        asked = plan["count"]
    else:
        due = arrivals(plan["rate"], plan["seconds"], kind=plan.get("arrivals", "poisson"), seed=plan.get("seed", 0))
        await generator.open_loop(due, plan.get("grace", 1.0))
        asked = len(due)
    seconds = generator.loop.time() - began
    gc.enable()
    ordered, delays = sorted(generator.latencies), sorted(generator.delays)
    result: Json = {
        "requests": asked,
        "answered": generator.statuses["200"],
        "errors": {_kind(name): count for name, count in sorted(generator.statuses.items()) if name != "200" and count},
        "seconds": seconds,
        "sender_delay": percentile(delays, 0.99) if delays else 0.0,
    }
    if ordered:
        result["mean"] = math.fsum(ordered) / len(ordered)
        result |= {name: percentile(ordered, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
    if good := sorted(generator.good):
        result |= {f"answered_{name}": percentile(good, share) for name, share in (("p95", 0.95), ("p99", 0.99))}
        result["in_time"] = bisect.bisect_right(good, plan.get("target", math.inf))
    return result


def _kind(status: str) -> str:
    return f"status {status}" if status.isdigit() else status


def main() -> int:
    """Plan on standard input, result on standard output."""
    plan = json.load(sys.stdin)
    # epoll rounds waits up to a whole millisecond, which is as long as a table's answer takes; select does not
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    try:
        result = loop.run_until_complete(execute(plan))
    finally:
        loop.close()
    json.dump(result, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
