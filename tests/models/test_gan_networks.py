"""Generator and critic: shapes, losses with known values, penalties in closed form, a toy that is learnt, signs of planted trouble."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

from modelyard.errors import UserError
from modelyard.models import _gan
from modelyard.models._augment import Augment, change

torch = pytest.importorskip("torch")
RNG = np.random.default_rng


def seeded(seed: int = 0) -> Any:
    return torch.Generator().manual_seed(seed)


def networks(
    *, side: int = 16, channels: int = 1, classes: int = 2, width: int = 8, spectral: bool = True
) -> tuple[Any, Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = _gan.generator(side=side, channels=channels, classes=classes, noise=8, width=width)
        return made, _gan.critic(side=side, channels=channels, classes=classes, width=width, spectral=spectral)


def noise(count: int, seed: int = 0) -> Any:
    return torch.randn(count, 8, generator=seeded(seed))


def labels(count: int, classes: int = 2) -> Any:
    return torch.arange(count) % classes


# -- the networks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", range(16, 65, 4))
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 0)])
def test_every_side_is_made_and_judged(side: int, channels: int, classes: int) -> None:
    generator, critic = networks(side=side, channels=channels, classes=classes, width=4)
    images = generator(noise(3), labels(3))
    assert images.shape == (3, channels, side, side)
    assert images.min().item() >= 0 and images.max().item() <= 1
    assert critic(images, labels(3)).shape == (3,)


@pytest.mark.parametrize("side", [12, 30, 68])
def test_other_sides_are_refused(side: int) -> None:
    with pytest.raises(UserError, match=rf"multiple of 4 from 16 to 64 \(got {side}\)"):
        _gan.generator(side=side, channels=1, classes=2)
    with pytest.raises(UserError, match=rf"\(got {side}\)"):
        _gan.critic(side=side, channels=1, classes=2)


def stirred(module: Any) -> Any:
    """Weights moved at random from where training begins."""
    generator = seeded(1)
    with torch.no_grad():
        for each in module.parameters():
            each.add_(0.2 * torch.randn(each.shape, generator=generator))
    return module


@pytest.mark.parametrize("classes", [2, 0])
def test_the_class_is_heard_where_there_are_classes(classes: int) -> None:
    generator, critic = (stirred(each).eval() for each in networks(classes=classes))
    same = noise(1).expand(2, -1)
    images = generator(same, torch.tensor([0, 1])).detach()
    scores = critic(images[:1].expand(2, -1, -1, -1), torch.tensor([0, 1])).detach()
    for one, other in (images, scores):
        assert torch.allclose(one, other, atol=1e-6) == (classes == 0)


def test_spectral_normalisation_bounds_every_layer() -> None:
    """Power iteration has found the largest singular value after some passes: none of what is used is above 1."""
    _, critic = networks()
    critic = stirred(critic)
    images = torch.rand(4, 1, 16, 16, generator=seeded())
    for _ in range(100):
        critic(images, labels(4))
    critic.eval()
    for layer in (*critic.layers, critic.head, critic.of_class):
        assert torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2).item() == pytest.approx(1.0, abs=0.02)


def test_the_generator_exports() -> None:
    generator = stirred(networks(side=28)[0]).eval()
    rows = torch.export.Dim("rows", min=1, max=4096)
    program = torch.export.export(generator, (noise(2), labels(2)), dynamic_shapes=({0: rows}, {0: rows})).module()
    torch.testing.assert_close(program(noise(5), labels(5)), generator(noise(5), labels(5)))


# -- losses ------------------------------------------------------------------------------------------------------------


def test_losses_of_guessing_and_of_certainty() -> None:
    even, sure = torch.zeros(2), torch.tensor([3.0, 50.0])
    expected = {"bce": (2 * math.log(2), math.log(2)), "hinge": (2.0, 0.0), "wasserstein": (0.0, 0.0)}
    for loss, (of_critic, of_generator) in expected.items():
        assert _gan.critic_loss(loss, even, even).tolist() == pytest.approx([of_critic] * 2)  # type: ignore[arg-type]
        assert _gan.generator_loss(loss, even).tolist() == pytest.approx([of_generator] * 2)  # type: ignore[arg-type]
    assert _gan.critic_loss("hinge", sure, -sure).tolist() == [0.0, 0.0]
    assert _gan.critic_loss("bce", sure, -sure)[1].item() == pytest.approx(0.0, abs=1e-6)
    assert _gan.critic_loss("wasserstein", sure, -sure).tolist() == [-6.0, -100.0]
    assert _gan.generator_loss("hinge", sure).tolist() == [-3.0, -50.0]


@pytest.mark.parametrize("loss", ["bce", "hinge", "wasserstein"])
def test_the_critics_gradients_over_passes_are_those_of_one_batch(loss: Any) -> None:
    critic = networks(spectral=False)[1]
    real, made = (torch.rand(8, 1, 16, 16, generator=seeded(seed)) for seed in (0, 1))

    def gradients(parts: list[slice]) -> list[Any]:
        critic.zero_grad()
        for part in parts:
            label = labels(8)[part]
            _gan.critic_loss(loss, critic(real[part], label), critic(made[part], label)).sum().backward()
        return [each.grad.clone() for each in critic.parameters()]

    whole, apart = gradients([slice(0, 8)]), gradients([slice(0, 3), slice(3, 8)])
    for one, other in zip(whole, apart, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("length", [0.5, 1.0, 3.0])
def test_the_penalty_of_a_plane_is_known(length: float) -> None:
    """A critic w x has slope |w| everywhere."""
    plane = torch.nn.Parameter(torch.full((16,), length / 4))

    def critic(images: Any, label: Any) -> Any:
        return images.flatten(1) @ plane

    real, made = (torch.rand(5, 1, 4, 4, generator=seeded(seed)) for seed in (0, 1))
    found = _gan.gradient_penalty(critic, real, made, labels(5), generator=seeded())
    assert found.tolist() == pytest.approx([(length - 1) ** 2] * 5, abs=1e-6)
    found.sum().backward()
    assert plane.grad is not None
    assert plane.grad.tolist() == pytest.approx([5 * 2 * (length - 1) / 4] * 16, abs=1e-5)


def test_what_is_held_gets_no_gradient_but_lets_it_through() -> None:
    generator, critic = networks()
    with _gan.held(critic):
        _gan.generator_loss("hinge", critic(generator(noise(4), labels(4)), labels(4))).sum().backward()
    assert all(each.grad is None for each in critic.parameters())
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in generator.layers.parameters())
    assert all(each.requires_grad for each in critic.parameters())


def test_gradients_pass_through_augmentation() -> None:
    """Crops, colours and erasing of `_augment`, done alike to real and made images (Zhao et al. 2020)."""
    images = torch.rand(6, 3, 16, 16, generator=seeded()).requires_grad_()
    changed = change(images, Augment(flip=False, crop=0.2, colour=0.2, erasing=0.5), seeded())[0]
    changed.sum().backward()
    assert images.grad is not None and (images.grad.flatten(1).abs().sum(dim=1) > 0).all()


# -- the average -------------------------------------------------------------------------------------------------------


def test_the_average_follows_by_the_share_it_says() -> None:
    live = networks()[0]
    average = _gan.averaged(live)
    first = copy.deepcopy(dict(live.named_parameters()))
    stirred(live).norms[0].norm.running_mean += 1.0
    average.follow(live, 0.999)
    for name, slow in average.network.named_parameters():
        expected = first[name] + (1 - 2 / 11) * (live.get_parameter(name) - first[name])  # (1 + 1) / (10 + 1)
        torch.testing.assert_close(slow, expected.detach())
        assert not slow.requires_grad
    assert torch.equal(average.network.norms[0].norm.running_mean, live.norms[0].norm.running_mean)
    assert average.steps.item() == 1 and average.state_dict()["steps"].item() == 1
    for _ in range(200):
        average.follow(live, 0.9)
    torch.testing.assert_close(average.network.first.weight, live.first.weight.detach(), atol=1e-5, rtol=1e-4)


def test_the_average_is_never_in_training() -> None:
    """Its batch statistics are the generator's: asking it must not move them."""
    average = _gan.averaged(networks()[0]).train()
    before = average.network.norms[0].norm.running_mean.clone()
    alone, among = average(noise(4), labels(4))[0], average(noise(8), labels(8))[0]
    torch.testing.assert_close(alone, among)
    assert torch.equal(before, average.network.norms[0].norm.running_mean)


