"""The serve stage: starts the packaged service, checks what it refuses, and measures how fast it is and how much it bears.

It reads the package and the test rows' fields, never their labels. It knows nothing about models: it sees the service from outside.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from modelyard.context import Context
from modelyard.errors import PackageError
from modelyard.packages import VERDICT
from modelyard.records._base import Derived, Gate
from modelyard.records.served import Latency, Level, Refusal, Served, Streamed
from modelyard.serve import client, load, streaming
from modelyard.serve.refusals import try_bad_requests
from modelyard.serve.sweep import highest, knee, lasting, level, open_ended, sweep
from modelyard.units import Quantity, canonical

LONGEST = {"tiny": 3.0, "small": 45.0, "base": 90.0, "large": 180.0}
"""Seconds of the whole sweep, by size, where a level lasts as long as usual; longer levels get more in proportion."""
USUAL_LEVEL = 3.0
"""Seconds of a level unless the blueprint says otherwise."""
TINY_LEVEL = 0.5
"""Seconds of a level where the size is tiny and the blueprint does not say: a check that everything runs, not a measurement."""
ANSWERS = 100
"""... and at least as long as so many answers take one after the other."""
SETTLE = 10.0
"""Seconds that a level may wait until the service has worked off the one before it."""
SAMPLE = 200
"""Distinct rows that are sent: enough to vary lengths and categories."""
ONE_BY_ONE, ONE_BY_ONE_TIME = 300, 12.0
"""Requests one after the other, and the seconds they may take (slower services get fewer)."""


def run(context: Context) -> Served:
    """Start the service, test and load it, end it."""
    package, serve = context.store.path("package"), context.blueprint.serve
    if not package.exists():
        raise PackageError(f"no package in {context.store.folder}. Run the package stage first.")
    level_time, derived = _level_time(context)
    target, longest = serve.p95.value, _longest(context.blueprint.size, level_time)
    demanded = serve.rate.value if serve.rate is not None and serve.rate.value > 0 else None
    clock = time.monotonic
    with client.running(package) as served, context.progress.bar("load test", 1.0) as advance:
        description = served.description()
        bodies, rows_seen = _bodies(context, description)
        asked = clock()
        first = served.ask("POST", "/v1/predict", bodies[0].encode())
        if first[0] != 200:
            raise PackageError(f"the packaged service refuses a test row: {first[1][:500].decode(errors='replace')}")
        cold_start = served.cold_start + clock() - asked
        refusals = try_bad_requests(served, description)
        plan = {
            "host": "127.0.0.1",
            "port": served.port,
            "path": "/v1/predict",
            "bodies": bodies,
            "headers": served.headers,
        }
        started = clock()
        latency = _one_by_one(served, plan)
        stages = served.stages()  # now: after broken levels they would show a queue that no request alone has
        units = {unit: Quantity(round(each, 6), _noun(unit)) for unit, each in served.units().items()}
        stream = _stream(context, served, description, bodies)
        ended_one_by_one = clock()
        advance(0.1)
        stop = clock() + max(longest, ANSWERS * latency.p50.value)

        def measure(rate: float) -> Level:
            served.settle(SETTLE)
            seed = context.blueprint.train.seed
            seconds = level_time if context.blueprint.size == "tiny" else lasting(rate, level_time)
            seconds = min(seconds, load.MOST_REQUESTS / rate / 2)
            grace = max(1.0, 2 * target)
            result = load.drive({**plan, "rate": rate, "seconds": seconds, "seed": seed, "grace": grace})
            advance(0.9 * min((level_time + 0.5) / longest, 0.2))
            return level(result, rate=rate, seconds=seconds, target=target, alone=latency.p95.value)

        def enough() -> bool:
            return clock() + level_time > stop

        levels = sweep(measure, rates=serve.levels, target=target, enough=enough, demanded=demanded)
        memory = served.memory()
    rate, bend = highest(levels), knee(levels)
    return Served(
        package_bytes=Quantity(float(_bytes(package)), "B"),
        rows_seen=rows_seen,
        target_p95=serve.p95,
        level_time=Quantity(level_time, "s"),
        refusals=refusals,
        gates=_gates(context, levels, latency, refusals),
        derived=derived,
        measured_rate=Quantity(rate, "request/s"),
        measured_at_least=open_ended(levels),
        measured_knee=None if bend is None else Quantity(bend, "request/s"),
        measured_latency=latency,
        measured_units=units,
        measured_stream=stream,
        measured_levels=tuple(levels),
        measured_cold_start=Quantity(round(cold_start, 3), "s"),
        measured_memory=Quantity(float(memory), "B"),
        measured_stages=stages,
        timings={
            "ready": round(served.cold_start, 3),
            "one_by_one": round(ended_one_by_one - started, 3),
            "sweep": round(clock() - ended_one_by_one, 3),
        },
    )


def _level_time(context: Context) -> tuple[float, tuple[Derived, ...]]:
    serve = context.blueprint.serve
    if context.blueprint.size != "tiny" or (
        "level_time" in serve.model_fields_set and serve.level_time.value != TINY_LEVEL
    ):
        return serve.level_time.value, ()
    # also told where the resolved blueprint says it, so that it runs to the same record
    reason = "size is tiny: the load test only checks that it runs"
    return TINY_LEVEL, (Derived(path="serve.level_time", value=f"{TINY_LEVEL} s", reason=reason),)


def _longest(size: str, level_time: float) -> float:
    """Seconds of the whole sweep: as many levels fit where they last longer."""
    return LONGEST[size] * max(1.0, level_time / (TINY_LEVEL if size == "tiny" else USUAL_LEVEL))


def _bytes(package: Path) -> int:
    """Of what is shipped; the verdict of an earlier run is not."""
    return sum(file.stat().st_size for file in package.rglob("*") if file.is_file() and file.name != VERDICT)


def _bodies(context: Context, description: dict[str, Any]) -> tuple[list[str], int]:
    """Requests of one row each, from the test rows' input columns; a service without test rows gets its own example."""
    schema = description["components"]["schemas"]["Row"]
    types = {name: field["x-column-type"] for name, field in schema["properties"].items()}
    records = _sample(context, types) or [dict(schema["examples"][0])]
    return [json.dumps({"row": record}, ensure_ascii=False) for record in records], len(records)


