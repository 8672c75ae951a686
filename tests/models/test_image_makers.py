"""Models that make images: noise from seeds, classes asked for and drawn, two optimisers that stop and go on, and planted trouble."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import parts
from modelyard.conformance._toys import picture, toy
from modelyard.context import Silence
from modelyard.errors import DataError
from modelyard.learn import loop
from modelyard.models import _imaging, gan
from modelyard.models._contract import Examples
from modelyard.rows import Array, Column, from_records
from modelyard.store import Store
from modelyard.tasks._contract import State

pytest.importorskip("PIL")
KIND, SEED = Column(name="kind", type="category"), Column(name="seed", type="number")
FEATURES = {"condition": "kind", "classes": ["a", "b"], "shares": [0.25, 0.75], "shape": [1, 16, 16]}
SMALL: dict[str, Any] = {"width": 8, "critic_width": 8, "noise": 8, "batch_rows": 8}


def state(*columns: Column) -> State:
    return State(task="image-generation", target="image", inputs=columns, makes="image", shape=(1, 16, 16), width=256)


def asked(records: list[dict[str, Any]]) -> Any:
    return gan.Part(noise=8).encode(from_records(records, (KIND, SEED)), FEATURES)


# -- what is asked for -------------------------------------------------------------------------------------------------


def test_a_seed_makes_the_same_noise_whoever_stands_beside() -> None:
    many = asked([{"seed": seed, "kind": "a"} for seed in (0, 1, -1, 0.5, 1e300, 1)])["noise"]
    alone = asked([{"seed": 1, "kind": "b"}])["noise"]
    assert np.array_equal(many[1], alone[0]) and np.array_equal(many[1], many[5])
    assert len({row.tobytes() for row in many}) == 5
    assert np.array_equal(asked([{"kind": "a"}])["noise"], asked([{"kind": "a", "seed": 0}])["noise"]), "none is 0"


def test_noise_is_standard_normal() -> None:
    noise = _imaging.normal(np.arange(4000, dtype=np.float64).view(np.uint64), 16)
    assert noise.dtype == np.float32 and abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02
    assert np.abs(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]) < 0.02, "neighbouring seeds are strangers"


def test_a_class_is_as_asked_or_drawn_as_often_as_in_training() -> None:
    assert asked([{"seed": 3, "kind": "a"}, {"seed": 3, "kind": "b"}])["label"].tolist() == [0, 1]
    drawn = asked([{"seed": seed} for seed in range(2000)])["label"]
    assert drawn.mean() == pytest.approx(0.75, abs=0.03)
    unknown = asked([{"seed": seed, "kind": "never seen"} for seed in range(2000)])["label"]
    assert np.array_equal(drawn, unknown)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ((KIND, Column(name="colour", type="category")), "one column of classes, not kind, colour"),
        ((KIND, Column(name="size", type="number")), "not size"),
        ((Column(name="seed", type="text"),), "not seed"),
    ],
)
def test_other_inputs_are_refused_with_a_cure(columns: tuple[Column, ...], why: str) -> None:
    model, rows = gan.Part(), from_records([{}, {}], columns)
    assert why in model.unfit(state(*columns)) and "data.columns" in model.unfit(state(*columns))
    with pytest.raises(DataError, match=why):
        model.features(rows, np.zeros((2, 256), np.uint8), state(*columns), seed=0)
    assert gan.Part().unfit(state(KIND, SEED)) == gan.Part().unfit(state(SEED)) == ""


@pytest.mark.parametrize("name", ["gaussian", "gan", "flow"])
def test_images_of_no_class_are_made_where_there_are_none(name: str) -> None:
    if name != "gaussian":
        pytest.importorskip("torch")
    model, rows = parts.build("models", name), from_records([{"seed": 1}, {"seed": 2}], (SEED,))
    target = np.random.default_rng(0).integers(0, 256, (20, 256)).astype(np.uint8)
    training = from_records([{"seed": number} for number in range(20)], (SEED,))
    features = model.features(training, target, state(SEED), seed=0)
    assert features["classes"] == [] and model.encode(rows, features)["label"].tolist() == [0, 0]
    if name == "gaussian":
        learnt = Examples(model.encode(training, features), target)
        weights = model.refit(learnt, {}, state(SEED), features, seed=0, threads=1)
        made = model.session(weights, features, state(SEED))(model.encode(rows, features))
    else:
        import torch

        given = {key: torch.from_numpy(array) for key, array in model.encode(rows, features).items()}
        made = model.module(features, state(SEED), seed=0).eval()(**given).detach().numpy()
    assert made.shape == (2, 256) and made.min() >= 0 and made.max() <= 1


# -- training ----------------------------------------------------------------------------------------------------------


class Stopped(Exception):
    """A process that ends."""


def train(folder: Path, model: Any, *, kill_at: int | None = None, **changed: Any) -> loop.Learnt:
    """The toy's training, started in `folder` or gone on with; with `kill_at` it ends before that step."""
    found = toy("image-generation", rows=32)
    features = model.features(found.train, found.train_target, found.state, seed=0)
    examples = model.examples(found.train, found.train_target, features, seed=0)
    held = Examples(model.encode(found.validation, features), found.validation_target)
    options = model.loop(features, found.state, 32).model_copy(update={"epochs": 3, **changed})

    def metric(scores: Array, target: Array) -> float:
        return float(np.abs(scores.mean(axis=0) - target.mean(axis=0)).mean())

    class Killing(type(model)):  # type: ignore[misc]
        def moves(self, turn: str, step: int) -> bool:
            if step == kill_at:
                raise Stopped
            return bool(super().moves(turn, step))

    return loop.train(
        Killing(**model.model_dump()), model.module(features, found.state, seed=0), examples, held, task=found.task, state=found.state,
        options=options, metric=metric, greater_is_better=False, seed=0, threads=1, seconds=None, folder=folder, decide=Store(folder).decide,
        name="toy", checkpoint_seconds=0.0, progress=Silence(), tracking=(),
    )  # fmt: skip


