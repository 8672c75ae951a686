"""Killed with -9 at random moments, a build resumes and ends in the same records as an unbroken one, times aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelyard import Blueprint
from modelyard.store import Store
from tests import toys
from tests.killing import run_broken, run_unbroken, stable, start

pytest.importorskip("torch")


def blueprint_of(folder: Path, *, budget: str = "300 s", **candidates: Any) -> Path:
    """Texts, these candidates beside a linear model, and a checkpoint as often as can be, so that kills strike between two."""
    train = {"budget": budget, "candidates": {"linear": {}, **candidates}, "checkpoint": "0.2 s"}
    return toys.write_blueprint(folder, toys.write_texts(folder), target="label", train=train)


def encoder_blueprint(folder: Path) -> Path:
    """Every stage and an encoder whose training takes most of the time, so that kills strike inside it."""
    return blueprint_of(folder, encoder={"pretrained": str(toys.write_encoder(folder)), "epochs": 6, "max_length": 32})


def test_three_kills(tmp_path: Path) -> None:
    blueprint = encoder_blueprint(tmp_path)
    seconds = run_unbroken(blueprint, tmp_path / "unbroken")
    decisions = tmp_path / "unbroken" / "decisions.json"
    struck, _ = run_broken(blueprint, tmp_path / "broken", decisions, kills=3, longest=0.8 * seconds, seed=1)
    assert struck, "no kill struck: the run was over too soon"
    assert stable(tmp_path / "broken") == stable(tmp_path / "unbroken")


@pytest.mark.parametrize("model", ["mlp", pytest.param("encoder", marks=pytest.mark.long)])
def test_kills_of_a_run_that_takes_its_own_decisions(model: str, tmp_path: Path) -> None:
    """With so much time, and one precision, that clocks decide nothing."""
    options: dict[str, Any] = {"precision": "fp32", "epochs": 200, "patience": None}
    if model == "encoder":
        options |= {"pretrained": str(toys.write_encoder(tmp_path)), "epochs": 60, "max_length": 32}
    blueprint = blueprint_of(tmp_path, budget="3000 s", **{model: options})
    seconds = run_unbroken(blueprint, tmp_path / "unbroken", "--to", "audit")
    kills = 1 if model == "mlp" else 3
    struck, stood = run_broken(
        blueprint, tmp_path / "broken", None, "--to", "audit", kills=kills, longest=0.4 * seconds, seed=1
    )
    assert struck and stood, "no kill struck after a decision"
    told = ("prepare", "train", "evaluate", "audit")
    assert stable(tmp_path / "broken", told) == stable(tmp_path / "unbroken", told)


@pytest.mark.long
def test_twenty_kills(tmp_path: Path) -> None:
    blueprint = encoder_blueprint(tmp_path)
    seconds = run_unbroken(blueprint, tmp_path / "unbroken")
    wanted, struck, attempt = stable(tmp_path / "unbroken"), 0, 0
    while struck < 20:
        folder = tmp_path / f"broken-{attempt}"
        more, _ = run_broken(
            blueprint, folder, tmp_path / "unbroken" / "decisions.json", kills=4, longest=0.7 * seconds, seed=attempt
        )
        struck += more
        assert stable(folder) == wanted, f"attempt {attempt}, {struck} kills so far"
        attempt += 1


@pytest.mark.long
def test_two_kills_on_real_mail(tmp_path: Path) -> None:
    blueprint = Path(__file__).parent.parent / "recipes" / "mail-spam" / "blueprint.yaml"
    seconds = run_unbroken(blueprint, tmp_path / "unbroken")
    decisions = tmp_path / "unbroken" / "decisions.json"
    struck, _ = run_broken(blueprint, tmp_path / "broken", decisions, kills=2, longest=0.4 * seconds, seed=2)
    assert struck == 2
    assert stable(tmp_path / "broken") == stable(tmp_path / "unbroken")


def test_a_second_command_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    blueprint = toys.write_blueprint(tmp_path, toys.write_table(tmp_path), target="status")
    Blueprint.load(blueprint)
    with Store(tmp_path / "build").lock():
        process = start(blueprint, tmp_path / "build")
        _, error = process.communicate()
    assert process.returncode == 2
    assert b"in use by process" in error and b"Traceback" not in error
