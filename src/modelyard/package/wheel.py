"""Modelyard itself as a wheel inside the package, so that the package needs no other source of it (PEP 427).

The same source gives the same bytes. It knows nothing about models.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

from modelyard import __version__
from modelyard.parts import ROOT

EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The first date a zip file can hold."""
ENTRY_POINTS = "[console_scripts]\nyard = modelyard.cli:main\nmodelyard = modelyard.cli:main\n"


def write(folder: Path) -> Path:
    """Write `modelyard-<version>-py3-none-any.whl` into `folder`."""
    info = f"modelyard-{__version__}.dist-info"
    contents = {
        f"modelyard/{file.relative_to(ROOT).as_posix()}": file.read_bytes()
        for file in sorted(ROOT.rglob("*"))
        if _shipped(file)
    }
    contents[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: modelyard\nVersion: {__version__}\nRequires-Python: >=3.11\n".encode()
    )
    contents[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: modelyard\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    contents[f"{info}/entry_points.txt"] = ENTRY_POINTS.encode()
    record = f"{info}/RECORD"
    contents[record] = "".join([*(_line(name, data) for name, data in contents.items()), f"{record},,\n"]).encode()
    place = folder / f"modelyard-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(place, "w") as file:
        for name, data in contents.items():
            entry = zipfile.ZipInfo(name, EARLIEST)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            file.writestr(entry, data)
    return place


def _shipped(file: Path) -> bool:
    return (
        file.is_file()
        and "__pycache__" not in file.parts
        and not any(part.startswith(".") for part in file.relative_to(ROOT).parts)
    )


def _line(name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}\n"