@pytest.mark.parametrize(
    "model",
    [
        pytest.param({}, id="hinge"),
        pytest.param({"loss": "bce"}, id="bce"),
        pytest.param({"loss": "wasserstein", "critic_steps": 2}, id="wasserstein"),
    ],
)
def test_two_optimisers_killed_and_gone_on_with_learn_the_same_weights(
    tmp_path: Path, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(loop, "SLOWEST_CHECKPOINT", 1e9)  # a checkpoint after every step
    part = gan.Part(**SMALL, **model)
    whole = train(tmp_path / "whole", part)
    with pytest.raises(Stopped):
        train(tmp_path / "killed", part, kill_at=7)
    again = train(tmp_path / "killed", part)
    assert whole.facts["steps"] == again.facts["steps"] == 12
    assert whole.weights.keys() == again.weights.keys()
    for name, array in whole.weights.items():
        assert np.array_equal(array, again.weights[name]), name
    assert [one.losses for one in whole.curve] == [one.losses for one in again.curve]
    assert set(whole.curve[0].losses) == {"critic", "generator"} and whole.curve[0].validation_loss is None


def test_flow_matching_goes_on_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(loop, "SLOWEST_CHECKPOINT", 1e9)
    part = parts.build("models", "flow", {"width": 8, "batch_rows": 8, "steps": 2})
    whole = train(tmp_path / "whole", part)
    with pytest.raises(Stopped):
        train(tmp_path / "killed", part, kill_at=5)
    again = train(tmp_path / "killed", part)
    assert all(np.array_equal(array, again.weights[name]) for name, array in whole.weights.items())


def test_turns_are_taken_as_said() -> None:
    part = gan.Part(critic_steps=3)
    assert [part.moves("generator", step) for step in range(6)] == [False, False, True, False, False, True]
    assert all(part.moves("critic", step) for step in range(6))


def test_only_the_turns_own_weights_move() -> None:
    torch = pytest.importorskip("torch")
    from modelyard.learn.stepping import Stepper

    part = gan.Part(**SMALL, critic_steps=2)
    module = part.module(FEATURES, state(KIND, SEED), seed=0)
    stepper = Stepper(
        part, module, None, state(), part.loop({}, state(), 8), 0, torch.device("cpu"), answer=module.train()
    )
    stepper.open(1)
    examples = Examples(
        {"label": np.arange(8) % 2}, np.random.default_rng(0).integers(0, 256, (8, 256)).astype(np.uint8)
    )

    def weights() -> dict[str, Any]:
        return {name: each.detach().clone() for name, each in module.named_parameters()}

    first = weights()
    done = stepper.step(examples, [np.arange(8)], (), 0, 1e-3)
    second = weights()
    assert set(done.loss) == {"critic"} and done.count["critic"] == 8
    assert {name.partition(".")[0] for name in first if not torch.equal(first[name], second[name])} == {"critic"}
    done = stepper.step(examples, [np.arange(8)], (), 1, 1e-3)
    third = weights()
    assert set(done.loss) == {"critic", "generator"}
    moved = {name.partition(".")[0] for name in first if not torch.equal(second[name], third[name])}
    assert moved == {"critic", "generator", "average"}


def test_below_one_validations_come_every_so_many_epochs(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    found = train(tmp_path, gan.Part(**SMALL), epochs=7, validations_per_epoch=0.4)
    assert [point.epoch for point in found.curve] == [2.5, 5.0, 7.0]


# -- trouble -----------------------------------------------------------------------------------------------------------


def test_a_critic_that_wins_is_said(tmp_path: Path) -> None:
    """A generator that hardly moves leaves its critic nothing to err about."""
    pytest.importorskip("torch")
    part = gan.Part(**SMALL, loss="bce", spectral=False, generator_rate=1e-9, epochs=40)
    found = train(tmp_path, part, epochs=40, validations_per_epoch=0.1)
    assert found.facts["troubles"] == ["critic_wins"]
    assert "troubles" not in train(tmp_path / "sound", gan.Part(**SMALL)).facts


def test_a_training_that_diverges_is_said(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    part = gan.Part(**SMALL, loss="wasserstein", learning_rate=1e12, penalty=1e20)
    found = train(tmp_path, part, epochs=10)
    assert found.facts["stopped"] == "loss_not_finite" and found.facts["troubles"][0] == "loss_not_finite"
    assert all(np.isfinite(array).all() for array in found.weights.values()), "what is kept is from before"


def test_a_picture_of_another_size_becomes_what_is_made() -> None:
    task = parts.build("tasks", "image-generation")
    rng = np.random.default_rng(0)
    values = np.array([picture(rng.integers(0, 256, (21, 19)).astype(np.uint8)) for _ in range(3)], dtype=object)
    fitted = task.fit(values, "image", (SEED,), None)
    assert fitted.shape == (1, 20, 20) and task.encode_target(values, fitted).shape == (3, 400)
    large = np.array([picture(rng.integers(0, 256, (90, 99, 3)).astype(np.uint8)) for _ in range(3)], dtype=object)
    assert task.fit(large, "image", (SEED,), None).shape == (3, 64, 64)
    with pytest.raises(DataError, match="same image in every training row"):
        task.fit(np.repeat(values[:1], 5), "image", (SEED,), None)
