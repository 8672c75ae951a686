"""A small real model with every column type, and how to start a server over it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelyard import parts
from modelyard.models._contract import Clock, Examples
from modelyard.predictor import Artifact, Member
from modelyard.rows import Column, from_records
from modelyard.store import write_json

if TYPE_CHECKING:
    import httpx

    from modelyard.watching.reference import Reference

COLUMNS = (
    Column(name="age", type="number", low=18, high=90, whole=True, example=42.0),
    Column(name="job", type="category", values=("clerk", "smith", "cook"), example="clerk"),
    Column(name="member", type="boolean", example=True),
    Column(name="joined", type="date", low=1.5e9, high=1.7e9, example="2021-05-01"),
    Column(name="note", type="text", example="paid on time"),
)
ROW = {"age": 42, "job": "clerk", "member": True, "joined": "2021-05-01", "note": "paid on time"}


def make_records(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of every type, a tenth of the ages missing."""
    rng = np.random.default_rng(seed)
    notes = ("paid on time", "late again", "asked for more", "very late")
    return [
        {
            "age": None if rng.random() < 0.1 else int(rng.integers(18, 90)),
            "job": str(rng.choice(["clerk", "smith", "cook"])),
            "member": bool(rng.random() < 0.5),
            "joined": f"20{rng.integers(10, 25)}-0{rng.integers(1, 10)}-11",
            "note": str(rng.choice(notes)),
        }
        for _ in range(count)
    ]


def make_model(folder: Path, *, model: str = "linear") -> Path:
    """Fit a real linear model on 200 rows and write its artifact."""
    records = make_records(200)
    rows = from_records(records, COLUMNS)
    target = np.array(["bad" if "late" in record["note"] else "good" for record in records], dtype=object)
    task = parts.build("tasks", "tabular-classification")
    state = task.fit(target, "standing", COLUMNS, None)
    part = parts.build("models", model)
    numbers = task.encode_target(target, state)
    features = part.features(rows, numbers, state, seed=0)
    (folder / "one").mkdir(parents=True)
    write_json(folder / "one" / "features.json", features)  # before encoding, which may keep arrays in it
    examples = Examples(part.encode(rows, features), numbers)
    weights = part.fit(examples, examples, state, features, seed=0, threads=1, clock=Clock())
    from safetensors.numpy import save_file

    save_file(
        {name: np.ascontiguousarray(array) for name, array in weights.items()}, folder / "one" / "weights.safetensors"
    )
    Artifact(name="standing", state=state, members=(Member(candidate=model, model=model, folder="one"),)).save(folder)
    return folder


def make_painter(folder: Path) -> Path:
    """Fit a Gaussian of each class to 40 images and write its artifact."""
    from safetensors.numpy import save_file

    from modelyard.features.images import png

    columns = (Column(name="kind", type="category", values=("a", "b"), example="a"), Column(name="seed", type="number"))
    rng = np.random.default_rng(0)
    pictures = np.array([png(rng.integers(0, 256, (16, 16, 1)).astype(np.uint8)) for _ in range(40)], dtype=object)
    rows = from_records([{"kind": "ab"[number % 2], "seed": number} for number in range(40)], columns)
    task, part = parts.build("tasks", "image-generation"), parts.build("models", "gaussian")
    state = task.fit(pictures, "picture", columns, None)
    pixels = task.encode_target(pictures, state)
    features = part.features(rows, pixels, state, seed=0)
    examples = Examples(part.encode(rows, features), pixels)
    weights = part.fit(examples, examples, state, features, seed=0, threads=1, clock=Clock())
    (folder / "one").mkdir(parents=True)
    write_json(folder / "one" / "features.json", features)
    save_file(weights, folder / "one" / "weights.safetensors")
    Artifact(name="painter", state=state, members=(Member(candidate="gaussian", model="gaussian", folder="one"),)).save(
        folder
    )
    return folder


