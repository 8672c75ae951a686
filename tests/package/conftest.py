"""One small real package, made once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from package_builds import compressed_build

from modelyard.context import Context


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """A build up to `package`."""
    from modelyard.package import run

    context = compressed_build(tmp_path_factory.mktemp("build"))
    context.records["package"] = run(context)
    return context


@pytest.fixture
def package(built: Context, tmp_path: Path) -> Path:
    """A copy of the package that a test may spoil."""
    import shutil

    return Path(shutil.copytree(built.store.path("package"), tmp_path / "package"))


@pytest.fixture(scope="module")
def folder(built: Context) -> Path:
    """The deployment files of the package."""
    return built.store.path("package", "deploy")
