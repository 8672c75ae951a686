"""A real server that waits a second where others wait longer: for heads, bodies and readers. `python impatient_service.py`."""

from __future__ import annotations

import sys
from functools import partial

from slow_service import service

from modelyard.serve import guarding
from modelyard.serve.lines import configure
from modelyard.serve.server import _bound, _serve_here

if __name__ == "__main__":
    configure()
    guarding.guarded = partial(guarding.guarded, head_time=1.0, unread_time=1.0)  # type: ignore[assignment]
    with _bound("127.0.0.1", 0) as sock:
        sys.exit(_serve_here(service(0.0, body_time=1.0), sock))
