"""Small real objects for the training loop: a table, texts, a tiny encoder of random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import parts
from modelyard.context import Progress, Silence
from modelyard.learn.loop import Learnt, train
from modelyard.models._contract import Examples, LoopOptions
from modelyard.rows import Column, Rows
from modelyard.store import Store
from modelyard.tasks._contract import State

torch = pytest.importorskip("torch")
WORDS = [
    "win",
    "free",
    "money",
    "now",
    "offer",
    "click",
    "meeting",
    "report",
    "agenda",
    "lunch",
    "project",
    "review",
    "team",
    "notes",
]


def accuracy(scores: np.ndarray, target: np.ndarray) -> float:
    return float((scores.argmax(axis=1) == target).mean())


def table_rows(count: int, seed: int = 0) -> tuple[Rows, np.ndarray]:
    generator = np.random.default_rng(seed)
    a, b = generator.normal(size=count), generator.normal(size=count)
    kind = generator.choice(["x", "y", "z"], count).astype(object)
    target = ((a * b > 0) ^ (kind == "z")).astype(np.int64)
    return Rows({"a": a, "b": b, "kind": kind}, count), target


TABLE = (Column(name="a", type="number"), Column(name="b", type="number"), Column(name="kind", type="category"))


def text_rows(count: int, seed: int = 0) -> tuple[Rows, np.ndarray]:
    """Texts of 1 to 25 words; spam has words of the first half of the vocabulary."""
    generator = np.random.default_rng(seed)
    target = generator.integers(0, 2, count)
    lines = [
        " ".join(
            generator.choice(WORDS[6:] if label == 0 else WORDS[:6], generator.integers(1, 26)).tolist()
            + generator.choice(WORDS, 2).tolist()
        )
        for label in target
    ]
    return Rows({"text": np.array(lines, dtype=object)}, count), target


def text_state() -> State:
    return State(
        task="text-classification",
        target="label",
        inputs=(Column(name="text", type="text"),),
        classes=("ham", "spam"),
        counts=(1, 1),
        positive="spam",
    )


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights and a word-piece tokenizer, as a folder."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("encoder")
    make_encoder(folder, transformers)
    return folder


def make_encoder(folder: Path, transformers: Any) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = [chr(code) for code in range(33, 127)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *("##" + letter for letter in letters), *WORDS]
    ids = {token: number for number, token in enumerate(dict.fromkeys(vocabulary))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    config = transformers.BertConfig(
        vocab_size=len(ids),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert json.loads((folder / "config.json").read_text())["model_type"] == "bert"


class Setting:
    """A model with its examples, ready to train as often as a test likes."""

    def __init__(
        self, model: Any, rows: Rows, target: np.ndarray, state: State, folder: Path, *, held: int = 0
    ) -> None:
        self.model, self.state, self.folder = model, state, folder
        self.task = parts.build("tasks", state.task)
        cut = len(rows) - held if held else len(rows) * 3 // 4
        self.features = model.features(rows.take(slice(0, cut)), target[:cut], state, seed=0)
        arrays = model.encode(rows, self.features)
        self.train = Examples({name: a[:cut] for name, a in arrays.items()}, target[:cut])
        self.validation = Examples({name: a[cut:] for name, a in arrays.items()}, target[cut:])

    def run(
        self, folder: str = "job", *, seed: int = 0, progress: Progress | None = None, seconds: float | None = None,
        checkpoint_seconds: float = 1e9, metric: Any = None, greater: bool = True, module: Any = None,
        decide: Callable[..., Any] | None = None, tracking: tuple[str, ...] = (), **options: Any,
    ) -> Learnt:  # fmt: skip
        place = self.folder / folder
        defaults = self.model.loop(self.features, self.state, len(self.train))
        module = module or self.model.module(self.features, self.state, seed=seed)
        chosen = LoopOptions.model_validate({**defaults.model_dump(), "precision": "fp32", **options})
        return train(
            self.model, module, self.train, self.validation, task=self.task, state=self.state, options=chosen,
            metric=metric or accuracy, greater_is_better=greater, seed=seed, threads=1, seconds=seconds, folder=place,
            decide=decide or Store(place).decide, name="candidate", checkpoint_seconds=checkpoint_seconds,
            progress=progress or Silence(), tracking=tracking,
        )  # fmt: skip


def killable(encoder: Path, folder: Path, job: str = "job") -> Learnt:
    """A training of 160 steps that saves as often as it can; the same in any process."""
    rows, target = text_rows(160)
    model = parts.build(
        "models", "encoder", {"pretrained": str(encoder), "max_length": 24, "dropout": 0.1, "learning_rate": 2e-3}
    )
    return Setting(model, rows, target, text_state(), folder).run(job, epochs=40, checkpoint_seconds=0.01)


@pytest.fixture(name="killable")
def _killable() -> Callable[..., Learnt]:
    return killable


@pytest.fixture
def new_setting() -> type[Setting]:
    return Setting


@pytest.fixture
def table_setting(tmp_path: Path) -> Callable[..., Setting]:
    def make(**options: Any) -> Setting:
        rows, target = table_rows(400)
        state = State(
            task="tabular-classification",
            target="t",
            inputs=TABLE,
            classes=("no", "yes"),
            counts=(200, 200),
            positive="yes",
        )
        return Setting(parts.build("models", "mlp", {"hidden": (16,), **options}), rows, target, state, tmp_path)

    return make


@pytest.fixture
def text_setting(tmp_path: Path, tiny_encoder: Path) -> Callable[..., Setting]:
    def make(**options: Any) -> Setting:
        rows, target = text_rows(160)
        model = parts.build(
            "models", "encoder", {"pretrained": str(tiny_encoder), "max_length": 24, "learning_rate": 2e-3, **options}
        )
        return Setting(model, rows, target, text_state(), tmp_path)

    return make


@pytest.fixture
def two_turns(table_setting: Callable[..., Setting]) -> Callable[..., Setting]:
    """The same table learnt by a model whose body and head have an optimiser each, which move in turn."""
    mlp = parts.load("models", "mlp")

    class Part(mlp):  # type: ignore[misc,valid-type]
        turns = ("body", "head")

        def groups_of(self, turn: str, module: Any) -> Any:
            own = [one for name, one in module.named_parameters() if name.startswith("head") == (turn == "head")]
            return [(0, own)]

        def moves(self, turn: str, step: int) -> bool:
            return turn == "body" or step % 2 == 0

    def make() -> Setting:
        setting = table_setting()
        setting.model = Part(hidden=(16,))
        return setting

    return make
