"""The files that run a package elsewhere say the same as the service, are hardened, and start it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from deploying_files import load
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from modelyard.accounts.state import State
from modelyard.context import Context
from modelyard.errors import PackageError, UserError
from modelyard.package import deploying
from modelyard.packages import open_package, read_manifest
from modelyard.serve.limits import Limits

# -- part of the package -------------------------------------------------------------------------------------------------


def test_the_hashes_cover_them(package: Path) -> None:
    open_package(package)  # the clean control
    place = package / "deploy" / "Dockerfile"
    place.write_text(place.read_text() + "USER root\n")
    with pytest.raises(PackageError, match="deploy/Dockerfile was changed"):
        open_package(package)


def test_everybody_may_read_a_package(package: Path) -> None:
    """A container's user is not who built: a file for its owner alone would stop the service."""
    for place in package.rglob("*"):
        assert place.stat().st_mode & 0o777 == (0o755 if place.is_dir() else 0o644), place


def test_they_carry_nothing_of_this_machine(folder: Path, built: Context) -> None:
    here = (str(Path.home()), str(built.store.path("package")), sys.prefix, socket.gethostname(), os.getcwd())
    for place in filter(Path.is_file, folder.rglob("*")):
        text = place.read_text()
        assert not [name for name in here if len(name) > 3 and name in text], place
        assert "{{ " not in text.replace("{{ $", "") and "None" not in text, place


def test_only_the_package_enters_the_image(folder: Path) -> None:
    lines = (folder / "Dockerfile.dockerignore").read_text().splitlines()
    names = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines and names == {place.name for place in folder.parent.iterdir()} | {"verdict.json"}


@settings(max_examples=50)
@given(st.text(min_size=1, max_size=90))
def test_names_that_kubernetes_and_images_take(text: str) -> None:
    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", deploying.label(text))
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", deploying.tag(text))


def test_the_longest_strangest_names_stay_whole(built: Context) -> None:
    """A name and a version can break no file: each still reads as what it is."""
    package = built.store.path("package")
    manifest = read_manifest(package).model_copy(update={"name": "7" + "a-" * 31, "version": "1: 'x' {y}\n- z"})
    made = deploying.texts(package, manifest, (), installed=0)
    for name, text in made.items():
        if name.endswith((".yaml", ".yml")):
            assert YAML(typ="safe").load(text), name
    assert made["Dockerfile"].count("\n") == (package / "deploy" / "Dockerfile").read_text().count("\n")


def test_a_library_of_the_system_only_where_it_is_needed(built: Context) -> None:
    package = built.store.path("package")
    manifest = read_manifest(package)
    for pinned, wanted in (((), False), (("lightgbm==4.6.0",), True)):
        text = deploying.texts(package, manifest, pinned, installed=0)["Dockerfile"]
        assert ("libgomp1" in text) == wanted == ("apt-get" in text)


# -- times ---------------------------------------------------------------------------------------------------------------


def short_times(folder: Path, limits: Limits) -> list[str]:
    """Places that would kill the service before it has finished."""
    needed = limits.linger + limits.drain_time
    pod = load(folder / "kubernetes" / "deployment.yaml")["spec"]["template"]["spec"]
    leave = float(re.search(r"sleep\((\d+)\)", pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][2])[1])  # type: ignore[index]
    unit = re.search(r"^TimeoutStopSec=(\d+)$", (folder / "modelyard.service").read_text(), re.M)
    times = {
        "compose": float(load(folder / "compose.yaml")["services"]["service"]["stop_grace_period"].rstrip("s")),
        "kubernetes": pod["terminationGracePeriodSeconds"] - leave,
        "systemd": float(unit[1]) if unit else 0.0,
    }
    return [name for name, seconds in times.items() if seconds <= needed]


def test_what_was_begun_is_finished(folder: Path) -> None:
    assert Limits().drain_time == deploying.DRAIN
    assert short_times(folder, Limits()) == []
    assert short_times(folder, Limits(drain_time=60.0)) == ["compose", "kubernetes", "systemd"]


# -- secrets -------------------------------------------------------------------------------------------------------------


def test_the_secrets_of_the_readme(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands make them, over no old one, and the service reads what compose names."""
    script = re.search(r"## Secrets.*?```sh\n(.*?)```", (folder / "README.md").read_text(), re.S)
    assert script
    (tmp_path / "package").mkdir()

    def make() -> int:
        return subprocess.run(
            ["sh", "-ec", script[1]], cwd=tmp_path / "package", capture_output=True, check=False
        ).returncode

    assert make() == 0
    made = {place.name: place.read_text() for place in (tmp_path / "secrets").iterdir()}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert load(folder / "compose.yaml")["secrets"].keys() == made.keys()
    assert make() != 0 and made == {place.name: place.read_text() for place in (tmp_path / "secrets").iterdir()}
    given = load(folder / "compose.yaml")["services"]["service"]["environment"]
    for name, place in given.items():
        monkeypatch.setenv(name, str(tmp_path / "secrets" / Path(place).name))
    state = State(tmp_path / "state")
    assert state.admin_token() == made["admin_token"] and state.database == made["database_url"]
    assert made["database_password"] in state.database
    state.box()
    assert not (tmp_path / "state").exists(), "nothing of it was written down again"


def test_secrets_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "token"
    monkeypatch.setenv("MODELYARD_ADMIN_TOKEN_FILE", str(place))
    with pytest.raises(UserError, match="cannot be read"):
        State(tmp_path).admin_token()
    place.write_text(" \n")
    with pytest.raises(UserError, match="is empty"):
        State(tmp_path).admin_token()
    place.write_text("long-random\n")
    assert State(tmp_path).admin_token() == "long-random"
    monkeypatch.setenv("MODELYARD_ADMIN_TOKEN", "nearer")
    assert State(tmp_path).admin_token() == "nearer"
