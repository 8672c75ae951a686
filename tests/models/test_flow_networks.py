"""Flow matching: the loss and the sampler against closed forms, a toy that is learnt, and one graph of both."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from modelyard.errors import UserError
from modelyard.models import _flow

torch = pytest.importorskip("torch")


def network(*, side: int = 16, channels: int = 1, classes: int = 2, width: int = 16, seed: int = 0) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _flow.network(side=side, channels=channels, classes=classes, width=width)


def stirred(module: Any) -> Any:
    """Random weights where training begins with zeros."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for each in module.parameters():
            each.add_(0.1 * torch.randn(each.shape, generator=generator))
    return module


def seeded(seed: int = 0) -> Any:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("side", "channels"), [(16, 1), (28, 1), (36, 3), (64, 3)])
def test_velocities_have_the_images_shape(side: int, channels: int) -> None:
    module = network(side=side, channels=channels)
    points = torch.randn(3, channels, side, side, generator=seeded())
    found = module(points, torch.rand(3, generator=seeded()), torch.tensor([0, 1, 2]))
    assert found.shape == points.shape and not found.any(), "it begins knowing nothing"


@pytest.mark.parametrize("side", [8, 30, 68])
def test_other_sides_are_refused(side: int) -> None:
    with pytest.raises(UserError, match=rf"multiple of 4 from 16 to 64 \(got {side}\)"):
        _flow.network(side=side, channels=1, classes=2)


def test_time_and_class_are_heard() -> None:
    module = stirred(network())
    points = torch.randn(1, 1, 16, 16, generator=seeded()).expand(4, -1, -1, -1)
    found = module(points, torch.tensor([0.2, 0.8, 0.2, 0.2]), torch.tensor([0, 0, 1, 2])).detach()
    gaps = [float((found[0] - found[other]).abs().max()) for other in (1, 2, 3)]
    assert min(gaps) > 1e-3


def test_the_first_loss_is_that_of_knowing_nothing() -> None:
    """A velocity of 0 errs by image - noise: the mean square of the image, and 1 of the noise."""
    images = torch.rand(400, 1, 16, 16, generator=seeded())
    found = _flow.matching_loss(network(), images, torch.zeros(400, dtype=torch.int64), generator=seeded(5))
    assert found.shape == (400,)
    assert found.mean().item() == pytest.approx(1 + 1 / 3, rel=0.01)  # E (2u - 1)^2


def test_sums_of_passes_are_the_sum_of_one_batch() -> None:
    """No row is judged by its neighbours: with the same noise, times and labels its loss is its own."""
    module = stirred(network())
    points, times = torch.randn(8, 1, 16, 16, generator=seeded()), torch.rand(8, generator=seeded())
    label = torch.arange(8) % 3
    whole = module(points, times, label)
    apart = torch.cat([module(points[a:b], times[a:b], label[a:b]) for a, b in ((0, 3), (3, 8))])
    torch.testing.assert_close(whole, apart, atol=1e-5, rtol=1e-4)


