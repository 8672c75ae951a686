"""Malformed inputs, listed: each gives one clear error that says what was given, what is allowed or what to do, and no traceback.

Blueprints and files through the command line (exit code 2), requests through the service (4xx). A fault is a row of a table; `words` must
all stand in the message.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import parts
from modelyard.cli import main
from modelyard.conformance._toys import toy
from modelyard.models._contract import Clock, Examples
from modelyard.predictor import Artifact, Member, Predictor
from modelyard.store import write_json


@dataclass(frozen=True)
class Bad:
    """A malformed input and what must be said about it."""

    name: str
    given: Any
    words: tuple[str, ...]
    extra: Any = None


def said(argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command line wrote to standard error, having exited with 2."""
    monkeypatch.setattr(sys, "argv", ["yard", *argv])
    with pytest.raises(SystemExit) as stopped:
        main()
    told = capsys.readouterr().err
    assert stopped.value.code == 2, told
    assert "Traceback" not in told
    return " ".join(told.split())


def holds(told: str, words: tuple[str, ...]) -> None:
    assert len(told) < 2000, "nobody reads a message this long"
    for word in words:
        assert word in told, f"{word!r} is not in: {told}"


# -- blueprints ---------------------------------------------------------------------------------------------------------

HEAD = "name: demo\ndata: {source: rows.csv, target: label}\n"
BLUEPRINTS = [
    Bad("unknown key", HEAD + "siez: small", (":3: siez", "unknown key", "Did you mean 'size'?", "Allowed: name, version, task")),
    Bad("unknown key inside", HEAD + "train:\n  budgte: 6 min", (":4: train.budgte", "Did you mean 'budget'?")),
    Bad("unknown key deep inside", HEAD + "prepare:\n  split:\n    bye: time", (":5: prepare.split.bye", "Did you mean 'by'?", "Allowed: by, column")),
    Bad("no name", "data: {source: rows.csv, target: label}", ("name: is required", "small letters, digits and hyphens")),
    Bad("no data", "name: demo", ("data: is required",)),
    Bad("no source", "name: demo\ndata: {target: label}", ("data.source: is required", ".csv", "folder")),
    Bad("a name with a space", HEAD.replace("demo", "my demo"), (":1: name", "must match", "'my demo'")),
    Bad("an unknown size", HEAD + "size: smal", (":3: size", "'tiny', 'small', 'base' or 'large'", "got 'smal'", "Did you mean 'small'?")),
    Bad("an unknown task", HEAD + "task: text-clasification", ("no task 'text-clasification'", "Did you mean 'text-classification'?", "tabular-regression")),
    Bad("a text for a whole number", HEAD + "train: {seed: lucky}", ("train.seed", "whole number", "got 'lucky'")),
    Bad("a fraction for a whole number", HEAD + "train: {folds: 2.5}", ("train.folds", "2.5")),
    Bad("a negative seed", HEAD + "train: {seed: -1}", ("train.seed", "greater than or equal to 0", "got -1")),
    Bad("a budget in bytes", HEAD + "train: {budget: 6 MB}", ("train.budget", "'s'", "6 MB")),
    Bad("a negative budget", HEAD + "train: {budget: -5 min}", ("train.budget", "at least 0", "-5 min")),
    Bad("a budget without a number", HEAD + "train: {budget: soon}", ("train.budget", "'soon' is not a number", "6 min")),
    Bad("a list for a section", HEAD + "train: [linear]", ("train: must be a mapping", "seed, budget")),
    Bad("a text for a flag", HEAD + "prepare: {clean: {encodings: perhaps}}", ("prepare.clean.encodings", "boolean", "'perhaps'")),
    Bad("an unknown model", HEAD + "train: {candidates: {linea: {}}}", ("no model 'linea'", "Did you mean 'linear'?", "Allowed: cnn, decision-tree")),
    Bad("an unknown option of a model", HEAD + "train: {candidates: {linear: {word_ngram: 2}}}", ("train.candidates.linear.word_ngram", "Did you mean 'word_ngrams'?")),
    Bad("an option out of range", HEAD + "train: {candidates: {linear: {word_ngrams: 9}}}", ("train.candidates.linear.word_ngrams", "less than or equal to 4", "got 9")),
    Bad("an unknown check", HEAD + "audit: {checks: {calibraton: {}}}", ("audit.checks.calibraton", "no check", "Did you mean 'calibration'?")),
    Bad("an unknown method", HEAD + "compress: {methods: {onnx-int4: {}}}", ("compress.methods.onnx-int4", "no method", "Did you mean 'onnx-int8'?")),
    Bad("a model that is no name", HEAD + "train: {candidates: {mine: {model: 3}}}", ("train.candidates.mine.model", "must be the name of a model", "got 3")),
    Bad("an unknown metric in a gate", HEAD + "evaluate:\n  gates:\n    f1_marco: 0.9", (":5: evaluate.gates.f1_marco", "no metric", "Did you mean 'f1_macro'?")),
    Bad("an unknown metric to measure", HEAD + "evaluate: {metrics: [f1_macro, rocauc]}", ("evaluate.metrics", "no metric 'rocauc'", "Did you mean 'roc_auc'?")),
    Bad("a metric of another task", HEAD + "task: text-classification\ntrain: {metric: r2}", ("train.metric", "metric 'r2' is for regression", "Allowed: accuracy")),
    Bad("a seed too large", HEAD + "train: {seed: 5000000000}", ("train.seed", "less than", "5000000000")),
    Bad("a load level of nothing", HEAD + "serve: {levels: [10, 0]}", ("serve.levels", "greater than 0 request/s", "got 0")),
    Bad("a load level too long", HEAD + "serve: {level_time: 3 min}", ("serve.level_time", "at most 120 s", "got 180 s")),
    Bad("a gap without times", HEAD + "prepare: {split: {by: random, gap: 7 days}}", ("prepare.split.gap", "needs prepare.split.by: time", "got 'random'")),
    Bad("an unknown column type", HEAD.replace("target: label", "target: label, columns: {age: numeric}"), ("data.columns.age", "'number'", "got 'numeric'")),
    Bad("a split without its column", HEAD + "prepare: {split: {by: time}}", ("prepare.split.column", "is required", "time column")),
    Bad("no training rows left", HEAD + "prepare: {split: {validation: 0.5, test: 0.5}}", ("validation and test together", "training rows", "got 1 of 1")),
    Bad("plans that do not add up", HEAD + "business: {plans: [{name: a, price: 1, share: 0.5, usage: 10}]}", ("business.plans", "sum to 1", "0.5")),
    Bad("a share in per cent", HEAD + "business: {churn: 4 %}", ("business.churn", "4 %", "0.04")),
    Bad("a range upside down", HEAD + "business: {churn: {low: 0.5, likely: 0.1, high: 0.2}}", ("business.churn", "low <= likely <= high")),
    Bad("a key twice", HEAD + "name: again", (":3:", "name", "Keep one of the two")),
    Bad("no YAML", "name: [demo\ndata: {", ("is not valid YAML",)),
    Bad("tabs for spaces", "name: demo\ndata:\n\tsource: x", (":3:", "is not valid YAML")),
    Bad("a list at the top", "- name: demo", ("must be a mapping", "name, data.source and data.target")),
    Bad("an empty file", "", ("must be a mapping", "got None")),
    Bad("no UTF-8", b"name: d\xe9mo\n", ("is not UTF-8", "byte 7", "Save it as UTF-8")),
]  # fmt: skip


