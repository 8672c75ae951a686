"""A small client of a served package: typed, retries, and never pays twice. It needs nothing but Python.

    client = Client("https://ask.example.com", key="yard_…")        # or the environment's MODELYARD_KEY
    client.predict_one({"age": 41, "plan": "basic"}).answer          # 'stays'
    client.predict([{"age": 41}, {"age": 52}])                       # in order
    job = client.submit(rows); client.wait(job.id); list(client.results(job.id))

Every call carries an idempotency key of its own, the same at each try, so that a repeated call is answered again and billed once. A
call is tried again when the service cannot be reached, is overloaded or has died, until `patience` is over.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from modelyard.errors import ModelyardError, UserError

KEY = "MODELYARD_KEY"
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses after which a call is tried again."""
FINAL = frozenset({"quota_exceeded", "answer_expired", "too_many_jobs"})
"""Refusals of these statuses that do not pass by waiting a moment."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 20.0
"""Seconds: pauses double, and each is drawn between nothing and that ("full jitter", Brooker 2015, AWS architecture blog)."""


class ServiceRefused(ModelyardError):
    """The service answered that it will not; `status`, `type` and `faults` are those of its answer."""

    def __init__(self, status: int, error: Mapping[str, Any], request_id: str = "") -> None:
        self.status, self.type = status, str(error.get("type") or error.get("code") or "")
        self.faults: Sequence[Mapping[str, Any]] = error.get("faults") or ()
        self.request_id = request_id
        super().__init__(f"{status} {self.type}: {error.get('message', '')}")


class ServiceUnreachable(ModelyardError):
    """No answer came within the time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered for one row."""

    answer: Any
    """A class, a number, a text, or a PNG in base64."""
    probabilities: Mapping[str, float] = field(default_factory=dict)
    request_id: str = ""
    """Of the call: quote it with feedback or a complaint."""
    version: str = ""
    """Of the model that answered."""


@dataclass(frozen=True, slots=True)
class Job:
    """A batch job."""

    id: str
    status: str
    rows: int
    done: int
    failed: int
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Whether it is done or has stopped."""
        return self.status in ("done", "stopped")


