"""Every built-in part keeps the laws of its shelf, and a part that breaks one is told which and why."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from modelyard import conformance, parts
from modelyard.errors import MissingDownload, MissingExtra, UserError


def built_in() -> Iterator[object]:
    for shelf in parts.SHELVES:
        for name in parts.names(shelf):
            yield pytest.param(shelf, name, id=f"{shelf}-{name}")


@pytest.mark.parametrize(("shelf", "name"), list(built_in()))
def test_built_in_part_keeps_the_laws(shelf: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _hold(shelf, name, monkeypatch, thorough=False)


@pytest.mark.long
@pytest.mark.parametrize(
    "name", [name for name in parts.names("models") if parts.load("models", name).learns == "loop"]
)
def test_built_in_network_keeps_every_law_on_every_task(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is exported by every method."""
    _hold("models", name, monkeypatch, thorough=True)


def _hold(shelf: str, name: str, monkeypatch: pytest.MonkeyPatch, *, thorough: bool) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # no test fetches weights
    if shelf == "models" and parts.load(shelf, name).learns == "loop" and find_spec("torch") is None:
        pytest.skip("torch is not installed")
    try:
        held = list(conformance.check_part(shelf, name, thorough=thorough))
    except (MissingExtra, MissingDownload) as missing:
        pytest.skip(str(missing))
    assert len(held) >= 4
    assert all(line.startswith("  holds: ") for line in held)


GOOD = '''"""Always the first class, for tests."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from modelyard.models._contract import FitModel


class Part(FitModel):
    """The same answer."""

    tasks: ClassVar[tuple[str, ...]] = ("tabular-classification",)

    weight: float = 1.0
    """Size of the output."""

    def features(self, rows: Any, target: Any, state: Any, *, seed: int) -> dict[str, Any]:
        return {}

    def encode(self, rows: Any, features: dict[str, Any]) -> dict[str, Any]:
        return {"one": np.ones((len(rows), 1))}

    def fit(self, train: Any, validation: Any, state: Any, features: Any, *, seed: int, threads: int, clock: Any) -> dict[str, Any]:
        return {"bias": np.arange(state.outputs) * -self.weight}

    def refit(self, train: Any, chosen: Any, state: Any, features: Any, *, seed: int, threads: int) -> dict[str, Any]:
        return dict(chosen)

    def session(self, weights: Any, features: Any, state: Any) -> Any:
        return lambda arrays: arrays["one"] * weights["bias"]
'''
BROKEN = [
    ('"""Size of the output."""', "", "without a docstring", "weight"),
    ('"""Always the first class, for tests."""', "", "documented", "no docstring"),
    ("weight: float = 1.0", "weight: float", "without a default", "weight"),
    ("import numpy as np\n", "import numpy as np\nimport sklearn\n", "inside functions", "sklearn"),
    ("        return {}\n", '        return {"seen": {1, 2}}\n', "plain JSON", "set"),
    ("        return {}\n", "        return {\"noise\": float(np.random.default_rng().random())}\n", "same seed", "different features"),
    ("np.ones((len(rows), 1))", "np.ones((max(len(rows), 1), 1))", "row for each row", "for 0 given"),
    ("np.ones((len(rows), 1))", "np.full((len(rows), 1), float(len(rows)))", "alone as it is in a batch", "differs"),
    ("np.ones((len(rows), 1))", 'np.array([[float(len(v))] for v in rows["colour"]] if len(rows) else np.ones((0, 1)))', "raised TypeError", "colour"),
    ("np.arange(state.outputs) * -self.weight", "np.random.default_rng().normal(size=state.outputs)", "bit for bit", "bias"),
    ('{"bias": np.arange', '{"bias": np.nan * np.arange', "finite", "NaN"),
    ('arrays["one"] * weights["bias"]', 'arrays["one"] * weights["bias"][:1]', "(n, K)", "shape"),
    ("return dict(chosen)", "return {}", "learnt again", "other arrays"),
    ("return lambda arrays:", "import sklearn\n        return lambda arrays:", "neither torch nor scikit-learn", "sklearn is not there when a model answers"),
    ('("tabular-classification",)', '("tabular-clasification",)', "tasks that exist", "Did you mean 'tabular-classification'?"),
]  # fmt: skip


def test_a_strangers_model_passes(tmp_path: Path) -> None:
    file = tmp_path / "first_class.py"
    file.write_text(GOOD)
    lines = list(conformance.check_file(file))
    assert lines[0] == "first-class (models)"
    assert any("bit for bit" in line for line in lines)
    assert any("neither torch nor scikit-learn" in line for line in lines)


