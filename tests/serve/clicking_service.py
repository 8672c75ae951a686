"""The service's page with a finger on it: `python clicking_service.py MODEL JAVASCRIPT` adds a script that runs after the page's own."""

from __future__ import annotations

import sys
from pathlib import Path

from modelyard.serve import page
from modelyard.serve.app import create_app
from modelyard.serve.lines import configure
from modelyard.serve.opening import open_service
from modelyard.serve.server import _bound, _serve_here

if __name__ == "__main__":
    configure()
    plain = page.page
    page.page = lambda description: plain(description).replace("</body>", f"<script>{sys.argv[2]}</script></body>")
    application = create_app(open_service(Path(sys.argv[1])))
    with _bound("127.0.0.1", int(sys.argv[3]) if len(sys.argv) > 3 else 0) as sock:
        sys.exit(_serve_here(application, sock))
