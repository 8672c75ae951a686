"""A real Chromium, spoken to over its DevTools pipe (JSON messages that end in NUL, on descriptors 3 and 4): no driver needs installing."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
PATIENCE = 60.0
"""Seconds for an answer."""
EXEC = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"


def _pipe() -> tuple[int, int]:
    """A pipe whose descriptors are neither 3 nor 4."""
    low = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low)
    for end in low:
        os.close(end)
    return high[0], high[1]


class Browser:
    """A browser with one page. `open` says what the page wrote to the console, what it asked for and how wide it is."""

    def __init__(self, profile: Path) -> None:
        theirs_in, self._out = _pipe()
        self._in, theirs_out = _pipe()
        command = [
            str(CHROMIUM),
            *FLAGS.split(),
            f"--user-data-dir={profile}",
            "--remote-debugging-pipe",
            "about:blank",
        ]
        with (profile / "log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", EXEC, str(theirs_in), str(theirs_out), *command],
                pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._read, self._asked, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give an order and wait for its result; events that come before it are kept."""
        self._asked += 1
        order: dict[str, Any] = {"id": self._asked, "method": method, "params": parameters}
        if self._session:
            order["sessionId"] = self._session
        os.write(self._out, json.dumps(order).encode() + b"\0")
        while (message := self._message()).get("id") != self._asked:
            self.events.append(message)
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    def open(self, page: Path, *, width: int) -> dict[str, Any]:
        """Load a file in a window of that width: `console` (errors and warnings), `requests` (addresses), `inner` and `scroll` (pixels)."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.events.clear()
        self.ask("Page.navigate", url=page.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._message())
        value = self.ask(
            "Runtime.evaluate", expression="[innerWidth, document.documentElement.scrollWidth]", returnByValue=True
        )
        inner, scroll = value["result"]["value"]
        told = [(event.get("method"), event.get("params", {})) for event in self.events]
        console = [given for name, given in told if name == "Runtime.exceptionThrown"]
        console += [
            given
            for name, given in told
            if name == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning")
        ]
        console += [
            given
            for name, given in told
            if name == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning")
        ]
        requests = [given["request"]["url"] for name, given in told if name == "Network.requestWillBeSent"]
        return {"console": console, "requests": requests, "inner": inner, "scroll": scroll}

    def close(self) -> None:
        """End it, whatever it is doing."""
        os.close(self._out)
        os.close(self._in)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()

    def _message(self) -> dict[str, Any]:
        ends = time.monotonic() + PATIENCE
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._in], [], [], max(0.0, ends - time.monotonic()))
            block = os.read(self._in, 1 << 20) if ready else b""
            assert block, "the browser says nothing"
            self._read += block
        line, _, self._read = self._read.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message
