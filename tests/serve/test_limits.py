"""Limits, failures and the drain, over a real server whose answers take a known time."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from serve_helpers import ROW, Running, client, until

HERE = Path(__file__).parent
Launch = Callable[..., Running]


def slow(launch: Launch, seconds: float, **limits: Any) -> Running:
    """A ready server with answers of that duration."""
    running = launch(str(HERE / "slow_service.py"), str(seconds), json.dumps(limits))
    until(lambda: client().get(running.url + "/readyz").status_code == 200)
    return running


@pytest.fixture(scope="module")
def tight(launch: Launch) -> Running:
    """50 ms an answer, little patience."""
    return slow(launch, 0.05, body_time=0.5, answer_time=0.3, queue_time=0.2, max_rows=3, max_body=500)


def post(running: Running, body: Any) -> httpx.Response:
    return client().post(running.url + "/v1/predict", json=body)


def test_rows_and_bytes_are_limited(tight: Running) -> None:
    assert post(tight, {"rows": [{"age": 1}] * 3}).status_code == 200
    many, large = post(tight, {"rows": [{"age": 1}] * 4}), post(tight, {"note": "x" * 500})
    assert (many.status_code, many.json()["error"]["type"]) == (413, "too_many_rows")
    assert (large.status_code, large.json()["error"]["type"]) == (413, "body_too_large")


def test_a_slow_sender_is_told_so(tight: Running) -> None:
    parts = urlsplit(tight.url)
    with socket.create_connection((str(parts.hostname), parts.port or 0), timeout=10) as sock:
        sock.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        answer = sock.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408")


def test_a_client_that_leaves_harms_nobody(tight: Running) -> None:
    parts = urlsplit(tight.url)
    for _ in range(3):
        with socket.create_connection((str(parts.hostname), parts.port or 0)) as sock:
            sock.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert post(tight, ROW).status_code == 200
    assert not [line for line in tight.lines() if line["event"] == "failure"]


def test_who_leaves_the_queue_costs_the_model_nothing(launch: Launch) -> None:
    running = slow(launch, 0.3, answer_time=10.0)
    parts, body = urlsplit(running.url), json.dumps(ROW).encode()
    head = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    waiting = []
    for _ in range(10):  # three seconds of work
        sock = socket.create_connection((str(parts.hostname), parts.port or 0))
        sock.sendall(head % len(body) + body)
        waiting.append(sock)
    until(lambda: "modelyard_in_flight 11.0" in client().get(running.url + "/metrics").text)  # this question too
    for sock in waiting:
        sock.close()
    began = time.monotonic()
    assert post(running, ROW).status_code == 200
    assert time.monotonic() - began < 2.5, (
        "the one that runs, and its own; all of them would take three seconds and more"
    )
    told = client().get(running.url + "/metrics").text
    gone = float(re.search(r'modelyard_requests_total{path="/v1/predict",status="499"} (\S+)', told)[1])
    assert gone >= 5


def test_overload_is_refused_at_once_and_passes(tight: Running) -> None:
    with ThreadPoolExecutor(24) as crowd:
        answers = list(crowd.map(lambda _: post(tight, ROW), range(24)))
    statuses = {answer.status_code for answer in answers}
    assert 200 in statuses
    assert 429 in statuses
    assert statuses <= {200, 429, 504}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    until(lambda: post(tight, ROW).status_code == 200)


def test_an_error_of_ours_is_a_500_without_content(tight: Running) -> None:
    answer = post(tight, {**ROW, "age": 99})
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "internal"
    line = until(lambda: [line for line in tight.lines() if line["event"] == "failure"])[0]
    assert "SECRET" not in answer.text + tight.log.read_text()
    assert line["error"] == "RuntimeError"
    assert line["request_id"] == answer.json()["request_id"]
    assert post(tight, ROW).status_code == 200


def test_no_finite_answer_is_a_refusal(tight: Running) -> None:
    answer = post(tight, {"rows": [ROW, {**ROW, "age": 98}]})
    assert (answer.status_code, answer.json()["error"]["row"]) == (422, 1)


def test_too_late_an_answer_is_a_504(launch: Launch) -> None:
    running = slow(launch, 0.2, answer_time=0.05)
    assert post(running, ROW).status_code == 504
    assert (
        client().get(running.url + "/healthz", timeout=5).status_code == 200
    )  # the loop is free while the thread works
    assert running.stop() == 0


def test_not_ready_before_it_is_warm(launch: Launch) -> None:
    http = client()
    running = launch(str(HERE / "slow_service.py"), "0.4")  # five such answers, and it is warm
    assert http.get(running.url + "/healthz").status_code == 200
    ready = http.get(running.url + "/readyz")
    assert (ready.status_code, ready.json()) == (503, {"status": "warming"})
    assert post(running, ROW).status_code == 503
    assert running.stop() == 0


def test_drain_under_load_loses_no_answer(launch: Launch) -> None:
    running = slow(launch, 0.05, linger=1.5)
    answers: list[int] = []
    broken: list[str] = []
    stopping = threading.Event()

    def customer() -> None:
        while not stopping.is_set():
            try:
                answers.append(post(running, ROW).status_code)
            except httpx.ConnectError:  # after the listener is closed: said before anything was sent
                return
            except httpx.HTTPError as error:
                broken.append(repr(error))
                return

    with ThreadPoolExecutor(6) as crowd:
        customers = [crowd.submit(customer) for _ in range(6)]
        until(lambda: len(answers) >= 12)
        running.process.terminate()
        until(lambda: "draining" in running.events())
        told = client().get(running.url + "/readyz")
        status = running.process.wait(timeout=25)
        stopping.set()
        for done in customers:
            done.result()
    assert (told.status_code, told.json(), told.headers["connection"]) == (503, {"status": "draining"}, "close")
    assert status == 0
    assert set(answers) == {200}
    assert broken == []
    assert running.events() == ["listening", "draining", "stopped"]


def test_sigterm_while_idle_ends_at_once(launch: Launch) -> None:
    running = slow(launch, 0.001)
    assert running.stop() == 0