LOOP = '''"""A body and a head that learn with an optimiser each, for tests."""

from __future__ import annotations

from typing import Any, ClassVar

from modelyard.features import lookups, table
from modelyard.models._contract import LoopModel, LoopOptions


class Part(LoopModel):
    """Two optimisers that take turns."""

    tasks: ClassVar[tuple[str, ...]] = ("tabular-regression",)
    turns: ClassVar[tuple[str, ...]] = ("body", "head")

    width: int = 32
    """Of the hidden layer."""

    def features(self, rows: Any, target: Any, state: Any, *, seed: int) -> dict[str, Any]:
        found = {"table": table.fit_dense(rows, state)}
        found["width"] = int(self.encode(rows.take(slice(0, 1)), found)["dense"].shape[1])
        return lookups.plain(found)

    def encode(self, rows: Any, features: dict[str, Any]) -> dict[str, Any]:
        return {"dense": table.encode_dense(rows, features["table"])}

    def module(self, features: dict[str, Any], state: Any, *, seed: int, folder: Any = None) -> Any:
        import torch
        from torch import nn

        class Network(nn.Module):
            calls = 0

            def __init__(self, given: int, width: int) -> None:
                super().__init__()
                self.body, self.head = nn.Linear(given, width), nn.Linear(width, state.outputs)
                nn.init.zeros_(self.head.weight)
                nn.init.zeros_(self.head.bias)

            def forward(self, dense: Any) -> Any:
                return self.head(torch.relu(self.body(dense)))

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Network(features["width"], self.width)

    def loop(self, features: dict[str, Any], state: Any, rows: int) -> LoopOptions:
        return LoopOptions(learning_rate=0.01, epochs=3, batch_rows=16)

    def groups_of(self, turn: str, module: Any) -> Any:
        return [(0, [one for name, one in module.named_parameters() if name.startswith(turn)])]

    def moves(self, turn: str, step: int) -> bool:
        return turn == "body" or step % 2 == 0
'''
BROKEN_LOOPS = [
    ("torch.relu(self.body(dense))", "torch.relu(self.body(dense * 0))", "learnt by heart", "that of knowing nothing is"),
    ("nn.init.zeros_(self.head.bias)", "nn.init.ones_(self.head.bias)", "knowing nothing", "the first loss is"),
    ("with torch.random.fork_rng(devices=[]):", "if True:", "disturbs nobody", "fork_rng"),
    ("torch.relu(self.body(dense))", "torch.relu(self.body(dense) + dense.mean(dim=0).mean())", "alone as it is in a batch", "differs by"),
    ('return turn == "body" or step % 2 == 0', "Part.seen += 1\n        return turn == \"body\" or Part.seen % 3 == 0", "bit for bit", "differ"),
    ("torch.relu(self.body(dense))", "torch.relu(self.body(dense)) + 0.5 * torch.compiler.is_exporting()", "What is exported", "answers differ"),
]  # fmt: skip


def _loop_part(folder: Path, old: str = "", new: str = "") -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    assert old in LOOP
    file = folder / "two_turns.py"
    text = LOOP.replace(old, new) if old else LOOP
    file.write_text(text.replace("    width: int", "    seen: ClassVar[int] = 0\n    width: int"))
    return file


def test_a_strangers_network_of_two_optimisers_passes(tmp_path: Path) -> None:
    lines = list(conformance.check_file(_loop_part(tmp_path)))
    for law in ("learnt by heart", "killed between two checkpoints", "Another seed", "[tabular-regression, onnx]"):
        assert any(law in line for line in lines), law


@pytest.mark.parametrize(("old", "new", "law", "why"), BROKEN_LOOPS, ids=[case[2] for case in BROKEN_LOOPS])
def test_a_planted_fault_of_a_network_fires(tmp_path: Path, old: str, new: str, law: str, why: str) -> None:
    with pytest.raises(UserError) as caught:
        list(conformance.check_file(_loop_part(tmp_path, old, new)))
    assert "broken law" in str(caught.value) and law in str(caught.value) and why in str(caught.value)


@pytest.mark.parametrize(("old", "new", "law", "why"), BROKEN, ids=[case[2] + "-" + case[3] for case in BROKEN])
def test_a_planted_fault_fires(tmp_path: Path, old: str, new: str, law: str, why: str) -> None:
    assert old in GOOD
    file = tmp_path / "planted.py"
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(UserError) as caught:
        list(conformance.check_file(file))
    assert "broken law" in str(caught.value)
    assert law in str(caught.value)
    if "TypeError" not in law:
        assert why in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("part.txt", "", ["not a Python file"]),
        ("part.py", "x = 1", ["no `class Part`", "models"]),
        ("part.py", "class Part: pass", ["extends none of the contracts", "modelyard.models._contract.Model"]),
        ("part.py", "import no_such_module", ["cannot be imported", "no_such_module"]),
        ("part.py", "def (", ["cannot be imported", "SyntaxError"]),
    ],
)
def test_a_file_without_a_part_is_refused(tmp_path: Path, name: str, text: str, words: list[str]) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        list(conformance.check_file(tmp_path / name))
    assert all(word in str(caught.value) for word in words)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        list(conformance.check_file(tmp_path / "absent.py"))


def test_a_session_is_known_by_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    folder.mkdir()
    (folder / "mine.py").write_text(
        '"""Mine."""\nfrom modelyard.frozen import Frozen\nclass Part(Frozen):\n    """Mine."""\n'
        "    def open(self, folder, model, features, state):\n        return None\n"
    )
    assert "mine (sessions)" in list(conformance.check_file(folder / "mine.py"))
