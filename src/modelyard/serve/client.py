"""The serve stage's hands: starts the packaged service as a process, asks it things, and surely ends it.

It knows the service from outside only: its address, its OpenAPI document, its metrics.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modelyard.errors import PackageError

START_TIME = 120.0
"""Seconds a service may take to be ready; large models compile for long."""
STOP_TIME = 30.0
"""Seconds it may take to drain before it is killed."""


class RunningService:
    """A running service."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, state: Path) -> None:
        self._process, self._log, self.state = process, log, state
        self.pid, self.port, self.cold_start = process.pid, 0, 0.0
        self.key = self._token = ""

    @property
    def headers(self) -> dict[str, str]:
        """What a customer sends along."""
        return {"Authorization": f"Bearer {self.key}"}

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> tuple[int, bytes]:
        """Status and body of one request of a customer, on a connection of its own; `/metrics` is asked by the administrator."""
        who = {"Authorization": f"Bearer {self._token}"} if path == "/metrics" else self.headers
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(
                method,
                path,
                body,
                who | ({"Content-Type": "application/json"} if body is not None else {}) | dict(headers or {}),
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def description(self) -> dict[str, Any]:
        """Its OpenAPI document."""
        return json.loads(self.ask("GET", "/openapi.json")[1])  # type: ignore[no-any-return]

    def stages(self) -> dict[str, float]:
        """Mean seconds of each part of a prediction, from its metrics."""
        text = self.ask("GET", "/metrics")[1].decode()
        found: dict[str, dict[str, float]] = {}
        for kind, stage, value in re.findall(r'^modelyard_stage_seconds_(sum|count){stage="(\w+)"} (\S+)$', text, re.M):
            found.setdefault(stage, {})[kind] = float(value)
        return {stage: round(parts["sum"] / parts["count"], 7) for stage, parts in found.items() if parts.get("count")}

    def units(self) -> dict[str, float]:
        """What was sold for a row so far, on average, by unit, from its metrics."""
        text = self.ask("GET", "/metrics")[1].decode()
        rows = re.search(r"^modelyard_rows_total (\S+)$", text, re.M)
        sold = re.findall(r'^modelyard_units_total{unit="([^"]+)"} (\S+)$', text, re.M)
        count = float(rows[1]) if rows else 0.0
        return {unit: float(value) / count for unit, value in sold} if count else {}

    def in_flight(self, *, timeout: float = 60.0) -> int:
        """Requests it is answering, this question not counted, from its metrics."""
        text = self.ask("GET", "/metrics", timeout=timeout)[1].decode()
        found = re.search(r"^modelyard_in_flight (\S+)$", text, re.M)
        return round(float(found[1])) - 1 if found else 0

    def settle(self, longest: float) -> bool:
        """Wait until nothing is in flight, at most `longest` seconds; whether it came to that."""
        stop = time.monotonic() + longest
        while (left := stop - time.monotonic()) > 0:
            with contextlib.suppress(OSError):  # too busy to say
                if self.in_flight(timeout=left) <= 0:
                    return True
            time.sleep(0.02)
        return False

    def memory(self) -> int:
        """Peak resident bytes so far: the kernel's high-water mark, or what `ps` says now where there is no /proc."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii", errors="replace")
            return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)[1]) * 1024  # type: ignore[index]
        except (OSError, TypeError):
            shown = subprocess.run(
                ["ps", "-o", "rss=", "-p", str(self.pid)], capture_output=True, text=True, check=False
            ).stdout
            return int(shown.strip() or 0) * 1024

    def let_in(self) -> None:
        """Make the customer that asks: with a key, and a plan without limits."""
        from modelyard.accounts.state import State
        from modelyard.accounts.trying import key_without_limits

        folder = State(self.state)
        self.key, self._token = key_without_limits(folder), folder.admin_token()

    def _await_ready(self, began: float) -> None:
        while time.monotonic() - began < START_TIME:
            if self._process.poll() is not None:
                break
            if not self.port:
                self.port = self._announced()
            elif self._is_ready():
                return
            time.sleep(0.005)
        raise PackageError(
            f"the packaged service did not start: {self._log.read_text(errors='replace')[-2000:].strip() or 'no message'}"
        )

    def _announced(self) -> int:
        found = re.search(r'"event":"listening","url":"http://[^"]*:(\d+)"', self._log.read_text(errors="replace"))
        return int(found[1]) if found else 0

    def _is_ready(self) -> bool:
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except OSError:
            return False


@contextlib.contextmanager
def running(package: Path, *, workers: int = 1) -> Iterator[RunningService]:
    """Start the service of a package on a free port of this machine, wait until it is ready, and end it whatever happens.

    It is served as it is to customers, with keys and a ledger, so that what is measured is what they get. Its standard input is a pipe from this process: when this process is killed, the pipe closes and the service ends too.
    """
    with tempfile.TemporaryDirectory(prefix="modelyard-serve-") as folder:
        log, state = Path(folder, "log"), Path(folder, "state")
        command = [
            sys.executable, "-m", "modelyard.serve.server", str(package), "--port", "0", "--force", "--with-parent", "--state",
            str(state), "--workers", str(workers),
        ]  # fmt: skip
        began = time.monotonic()
        with log.open("wb") as file:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=file)
        try:
            served = RunningService(process, log, state)
            served._await_ready(began)
            served.cold_start = time.monotonic() - began
            served.let_in()
            yield served
        finally:
            process.terminate()
            try:
                process.wait(timeout=STOP_TIME)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin:
                process.stdin.close()
