"""The multilayer perceptron: inputs, options, initial weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelyard import parts
from modelyard.rows import Column, Rows
from modelyard.tasks._contract import State

torch = pytest.importorskip("torch")
COLUMNS = (
    Column(name="n", type="number"), Column(name="b", type="boolean"), Column(name="c", type="category"),
    Column(name="d", type="date"), Column(name="t", type="text"),
)  # fmt: skip
STATE = State(task="tabular-classification", target="y", inputs=COLUMNS, classes=("a", "b", "c"), counts=(1, 1, 1))


def some_rows(count: int = 60) -> Rows:
    generator = np.random.default_rng(0)
    number = generator.normal(50, 9, count)
    number[::7] = np.nan
    words = np.array(["red apple", "green pear pie", "red pear", None], dtype=object)
    return Rows({
        "n": number, "b": generator.integers(0, 2, count).astype(float), "c": generator.choice(["x", "y"], count).astype(object),
        "d": generator.uniform(1e9, 1.1e9, count), "t": generator.choice(words, count),
    }, count)  # fmt: skip


def build(**options: Any) -> tuple[Any, dict[str, Any], Any]:
    model = parts.build("models", "mlp", options)
    features = model.features(some_rows(), np.zeros(60, dtype=np.int64), STATE, seed=0)
    return model, features, model.module(features, STATE, seed=0)


def test_what_it_cannot_read_is_said() -> None:
    wide = (*COLUMNS, Column(name="photo", type="image"), Column(name="wave", type="sequence"))
    said = parts.build("models", "mlp").unfit(STATE.model_copy(update={"inputs": wide}))
    assert said == "it reads neither images nor series (photo, wave)"
    assert parts.build("models", "mlp").unfit(STATE) == ""


def test_every_type_of_column_is_read() -> None:
    model, features, module = build()
    dense = model.encode(some_rows(), features)["dense"]
    assert dense.shape == (60, features["width"]) and dense.dtype == np.float32 and np.isfinite(dense).all()
    assert np.allclose(dense[:, 0].mean(), 0, atol=1e-5) and np.allclose(
        dense[:, 0].std(), 1, atol=1e-5
    )  # standardised
    assert module(torch.from_numpy(dense)).shape == (60, 3)
    one = model.encode(some_rows().take(slice(3, 4)), features)["dense"]
    np.testing.assert_array_equal(one[0], dense[3])


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "silu", "leaky_relu"])
@pytest.mark.parametrize("normalisation", ["none", "batch", "layer"])
def test_every_option_computes_and_learns(activation: str, normalisation: str) -> None:
    model, features, module = build(activation=activation, normalisation=normalisation, hidden=(8, 8))
    dense = torch.from_numpy(model.encode(some_rows(), features)["dense"])
    torch.nn.init.normal_(module.head.weight)
    torch.nn.functional.cross_entropy(module(dense), torch.zeros(60, dtype=torch.int64)).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())


def test_initial_weights_have_the_papers_variance() -> None:
    """He: 2 / inputs; Xavier: 2 / (inputs + outputs)."""
    for kind, variance in (("he", 2 / 400), ("xavier", 2 / 800)):
        _, _, module = build(initialisation=kind, hidden=(400, 400), dropout=0.0)
        linear = [layer for layer in module.body if isinstance(layer, torch.nn.Linear)][1]
        assert linear.weight.var().item() == pytest.approx(variance, rel=0.05)
        assert not linear.bias.any() and not module.head.weight.any()


def test_seed_alone_decides_initial_weights() -> None:
    model, features, module = build()
    torch.manual_seed(99)
    again = model.module(features, STATE, seed=0).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in module.state_dict().items())
    other = model.module(features, STATE, seed=1).state_dict()
    assert not torch.equal(other["body.0.weight"], again["body.0.weight"])


def test_work_counts_two_flops_a_weight() -> None:
    model, features, module = build(hidden=(10,))
    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    work = model.work(weights, features, STATE)
    width = features["width"]
    assert work.parameters == width * 10 + 10 + 10 * 3 + 3 and work.flops_per_row == 2 * (width * 10 + 30)


def test_no_hidden_layer_is_a_linear_model() -> None:
    model, features, module = build(hidden=())
    dense = torch.from_numpy(model.encode(some_rows(), features)["dense"])
    torch.nn.init.normal_(module.head.weight)
    torch.testing.assert_close(module(dense), dense @ module.head.weight.T)
