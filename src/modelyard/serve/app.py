"""The HTTP service as an ASGI application: `/v1/predict`, health, metrics, its description and a page to try it.

    Front (request id, counts, log, last resort) -> Starlette routes -> reading -> fleet -> engine -> answer

Plain Starlette, not FastAPI: the request is described by data, not by Python types, so FastAPI's validation would only run a
second time. It knows nothing about sockets and processes; `server` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from modelyard.errors import ModelyardError
from modelyard.serve.admin import Admin, AuditLog
from modelyard.serve.completions import shaped
from modelyard.serve.deployed import Deployed, Service
from modelyard.serve.deployment import DeploymentFile
from modelyard.serve.events import dumped
from modelyard.serve.fleet import Entry, Fleet
from modelyard.serve.gate import Gate
from modelyard.serve.jobs import Jobs
from modelyard.serve.lines import say, say_failure
from modelyard.serve.live import PREDICTING, Live
from modelyard.serve.meters import CONTENT_TYPE, Meters
from modelyard.serve.predictions import Predictions
from modelyard.serve.reading import (
    read_body,
)  # fmt: skip
from modelyard.serve.refusing import Refused
from modelyard.serve.watching import Watch

Json = dict[str, Any]
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_SPEAKING = ("/v1/chat/completions", "/v1/completions")
_PATHS = (
    *_SPEAKING,
    "/v1/predict",
    "/v1/models",
    "/v1/usage",
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
_PROBES = ("/healthz", "/readyz", "/metrics")
"""Asked every few seconds by machines; a line for each good answer would bury the rest."""
_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]


class App:
    """The ASGI application. `draining` is what `/readyz` tells; `file` is the deployment that the fleet follows, `open_` opens what
    it names. `origins` are the sites whose pages may ask from a browser; without `docs` the description needs the administrator's
    token."""

    def __init__(
        self,
        *services: Service,
        file: DeploymentFile | None = None,
        open_: Callable[[Path], Service] | None = None,
        gate: Gate | None = None,
        origins: Sequence[str] = (),
        docs: bool = True,
    ) -> None:
        first = services[0]
        self.limits = first.limits
        self.gate = gate or Gate()
        self.meters = Meters(name=first.name, version=first.version)
        self.live = Live(self.meters)
        opened = {service.name: Deployed(service, self.meters, self.gate) for service in services}
        self.fleet = Fleet(
            opened,
            file=file,
            open_=None if open_ is None else lambda folder: Deployed(open_(folder), self.meters, self.gate),
        )
        self.watch = Watch(self.meters, None if file is None else file.state)
        self.fleet.watch = self.watch.add
        log = AuditLog(None if file is None else file.state)
        self.admin = Admin(self.gate, self.fleet, self.live, self.watch, file=file, log=log)
        self.jobs = None if file is None or self.gate.open else Jobs(file.state, self.gate, self.fleet, self.limits)
        self.draining = False
        self.paths = _PATHS
        self.docs = docs
        self._routes = _from_elsewhere(_routes(self), origins)

    @property
    def ready(self) -> bool:
        """Whether every model is warm, and the ledger can be written."""
        return self.fleet.ready and self.gate.healthy

    def warm(self) -> None:
        """Answer examples until the code is loaded, then be ready; blocks."""
        self.fleet.warm()

    async def speak(self, request: Any) -> Any:
        """POST /v1/chat/completions and /v1/completions: the model that the body names, or the only one that writes texts."""
        speaking = [entry for entry in self.fleet.entries.values() if entry.live.completions is not None]
        if not speaking:
            raise Refused(404, "not_found", "no model here writes texts. Ask /v1/predict.")
        entry = speaking[0]
        if len(speaking) > 1:
            await self.gate.caller(request.headers, "predict")  # nobody's body is read before
            request._body = await read_body(request.stream(), request.headers.get("content-length"), self.limits)
            named = _model_named(request._body)
            entry = next((each for each in speaking if each.live.name == named), entry)  # which tells what is wrong
        deployed = self.fleet.choose(entry, token=request.scope["request_id"])
        deployed.__enter__()
        try:
            answer = deployed.completions.chat if request.url.path == _SPEAKING[0] else deployed.completions.complete
            response = await shaped(answer)(request)
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

    async def usage(self, request: Any) -> Any:
        """GET /v1/usage: what the caller's customer used this month, and the plan's limits."""
        caller = await self.gate.caller(request.headers, "usage")
        return _json(await self.gate.usage(caller))

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
        identity = scope["request_id"] = _identity(scope["headers"])
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
        try:
            await self._routes(scope, receive, answer)
        except Exception as error:
            say_failure(error, request_id=identity)
            if not status:
                await _refusal(_internal(), identity)(scope, receive, answer)
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


def create_app(*services: Service, **how: Any) -> App:
    """The application of some models, the first one asked by default; it warms up when the server starts its lifespan."""
    return App(*services, **how)


def _routes(app: App) -> Any:
    """The Starlette application behind the front. A new endpoint is a line here."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import HTMLResponse, RedirectResponse, Response
    from starlette.routing import Route

    from modelyard.serve.console import console
    from modelyard.serve.page import page, policy

    async def health(request: Any) -> Any:
        return _json({"status": "ok"})

    async def ready(request: Any) -> Any:
        status = "draining" if app.draining else "ready" if app.ready else "warming"
        return _json({"status": status}, status=200 if status == "ready" else 503)

    async def metrics(request: Any) -> Any:
        if not app.gate.open:
            app.gate.check_admin(request.headers)
        return Response(app.meters.text(), headers={"content-type": CONTENT_TYPE})

    async def openapi(request: Any) -> Any:
        app.check_docs(request)
        return _json(app.fleet.entry(request.path_params.get("model")).live.description)

    async def docs(request: Any) -> Any:
        app.check_docs(request)
        html = page(app.fleet.entry(None).live.description)
        return HTMLResponse(html, headers={"content-security-policy": policy(html)})

    async def models(request: Any) -> Any:
        return _json({"object": "list", "data": [_listed(entry) for entry in app.fleet.entries.values()]})

    async def model(request: Any) -> Any:
        return _json(_listed(app.fleet.entry(request.path_params["model"])))

    async def desk(request: Any) -> Any:
        html = console()
        return HTMLResponse(html, headers={"content-security-policy": policy(html)})

    async def home(request: Any) -> Any:
        return RedirectResponse("/docs" if app.gate.open else "/console")

    async def refused(request: Any, error: Refused) -> Any:
        return _refusal(error, request.scope["request_id"])

    async def misrouted(request: Any, error: HTTPException) -> Any:
        path, headers = request.scope["path"], dict(error.headers or {})
        if error.status_code == 405:
            refusal = Refused(
                405,
                "method_not_allowed",
                f"this path answers {headers.get('Allow', 'other methods')}.",
                headers=headers,
            )
        elif error.status_code == 404:
            refusal = Refused(404, "not_found", f"no such path. There are: {', '.join(app.paths[:-1])}")
        else:
            refusal = Refused(error.status_code, "refused", f"{path[:100]}: {error.detail}", headers=headers)
        return _refusal(refusal, request.scope["request_id"])

    async def broken(request: Any, error: Exception) -> Any:
        return _refusal(_internal(), request.scope["request_id"])

    async def gone(request: Any, error: Exception) -> Any:
        # Nobody reads this: the client left before its body was whole. 499 as nginx counts it.
        return _refusal(Refused(499, "client_gone", "the client closed the connection."), request.scope["request_id"])

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        warming = asyncio.get_running_loop().run_in_executor(None, _warm, app)
        beginning = asyncio.create_task(_begin(app.gate))
        beside = [asyncio.create_task(app.fleet.follow())] if app.fleet.follows else []
        beside += [asyncio.create_task(app.jobs.work())] if app.jobs is not None else []
        yield
        for task in beside:
            task.cancel()
        await warming
        app.fleet.close()
        await asyncio.to_thread(app.watch.close)
        beginning.cancel()
        await app.gate.stop()

    from starlette.requests import ClientDisconnect

    predict = Predictions(app.gate, app.fleet, app.meters, app.limits).predict
    routes = [
        Route("/v1/predict", predict, methods=["POST"]),
        *(Route(path, app.speak, methods=["POST"]) for path in _SPEAKING),
        *(app.jobs.routes() if app.jobs is not None else ()),
        *(() if app.gate.open else (Route("/v1/usage", app.usage),)),
        Route("/v1/models", models),
        Route("/v1/models/{model}/predict", predict, methods=["POST"]),
        Route("/v1/models/{model}/openapi.json", openapi),
        Route("/v1/models/{model:path}", shaped(model)),
        Route("/healthz", health),
        Route("/readyz", ready),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi),
        Route("/docs", docs),
        Route("/console", desk),
        *app.admin.routes(),
        Route("/", home),
    ]
    handlers: Any = {Refused: refused, HTTPException: misrouted, ClientDisconnect: gone, Exception: broken}
    starlette = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    starlette.router.redirect_slashes = False
    return starlette


