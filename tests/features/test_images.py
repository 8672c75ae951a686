"""Image files of every kind as arrays: modes, depth, transparency, rotation marks, sizes, and what cannot be read."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from modelyard.errors import RequestError
from modelyard.features import images
from modelyard.rows import Rows
from tests.toys import png

Image = pytest.importorskip("PIL.Image")


def column(*files: bytes | None) -> Rows:
    values = np.empty(len(files), dtype=object)
    values[:] = files
    return Rows({"picture": values}, len(files))


def learnt(rows: Rows, **options: Any) -> dict[str, Any]:
    chosen = {"size": None, "channels": None, "most": 64, "fit": "squash", "seed": 0, **options}
    return images.fit(rows, ["picture"], **chosen)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "WEBP"])
def test_every_format_is_read_as_it_was_written(kind: str) -> None:
    grey = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1))
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    found = images.pixels(png(grey, kind=kind, **options), channels=1)
    assert found.shape == (16, 24, 1) and found.dtype == np.uint8
    np.testing.assert_array_equal(found[:, :, 0], grey)


def test_jpeg_is_read_and_its_size_is_known_from_the_header() -> None:
    smooth = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1))
    data = png(smooth, kind="JPEG", quality=95)
    assert np.abs(images.pixels(data, channels=1)[:, :, 0].astype(int) - smooth).max() < 12
    assert images.size_of(data) == (24, 16, "L")


def test_grey_is_the_same_in_each_colour_and_colour_as_grey_weighs_them() -> None:
    grey, colour = noise(5, 7), noise(5, 7, 3)
    assert (images.pixels(png(grey), channels=3) == grey[:, :, None]).all()
    assert (images.pixels(png(colour), channels=3) == colour).all()
    weighed = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(images.pixels(png(colour), channels=1)[:, :, 0] - weighed).max() <= 1


def test_sixteen_bits_become_eight_and_a_dark_one_stays_dark() -> None:
    deep = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    found = images.pixels(png(deep), channels=1)[:, :, 0].astype(float)
    assert np.abs(found - deep / 257).max() <= 1
    dark = np.full((4, 4), 200, dtype=np.uint16)  # of 65,535: nearly black, not a bright image of 8 bits
    assert images.pixels(png(dark), channels=1).max() <= 1


def test_transparency_lies_on_white() -> None:
    red = np.zeros((2, 3, 4), dtype=np.uint8)
    red[:, :, 0] = 255
    red[:, 1, 3], red[:, 2, 3] = 128, 255  # nothing, half, all of it
    shown = images.pixels(png(red), channels=3)[0]
    assert shown[0].tolist() == [255, 255, 255] and shown[2].tolist() == [255, 0, 0]
    assert np.abs(shown[1].astype(int) - [255, 127, 127]).max() <= 1
    grey = np.zeros((2, 2), dtype=np.uint8)
    assert (images.pixels(png(grey, mode="P", transparency=0), channels=1) == 255).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_mode_gives_grey_and_colour(mode: str) -> None:
    data = png(noise(6, 8, 3), mode=mode, kind="TIFF" if mode == "CMYK" else "PNG")
    for channels in (1, 3):
        assert images.pixels(data, channels=channels).shape == (6, 8, channels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_read_upright(orientation: int) -> None:
    """The eight orientations of EXIF, undone as the standard draws them."""
    stored = noise(4, 6)
    exif = Image.Exif()
    exif[0x0112] = orientation
    undone = {
        1: stored, 2: stored[:, ::-1], 3: np.rot90(stored, 2), 4: stored[::-1], 5: stored.T, 6: np.rot90(stored, -1),
        7: np.rot90(stored, 2).T, 8: np.rot90(stored),
    }  # fmt: skip
    found = images.pixels(png(stored, exif=exif), channels=1)[:, :, 0]
    np.testing.assert_array_equal(found, undone[orientation])


@pytest.mark.parametrize(
    "data",
    [b"", b"no image at all", b"\x89PNG\r\n\x1a\n" + b"\x00" * 60, png(noise(40, 40))[:-300], png(noise(40, 40), kind="JPEG")[:200]],
    ids=["nothing", "text", "a head alone", "PNG cut short", "JPEG cut short"],
)  # fmt: skip
def test_what_cannot_be_read_is_told_in_the_same_words_each_time(data: bytes) -> None:
    told = []
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^(is no image of a known format|cannot be read as an image)") as caught:
            images.pixels(data, channels=3)
        told.append(str(caught.value))
    assert told[0] == told[1] and "0x" not in told[0]


def test_an_image_that_would_fill_the_memory_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MOST_PIXELS", 99)
    images.pixels(png(noise(9, 11)), channels=1)
    with pytest.raises(ValueError, match="10 x 10 pixels; the most are 99"):
        images.pixels(png(noise(10, 10)), channels=1)


def test_the_first_frame_of_many_counts() -> None:
    first, second = (Image.fromarray(np.full((4, 4), value, dtype=np.uint8)) for value in (10, 200))
    memory = io.BytesIO()
    first.save(memory, format="GIF", save_all=True, append_images=[second])
    assert (images.pixels(memory.getvalue(), channels=1) == 10).all()


def test_three_ways_to_a_square() -> None:
    tall = np.zeros((20, 10, 1), dtype=np.uint8)
    tall[5:15] = 200
    assert (images.resized(tall, 10, fit="crop") == 200).all()
    squashed = images.resized(tall, 10, fit="squash")[:, 0, 0]
    assert squashed[0] == 0 and squashed[5] == 200 and squashed[-1] == 0
    framed = np.full((20, 10, 3), 50, dtype=np.uint8)
    framed[5:15, 3:7] = 250
    padded = images.resized(framed, 20, fit="pad")
    assert padded.shape == (20, 20, 3) and (padded[:, :5] == 50).all() and (padded[:, 15:] == 50).all()
    assert (padded[:, 5:15] == framed).all()
    for fit in ("squash", "crop", "pad"):
        assert images.resized(noise(1, 300, 3), 16, fit=fit).shape == (16, 16, 3)
    same = noise(8, 8, 1)
    assert images.resized(same, 8, fit="crop") is same


def test_size_channels_and_statistics_are_learnt() -> None:
    files = [png(noise(20, 31, seed=1)), png(noise(26, 21, seed=2)), png(noise(50, 30, seed=3))]
    features = learnt(column(*files, None))
    assert (features["size"], features["channels"]) == (20, 1)  # the median of 20, 21 and 30, in steps of 4
    pixels = images.encode(column(*files), features) / 255
    assert features["mean"] == pytest.approx([pixels.mean()], abs=1e-5)
    assert features["scale"] == pytest.approx([pixels.std()], abs=1e-5)
    assert learnt(column(*files), size=8)["size"] == 8 and learnt(column(*files), most=16)["size"] == 16
    assert learnt(column(None))["size"] == 64


def test_colour_is_seen_where_there_is_some() -> None:
    grey = noise(16, 16)
    assert learnt(column(png(np.stack([grey] * 3, axis=2), kind="JPEG")))["channels"] == 1
    assert learnt(column(png(grey), png(noise(16, 16, 3))))["channels"] == 3
    assert len(learnt(column(png(noise(16, 16, 3))))["mean"]) == 3


def test_a_row_is_encoded_alone_as_in_a_crowd() -> None:
    files = [png(noise(9 + number % 5, 11, seed=number)) for number in range(images.THREADED + 10)]
    features = learnt(column(*files), size=12)
    together = images.encode(column(*files), features)
    assert together.shape == (len(files), 1, 12, 12) and together.dtype == np.uint8
    for number in (0, 40, len(files) - 1):
        np.testing.assert_array_equal(images.encode(column(files[number]), features)[0], together[number])
    assert images.encode(column(), features).shape == (0, 1, 12, 12)


def test_a_missing_image_is_the_training_mean() -> None:
    features = learnt(column(png(np.full((8, 8, 3), (10, 100, 200), dtype=np.uint8))))
    assert images.encode(column(None), features)[0, :, 0, 0].tolist() == [10, 100, 200]


def test_two_columns_stand_one_behind_the_other() -> None:
    rows = Rows({"a": column(png(noise(8, 8)))["picture"], "b": column(png(noise(8, 8, seed=1)))["picture"]}, 1)
    features = images.fit(rows, ["a", "b"], size=8, channels=1, most=8, fit="squash", seed=0)
    both = images.encode(rows, features)
    assert both.shape == (1, 2, 8, 8)
    np.testing.assert_array_equal(both[0], [noise(8, 8), noise(8, 8, seed=1)])


def test_every_broken_image_of_a_request_is_named() -> None:
    features = learnt(column(png(noise(8, 8))))
    with pytest.raises(RequestError) as caught:
        images.encode(column(png(noise(8, 8)), b"broken", None, b""), features)
    assert [fault[:2] for fault in caught.value.faults] == [(1, "picture"), (3, "picture")]


def test_png_is_read_back() -> None:
    for shape in ((5, 4, 1), (5, 4, 3)):
        np.testing.assert_array_equal(images.pixels(images.png(noise(*shape)), channels=shape[2]), noise(*shape))
