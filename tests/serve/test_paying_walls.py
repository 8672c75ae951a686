"""Pages of other sites, closed docs, and TLS with files of one's own."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest
from paying_service import Launch
from serve_helpers import ROW, until


def test_only_named_sites_may_ask_from_a_browser_and_docs_can_be_closed(package: Path, tmp_path: Path) -> None:
    from starlette.testclient import TestClient

    from modelyard.serve.app import create_app
    from modelyard.serve.gate import Gate
    from modelyard.serve.opening import open_service

    app = create_app(open_service(package), origins=["https://shop.example"], docs=False, gate=Gate(admin_token="t"))
    with TestClient(app) as client:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        known = client.options("/v1/predict", headers={"Origin": "https://shop.example", **asked})
        assert known.headers["access-control-allow-origin"] == "https://shop.example"
        other = client.options("/v1/predict", headers={"Origin": "https://evil.example", **asked})
        assert "access-control-allow-origin" not in other.headers
        assert client.get("/docs").status_code == client.get("/openapi.json").status_code == 401
        assert client.get("/docs", headers={"Authorization": "Bearer t"}).status_code == 200
    with TestClient(create_app(open_service(package))) as client:
        assert "access-control-allow-origin" not in client.get("/docs", headers={"Origin": "https://a.example"}).headers


def test_https_with_files_of_ones_own(package: Path, tmp_path: Path, launch: Launch) -> None:
    import subprocess

    from modelyard.errors import UserError
    from modelyard.serve.server import serve

    made = tmp_path / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(tmp_path / "key.pem"), "-out", str(made)],
        check=True, capture_output=True,
    )  # fmt: skip
    with pytest.raises(UserError, match="cannot be used"):
        serve(package, certificate=made, port=0)
    with pytest.raises(UserError, match="and no certificate"):
        serve(package, certificate_key=made, port=0)
    running = launch(
        "-m", "modelyard.serve.server", str(package), "--port", "0", "--certificate", str(made), "--certificate-key",
        str(tmp_path / "key.pem"),
    )  # fmt: skip
    assert running.url.startswith("https://")
    with httpx.Client(verify=ssl.create_default_context(cafile=str(made)), timeout=20) as client:
        until(lambda: client.get(f"{running.url}/readyz").status_code == 200)
        assert client.post(f"{running.url}/v1/predict", json={"row": ROW}).status_code == 200
