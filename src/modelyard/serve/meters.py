"""What `/metrics` shows: requests, rows, latency, parts of a request, in Prometheus' text format.

One registry a service, so that two services in one process (tests) do not share counts. With several worker processes the
counts of all stand in one folder of memory-mapped files (prometheus-client's multiprocess mode). It knows nothing about answering.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

M = TypeVar("M")

LATENCY = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bucket edges in seconds: the bars of the gate (1 and 3 ms), of a table row (5 ms) and of a text (15 ms) are edges of their own."""
STAGES = ("read", "check", "gate", "wait", "predict", "write")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FOLDER = "PROMETHEUS_MULTIPROC_DIR"


ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
DROPPED = ("overloaded", "expired", "late")
"""Refused at the door; not answered in time; taken from the queue too late to begin."""


class BatchMeters:
    """Counters of the engines; without a registry they count for nobody."""

    def __init__(self, registry: Any = None) -> None:
        from prometheus_client import Counter, Histogram

        self._rows = Histogram("modelyard_batch_rows", "Rows in a batch.", buckets=ROWS, registry=registry)
        self._work = Counter(
            "modelyard_batch_work", "Work answered from the queue, in sizes of rows.", registry=registry
        )
        self._queue = Histogram(
            "modelyard_queue_seconds", "Time in the queue, of those answered.", buckets=LATENCY, registry=registry
        )
        dropped = Counter("modelyard_dropped", "Requests not answered, by reason.", ["reason"], registry=registry)
        self._dropped = {reason: dropped.labels(reason) for reason in DROPPED}

    def ran(self, rows: int, work: float) -> None:
        """A batch was answered."""
        self._rows.observe(rows)
        self._work.inc(work)

    def waited(self, seconds: float) -> None:
        """A request waited so long for its batches."""
        self._queue.observe(seconds)

    def dropped(self, reason: str) -> None:
        """A request was not answered; `reason` is one of DROPPED."""
        self._dropped[reason].inc()


class Meters:
    """Counters of one service."""

    def __init__(self, *, name: str, version: str) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
        from prometheus_client.process_collector import ProcessCollector

        disable_created_metrics()  # a second series for each counter, which nobody plots
        self.registry = CollectorRegistry()
        self._more: dict[Any, Any] = {}
        given: dict[str, Any] = {"registry": self.registry}
        self._requests = Counter(
            "modelyard_requests", "Requests answered, by path and status.", ["path", "status"], **given
        )
        self._latency = Histogram(
            "modelyard_request_seconds", "Time to answer a request, in the service.", ["path"], buckets=LATENCY, **given
        )
        self._parts = Histogram(
            "modelyard_stage_seconds",
            "Time a prediction spends in each part of the service.",
            ["stage"],
            buckets=LATENCY,
            **given,
        )
        self._rows = Counter("modelyard_rows", "Rows answered.", **given)
        self._units = Counter("modelyard_units", "What was sold: tokens, images, requests.", ["unit"], **given)
        self._in_flight = Gauge("modelyard_in_flight", "Requests being answered.", multiprocess_mode="livesum", **given)
        model = Gauge(
            "modelyard_model_info",
            "The model that answers; always 1.",
            ["name", "version"],
            multiprocess_mode="max",
            **given,
        )
        model.labels(name, version).set(1)
        if FOLDER not in os.environ:
            ProcessCollector(registry=self.registry)  # resident memory, processor time, open files
        # A child is looked up once: labels() costs more than an increment.
        self.batches = BatchMeters(self.registry)
        self._stage = {stage: self._parts.labels(stage) for stage in STAGES}
        self._by_path: dict[str, Any] = {}
        self._by_status: dict[tuple[str, int], Any] = {}
        self.in_flight = 0

    def once(self, kind: Callable[[Any], M]) -> M:
        """More meters of this service, made of the registry the first time they are asked for."""
        if kind not in self._more:
            self._more[kind] = kind(self.registry)
        found: M = self._more[kind]
        return found

    def begin(self) -> None:
        """A request has come."""
        self.in_flight += 1
        self._in_flight.inc()

    def end(self, path: str, status: int, seconds: float) -> None:
        """It has been answered."""
        self.in_flight -= 1
        self._in_flight.dec()
        key = (path, status)
        if key not in self._by_status:
            self._by_status[key] = self._requests.labels(path, str(status))
            self._by_path[path] = self._latency.labels(path)
        self._by_status[key].inc()
        self._by_path[path].observe(seconds)

    def rows(self, count: int, usage: Mapping[str, int]) -> None:
        """So many rows were answered, and so many units of sale with them."""
        self._rows.inc(count)
        for unit, used in usage.items():
            self._units.labels(unit).inc(used)

    def stage(self, name: str, seconds: float) -> None:
        """A part of a request took so long; `name` is one of STAGES."""
        self._stage[name].observe(seconds)

    def text(self) -> bytes:
        """The exposition, of all workers together."""
        from prometheus_client import generate_latest

        return bytes(generate_latest(self._together()))

    def samples(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """The same as (name, labels, value)."""
        for metric in self._together().collect():
            for sample in metric.samples:
                yield sample.name, sample.labels, sample.value

    def _together(self) -> Any:
        from prometheus_client import CollectorRegistry
        from prometheus_client.multiprocess import MultiProcessCollector

        if FOLDER not in os.environ:
            return self.registry
        together = CollectorRegistry()
        MultiProcessCollector(together)
        return together


def forget(pid: int) -> None:
    """A worker has died: what it had in flight is gone, what it counted stays."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)
