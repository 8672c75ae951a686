"""What tests share: toy data that every task can learn, and builds run once a session."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.toys import write_blueprint, write_table, write_texts


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def table_blueprint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A blueprint on a toy table of two classes."""
    folder = tmp_path_factory.mktemp("table")
    return write_blueprint(folder, write_table(folder), target="status")


@pytest.fixture(scope="session")
def text_blueprint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A blueprint on toy texts of two classes."""
    folder = tmp_path_factory.mktemp("text")
    return write_blueprint(folder, write_texts(folder), target="label")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build of a toy table that the command line ran to its end, its blueprint beside it. Nobody may change it."""
    folder = tmp_path_factory.mktemp("finished")
    path = write_blueprint(folder, write_table(folder), target="status", train={"candidates": {"linear": {}}})
    command = [sys.executable, "-m", "modelyard", "run", str(path), "-o", str(folder / "build"), "--quiet"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return folder / "build"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """The cluster; skips where PostgreSQL or its client is not installed."""
    from tests.clusters import Postgres, programs

    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed (no initdb on PATH or in /usr/lib/postgresql)")
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    cluster = Postgres(found)
    try:
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(cluster.folder, ignore_errors=True)
