"""What the service answers and what it refuses, over real HTTP."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from serve_helpers import COLUMNS, ROW, Running, make_records

from modelyard.errors import nearest
from modelyard.predictor import Predictor
from modelyard.rows import Column, Reading, from_records
from modelyard.serve import reading
from modelyard.serve.limits import Limits
from modelyard.serve.openapi import row_schema
from modelyard.serve.refusing import MOST_FAULTS, Refused

PATH = "/v1/predict"


def ask(server: Running, body: Any, **given: Any) -> httpx.Response:
    """POST JSON."""
    return httpx.post(server.url + PATH, json=body, **given)


def test_answers_are_the_predictors(server: Running, model_folder: Any) -> None:
    records = make_records(20, seed=9)
    wanted = Predictor.open(model_folder).answer(from_records(records, COLUMNS))
    answer = ask(server, {"rows": records})
    assert answer.status_code == 200
    assert answer.json()["answers"] == wanted
    assert answer.json()["model"] == {"name": "standing", "version": "0"}
    assert answer.json()["usage"] == {"request": 20}
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_three_forms_of_a_row_are_one(server: Running) -> None:
    answers = [ask(server, body).json()["answers"] for body in ({"rows": [ROW]}, {"row": ROW}, ROW)]
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]) == 1


@pytest.mark.parametrize(
    "row",
    [
        {"note": "late"},
        {**ROW, "age": None},
        {**ROW, "age": ""},
        {**ROW, "age": "42"},
        {**ROW, "age": 42.5},
        {**ROW, "member": "yes"},
        {**ROW, "member": 0},
        {**ROW, "job": "never seen"},
        {**ROW, "job": 7},
        {**ROW, "joined": 1.6e9},
        {**ROW, "joined": "2024-02-29T12:00:00Z"},
        {**ROW, "note": ""},
        {**ROW, "note": "naïve ✓ 你好 \u0000 \U0001f600"},
    ],
)
def test_good_rows(server: Running, row: dict[str, Any]) -> None:
    assert ask(server, row).status_code == 200


BAD = [
    ("unknown field", {**ROW, "ages": 3}, 422, "ages", 0),
    ("wrong number", {**ROW, "age": "old"}, 422, "age", 0),
    ("boolean as number", {**ROW, "age": True}, 422, "age", 0),
    ("list as number", {**ROW, "age": [1]}, 422, "age", 0),
    ("endless number", b'{"age": 1e999}', 422, "age", 0),
    ("huge whole number", b'{"age": ' + b"9" * 400 + b"}", 422, "age", 0),
    ("endless whole number", b'{"age": ' + b"9" * 10_000 + b"}", 400, None, None),
    ("number spelt NaN", {**ROW, "age": "nan"}, 422, "age", 0),
    ("wrong boolean", {**ROW, "member": "perhaps"}, 422, "member", 0),
    ("wrong date", {**ROW, "joined": "31 of May"}, 422, "joined", 0),
    ("date of no calendar", {**ROW, "joined": "2021-02-30"}, 422, "joined", 0),
    ("number as text", {**ROW, "note": 12}, 422, "note", 0),
    ("object as text", {**ROW, "note": {"a": 1}}, 422, "note", 0),
    ("list as category", {**ROW, "job": ["clerk"]}, 422, "job", 0),
    ("second of three rows", {"rows": [ROW, {**ROW, "age": "x"}, ROW]}, 422, "age", 1),
    ("nothing in the row", {}, 422, None, 0),
    ("only missing values", dict.fromkeys(ROW), 422, None, 0),
    ("no rows", {"rows": []}, 422, "rows", None),
    ("rows as object", {"rows": {"0": ROW}}, 422, "rows", None),
    ("row as list", {"row": [ROW]}, 422, None, 0),
    ("row of null", {"rows": [None]}, 422, None, 0),
    ("both row and rows", {"rows": [ROW], "row": ROW}, 422, "row", None),
    ("stranger beside rows", {"rows": [ROW], "options": {}}, 422, "options", None),
    ("a string", "row", 422, None, None),
    ("null", b"null", 422, None, None),
    ("two documents", b"{} {}", 400, None, None),
    ("Infinity", b'{"age": -Infinity}', 400, None, None),
    ("deep in a field", b'{"age":' + b"[" * 5000 + b"]" * 5000 + b"}", 400, None, None),
    ("lone surrogate", b'{"note": "\\ud800"}', 400, None, None),
    ("lone surrogate in a name", b'{"\\udfff": 1}', 400, None, None),
    ("UTF-16", '{"note": "late"}'.encode("utf-16"), 400, None, None),
]


@pytest.mark.parametrize(("body", "status", "field", "row"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_requests(server: Running, body: Any, status: int, field: str | None, row: int | None) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = httpx.post(server.url + PATH, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert {"type", "message", "field", "row"} <= error.keys()
    assert (error["field"], error["row"]) == (field, row)
    assert error["message"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_every_fault_is_told(server: Running) -> None:
    faults = ask(server, {"rows": [{**ROW, "age": "x", "stranger": 1}, {**ROW, "note": 3, "joined": "?"}]}).json()[
        "error"
    ]["faults"]
    assert sorted((fault["row"], fault["field"]) for fault in faults) == [
        (0, "age"),
        (0, "stranger"),
        (1, "joined"),
        (1, "note"),
    ]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/json; charset=utf-16"}, 415),
        ({"Content-Type": "application/json; charset=UTF-8"}, 200),
        ({"Content-Type": "text/plain"}, 200),
    ],
)
def test_headers(server: Running, headers: dict[str, str], status: int) -> None:
    assert httpx.post(server.url + PATH, content=json.dumps(ROW), headers=headers).status_code == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", PATH, 405), ("DELETE", PATH, 405), ("POST", "/healthz", 405), ("GET", "/nothing", 404), ("POST", PATH + "/", 404),
     ("GET", "/docs/../../etc/passwd", 404), ("PURGE", PATH, 405)],
)  # fmt: skip
def test_wrong_paths_and_methods_have_the_same_shape(server: Running, method: str, path: str, status: int) -> None:
    host, port = urlsplit(server.url).hostname, urlsplit(server.url).port
    connection = http.client.HTTPConnection(str(host), port)
    connection.request(method, path)
    answer = connection.getresponse()
    assert answer.status == status
    assert json.loads(answer.read())["error"]["message"]
    assert (answer.getheader("Allow") is not None) == (status == 405)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a-B_3.:x", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("a b", False),
        ("é", False),
        ("<script>", False),
        ("", False),
    ],
)
def test_request_ids(server: Running, given: str, kept: bool) -> None:
    answer = ask(server, ROW, headers={"X-Request-ID": given.encode()})
    got = answer.headers["x-request-id"]
    assert (got == given) == kept
    assert got == answer.json()["request_id"]
    assert got.isascii() and 0 < len(got) <= 64


def chunked(server: Running, pieces: list[bytes]) -> bytes:
    """A chunked request by hand; what comes back."""
    parts = urlsplit(server.url)
    with socket.create_connection((str(parts.hostname), parts.port or 0), timeout=20) as sock:
        sock.sendall(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
        )
        for piece in pieces:
            sock.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        sock.sendall(b"0\r\n\r\n")
        answer = b""
        while block := sock.recv(65536):
            answer += block
    return answer


def test_a_body_without_a_length_is_limited_too(server: Running) -> None:
    body = json.dumps(ROW).encode()
    assert chunked(server, [body[:10], body[10:]]).startswith(b"HTTP/1.1 200")
    assert chunked(server, [b"x" * 2**20] * 17).startswith(b"HTTP/1.1 413")


def test_health_metrics_and_description(server: Running) -> None:
    assert httpx.get(server.url + "/healthz").json() == {"status": "ok"}
    assert httpx.get(server.url + "/readyz").json() == {"status": "ready"}
    before = (
        metric(server, 'modelyard_requests_total{path="/v1/predict",status="200"}'),
        metric(server, "modelyard_rows_total"),
    )
    ask(server, {"rows": [ROW] * 3})
    after = (
        metric(server, 'modelyard_requests_total{path="/v1/predict",status="200"}'),
        metric(server, "modelyard_rows_total"),
    )
    assert (after[0] - before[0], after[1] - before[1]) == (1, 3)
    assert metric(server, "modelyard_in_flight") == 1  # the question itself
    assert metric(server, 'modelyard_stage_seconds_count{stage="predict"}') > 0
    assert metric(server, 'modelyard_request_seconds_bucket{le="+Inf",path="/v1/predict"}') > 0
    assert httpx.get(server.url + "/openapi.json").json()["info"]["title"] == "standing"


def metric(server: Running, name: str) -> float:
    """One value of /metrics, 0 where it is not there."""
    lines = httpx.get(server.url + "/metrics").text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(name)), 0.0)


def test_log_lines_hold_no_content(server: Running) -> None:
    ask(
        server,
        {"note": "SECRET-NOTE", "SECRET-FIELD": 1},
        headers={"X-Request-ID": "seen-in-log", "User-Agent": "SECRET-AGENT"},
    )
    httpx.get(server.url + "/SECRET-PATH?token=SECRET-QUERY")
    text = server.log.read_text()
    assert "SECRET" not in text
    assert "127.0.0.1" not in "".join(line for line in text.splitlines() if '"request"' in line)
    line = next(line for line in server.lines() if line.get("request_id") == "seen-in-log")
    assert (line["event"], line["status"], line["path"], line["method"]) == ("request", 422, PATH, "POST")


def test_a_flood_of_unknown_fields_costs_no_more_than_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = tuple(Column(name=f"column_{number}", type="number") for number in range(500))
    asked: list[str] = []

    def counted(name: str, known: Any) -> str:
        asked.append(name)
        return nearest(name, known)

    monkeypatch.setattr(reading, "nearest", counted)
    body = json.dumps({"rows": [{f"k{number}": 1 for number in range(350_000)}]}, separators=(",", ":")).encode()
    with pytest.raises(Refused) as refused:
        reading.read_rows(body, columns, Limits())
    assert refused.value.status == 422
    assert len(asked) <= MOST_FAULTS + 1
    assert len(json.dumps(refused.value.body("x"))) < 50_000


def test_wrong_values_are_looked_for_until_there_are_enough() -> None:
    rows = [{"age": "old", "joined": "soon", "note": "x"} for _ in range(256)]
    with pytest.raises(Refused) as refused:
        reading.check_records(rows, COLUMNS)
    assert {fault[:2] for fault in refused.value.faults} <= {
        (row, name) for row in range(256) for name in ("age", "joined")
    }
    assert 0 < len(refused.value.faults) <= MOST_FAULTS


def test_what_training_read_in_its_own_way_is_described() -> None:
    price = Column(name="price", type="number", reading=Reading(decimal_comma=True, limits=(0.0, None)))
    day = Column(name="day", type="date", reading=Reading(day_first=True))
    fields = row_schema((price, day), {})["properties"]
    assert "with a decimal comma" in fields["price"]["description"]
    assert "below 0 counts as missing" in fields["price"]["description"]
    assert "`05/01/2026` is the 5th of January" in fields["day"]["description"]
