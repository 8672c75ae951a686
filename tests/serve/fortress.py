"""A real service with everything to attack: a table, a text, an image and a text-generation model, accounts, jobs, an administrator.

`Fortress` starts it, sends bytes as they are, and says afterwards whether it stands: alive, no larger, nothing billed, a ledger in order.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
from serve_helpers import BLUEPRINT, ROW, Running, make_encoder, make_model, until

from modelyard import parts
from modelyard.accounts.database import open_database
from modelyard.accounts.state import State
from modelyard.accounts.verifying import verify
from modelyard.models._contract import Clock, Examples
from modelyard.packages import MANIFEST, Manifest, write_hashes
from modelyard.predictor import Artifact, Member
from modelyard.rows import Column, from_records
from modelyard.store import write_json
from tests.toys import stripes

MOST_BODY = 1_000_000
"""Bytes of one request to it."""
MAIL = {"body": "you are the winner of a prize"}
Launch = Callable[..., Running]


def _fitted(folder: Path, name: str, task_name: str, model_name: str, records: Sequence[dict[str, Any]], columns: tuple[Column, ...], answers: Sequence[str]) -> Path:  # fmt: skip
    """A real small model as `train` leaves it."""
    from safetensors.numpy import save_file

    task, model = parts.build("tasks", task_name), parts.build("models", model_name)
    labels = np.array(answers, dtype=object)
    state = task.fit(labels, "answer", columns, None)
    rows = from_records(list(records), columns)
    target = task.encode_target(labels, state)
    if task_name == "text-generation":
        rows = rows.replace(answer=labels)  # what is to be written is read with the rest
    features = model.features(rows, target, state, seed=0)
    (folder / "one").mkdir(parents=True)
    write_json(folder / "one" / "features.json", features)
    examples = Examples(model.encode(rows, features), target)
    weights = model.fit(examples, examples, state, features, seed=0, threads=1, clock=Clock())
    save_file({each: np.ascontiguousarray(array) for each, array in weights.items()}, folder / "one" / "weights.safetensors")  # fmt: skip
    Artifact(name=name, state=state, members=(Member(candidate=model_name, model=model_name, folder="one"),)).save(folder)  # fmt: skip
    return folder


def _package(folder: Path, name: str, task: str, example: dict[str, Any]) -> Path:
    manifest = Manifest(
        name=name, version="1.0.0", task=task, modelyard="0.1.0", max_rows=64, max_body=MOST_BODY, p95=0.5,
        examples=(example,) if example else (),
    )  # fmt: skip
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    write_hashes(folder)
    return folder


def packages(folder: Path) -> list[Path]:
    """`standing` (a table), `mails` (texts), `stripes` (images) and `talk` (which writes texts)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "blueprint.resolved.yaml").write_text(BLUEPRINT, encoding="utf-8")
    mails = [{"body": f"{'winner of a prize' if n % 2 else 'minutes of the meeting'} {n}"} for n in range(60)]
    pictures = stripes(40)
    said = [{"question": f"where is the {'cat' if n % 2 else 'dog'} {n}?"} for n in range(40)]
    return [
        _package(make_model(folder / "standing"), "standing", "tabular-classification", ROW),
        _package(
            _fitted(folder / "mails", "mails", "text-classification", "linear", mails, (Column(name="body", type="text"),), ["spam" if n % 2 else "ham" for n in range(60)]),
            "mails", "text-classification", MAIL,
        ),
        _package(
            _fitted(folder / "stripes", "stripes", "image-classification", "linear", [{"picture": data} for _, data in pictures], (Column(name="picture", type="image"),), [label for label, _ in pictures]),
            "stripes", "image-classification", {},
        ),
        _package(
            _fitted(folder / "talk", "talk", "text-generation", "ngram", said, (Column(name="question", type="text"),), [f"the {'cat' if n % 2 else 'dog'} sat on the mat {n}" for n in range(40)]),
            "talk", "text-generation", said[0],
        ),
    ]  # fmt: skip


def letters(folder: Path) -> Path:
    """`letters`, a text encoder: only for those who need one, because its server takes ten seconds to start."""
    return _package(
        make_encoder(folder / "letters", name="letters"), "letters", "text-classification", {"note": "good"}
    )


