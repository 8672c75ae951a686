"""Small real objects for the business tests: a served record and a blueprint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelyard import business
from modelyard.blueprint import Blueprint
from modelyard.context import Context
from modelyard.records._base import Run
from modelyard.records.served import Latency, Served, Streamed
from modelyard.records.valued import Valued
from modelyard.store import Store
from modelyard.units import quantity

MACHINE = {"cores": "2", "instructions": "avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_int8"}


def served(
    rate: float, memory: str = "600 MiB", units: dict[str, str] | None = None, reading: float | None = None
) -> Served:
    """What `serve` would have written on a 2-core machine with AMX, after one hour."""
    latency = Latency(requests=100, p50=quantity("5 ms"), p95=quantity("8 ms"), p99=quantity("9 ms"))
    stream = None
    if reading is not None:
        stream = Streamed(
            path="/v1/completions", first_token=latency, next_token=quantity("4 ms"), reading=quantity(reading),
            read=quantity("20 input_token/request"), written=quantity("50 output_token/request"),
        )  # fmt: skip
    return Served(
        measured_units={unit: quantity(each) for unit, each in (units or {"request": "1 request/request"}).items()},
        measured_stream=stream,
        package_bytes=quantity("1 MB"),
        rows_seen=10,
        target_p95=quantity("100 ms"),
        level_time=quantity("3 s"),
        measured_rate=quantity(rate, "request/s"),
        measured_latency=latency,
        measured_cold_start=quantity("1 s"),
        measured_memory=quantity(memory),
        run=Run(started="", seconds=quantity("1 h"), peak_memory=quantity("1 GB"), machine=MACHINE, versions={}),
    )


def blueprint(section: str = "{}") -> Blueprint:
    """A blueprint with the given business section."""
    return Blueprint.parse(f"name: demo\ndata: {{source: rows.csv, target: label}}\nbusiness: {section}")


@pytest.fixture
def venture(tmp_path: Path) -> Callable[..., Valued]:
    """Run the stage: `venture("{churn: 0.03}", rate=100)`."""

    def run(section: str = "{}", rate: float = 100.0, memory: str = "600 MiB", **sold: Any) -> Valued:
        record = served(rate, memory, **sold)
        return business.run(Context(blueprint(section), Store(tmp_path), records={"serve": record}))

    return run


@pytest.fixture
def parse() -> Callable[[str], Blueprint]:
    """A blueprint from the text of its business section."""
    return blueprint


@pytest.fixture
def load() -> Callable[[float], Served]:
    """What `serve` would have written at a rate."""
    return served
