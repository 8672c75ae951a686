"""The document that says which version is served: its steps, and what happens when they meet."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from serve_helpers import make_package

from modelyard.errors import PackageError, UserError
from modelyard.serve.deployment import FILE, DeploymentFile


@pytest.fixture
def versions(model_folder: Path, tmp_path: Path) -> list[Path]:
    return [make_package(model_folder, tmp_path / f"v{number}", version=f"{number}.0.0") for number in (1, 2, 3)]


@pytest.fixture
def file(tmp_path: Path) -> DeploymentFile:
    return DeploymentFile(tmp_path / "state")


def test_a_version_is_placed_tried_promoted_and_taken_back(file: DeploymentFile, versions: list[Path]) -> None:
    assert file.place(versions[0], now=1.0).default == "standing"
    file.try_out(versions[1], now=2.0, percent=25)
    model = file.read().models["standing"]
    assert model.trial is not None and (model.live.version, model.trial.placed.version) == ("1.0.0", "2.0.0")
    model = file.promote("standing", now=3.0).models["standing"]
    assert (model.live.version, model.trial, [placed.version for placed in model.past]) == ("2.0.0", None, ["1.0.0"])
    model = file.roll_back("standing", now=4.0, reason="customers wrote").models["standing"]
    assert (model.live.version, model.past) == ("1.0.0", ())
    assert [event.kind for event in model.events] == ["live", "canary", "promoted", "rolled_back"]
    assert model.events[-1].reason == "customers wrote"


def test_the_copy_stays_when_the_build_goes_on(file: DeploymentFile, versions: list[Path]) -> None:
    placed = file.place(versions[0], now=1.0).models["standing"].live
    (versions[0] / "artifact.json").unlink()
    assert (file.state / placed.folder / "artifact.json").exists()


def test_only_named_packages_are_kept(file: DeploymentFile, versions: list[Path]) -> None:
    file.place(versions[0], now=1.0)
    file.try_out(versions[1], now=2.0)
    file.try_out(versions[2], now=3.0)
    kept = sorted(folder.name.split("-")[1] for folder in (file.state / "packages").iterdir())
    assert kept == ["1.0.0", "3.0.0"]


def test_the_same_package_twice_changes_nothing(file: DeploymentFile, versions: list[Path]) -> None:
    before = file.place(versions[0], now=1.0)
    assert file.place(versions[0], now=2.0) == before
    with pytest.raises(UserError, match="live already"):
        file.try_out(versions[0], now=3.0)


def test_a_roll_back_of_a_trial_that_is_gone_does_nothing(file: DeploymentFile, versions: list[Path]) -> None:
    file.place(versions[0], now=1.0)
    deployment = file.try_out(versions[1], now=2.0)
    trial = deployment.models["standing"].trial
    assert trial is not None
    promoted = file.promote("standing", now=3.0)
    assert file.roll_back("standing", now=4.0, trial=trial.placed.hash) == promoted


def test_what_cannot_be(file: DeploymentFile, versions: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model 'standing' is deployed"):
        file.try_out(versions[0], now=1.0)
    file.place(versions[0], now=1.0)
    with pytest.raises(UserError, match="no trial to promote"):
        file.promote("standing", now=2.0)
    with pytest.raises(UserError, match="neither a trial nor an earlier version"):
        file.roll_back("standing", now=2.0)
    with pytest.raises(UserError, match="Did you mean 'standing'"):
        file.promote("standin", now=2.0)
    with pytest.raises(PackageError, match="no package"):
        file.place(tmp_path / "nowhere", now=2.0)
    (versions[1] / "one" / "features.json").write_text("{}")
    with pytest.raises(PackageError, match=r"features\.json"):
        file.place(versions[1], now=2.0)
    (file.state / FILE).write_text('{"models": 3}')
    with pytest.raises(UserError, match=r"deployment\.json cannot be read"):
        file.read()


def test_two_who_change_it_at_once_lose_nothing(file: DeploymentFile, model_folder: Path, tmp_path: Path) -> None:
    packages = [make_package(model_folder, tmp_path / f"m{number}", name=f"model{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda package: file.place(package, now=1.0), packages))
    assert len(file.read().models) == 8
