"""What runs beside the requests of a process, from its start to its end: warming, the till, jobs, alerts, what is written down."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from modelyard.errors import ModelyardError
from modelyard.serve.gate import Gate
from modelyard.serve.lines import say_failure

if TYPE_CHECKING:
    from modelyard.serve.app import App


def lifespan_of(app: App) -> Any:
    """Starlette's lifespan of the application."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        warming = asyncio.get_running_loop().run_in_executor(None, _warm, app)
        beginning = asyncio.create_task(_begin(app.gate))
        beside = [asyncio.create_task(app.fleet.follow())] if app.fleet.follows else []
        beside += [asyncio.create_task(app.jobs.work())] if app.jobs is not None else []
        beside += [asyncio.create_task(app.alerting.work())] if app.alerting is not None else []
        for keeper in (app.payloads, app.labels):
            if keeper is not None:
                keeper.start()
        yield
        for task in beside:
            task.cancel()
        await warming
        app.fleet.close()
        await asyncio.to_thread(app.watch.close)
        beginning.cancel()
        for keeper in (app.payloads, app.labels):
            if keeper is not None:
                await asyncio.to_thread(keeper.stop)
        if app.telemetry is not None:
            await asyncio.to_thread(app.telemetry.close)
        await app.gate.stop()

    return lifespan


def _warm(app: App) -> None:
    try:
        app.warm()
        gc.collect()
        gc.freeze()  # what was loaded stays: no collection looks through it again while a request waits
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
