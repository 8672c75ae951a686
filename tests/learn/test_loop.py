"""Laws of the training loop."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import parts
from modelyard.context import Progress
from modelyard.learn import batches, checkpoint, optimise
from modelyard.learn.summary import summary
from modelyard.models._contract import Examples, LoopOptions
from modelyard.rows import Column, Rows
from modelyard.store import Store

torch = pytest.importorskip("torch")
Make = Callable[..., Any]
"""A fixture that makes a `Setting` (conftest)."""


def rmse(scores: np.ndarray, target: np.ndarray) -> float:
    return float(np.sqrt(((scores[:, 0] - target) ** 2).mean()))


def equal(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> bool:
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("kind", ["table", "text"])
def test_first_loss_is_that_of_knowing_nothing(kind: str, table_setting: Make, text_setting: Make) -> None:
    setting = table_setting() if kind == "table" else text_setting()
    learnt = setting.run(epochs=1, batch_rows=len(setting.train), batch_tokens=None, learning_rate=0.0)
    assert learnt.curve[0].train_loss == pytest.approx(math.log(2), abs=1e-6)
    assert learnt.curve[0].train_loss == pytest.approx(setting.task.first_loss(setting.state), abs=1e-6)


def test_accumulation_over_ragged_passes_is_one_batch(text_setting: Make) -> None:
    setting = text_setting()
    whole = setting.run("whole", epochs=2, batch_tokens=None)
    pieces = setting.run("pieces", epochs=2, batch_tokens=48)
    steps = batches.steps(
        len(setting.train), setting.train.arrays["length"], batch_rows=32, batch_tokens=48, seed=0, epoch=0
    )
    assert max(len(step) for step in steps) > 4  # or nothing was tested
    for name, weight in whole.weights.items():
        np.testing.assert_allclose(pieces.weights[name], weight, atol=2e-6, err_msg=name)


def test_a_row_alone_is_the_same_row_in_a_padded_batch(text_setting: Make) -> None:
    setting = text_setting()
    for pooling in ("mean", "first", "max"):
        model = setting.model.model_copy(update={"pooling": pooling})
        module = model.module(setting.features, setting.state, seed=0).eval()
        torch.nn.init.normal_(module.head.weight)
        arrays = setting.train.arrays
        with torch.inference_mode():
            together = module(torch.from_numpy(arrays["ids"]), torch.from_numpy(arrays["length"])).numpy()
            for row in range(12):
                alone = batches.take(arrays, np.array([row]), ("ids",))
                assert alone["ids"].shape[1] <= arrays["ids"].shape[1]
                found = module(torch.from_numpy(alone["ids"]), torch.from_numpy(alone["length"])).numpy()
                np.testing.assert_allclose(found[0], together[row], rtol=1e-5, atol=1e-5)


def test_trimmed_batches_train_like_padded_ones(text_setting: Make) -> None:
    setting = text_setting()
    trimmed = setting.run("trimmed", epochs=1)
    wide = setting.train.arrays["ids"].shape[1]
    padded = {**setting.train.arrays, "ids": np.pad(setting.train.arrays["ids"], [(0, 0), (0, 40)])[:, : wide + 16]}
    setting.train = Examples(padded, setting.train.target)
    again = setting.run("padded", epochs=1)
    assert equal(trimmed.weights, again.weights)


def test_same_seed_same_bits_other_seed_other_bits(text_setting: Make) -> None:
    setting = text_setting(dropout=0.1)
    first, again, other = setting.run("a"), setting.run("b"), setting.run("c", seed=1)
    assert equal(first.weights, again.weights)
    assert first.curve == again.curve
    assert not equal(first.weights, other.weights)


def test_nothing_global_is_left_changed(table_setting: Make) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    table_setting().run(epochs=1)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())


class Kill(Exception):
    """Stands for a kill in one process."""


class Killing(Progress):
    """Raises at the n-th advance."""

    def __init__(self, after: int) -> None:
        self.left = after

    def bar(self, label: str, total: float | None = None) -> Any:
        from contextlib import contextmanager

        @contextmanager
        def drawn() -> Any:
            def advance(amount: float) -> None:
                self.left -= 1
                if self.left == 0:
                    raise Kill

            yield advance

        return drawn()


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_killed_and_resumed_is_unbroken(optimiser: str, text_setting: Make) -> None:
    setting = text_setting(dropout=0.2)
    options = {"optimiser": optimiser, "epochs": 3, "clip": 0.5, "l1": 1e-5}
    unbroken = setting.run("unbroken", **options)
    for kill in (1, 3, 4, 6):
        with pytest.raises(Kill):
            setting.run("killed", checkpoint_seconds=0.0, progress=Killing(kill), **options)
    assert checkpoint.load(setting.folder / "killed") is not None
    resumed = setting.run("killed", checkpoint_seconds=0.0, **options)
    assert equal(unbroken.weights, resumed.weights)
    assert unbroken.curve == resumed.curve
    assert unbroken.facts == resumed.facts
    again = setting.run("killed", **options)  # finished: answered from the checkpoint
    assert equal(again.weights, resumed.weights) and again.curve == resumed.curve and again.facts == resumed.facts


def test_two_optimisers_go_on_where_they_were(two_turns: Make) -> None:
    """Killed at a step where both move, and at one where only the body does."""
    setting = two_turns()
    options = {"epochs": 2, "optimiser": "adamw", "rates": {"head": 0.5}}
    unbroken = setting.run("unbroken", **options)
    assert {key for epoch in unbroken.curve for key in epoch.losses} == {"body", "head"}
    for kill in (3, 4):
        with pytest.raises(Kill):
            setting.run(f"killed {kill}", checkpoint_seconds=0.0, progress=Killing(kill), **options)
        saved = checkpoint.load(setting.folder / f"killed {kill}")
        assert saved is not None and saved[1]["step"] == kill - 1
        assert {name.split(".")[1] for name in saved[0] if name.startswith("optimiser.")} == {"body", "head"}
        resumed = setting.run(f"killed {kill}", **options)
        assert equal(unbroken.weights, resumed.weights)
        assert unbroken.curve == resumed.curve and unbroken.facts == resumed.facts


def test_moments_come_back_laid_out_as_their_weights() -> None:
    """Of convolutions with channels last; otherwise a resumed training adds them up in another order and gets other bits."""
    weight = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last).weight
    optimiser = torch.optim.AdamW([weight])
    weight.square().sum().backward()
    optimiser.step()
    tensors = {
        name: tensor.clone().contiguous() for name, tensor in checkpoint.optimiser_tensors("all", optimiser).items()
    }
    fresh = torch.optim.AdamW([weight])
    checkpoint.restore_optimiser("all", fresh, tensors)
    for key in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(fresh.state[weight][key], optimiser.state[weight][key])
        assert fresh.state[weight][key].stride() == weight.stride()


def test_killed_under_a_budget_trains_the_steps_that_were_planned(
    table_setting: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every forward pass takes a second. The killed run had decided plans and no more: nothing replays an end or a stop."""
    setting, now = table_setting(), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def tick(module: Any, given: Any) -> None:
        now[0] += 1.0

    def run(folder: str, **given: Any) -> Any:
        module = setting.model.module(setting.features, setting.state, seed=0)
        module.register_forward_pre_hook(tick)
        return setting.run(
            folder, seconds=100.0, epochs=200, patience=None, checkpoint_seconds=0.0, module=module, **given
        )

    store = Store(setting.folder / "killed")
    for kill in (30, 5):
        with pytest.raises(Kill):
            run("killed", progress=Killing(kill))
    assert store.decided("candidate.end") is None and 50 < store.decided("candidate.steps")["steps"] < 100
    resumed, unbroken = run("killed"), run("unbroken")
    assert store.decided("candidate.stop") is None
    plans = [store.decided(f"candidate.steps{number}") for number in ("", ".2", ".3", ".4")]
    assert resumed.facts["steps"] == [plan for plan in plans if plan][-1]["steps"]
    assert resumed.facts["stopped"] == "budget"
    assert 90 <= resumed.timings["total"] <= 105
    assert equal(resumed.weights, unbroken.weights) and resumed.curve == unbroken.curve


