"""A real server that follows its state folder: a version takes another's place, or is turned away, under load."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from serve_helpers import ROW, Running, client, make_key, make_package, until

from modelyard.cli import app
from modelyard.errors import PackageError, UserError
from modelyard.serve.deployment import DeploymentFile
from modelyard.serve.server import serve

Launch = Callable[..., Running]


@pytest.fixture
def versions(model_folder: Path, tmp_path: Path) -> list[Path]:
    return [make_package(model_folder, tmp_path / f"v{number}", version=f"{number}.0.0") for number in (1, 2)]


class Callers:
    """Clients that ask without a pause, and remember what they were told."""

    def __init__(self, url: str, state: Path, *, count: int = 3) -> None:
        self._key = make_key(state)
        self.url, self.told, self.failures = url, list[str](), list[str]()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with httpx.Client(timeout=30, headers={"Authorization": f"Bearer {self._key}"}) as session:
            while not self._stop.is_set():
                answer = session.post(f"{self.url}/v1/predict", json={"row": ROW})
                if answer.status_code == 200:
                    self.told.append(answer.json()["model"]["version"])
                else:
                    self.failures.append(answer.text)
                time.sleep(0.002)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_new_version_takes_over_under_load_and_no_request_fails(
    versions: list[Path], tmp_path: Path, launch: Launch, workers: int
) -> None:
    state = tmp_path / "state"
    running = launch(
        "-m",
        "modelyard.serve.server",
        str(versions[0]),
        "--state",
        str(state),
        "--port",
        "0",
        "--workers",
        str(workers),
    )
    until(lambda: client().get(f"{running.url}/readyz").status_code == 200)
    file = DeploymentFile(state)
    with Callers(running.url, state) as callers:
        until(lambda: len(callers.told) > 50)
        file.try_out(versions[1], now=time.time(), percent=50)
        until(lambda: "2.0.0" in callers.told)
        assert "1.0.0" in callers.told[-200:]
        file.promote("standing", now=time.time())
        until(lambda: set(callers.told[-100:]) == {"2.0.0"})
        file.roll_back("standing", now=time.time())
        until(lambda: set(callers.told[-100:]) == {"1.0.0"})
    assert callers.failures == []


def test_a_broken_package_is_refused_before_anything_changes(versions: list[Path], tmp_path: Path) -> None:
    file = DeploymentFile(tmp_path / "state")
    before = file.place(versions[0], now=1.0)
    (versions[1] / "one" / "weights.safetensors").write_bytes(b"broken")
    with pytest.raises(PackageError, match=r"weights\.safetensors"):
        file.try_out(versions[1], now=2.0)
    assert file.read() == before


def test_it_serves_again_what_the_state_folder_holds(versions: list[Path], tmp_path: Path, launch: Launch) -> None:
    state = tmp_path / "state"
    file = DeploymentFile(state)
    file.place(versions[0], now=1.0)
    running = launch("-m", "modelyard.serve.server", str(versions[1]), "--state", str(state), "--port", "0")
    running.process.terminate()
    assert running.process.wait(timeout=30) == 0
    running = launch("-m", "modelyard.serve.server", "--state", str(state), "--port", "0")
    until(lambda: client().get(f"{running.url}/readyz").status_code == 200)
    listed = client().get(f"{running.url}/v1/models").json()
    assert [(model["id"], model["version"]) for model in listed["data"]] == [("standing", "2.0.0")]
    headers = {"Authorization": f"Bearer {make_key(state)}"}
    for model, status in (("standing", 200), ("other", 404)):
        answer = client().post(f"{running.url}/v1/models/{model}/predict", json={"row": ROW}, headers=headers)
        assert answer.status_code == status


def test_nothing_to_serve_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no package to serve"):
        serve()
    with pytest.raises(UserError, match="holds no model yet"):
        serve(state=tmp_path / "state")


def test_the_commands_do_the_same(versions: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def yard(*command: str) -> str:
        with pytest.raises(SystemExit) as ended:
            app(["models", *command, "--state", str(tmp_path / "state")])
        assert ended.value.code == 0
        return capsys.readouterr().out

    assert "standing: live 1.0.0" in yard("place", str(versions[0]))
    assert "canary 2.0.0 on 5 %" in yard("try", str(versions[1]), "--percent", "5")
    assert "rolled back 2.0.0: too slow" in yard("roll-back", "standing", "--reason", "too slow")
    yard("try", str(versions[1]))
    assert "standing: live 2.0.0" in yard("promote", "standing")
    assert yard("list").count("2.0.0") == 5
