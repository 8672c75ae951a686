"""The console at `/console`: one self-contained page (no network, no CDN) for those who run the service and those who try it.

Its parts are ordinary files beside this one, put together once: markup, style, sentences (`words.js`) and program. It knows the HTTP
API and nothing else.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def console() -> str:
    """The page's HTML."""
    here = files(__name__)

    def part(name: str) -> str:
        return here.joinpath(name).read_text(encoding="utf-8")

    script = part("console.js").replace('"use strict";\n', '"use strict";\n' + part("words.js"), 1)
    return part("console.html").replace("__STYLE__", part("console.css")).replace("__SCRIPT__", script)
