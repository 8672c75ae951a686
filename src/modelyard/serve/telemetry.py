"""OpenTelemetry, when it is asked for: a trace of each request, its parts as spans, sent to the operator's collector (OTLP over HTTP).

    yard serve PACKAGE --state DIR --telemetry http://collector:4318

A client's `traceparent` (W3C Trace Context) is taken over. Spans tell path, status, rows, model and times: no body, no key, no address.
Sending happens in a thread; where the collector does not answer, spans are dropped and requests go on. The usual variables of
OpenTelemetry (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER …) hold.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from modelyard.errors import MissingExtra, UserError


class Part(NamedTuple):
    """A part of a request, in seconds of `time.perf_counter`."""

    name: str
    began: float
    ended: float


PARTS = "parts"
"""Where the scope of a request holds its parts; only there while they are wanted."""


class Telemetry:
    """Sends spans. Make it after a fork: its thread does not survive one."""

    def __init__(self, url: str, *, service: str) -> None:
        check(url)
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError:
            raise MissingExtra("OpenTelemetry (--telemetry)", "telemetry") from None
        self._provider = TracerProvider(resource=Resource.create({"service.name": service}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url.rstrip('/')}/v1/traces")))
        self._tracer = self._provider.get_tracer("modelyard")
        self._extract = TraceContextTextMapPropagator().extract
        self._server, self._failed, self._within = SpanKind.SERVER, StatusCode.ERROR, set_span_in_context
        self._since = time.time_ns() - time.perf_counter_ns()

    def tell(
        self, headers: Sequence[tuple[bytes, bytes]], name: str, began: float, facts: Mapping[str, Any], parts: Sequence[Part]
    ) -> None:  # fmt: skip
        """A request that has ended now."""
        ended = time.perf_counter()
        carrier = {
            key.decode("latin-1"): value.decode("latin-1")
            for key, value in headers
            if key in (b"traceparent", b"tracestate")
        }
        span = self._tracer.start_span(
            name, context=self._extract(carrier), kind=self._server, attributes=dict(facts), start_time=self._at(began)
        )
        if facts.get("http.response.status_code", 0) >= 500:
            span.set_status(self._failed)
        inside = self._within(span)
        for part in parts:
            self._tracer.start_span(part.name, context=inside, start_time=self._at(part.began)).end(
                self._at(part.ended)
            )
        span.end(self._at(ended))

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        self._provider.shutdown()

    def _at(self, seconds: float) -> int:
        return self._since + int(seconds * 1e9)


def check(url: str) -> None:
    """UserError where the address is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"no collector at {url!r}. Write its address for OTLP over HTTP, such as http://collector:4318")
