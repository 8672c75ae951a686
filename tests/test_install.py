"""The core alone, installed from nothing: tables work end to end, serving and report included, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import toys

ROOT = Path(__file__).parent.parent


@pytest.mark.long
def test_the_core_runs_tables_end_to_end_without_torch(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(ROOT)], check=True)
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json"], check=True, capture_output=True, text=True
    )
    names = {package["name"].lower() for package in json.loads(listed.stdout)}
    assert len(names - {"pip", "setuptools"}) <= 50
    assert not names & {"torch", "pandas", "transformers"}
    blueprint = toys.write_blueprint(tmp_path, toys.write_table(tmp_path), target="status")
    subprocess.run([python, "-m", "modelyard", "run", blueprint, "-o", tmp_path / "build"], check=True)
    assert (tmp_path / "build" / "report.html").exists()
    trained = json.loads((tmp_path / "build" / "train.json").read_text())
    (mlp,) = [candidate for candidate in trained["candidates"] if candidate["name"] == "mlp"]
    assert mlp["status"] == "skipped" and "pip install 'modelyard[neural]'" in mlp["reason"]
