"""The command line as people and scripts meet it: what it imports, prints, writes and exits with."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import polars as pl
import pytest

from modelyard import explaining, parts
from modelyard.blueprint import Blueprint
from modelyard.cli import main
from modelyard.errors import UnknownPart
from modelyard.run import NAMES
from modelyard.starting import start
from modelyard.store import read_json

HEAVY = (
    "torch",
    "pandas",
    "polars",
    "transformers",
    "sklearn",
    "lightgbm",
    "scipy",
    "matplotlib",
    "fastapi",
    "starlette",
    "onnxruntime",
    "openvino",
)


def yard(argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, code: int = 0) -> str:
    monkeypatch.setattr(sys, "argv", ["yard", *argv])
    with pytest.raises(SystemExit) as stopped:
        main()
        raise SystemExit(0)
    captured = capsys.readouterr()
    assert (stopped.value.code or 0) == code, captured.err
    return captured.out if code == 0 else captured.err


# -- imports ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [
        "import modelyard; modelyard.Blueprint",
        "from modelyard.cli import main; import sys; sys.argv = ['yard', '--help']; main()",
        "from modelyard.cli import main; import sys; sys.argv = ['yard', 'list']; main()",
        "from modelyard.cli import main; import sys; sys.argv = ['yard', 'schema']; main()",
        "from modelyard.cli import main; import sys; sys.argv = ['yard', 'check', sys.argv[1]]; main()",
    ],
)
def test_the_front_imports_nothing_heavy(program: str, tmp_path: Path) -> None:
    (tmp_path / "blueprint.yaml").write_text("name: demo\ndata: {source: rows.csv, target: label}\n")
    script = textwrap.dedent(
        f"""
        import sys
        try:
            {program.replace("; ", chr(10) + " " * 12)}
        except SystemExit as stopped:
            assert not stopped.code, stopped.code
        sys.stderr.write(repr([name for name in {HEAVY!r} if name in sys.modules]))
        """
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ended.stderr == "[]"


def test_both_doors_lead_to_the_same() -> None:
    ended = subprocess.run([sys.executable, "-m", "modelyard", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"modelyard \d+\.\d+\.\d+\n", ended.stdout)


# -- looking things up --------------------------------------------------------------------------------------------------


def test_help_names_every_stage_and_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = yard(["--help"], monkeypatch, capsys)
    for name in (*NAMES, "init", "check", "run", "predict", "list", "explain", "check-part", "schema"):
        assert re.search(rf"\b{name}\b", told), name


def test_list_shows_every_part_with_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    told = yard(["list"], monkeypatch, capsys)
    for shelf in parts.SHELVES:
        for name in parts.names(shelf):
            assert re.search(rf"^  {name} +\S", told, re.MULTILINE), (shelf, name)
    assert "linear" not in yard(["list", "tasks"], monkeypatch, capsys)


def test_schema_is_json_that_knows_the_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(json.loads(yard(["schema"], monkeypatch, capsys))["properties"]) == set(Blueprint.model_fields)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "linear",
            [
                "models/linear.py:",
                "word_ngrams: whole number >= 0 <= 4  (default 2)",
                "Longest n-gram of words",
                "train:\n    candidates:\n      linear: {",
            ],
        ),
        ("models/linear", ["(models)"]),
        (
            "onnx-int8",
            ["(compress.methods)", "per_channel: true | false", "compress:\n    methods:\n      onnx-int8: {"],
        ),
        (
            "calibration",
            ["(audit.checks)", "audit:\n    checks:", "whether probabilities mean what they say"],
        ),  # a check and a word
        ("text-classification", ["(tasks)", "  task: text-classification"]),
        ("train.budget", ["Wall-clock limit", "quantity in s", "360 s", "train:\n    budget: 360 s"]),
        ("budget", ["train.budget", "wall-clock time for all candidates"]),
        ("prepare.split", ["keys", "by: auto | random", "column: text | null"]),
        ("train.candidates", ["names: ", "gradient-boosting"]),
        ("train.candidates.linear.penalty", ["l2 | l1", "ridge"]),
        ("business.plans.overage", ["number >= 0 | null", "one more request"]),
        ("business.churn", ["{low: 0.03, likely: 0.04, high: 0.07}"]),
        ("Gate", ["a demand on a record"]),
    ],
)
def test_explain(
    name: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = yard(["explain", name], monkeypatch, capsys)
    for word in words:
        assert word in told, told


def test_everything_can_be_explained() -> None:
    for shelf in parts.SHELVES:
        for name in parts.names(shelf):
            assert explaining.explain(f"{shelf}/{name}")
    for key in explaining.every_key():
        told = explaining.explain(key.name)
        assert key.name in told and key.doc.split()[0] in told
    for word in explaining.glossary():
        assert word in explaining.explain(word)


@pytest.mark.parametrize(
    ("name", "near"), [("lineer", "linear"), ("train.bugdet", "train.budget"), ("recrod", "record")]
)
def test_explain_knows_the_nearest_of_everything(name: str, near: str) -> None:
    with pytest.raises(UnknownPart, match=f"Did you mean '{near}'"):
        explaining.explain(name)


def test_an_example_of_every_part_is_a_blueprint() -> None:
    for shelf, where in (
        ("models", "train"),
        ("audit.checks", "audit"),
        ("compress.methods", "compress"),
        ("tasks", "task"),
    ):
        for name in parts.names(shelf):
            text = explaining.part_text(shelf, name)
            example = textwrap.dedent(text.partition("\nexample\n")[2])
            found = Blueprint.parse("name: demo\ndata: {source: rows.csv, target: label}\n" + example)
            assert name in str(getattr(found, where))


# -- yard init ----------------------------------------------------------------------------------------------------------


def frame(rows: int = 60) -> pl.DataFrame:
    """Every column type, and names that YAML would misread."""
    return pl.DataFrame(
        {
            "order id": [f"A-{n:05d}" for n in range(rows)],
            "amount": [n * 1.5 for n in range(rows)],
            "yes": ["red" if n % 3 else "blue" for n in range(rows)],
            "1e3": [n % 5 for n in range(rows)],
            "name: x #y": ["a" if n % 4 else "b" for n in range(rows)],
            'quo"te\\': [n % 2 == 0 for n in range(rows)],
            "日期": [f"2025-01-{n % 28 + 1:02d}" for n in range(rows)],
            "gender": ["f" if n % 7 else "m" for n in range(rows)],
            "note": [f"this is note number {n} about w{n * 37 % 101} and w{n * 53 % 97}" for n in range(rows)],
            "constant": ["same"] * rows,
            "churned": ["yes" if (n * 7) % 3 else "no" for n in range(rows)],
            "price": [100 + (n * 37) % 61 + 0.5 for n in range(rows)],
        }
    )


def uncommented(text: str) -> str:
    """The file with every commented key put in force."""
    head, _, body = text.partition("name:")
    assert all(line.startswith("#") for line in head.splitlines())
    return re.sub(r"^(\s*)# (\s*\S)", r"\1\2", "name:" + body, flags=re.MULTILINE)


@pytest.mark.parametrize(("target", "task"), [("churned", "tabular-classification"), ("price", "tabular-regression")])
def test_init_writes_what_prepare_would_infer(
    target: str, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame().write_csv(tmp_path / "My Orders.2025.csv")
    monkeypatch.chdir(tmp_path)
    told = yard(["init", "My Orders.2025.csv", "--target", target, "-o", "venture"], monkeypatch, capsys)
    assert "wrote venture/blueprint.yaml" in told and "yard run venture/blueprint.yaml" in told
    written = Blueprint.load("venture")
    assert written.name == "my-orders"
    assert written.data.source == "../My Orders.2025.csv" and written.data.target == target
    assert written.data.columns == {} and written.task is None, "what was inferred stands commented out"
    yard(["run", "venture", "-o", "build", "--to", "prepare", "-q"], monkeypatch, capsys)
    record = read_json(Path("build/prepare.json"))
    derived = {item["path"]: item["value"] for item in record["derived"]}
    text = Path("venture/blueprint.yaml").read_text(encoding="utf-8")
    everything = Blueprint.parse(
        re.sub(r"^prepare:\n  split:.*by: time.*$", "", uncommented(text), flags=re.MULTILINE),
        folder=tmp_path / "venture",
    )
    assert everything.task == derived["task"] == task
    assert {f"data.columns.{name}": kind for name, kind in everything.data.columns.items()} == {
        path: value for path, value in derived.items() if path.startswith("data.columns.")
    }
    assert everything.data.columns["order id"] == "ignore" and everything.data.columns["日期"] == "date"
    assert everything.audit.sensitive == ("gender",)
    assert everything.evaluate.positive == ("no" if target == "churned" else None)


def test_what_init_writes_can_all_be_put_in_force(tmp_path: Path) -> None:
    frame().write_parquet(tmp_path / "rows.parquet")
    place = start(str(tmp_path / "rows.parquet"), target="churned", folder=tmp_path, overwrite=False)
    found = Blueprint.parse(uncommented(place.read_text(encoding="utf-8")))
    assert found.prepare.split.by == "time" and found.prepare.split.column == "日期"
    assert found.evaluate.costs is not None and found.report.language == "en"
    assert found.data.source == "rows.parquet"


def test_init_refuses_to_overwrite_and_does_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame().write_csv(tmp_path / "rows.csv")
    argv = ["init", str(tmp_path / "rows.csv"), "--target", "churned", "-o", str(tmp_path)]
    yard(argv, monkeypatch, capsys)
    assert "is there already" in yard(argv, monkeypatch, capsys, code=2)
    yard([*argv, "--overwrite"], monkeypatch, capsys)


def test_init_without_a_target_guesses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame().rename({"churned": "label"}).write_csv(tmp_path / "rows.csv")
    told = yard(["init", str(tmp_path / "rows.csv"), "-o", str(tmp_path)], monkeypatch, capsys, code=2)
    assert "Likeliest: label (2 distinct values)" in told and "--target label" in told
    assert not (tmp_path / "blueprint.yaml").exists()


def test_init_reads_folders_and_globs(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    frame(30).write_csv(tmp_path / "parts" / "a.csv")
    frame(60).tail(30).write_csv(tmp_path / "parts" / "b.csv")
    assert (
        Blueprint.load(
            start(str(tmp_path / "parts"), target="churned", folder=tmp_path / "one", overwrite=False)
        ).data.source
        == "../parts"
    )
    found = Blueprint.load(
        start(str(tmp_path / "parts" / "*.csv"), target="churned", folder=tmp_path / "two", overwrite=False)
    )
    assert (found.name, found.data.source) == ("parts", "../parts/*.csv")


@pytest.mark.parametrize(
    "name", sorted(file.parent.name for file in (Path(__file__).parent.parent / "recipes").glob("*/blueprint.yaml"))
)
def test_init_copies_a_recipe(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    yard(["init", name, "-o", "mine"], monkeypatch, capsys)
    found = Blueprint.load("mine")
    assert found.name == name
    assert (tmp_path / "mine" / str(found.data.source)).is_file(), "the data comes with it"
    assert "in order" in yard(["check", "mine"], monkeypatch, capsys)
    assert "has its own target" in yard(["init", name, "--target", "x", "-o", "other"], monkeypatch, capsys, code=2)
    assert "already" in yard(["init", name, "-o", "mine"], monkeypatch, capsys, code=2)


def test_an_installed_package_says_where_recipes_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("modelyard.starting.RECIPES", tmp_path / "none")
    assert "source code" in yard(["init", "credit", "-o", str(tmp_path)], monkeypatch, capsys, code=2)


# -- running ------------------------------------------------------------------------------------------------------------


def test_stage_commands_run_up_to_their_stage(
    table_blueprint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    build = tmp_path / "build"
    assert f"build: {build}" in yard(["prepare", str(table_blueprint), "-o", str(build)], monkeypatch, capsys)
    assert sorted(file.name for file in build.glob("*.json")) == ["prepare.json"]
    assert (build / "blueprint.resolved.yaml").exists()
    monkeypatch.setattr(sys, "argv", ["yard", "prepare", str(table_blueprint), "-o", str(build)])
    with pytest.raises(SystemExit):
        main()
        raise SystemExit(0)
    assert "prepare: up to date" in capsys.readouterr().err


def test_check_says_that_all_is_in_order(
    table_blueprint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "in order" in yard(["check", str(table_blueprint)], monkeypatch, capsys)


def test_a_stopped_command_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("modelyard.cli.app", stopped)
    assert "run the same command again" in yard(["run"], monkeypatch, capsys, code=130)


def test_check_part_prints_each_law(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    told = yard(["check-part", str(parts.file_of("compress.methods", "onnx"))], monkeypatch, capsys)
    assert told.startswith("onnx (compress.methods)\n")
    assert told.count("  holds: ") >= 5
