"""The watch over gradients: real networks whose gradients vanish or explode are told, sound ones are not, and nothing is changed by looking."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import parts
from modelyard.context import Silence
from modelyard.learn import gradients
from modelyard.learn.gradients import FEWEST, LOOKS, MOST, VANISHED, Watch
from modelyard.rows import Column, Rows
from modelyard.tasks._contract import State

torch = pytest.importorskip("torch")
Make = Callable[..., Any]
"""A fixture that makes a `Setting` (conftest)."""


def series(count: int = 96, *, shortest: int = 30, longest: int = 40) -> tuple[Rows, np.ndarray]:
    """Noise of two channels; the first steps' sign is the class, so that only what reaches them can learn it."""
    rng = np.random.default_rng(0)
    target, values = rng.integers(0, 2, count), np.empty(count, dtype=object)
    for place, label in enumerate(target):
        values[place] = rng.normal(size=(rng.integers(shortest, longest + 1), 2)).astype(np.float32)
        values[place][:3, 0] = 2.0 * label - 1.0
    return Rows({"wave": values}, count), target


@pytest.fixture
def series_setting(tmp_path: Path, new_setting: Any) -> Make:
    def make(rows: Rows | None = None, target: np.ndarray | None = None, **options: Any) -> Any:
        if rows is None or target is None:
            rows, target = series()
        state = State(
            task="sequence-classification", target="t", inputs=(Column(name="wave", type="sequence", channels=2),),
            classes=("a", "b"), counts=(48, 48),
        )  # fmt: skip
        model = parts.build("models", "recurrent", {"hidden": 8, "bidirectional": False, **options})
        return new_setting(model, rows, target, state, tmp_path)

    return make


