"""Looks at the service four times a minute and tells the operator's webhooks what is wrong, and when it is over.

One process of a state folder does it, whoever holds `alerts.lock`; what has been told stands in `alerts.json`, so that a restart tells
nothing twice. Nothing here is on the path of a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.serve.lines import say, say_failure
from modelyard.serve.live import PREDICTING
from modelyard.serve.meters import Meters
from modelyard.serve.webhooks import check, cloud_event, deliver
from modelyard.store import read_json, write_json
from modelyard.watching import alerts
from modelyard.watching.alerts import Alert, Board, errors, latency

if TYPE_CHECKING:
    from modelyard.serve.feedback import Feedback
    from modelyard.serve.gate import Gate

LOOK = 15.0
"""Seconds between looks."""
WINDOW = 300.0
"""Seconds over which errors and times are looked at."""
STATE, LOCK, SECRET = "alerts.json", "alerts.lock", "alerts.secret"
ENVIRONMENT = "MODELYARD_ALERT_SECRET"
Source = Callable[[], Awaitable[list[Alert]]]


class Alerting:
    """`urls` are told; `sources` are asked at each look for what is wrong besides errors and times."""

    def __init__(
        self, state: Path, urls: Sequence[str], *, private: bool, meters: Meters, target: float | None, look: float = LOOK
    ) -> None:  # fmt: skip
        for url in urls:
            check(url)
        self._state, self._urls, self._private, self._meters, self._target = state, tuple(urls), private, meters, target
        self._look = look
        self.sources: list[Source] = []
        self._seen: deque[tuple[float, _Counts]] = deque()
        self._sending = ThreadPoolExecutor(1, thread_name_prefix="alerts")

    async def work(self) -> None:
        """Until it is cancelled."""
        try:
            with await self._leading():
                board = Board(self._stored())
                while True:
                    await asyncio.sleep(
                        self._look
                    )  # first of all: a service that starts is not ready yet, and that is no news
                    await self._once(board)
        finally:
            self._sending.shutdown(wait=False, cancel_futures=True)

    async def _leading(self) -> contextlib.ExitStack:
        """The lock, once no other process has it."""
        handle = os.open(self._state / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        stack = contextlib.ExitStack()
        stack.callback(os.close, handle)
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return stack
            except OSError:
                await asyncio.sleep(self._look)

    def _stored(self) -> Any:
        try:
            return read_json(self._state / STATE)
        except (OSError, ValueError):
            return {}

    async def _once(self, board: Board) -> None:
        found = await asyncio.to_thread(self._of_meters)
        for source in self.sources:
            try:
                found += await source()
            except Exception as error:  # what cannot be looked at now is no reason to look at nothing
                say_failure(error, while_doing="looking for what is wrong")
        events = board.update(found, time.time())
        for event in events:
            say("alert", status=event["status"], kind=event["kind"], subject=event["subject"])
            body = cloud_event(event, id=secrets.token_hex(12), now=time.time())
            for url in self._urls:
                self._sending.submit(self._send, url, body)
        if events:
            await asyncio.to_thread(write_json, self._state / STATE, board.state)

    def _send(self, url: str, body: bytes) -> None:
        try:
            reason = deliver(url, body, secret=secret(self._state), private=self._private)
        except Exception as error:
            say_failure(error, while_doing="sending an alert")
            return
        if reason:
            say("alert_not_sent", reason=reason, kind=json.loads(body)["data"]["kind"])

    def _of_meters(self) -> list[Alert]:
        now, counts = time.monotonic(), _Counts.of(self._meters)
        self._seen.append((now, counts))
        while self._seen[0][0] < now - WINDOW and len(self._seen) > 1:
            self._seen.popleft()
        began, before = self._seen[0]
        minutes = round((now - began) / 60, 1)
        asked, failed, p95 = counts.since(before)
        slow = latency(p95, self._target, asked, minutes=minutes) if self._target is not None else []
        return errors(failed, asked, minutes=minutes) + slow


Lines = Callable[[], Awaitable[list[dict[str, Any]]]]


def sources(gate: Gate, feedback: Feedback | None, *, earning: Lines, drifting: Lines) -> list[Source]:
    """What the ledger, the labels and the windows of rows say is wrong."""

    async def ledger() -> list[Alert]:
        return alerts.ledger(gate.healthy)

    async def quality() -> list[Alert]:
        return [] if feedback is None else alerts.quality(await asyncio.to_thread(feedback.quality))

    async def margin() -> list[Alert]:
        return alerts.margin(await earning(), floor=0.0)

    async def drift() -> list[Alert]:
        return alerts.drift(await drifting())

    async def quotas() -> list[Alert]:
        return alerts.quotas(await gate.included())

    return [ledger, quality, drift, margin, quotas]


class _Counts:
    """Predictions by status and by time, until a moment."""

    def __init__(self) -> None:
        self.statuses: dict[str, float] = {}
        self.within: dict[float, float] = {}

    @classmethod
    def of(cls, meters: Meters) -> _Counts:
        found = cls()
        for name, labels, value in meters.samples():
            if labels.get("path") not in PREDICTING:
                continue
            if name == "modelyard_requests_total":
                found.statuses[labels["status"]] = found.statuses.get(labels["status"], 0.0) + value
            elif name == "modelyard_request_seconds_bucket":
                edge = float(labels["le"])
                found.within[edge] = found.within.get(edge, 0.0) + value
        return found

    def since(self, before: _Counts) -> tuple[int, int, float]:
        """Requests, failures, and the last edge of a bucket within which fewer than 95 % were answered."""
        fresh = {status: count - before.statuses.get(status, 0.0) for status, count in self.statuses.items()}
        asked = sum(fresh.values())
        failed = sum(count for status, count in fresh.items() if status.startswith("5"))
        within = {edge: count - before.within.get(edge, 0.0) for edge, count in sorted(self.within.items())}
        p95 = max((edge for edge, count in within.items() if count < 0.95 * asked), default=0.0)
        return int(asked), int(failed), p95


def secret(state: Path) -> str:
    """What alerts are signed with: the environment's, or the state folder's, made once."""
    if given := os.environ.get(ENVIRONMENT):
        return given
    path = state / SECRET
    with contextlib.suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
    return path.read_text().strip()
