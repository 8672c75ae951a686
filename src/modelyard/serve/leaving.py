"""Clients that leave before their answer is there: what was begun for them ends. It knows neither requests' content nor models."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

T = TypeVar("T")


async def while_there(request: Any, work: Awaitable[T]) -> T:
    """What the work comes to; it is cancelled, and ClientDisconnect raised, where the client closes its connection first.

    The body must have been read.
    """
    from starlette.requests import ClientDisconnect

    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request.receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