class Heard(Silence):
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def deep_sigmoid(inputs: int, outputs: int, *, layers: int, hidden: int = 8) -> Any:
    """A recurrent network of stacked sigmoid layers, small random weights (deviation 0.1), and a head on the last state."""

    class Layer(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self, width: int) -> None:
            super().__init__()
            self.into, self.own = torch.nn.Linear(width, hidden), torch.nn.Linear(hidden, hidden)

        def forward(self, steps: Any) -> Any:
            state, found = steps.new_zeros(len(steps), hidden), []
            for place in range(steps.shape[1]):
                state = torch.sigmoid(self.into(steps[:, place]) + self.own(state))
                found.append(state)
            return torch.stack(found, dim=1)

    class Network(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList(Layer(inputs if not number else hidden) for number in range(layers))
            self.head = torch.nn.Linear(hidden, outputs)
            for one in self.parameters():
                torch.nn.init.normal_(one, std=0.1)

        def forward(self, values: Any, length: Any) -> Any:
            for layer in self.layers:
                values = layer(values)
            return self.head(values[:, -1])

    torch.manual_seed(0)
    return Network()


def watched(learnt: Any) -> dict[str, Any]:
    (found,) = learnt.facts["gradients"]
    return dict(found)


def test_a_deep_sigmoid_network_vanishes(series_setting: Make) -> None:
    setting, heard = series_setting(*series(shortest=6, longest=6)), Heard()
    found = watched(setting.run(module=deep_sigmoid(2, 2, layers=8), epochs=2, progress=heard))
    assert (found["state"], found["reason"]) == ("vanishing", "layer")
    assert found["layer"] == "layers.0" and found["share"] < VANISHED
    norms = [layer["norm"] for layer in found["layers"]]
    assert [layer["name"] for layer in found["layers"]] == [*(f"layers.{number}" for number in range(8)), "head"]
    assert norms == sorted(norms)  # from layer to layer less reaches further back
    (told,) = [line for line in heard.lines if "gradient" in line]
    assert told.startswith("candidate: gradient vanishing: it reaches layers.0 with ")
    shallow = watched(setting.run("shallow", module=deep_sigmoid(2, 2, layers=2), epochs=2))
    assert shallow["state"] == "sound" and shallow["share"] > 100 * VANISHED


def test_a_plain_cell_forgets_where_one_with_open_gates_does_not(series_setting: Make) -> None:
    """What a plain cell of small weights read 30 steps ago no longer moves it, unless all steps are pooled; an lstm that keeps remembers."""

    def run(cell: str, pooling: str) -> dict[str, Any]:
        setting = series_setting(cell=cell, pooling=pooling)
        module = setting.model.module(setting.features, setting.state, seed=0)
        with torch.no_grad():
            if cell == "rnn":
                module.ahead[0].weight_hh_l0.mul_(0.5)
            else:
                module.ahead[0].bias_ih_l0[8:16] = 4.0  # the forget gate: sigmoid(4) of 0.98 is kept
        return watched(setting.run(f"{cell}.{pooling}", module=module, epochs=3))

    plain = run("rnn", "last")
    assert (plain["state"], plain["reason"]) == ("vanishing", "steps") and plain["reach"] < VANISHED
    for found in (run("rnn", "mean"), run("lstm", "last")):
        assert found["state"] == "sound" and found["reach"] > 100 * VANISHED


def test_a_large_rate_without_clipping_explodes(table_setting: Make) -> None:
    heard = Heard()
    options = {"optimiser": "sgd", "clip": None, "schedule": "constant", "warmup": 0.0, "epochs": 30}
    learnt = table_setting(hidden=(16, 16, 16)).run(learning_rate=1e6, progress=heard, **options)
    found = watched(learnt)
    assert learnt.facts["stopped"] == "loss_not_finite"
    assert (found["state"], found["reason"]) == ("exploding", "not_finite")
    assert heard.lines[-1] == "candidate: gradient exploding: it is not finite"
    assert watched(table_setting(hidden=(16, 16, 16)).run("calm", learning_rate=0.1, **options))["state"] == "sound"


def test_a_gradient_far_beyond_the_clip_explodes(table_setting: Make) -> None:
    setting = table_setting(hidden=(16,))
    module = setting.model.module(setting.features, setting.state, seed=0)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(std=30.0)
    found = watched(setting.run(module=module, epochs=2, clip=1.0))
    assert (found["state"], found["reason"]) == ("exploding", "clipped")
    assert found["long"] > 0.5 and found["norm"] > 10
    assert watched(setting.run("calm", epochs=2, clip=1.0))["long"] == 0


def test_an_unclipped_gradient_far_beyond_the_usual_explodes(series_setting: Make) -> None:
    """A cell's answers are bounded, so nothing becomes infinite; the weights are thrown about all the same."""
    options = {"clip": None, "warmup": 0.0, "schedule": "constant", "epochs": 8}
    found = watched(series_setting(cell="gru", hidden=64).run(learning_rate=1.0, **options))
    assert (found["state"], found["reason"]) == ("exploding", "unclipped") and found["long"] > 0.5
    assert watched(series_setting(cell="gru", hidden=64).run("calm", **options))["state"] == "sound"


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_looking_changes_nothing(cell: str, series_setting: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = series_setting(cell=cell, bidirectional=True, layers=2)
    looked = setting.run("looked", epochs=2)
    monkeypatch.setattr(Watch, "due", property(lambda watch: False))
    blind = setting.run("blind", epochs=2)
    assert looked.facts["gradients"][0]["looks"] > 0 == blind.facts["gradients"][0]["looks"]
    assert all(np.array_equal(looked.weights[name], blind.weights[name]) for name in blind.weights)


def test_frozen_layers_are_not_watched(table_setting: Make) -> None:
    setting = table_setting(hidden=(16, 16))
    module = setting.model.module(setting.features, setting.state, seed=0)
    first = next(iter(module.parameters()))
    first.requires_grad_(False)
    whole, part = watched(setting.run("whole", epochs=1)), watched(setting.run("part", module=module, epochs=1))
    assert len(part["layers"]) == len(whole["layers"]) - 1 and part["state"] == "sound"


def test_each_of_two_optimisers_is_watched(two_turns: Make) -> None:
    learnt = two_turns().run(epochs=3)
    body, head = learnt.facts["gradients"]
    assert (body["turn"], head["turn"]) == ("body", "head")
    assert [layer["name"] for layer in head["layers"]] == ["head"]
    assert body["layers"] and not any(layer["name"] == "head" for layer in body["layers"])
    assert body["state"] == head["state"] == "sound" and body["looks"] > 0 < head["looks"]
    wild = two_turns().run(
        "wild", epochs=6, clip=None, optimiser="sgd", learning_rate=1.0, rates={"head": 1e4}, warmup=0.0
    )
    assert {one["turn"]: one["state"] for one in wild.facts["gradients"]}["body"] == "exploding"


def test_looking_costs_next_to_nothing() -> None:
    """Of a hundred steps four are looked at: what a look costs is a share of a pass that is lost in a hundred passes."""
    watch = Watch({}, 1.0, -(-100 // LOOKS))
    looked = 0
    for _ in range(100):
        looked += watch.due
        watch.stepped(0.5, finite=True)
    assert looked == LOOKS


def test_clipped_steps_are_counted(table_setting: Make) -> None:
    tight = watched(table_setting().run("tight", epochs=2, clip=1e-6))
    assert tight["clipped"] == 1.0 and watched(table_setting().run("loose", epochs=2, clip=1e6))["clipped"] == 0.0
    assert watched(table_setting().run("none", epochs=2, clip=None))["clipped"] is None


def test_looks_stay_few() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.full((2, 2), 0.5)
    watch = Watch({"layer": [weight]}, 1.0, 1)
    for _ in range(20 * MOST):
        watch.look()
        watch.stepped(1.0, finite=True)
    assert MOST // 2 <= len(watch.norms) <= MOST and len(watch.looks["layer"]) == len(watch.norms)
    assert watch.facts("weights")["layers"] == [{"name": "layer", "norm": 1.0, "ratio": 0.5}]
    assert Watch.over(torch.nn.Linear(2, 2), [], None, 10).every == FEWEST
    assert Watch.over(torch.nn.Linear(2, 2), [], None, 1000).every == math.ceil(1000 / LOOKS)


def test_every_reason_has_a_line() -> None:
    facts = {"layer": "a", "share": 0.0, "reach": 0.0, "long": 0.6, "limit": 10.0, "state": "exploding"}
    lines = {
        gradients.said({**facts, "reason": reason})
        for reason in ("layer", "steps", "clipped", "unclipped", "not_finite")
    }
    assert len(lines) == 5