def make_encoder(folder: Path, *, name: str = "mails") -> Path:
    """Write the artifact of a tiny text encoder with random weights, answered by torch."""
    from safetensors.torch import save_file

    from tests.toys import write_encoder

    columns = (Column(name="note", type="text", example="all good"),)
    rows = from_records([{"note": f"{'good' if number % 2 else 'bad'} {number}"} for number in range(40)], columns)
    target = np.array(["no", "yes"] * 20, dtype=object)
    task, part = (
        parts.build("tasks", "text-classification"),
        parts.build("models", "encoder", {"pretrained": str(write_encoder(folder.parent)), "max_length": 24}),
    )
    state = task.fit(target, "answer", columns, None)
    features = part.features(rows, task.encode_target(target, state), state, seed=0)
    module = part.module(features, state, seed=0)
    module.head.weight.data.normal_()
    (folder / "one").mkdir(parents=True)
    write_json(folder / "one" / "features.json", features)
    save_file(module.state_dict(), folder / "one" / "weights.safetensors")
    member = Member(
        candidate="encoder", model="encoder", options=part.model_dump(mode="json"), folder="one", session="torch"
    )
    Artifact(name=name, state=state, members=(member,)).save(folder)
    return folder


def until(condition: Callable[[], Any], *, seconds: float = 30.0) -> Any:
    """Wait for a condition; what it answers. AssertionError where it does not come."""
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends, "it never came"
        time.sleep(0.02)
    return found


@cache
def client() -> httpx.Client:
    """One for all: each new one reads certificates first, which two dozen at once do for seconds."""
    import httpx

    return httpx.Client(timeout=20)


@dataclass
class Running:
    """A server process."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """Its log lines so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def events(self) -> list[str]:
        """What it logged, requests and our own `ready` aside."""
        return [line["event"] for line in self.lines() if line["event"] not in ("request", "ready")]

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def start(command: list[str], log: Path, *, environment: dict[str, str] | None = None) -> Running:
    """Start a server command in a process group of its own, as a terminal does, and wait for its address."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stderr=file, env={**os.environ, **(environment or {})}, start_new_session=True
        )
    running = Running("", process, log)
    for _ in range(600):
        found = [line["url"] for line in running.lines() if line["event"] == "listening"]
        if found:
            running.url = found[0]
            return running
        if process.poll() is not None:
            break
        time.sleep(0.05)
    process.kill()
    raise AssertionError(log.read_text())


BLUEPRINT = """
name: standing
data: {source: rows.csv, target: standing}
business:
  plans:
  - {name: free, price: 0, included: 20, share: 0.5, usage: 10}
  - {name: pro, price: 29, included: 1000, overage: 0.001, batch_discount: 0.5, share: 0.3, usage: 500}
  - {name: slow, price: 5, rate_limit: 2, burst: 3, share: 0.1, usage: 100}
  - {name: endless, price: 99, share: 0.1, usage: 100}
"""


def make_package(
    model: Path, folder: Path, *, version: str = "1.0.0", name: str = "standing", reference: Reference | None = None,
    example: Mapping[str, Any] = ROW,
) -> Path:  # fmt: skip
    """A package of a bare model, as the package stage would leave it, without licence and wheels; its build's blueprint beside it."""
    import shutil

    from modelyard.packages import MANIFEST, Manifest, write_hashes

    shutil.copytree(model, folder)
    manifest = Manifest(
        name=name, version=version, task="tabular-classification", modelyard="0.1.0", max_rows=256, max_body=2**20, p95=0.1,
        examples=(example,),
    )  # fmt: skip
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    if reference is not None:
        reference.save(folder)
    write_hashes(folder)
    (folder.parent / "blueprint.resolved.yaml").write_text(BLUEPRINT, encoding="utf-8")
    return folder


def make_drift_reference(model: Path, *, window: int = 100) -> Reference:
    """What rows such as `make_records` makes look like, and the model's answers to them."""
    from modelyard.predictor import Predictor
    from modelyard.watching.reference import make_reference

    training, rows = (from_records(make_records(600, seed=seed), COLUMNS) for seed in (100, 101))
    answers = Predictor.open(model).answer(rows)
    return make_reference(
        rows, answers, training=training, columns=COLUMNS, kind="classification", seed=0, window=window, resamples=2000
    )


def make_key(state: Path, *, plan: str = "endless") -> str:
    """A key of a new customer, made in the state folder of a running service."""
    from modelyard.accounts import customers, keys, plans
    from modelyard.accounts.database import open_database
    from modelyard.accounts.state import State

    with open_database(State(state).database) as database, database.write() as held:
        customer = customers.add_customer(held, "Somebody")
        plans.subscribe(held, customer.id, plans.find_plan(held, plan))
        return keys.issue(held, customer.id)[1]


@contextlib.contextmanager
def heard() -> Iterator[list[logging.LogRecord]]:
    """What the service's log says in this process, whether or not a test before has sent it elsewhere."""
    from modelyard.serve.lines import LOGGER

    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    level = LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield records
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