def test_a_foreign_checkpoint_is_not_used(table_setting: Make) -> None:
    setting = table_setting()
    setting.run("job", epochs=2)
    other = setting.run("job", epochs=3)
    assert other.facts["steps"] == 3 * 5


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from conftest import killable
print("ready", flush=True)
killable(Path({encoder!r}), Path({folder!r}))
"""


def test_real_kill_minus_nine(tmp_path: Path, tiny_encoder: Path, killable: Callable[..., Any]) -> None:
    """The very process that trains is killed by the kernel; another one goes on."""
    script = SCRIPT.format(here=str(Path(__file__).parent), encoder=str(tiny_encoder), folder=str(tmp_path))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
    place = tmp_path / "job" / checkpoint.FILE
    while not place.exists() and killed.poll() is None:
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    found = checkpoint.load(place.parent)
    assert found is not None and 0 < found[1]["step"] < 160 and not found[1]["stopped"]
    resumed, unbroken = killable(tiny_encoder, tmp_path), killable(tiny_encoder, tmp_path, "unbroken")
    assert equal(resumed.weights, unbroken.weights) and resumed.curve == unbroken.curve


def test_overfits_one_batch(text_setting: Make) -> None:
    setting = text_setting(learning_rate=5e-3)
    few = np.arange(16)
    setting.train = setting.validation = Examples(
        {n: a[few] for n, a in setting.train.arrays.items()}, np.arange(16) % 2
    )  # labels of chance
    learnt = setting.run(epochs=150, batch_rows=16, schedule="constant")
    assert learnt.facts["best_metric"] == 1.0
    assert learnt.curve[-1].train_loss < 0.05


def test_adamw_is_torchs(table_setting: Make) -> None:
    """The loop against a plain one written with torch alone."""
    setting = table_setting(dropout=0.0)
    learnt = setting.run(epochs=2, schedule="constant", warmup=0.0, clip=None, learning_rate=3e-3, weight_decay=0.1)
    module = setting.model.module(setting.features, setting.state, seed=0)
    wide = [p for p in module.parameters() if p.ndim > 1]
    narrow = [p for p in module.parameters() if p.ndim == 1]
    plain = torch.optim.AdamW([{"params": wide, "weight_decay": 0.1}, {"params": narrow, "weight_decay": 0.0}], lr=3e-3)
    x, y = torch.from_numpy(setting.train.arrays["dense"]), torch.from_numpy(setting.train.target)
    best: tuple[float, dict[str, Any]] = (-1.0, {})
    for epoch in range(2):
        for (rows,) in batches.steps(len(y), None, batch_rows=64, batch_tokens=None, seed=0, epoch=epoch):
            plain.zero_grad()
            torch.nn.functional.cross_entropy(module(x[rows]), y[rows]).backward()
            plain.step()
        with torch.no_grad():
            held = module(torch.from_numpy(setting.validation.arrays["dense"])).argmax(1).numpy()
        value = float((held == setting.validation.target).mean())
        if value > best[0]:
            best = value, {name: tensor.clone().numpy() for name, tensor in module.state_dict().items()}
    for name, weight in best[1].items():
        np.testing.assert_allclose(learnt.weights[name], weight, atol=1e-5)


def test_l1_and_l2_are_gradients_of_the_penalised_loss() -> None:
    """Against autograd: loss + l1 * sum |w| + decay / 2 * sum w^2 over matrices, by plain SGD."""
    weight, bias = torch.nn.Parameter(torch.tensor([[0.5, -2.0]])), torch.nn.Parameter(torch.tensor([1.0]))
    options = LoopOptions(optimiser="sgd", momentum=0.0, weight_decay=0.1, l1=0.3, learning_rate=1.0)
    built = optimise.optimiser([(0, [weight, bias])], options)
    twins = [weight.detach().clone().requires_grad_(), bias.detach().clone().requires_grad_()]
    x = torch.tensor([[1.0, 3.0]])
    (x @ weight.T + bias).square().sum().backward()
    optimise.add_l1(built, options.l1)
    built.step()
    (x @ twins[0].T + twins[1]).square().sum().add(
        0.3 * twins[0].abs().sum() + 0.05 * twins[0].square().sum()
    ).backward()
    for ours, twin in zip((weight, bias), twins, strict=True):
        torch.testing.assert_close(ours.detach(), twin.detach() - twin.grad)


def test_early_stopping_keeps_the_best(table_setting: Make) -> None:
    setting = table_setting()
    learnt = setting.run(epochs=200, patience=3, learning_rate=0.02)
    assert learnt.facts["stopped"] == "patience"
    best = max(learnt.curve, key=lambda epoch: (epoch.validation_metric, -epoch.validation_loss))
    assert learnt.facts["best_step"] == best.step == learnt.curve[-1].step - 3 * 5
    module = setting.model.module(setting.features, setting.state, seed=9)
    module.load_state_dict({name: torch.from_numpy(w) for name, w in learnt.weights.items()})
    with torch.no_grad():
        outputs = module.eval()(torch.from_numpy(setting.validation.arrays["dense"])).numpy()
    assert float((outputs.argmax(1) == setting.validation.target).mean()) == pytest.approx(best.validation_metric)


def test_a_loss_that_is_not_finite_ends_with_the_best_weights(table_setting: Make) -> None:
    setting = table_setting()
    sound = setting.run("sound", epochs=3)
    assert sound.facts["stopped"] == "schedule"
    setting.train.arrays["dense"][7, 0] = np.nan
    learnt = setting.run("broken", epochs=3)
    assert learnt.facts["stopped"] == "loss_not_finite"
    assert all(np.isfinite(weight).all() for weight in learnt.weights.values())


def test_rows_of_a_class_never_seen_are_left_out(table_setting: Make) -> None:
    setting = table_setting()
    setting.validation.target[:3] = -1
    assert setting.run(epochs=1).curve[0].validation_loss == pytest.approx(math.log(2), abs=0.2)


def test_regression_is_measured_in_the_targets_own_unit(tmp_path: Path, new_setting: Make) -> None:
    generator = np.random.default_rng(0)
    a = generator.normal(size=300)
    values = 1000 + 200 * a + generator.normal(size=300)
    task = parts.build("tasks", "tabular-regression")
    state = task.fit(values[:225], "y", (Column(name="a", type="number"),), None)
    standardised = (values - state.mean) / state.scale
    setting = new_setting(parts.build("models", "mlp"), Rows({"a": a}, 300), standardised, state, tmp_path)
    learnt = setting.run(metric=rmse, greater=False, epochs=40)
    assert learnt.facts["best_metric"] < 60
    assert min(epoch.validation_metric for epoch in learnt.curve) == pytest.approx(learnt.facts["best_metric"])


def test_frozen_trunk_trains_its_head_on_vectors_made_once(text_setting: Make) -> None:
    setting = text_setting(freeze="all", learning_rate=1e-2)
    learnt = setting.run(epochs=10)
    fresh = setting.model.module(setting.features, setting.state, seed=0).state_dict()
    assert all(
        np.array_equal(learnt.weights[name], tensor.numpy())
        for name, tensor in fresh.items()
        if name.startswith("trunk.")
    )
    assert learnt.facts["best_metric"] > 0.7
    assert learnt.facts["trainable"] == 66


def test_freezing_lower_layers(text_setting: Make) -> None:
    setting = text_setting(freeze=1)
    before = setting.model.module(setting.features, setting.state, seed=0).state_dict()
    after = setting.run(epochs=1).weights
    moved = {name for name in after if not np.array_equal(after[name], before[name].numpy())}
    assert "trunk.encoder.layer.1.output.dense.weight" in moved and "head.weight" in moved
    assert not any("layer.0" in name or "embeddings" in name for name in moved)


def test_precision_is_decided_once(text_setting: Make) -> None:
    setting = text_setting()
    asked: list[str] = []

    def decide(name: str, choose: Callable[[], Any]) -> Any:
        asked.append(name)
        return "bf16"

    learnt = setting.run(precision="auto", epochs=1, decide=decide)
    assert learnt.facts["precision"] == "bf16" and asked == ["candidate.precision"]
    assert all(weight.dtype == np.float32 for weight in learnt.weights.values())


def test_tensorboard_has_every_epoch(table_setting: Make) -> None:
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    setting = table_setting()
    learnt = setting.run(epochs=3, tracking=("tensorboard",))
    found = loading.EventAccumulator(str(setting.folder / "job" / "tensorboard" / "candidate"))
    found.Reload()
    logged = [(event.step, event.value) for event in found.Scalars("validation_loss")]
    assert [step for step, _ in logged] == [epoch.step for epoch in learnt.curve]
    np.testing.assert_allclose(
        [value for _, value in logged], [epoch.validation_loss for epoch in learnt.curve], rtol=1e-6
    )


def test_decisions_fix_the_steps(table_setting: Make) -> None:
    """A plan and a stop written by an earlier run are followed to the step, whatever this machine's clock says."""
    setting = table_setting()
    store = Store(setting.folder / "job")
    store.decide("candidate.steps", lambda: {"at": 6, "steps": 20})
    store.decide("candidate.stop", lambda: {"at": 11, "steps": 13})
    store.decide("candidate.end", lambda: 13)
    learnt = setting.run(epochs=40, seconds=1e-3, patience=None)
    assert learnt.facts["steps"] == 13 and learnt.facts["stopped"] == "budget"
    assert [epoch.step for epoch in learnt.curve] == [5, 10, 13]
    again = setting.run("job2", epochs=40, seconds=1e9, patience=None, decide=store.decide)
    assert equal(again.weights, learnt.weights)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_the_operations_of_every_recurrent_cell_are_counted(cell: str) -> None:
    """Two for each weight and step: 4, 3 or 1 gates of 8 x (2 + 8) weights over 5 steps."""
    module = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[cell](2, 8, batch_first=True)

    class Network(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.cell = module

        def forward(self, values: Any) -> Any:
            return self.cell(values)[0]

    gates = {"lstm": 4, "gru": 3, "rnn": 1}[cell]
    assert summary(Network(), {"values": torch.zeros(1, 5, 2)})["flops"] == 2 * 5 * gates * 8 * (2 + 8)
