"""Estimates of a training step against torch's own counter, against a sum by hand, and against a process's measured peak."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from modelyard.forecast import estimates

torch = pytest.importorskip("torch")


def network(width: int = 256) -> Any:
    return torch.nn.Sequential(torch.nn.Linear(128, width), torch.nn.ReLU(), torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, 10))  # fmt: skip


class Named(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
    """Takes its input by name, as our models do."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Any) -> Any:
        return self.inner(x)


def counted(module: Any, x: Any) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        module(x).sum().backward()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("kind", ["dense", "convolutions"])
def test_operations_of_a_step_are_those_that_torch_counts(kind: str) -> None:
    if kind == "dense":
        module, x = Named(network()), torch.randn(8, 128)
    else:
        layers = [torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 32, 3, padding=1), torch.nn.Flatten(), torch.nn.Linear(32 * 64, 10)]  # fmt: skip
        module, x = Named(torch.nn.Sequential(*layers)), torch.randn(8, 3, 8, 8)
    told = estimates.training(module, {"x": x}, rows=8).flops
    # the first layer's input needs no gradient: the counter saw that one product less
    assert 0.85 * told <= counted(module, x) <= told


def test_it_grows_with_the_rows() -> None:
    module, x = Named(network()), torch.randn(4, 128)
    four, forty = (estimates.training(module, {"x": x}, rows=rows) for rows in (4, 40))
    assert forty.flops == pytest.approx(10 * four.flops)
    assert forty.activations == pytest.approx(10 * four.activations)
    assert forty.weights == four.weights and forty.optimiser == 2 * forty.gradients == 2 * four.weights


def test_activations_are_those_of_a_sum_by_hand() -> None:
    # kept: the input, and the output of each ReLU, which is the next layer's input
    found = estimates.kept(Named(network()), {"x": torch.randn(16, 128)})
    assert found == 16 * (128 + 256 + 256) * 4


def test_frozen_weights_have_no_gradients() -> None:
    module = Named(network())
    for parameter in module.inner[:3].parameters():
        parameter.requires_grad_(False)
    told = estimates.training(module, {"x": torch.randn(4, 128)}, rows=4, optimiser="sgd")
    assert told.trainable == 256 * 10 + 10 and told.gradients == told.optimiser == 4 * told.trainable


MEASURED = """
import json, resource, torch
from tests.forecast.test_estimates import Named, network
from modelyard.forecast import estimates
torch.set_num_threads(1)
def peak():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
module, x = Named(network(1024)), torch.randn(20_000, 128)
told = estimates.training(module, {"x": x[:64]}, rows=len(x))
optimiser = torch.optim.AdamW(module.parameters())
module(x[:64]).sum().backward(); optimiser.step(); optimiser.zero_grad()
before = peak()
module(x).sum().backward(); optimiser.step()
print(json.dumps([told.activations, peak() - before]))
"""


def test_activations_are_what_a_process_is_measured_to_hold() -> None:
    ended = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    told, measured = json.loads(ended.stdout)
    # beside what is kept, the backward pass holds the gradient of one layer's output, or two
    assert told <= measured * 1.1 and measured <= told + 3 * 20_000 * 1024 * 4


@pytest.mark.parametrize(("rows", "optimiser", "said"), [(0, "adamw", "rows"), (8, "lion", "Allowed: adamw")])
def test_what_cannot_be_told(rows: int, optimiser: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        estimates.training(Named(network()), {"x": torch.randn(4, 128)}, rows=rows, optimiser=optimiser)