class Client:
    """See the module. It may be shared by threads; each has a connection of its own.

    `patience`: seconds that a call may take, all its tries together. `timeout`: seconds that the service may be silent.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        model: str | None = None,
        patience: float = 120.0,
        timeout: float = 60.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"no service at {url!r}. Write an address such as https://ask.example.com")
        self.url = url.rstrip("/")
        self._parts, self._key = parts, (key or os.environ.get(KEY) or "").strip()
        if not self._key.isascii() or not self._key.isprintable():  # http.client would tell it in its error
            raise UserError("the key holds what no key holds (a line break, a letter with an accent). Copy it again.")
        self._model, self._patience, self._timeout = model, patience, timeout
        self._local = threading.local()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def predict(self, rows: Sequence[Mapping[str, Any]], *, idempotency: str | None = None) -> list[Answer]:
        """Answers in order. `idempotency`: a key of your own, to be billed once even when your program starts again."""
        path = "/v1/predict" if self._model is None else f"/v1/models/{quote(self._model, safe='')}/predict"
        told = self._json("POST", path, {"rows": list(rows)}, idempotency=idempotency or str(uuid.uuid4()))
        return [
            Answer(each["answer"], each.get("probabilities", {}), told["request_id"], told["model"]["version"])
            for each in told["answers"]
        ]

    def predict_one(self, row: Mapping[str, Any], *, idempotency: str | None = None) -> Answer:
        """The answer for one row."""
        return self.predict([row], idempotency=idempotency)[0]

    def stream(
        self, messages: Sequence[Mapping[str, str]], *, idempotency: str | None = None, **options: Any
    ) -> Iterator[str]:
        """Pieces of a chat's answer as they are written; `options` as the API has them (`max_tokens`, `temperature`, `seed` …).

        Tried again until the first piece may come; a stream that breaks after is not begun anew (ServiceUnreachable): with an `idempotency` key of
        your own, asking again bills once. Leaving the iteration ends the writing.
        """
        model = self._model or self.models()[0]
        content = {"model": model, "messages": [dict(each) for each in messages], "stream": True, **options}
        headers = {"Idempotency-Key": idempotency or str(uuid.uuid4()), "Content-Type": "application/json"}
        answer = self._ask("POST", "/v1/chat/completions", json.dumps(content).encode(), headers, unread=True)
        whole = False
        try:
            for line in answer:
                told = line.strip().removeprefix(b"data: ")
                if told == b"[DONE]":
                    whole = True
                elif told:
                    yield from _pieces(json.loads(told))
        except (OSError, http.client.HTTPException) as error:
            raise ServiceUnreachable(f"{self.url}: the stream broke ({type(error).__name__})") from error
        finally:
            if not whole:
                self._drop()
        if not whole:
            raise ServiceUnreachable(f"{self.url}: the stream ended before the answer did")

    def feedback(self, request_id: str, labels: Sequence[str | float | None], *, consent: bool = False) -> int:
        """What turned out to be true of a request's rows, None where it is not known; how many labels were kept. `consent`: the rows may
        be learnt from. `request_id` is that of the answers, at most 30 days old."""
        body = {"request_id": request_id, "labels": list(labels), "consent": consent}
        return int(self._json("POST", "/v1/feedback", body)["recorded"])

    def usage(self) -> dict[str, Any]:
        """What was used this month: `{"month", "plan", "limits", "usage": {tariff: {unit: count}}}`."""
        return self._json("GET", "/v1/usage")

    def models(self) -> list[str]:
        """Names of the models that are served."""
        return [model["id"] for model in self._json("GET", "/v1/models")["data"]]

    def submit(self, rows: Iterable[Mapping[str, Any]], *, idempotency: str | None = None) -> Job:
        """Leave rows to be answered when there is time, at the batch tariff."""
        body = "".join(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows).encode()
        path = "/v1/jobs" if self._model is None else f"/v1/jobs?model={quote(self._model, safe='')}"
        return _job(self._json("POST", path, body, idempotency=idempotency or str(uuid.uuid4())))

    def job(self, identity: str) -> Job:
        """How far a job is."""
        return _job(self._json("GET", f"/v1/jobs/{quote(identity, safe='')}"))

    def wait(self, identity: str, *, every: float = 2.0, patience: float = 86_400.0) -> Job:
        """Until a job has ended; ServiceUnreachable after so many seconds."""
        until = time.monotonic() + patience
        while not (job := self.job(identity)).ended:
            if time.monotonic() > until:
                raise ServiceUnreachable(f"{identity} has {job.done} of {job.rows} rows after {patience:g} s.")
            time.sleep(every)
        return job

    def results(self, identity: str) -> Iterator[dict[str, Any]]:
        """A job's results, in the order of its rows: `{"row", "answer", ...}` or `{"row", "error", "field"}`."""
        for line in self._ask("GET", f"/v1/jobs/{quote(identity, safe='')}/results", b"", {}).splitlines():
            yield json.loads(line)

    def remove(self, identity: str) -> None:
        """Stop a job, and remove its rows and results."""
        self._json("DELETE", f"/v1/jobs/{quote(identity, safe='')}")

    # -- asking ----------------------------------------------------------------------------------------------------------

    def _json(self, method: str, path: str, content: Any = None, *, idempotency: str | None = None) -> dict[str, Any]:
        headers = {"Idempotency-Key": idempotency} if idempotency else {}
        body = b""
        if content is not None:
            body = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()
            headers["Content-Type"] = "application/x-ndjson" if isinstance(content, bytes) else "application/json"
        told: dict[str, Any] = json.loads(self._ask(method, path, body, headers))
        return told

    def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str], *, unread: bool = False) -> Any:
        """The body of a good answer, or the answer with its body `unread`; tried again while that may help."""
        until, pause, trouble = time.monotonic() + self._patience, FIRST_PAUSE, "no try was made"
        while True:
            wait = random.uniform(0, pause)
            try:
                left = max(until - time.monotonic(), 0.05)
                status, told, answer = self._once(method, path, body, headers, seconds=min(left, self._timeout))
                if status < 300 and unread:
                    return answer
                content = answer.read()
                if told.get("connection", "").lower() == "close":
                    self._drop()
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                trouble = f"{type(error).__name__}: {error}"
            else:
                if status < 300:  # nothing is followed: a key is for this address alone
                    return content
                refused = _refusal(status, told, content)
                if status not in AGAIN or refused.type in FINAL:
                    raise refused
                trouble = str(refused)
                wait = max(wait, _seconds(told.get("retry-after")))
                if time.monotonic() + wait > until:
                    raise refused
            if time.monotonic() + wait > until:
                raise ServiceUnreachable(f"{self.url} gave no answer within {self._patience:g} s. Last: {trouble}")
            time.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _once(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], *, seconds: float
    ) -> tuple[int, Mapping[str, str], http.client.HTTPResponse]:
        """One try over this thread's connection, which may be silent for so long."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect(seconds)
        connection.timeout = seconds
        if connection.sock is not None:
            connection.sock.settimeout(seconds)
        sent = {"Accept": "application/json", "User-Agent": "modelyard", **headers}
        if self._key:
            sent["Authorization"] = f"Bearer {self._key}"
        connection.request(method, self._parts.path.rstrip("/") + path, body or None, sent)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer

    def _connect(self, seconds: float) -> http.client.HTTPConnection:
        host, port = str(self._parts.hostname), self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=seconds, context=ssl.create_default_context())
        connection = http.client.HTTPConnection(host, port, timeout=seconds)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # http.client sends a head and a body
        return connection

    def _drop(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None


def _pieces(event: Mapping[str, Any]) -> Iterator[str]:
    """Texts of one event of a stream; ServiceRefused where it tells of an error."""
    if "error" in event:
        raise ServiceRefused(500, dict(event["error"]), str(event.get("request_id", "")))
    for choice in event["choices"]:
        if text := choice["delta"].get("content"):
            yield text


def _refusal(status: int, told: Mapping[str, str], content: bytes) -> ServiceRefused:
    try:
        error = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        error = {"message": content[:200].decode(errors="replace")}
    return ServiceRefused(
        status, error if isinstance(error, dict) else {"message": error}, told.get("x-request-id", "")
    )


def _seconds(given: str | None) -> float:
    """Retry-After in seconds; a date is not read."""
    return float(given) if given and given.isdecimal() else 0.0


def _job(told: Mapping[str, Any]) -> Job:
    return Job(told["id"], told["status"], told["rows"], told["done"], told["failed"], told.get("reason", ""))
