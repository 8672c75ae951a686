"""The transformer from scratch: blind to padding, heads that fit, and the same once exported, at every length."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from modelyard import parts
from modelyard.models._contract import Arrays
from modelyard.rows import Column, Rows
from modelyard.tasks._contract import State
from tests.exporting import exported

torch = pytest.importorskip("torch")
STATE = State(
    task="sequence-classification", target="t", inputs=(Column(name="wave", type="sequence", channels=2),),
    classes=("a", "b", "c"), counts=(4, 4, 4),
)  # fmt: skip
TEXT = STATE.model_copy(update={"task": "text-classification", "inputs": (Column(name="note", type="text"),)})
LENGTHS = (7, 1, 20, 3, 20, 11)


def series(lengths: tuple[int, ...] = LENGTHS) -> Rows:
    rng = np.random.default_rng(0)
    values = np.empty(len(lengths), dtype=object)
    for place, length in enumerate(lengths):
        values[place] = rng.normal(size=(length, 2)).astype(np.float32)
    return Rows({"wave": values}, len(lengths))


def texts() -> Rows:
    notes = np.array(["good good day", "bad", None, "good bad day today and on"], dtype=object)
    return Rows({"note": notes}, len(notes))


def built(rows: Rows | None = None, state: State = STATE, **options: Any) -> tuple[Any, dict[str, Any], Arrays, Any]:
    """The model, its features, its arrays and a module whose head is not zero."""
    rows = series() if rows is None else rows
    model = parts.build("models", "transformer", {"width": 16, "heads": 2, **options})
    features = model.features(rows, np.zeros(len(rows)), state, seed=0)
    module = model.module(features, state, seed=0).eval()
    torch.manual_seed(0)
    torch.nn.init.normal_(module.head.weight)
    return model, features, model.encode(rows, features), module


def answer(module: Any, arrays: Arrays) -> Any:
    with torch.inference_mode():
        return module(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def test_the_first_loss_is_that_of_knowing_nothing() -> None:
    model, features, arrays, _ = built()
    module = model.module(features, STATE, seed=0)
    outputs = module(**{name: torch.from_numpy(array) for name, array in arrays.items()})
    loss = torch.nn.functional.cross_entropy(outputs, torch.tensor([0, 1, 2, 0, 1, 2]))
    assert float(loss) == pytest.approx(math.log(3), abs=1e-6)


def test_padding_changes_no_answer() -> None:
    _, _, arrays, module = built()
    together = answer(module, arrays)
    rubbish = {"values": arrays["values"].copy(), "length": arrays["length"]}
    for row, count in enumerate(LENGTHS):
        rubbish["values"][row, count:] = 1e3
        alone = {"values": arrays["values"][row : row + 1, :count], "length": arrays["length"][row : row + 1]}
        torch.testing.assert_close(answer(module, alone)[0], together[row], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(answer(module, rubbish), together, atol=1e-5, rtol=1e-5)


def test_the_order_of_steps_counts() -> None:
    _, _, arrays, module = built()
    torch.nn.init.normal_(module.positions)
    turned = {"values": arrays["values"].copy(), "length": arrays["length"]}
    turned["values"][2] = turned["values"][2, ::-1]
    assert (answer(module, turned)[2] - answer(module, arrays)[2]).abs().max() > 1e-4


@pytest.mark.parametrize("width", [16, 15])
def test_the_place_of_a_value_is_heard_beside_it(width: int) -> None:
    _, _, arrays, module = built(width=width, heads=1)
    with torch.inference_mode():
        values = module.embedding(torch.from_numpy(arrays["values"][:1])).std()
    assert module.positions.shape == (20, width) and 0.5 < float(module.positions.detach().std() / values) < 2
    words = built(texts(), TEXT)[3]
    assert float(words.positions.detach().std()) == pytest.approx(0.02, rel=0.2)  # as BERT's, beside words of 0.02


def test_one_batch_is_learnt_by_heart() -> None:
    model, features, arrays, _ = built(dropout=0.0)
    module, wanted = model.module(features, STATE, seed=0), torch.tensor([0, 1, 2, 0, 1, 2])
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    optimiser = torch.optim.AdamW(module.parameters(), lr=5e-3)
    for _ in range(200):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(module(**tensors), wanted).backward()
        optimiser.step()
    assert (answer(module.eval(), arrays).argmax(dim=1) == wanted).all()


def test_every_weight_is_reached() -> None:
    _, _, arrays, module = built(dropout=0.0)
    outputs = module(**{name: torch.from_numpy(array) for name, array in arrays.items()})
    torch.nn.functional.cross_entropy(outputs, torch.tensor([0, 1, 2, 0, 1, 2])).backward()
    assert [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_bf16_answers_nearly_the_same() -> None:
    _, _, arrays, module = built()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = answer(module, arrays).float()
    torch.testing.assert_close(half, answer(module, arrays), atol=0.2, rtol=0.05)


def test_texts_are_read_by_words() -> None:
    _, features, arrays, module = built(texts(), TEXT)
    assert "words" in features and answer(module, arrays).shape == (4, 3)
    one = {"ids": arrays["ids"][1:2, :1], "length": arrays["length"][1:2]}
    torch.testing.assert_close(answer(module, one)[0], answer(module, arrays)[1], atol=1e-5, rtol=1e-5)


def test_a_width_that_heads_cannot_share_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"width must be a multiple of heads .got 30 and 4."):
        parts.build("models", "transformer", {"width": 30, "heads": 4})


def test_work_grows_with_the_length() -> None:
    works = []
    for length in (10, 20):
        model, features, _, module = built(series((length,) * 6))
        weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
        works.append(model.work(weights, features, STATE))
    assert [work.typical_length for work in works] == [10, 20]
    assert works[1].flops_per_row == pytest.approx(2 * works[0].flops_per_row, rel=0.02)


@pytest.mark.parametrize(
    "lengths", [(40, 3, 17, 1, 33, 8, 25), (5, 2, 1, 4, 5), (8, 8, 3)], ids=["long", "short", "eight"]
)
def test_exported_is_trained_at_every_length(lengths: tuple[int, ...], tmp_path: Path) -> None:
    """Graphs are traced with 8 steps or more, also where no series has as many."""
    model, features, arrays, module = built(series(lengths))
    session = exported(model, module, features, STATE, arrays, tmp_path)
    wanted = answer(module, arrays).numpy()
    np.testing.assert_allclose(session(arrays), wanted, atol=1e-4, rtol=1e-4)
    for row in range(len(lengths)):
        alone = {name: array[row : row + 1] for name, array in arrays.items()}
        np.testing.assert_allclose(session(alone)[0], wanted[row], atol=1e-4, rtol=1e-4)


def test_exported_reads_texts_too(tmp_path: Path) -> None:
    model, features, arrays, module = built(texts(), TEXT)
    session = exported(model, module, features, TEXT, arrays, tmp_path)
    np.testing.assert_allclose(session(arrays), answer(module, arrays).numpy(), atol=1e-4, rtol=1e-4)