# -- learnt ------------------------------------------------------------------------------------------------------------


def toy(count: int, seed: int) -> tuple[Any, Any]:
    """Class 0 is bright on the left, class 1 on the right, more or less."""
    label, level = labels(count), 0.7 + 0.3 * torch.rand(count, 1, 1, generator=seeded(seed))
    images = torch.zeros(count, 1, 16, 16)
    images[::2, 0, :, :8], images[1::2, 0, :, 8:] = level[::2], level[1::2]
    return images, label


def trained(loss: Any, *, spectral: bool, steps: int) -> tuple[Any, list[float], list[float]]:
    """The average generator after some steps, and the losses of both."""
    generator, critic = networks(spectral=spectral, width=16)
    average, drawn = _gan.averaged(generator), seeded(9)
    movers = [
        torch.optim.Adam(each.parameters(), rate, betas=(0.0, 0.99))
        for each, rate in ((critic, 2e-3), (generator, 1e-3))
    ]
    lost: tuple[list[float], list[float]] = ([], [])
    for step in range(steps):
        real, label = toy(16, step)
        made = generator(torch.randn(16, 8, generator=drawn), label)
        sums = _gan.critic_loss(loss, critic(real, label), critic(made.detach(), label))
        if loss == "wasserstein":
            sums = sums + _gan.PENALTY * _gan.gradient_penalty(critic, real, made, label, generator=drawn)
        movers[0].zero_grad()
        sums.mean().backward()
        movers[0].step()
        with _gan.held(critic):
            scores = _gan.generator_loss(loss, critic(made, label))
            movers[1].zero_grad()
            scores.mean().backward()
        movers[1].step()
        average.follow(generator, 0.9)
        lost[0].append(sums.mean().item())
        lost[1].append(scores.mean().item())
    return average, *lost


