"""Recurrent networks: equal to torch's own packed ones, blind to padding, and the same once exported, at every length."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import parts
from modelyard.errors import DataError
from modelyard.models._contract import Arrays
from modelyard.rows import Column, Rows
from modelyard.sessions._batches import by_length
from modelyard.tasks._contract import State
from tests.exporting import exported

torch = pytest.importorskip("torch")
STATE = State(
    task="sequence-classification", target="t", inputs=(Column(name="wave", type="sequence", channels=2),),
    classes=("a", "b", "c"), counts=(4, 4, 4),
)  # fmt: skip
TEXT = STATE.model_copy(update={"task": "text-classification", "inputs": (Column(name="note", type="text"),)})
LENGTHS = (7, 1, 20, 3, 20, 11)
TORCH = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
cells = pytest.mark.parametrize("cell", TORCH)


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
    model = parts.build("models", "recurrent", {"hidden": 5, "embedding": 6, **options})
    features = model.features(rows, np.zeros(len(rows)), state, seed=0)
    module = model.module(features, state, seed=0).eval()
    torch.manual_seed(0)
    torch.nn.init.normal_(module.head.weight)
    return model, features, model.encode(rows, features), module


def answer(module: Any, arrays: Arrays) -> Any:
    with torch.inference_mode():
        return module(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def reference(module: Any, cell: str, layers: int) -> Any:
    """torch's own bidirectional network with the same weights."""
    first = module.ahead[0]
    network = getattr(torch.nn, TORCH[cell])(
        first.input_size, first.hidden_size, num_layers=layers, bidirectional=True, batch_first=True
    )
    for layer in range(layers):
        for own, end in ((module.ahead[layer], ""), (module.back[layer], "_reverse")):
            for name, weight in own.named_parameters():
                getattr(network, name.replace("_l0", f"_l{layer}") + end).data = weight.data.clone()
    return network.eval()


@cells
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("pooling", ["mean", "max", "last"])
def test_two_directions_are_those_of_packed_sequences(cell: str, layers: int, pooling: str) -> None:
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    _, _, arrays, module = built(cell=cell, layers=layers, pooling=pooling)
    values, length = torch.from_numpy(arrays["values"]), torch.from_numpy(arrays["length"])
    with torch.inference_mode():
        packed = pack_padded_sequence(values, length, batch_first=True, enforce_sorted=False)
        found, last = reference(module, cell, layers)(packed)
        steps, _ = pad_packed_sequence(found, batch_first=True)  # (B, L, 2 H), zeros beyond the end
        if pooling == "last":
            last = last[0] if cell == "lstm" else last
            pooled = torch.cat([last[-2], last[-1]], dim=1)
        elif pooling == "mean":
            pooled = steps.sum(dim=1) / length[:, None]
        else:
            pooled = torch.stack([row[:count].amax(dim=0) for row, count in zip(steps, length, strict=True)])
        torch.testing.assert_close(answer(module, arrays), module.head(pooled), atol=1e-5, rtol=1e-5)


@cells
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "max", "last"])
def test_padding_changes_no_answer(cell: str, bidirectional: bool, pooling: str) -> None:
    _, _, arrays, module = built(cell=cell, bidirectional=bidirectional, pooling=pooling, layers=2)
    together = answer(module, arrays)
    rubbish = np.full((len(LENGTHS), 9, 2), 1e3, dtype=np.float32)
    longer = {"values": np.concatenate([arrays["values"], rubbish], axis=1), "length": arrays["length"]}
    for row, count in enumerate(LENGTHS):
        longer["values"][row, count:] = 1e3
        alone = {"values": arrays["values"][row : row + 1, :count], "length": arrays["length"][row : row + 1]}
        torch.testing.assert_close(answer(module, alone)[0], together[row], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(answer(module, longer), together, atol=1e-5, rtol=1e-5)


@cells
def test_the_first_loss_is_that_of_knowing_nothing(cell: str) -> None:
    model, features, arrays, _ = built(cell=cell)
    module = model.module(features, STATE, seed=0)
    outputs = module(**{name: torch.from_numpy(array) for name, array in arrays.items()})
    loss = torch.nn.functional.cross_entropy(outputs, torch.tensor([0, 1, 2, 0, 1, 2]))
    assert float(loss) == pytest.approx(math.log(3), abs=1e-6)


@cells
def test_one_batch_is_learnt_by_heart(cell: str) -> None:
    model, features, arrays, _ = built(cell=cell, hidden=16, dropout=0.0)
    module, wanted = model.module(features, STATE, seed=0), torch.tensor([0, 1, 2, 0, 1, 2])
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-2)
    for _ in range(200):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(module(**tensors), wanted).backward()
        optimiser.step()
    assert (answer(module.eval(), arrays).argmax(dim=1) == wanted).all()


