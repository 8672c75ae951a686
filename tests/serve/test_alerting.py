"""Webhooks: a real receiver on this machine hears what is wrong, signed, once; and what must not be reached is not."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from modelyard.errors import UserError
from modelyard.serve import webhooks
from modelyard.serve.alerting import Alerting, secret
from modelyard.serve.meters import Meters
from modelyard.serve.webhooks import check, cloud_event, deliver
from modelyard.watching.alerts import Alert

EVENT = {"status": "firing", "kind": "errors", "subject": "service", "severity": "critical", "says": "x", "since": 1.0, "facts": {}}  # fmt: skip


class Receiver:
    """Answers with the statuses it was given, the last one again and again."""

    def __init__(self) -> None:
        self.statuses, self.heard, self.delay = [200], [], 0.0  # type: ignore[var-annotated]
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.heard.append((self.path, dict(self.headers), body))
                time.sleep(outer.delay)
                status = outer.statuses.pop(0) if len(outer.statuses) > 1 else outer.statuses[0]
                self.send_response(status)
                if status in (301, 302, 307):
                    self.send_header("Location", f"{outer.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.server.shutdown()
    found.server.server_close()


def send(url: str, *, private: bool = True, pauses: list[float] | None = None) -> str:
    return deliver(url, cloud_event(EVENT, id="1", now=0.0), secret="s3cret", private=private, pause=(pauses if pauses is not None else []).append)  # fmt: skip


def test_it_is_a_signed_cloud_event(receiver: Receiver) -> None:
    assert send(receiver.url + "/hook?team=a") == ""
    ((path, headers, body),) = receiver.heard
    told = json.loads(body)
    assert path == "/hook?team=a" and told["specversion"] == "1.0" and told["data"]["kind"] == "errors"
    stamp, mark = (part.partition("=")[2] for part in headers["Modelyard-Signature"].split(","))
    assert abs(int(stamp) - time.time()) < 60
    assert hmac.new(b"s3cret", stamp.encode() + b"." + body, hashlib.sha256).hexdigest() == mark


def test_it_is_tried_again_where_that_helps(receiver: Receiver) -> None:
    pauses: list[float] = []
    receiver.statuses = [503, 429, 204]
    assert send(receiver.url, pauses=pauses) == "" and len(receiver.heard) == 3 and pauses == [1.0, 2.0]
    receiver.heard.clear()
    receiver.statuses = [404]
    assert send(receiver.url) == "status 404" and len(receiver.heard) == 1
    receiver.statuses, pauses = [500], []
    assert send(receiver.url, pauses=pauses) == "status 500" and pauses == [1.0, 2.0, 4.0, 8.0]


def test_redirects_are_not_followed(receiver: Receiver) -> None:
    receiver.statuses = [302]
    assert send(receiver.url + "/hook") == "status 302"
    assert [path for path, _, _ in receiver.heard] == ["/hook"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.1.2.3", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"])  # fmt: skip
def test_the_own_network_is_reached_only_where_that_is_allowed(host: str, receiver: Receiver) -> None:
    port = receiver.server.server_port
    assert "--alert-private" in send(f"http://{host}:{port}/", private=False)
    assert receiver.heard == []


def test_a_name_that_changes_its_mind_reaches_nothing_inside(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """It is resolved once; what was checked is what is connected to."""
    answers, connected = iter(["93.184.216.34", "127.0.0.1"]), []

    def resolve(host: str, port: int, **_: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def connect(address: Any, timeout: float) -> Any:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(webhooks, "TRIES", 1)
    assert send("http://rebinding.example/", private=False) == "ConnectionRefusedError" and connected == [
        "93.184.216.34"
    ]


def test_a_receiver_that_does_not_answer_is_given_up(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT", 0.1)
    monkeypatch.setattr(webhooks, "TRIES", 2)
    receiver.delay = 1.0
    began = time.monotonic()
    assert send(receiver.url) == "TimeoutError" and time.monotonic() - began < 1.0


@pytest.mark.parametrize(
    "url", ["ftp://x", "hooks.example.com", "file:///etc/passwd", "http://", "https://user:pass@x/"]
)
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(UserError, match="webhook"):
        check(url)


def watched(state: Path, receiver: Receiver, wrong: list[Alert], seconds: float, meters: Meters | None = None) -> None:
    """Look for so long, twenty times a second."""

    async def test() -> None:
        meters_ = meters or Meters(name="m", version="1")
        found = Alerting(state, [receiver.url], private=True, meters=meters_, target=0.1, look=0.05)

        async def source() -> list[Alert]:
            return list(wrong)

        async def broken() -> list[Alert]:
            raise RuntimeError

        found.sources += [broken, source]
        task = asyncio.create_task(found.work())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.3)  # what was handed over is sent

    asyncio.run(test())


def statuses(receiver: Receiver) -> list[str]:
    return [json.loads(body)["data"]["status"] for _, _, body in receiver.heard]


def test_each_alert_is_told_once_over_restarts_and_then_its_end(receiver: Receiver, tmp_path: Path) -> None:
    wrong = [Alert("drift", "mail", "warning", "It drifts.")]
    watched(tmp_path, receiver, wrong, 0.5)
    watched(tmp_path, receiver, wrong, 0.5)
    assert statuses(receiver) == ["firing"]
    watched(tmp_path, receiver, [], 0.5)
    assert statuses(receiver) == ["firing", "resolved"]
    assert (tmp_path / "alerts.secret").stat().st_mode & 0o077 == 0 and secret(tmp_path) == secret(tmp_path)


def test_errors_and_slow_answers_are_seen_in_the_meters(receiver: Receiver, tmp_path: Path) -> None:
    meters = Meters(name="m", version="1")
    meters.begin()
    meters.end("/v1/predict", 200, 0.01)
    threading.Timer(0.3, lambda: [(meters.begin(), meters.end("/v1/predict", 500, 0.3)) for _ in range(60)]).start()
    watched(tmp_path, receiver, [], 1.0, meters)
    kinds = sorted(json.loads(body)["data"]["kind"] for _, _, body in receiver.heard)
    assert kinds == ["errors", "latency"]


def test_of_several_processes_one_tells(receiver: Receiver, tmp_path: Path) -> None:
    wrong = [Alert("drift", "mail", "warning", "It drifts.")]
    threads = [threading.Thread(target=watched, args=(tmp_path, receiver, wrong, 1.0)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses(receiver) == ["firing"]
