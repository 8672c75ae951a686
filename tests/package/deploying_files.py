"""What a package's deployment files say, and the tools that check them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

Json = dict[str, Any]


def load(place: Path) -> Json:
    return YAML(typ="safe").load(place.read_text())  # type: ignore[no-any-return]


def tool(name: str) -> str:
    """A linter's path; the test is skipped where there is none."""
    found = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def objects(folder: Path) -> dict[str, Json]:
    """Kubernetes' objects by their file's name; the kustomization is none of the cluster's."""
    return {
        place.stem: load(place)
        for place in sorted((folder / "kubernetes").glob("*.yaml"))
        if place.stem != "kustomization"
    }
