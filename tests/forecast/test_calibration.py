"""Ceilings are measured once, kept, and measured anew where what was kept cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.forecast import calibration


def test_measured_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = calibration.ceilings(place=tmp_path)
    assert (
        1e8 < first.flops < 1e15 and 1e8 < first.bandwidth < 1e13 and min(first.trees, first.words, first.python) > 1e3
    )
    monkeypatch.setattr(calibration, "measure", lambda: pytest.fail("measured again"))
    assert calibration.ceilings(place=tmp_path) == first
    (kept,) = tmp_path.iterdir()
    kept.write_text("{", encoding="utf-8")
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        calibration.ceilings(place=tmp_path)


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = calibration.Ceilings(flops=1.0, bandwidth=1.0, trees=1.0, words=1.0, python=1.0)
    monkeypatch.setattr(calibration, "measure", lambda: known)
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert calibration.ceilings(place=tmp_path / "file") == known


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert calibration.folder() == tmp_path / "modelyard" / "forecast"
