"""The image's own steps, without an image: installed, started as nobody, sold from, ended."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deploying_files import Json, load

from modelyard.package import deploying
from modelyard.packages import read_manifest

# -- the image's steps, without an image ---------------------------------------------------------------------------------


def instruction(text: str, name: str) -> list[str]:
    """The JSON list of the last CMD, ENTRYPOINT or HEALTHCHECK."""
    (found,) = re.findall(rf"^{name}\b.*?(\[.*\])$", text, re.M)
    return json.loads(found)  # type: ignore[no-any-return]


NOBODY = "nobody" if os.getuid() == 0 else None
"""Who runs the service; root could write what nobody may."""


@pytest.fixture(scope="module")
def reachable() -> Iterator[Path]:
    """A folder that another user can enter, as those of pytest cannot be."""
    with tempfile.TemporaryDirectory(prefix="modelyard-image-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def installed(folder: Path, reachable: Path) -> Path:
    """An environment made of the package alone, by the Dockerfile's own two commands."""
    text = re.sub(r"\\\n", " ", (folder / "Dockerfile").read_text())
    place, work = reachable / "venv", reachable / "build"
    venv.create(place, with_pip=False)
    shutil.copytree(folder.parent, work)
    shutil.copy(folder / "requirements-postgres.txt", work)
    for line in re.findall(r"^RUN (.*pip --python.*)$", text, re.M):
        command = line.replace("pip --python /opt/modelyard", f"{sys.executable} -m pip -q --python {place}")
        ended = subprocess.run(["sh", "-ec", command], cwd=work, capture_output=True, text=True, check=False)
        if "No matching distribution" in ended.stderr or "ConnectionError" in ended.stderr:
            pytest.skip("the package index cannot be asked")
        assert ended.returncode == 0, ended.stderr[-2000:]
    return place / "bin"


def ask(port: int, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, Json]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.fixture(params=["sqlite", "postgres"])
def surroundings(request: pytest.FixtureRequest, folder: Path, reachable: Path) -> dict[str, str]:
    """The environment of the service: the image's own, or compose's with its secrets in files and a real PostgreSQL."""
    if request.param == "sqlite":
        return {}
    texts = {
        "database_url": request.getfixturevalue("postgres").new(),
        "answers_key": base64.b64encode(b"k" * 32).decode(),
        "admin_token": "of-a-file",
    }
    for name, text in texts.items():
        (reachable / name).write_text(text + "\n")
    given = load(folder / "compose.yaml")["services"]["service"]["environment"]
    return {name: str(reachable / Path(place).name) for name, place in given.items()}


@pytest.fixture
def started(
    installed: Path, reachable: Path, folder: Path, surroundings: dict[str, str]
) -> Iterator[tuple[int, Path, subprocess.Popen[bytes]]]:
    """The image's ENTRYPOINT and CMD, with a package that cannot be written: its port, its state, the process."""
    text = (folder / "Dockerfile").read_text()
    here = Path(tempfile.mkdtemp(dir=reachable))
    here.chmod(0o755)
    package = Path(shutil.copytree(folder.parent, here / "package"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    state = here / "state"
    state.mkdir(mode=0o700)
    if NOBODY:
        shutil.chown(state, NOBODY)
    for place in (*package.rglob("*"), package):
        place.chmod(0o555 if place.is_dir() else 0o444)
    places = {"/srv/package": str(package), "/var/lib/modelyard": str(state), "8000": str(port), "0.0.0.0": "127.0.0.1"}
    words = [places.get(word, word) for word in (*instruction(text, "ENTRYPOINT"), *instruction(text, "CMD"))]
    words[0] = str(installed / words[0])
    environment = {"PATH": str(installed), **surroundings}
    process = subprocess.Popen(words, env=environment, cwd=state, stderr=subprocess.DEVNULL, user=NOBODY)
    try:
        yield port, state, process
    finally:
        process.kill()
        process.wait()
        for place in (package, *package.rglob("*")):
            place.chmod(0o755 if place.is_dir() else 0o644)


@pytest.mark.long
def test_the_image_starts_sells_and_ends(
    started: tuple[int, Path, subprocess.Popen[bytes]], installed: Path, package: Path, surroundings: dict[str, str]
) -> None:
    port, state, process = started
    program = instruction((package / "deploy" / "Dockerfile").read_text(), "HEALTHCHECK")[-1].replace("8000", str(port))

    def health() -> int:
        return subprocess.run([installed / "python", "-c", program], capture_output=True, check=False).returncode

    until = time.monotonic() + 60
    while health() and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.2)
    assert health() == 0 and ask(port, "GET", "/readyz")[0] == 200

    def yard(*words: str) -> str:
        environment = {"PATH": str(installed), "MODELYARD_STATE": str(state), **surroundings}
        ended = subprocess.run(
            [installed / "yard", *words],
            env=environment,
            user=NOBODY,
            cwd=state,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    plan = "{name: starter, price: 49, included: 1000, share: 1, usage: 500}"
    blueprint = f"name: demo\ndata: {{source: x.csv, target: label}}\nbusiness:\n  plans:\n    - {plan}\n"
    told_by = re.search(r"service sh -c '(.+)' <", (package / "deploy" / "README.md").read_text())
    assert told_by
    subprocess.run(
        ["/bin/sh", "-ec", told_by[1].replace("/tmp/", f"{state}/")],
        env={"PATH": f"{installed}:{os.defpath}", "MODELYARD_STATE": str(state), **surroundings},
        input=blueprint.encode(),
        user=NOBODY,
        cwd=state,
        capture_output=True,
        check=True,
    )  # not by /dev/stdin: a pipe belongs to who made it, and the container's user may not open it again
    yard("customers", "add", "Kestrel", "--id", "kestrel", "--plan", "starter")
    key = re.search(r"yard_\S+", yard("keys", "issue", "kestrel"))
    assert key
    row = read_manifest(package).examples[0]
    assert ask(port, "POST", "/v1/predict", {"row": row})[0] == 401
    status, told = ask(port, "POST", "/v1/predict", {"row": row}, key[0])
    assert status == 200 and told["answers"] == [read_manifest(package).answers[0]]
    kept = {name for name in ("accounts.db", "answers.key", "admin.token") if (state / name).exists()}
    assert kept == (set() if surroundings else {"accounts.db", "answers.key", "admin.token"}), "a secret lies twice"
    process.terminate()
    assert process.wait(timeout=deploying.DRAIN + deploying.SPARE) == 0
    assert health() != 0, "the check tells a service that is gone"
