"""Traces, as a collector receives them: a real one that decodes OTLP over HTTP, and a real service that sends."""

from __future__ import annotations

import gzip
import itertools
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve_helpers import ROW, Running, until

from modelyard.errors import UserError
from modelyard.serve.telemetry import check

Launch = Callable[..., Running]
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PARTS = ["caller", "read", "check", "reserve", "wait", "predict", "write", "settle"]


class Collector:
    """Spans that were received, as OTLP's messages; and the bytes they came in."""

    def __init__(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        self.spans: list[Any] = []
        self.bodies: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                assert self.path == "/v1/traces"
                told = ExportTraceServiceRequest.FromString(body)
                outer.bodies.append(body)
                outer.spans += [span for one in told.resource_spans for two in one.scope_spans for span in two.spans]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.shutdown()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")  # milliseconds


def serving(launch: Launch, package: Path, url: str) -> Running:
    running = launch("-m", "modelyard.serve.server", str(package), "--port", "0", "--telemetry", url)
    until(lambda: httpx.get(running.url + "/readyz").status_code == 200)
    return running


def test_a_request_is_a_trace_of_its_parts(collector: Collector, launch: Launch, model_folder: Path) -> None:
    running = serving(launch, model_folder, collector.url)
    headers = {"traceparent": PARENT, "X-Request-ID": "asked-1", "Authorization": "Bearer secret-key"}
    assert httpx.post(running.url + "/v1/predict", json=ROW, headers=headers).status_code == 200
    assert httpx.post(running.url + "/v1/predict", json={"nonsense": 1}).status_code == 422
    until(lambda: len(collector.named("POST /v1/predict")) == 2)
    good, bad = sorted(collector.named("POST /v1/predict"), key=lambda span: span.start_time_unix_nano)
    assert good.trace_id.hex() == PARENT.split("-")[1] and good.parent_span_id.hex() == PARENT.split("-")[2]
    facts = {one.key: one.value for one in good.attributes}
    assert facts["http.response.status_code"].int_value == 200 and facts["modelyard.rows"].int_value == 1
    assert facts["modelyard.request_id"].string_value == "asked-1" and facts["modelyard.version"].string_value
    parts = sorted(
        (span for span in collector.spans if span.parent_span_id == good.span_id), key=lambda s: s.start_time_unix_nano
    )
    assert [part.name for part in parts] == PARTS
    for before, after in itertools.pairwise(parts):
        assert good.start_time_unix_nano <= before.start_time_unix_nano <= before.end_time_unix_nano
        assert before.end_time_unix_nano <= after.start_time_unix_nano + 1000 <= good.end_time_unix_nano + 1000
    assert {one.key: one.value for one in bad.attributes}["http.response.status_code"].int_value == 422
    assert bad.trace_id != good.trace_id and not collector.named("GET /readyz"), "probes are no news"
    assert all(text not in body for body in collector.bodies for text in (b"secret-key", b"nonsense"))


def test_a_collector_that_is_gone_harms_no_request(launch: Launch, model_folder: Path) -> None:
    running = serving(launch, model_folder, "http://127.0.0.1:9")
    statuses = {httpx.post(running.url + "/v1/predict", json=ROW).status_code for _ in range(20)}
    assert statuses == {200}


def test_nothing_of_it_is_loaded_unless_it_is_asked_for() -> None:
    import subprocess
    import sys

    code = "import sys, modelyard.serve.app; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("url", ["collector:4318", "ftp://collector", "", "http://"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(UserError, match="OTLP over HTTP"):
        check(url)
