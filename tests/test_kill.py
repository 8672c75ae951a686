"""Killed with -9 at random moments, a build resumes and ends in the same records as an unbroken one, times aside."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelyard import Blueprint
from modelyard.errors import Busy
from modelyard.store import Store
from tests import toys
from tests.killing import run_broken, run_unbroken, stable, start

pytest.importorskip("torch")


def encoder_blueprint(folder: Path) -> Path:
    """Every stage and an encoder whose training takes most of the time, so that kills strike inside it."""
    encoder = toys.write_encoder(folder)
    candidates = {"linear": {}, "encoder": {"pretrained": str(encoder), "epochs": 6, "max_length": 32}}
    return toys.write_blueprint(
        folder,
        toys.write_texts(folder),
        target="label",
        train={"budget": "300 s", "candidates": candidates, "checkpoint": "0.2 s"},
    )


def test_three_kills(tmp_path: Path) -> None:
    blueprint = encoder_blueprint(tmp_path)
    seconds = run_unbroken(blueprint, tmp_path / "unbroken")
    struck = run_broken(
        blueprint, tmp_path / "broken", tmp_path / "unbroken" / "decisions.json", kills=3, longest=0.8 * seconds, seed=1
    )
    assert struck, "no kill struck: the run was over too soon"
    assert stable(tmp_path / "broken") == stable(tmp_path / "unbroken")


@pytest.mark.long
def test_twenty_kills(tmp_path: Path) -> None:
    blueprint = encoder_blueprint(tmp_path)
    seconds = run_unbroken(blueprint, tmp_path / "unbroken")
    wanted, struck, attempt = stable(tmp_path / "unbroken"), 0, 0
    while struck < 20:
        folder = tmp_path / f"broken-{attempt}"
        struck += run_broken(
            blueprint, folder, tmp_path / "unbroken" / "decisions.json", kills=4, longest=0.7 * seconds, seed=attempt
        )
        assert stable(folder) == wanted, f"attempt {attempt}, {struck} kills so far"
        attempt += 1


@pytest.mark.long
def test_two_kills_on_real_mail(tmp_path: Path) -> None:
    blueprint = Path(__file__).parent.parent / "recipes" / "mail-spam" / "blueprint.yaml"
    seconds = run_unbroken(blueprint, tmp_path / "unbroken")
    decisions = tmp_path / "unbroken" / "decisions.json"
    assert run_broken(blueprint, tmp_path / "broken", decisions, kills=2, longest=0.6 * seconds, seed=2) == 2
    assert stable(tmp_path / "broken") == stable(tmp_path / "unbroken")


def test_one_build_at_a_time(tmp_path: Path) -> None:
    with (
        Store(tmp_path / "build").lock(),
        pytest.raises(Busy, match=r"in use by process \d+"),
        Store(tmp_path / "build").lock(),
    ):
        pass


def test_a_second_command_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    blueprint = toys.write_blueprint(tmp_path, toys.write_table(tmp_path), target="status")
    Blueprint.load(blueprint)
    with Store(tmp_path / "build").lock():
        process = start(blueprint, tmp_path / "build")
        _, error = process.communicate()
    assert process.returncode == 2
    assert b"in use by process" in error and b"Traceback" not in error
