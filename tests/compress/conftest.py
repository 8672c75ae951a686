"""Planted methods that come in as plug-ins do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from compress_builds import PLANTED


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Methods `perturbed`, `absent` and `broken`, found by their entry points like any stranger's."""
    folder = tmp_path_factory.mktemp("plug-in")
    (folder / "planted_methods.py").write_text(PLANTED)
    info = folder / "planted_methods-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted-methods\nVersion: 1.0\n")
    names = "".join(f"{name} = planted_methods:{name.title()}\n" for name in ("perturbed", "absent", "broken"))
    (info / "entry_points.txt").write_text(f"[modelyard.compress.methods]\n{names}")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield
