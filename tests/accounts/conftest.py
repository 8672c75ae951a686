"""Databases for the tests of accounts: SQLite in a temporary file, and a PostgreSQL that the tests start themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.accounts.database import Database, open_database


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'accounts.db'}"
    address: str = request.getfixturevalue("postgres").new()
    return address


@pytest.fixture
def database(address: str) -> Iterator[Database]:
    """The same, opened."""
    with open_database(address) as found:
        yield found
