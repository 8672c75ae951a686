"""The audit of what is installed: pip-audit itself against a real service of our own that speaks OSV's protocol."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("pip_audit")
AUDIT = Path(__file__).parents[1] / ".ci" / "audit.py"
OLD = {
    "id": "PYSEC-2019-217", "summary": "a sandbox that can be left", "schema_version": "1.6.0",
    "affected": [{"package": {"name": "jinja2", "ecosystem": "PyPI"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.10.1"}]}]}],
}  # fmt: skip
"""As OSV tells it, shortened."""


class Known(BaseHTTPRequestHandler):
    """Knows one vulnerability, of jinja2 before 2.10.1."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        bad = asked["package"]["name"] == "jinja2" and asked["version"] == "2.4.1"
        body = json.dumps({"vulns": [OLD]} if bad else {}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Known) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
        server.shutdown()


def installed(folder: Path, **versions: str) -> Path:
    """A folder of packages, as pip leaves them."""
    for name, version in versions.items():
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder


def audit(folder: Path, service: str, *more: str) -> tuple[int, str]:
    command = [sys.executable, str(AUDIT), "--path", str(folder), "--osv-url", service, *more]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def test_an_old_package_that_was_planted_is_found(tmp_path: Path, service: str) -> None:
    folder = installed(tmp_path, jinja2="2.4.1", attrs="25.3.0")
    status, told = audit(folder, service)
    assert status == 1, told
    assert "jinja2 2.4.1: PYSEC-2019-217, mended in 2.10.1" in told and "attrs" not in told
    assert audit(folder, service, "--ignore", "PYSEC-2019-217")[0] == 0


def test_packages_without_known_faults_pass(tmp_path: Path, service: str) -> None:
    status, told = audit(installed(tmp_path, jinja2="3.1.6", attrs="25.3.0"), service)
    assert status == 0 and "2 packages asked for, 0 vulnerabilities" in told, told


def test_a_service_that_does_not_answer_is_told_and_fails_only_where_it_must(tmp_path: Path) -> None:
    folder = installed(tmp_path, jinja2="2.4.1")
    nowhere = "http://127.0.0.1:9/v1/query"
    status, told = audit(folder, nowhere)
    assert status == 0 and "AUDIT NOT DONE" in told, told
    assert audit(folder, nowhere, "--strict")[0] == 1


def test_a_licence_that_reaches_into_products_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted three packages deep; the LGPL, a choice of licences, and a package whose own name says nothing, pass."""
    needs = {"planted": "between\nlesser\nchoice", "between": "deep", "deep": "", "lesser": "", "choice": ""}
    says = {"deep": "GPL-3.0-only", "lesser": "LGPL-3.0-only", "choice": "MIT OR GPL-2.0-only"}
    for name, needed in needs.items():
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        wanted = "".join(f"Requires-Dist: {each} (>=1)\n" for each in needed.split())
        told = says.get(name, "MIT")
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\nLicense-Expression: {told}\n{wanted}"
        )
    monkeypatch.syspath_prepend(str(tmp_path))
    licences = runpy.run_path(str(AUDIT))["licences"]
    assert licences("planted") == ["deep: GPL-3.0-only"]
    assert licences("lesser") == licences("choice") == []
