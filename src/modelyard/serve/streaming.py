"""How soon an answer of the packaged service begins and how fast it goes on: streams over OpenAI's endpoints, read as a client does.

It sees the service from outside. A stream costs what a whole answer costs; what it tells besides is how the time divides between
reading a prompt (until the first token) and writing (from there to the last one).
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard.errors import PackageError
from modelyard.records.served import Latency, Streamed
from modelyard.serve.load import percentile
from modelyard.units import Quantity

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
STREAMS, TIME = 20, 12.0
"""Streams that are read one after the other, and seconds after which no more are begun."""
LONGEST = 120.0
"""Seconds that a stream may be silent."""


@dataclass(frozen=True)
class _Stream:
    """One answer as it came; seconds."""

    first: float
    whole: float
    read: int
    written: int


def measure(
    port: int, model: str, texts: Sequence[str], options: dict[str, Any], *, headers: Mapping[str, str] | None = None
) -> Streamed:
    """Answers to texts, as messages where the model knows conversations; PackageError where the service refuses them."""
    path = (
        CHAT
        if _stream(port, CHAT, _body(CHAT, model, "?", {**options, "max_tokens": 1}), headers) is not None
        else TEXT
    )
    found, began = list[_Stream](), time.monotonic()
    for number in range(STREAMS):
        if found and time.monotonic() - began > TIME:
            break
        if one := _stream(port, path, _body(path, model, texts[number % len(texts)], options), headers):
            found.append(one)
    if not found:
        raise PackageError(f"the packaged service refuses every stream at {path}")
    ordered = sorted(one.first for one in found)
    spans = {name: percentile(ordered, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
    following = sum(max(one.written - 1, 0) for one in found)
    after = sum(one.whole - one.first for one in found if one.written > 1)
    return Streamed(
        path=path,
        first_token=Latency(
            requests=len(found), **{name: Quantity(round(value, 7), "s") for name, value in spans.items()}
        ),
        next_token=Quantity(round(after / following, 7), "s") if following else None,
        reading=Quantity(round(sum(one.first for one in found) / sum(one.whole for one in found), 6), ""),
        read=Quantity(sum(one.read for one in found) / len(found), "input_token/request"),
        written=Quantity(sum(one.written for one in found) / len(found), "output_token/request"),
    )


def _body(path: str, model: str, text: str, options: dict[str, Any]) -> dict[str, Any]:
    asked = {"messages": [{"role": "user", "content": text}]} if path == CHAT else {"prompt": text}
    return {"model": model, **asked, **options, "stream": True, "stream_options": {"include_usage": True}}


def _stream(port: int, path: str, body: dict[str, Any], headers: Mapping[str, str] | None) -> _Stream | None:
    """One answer read to its end; None where it is refused."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST)
    try:
        began = time.perf_counter()
        sent = {"Content-Type": "application/json", **(headers or {})}
        connection.request("POST", path, json.dumps(body).encode(), sent)
        answer = connection.getresponse()
        if answer.status != 200:
            return None
        first, usage = 0.0, {"prompt_tokens": 0, "completion_tokens": 0}
        for line in answer:
            event = line.removeprefix(b"data: ").strip()
            if not event or event == b"[DONE]":
                continue
            first = first or time.perf_counter() - began
            told = json.loads(event)
            if "error" in told:
                raise PackageError(
                    f"a stream of the packaged service broke: {told['error'].get('message', told['error'])}"
                )
            usage = told.get("usage") or usage
        return _Stream(first, time.perf_counter() - began, usage["prompt_tokens"], usage["completion_tokens"])
    finally:
        connection.close()
