"""Learning rates, layer groups, clipping, batches and summaries."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.errors import MissingExtra
from modelyard.learn import batches, optimise
from modelyard.learn.summary import summary
from modelyard.learn.tracking import open_trackers
from modelyard.models._contract import LoopOptions
from modelyard.records.trained import Epoch

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant", "step"])
def test_every_schedule_rises_then_does_not(kind: str) -> None:
    rates = [optimise.share(step, 100, LoopOptions(schedule=kind, warmup=0.1)) for step in range(100)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(rates[9:]))
    last = {"cosine": 0.0, "linear": 1 / 90, "constant": 1.0, "step": 0.01}[kind]
    assert rates[-1] == pytest.approx(last, abs=1e-3)


def test_cosine_is_torchs() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    plain = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(plain, T_max=50)
    for step in range(50):
        assert optimise.share(step, 50, LoopOptions(schedule="cosine", warmup=0.0)) == pytest.approx(
            theirs.get_last_lr()[0], abs=1e-6
        )
        plain.step()
        theirs.step()


def test_layers_below_learn_slower(text_setting: Callable[..., Any]) -> None:
    setting = text_setting(layer_decay=0.5)
    module = setting.model.module(setting.features, setting.state, seed=0)
    options = setting.model.loop(setting.features, setting.state, 100)
    built = optimise.optimiser(setting.model.groups(module), options)
    optimise.set_rate(built, 1.0)
    rate = {id(p): group["lr"] for group in built.param_groups for p in group["params"]}
    named = dict(module.named_parameters())
    assert rate[id(named["head.weight"])] == 1.0
    assert rate[id(named["trunk.encoder.layer.1.output.dense.weight"])] == 1.0
    assert rate[id(named["trunk.encoder.layer.0.output.dense.weight"])] == 0.5
    assert rate[id(named["trunk.embeddings.word_embeddings.weight"])] == 0.25
    assert len(rate) == len(named)
    decay = {id(p): group["weight_decay"] for group in built.param_groups for p in group["params"]}
    assert decay[id(named["head.bias"])] == 0.0 and decay[id(named["head.weight"])] > 0


def test_clipping_bounds_the_norm() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(2))]
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 4.0)
    optimise.normalise(parameters, 2.0)
    assert optimise.clip(parameters, None) == pytest.approx(2 * 5**0.5)
    assert optimise.clip(parameters, 1.0) == pytest.approx(2 * 5**0.5)
    assert optimise.clip(parameters, None) == pytest.approx(1.0, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=300), st.integers(1, 40), st.integers(8, 300), st.integers(0, 3)
)
def test_every_row_stands_in_one_pass(lengths: list[int], rows: int, tokens: int, epoch: int) -> None:
    length = np.array(lengths)
    found = batches.steps(len(length), length, batch_rows=rows, batch_tokens=tokens, seed=1, epoch=epoch)
    seen = np.concatenate([part for step in found for part in step])
    assert sorted(seen) == list(range(len(length)))
    assert all(sum(map(len, step)) <= rows + 1 for step in found)
    for step in found:
        for part in step:
            assert len(part) == 1 or len(part) * length[part].max() <= tokens
    again = batches.steps(len(length), length, batch_rows=rows, batch_tokens=tokens, seed=1, epoch=epoch)
    assert all(
        np.array_equal(a, b)
        for ours, theirs in zip(found, again, strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )
    other = batches.steps(len(length), length, batch_rows=rows, batch_tokens=tokens, seed=1, epoch=epoch + 1)
    assert len(other) == len(found)


def test_bucketing_saves_padding() -> None:
    length = np.random.default_rng(0).integers(4, 129, 2000)
    grouped = batches.steps(2000, length, batch_rows=32, batch_tokens=None, seed=0, epoch=0)
    plain = batches.steps(2000, length, batch_rows=32, batch_tokens=None, seed=0, epoch=0, group=False)
    spent = [sum(batches.work(step, length) for step in found) for found in (grouped, plain)]
    assert spent[0] < 1.15 * length.sum() < 0.65 * spent[1] * 1.15


def test_summary_counts_what_work_reports(text_setting: Callable[..., Any]) -> None:
    setting = text_setting()
    module = setting.model.module(setting.features, setting.state, seed=0)
    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    work = setting.model.work(weights, setting.features, setting.state)
    assert work.typical_length is not None
    ids = torch.ones(1, work.typical_length, dtype=torch.int64)
    found = summary(module, {"ids": ids, "length": torch.tensor([work.typical_length])})
    assert found["parameters"] == work.parameters == sum(layer["parameters"] for layer in found["layers"])
    assert found["flops"] == work.flops_per_row == sum(layer["flops"] for layer in found["layers"])


def test_an_absent_tracker_that_was_asked_for_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mlflow", "mlflow.tracking"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"modelyard\[tracking\]"):
        open_trackers(("mlflow",), tmp_path, "candidate", step=0)


EPOCH = Epoch(
    epoch=1,
    step=1,
    train_loss=0.5,
    validation_loss=0.6,
    train_metric=0.7,
    validation_metric=0.8,
    learning_rate=1e-3,
)


def log(kind: str, folder: Path, name: str, step: int) -> None:
    """One validation of a training, by a tracker that is opened for it."""
    (tracker,) = open_trackers((kind,), folder, name, step=step - 1)
    tracker.log(EPOCH.model_copy(update={"step": step}))
    tracker.close()


def test_a_resumed_run_goes_on_in_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And another candidate, or another fold, is a run of its own."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name, step in (("mlp.0.ab", 1), ("mlp.1.cd", 1), ("mlp.0.ab", 2)):
        log("mlflow", tmp_path, name, step)
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=(tmp_path / "mlflow").as_uri())
    found = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    runs = {run.info.run_name: run for run in found}
    assert len(found) == 2 and set(runs) == {"mlp.0.ab", "mlp.1.cd"}
    run = runs["mlp.0.ab"]
    assert run.data.metrics["validation_metric"] == 0.8 and run.info.status == "FINISHED"
    assert [point.step for point in client.get_metric_history(run.info.run_id, "train_loss")] == [1, 2]


def test_tensorboard_shows_each_training_as_a_run(tmp_path: Path) -> None:
    loading = pytest.importorskip("tensorboard.backend.event_processing.plugin_event_multiplexer")
    for name, step in (("mlp.0.ab", 1), ("mlp.1.cd", 1), ("mlp.0.ab", 2)):
        log("tensorboard", tmp_path, name, step)
    found = loading.EventMultiplexer().AddRunsFromDirectory(str(tmp_path / "tensorboard"))
    found.Reload()
    assert set(found.Runs()) == {"mlp.0.ab", "mlp.1.cd"}
