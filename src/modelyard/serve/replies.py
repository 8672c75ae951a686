"""Responses that every endpoint gives: JSON, and refusals in one shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.serve.events import dumped
from modelyard.serve.refusing import Refused


def json_of(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Any:
    """A JSON response; ValueError where a number is not finite."""
    from starlette.responses import Response

    return Response(dumped(content), status, headers={**(headers or {}), "content-type": "application/json"})


def client_gone() -> Refused:
    """Nobody reads this: the client left before its body was whole. 499 as nginx counts it."""
    return Refused(499, "client_gone", "the client closed the connection.")


def internal() -> Refused:
    """An error of ours; its cause is in the log alone."""
    return Refused(500, "internal", "something went wrong here, not with you. Quote the request id.")


def refusal(refused: Refused, identity: str) -> Any:
    """A refusal as a response to the request of that id."""
    return json_of(refused.body(identity), status=refused.status, headers=refused.headers)