class Fortress:
    """The running service, its administrator, and a customer who may do everything."""

    def __init__(
        self, launch: Launch, folder: Path, *arguments: str, more: Sequence[Path] = (), **environment: str
    ) -> None:  # fmt: skip
        self.state = folder / "state"
        self._clients: list[httpx.Client] = []
        self.running = launch(
            "-m", "modelyard.serve.server", *map(str, (*packages(folder / "packages"), *more)), "--state", str(self.state), "--port", "0",
            *arguments, **environment,
        )  # fmt: skip
        self.url = self.running.url
        where = urlsplit(self.url)
        self.host, self.port = str(where.hostname), int(where.port or 0)
        self.token = (self.state / "admin.token").read_text().strip()
        self.admin = self.client(self.token)
        until(lambda: self.admin.get("/readyz").status_code == 200)
        self.customer, self.key = self.hire("endless")
        self.asking = self.client(self.key)
        assert self.ask().status_code == 200
        self.grown = self.memory()

    def client(self, token: str) -> httpx.Client:
        """A client with a key or token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._clients.append(httpx.Client(base_url=self.url, timeout=30, headers=headers))
        return self._clients[-1]

    def end(self) -> int:
        """The exit status, after SIGTERM; connections are closed."""
        for client in self._clients:
            client.close()
        return self.running.stop()

    def hire(self, plan: str = "endless", **key: Any) -> tuple[str, str]:
        """A new customer's id and key."""
        made = self.admin.post("/admin/customers", json={"name": "Somebody", "plan": plan}).json()
        return made["id"], self.admin.post(f"/admin/customers/{made['id']}/keys", json=key).json()["key"]

    def ask(self, row: Any = None, **given: Any) -> httpx.Response:
        """A good request, or one that is changed."""
        return self.asking.post("/v1/predict", json={"row": row or ROW}, **given)

    def used(self) -> dict[str, int]:
        """Everything that was ever billed, by unit: what a refused attack must not move."""
        with open_database(State(self.state).database) as database, database.read() as held:
            rows = held.all("SELECT unit, sum(used) FROM balances GROUP BY unit")
            return {str(unit): int(count) for unit, count in rows if count}

    def faults(self) -> list[Any]:
        """What `yard ledger verify` finds."""
        with open_database(State(self.state).database) as database:
            return list(verify(database).faults)

    def memory(self) -> int:
        """Bytes of the process that are its own (Linux)."""
        status = Path(f"/proc/{self.running.process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("RssAnon"))
        return int(line.split()[1]) * 1024

    # -- bytes as they are -----------------------------------------------------------------------------------------------

    def connect(self, *, seconds: float = 10.0) -> socket.socket:
        """A connection of one's own."""
        return socket.create_connection((self.host, self.port), timeout=seconds)

    def send(self, data: bytes, *, seconds: float = 10.0, finish: bool = False) -> tuple[int, bytes]:
        """Status and everything that came back for bytes as they are; 0 where the connection was closed without an answer."""
        found = b""
        with self.connect(seconds=seconds) as sock:
            try:
                sock.sendall(data)
                if finish:
                    sock.shutdown(socket.SHUT_WR)
                ends = time.monotonic() + seconds
                while time.monotonic() < ends and (piece := sock.recv(65536)):
                    found += piece
            except TimeoutError:
                pass
            except (ConnectionError, BrokenPipeError):
                pass
        return status_of(found), found

    def request(self, *lines: str | bytes, body: bytes = b"", key: bool = True, **how: Any) -> tuple[int, bytes]:
        """Status and answer of a request of such lines; `Host`, the key and `Connection: close` are added."""
        head = [line if isinstance(line, bytes) else line.encode("latin-1") for line in lines]
        head += [b"Host: 127.0.0.1", b"Connection: close"]
        head += [b"Authorization: Bearer " + self.key.encode()] if key else []
        return self.send(b"\r\n".join(head) + b"\r\n\r\n" + body, **how)


def status_of(answer: bytes) -> int:
    """The status of an answer's first line; 0 where there is none."""
    first = answer.partition(b"\r\n")[0].split(b" ")
    return int(first[1]) if len(first) > 1 and first[0].startswith(b"HTTP/") else 0
