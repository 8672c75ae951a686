"""What training does to images: each option does what it says, what is mixed is told, and a seed decides all of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelyard.models import _augment
from modelyard.models._augment import NOTHING, Augment, change

torch = pytest.importorskip("torch")
ONLY = {"flip": False, "crop": 0.0}
"""Nothing but what is added."""


def images(count: int = 32, side: int = 8, channels: int = 3) -> Any:
    """Bytes as floats of 0 to 1."""
    drawn = np.random.default_rng(0).integers(0, 256, (count, channels, side, side))
    return torch.from_numpy(drawn.astype(np.float32)) / 255


def seeded(seed: int = 0) -> Any:
    return torch.Generator().manual_seed(seed)


def changed(given: Any, *, seed: int = 0, **options: Any) -> Any:
    return change(given, Augment(**{**ONLY, **options}), seeded(seed))[0]


EVERYTHING = {
    "flip": True, "flip_vertical": True, "crop": 0.2, "rotation": 20.0, "zoom": 0.2, "shear": 10.0, "colour": 0.3, "randaugment": 2,
    "erasing": 0.5,
}  # fmt: skip


def test_nothing_leaves_images_as_they_are() -> None:
    given = images()
    assert not NOTHING.any and Augment().any
    found, mix = change(given, NOTHING, seeded())
    assert torch.equal(found, given) and mix is None


def test_the_images_given_are_never_changed_in_place() -> None:
    given = images()
    before = given.clone()
    change(given, Augment(**EVERYTHING, mixup=0.2, cutmix=1.0), seeded())
    assert torch.equal(given, before)


@pytest.mark.parametrize(("option", "axis"), [("flip", 3), ("flip_vertical", 2)])
def test_flips_mirror_half_of_the_images_and_nothing_else(option: str, axis: int) -> None:
    given = images(200)
    found = changed(given, **{option: True})
    same = (found == given).all(dim=(1, 2, 3))
    mirrored = (found == given.flip(axis)).all(dim=(1, 2, 3))
    assert (same ^ mirrored).all() and 70 < int(mirrored.sum()) < 130


def test_a_crop_shifts_by_whole_pixels_and_mirrors_what_comes_in() -> None:
    given = images(40, side=8, channels=1)
    found = changed(given, crop=0.25)
    seen = set()
    for before, after in zip(given, found, strict=True):
        wide = np.pad(before[0].numpy(), 2, mode="reflect")  # the border stands once
        moves = [(down, across) for down in range(5) for across in range(5)]
        fitting = [m for m in moves if np.array_equal(wide[m[0] : m[0] + 8, m[1] : m[1] + 8], after[0].numpy())]
        assert len(fitting) == 1
        seen.add(fitting[0])
    assert len(seen) > 10, "images move on their own, in every direction"


def test_the_largest_shift_stays_inside() -> None:
    found = changed(images(200), crop=0.5)
    assert found.shape == (200, 3, 8, 8) and torch.isfinite(found).all()


def test_a_map_of_a_quarter_turn_is_a_quarter_turn() -> None:
    given = images(2)
    theta = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]]).repeat(2, 1, 1)
    found = _augment._mapped(given, theta)
    turns = [torch.rot90(given, times, dims=(2, 3)) for times in (1, -1)]
    assert any(torch.allclose(found, turn, atol=1e-5) for turn in turns)


def test_zoom_and_rotation_leave_the_middle_in_the_middle() -> None:
    given = torch.zeros(50, 1, 9, 9)
    given[:, :, 4, 4] = 1.0
    found = changed(given, rotation=90.0, zoom=0.3)
    assert (found.flatten(1).argmax(dim=1) == 40).all()
    assert not torch.equal(found, given)


@pytest.mark.parametrize("number", range(len(_augment._OPERATIONS)))
@pytest.mark.parametrize("channels", [1, 3])
def test_every_operation_keeps_shape_and_range(number: int, channels: int) -> None:
    given = images(9, channels=channels)
    strength = torch.linspace(-1, 1, 9)
    found = _augment._OPERATIONS[number](given, strength)
    assert found.shape == given.shape
    assert found.min() >= -1e-5 and found.max() <= 1 + 1e-5
    still = _augment._OPERATIONS[number](given, torch.zeros(9))
    torch.testing.assert_close(still, given, atol=1e-4, rtol=0)


def test_all_but_the_first_operation_do_something() -> None:
    given = images(4)
    idle = [
        number
        for number, operation in enumerate(_augment._OPERATIONS)
        if torch.allclose(operation(given, torch.full((4,), 0.8)), given, atol=1e-3)
    ]
    assert idle == [0]


def test_randaugment_of_no_magnitude_is_nearly_nothing() -> None:
    given = images(100)
    torch.testing.assert_close(changed(given, randaugment=3, magnitude=0.0), given, atol=1e-3, rtol=0)
    assert not torch.allclose(changed(given, randaugment=3, magnitude=8.0), given, atol=0.05)


@pytest.mark.parametrize("options", [EVERYTHING, {"colour": 0.9}, {"erasing": 1.0}, {"zoom": 0.9, "shear": 45.0}])
@pytest.mark.parametrize("channels", [1, 3])
def test_options_keep_shape_and_range(options: dict[str, Any], channels: int) -> None:
    given = images(24, side=12, channels=channels)
    found = changed(given, **options)
    assert found.shape == given.shape and found.dtype == given.dtype
    assert found.min() >= -1e-5 and found.max() <= 1 + 1e-5
    assert not torch.equal(found, given)


def test_erasing_replaces_one_rectangle_of_some_images() -> None:
    given = torch.zeros(300, 1, 16, 16)
    found = changed(given, erasing=0.5)
    hit = (found > 0).any(dim=3).any(dim=2)[:, 0]
    assert 110 < int(hit.sum()) < 190
    for image in found[hit][:, 0]:
        down, across = torch.nonzero(image > 0, as_tuple=True)
        box = (int(down.max() - down.min()) + 1) * (int(across.max() - across.min()) + 1)
        assert len(down) > 0.9 * box, "a rectangle is filled"  # noise may be 0 in places
        assert 0.005 < box / 256 < 0.6


def test_mixup_blends_two_images_by_the_shares_it_tells() -> None:
    given = images()
    found, mix = change(given, Augment(**ONLY, mixup=1.0), seeded())
    assert mix is not None and sorted(mix.other.tolist()) == list(range(32))
    own = mix.own.view(-1, 1, 1, 1)
    assert 0 < float(mix.own[0]) < 1
    torch.testing.assert_close(found, own * given + (1 - own) * given[mix.other])


def test_cutmix_pastes_a_rectangle_of_the_share_it_tells() -> None:
    given = torch.arange(1.0, 25.0).view(24, 1, 1, 1).expand(24, 3, 10, 10).contiguous()
    found, mix = change(given, Augment(**ONLY, cutmix=1.0), seeded(3))
    assert mix is not None
    for place, (image, other, own) in enumerate(zip(found, mix.other.tolist(), mix.own.tolist(), strict=True)):
        if other != place:
            assert float((image == place + 1).float().mean()) == pytest.approx(own, abs=1e-6)
            assert ((image == place + 1) | (image == other + 1)).all()


def test_both_mixtures_take_turns() -> None:
    given = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 6, 6).contiguous()
    whole = 0
    for seed in range(40):
        found, _ = change(given, Augment(**ONLY, mixup=0.5, cutmix=0.5), seeded(seed))
        whole += bool((found == found.round()).all())  # a rectangle holds the other's own numbers, a blend does not
    assert 8 < whole < 32


def test_a_seed_decides_everything() -> None:
    given, options = images(), Augment(**EVERYTHING, mixup=0.2, cutmix=0.2)
    first, second, other = (change(given, options, seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1].own, second[1].own)
    assert not torch.equal(first[0], other[0])


def test_nobodys_random_numbers_are_disturbed() -> None:
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    change(images(), Augment(**EVERYTHING, mixup=1.0), seeded())
    assert torch.equal(torch.rand(3), wanted)
