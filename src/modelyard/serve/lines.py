"""Log lines as JSON on standard error: what happened and how long it took, never what was in it.

No address, body, query string, header or message of an unexpected error is written: each can hold personal data.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from functools import lru_cache
from typing import Any

from pydantic_core import to_json

LOGGER = logging.getLogger("modelyard.serve")


class JsonLines(logging.Formatter):
    """`{"time": ..., "level": ..., "event": ..., <facts>}`, one a line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; `facts` of the record come after its event."""
        line: dict[str, Any] = {
            "time": f"{_second(int(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        return to_json(line).decode()


@lru_cache(2)
def _second(since: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since))


def configure(*, level: int = logging.INFO) -> None:
    """Send the service's lines, and uvicorn's warnings, to standard error; call it once in a process."""
    # What no line tells need not be looked up for each.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # documented: no caller is looked for
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, least in (("modelyard.serve", level), ("uvicorn", logging.WARNING), ("asyncio", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(least)


def say(event: str, **facts: Any) -> None:
    """One line of news."""
    LOGGER.info(event, extra={"facts": facts})


def say_failure(error: BaseException, **facts: Any) -> None:
    """An unexpected error: its kind and where it was raised. Its message may quote a request, so it stays out."""
    where = [
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    LOGGER.error("failure", extra={"facts": {**facts, "error": type(error).__name__, "where": where[-8:]}})
