"""What serving a package needs, pinned to what is installed here, so that `pip install --no-deps -r` gives the same.

It knows installed distributions and nothing about models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions

SERVER = (
    "numpy", "pydantic", "safetensors", "starlette", "uvicorn", "httptools", "uvloop", "prometheus-client", "typer", "rich", "cryptography", "jinja2", "ruamel-yaml",
)  # fmt: skip
"""The service, its page of metrics, its accounts, the blueprints that plans are read from, and its command line."""
NOT_NEEDED = {
    "openvino-telemetry": "usage statistics; openvino has a stub for its absence",
    "huggingface-hub": "tokenizers asks it for hub names only; ours come from the package",
}


def of_modules(modules: Iterable[str]) -> set[str]:
    """The distributions that top-level modules come from, Modelyard itself left out."""
    known = packages_distributions()
    return {_plain(name) for module in modules for name in known.get(module, ()) if name != "modelyard"}


def closure(roots: Iterable[str]) -> list[Distribution]:
    """The roots and all they need, sorted by name; extras are left out, markers are evaluated here."""
    from packaging.requirements import Requirement

    found: dict[str, Distribution] = {}
    waiting = [_plain(name) for name in roots]
    while waiting:
        name = waiting.pop()
        if name in found or name in NOT_NEEDED:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # optional here and not installed: what works here works without it
        for line in found[name].requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(_plain(needed.name))
    return [found[name] for name in sorted(found)]


def pinned(distributions: Sequence[Distribution]) -> tuple[str, ...]:
    """`name==version` each."""
    return tuple(f"{_plain(each.metadata['Name'])}=={each.version}" for each in distributions)


def installed_bytes(distributions: Sequence[Distribution]) -> int:
    """Bytes of their files; compiled Python is left out, it is made anew everywhere."""
    total = 0
    for each in distributions:
        for file in each.files or ():
            place = each.locate_file(file)
            if file.suffix != ".pyc" and place.is_file():  # type: ignore[attr-defined]
                total += place.stat().st_size  # type: ignore[attr-defined]
    return total


def _plain(name: str) -> str:
    """Names as PEP 503 compares them."""
    import re

    return re.sub(r"[-_.]+", "-", name).lower()