@pytest.mark.parametrize(("loss", "spectral"), [("bce", True), ("hinge", True), ("wasserstein", False)])
def test_a_toy_is_learnt_class_by_class(loss: Any, spectral: bool) -> None:
    """Nine in ten, for a training of two against each other leaves single images behind, by how its sums were rounded."""
    average, of_critic, of_generator = trained(loss, spectral=spectral, steps=350)
    made = average(noise(40), labels(40)).detach().numpy()[:, 0]
    gap = made[:, :, :8].mean(axis=(1, 2)) - made[:, :, 8:].mean(axis=(1, 2))
    assert (gap[::2] > 0.4).mean() >= 0.9 and (gap[1::2] < -0.4).mean() >= 0.9
    assert _gan.signs(of_critic, of_generator, [], loss=loss) == ()


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = (trained("hinge", spectral=True, steps=5)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


# -- signs of trouble --------------------------------------------------------------------------------------------------


def test_spread_is_the_variance_within_classes() -> None:
    rng, label = RNG(0), np.arange(4000) % 4
    images = 50.0 * label[:, None, None] + rng.normal(0, 2.0, size=(4000, 3, 5))
    assert _gan.spread(images, label, classes=4) == pytest.approx(15 * 4.0, rel=0.05)
    assert _gan.spread(images, label, classes=0) > 1000
    assert _gan.spread(images[:4].repeat(5, axis=0), np.repeat(label[:4], 5), classes=4) == pytest.approx(0.0)
    assert math.isnan(_gan.spread(images[:4], label[:4], classes=4))
    few = [_gan.spread(images[start : start + 8], label[start : start + 8], classes=4) for start in range(0, 4000, 8)]
    assert np.mean(few) == pytest.approx(60.0, rel=0.05), "small batches are not biased"


def level(value: float, count: int = 800, seed: int = 0) -> list[float]:
    return list(value + 0.2 * abs(value) * RNG(seed).normal(size=count))


@pytest.mark.parametrize(
    ("loss", "of_critic", "of_generator"), [("bce", 1.2, 0.9), ("hinge", 1.6, 0.4), ("wasserstein", -4.0, 3.0)]
)
def test_a_sound_training_shows_no_signs_and_planted_faults_show(
    loss: Any, of_critic: float, of_generator: float
) -> None:
    critic, generator, variety = level(of_critic), level(of_generator, seed=1), level(0.9, seed=2)
    assert _gan.signs(critic, generator, variety, loss=loss) == ()
    assert _gan.signs(critic, generator, level(0.05), loss=loss) == ("mode_collapse",)
    assert _gan.signs([*critic, math.nan], generator, variety, loss=loss) == ("loss_not_finite",)
    runaway = list(np.geomspace(abs(of_generator), 1e4, 800))
    assert _gan.signs(critic, runaway, variety, loss=loss) == ("losses_run_away",)
    wins = _gan.signs([*critic, *level(0.01)], generator, variety, loss=loss)
    assert wins == (() if loss == "wasserstein" else ("critic_wins",))
    assert _gan.signs([], [], [], loss=loss) == ()