def _listed(entry: Entry) -> Json:
    """A model as OpenAI's clients list it, and what is ours."""
    live = entry.live
    return {
        "id": live.name,
        "object": "model",
        "created": live.since,
        "owned_by": "modelyard",
        "version": live.version,
        "task": live.state.task,
        "ready": live.ready,
    }


def _from_elsewhere(routes: Any, origins: Sequence[str]) -> Any:
    """Cross-origin requests from the named sites alone; without any, a browser lets no other site's page ask."""
    if not origins:
        return routes
    from starlette.middleware.cors import CORSMiddleware

    return CORSMiddleware(
        routes,
        allow_origins=list(origins),
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-Request-ID"],
        expose_headers=["X-Request-ID", "Retry-After", "Idempotent-Replayed"],
        max_age=600,
    )


def _warm(app: App) -> None:
    try:
        app.warm()
    except Exception as error:  # the process stays up, unready, so that health and logs tell what is wrong
        say_failure(error, while_doing="warming up")


async def _begin(gate: Gate) -> None:
    """Start the accounts' till; while the database cannot be used the service is not ready, and tries again."""
    while True:
        try:
            await asyncio.to_thread(gate.start)
            return
        except ModelyardError as error:
            say_failure(error, while_doing="opening the accounts")
            await asyncio.sleep(1.0)


def _identity(headers: list[tuple[bytes, bytes]]) -> str:
    """The client's request id where it is a plain one, else a new one."""
    for name, value in headers:
        if name == b"x-request-id":
            given = value.decode("latin-1")
            if _ID.fullmatch(given):
                return given
            break
    return os.urandom(12).hex()


def _json(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Any:
    """A JSON response; ValueError where a number is not finite."""
    from starlette.responses import Response

    return Response(dumped(content), status, headers={**(headers or {}), "content-type": "application/json"})


def _internal() -> Refused:
    return Refused(500, "internal", "something went wrong here, not with you. Quote the request id.")


def _refusal(refused: Refused, identity: str) -> Any:
    return _json(refused.body(identity), status=refused.status, headers=refused.headers)


def _model_named(body: bytes) -> str | None:
    """The model that a body asks for; None where it says none, or cannot be read."""
    try:
        given = from_json(body)
    except ValueError:
        return None
    named = given.get("model") if isinstance(given, dict) else None
    return named if isinstance(named, str) else None
