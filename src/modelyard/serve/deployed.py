"""One version of one model, opened and ready to answer: its engine, and OpenAI's endpoints where it writes texts.

It knows nothing about other versions (`fleet`) or HTTP routes (`app`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelyard.rows import from_records
from modelyard.serve.engine import Answers, Engine
from modelyard.serve.gate import Gate
from modelyard.serve.limits import Limits
from modelyard.serve.meters import Meters
from modelyard.serve.openapi import describe, example_row
from modelyard.serve.payloads import Payloads
from modelyard.watching.reference import Reference


@dataclass(frozen=True)
class Service:
    """What is served."""

    name: str
    version: str
    predictor: Answers
    description: str = ""
    limits: Limits = field(default_factory=Limits)
    examples: tuple[Mapping[str, Any], ...] = ()
    """Rows for the description and the page; by default one made of the columns' examples."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """What it reached on the test rows, by metric."""
    hash: str = ""
    """SHA-256 of the package's hashes; empty for what was never packaged."""
    source: Any = None
    """What the predictor came from, kept alive with it (an archive's unpacked folder goes when nobody holds it)."""
    reference: Reference | None = None
    """What rows and answers looked like when it was packaged."""


class Deployed:
    """A service that answers. `ready` once it is warm."""

    def __init__(
        self, service: Service, meters: Meters, gate: Gate | None = None, payloads: Payloads | None = None
    ) -> None:
        self._gate, self._payloads = gate or Gate(), payloads
        self.service, self.limits = service, service.limits
        self.name, self.version = service.name, service.version
        self.engine = Engine(service.predictor, service.limits, meters=meters.batches)
        self.state = service.predictor.state
        self.inputs = self.state.inputs
        self.ready = False
        self.since = int(time.time())
        """When it was opened, in seconds since 1970."""
        self.hash = service.hash
        self.completions = self._completions(meters)
        self.embeddings = self._embeddings(meters)
        self.description = self._described()
        """Of its API, as an OpenAPI document."""
        self._users = 0
        self._retired = False
        self._lock = threading.Lock()

    def warm(self) -> None:
        """Answer an example until the code is loaded, then say ready; blocks."""
        examples = self.service.examples[:1] or (example_row(self.inputs),)
        if self.completions is not None:
            self.completions.warm()
        self.engine.warm(from_records(examples, self.inputs))
        if self.embeddings is not None:
            self.embeddings.warm()
        self.ready = True

    def __enter__(self) -> Deployed:
        """A request uses it: it is not closed before that ends."""
        with self._lock:
            self._users += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            last = self._retired and self._users == 0
        if last:
            self.engine.close()

    def retire(self) -> None:
        """Another version has taken its place: close when the last request has its answer."""
        with self._lock:
            self._retired = True
            idle = self._users == 0
        if idle:
            self.engine.close()

    @property
    def waiting(self) -> int:
        """Requests that wait for the model."""
        return self.engine.waiting + (0 if self.embeddings is None else self.embeddings.engine.waiting)

    @property
    def writes(self) -> bool:
        """Whether its answers are texts that it writes."""
        return getattr(self.service.predictor, "generator", None) is not None

    def bound(self, rows: int) -> dict[str, int]:
        """The most of each unit of sale that so many rows can use."""
        generator = getattr(self.service.predictor, "generator", None)
        each = 1 if generator is None else generator.context
        return {"request": rows} | dict.fromkeys(self.service.predictor.task.units, rows * each)

    def _described(self) -> dict[str, Any]:
        service = self.service
        found = describe(
            name=self.name, version=self.version, description=service.description, state=self.state, limits=self.limits,
            examples=service.examples,
        )  # fmt: skip
        if self.completions is not None:
            from modelyard.serve import asking

            told = asking.describe(self.name)
            found["paths"] |= told["paths"]
            found["components"]["schemas"] |= told["schemas"]
        if self.embeddings is not None:
            from modelyard.serve import embeddings

            told = embeddings.describe(self.name, self.embeddings.size)
            found["paths"] |= told["paths"]
            found["components"]["schemas"] |= told["schemas"]
        return found

    def _completions(self, meters: Meters) -> Any:
        """OpenAI's endpoints, where the model writes texts; they share the engine's thread."""
        generator = getattr(self.service.predictor, "generator", None)
        if generator is None:
            return None
        from modelyard.serve.completions import Completions
        from modelyard.serve.writer import TokenMeters

        return Completions(
            generator, name=self.name, limits=self.limits, thread=self.engine.thread, meters=meters.once(TokenMeters),
            ready=lambda: self.ready, gate=self._gate, version=self.version, payloads=self._payloads,
        )  # fmt: skip

    def _embeddings(self, meters: Meters) -> Any:
        """OpenAI's endpoint for vectors, where the model is a text encoder; it shares the engine's thread."""
        embedder = getattr(self.service.predictor, "embedder", None)
        if embedder is None:
            return None
        from modelyard.serve.embeddings import Embeddings

        return Embeddings(
            embedder, name=self.name, version=self.version, limits=self.limits, thread=self.engine.thread, meters=meters,
            ready=lambda: self.ready, gate=self._gate, payloads=self._payloads,
        )  # fmt: skip


async def warmed(deployed: Deployed) -> Deployed:
    """The same, warm; the event loop goes on meanwhile."""
    await asyncio.get_running_loop().run_in_executor(None, deployed.warm)
    return deployed
