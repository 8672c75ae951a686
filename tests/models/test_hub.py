"""A hub id: fetched over HTTP from a hub of our own (a small randomly initialised encoder), kept, and read again without it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests import toys

pytest.importorskip("transformers")
NAME, COMMIT = "yard/tiny-encoder", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """Its address, and the paths it was asked for."""
    folder = toys.write_encoder(tmp_path / "hub")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle that nobody may fetch")
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, *, body: bool) -> None:
            path = self.path.split("?")[0]
            asked.append(path)
            name = path.rsplit("/", 1)[-1]
            if path.startswith(f"/api/models/{NAME}/tree/"):
                sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
                tree = [{"type": "file", "path": name, "size": size, "oid": name} for name, size in sizes.items()]
                data = json.dumps(tree).encode()
            elif path.startswith(f"/api/models/{NAME}"):
                files = [{"rfilename": file.name} for file in sorted(folder.iterdir())]
                data = json.dumps({"id": NAME, "modelId": NAME, "sha": COMMIT, "siblings": files}).encode()
            elif path.startswith(f"/{NAME}/resolve/") and (folder / name).is_file():
                data = (folder / name).read_bytes()
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def log_message(self, format: str, *values: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def located(home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`locate` in a process of its own, whose hub client reads its environment at import."""
    code = f"from modelyard.models.encoder import locate; print(locate({NAME!r}))"
    return process([sys.executable, "-c", code], home, **environment)


def process(command: list[str], home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command with this cache of the hub and nothing of this process's hub settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    given = {**kept, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", **environment}
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=120)


def test_an_encoder_is_fetched_once_and_without_pickles(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    address, asked = hub
    first = located(tmp_path / "home", HF_ENDPOINT=address)
    assert first.returncode == 0, first.stderr
    folder = Path(first.stdout.strip())
    assert {file.name for file in folder.iterdir()} >= {"config.json", "tokenizer.json", "model.safetensors"}
    assert not any("pytorch_model.bin" in path for path in asked) and not (folder / "pytorch_model.bin").exists()

    asked.clear()
    again = located(tmp_path / "home", HF_ENDPOINT=address, HF_HUB_OFFLINE="1")
    assert again.returncode == 0 and again.stdout == first.stdout and not asked

    refused = located(tmp_path / "elsewhere", HF_ENDPOINT=address, HF_HUB_OFFLINE="1")
    assert refused.returncode and "may not be fetched" in refused.stderr and not asked

    (folder / "model.safetensors").unlink()  # as a fetch that was killed leaves it
    halved = located(tmp_path / "home", HF_ENDPOINT=address, HF_HUB_OFFLINE="1")
    assert halved.returncode and "may not be fetched" in halved.stderr and not asked
    mended = located(tmp_path / "home", HF_ENDPOINT=address)
    assert mended.returncode == 0 and (folder / "model.safetensors").exists() and asked


def trained(folder: Path, address: str, policy: str) -> subprocess.CompletedProcess[str]:
    """A build of its own, up to `train`, with an encoder of the hub and this `downloads`; all share one cache of the hub."""
    place = folder / policy
    place.mkdir(exist_ok=True)
    candidates = {"encoder": {"pretrained": NAME, "epochs": 1, "max_length": 32}}
    blueprint = toys.write_blueprint(
        place, toys.write_texts(place), target="label", downloads=policy, train={"candidates": candidates}
    )
    wanted = ["run", str(blueprint), "-o", str(place / "build"), "--to", "train", "--quiet"]
    return process([sys.executable, "-m", "modelyard", *wanted], folder / "home", HF_ENDPOINT=address)


def test_downloads_never_asks_nobody(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    address, asked = hub
    refused = trained(tmp_path, address, "never")
    said = " ".join(refused.stderr.split())
    assert refused.returncode == 2 and not asked
    assert "may not be fetched (downloads: never). Put config.json, tokenizer.json and model.safetensors of" in said

    fetched = trained(tmp_path, address, "build")
    assert fetched.returncode == 0, fetched.stderr
    assert any(path.endswith("model.safetensors") for path in asked)

    asked.clear()
    cached = trained(tmp_path, address, "never")
    assert cached.returncode == 0, cached.stderr
    assert not asked
