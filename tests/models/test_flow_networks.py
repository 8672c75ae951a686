"""Flow matching: the loss and the sampler against closed forms, a toy that is learnt, and a step that exports."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelyard.errors import UserError
from modelyard.models import _flow
from modelyard.rows import Array

torch = pytest.importorskip("torch")
RNG = np.random.default_rng


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


def straight(target: Array) -> _flow.Velocity:
    """The velocity that leads every point to `target` (n, C, S, S) at time 1."""
    return lambda points, times, labels: (target - points) / np.maximum(1 - times, 1e-6)[:, None, None, None]


@pytest.mark.parametrize("method", ["euler", "heun"])
@pytest.mark.parametrize("steps", [1, 7])
def test_a_straight_path_is_followed_exactly(method: Any, steps: int) -> None:
    wanted = RNG(0).integers(0, 256, (3, 1, 16, 16)).astype(np.uint8)
    noise = RNG(1).standard_normal((3, 1, 16, 16))
    found = _flow.sample(straight(wanted / 127.5 - 1), noise, np.zeros(3), steps=steps, method=method)
    assert found.dtype == np.uint8 and np.abs(found.astype(int) - wanted).max() <= 1


def test_heun_errs_less_than_euler_for_the_same_questions() -> None:
    """x' = -x from x0: exp(-1) x0 at time 1, as bytes."""
    asked: list[int] = []

    def velocity(points: Array, times: Array, labels: Array) -> Array:
        asked.append(len(points))
        return -points

    noise = np.linspace(-2, 2, 256).reshape(1, 1, 16, 16)
    truth = (np.exp(-1) * noise + 1) * 127.5
    gaps = {}
    for method, steps in (("euler", 9), ("heun", 5)):
        asked.clear()
        found = _flow.sample(velocity, noise, np.zeros(1), steps=steps, method=method)  # type: ignore[arg-type]
        assert len(asked) == 9
        gaps[method] = np.abs(found - truth).max()
    assert gaps["heun"] < 0.6 * gaps["euler"]


def test_guidance_leads_away_from_no_class() -> None:
    """The velocity is the class's number, 0 for none: guided by 2 it is twice as much."""

    def velocity(points: Array, times: Array, labels: Array) -> Array:
        return np.where(labels == 5, 0.0, 0.2)[:, None, None, None] * np.ones_like(points)

    still = np.zeros((2, 1, 16, 16))
    plain = _flow.sample(velocity, still, np.array([0, 1]), steps=4, method="euler")
    guided = _flow.sample(velocity, still, np.array([0, 1]), steps=4, method="euler", guidance=2.0, none=5)
    assert (plain == round(1.2 * 127.5)).all() and (guided == round(1.4 * 127.5)).all()
    with pytest.raises(UserError, match="none"):
        _flow.sample(velocity, still, np.array([0, 1]), guidance=2.0)
    with pytest.raises(UserError, match="steps"):
        _flow.sample(velocity, still, np.array([0, 1]), steps=0)


# -- learnt and exported -----------------------------------------------------------------------------------------------


def asked(module: Any) -> _flow.Velocity:
    def velocity(points: Array, times: Array, labels: Array) -> Array:
        with torch.inference_mode():
            found = module(*(torch.from_numpy(each) for each in (points, times, labels)))
        return np.asarray(found.numpy())

    return velocity


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
    noise = RNG(0).standard_normal((8, 1, 16, 16))
    made = _flow.sample(asked(module), noise, np.arange(8) % 2, steps=8).astype(np.float64) / 255
    gap = made[..., :8].mean(axis=(1, 2, 3)) - made[..., 8:].mean(axis=(1, 2, 3))
    assert (gap[::2] > 0.6).all() and (gap[1::2] < -0.6).all()
    again = _flow.sample(asked(module), noise, np.arange(8) % 2, steps=8)
    assert np.array_equal(again, np.round(made * 255))


def test_one_step_exports_and_the_sampler_runs_on_it() -> None:
    module = stirred(network(side=28)).eval()
    example = (torch.zeros(2, 1, 28, 28), torch.zeros(2), torch.zeros(2, dtype=torch.int64))
    rows = torch.export.Dim("rows", min=1, max=4096)
    program = torch.export.export(module, example, dynamic_shapes=({0: rows}, {0: rows}, {0: rows})).module()
    noise, labels = RNG(0).standard_normal((5, 1, 28, 28)), np.arange(5) % 3
    first, second = (_flow.sample(asked(each), noise, labels, steps=3) for each in (module, program))
    assert np.abs(first.astype(int) - second).max() <= 1
