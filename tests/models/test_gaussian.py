"""The class-conditional Gaussian: it has each class's mean and covariance, keeps to what a pixel can be, and noise decides it."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.errors import UserError
from modelyard.models import _gaussian
from modelyard.rows import Array

RNG = np.random.default_rng


def images(count: int = 600, *, classes: int = 3, side: int = 4, channels: int = 1) -> tuple[Array, Array]:
    """Classes of different levels, each varying in two directions."""
    rng, labels = RNG(0), np.arange(count) % classes
    width = channels * side * side
    directions = rng.normal(size=(classes, 2, width)) * 8
    moved = np.einsum("np,npd->nd", rng.normal(size=(count, 2)), directions[labels])
    pixels = np.clip(np.round(90 + 30 * labels[:, None] + moved), 0, 255).astype(np.uint8)
    return pixels.reshape(count, channels, side, side), labels


def drawn(weights: dict[str, Array], labels: Array, seed: int = 1) -> Array:
    return _gaussian.draw(weights, RNG(seed).standard_normal((len(labels), _gaussian.noise_of(weights))), labels)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_class_keeps_its_mean_and_covariance(channels: int) -> None:
    given, labels = images(channels=channels)
    weights = _gaussian.fit(given, labels, classes=3, components=6)
    found = drawn(weights, np.arange(9000) % 3)
    assert found.dtype == np.uint8 and found.shape == (9000, channels, 4, 4)
    for number in range(3):
        real = given[labels == number].reshape(200, -1).astype(np.float64)
        made = found[np.arange(9000) % 3 == number].reshape(3000, -1).astype(np.float64)
        np.testing.assert_allclose(made.mean(axis=0), real.mean(axis=0), atol=2.0)
        spread = np.cov(real.T)
        assert np.linalg.norm(np.cov(made.T) - spread) < 0.12 * np.linalg.norm(spread)


def test_a_share_keeps_as_many_components_as_hold_it() -> None:
    given, labels = images()
    kept = [
        _gaussian.noise_of(_gaussian.fit(given, labels, classes=3, components=share)) for share in (0.3, 0.95, 0.9999)
    ]
    assert kept[0] == 1 and kept[1] == 2 and kept[2] > 2, "the classes vary in two directions, and by rounding"
    values = np.linalg.svd(given[labels == 0].reshape(200, -1) - given[labels == 0].reshape(200, -1).mean(axis=0))[1]
    weights = _gaussian.fit(given, labels, classes=3, components=2)
    np.testing.assert_allclose(weights["deviations"][0], values[:2] / np.sqrt(199), rtol=1e-5)


def test_pixels_are_cut_at_black_and_white() -> None:
    given = np.where(RNG(0).random((100, 1, 4, 4)) < 0.5, 0, 255).astype(np.uint8)
    found = drawn(_gaussian.fit(given, np.zeros(100, dtype=np.int64), classes=1), np.zeros(500, dtype=np.int64))
    assert (found == 0).mean() > 0.1 and (found == 255).mean() > 0.1


def test_noise_decides_and_none_is_the_mean() -> None:
    given, labels = images()
    weights = _gaussian.fit(given, labels, classes=3)
    wanted = np.array([2, 0, 2, 1])
    assert np.array_equal(drawn(weights, wanted), drawn(weights, wanted))
    still = _gaussian.draw(weights, np.zeros((4, _gaussian.noise_of(weights))), wanted)
    assert np.array_equal(still[0], still[2]) and not np.array_equal(still[0], still[1])
    np.testing.assert_allclose(still[1], given[labels == 0].mean(axis=0), atol=0.51)


def test_classes_of_one_image_and_of_none() -> None:
    given, labels = images(20, classes=2)
    labels[labels == 1] = 3
    labels[0] = 1
    weights = _gaussian.fit(given, labels, classes=4)
    found = drawn(weights, np.array([1, 2]))
    assert np.array_equal(found[0], given[0]) and (found[1] == 128).all()


@pytest.mark.parametrize("components", [0, -1, 1.5])
def test_no_count_of_components(components: float) -> None:
    given, labels = images(20)
    with pytest.raises(UserError, match="components"):
        _gaussian.fit(given, labels, classes=3, components=components)