def _sample(context: Context, types: dict[str, str]) -> list[dict[str, Any]]:
    import polars as pl

    from modelyard.rows import as_sent, from_frame

    place = context.store.path("data", "test.parquet")
    if not place.exists():
        return []
    frame = pl.read_parquet(place, columns=list(types))  # only what a client would send: labels are not read
    frame = frame.sample(min(SAMPLE, frame.height), seed=context.blueprint.train.seed, shuffle=True)
    rows = from_frame(frame, types)
    records = [
        as_sent({name: value for name, value in rows.record(row).items() if value is not None})
        for row in range(len(rows))
    ]
    return [record for record in records if any(value != "" for value in record.values())]


def _one_by_one(served: client.RunningService, plan: dict[str, Any]) -> Latency:
    """Latency of one row at a time over one connection."""
    began = time.monotonic()
    for body in plan["bodies"][:3]:
        served.ask("POST", "/v1/predict", body.encode())
    each = (time.monotonic() - began) / min(3, len(plan["bodies"]))
    count = int(min(ONE_BY_ONE, max(20, ONE_BY_ONE_TIME / each)))
    result = load.drive({**plan, "count": count})
    if result["errors"]:
        raise PackageError(f"the packaged service refuses test rows: {result['errors']}")
    return Latency(requests=count, **{name: Quantity(round(result[name], 7), "s") for name in ("p50", "p95", "p99")})


def _noun(unit: str) -> str:
    """A unit of sale for each request, as the unit of a quantity, whose words are one."""
    return canonical(f"{unit.replace(' ', '_')}/request")[0]


def _stream(
    context: Context, served: client.RunningService, description: dict[str, Any], bodies: list[str]
) -> Streamed | None:
    """Streamed answers to the rows of the load test, where the service has OpenAI's endpoints."""
    if streaming.TEXT not in description["paths"]:
        return None
    generate = context.blueprint.generate
    options = {
        "temperature": generate.temperature,
        "top_p": generate.top_p,
        "max_tokens": generate.max_tokens,
        "seed": generate.seed,
    }
    texts = ["\n".join(str(value) for value in json.loads(body)["row"].values()) for body in bodies]
    return streaming.measure(served.port, context.blueprint.name, texts, options, headers=served.headers)


def _gates(context: Context, levels: list[Level], latency: Latency, refusals: tuple[Refusal, ...]) -> tuple[Gate, ...]:
    serve, rate = context.blueprint.serve, highest(levels)
    gates = [
        Gate(
            name="serve.p95",
            demanded=f"some rate sustained with p95 <= {_ms(serve.p95)}",
            measured=f"{rate:g} request/s sustained; p95 of one row at a time {_ms(latency.p95)}",
            passed=rate > 0,
            cure="Allow more time (serve.p95), choose a smaller size, or a faster compressed variant.",
        )
    ]
    if serve.rate is not None:
        gates.append(
            Gate(
                name="serve.rate",
                demanded=f"at least {serve.rate.value:g} request/s with p95 <= {_ms(serve.p95)}",
                measured=f"{rate:g} request/s",
                passed=rate >= serve.rate.value,
                cure="Choose a smaller size or a faster compressed variant, or serve with more machines.",
            )
        )
    wrong = [f"{item.name}: {item.got} instead of {item.wanted}" for item in refusals if not item.passed]
    gates.append(
        Gate(
            name="serve.refusals",
            demanded="every bad request refused, naming the field",
            measured="; ".join(wrong) or f"{len(refusals)} of {len(refusals)} refused",
            passed=not wrong,
            cure="This is a fault of modelyard: please report it.",
        )
    )
    return tuple(gates)


def _ms(time: Quantity) -> str:
    return f"{time.to('ms'):.3g} ms" if time.value < 1 else f"{time.value:.3g} s"
