"""Databases for the tests of accounts: SQLite in a temporary file, and a PostgreSQL that the tests start themselves."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.accounts.database import Database, open_database


def _programs() -> Path | None:
    """The folder of Debian's or the PATH's PostgreSQL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    beside = shutil.which("initdb")
    if beside and (Path(beside).resolve().parent / "postgres").exists():
        return Path(beside).resolve().parent
    return found[-1].parent if found else None


class Postgres:
    """A cluster of its own in a temporary folder, on a free port of the loopback; as nobody where we are root."""

    def __init__(self, programs: Path) -> None:
        self.programs, self.folder = programs, Path(tempfile.mkdtemp(prefix="pg-"))
        self.user = "nobody" if os.getuid() == 0 else None
        if self.user:
            self.folder.chmod(0o755)
            account = pwd.getpwnam(self.user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._run("initdb", "-D", str(self.data), "-U", "yard", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def _run(self, program: str, *options: str) -> None:
        ended = subprocess.run(
            [str(self.programs / program), *options], user=self.user, cwd=self.folder, capture_output=True, text=True, check=False,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(self.folder)},
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr + ended.stdout

    def start(self) -> None:
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self.folder} -c max_connections=150"
        self._run(
            "pg_ctl", "-D", str(self.data), "-w", "-t", "30", "-l", str(self.folder / "log"), "-o", options, "start"
        )

    def stop(self) -> None:
        """Like a crash: no clean end."""
        self._run("pg_ctl", "-D", str(self.data), "-w", "-m", "immediate", "stop")

    def new(self) -> str:
        """The address of a new database."""
        import psycopg

        name = "d" + secrets.token_hex(6)
        with psycopg.connect(f"postgresql://yard@127.0.0.1:{self.port}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://yard@127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The cluster; skips where PostgreSQL or its client is not installed."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (no initdb on PATH or in /usr/lib/postgresql)")
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    cluster = Postgres(programs)
    try:
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(cluster.folder, ignore_errors=True)


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
