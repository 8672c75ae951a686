"""The page at /docs in a real browser: it fills its form, sends it, shows the answer and marks a refused field."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from serve_helpers import Running, client, make_painter, until

CHROMIUM = shutil.which("chromium")
FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)"),
]


def after(launch: Callable[..., Running], model: Path, profile: Path, script: str) -> str:
    """The page's DOM after the script has run and its request was answered."""
    running = launch(str(Path(__file__).parent / "clicking_service.py"), str(model), script)
    until(lambda: client().get(running.url + "/readyz").status_code == 200)
    command = [
        str(CHROMIUM),
        *FLAGS.split(),
        f"--user-data-dir={profile}",
        "--virtual-time-budget=4000",
        "--dump-dom",
        running.url + "/docs",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_send_shows_the_answer(launch: Callable[..., Running], model_folder: Path, tmp_path: Path) -> None:
    shown = after(
        launch,
        model_folder,
        tmp_path,
        "inputs.note.value = 'very late'; document.querySelector('button.main').click();",
    )
    result = shown[shown.index('id="result"') :]
    assert '<div class="answer">bad</div>' in result
    assert re.search(r'Status <b class="good">200</b>', result)
    assert result.count('class="share') == 2


def test_a_refused_field_is_marked(launch: Callable[..., Running], model_folder: Path, tmp_path: Path) -> None:
    shown = after(
        launch, model_folder, tmp_path, "inputs.age.value = 'old'; document.querySelector('button.main').click();"
    )
    assert re.search(r"<input[^>]*id=\"field0\"[^>]*aria-invalid=\"true\"", shown)
    assert "row 0: age: must be a number" in shown


def test_a_made_image_is_shown(launch: Callable[..., Running], tmp_path: Path) -> None:
    shown = after(
        launch, make_painter(tmp_path / "model"), tmp_path / "profile", "document.querySelector('button.main').click();"
    )
    result = shown[shown.index('id="result"') :]
    assert re.search(r'<img class="made" alt="answer" src="data:image/png;base64,iVBORw0KGgo[^"]+">', result)
    assert "Accept: image/png" in shown
