"""A PostgreSQL that the tests start themselves, from Debian's binaries or those on the PATH."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path


def programs() -> Path | None:
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
