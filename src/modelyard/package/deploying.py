"""Files that run a package elsewhere: an image, compose, Kubernetes, systemd, Prometheus, Grafana. They stand in `deploy/`.

The texts stand in `deployment/`, one template a file, with the same name and place. They carry no secret and nothing of this machine but
the versions of Python and of the requirements; the same package makes the same files. It knows nothing about models and runs nothing.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from modelyard import __version__
from modelyard.package import requirements
from modelyard.package.dashboard import dashboard
from modelyard.packages import HASHES, Manifest
from modelyard.store import write_text

FOLDER = "deploy"
TEMPLATES = Path(__file__).with_name("deployment")
PORT, USER = 8000, 10001
"""The user has no account on any host (Debian's end at 9999 for packages and begin at 1000 for people)."""
PLACE, STATE = "/srv/package", "/var/lib/modelyard"
"""In the image."""
DRAIN, SPARE = 20, 10
"""Seconds that the service takes to finish what was begun (`serve.limits`, held by a test), and until it is killed after that."""
LEAVE = 5
"""Seconds between a pod's end being announced and SIGTERM: until then, balancers still send it requests."""
CORES = 2
"""Processors that a replica may use: a start, to be set to what the load test showed."""
BASE, FOLD, STEP = 256, 3, 64
"""MiB: what the service takes without a model (measured: a linear model of tables, one process, ready and asked, peaked at 77; the rest
is for an inference library), how many times its files' size a model takes (assumed: weights, a second version while it is warmed, work
space), and what sizes are rounded up to."""
DATABASE = "postgres:17-bookworm"
LIBRARIES = {"lightgbm": "libgomp1"}
"""Debian's packages that a requirement's wheel leaves to the system; the slim image has none of them."""
POSTGRES = ("psycopg", "psycopg-binary")
POSTGRES_RANGE = tuple(f"{name}>=3.2,<4" for name in POSTGRES)
"""Where it is not installed here, so that no version is known: the range of our own extra (`[binary]` means nothing to --no-deps)."""


def write(folder: Path, manifest: Manifest, pinned: Iterable[str], *, installed: int) -> None:
    """Write `deploy/` into a package that is whole but for its hashes. `installed`: bytes of its requirements."""
    for name, text in texts(folder, manifest, pinned, installed=installed).items():
        place = folder / FOLDER / name
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, text)


def texts(folder: Path, manifest: Manifest, pinned: Iterable[str], *, installed: int) -> dict[str, str]:
    """The files by their names in `deploy/`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=False,  # no HTML; what is put in is a number, a name of [a-z0-9-], or written as JSON
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    values = _values(folder, manifest, tuple(pinned), installed)
    made = {
        place.relative_to(TEMPLATES).with_suffix("").as_posix(): environment.get_template(
            place.relative_to(TEMPLATES).as_posix()
        ).render(values)
        for place in sorted(TEMPLATES.rglob("*.jinja"))
    }
    made["grafana-dashboard.json"] = json.dumps(dashboard(values["name"]), indent=2) + "\n"
    return made


def label(name: str) -> str:
    """A name as Kubernetes takes it for a service (RFC 1035): at most 63 of [a-z0-9-], a letter first, no hyphen last."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "model"
    return (plain if plain[0].isalpha() else f"m-{plain}")[:63].rstrip("-")


def tag(version: str) -> str:
    """A version as an image's tag takes it: at most 128 of [A-Za-z0-9_.-], no dot or hyphen first."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", version).lstrip(".-")[:128] or "0"


def memory(size: int) -> tuple[int, int]:
    """MiB to ask for and to be held to, for a package of so many bytes; an estimate that a measurement should replace."""
    asked = math.ceil((BASE + FOLD * size / 2**20) / STEP) * STEP
    return asked, 2 * asked


def _values(folder: Path, manifest: Manifest, pinned: tuple[str, ...], installed: int) -> dict[str, Any]:
    """What the templates may name."""
    name, version = label(manifest.name), tag(manifest.version)
    size = sum(
        place.stat().st_size
        for place in folder.rglob("*")
        if place.is_file() and not {"wheels", FOLDER} & set(place.relative_to(folder).parts)
    )
    asked, most = memory(size)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    needed = {line.partition("==")[0] for line in pinned}
    return {
        "name": name,
        "tag": version,
        "repository": name,
        "image": f"{name}:{version}",
        "modelyard": __version__,
        "python": python,
        "base": f"python:{python}-slim-bookworm",
        "database": DATABASE,
        "libraries": sorted({LIBRARIES[each] for each in needed & LIBRARIES.keys()}),
        "postgres": _postgres(needed),
        "contents": sorted({place.name for place in folder.iterdir()} | {FOLDER, HASHES, "verdict.json"}),
        "user": USER,
        "port": PORT,
        "place": PLACE,
        "state": STATE,
        "home": f"/opt/{name}",
        "folder": f"modelyard-{name}",
        "command": ["serve", PLACE, "--host", "0.0.0.0", "--port", str(PORT), "--state", STATE],
        "local": ["serve", f"/opt/{name}/package", "--port", str(PORT), "--state", f"/var/lib/modelyard-{name}"],
        "health": ["python", "-c", _health()],
        "drain": DRAIN,
        "grace": DRAIN + SPARE,
        "leave": LEAVE,
        "cores": CORES,
        "memory": asked,
        "memory_limit": most,
        "storage": max(1, math.ceil(8 * size / 2**30)),
        "installed": round(installed / 1e6),
        "p95": f"{manifest.p95:g}",
    }


def _health() -> str:
    """A program that ends well when the service is ready. `http.client` asks no proxy; the slim image has no curl."""
    return (
        f"import http.client, sys; asked = http.client.HTTPConnection('127.0.0.1', {PORT}, timeout=4); "
        "asked.request('GET', '/readyz'); sys.exit(asked.getresponse().status != 200)"
    )


def _postgres(needed: set[str]) -> tuple[str, ...]:
    """What PostgreSQL needs beyond the package's requirements."""
    found = requirements.pinned(requirements.closure(POSTGRES))
    if {line.partition("==")[0] for line in found} >= set(POSTGRES):
        return tuple(line for line in found if line.partition("==")[0] not in needed)
    return POSTGRES_RANGE
