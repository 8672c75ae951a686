"""Whether files may be fetched from a network now: what the blueprint's `downloads` says, while its build runs.

    never    nothing is fetched: what is on this machine must do
    build    fetched while a build runs
    always   the same: a packaged service carries all it needs and fetches nothing

Outside of any build (`yard check-part`, a library call) it is `build`. The environment variable HF_HUB_OFFLINE forbids
whatever the blueprint allows. It knows nothing about who fetches what: who is about to, asks `forbidden` first.

>>> with obeying("never"):
...     forbidden()
'downloads: never'
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

Policy = Literal["never", "build", "always"]
OFFLINE = "HF_HUB_OFFLINE"
"""The hub client's own switch; huggingface_hub reads 1, ON, YES and TRUE as set."""

_policy: ContextVar[Policy] = ContextVar("downloads", default="build")
"""A thread of its own starts from the default: nothing that fetches runs in one."""


@contextmanager
def obeying(policy: Policy) -> Iterator[None]:
    """Hold to a blueprint's `downloads` inside the block."""
    before = _policy.set(policy)
    try:
        yield
    finally:
        _policy.reset(before)


def forbidden() -> str:
    """What forbids fetching now, in the words where it can be changed (`downloads: never`, `HF_HUB_OFFLINE=1`); empty where nothing does."""
    if _policy.get() == "never":
        return "downloads: never"
    given = os.environ.get(OFFLINE, "")
    return f"{OFFLINE}={given}" if given.upper() in ("1", "ON", "YES", "TRUE") else ""
