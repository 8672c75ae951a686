"""What `serve` learnt: how fast the packaged service answers, how much it bears, and what it refuses. Owned by the serve stage."""

from __future__ import annotations

from typing import Any

from modelyard.frozen import Frozen
from modelyard.records._base import Record
from modelyard.units import Bytes, Measure, PerSecond, Seconds


class Latency(Frozen):
    """Percentiles of the time from sending a request to having its whole answer."""

    requests: int
    p50: Seconds
    p95: Seconds
    p99: Seconds


class Level(Frozen):
    """One level of the sweep. Latency counts from the moment a request was due, not from when it could be sent, so that a
    stalled service cannot hide its stall (no coordinated omission)."""

    offered: PerSecond
    """Rate asked for; arrivals are Poisson."""
    achieved: PerSecond
    """Rate answered without an error."""
    requests: int
    errors: dict[str, int] = {}
    """Kind (`status 503`, `timeout`, `connection`) to count."""
    latency: Latency | None = None
    """Null where nothing was answered. Unanswered requests count with the time they had waited."""
    mean: Seconds | None = None
    sender_delay: Seconds
    """99th percentile of how late the load generator itself came to a request: a large one says that the machine, not the service, is
    the limit. Waiting for a free connection is not in it: that is the service's queue."""
    sustained: bool
    """No error but at most 1 % told to come again later, p95 within the target, and answers at 90 % of the offered rate or more."""


class Refusal(Frozen):
    """A bad request that the service must refuse."""

    name: str
    """`unknown_field`, `wrong_type`, `empty_row`, `not_json`, …"""
    wanted: int
    """HTTP status that is right."""
    got: int
    field: str | None = None
    """Field that the answer must name."""
    passed: bool


class Streamed(Frozen):
    """Streams of written answers, one after the other, over OpenAI's endpoints."""

    path: str
    """The endpoint."""
    first_token: Latency
    """From sending a request to the first token of its answer."""
    next_token: Seconds | None
    """From one token of an answer to the next, on average; null where no answer had two."""
    reading: Measure
    """Share of an answer's whole time that passes before its first token."""
    read: Measure
    """Tokens of a prompt, on average."""
    written: Measure
    """Tokens of an answer, on average."""


class Served(Record):
    """The packaged service under load. All clock-measured values stand in `measured_*`."""

    stage: str = "serve"
    package: str = "package"
    """Relative to the build."""
    package_bytes: Bytes
    workers: int = 1
    rows_seen: int
    """Distinct test rows that were sent, over and over."""
    target_p95: Seconds
    level_time: Seconds
    refusals: tuple[Refusal, ...] = ()
    measured_rate: Measure
    """Highest rate (request/s, one row each) sustained inside the p95 target; 0 where no level was."""
    measured_at_least: bool = False
    """The highest rate offered was sustained, so that no level broke and the service may bear more: `measured_rate` is a lower bound."""
    measured_knee: Measure | None = None
    """Rate of the level with the greatest throughput divided by mean latency (Kleinrock's power): past it, waiting grows faster than work done."""
    measured_latency: Latency
    """One row at a time, one after the other, over one connection."""
    measured_levels: tuple[Level, ...] = ()
    """By rising rate."""
    measured_units: dict[str, Measure] = {}
    """What is sold for a request of one row, on average over those sent one after the other, by unit: tokens, images, requests."""
    measured_stream: Streamed | None = None
    """Null where no texts are written."""
    measured_cold_start: Seconds
    """From starting the process to the first answer."""
    measured_memory: Bytes
    """Peak resident memory of the service's processes."""
    measured_stages: dict[str, float] = {}
    """Seconds a request spends in each part of the service (`read`, `check`, `wait`, `predict`, `write`), on average, sent one after
    the other: before the sweep, whose broken levels would show their queues."""
    timings: dict[str, Any] = {}
