"""The page at `/docs`: one self-contained HTML file (no network, no CDN) that shows the API and lets one try it.

It knows the OpenAPI document and nothing else.
"""

from __future__ import annotations

import base64
import json
import re
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any


def page(description: dict[str, Any]) -> str:
    """The HTML of a service's page."""
    template = files("modelyard.serve").joinpath("page.html").read_text(encoding="utf-8")
    data = json.dumps(description, ensure_ascii=False).replace(
        "<", "\\u003c"
    )  # `</script>` in a category must not end the script
    return template.replace("__OPENAPI__", data)


@cache
def policy(html: str) -> str:
    """Content-Security-Policy: only this page's own script and style (by hash), and requests to this service."""
    scripts = re.findall(r"<script>(.*?)</script>", html, re.S)
    styles = re.findall(r"<style>(.*?)</style>", html, re.S)

    def hashes(texts: list[str]) -> str:
        return " ".join(f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'" for text in texts)

    return (
        f"default-src 'none'; script-src {hashes(scripts)}; style-src {hashes(styles)}; connect-src 'self'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