def test_texts_are_read_by_words() -> None:
    _, features, arrays, module = built(texts(), TEXT)
    assert "words" in features and arrays["ids"].dtype == np.int64
    assert answer(module, arrays).shape == (4, 3)
    one = {"ids": arrays["ids"][1:2, :1], "length": arrays["length"][1:2]}
    torch.testing.assert_close(answer(module, one)[0], answer(module, arrays)[1], atol=1e-5, rtol=1e-5)


def test_sessions_cut_a_batch_to_its_longest_row() -> None:
    """A model names ids and values as ragged, and has one of them."""
    model, _, arrays, module = built()
    widths = []

    def run(batch: Arrays) -> Any:
        widths.append(batch["values"].shape[1])
        return answer(module, batch).numpy()

    found = by_length(arrays, model.ragged, run, rows=2)
    np.testing.assert_allclose(found, answer(module, arrays).numpy(), atol=1e-5)
    assert widths == [3, 11, 20]


def test_without_text_and_series_it_says_so() -> None:
    state = STATE.model_copy(update={"inputs": (Column(name="n", type="number"),)})
    model = parts.build("models", "recurrent")
    assert "no text and no series" in model.unfit(state)
    with pytest.raises(DataError, match="no text and no series"):
        model.features(Rows({"n": np.zeros(3)}, 3), np.zeros(3), state, seed=0)


def test_work_grows_with_the_length() -> None:
    short, long = (built(series((length,) * 6)) for length in (10, 20))
    works = []
    for model, features, _, module in (short, long):
        weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
        works.append(model.work(weights, features, STATE))
    assert [work.typical_length for work in works] == [10, 20]
    assert works[1].flops_per_row == pytest.approx(2 * works[0].flops_per_row, rel=0.02)


@cells
@pytest.mark.parametrize("pooling", ["mean", "max", "last"])
def test_exported_is_trained_at_every_length(cell: str, pooling: str, tmp_path: Path) -> None:
    lengths = (40, 3, 17, 1, 33, 8, 25)
    model, features, arrays, module = built(series(lengths), cell=cell, pooling=pooling)
    session = exported(model, module, features, STATE, arrays, tmp_path)
    wanted = answer(module, arrays).numpy()
    np.testing.assert_allclose(session(arrays), wanted, atol=1e-4, rtol=1e-4)
    for row in range(len(lengths)):
        alone = {name: array[row : row + 1] for name, array in arrays.items()}
        np.testing.assert_allclose(session(alone)[0], wanted[row], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_openvino_reads_them_too(cell: str, tmp_path: Path) -> None:
    """Through ONNX: of torch's graphs it does not read the loops."""
    model, features, arrays, module = built(series((40, 3, 17, 1)), cell=cell)
    session = exported(model, module, features, STATE, arrays, tmp_path, method="openvino")
    np.testing.assert_allclose(session(arrays), answer(module, arrays).numpy(), atol=2e-3, rtol=2e-3)
    alone = {name: array[3:] for name, array in arrays.items()}
    np.testing.assert_allclose(session(alone), answer(module, alone).numpy(), atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_int8_leaves_recurrent_layers_as_they_are(cell: str, tmp_path: Path) -> None:
    """OpenVINO's CPU plugin opens no lstm whose weights are rounded; with rounded activations its answers are others."""
    model, features, arrays, module = built(series((40, 3, 17, 1)), cell=cell)
    session = exported(model, module, features, STATE, arrays, tmp_path, method="openvino-int8-weights")
    np.testing.assert_allclose(session(arrays), answer(module, arrays).numpy(), atol=0.05)
    assert not parts.build("compress.methods", "openvino-int8").applies(model)


def test_token_methods_leave_texts_that_are_continued_to_methods_of_their_own() -> None:
    gpt, transformer = parts.build("models", "gpt"), parts.build("models", "transformer")
    for name in ("openvino-bf16", "openvino-int8-weights", "openvino-int8", "openvino", "onnx", "onnx-int8"):
        method = parts.build("compress.methods", name)
        assert (method.applies(gpt), method.applies(transformer)) == (False, True), name


def test_exported_reads_texts_too(tmp_path: Path) -> None:
    model, features, arrays, module = built(texts(), TEXT, layers=2)
    session = exported(model, module, features, TEXT, arrays, tmp_path)
    np.testing.assert_allclose(session(arrays), answer(module, arrays).numpy(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["recurrent", "transformer"])
def test_few_rows_are_passed_over_more_often(name: str) -> None:
    """12 epochs of 7 steps had not begun to learn: as many epochs as make 300 steps, and patience for as many."""
    model = parts.build("models", name)
    few, many = model.loop({}, STATE, 216), model.loop({}, STATE, 32 * 300)
    assert few.epochs * 7 >= 300 > (few.epochs - 1) * 7
    assert few.patience is not None and few.patience / few.epochs == pytest.approx(
        model.patience / model.epochs, abs=0.03
    )
    assert (many.epochs, many.patience) == (model.epochs, model.patience)
    exact = parts.build("models", name, {"epochs": 3, "patience": None, "least_steps": 0}).loop({}, STATE, 216)
    assert (exact.epochs, exact.patience) == (3, None)
