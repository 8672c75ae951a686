"""What the service is doing now, for the console: counters of all processes, and the latest requests of this one.

It reads the meters that Prometheus reads too, so that the console and a dashboard never tell different things. Of a request it keeps
what the log says of it: nothing that was sent or answered.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from modelyard.serve.meters import Meters

LATEST = 100
"""Requests that are remembered."""
PREDICTING = (
    "/v1/predict", "/v1/models/{model}/predict", "/v1/chat/completions", "/v1/completions", "/v1/embeddings",
)  # fmt: skip
"""Paths whose times are shown: those that ask a model."""


class Live:
    """The latest requests of this process."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._recent: deque[dict[str, Any]] = deque(maxlen=LATEST)

    def add(self, *, request_id: str, path: str, status: int, ms: float, rows: int | None, key: str) -> None:
        """A request has been answered; `key` is what may be shown of the key."""
        self._recent.appendleft(
            {
                "at": time.time(),
                "id": request_id,
                "path": path,
                "status": status,
                "ms": ms,
                "rows": rows or "",
                "key": key,
            }
        )

    def taken(self) -> dict[str, Any]:
        """Now: `requests` by path and status, `units` sold, `latency` of predictions as cumulative counts up to each edge (seconds)."""
        requests: dict[str, float] = {}
        units: dict[str, float] = {}
        buckets: dict[float, float] = {}
        flying = 0.0
        for name, labels, value in self._meters.samples():
            if name == "modelyard_requests_total" and labels["path"] in PREDICTING:
                requests[f"{labels['path']} {labels['status']}"] = value
            elif name == "modelyard_units_total":
                units[labels["unit"]] = units.get(labels["unit"], 0.0) + value
            elif name == "modelyard_request_seconds_bucket" and labels["path"] in PREDICTING:
                edge = float(labels["le"])
                buckets[edge] = buckets.get(edge, 0.0) + value
            elif name == "modelyard_in_flight":
                flying += value
        edges = sorted(buckets)
        return {
            "now": time.time(),
            "requests": requests,
            "units": units,
            "in_flight": max(int(flying) - 1, 0),  # this very request
            "latency": {"edges": edges[:-1], "counts": [buckets[edge] for edge in edges]},
            "recent": list(self._recent),
        }