@pytest.mark.parametrize("bad", BLUEPRINTS, ids=lambda bad: bad.name)
def test_blueprints(
    bad: Bad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "blueprint.yaml"
    file.write_bytes(bad.given if isinstance(bad.given, bytes) else bad.given.encode())
    told = said(["check", str(file)], monkeypatch, capsys)
    holds(told, (str(file), *bad.words))
    assert said(["run", str(file), "-o", str(tmp_path / "build")], monkeypatch, capsys) == told, (
        "run must say what check says"
    )
    assert not (tmp_path / "build").exists()


# -- files --------------------------------------------------------------------------------------------------------------


def csv(*, rows: int = 40, label: str = "label") -> str:
    lines = [
        f"{number % 7},{'red' if number % 3 else 'blue'},{'yes' if number % 2 else 'no'}" for number in range(rows)
    ]
    return "\n".join([f"age,colour,{label}", *lines]) + "\n"


FILES = [  # name, {file: content}, words, further lines of the blueprint
    Bad("no file", {}, ("no file", "rows.csv", "relative to the blueprint's folder")),
    Bad("a file with a slip of the pen", {"row.csv": csv()}, ("no file", "Did you mean 'row.csv'?")),
    Bad("an empty file", {"rows.csv": ""}, ("rows.csv", "is empty")),
    Bad("a header alone", {"rows.csv": "age,colour,label\n"}, ("rows.csv", "header", "no rows")),
    Bad("a column name twice", {"rows.csv": csv().replace("colour", "age")}, ("rows.csv:1:", "'age' stands 2 times", "Give every column its own name")),
    Bad("a row too long", {"rows.csv": csv() + "1,red,yes,more\n"}, ("rows.csv:42:", "4 fields", "header has 3")),
    Bad("a row too short", {"rows.csv": csv() + "1,red\n"}, ("rows.csv:42:", "2 fields", "header has 3")),
    Bad("a workbook called CSV", {"rows.csv": b"PK\x03\x04" + bytes(200)}, ("rows.csv", "zip archive or an Excel workbook", "Save the table as CSV")),
    Bad("noise called CSV", {"rows.csv": bytes(range(256)) * 8}, ("rows.csv", "none of the encodings", "Save it as UTF-8")),
    Bad("broken gzip", {"rows.csv.gz": b"\x1f\x8b\x08\x00broken"}, ("rows.csv.gz", "not a readable gzip file"), {"source": "rows.csv.gz"}),
    Bad("an unknown ending", {"rows.xlsx": b"PK\x03\x04"}, ("rows.xlsx", "ending is not known", ".parquet"), {"source": "rows.xlsx"}),
    Bad("no Parquet", {"rows.parquet": csv()}, ("rows.parquet", "is not a readable Parquet file"), {"source": "rows.parquet"}),
    Bad("broken JSON", {"rows.jsonl": '{"age": 1, "label": "a"}\n{"age": \n'}, ("rows.jsonl:2:", "is not valid JSON"), {"source": "rows.jsonl"}),
    Bad("a JSON array", {"rows.jsonl": '[\n{"age": 1}\n]'}, ("rows.jsonl:1:", "one object a line"), {"source": "rows.jsonl"}),
    Bad("lines that are no objects", {"rows.jsonl": "1\n2\n"}, ("rows.jsonl:1:", "must be a JSON object"), {"source": "rows.jsonl"}),
    Bad("a glob that matches nothing", {"rows.csv": csv()}, ("no file matches", "*.tsv"), {"source": '"*.tsv"'}),
    Bad("a folder without tables", {"data/readme.txt": "x"}, ("holds no file that can be read", ".csv"), {"source": "data"}),
    Bad("no such target", {"rows.csv": csv(label="lable")}, ("no column 'label'", "Did you mean 'lable'?", "Columns: age, colour, lable")),
    Bad("no such column", {"rows.csv": csv()}, ("data.columns", "no column 'agee'", "Did you mean 'age'?"), {"columns": "{agee: number}"}),
    Bad("one class", {"rows.csv": csv().replace("yes", "no")}, ("'label'", "one class only", "'no'")),
    Bad("a class of one row", {"rows.csv": csv() + "1,red,maybe\n"}, ("'label'", "single row", "maybe")),
    Bad("as many classes as rows", {"rows.csv": "age,label\n" + "".join(f"{n % 7},v{n}x\n" for n in range(1500))}, ("1,500 classes", "Is it an identifier")),
    Bad("a target that is missing everywhere", {"rows.csv": csv().replace("yes", "").replace("no", "")}, ("'label'", "missing in every row")),
    Bad("words declared a number", {"rows.csv": csv()}, ("data.columns.colour", "declared a number", "no value can be read as one", "'blue'"), {"columns": "{colour: number}"}),
    Bad("nothing to read", {"rows.csv": "id,label\n" + "".join(f"{n},{'ab'[n % 2]}\n" for n in range(40))}, ("no column is left", "'label'", "identifier")),
]  # fmt: skip


@pytest.mark.parametrize("bad", FILES, ids=lambda bad: bad.name)
def test_files(bad: Bad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in bad.given.items():
        place = tmp_path / name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
    keys = {"source": "rows.csv", "target": "label", **(bad.extra or {})}
    (tmp_path / "blueprint.yaml").write_text(
        "name: demo\ndata:\n" + "".join(f"  {key}: {value}\n" for key, value in keys.items())
    )
    told = said(["run", str(tmp_path), "-o", str(tmp_path / "build"), "--to", "prepare", "-q"], monkeypatch, capsys)
    holds(told, bad.words)
    assert not (tmp_path / "build" / "prepare.json").exists()


# -- the command line ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real linear model of two classes over every column type."""
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("model")
    toys = toy("tabular-classification")
    part = parts.build("models", "linear")
    features = part.features(toys.train, toys.train_target, toys.state, seed=0)
    (folder / "one").mkdir()
    write_json(folder / "one" / "features.json", features)
    examples = Examples(part.encode(toys.train, features), toys.train_target)
    weights = part.fit(examples, examples, toys.state, features, seed=0, threads=1, clock=Clock())
    save_file(
        {name: np.ascontiguousarray(array) for name, array in weights.items()}, folder / "one" / "weights.safetensors"
    )
    Artifact(name="toy", state=toys.state, members=(Member(candidate="linear", model="linear", folder="one"),)).save(
        folder
    )
    return folder


ROW = {"amount": 12.5, "visits": 3, "colour": "red", "member": True, "joined": "2021-05-01", "note": "late again"}
"""A good row of the model."""
COMMANDS = [  # name, arguments (FOLDER is an empty folder, MODEL a model), words, {file: content}
    Bad("no blueprint", ["run", "FOLDER/blueprint.yaml"], ("no blueprint", "yard init DATA --target COLUMN")),
    Bad("an unknown stage", ["run", "FOLDER", "--to", "evalute"], ("no stage 'evalute'", "Did you mean 'evaluate'?", "prepare, train"), {"blueprint.yaml": HEAD}),
    Bad("two ways to stop", ["run", "FOLDER", "--to", "train", "--only", "train"], ("--to and --only",), {"blueprint.yaml": HEAD}),
    Bad("a stage before its time", ["run", "FOLDER", "-o", "FOLDER/b", "--only", "evaluate"], ("'evaluate' needs", "yard run --to evaluate"), {"blueprint.yaml": HEAD}),
    Bad("a build in a file", ["run", "FOLDER", "-o", "FOLDER/blueprint.yaml"], ("cannot be made", "Name another with -o"), {"blueprint.yaml": HEAD}),
    Bad("an unknown shelf", ["list", "model"], ("no shelf 'model'", "Did you mean 'models'?", "tasks")),
    Bad("an unknown word", ["explain", "calibraton"], ("nothing is called 'calibraton'", "Did you mean 'calibration'?")),
    Bad("a part that is no part", ["check-part", "FOLDER/blueprint.yaml"], ("is not a Python file",), {"blueprint.yaml": HEAD}),
    Bad("no target to start from", ["init", "FOLDER/rows.csv", "-o", "FOLDER"], ("--target is required", "Likeliest: label", "age, colour, label"), {"rows.csv": csv()}),
    Bad("a wrong target to start from", ["init", "FOLDER/rows.csv", "--target", "lable", "-o", "FOLDER"], ("no column 'lable'", "Did you mean 'label'?"), {"rows.csv": csv()}),
    Bad("a blueprint that is there", ["init", "FOLDER/rows.csv", "--target", "label", "-o", "FOLDER"], ("is there already", "--overwrite"), {"rows.csv": csv(), "blueprint.yaml": HEAD}),
    Bad("an unknown recipe", ["init", "mail-span", "-o", "FOLDER"], ("no file and no recipe 'mail-span'", "Did you mean 'mail-spam'?", "card-fraud")),
    Bad("a folder that is a file", ["init", "FOLDER/rows.csv", "--target", "label", "-o", "FOLDER/rows.csv"], ("cannot be made", "-o"), {"rows.csv": csv()}),
    Bad("no package to serve", ["serve", "FOLDER/none"], ("no package", "yard run")),
    Bad("no package to ask", ["predict", "FOLDER", "FOLDER/rows.csv"], ("FOLDER", "package"), {"rows.csv": csv()}),
    Bad("no rows to ask about", ["predict", "MODEL", "FOLDER/rows.csv"], ("no file", "rows.csv")),
    Bad("rows of an unknown format", ["predict", "MODEL", "FOLDER/rows.xml"], ("rows.xml", ".csv", ".parquet"), {"rows.xml": "<a/>"}),
    Bad("rows without a known column", ["predict", "MODEL", "FOLDER/rows.csv"], ("amount", "rows.csv"), {"rows.csv": "a,b\n1,2\n"}),
    Bad("rows of a wrong type", ["predict", "MODEL", "FOLDER/rows.csv", "-o", "FOLDER/o.csv"], ("rows.csv", "row 2", "amount", "number", "'much'"), {"rows.csv": f"{','.join(ROW)}\n1,2,red,yes,2021-05-01,x\nmuch,2,red,yes,2021-05-01,x\n"}),
    Bad("answers over the rows", ["predict", "MODEL", "FOLDER/rows.csv", "-o", "FOLDER/rows.csv"], ("rows.csv", "-o"), {"rows.csv": "amount\n1\n"}),
    Bad("an unknown command", ["trian"], ("trian",)),
    Bad("an unknown flag", ["run", "--fast"], ("--fast",)),
]  # fmt: skip


@pytest.mark.parametrize("bad", COMMANDS, ids=lambda bad: bad.name)
def test_commands(
    bad: Bad, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in (bad.extra or {}).items():
        (tmp_path / name).write_text(content)
    before = {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    argv = [word.replace("FOLDER", str(tmp_path)).replace("MODEL", str(model)) for word in bad.given]
    told = said(argv, monkeypatch, capsys)
    holds(told, tuple(word.replace("FOLDER", str(tmp_path)) for word in bad.words))
    assert {file: file.read_bytes() for file in before} == before, "a refused command must change nothing"


# -- requests -----------------------------------------------------------------------------------------------------------

PREDICT = "/v1/predict"


def rows(**changed: Any) -> bytes:
    return json.dumps({"rows": [{**ROW, **changed}]}).encode()


REQUESTS = [  # name, (method, path, body, headers), words, status
    Bad("no JSON", ("POST", PREDICT, b"{", {}), ("invalid_json", "not JSON"), 400),
    Bad("an empty body", ("POST", PREDICT, b"", {}), ("invalid_json",), 400),
    Bad("no UTF-8", ("POST", PREDICT, b'{"note": "\xff"}', {}), ("invalid_json",), 400),
    Bad("NaN", ("POST", PREDICT, b'{"amount": NaN}', {}), ("invalid_json",), 400),
    Bad("brackets without end", ("POST", PREDICT, b"[" * 100_000, {}), ("invalid_json",), 400),
    Bad("a list", ("POST", PREDICT, b"[1]", {}), ("must be an object", "rows"), 422),
    Bad("a number", ("POST", PREDICT, b"7", {}), ("must be an object", "the number 7"), 422),
    Bad("no rows", ("POST", PREDICT, b'{"rows": []}', {}), ("rows", "at least one row"), 422),
    Bad("rows that are no list", ("POST", PREDICT, b'{"rows": "all"}', {}), ("rows", "list of objects"), 422),
    Bad("a row that is no object", ("POST", PREDICT, b'{"rows": [3]}', {}), ("row 0", "object of fields"), 422),
    Bad("an empty row", ("POST", PREDICT, b'{"row": {}}', {}), ("no value", "amount"), 422),
    Bad("an unknown field", ("POST", PREDICT, rows(amout=1), {}), ("amout", "unknown field", "Did you mean 'amount'?"), 422),
    Bad("a word for a number", ("POST", PREDICT, rows(amount="much"), {}), ("amount", "must be a number", "'much'"), 422),
    Bad("a list for a number", ("POST", PREDICT, rows(amount=[1]), {}), ("amount", "must be a number"), 422),
    Bad("a word for a flag", ("POST", PREDICT, rows(member="perhaps"), {}), ("member", "true or false", "'perhaps'"), 422),
    Bad("no date", ("POST", PREDICT, rows(joined="the day before"), {}), ("joined", "2026-01-31"), 422),
    Bad("a date beyond the calendar", ("POST", PREDICT, rows(joined=1e300), {}), ("joined",), 422),
    Bad("a date that its zone pushes out", ("POST", PREDICT, rows(joined="0001-01-01T00:00:00+14:00"), {}), ("joined",), 422),
    Bad("an object for a text", ("POST", PREDICT, rows(note={"a": 1}), {}), ("note", "must be text", "an object"), 422),
    Bad("a list for a category", ("POST", PREDICT, rows(colour=["red"]), {}), ("colour", "must be"), 422),
    Bad("something beside the rows", ("POST", PREDICT, b'{"rows": [{"amount": 1}], "explain": true}', {}), ("explain", "inside 'rows'"), 422),
    Bad("too many rows", ("POST", PREDICT, json.dumps({"rows": [ROW] * 257}).encode(), {}), ("257 rows", "at most 256"), 413),
    Bad("too large a body", ("POST", PREDICT, b'{"note": "' + b"x" * (17 << 20) + b'"}', {}), ("body_too_large", "16777216 bytes", "serve.max_body"), 413),
    Bad("a compressed body", ("POST", PREDICT, gzip.compress(rows()), {"content-encoding": "gzip"}), ("gzip", "Send the JSON as it is"), 415),
    Bad("another charset", ("POST", PREDICT, rows(), {"content-type": "application/json; charset=utf-16"}), ("utf-16", "Send UTF-8"), 415),
    Bad("the wrong method", ("GET", PREDICT, b"", {}), ("POST",), 405),
    Bad("the wrong path", ("GET", "/v2/predict", b"", {}), ("no such path", PREDICT), 404),
]  # fmt: skip


@pytest.fixture(scope="module")
def client(model: Path) -> Iterator[Any]:
    """The service over the model, in this process."""
    from starlette.testclient import TestClient

    from modelyard.serve.app import Service, create_app

    app = create_app(Service(name="toy", version="1", predictor=Predictor.open(model)))
    app.warm()
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("bad", REQUESTS, ids=lambda bad: bad.name)
def test_requests(bad: Bad, client: Any) -> None:
    method, path, body, headers = bad.given
    answer = client.request(method, path, content=body, headers={"content-type": "application/json", **headers})
    assert answer.status_code == bad.extra, answer.text
    error = answer.json()["error"]
    assert {"type", "message", "field", "row"} <= error.keys()
    assert "Traceback" not in answer.text
    holds(f"{error['type']} {error['message']}", bad.words)
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    if answer.status_code == 422 and bad.words[0] in ROW:
        assert error["field"] == bad.words[0]
    if answer.status_code in (400, 413):
        assert (error["field"], error["row"]) == (None, None)


def test_a_good_request_is_answered_after_all_that(client: Any) -> None:
    assert client.post(PREDICT, content=rows(), headers={"content-type": "application/json"}).json()["answers"][0][
        "answer"
    ] in ("good", "bad")


# -- all of them --------------------------------------------------------------------------------------------------------


def test_there_are_sixty() -> None:
    assert len(BLUEPRINTS) + len(FILES) + len(COMMANDS) + len(REQUESTS) >= 60
    for table in (BLUEPRINTS, FILES, COMMANDS, REQUESTS):
        assert len({bad.name for bad in table}) == len(table)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["check", "FOLDER"], ("siez", "Did you mean 'size'?")),
        (["run", "FOLDER", "--to", "nowhere"], ("siez",)),
        (["init", "FOLDER/none.csv", "--target", "x", "-o", "FOLDER/new"], ("no file", "none.csv")),
        (["predict", "FOLDER", "FOLDER/none.csv"], ("none.csv",)),
    ],
)
def test_a_real_process_says_it_too(argv: list[str], words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "blueprint.yaml").write_text(HEAD + "siez: small\n")
    command = [sys.executable, "-m", "modelyard", *(word.replace("FOLDER", str(tmp_path)) for word in argv)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ") and "Traceback" not in ended.stderr
    assert ended.stdout == ""
    holds(ended.stderr, words)
