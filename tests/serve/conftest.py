"""A small real model folder, and a real server over it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from paying_service import Business
from serve_helpers import Running, client, make_model, make_package, start, until


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the small model."""
    return make_model(tmp_path_factory.mktemp("model") / "standing")


@pytest.fixture(scope="session")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Running]]:
    """Start servers that are surely ended with the session."""
    started: list[Running] = []

    def launch(*command: str, **environment: str) -> Running:
        log = tmp_path_factory.mktemp("log") / "log"
        started.append(start([sys.executable, *command], log, environment=environment))
        return started[-1]

    yield launch
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


@pytest.fixture(scope="session")
def server(model_folder: Path, launch: Callable[..., Running]) -> Running:
    """The small model, served by a real server process."""
    running = launch("-m", "modelyard.serve.server", str(model_folder), "--port", "0")
    until(lambda: client().get(f"{running.url}/readyz").status_code == 200)
    return running


@pytest.fixture(scope="module")
def package(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model as a package."""
    return make_package(model_folder, tmp_path_factory.mktemp("package") / "v1")


@pytest.fixture(scope="module")
def business(
    package: Path, tmp_path_factory: pytest.TempPathFactory, launch: Callable[..., Running]
) -> Iterator[Business]:
    """It, served with accounts; each module of tests has its own."""
    yield Business(launch, package, tmp_path_factory.mktemp("state"))
