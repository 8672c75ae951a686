"""The client against a real service that is killed, and against a small server that misbehaves in every way."""

from __future__ import annotations

import http.server
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "serve"))

from paying_service import Business
from serve_helpers import ROW, Running, make_model, make_package, start, until

from modelyard.client import Client, ServiceRefused, ServiceUnreachable
from modelyard.errors import ModelyardError, UserError

Script = list[Callable[["Misbehaving"], None]]


class Misbehaving(http.server.BaseHTTPRequestHandler):
    """Does at each request what comes next in its server's script; at its end it answers well."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((dict(self.headers), self.body))  # type: ignore[attr-defined]
        script: Script = self.server.script  # type: ignore[attr-defined]
        (script.pop(0) if script else well)(self)

    def tell(self, status: int, content: Any, **headers: str) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def well(handler: Misbehaving) -> None:
    handler.tell(200, {"answers": [{"answer": "good"}], "request_id": "r", "model": {"name": "m", "version": "1"}})


def refusing(status: int, kind: str, **headers: str) -> Callable[[Misbehaving], None]:
    return lambda handler: handler.tell(status, {"error": {"type": kind, "message": "no"}}, **headers)


def hangs_up(handler: Misbehaving) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def breaks_off(handler: Misbehaving) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"answers": [')
    hangs_up(handler)


@pytest.fixture
def server() -> Iterator[Any]:
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving)
    made.script, made.seen = [], []  # type: ignore[attr-defined]
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def client(server: Any, **how: Any) -> Client:
    return Client(f"http://127.0.0.1:{server.server_port}", key="yard_k_secret", **how)


@pytest.mark.parametrize(
    "trouble",
    [
        hangs_up, breaks_off, refusing(503, "not_ready"), refusing(429, "overloaded", Retry_After="0"), refusing(500, "internal"),
        refusing(409, "in_progress", Retry_After="0"),
    ],
)  # fmt: skip
def test_what_passes_is_tried_again_with_the_same_key(server: Any, trouble: Callable[[Misbehaving], None]) -> None:
    server.script = [trouble, trouble]
    assert client(server).predict_one({"x": 1}).answer == "good"
    assert len(server.seen) == 3
    assert len({headers["Idempotency-Key"] for headers, _ in server.seen}) == 1
    assert len({body for _, body in server.seen}) == 1


def test_two_calls_have_two_keys(server: Any) -> None:
    asking = client(server)
    asking.predict_one({"x": 1})
    asking.predict_one({"x": 1})
    asking.predict_one({"x": 1}, idempotency="mine")
    keys = [headers["Idempotency-Key"] for headers, _ in server.seen]
    assert len(set(keys)) == 3 and keys[2] == "mine"


@pytest.mark.parametrize(
    ("status", "kind"), [(401, "unknown_key"), (422, "invalid_rows"), (429, "quota_exceeded"), (413, "body_too_large")]
)
def test_what_does_not_pass_is_told_at_once(server: Any, status: int, kind: str) -> None:
    server.script = [refusing(status, kind, Retry_After="3600")]
    with pytest.raises(ServiceRefused) as error:
        client(server).predict_one({"x": 1})
    assert (error.value.status, error.value.type, len(server.seen)) == (status, kind, 1)
    assert "secret" not in str(error.value) + repr(error.value) + repr(client(server))


def test_retry_after_is_waited_for_or_told(server: Any) -> None:
    server.script = [refusing(429, "rate_limited", Retry_After="3600")]
    with pytest.raises(ServiceRefused, match="rate_limited"):
        client(server, patience=5.0).predict_one({"x": 1})


def test_a_silent_server_and_one_that_sends_elsewhere(server: Any) -> None:
    import time

    server.script = [lambda handler: time.sleep(3)] * 4
    began = time.monotonic()
    with pytest.raises(ServiceUnreachable):
        client(server, patience=0.6, timeout=10.0).predict_one({"x": 1})
    assert time.monotonic() - began < 2.0
    server.script = [lambda handler: handler.tell(307, {}, Location="http://evil.example/")]
    with pytest.raises(ServiceRefused, match="307"):
        client(server).predict_one({"x": 1})


def test_nobody_there_is_told_after_the_patience() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ServiceUnreachable, match=r"within 0\.5 s"):
            Client(f"http://127.0.0.1:{taken.getsockname()[1]}", patience=0.5).usage()
    with pytest.raises(UserError, match="no service at"):
        Client("ask.example.com")


@pytest.fixture(scope="module")
def business(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Business]:
    folder, running = tmp_path_factory.mktemp("service"), list[Running]()

    def launch(*command: str) -> Running:
        running.append(start([sys.executable, *command], folder / f"log{len(running)}", environment={}))
        return running[-1]

    package = make_package(make_model(folder / "model"), folder / "v1")
    yield Business(launch, package, folder / "state")
    for each in running:
        each.process.kill()
        each.process.wait()


def test_against_the_service_itself(business: Business) -> None:
    customer, paying = business.customer("endless")
    asking = Client(business.url, key=paying.headers["Authorization"].removeprefix("Bearer "), model="standing")
    assert asking.models() == ["standing"]
    answers = asking.predict([ROW, {**ROW, "note": "very late"}])
    assert [answer.answer for answer in answers] == ["good", "bad"] and answers[0].version == "1.0.0"
    assert sum(answers[0].probabilities.values()) == pytest.approx(1.0)
    with pytest.raises(ServiceRefused) as error:
        asking.predict_one({"age": "old"})
    assert error.value.faults[0]["field"] == "age"
    job = asking.submit([ROW, {"age": "old"}, ROW])
    told = asking.wait(job.id, every=0.1, patience=30)
    assert (told.status, told.done, told.failed) == ("done", 3, 1)
    assert [sorted(line) for line in asking.results(job.id)][1] == ["error", "field", "row"]
    asking.remove(job.id)
    assert asking.usage()["usage"] == {"batch": {"request": 2}, "standard": {"request": 2}}
    assert business.used(customer) == 2


def test_a_kill_amid_calls_is_not_noticed_and_not_billed_twice(business: Business) -> None:
    customer, paying = business.customer("endless")
    asking = Client(business.url, key=paying.headers["Authorization"].removeprefix("Bearer "))
    done: list[str] = []

    def calls() -> None:
        done.extend(asking.predict_one(ROW).answer for _ in range(150))  # one by one, so that others see how far it is

    thread = threading.Thread(target=calls)
    thread.start()
    until(lambda: len(done) > 20)
    business.kill()
    business.start()
    thread.join(timeout=60)
    assert done == ["good"] * 150
    assert business.used(customer) == 150


@pytest.mark.parametrize("given", ["yard_hidden\n", "yard_\nhidden", "yard_hidden\u00e9"])
def test_a_broken_key_is_told_to_nobody(given: str) -> None:
    """Of a file, a key comes with a line break; what cannot be sent must not stand in an error either."""
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(ModelyardError) as caught:
        Client(f"http://127.0.0.1:{server.getsockname()[1]}", key=given, patience=0.2, timeout=0.2).usage()
    assert "hidden" not in str(caught.value)


# -- streams ---------------------------------------------------------------------------------------------------------------

TALK = [{"role": "user", "content": "where is the cat?"}]


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = str(Path(__file__).parent / "serve" / "writing_service.py")
    running = start([sys.executable, program, "{}"], tmp_path_factory.mktemp("speaking") / "log")
    client = Client(running.url)
    until(lambda: bool(list(client.stream(TALK, max_tokens=1))))
    yield running.url
    running.process.kill()
    running.process.wait()


def test_a_stream_is_the_answer_in_pieces(speaking: str):
    client = Client(speaking)
    pieces = list(client.stream(TALK, max_tokens=40, seed=3))
    assert len(pieces) > 3
    assert "".join(client.stream(TALK, max_tokens=40, seed=3)) == "".join(pieces), "over the same connection"
    for _ in client.stream(TALK, max_tokens=200):
        break  # leaves in the middle
    assert "".join(client.stream(TALK, max_tokens=40, seed=3)) == "".join(pieces)


def test_a_stream_that_is_refused_says_why(speaking: str):
    with pytest.raises(ServiceRefused, match="temperature"):
        list(Client(speaking).stream(TALK, temperature=-1))
    with pytest.raises(ServiceUnreachable):
        list(Client("http://127.0.0.1:9", model="m", patience=0.5).stream(TALK))


def streaming(*events: str, whole: bool) -> Callable[[Misbehaving], None]:
    def act(handler: Misbehaving) -> None:
        body = b"".join(f"data: {event}\n\n".encode() for event in events)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body) + (0 if whole else 100)))
        handler.end_headers()
        handler.wfile.write(body)
        handler.wfile.flush()
        if not whole:
            handler.connection.shutdown(socket.SHUT_RDWR)

    return act


PIECE = json.dumps({"choices": [{"delta": {"content": "Hello"}}]})


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (streaming(PIECE, whole=False), ServiceUnreachable),
        (streaming(PIECE, whole=True), ServiceUnreachable),
        (streaming(PIECE, json.dumps({"error": {"message": "it broke", "code": "internal"}}), "[DONE]", whole=True), ServiceRefused),
    ],
)  # fmt: skip
def test_a_stream_that_breaks_gives_what_came_and_says_so(server: Any, script: Any, error: type[Exception]):
    server.script = [refusing(503, "not_ready"), script]
    heard: list[str] = []
    with pytest.raises(error):
        for piece in client(server, model="m").stream(TALK):
            heard.append(piece)  # noqa: PERF402  # what came before the error counts
    assert heard == ["Hello"]
    keys = {headers["Idempotency-Key"] for headers, _ in server.seen}
    assert len(server.seen) == 2 and len(keys) == 1, "tried again once, under one key, and never after the first piece"
