"""Which path is answered by what, and what is said where there is no such path. A new endpoint is a line here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelyard.serve.completions import shaped
from modelyard.serve.fleet import Entry
from modelyard.serve.lifespan import lifespan_of
from modelyard.serve.meters import CONTENT_TYPE
from modelyard.serve.refusing import Refused
from modelyard.serve.replies import client_gone, internal, json_of, refusal

if TYPE_CHECKING:
    from modelyard.serve.app import App

Json = dict[str, Any]
SPEAKING = {"/v1/chat/completions": "chat", "/v1/completions": "complete"}
"""Paths of those that write texts, and what answers each."""
EMBEDDING = "/v1/embeddings"


def routes_of(app: App) -> Any:
    """The Starlette application behind the front. A new endpoint is a line here."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import HTMLResponse, RedirectResponse, Response
    from starlette.routing import Route

    from modelyard.serve.console import console
    from modelyard.serve.page import page, policy

    async def health(request: Any) -> Any:
        return json_of({"status": "ok"})

    async def ready(request: Any) -> Any:
        status = "draining" if app.draining else "ready" if app.ready else "warming"
        return json_of({"status": status}, status=200 if status == "ready" else 503)

    async def metrics(request: Any) -> Any:
        if not app.gate.open:
            app.gate.check_admin(request.headers)
        return Response(app.meters.text(), headers={"content-type": CONTENT_TYPE})

    async def openapi(request: Any) -> Any:
        app.check_docs(request)
        return json_of(app.described(request.path_params.get("model")))

    async def docs(request: Any) -> Any:
        app.check_docs(request)
        html = page(app.described(None))
        return HTMLResponse(html, headers={"content-security-policy": policy(html)})

    async def models(request: Any) -> Any:
        await app.check_listing(request)
        return json_of({"object": "list", "data": [_listed(entry) for entry in app.fleet.entries.values()]})

    async def model(request: Any) -> Any:
        await app.check_listing(request)
        return json_of(_listed(app.fleet.entry(request.path_params["model"])))

    async def only_post(request: Any) -> Any:
        raise HTTPException(405, headers={"Allow": "POST"})  # else the path of a model's name would take it for one

    async def desk(request: Any) -> Any:
        html = console()
        return HTMLResponse(html, headers={"content-security-policy": policy(html)})

    async def home(request: Any) -> Any:
        return RedirectResponse("/docs" if app.gate.open else "/console")

    async def refused(request: Any, error: Refused) -> Any:
        return refusal(error, request.scope["request_id"])

    async def misrouted(request: Any, error: HTTPException) -> Any:
        path, headers = request.scope["path"], dict(error.headers or {})
        if error.status_code == 405:
            found = Refused(
                405,
                "method_not_allowed",
                f"this path answers {headers.get('Allow', 'other methods')}.",
                headers=headers,
            )
        elif error.status_code == 404:
            found = Refused(404, "not_found", f"no such path. There are: {', '.join(app.paths[:-1])}")
        else:
            found = Refused(error.status_code, "refused", f"{path[:100]}: {error.detail}", headers=headers)
        return refusal(found, request.scope["request_id"])

    async def broken(request: Any, error: Exception) -> Any:
        return refusal(internal(), request.scope["request_id"])

    async def gone(request: Any, error: Exception) -> Any:
        return refusal(client_gone(), request.scope["request_id"])

    from starlette.requests import ClientDisconnect

    predict = app.predict
    routes = [
        Route("/v1/predict", predict, methods=["POST"]),
        *(Route(path, app.speak, methods=["POST"]) for path in SPEAKING),
        Route(EMBEDDING, app.embed, methods=["POST"]),
        *(app.jobs.routes() if app.jobs is not None else ()),
        *(() if app.gate.open else (Route("/v1/usage", app.usage),)),
        *(() if app.feedback is None else (Route("/v1/feedback", app.feedback.give, methods=["POST"]),)),
        Route("/v1/models", models),
        Route("/v1/models/{model}/predict", predict, methods=["POST"]),
        Route("/v1/models/{model}/predict", only_post),
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
    starlette = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan_of(app))
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


def from_elsewhere(routes: Any, origins: Sequence[str]) -> Any:
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
