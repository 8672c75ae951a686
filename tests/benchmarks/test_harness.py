"""The harness of `benchmarks/`: cells that survive a kill, contenders, commands. No peer is installed and nothing is trained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import fraud, harness, mail, ratios, tables
from benchmarks.__main__ import main


def session(folder: Path, **changed: Any) -> harness.Session:
    values: dict[str, Any] = {"settings": {"budget": 1.0}, "defaults": {"budget": 1.0}, **changed}
    return harness.Session("toy", results=folder, document=folder / "benchmarks.md", **values)


def result(bars: list[ratios.Bar] | None = None) -> ratios.Result:
    return ratios.Result("toy", bars or [], [("Figures.", ["a", "b"], [["1", "x|y"]])], {"a": 1})


# -- cells ----------------------------------------------------------------------------------------------------------------


def test_a_cell_that_is_there_is_not_run_again_unless_asked(tmp_path: Path) -> None:
    ran: list[str] = []

    def make(cell: str, turn: int) -> dict[str, Any]:
        ran.append(f"{cell}{turn}")
        return {"turn": turn}

    cells = ["a-0", "a-1", "b-0"]
    found = session(tmp_path, only=["a"]).run(cells, make)
    assert ran == ["a-00", "a-11"] and list(found) == ["a-0", "a-1"]
    assert found["a-1"]["turn"] == 1 and found["a-1"]["others"] >= 0
    assert list(session(tmp_path).run(cells, make)) == cells and ran[2:] == ["b-02"]
    session(tmp_path, only=["a-1"], again=True).run(cells, make)
    assert ran[3:] == ["a-11"]


def test_one_contender_runs_anew_and_the_others_answers_stay(tmp_path: Path) -> None:
    ours, peer = (harness.Entry(name, name, None, {}) for name in ("ours", "peer"))
    assert session(tmp_path, contenders=("peer",)).run(["a"], lambda cell, turn: {}) == {}, "a whole cell comes first"
    for number, contenders in enumerate([(), ("peer",)]):
        here = session(tmp_path, contenders=contenders)
        names = [entry.name for entry in here.taking_part([ours, peer])]
        found = here.run(
            ["a"], lambda cell, turn, n=number, all=names: {"before": n, "contenders": dict.fromkeys(all, n)}
        )
    assert found["a"]["contenders"] == {"ours": 0, "peer": 1} and found["a"]["before"] == 0


def test_a_killed_cell_leaves_nothing_and_the_others_stay(tmp_path: Path) -> None:
    def make(cell: str, turn: int) -> dict[str, Any]:
        if cell == "b":
            raise KeyboardInterrupt
        return {"cell": cell}

    with pytest.raises(KeyboardInterrupt):
        session(tmp_path).run(["a", "b", "c"], make)
    assert session(tmp_path).path("a").exists() and not session(tmp_path).path("b").exists()
    assert list(session(tmp_path).run(["a", "b", "c"], lambda cell, turn: {})) == ["a", "b", "c"]


def test_other_settings_have_cells_of_their_own(tmp_path: Path) -> None:
    quick = session(tmp_path, settings={"budget": 0.1})
    quick.run(["a"], lambda cell, turn: {})
    assert not session(tmp_path).path("a").exists() and quick.path("a").exists()


def test_only_a_whole_run_at_the_defaults_is_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session(tmp_path, settings={"budget": 0.1}).finish(result(), whole=True)
    session(tmp_path).finish(result(), whole=False)
    assert not (tmp_path / "toy.json").exists() and not (tmp_path / "benchmarks.md").exists()
    session(tmp_path).finish(result([ratios.Bar("speed", "≥ 2", "1.5", False)]), whole=True)
    assert "**missed**" in (tmp_path / "benchmarks.md").read_text() and (tmp_path / "toy.json").exists()
    assert capsys.readouterr().out.count("## toy") == 3


# -- contenders and commands ----------------------------------------------------------------------------------------------


def test_a_contender_answers_prints_harmlessly_and_dies_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "_talk.py").write_text((harness.CONTENDERS / "_talk.py").read_text())
    (tmp_path / "toy.py").write_text(
        "import os, _talk\n"
        "class Toy:\n"
        "    def fit(self, value): print('noise'); os.system('echo more noise'); return value + 1\n"
        "    def one(self, count, start): return _talk.timed(lambda row: row, [1, 2, 3], count=count, start=start)\n"
        "    def fail(self): raise ValueError('no luck')\n"
        "    def die(self): os._exit(3)\n"
        "_talk.serve(Toy())\n"
    )
    monkeypatch.setattr(harness, "CONTENDERS", tmp_path)
    with harness.contender("toy", "toy", sys.executable, folder=tmp_path) as toy:
        assert toy.do("fit", value=41) == 42 and toy.peak > 0 and "fit" in toy.seconds
        assert len(toy.do("one", count=5, start=2)) == 5
        with pytest.raises(RuntimeError, match="toy: fail: ValueError: no luck"):
            toy.do("fail")
        assert toy.do("fit", value=1) == 2
        with pytest.raises(RuntimeError, match="it died"):
            toy.do("die")
        with pytest.raises(RuntimeError, match="it died"):
            toy.do("fit", value=1)


def test_measured_reports_seconds_peak_output_and_failure() -> None:
    found = harness.measured([sys.executable, "-c", "data = bytearray(80_000_000); print(len(data))"])
    assert found["output"].strip() == "80000000" and found["peak"] > 80e6 and found["seconds"] > 0
    with pytest.raises(Exception, match="exit status 3"):
        harness.measured([sys.executable, "-c", "raise SystemExit(3)"])


class Alone(harness.Others):
    """On a machine where nobody else works."""

    def _counted(self) -> float:
        return harness.Others._ours(self) + 1000.0


class Forgetful(Alone):
    """Takes its own work for that of others."""

    def _ours(self) -> float:
        return 0.0


def test_our_own_work_is_not_counted_as_others() -> None:
    alone, forgetful = Alone(), Forgetful()
    harness.measured([sys.executable, "-c", "import time\nwhile time.process_time() < 0.8: pass"])
    assert alone.cores() < 0.05
    assert forgetful.cores() > 0.3


def test_the_command_lists_benchmarks_and_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("mail", "tables", "fraud", "single_row", "package"))
    for wrong in (["nothing"], ["mail", "--folds", "domain-9"], ["mail", "--rounds", "3"]):
        with pytest.raises(SystemExit) as stopped:
            main(wrong)
        assert stopped.value.code == 2
    assert "Cells: domain-0" in capsys.readouterr().err


def test_every_peer_has_pinned_requirements_without_cuda() -> None:
    for peer in {
        entry.peer
        for entry in (
            *mail.entries({"budget": 360.0}, "time"),
            *tables.entries(tables.DEFAULTS, "credit-0-0"),
            *fraud.entries(fraud.DEFAULTS),
        )
    } - {None}:
        lines = [
            line
            for line in (harness.ENVIRONMENTS / f"{peer}.txt").read_text().splitlines()
            if line and not line.startswith("#")
        ]
        assert lines and all("==" in line for line in lines)
        assert not [line for line in lines if line.startswith("nvidia") or line.split("==")[0] == "xgboost"]
