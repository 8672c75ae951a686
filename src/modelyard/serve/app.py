"""The HTTP service as an ASGI application: `/v1/predict`, health, metrics, its description and a page to try it.

    Front (request id, counts, log, last resort) -> Starlette routes -> reading -> fleet -> engine -> answer

Plain Starlette, not FastAPI: the request is described by data, not by Python types, so FastAPI's validation would only run a
second time. It knows nothing about sockets and processes; `server` does.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from modelyard.serve.admin import Admin, AuditLog
from modelyard.serve.alerting import Alerting, sources
from modelyard.serve.completions import shaped
from modelyard.serve.deployed import Deployed, Service
from modelyard.serve.deployment import DeploymentFile
from modelyard.serve.describing import whole
from modelyard.serve.feedback import Feedback
from modelyard.serve.fleet import Fleet
from modelyard.serve.gate import Gate
from modelyard.serve.guarding import look
from modelyard.serve.jobs import Jobs
from modelyard.serve.labels import Labels
from modelyard.serve.labels import database as labels_of
from modelyard.serve.lines import say, say_failure
from modelyard.serve.live import PREDICTING, Live
from modelyard.serve.meters import Meters
from modelyard.serve.patience import Front
from modelyard.serve.payloads import Payloads
from modelyard.serve.predictions import Predictions
from modelyard.serve.reading import (
    read_body,
)  # fmt: skip
from modelyard.serve.refusing import Refused
from modelyard.serve.replies import client_gone, internal, json_of, refusal
from modelyard.serve.routes import EMBEDDING, SPEAKING, from_elsewhere, routes_of
from modelyard.serve.telemetry import PARTS, Telemetry
from modelyard.serve.watching import Watch

Json = dict[str, Any]
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_PATHS = (
    *SPEAKING,
    EMBEDDING,
    "/v1/predict",
    "/v1/models",
    "/v1/usage",
    "/v1/feedback",
    "/v1/jobs",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/console",
    "/",
)
_OF_A_MODEL = re.compile(r"/v1/models/[^/]+(/predict|/openapi\.json)?")
FEW = 8
"""Requests inside, up to which each commits by itself: at 300 requests/s 99 % then pass key, quota and ledger within 3 ms, and 95 % with shared commits."""
_PROBES = ("/healthz", "/readyz", "/metrics")
"""Asked every few seconds by machines; a line for each good answer would bury the rest."""
NO_ENCODER = (
    "no model here turns texts into vectors: that needs a text encoder, and a package made since there is this endpoint. Run `yard run` "
    "again with `encoder` among train.candidates."
)
_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]


class App:
    """The ASGI application. `draining` is what `/readyz` tells; `file` is the deployment that the fleet follows, `open_` opens what
    it names. `origins` are the sites whose pages may ask from a browser; without `docs` the description needs the administrator's
    token; `payloads` keeps what is asked and answered; `telemetry` is told of every request; webhooks at `alerts` hear
    what is wrong (`alert_private`: in the own network too)."""

    def __init__(
        self,
        *services: Service,
        file: DeploymentFile | None = None,
        open_: Callable[[Path], Service] | None = None,
        gate: Gate | None = None,
        origins: Sequence[str] = (),
        docs: bool = True,
        payloads: Payloads | None = None,
        telemetry: Telemetry | None = None,
        alerts: Sequence[str] = (),
        alert_private: bool = False,
    ) -> None:
        first = services[0]
        self.limits = first.limits
        self.gate = gate or Gate()
        self.meters = Meters(name=first.name, version=first.version)
        self.live = Live(self.meters)
        opened = {service.name: Deployed(service, self.meters, self.gate, payloads) for service in services}
        self.fleet = Fleet(
            opened,
            file=file,
            open_=None if open_ is None else lambda folder: Deployed(open_(folder), self.meters, self.gate, payloads),
        )
        self.watch = Watch(self.meters, None if file is None else file.state)
        self.fleet.watch = self.watch.add
        log = AuditLog(None if file is None else file.state)
        self.admin = Admin(self.gate, self.fleet, self.live, self.watch, file=file, log=log)
        self.jobs = None if file is None or self.gate.open else Jobs(file.state, self.gate, self.fleet, self.limits)
        self.draining = False
        self.paths = _PATHS
        self.docs = docs
        self.front = Front(self.limits, lambda: self.fleet.waiting)
        self.labels = None if file is None or self.gate.open else Labels(labels_of(file.state))
        self.feedback = None if self.labels is None else Feedback(self.gate, self.fleet, self.labels)
        self.admin.feedback = self.feedback
        self.alerting = None
        if file is not None and alerts:
            self.alerting = Alerting(
                file.state, alerts, private=alert_private, meters=self.meters, target=self.limits.p95
            )
            self.alerting.sources += sources(
                self.gate, self.feedback, earning=self.admin.earnings, drifting=self.admin.drifting
            )
        self.gate.few_when(lambda: self.front.inside <= FEW)
        self.predictions = Predictions(
            self.gate, self.fleet, self.meters, self.limits, payloads=payloads, labels=self.labels
        )
        self.payloads, self.telemetry = payloads, telemetry
        self._routes = from_elsewhere(routes_of(self), origins)
        self._straight = not origins
        """Whether predictions need no look at the routes: no other site's pages may ask."""

    @property
    def ready(self) -> bool:
        """Whether every model is warm, and the ledger can be written."""
        return self.fleet.ready and self.gate.healthy

    def warm(self) -> None:
        """Answer examples until the code is loaded, then be ready; blocks."""
        self.fleet.warm()

    async def predict(self, request: Any) -> Any:
        """POST /v1/predict and /v1/models/NAME/predict; 429 before anything is read where the event loop is the queue."""
        with self.front():
            return await self.predictions.predict(request)

    async def speak(self, request: Any) -> Any:
        """POST /v1/chat/completions and /v1/completions: the model that the body names, or the only one that writes texts."""
        what = SPEAKING[request.url.path]
        return await self._named(
            request, lambda deployed: deployed.completions, what, "no model here writes texts. Ask /v1/predict."
        )

    async def embed(self, request: Any) -> Any:
        """POST /v1/embeddings: the model that the body names, or the only text encoder."""
        with self.front():
            return await self._named(request, lambda deployed: deployed.embeddings, "embed", NO_ENCODER)

    async def _named(self, request: Any, part: Callable[[Deployed], Any], what: str, none: str) -> Any:
        """The answer of a method of a part that some models have, of the one that the body names; 404 where none has it."""
        having = [entry for entry in self.fleet.entries.values() if part(entry.live) is not None]
        if not having:
            raise Refused(404, "not_found", none)
        entry = having[0]
        if len(having) > 1:
            await self.gate.caller(request.headers, "predict")  # nobody's body is read before
            request._body = await read_body(request.stream(), request.headers.get("content-length"), self.limits)
            named = _model_named(request._body)
            entry = next((each for each in having if each.live.name == named), entry)  # which tells what is wrong
        deployed = self.fleet.choose(entry, token=request.scope["request_id"])
        if part(deployed) is None:  # a canary of another kind
            deployed = entry.live
        deployed.__enter__()
        try:
            response = await shaped(getattr(part(deployed), what))(request)
        except BaseException:
            deployed.__exit__()
            raise

        async def held(scope: Any, receive: Any, send: Any) -> None:
            try:
                await response(scope, receive, send)
            finally:
                deployed.__exit__()

        return held

    def check_docs(self, request: Any) -> None:
        """401 where the description is closed, and it is not the administrator who asks."""
        if not self.docs:
            self.gate.check_admin(request.headers)

    async def check_listing(self, request: Any) -> None:
        """401 where the description is closed, and neither a customer nor the administrator asks what there is."""
        if not self.docs:
            try:
                self.gate.check_admin(request.headers)
            except Refused:
                await self.gate.caller(request.headers, "predict")

    def described(self, name: str | None) -> Json:
        """The whole document, about one model or the default one."""
        found = self.fleet.entry(name).live.description
        return whole(found, name=name, accounts=not self.gate.open, jobs=self.jobs is not None, docs=self.docs)

    async def usage(self, request: Any) -> Any:
        """GET /v1/usage: what the caller's customer used this month, and the plan's limits."""
        caller = await self.gate.caller(request.headers, "usage")
        return json_of(await self.gate.usage(caller))

    def path_of(self, path: str) -> str:
        """A path as it is counted: few different ones, however many are asked for."""
        if path in self.paths:
            return path
        for several in ("/admin", "/v1/jobs"):
            if path.startswith(f"{several}/"):
                return several
        found = _OF_A_MODEL.fullmatch(path)
        return f"/v1/models/{{model}}{found[1] or ''}" if found else "other"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI: every HTTP request gets an id, is counted and logged, and ends in an answer."""
        if scope["type"] != "http":
            await self._routes(scope, receive, send)
            return
        began = time.perf_counter()
        identity, fault = look(scope)
        scope["request_id"] = identity
        status = 0

        async def answer(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = [*_HEADERS, (b"x-request-id", identity.encode())]
                if self.draining:
                    extra.append((b"connection", b"close"))
                message["headers"] = [*message.get("headers", ()), *extra]
            await send(message)

        self.meters.begin()
        if self.telemetry is not None:
            scope[PARTS] = []
        try:
            if fault is not None:
                await refusal(fault, identity)(scope, receive, answer)
            elif self._straight and scope["path"] == "/v1/predict" and scope["method"] == "POST":
                await self._predict(scope, receive, answer)
            else:
                await self._routes(scope, receive, answer)
        except Exception as error:
            say_failure(error, request_id=identity)
            if not status:
                await refusal(internal(), identity)(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - began
            ms = round(seconds * 1e3, 3)
            path = self.path_of(scope["path"])
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self.meters.end(path, status, seconds)
            facts = {
                "request_id": identity,
                "method": method,
                "path": path,
                "status": status,
                "ms": ms,
            }
            if "rows" in scope:
                facts["rows"] = scope["rows"]
            facts |= scope.get("usage", {})
            if scope.get("key"):
                facts["key"] = scope["key"]
            if path in PREDICTING:
                self.live.add(
                    request_id=identity, path=path, status=status, ms=ms, rows=scope.get("rows"),
                    key=scope.get("key", ""),
                )  # fmt: skip
            if path not in _PROBES or status >= 500:
                say("request", **facts)
                if self.telemetry is not None:
                    self._trace(scope, method, path, status, began)

    def _trace(self, scope: Any, method: str, path: str, status: int, began: float) -> None:
        assert self.telemetry is not None
        facts: Json = {
            "http.request.method": method,
            "http.route": path,
            "http.response.status_code": status,
            "modelyard.request_id": scope["request_id"],
            **{f"modelyard.{name}": scope[name] for name in ("rows", "model", "version") if name in scope},
        }
        self.telemetry.tell(scope["headers"], f"{method} {path}", began, facts, scope[PARTS])

    async def _predict(self, scope: Any, receive: Any, send: Any) -> None:
        """What the routes do for a prediction, without looking for it among them: most requests are one."""
        from starlette.requests import ClientDisconnect, Request

        try:
            answer = await self.predict(Request(scope, receive))
        except Refused as error:
            answer = refusal(error, scope["request_id"])
        except ClientDisconnect:
            answer = refusal(client_gone(), scope["request_id"])
        await answer(scope, receive, send)


def create_app(*services: Service, **how: Any) -> App:
    """The application of some models, the first one asked by default; it warms up when the server starts its lifespan."""
    return App(*services, **how)


def _model_named(body: bytes) -> str | None:
    """The model that a body asks for; None where it says none, or cannot be read."""
    try:
        given = from_json(body)
    except ValueError:
        return None
    named = given.get("model") if isinstance(given, dict) else None
    return named if isinstance(named, str) else None