def test_a_share_of_the_classes_is_withheld() -> None:
    seen: list[Any] = []

    class Listening(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
        label = torch.nn.Embedding(4, 1)

        def forward(self, points: Any, times: Any, label: Any) -> Any:
            seen.append(label)
            return points

    images = torch.rand(2000, 1, 16, 16, generator=seeded())
    _flow.matching_loss(Listening(), images, torch.ones(2000, dtype=torch.int64), generator=seeded(), forgotten=0.25)
    assert set(seen[0].tolist()) == {1, 3} and float((seen[0] == 3).float().mean()) == pytest.approx(0.25, abs=0.04)


# -- the sampler -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["euler", "heun"])
@pytest.mark.parametrize("steps", [1, 7])
def test_a_straight_path_is_followed_exactly(method: Any, steps: int) -> None:
    """The velocity leads every point to what is wanted at time 1."""
    wanted = torch.rand(3, 1, 16, 16, generator=seeded())

    def velocity(points: Any, times: Any, label: Any) -> Any:
        return (2 * wanted - 1 - points) / (1 - times).clamp(min=1e-6)[:, None, None, None]

    noise = torch.randn(3, 1, 16, 16, generator=seeded(1))
    found = _flow.sample(velocity, noise, torch.zeros(3), steps=steps, method=method)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_heun_errs_less_than_euler_for_the_same_questions() -> None:
    """x' = -x from x0: exp(-1) x0 at time 1."""
    asked: list[int] = []

    def velocity(points: Any, times: Any, label: Any) -> Any:
        asked.append(len(points))
        return -points

    noise = torch.linspace(-2, 2, 256).reshape(1, 1, 16, 16)
    truth, gaps = (math.exp(-1) * noise + 1) / 2, {}
    for method, steps in (("euler", 9), ("heun", 5)):
        asked.clear()
        found = _flow.sample(velocity, noise, torch.zeros(1), steps=steps, method=method)  # type: ignore[arg-type]
        assert len(asked) == 9
        gaps[method] = float((found - truth).abs().max())
    assert gaps["heun"] < 0.6 * gaps["euler"]


def test_guidance_leads_away_from_no_class() -> None:
    """The velocity is 0.2 for a class and 0 for none: guided by 2 it is twice as much."""

    def velocity(points: Any, times: Any, label: Any) -> Any:
        return torch.where(label == 5, 0.0, 0.2)[:, None, None, None] * torch.ones_like(points)

    still, label = torch.zeros(2, 1, 16, 16), torch.tensor([0, 1])
    plain = _flow.sample(velocity, still, label, steps=4, method="euler")
    guided = _flow.sample(velocity, still, label, steps=4, method="euler", guidance=2.0, none=5)
    assert float(plain.mean()) == pytest.approx(0.6) and float(guided.mean()) == pytest.approx(0.7)
    with pytest.raises(UserError, match="none"):
        _flow.sample(velocity, still, label, guidance=2.0)
    with pytest.raises(UserError, match="steps"):
        _flow.sample(velocity, still, label, steps=0)


# -- learnt and exported -----------------------------------------------------------------------------------------------


def test_a_toy_is_learnt_class_by_class() -> None:
    """Class 0 is bright on the left, class 1 on the right."""
    module = network(width=16)
    images = torch.zeros(2, 1, 16, 16)
    images[0, :, :, :8] = images[1, :, :, 8:] = 1.0
    optimiser, generator = torch.optim.Adam(module.parameters(), 3e-3), seeded()
    label = torch.arange(32) % 2
    losses = []
    for _ in range(120):
        loss = _flow.matching_loss(module, images[label], label, generator=generator).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert np.mean(losses[-10:]) < 0.3 * losses[0]
    noise, label = torch.randn(8, 1, 16, 16, generator=seeded(7)), torch.arange(8) % 2
    with torch.inference_mode():
        made, again = (_flow.sample(module, noise, label, steps=8) for _ in range(2))
    gap = made[..., :8].mean(dim=(1, 2, 3)) - made[..., 8:].mean(dim=(1, 2, 3))
    assert (gap[::2] > 0.6).all() and (gap[1::2] < -0.6).all()
    assert torch.equal(made, again)


def test_network_and_sampler_export_as_one_graph() -> None:
    class Drawing(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
        def __init__(self) -> None:
            super().__init__()
            self.velocity = stirred(network(side=28))

        def forward(self, noise: Any, label: Any) -> Any:
            return _flow.sample(self.velocity, noise, label, steps=3, guidance=1.5, none=2)

    module = Drawing().eval()
    rows = torch.export.Dim("rows", min=1, max=4096)
    example = (torch.zeros(2, 1, 28, 28), torch.zeros(2, dtype=torch.int64))
    program = torch.export.export(module, example, dynamic_shapes=({0: rows}, {0: rows})).module()
    noise, label = torch.randn(5, 1, 28, 28, generator=seeded()), torch.arange(5) % 2
    torch.testing.assert_close(program(noise, label), module(noise, label), atol=1e-5, rtol=1e-4)
