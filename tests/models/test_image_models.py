"""Networks for images from scratch: they start at knowing nothing, can learn anything, and answer the same once exported."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import parts
from modelyard.context import Silence
from modelyard.errors import DataError
from modelyard.learn import loop
from modelyard.models._contract import Examples
from modelyard.rows import Column, Rows
from modelyard.store import Store, write_json
from modelyard.tasks._contract import State
from tests.exporting import exported
from tests.toys import png, stripes

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")
COLUMNS = (Column(name="picture", type="image"),)
STATE = State(task="image-classification", target="t", inputs=COLUMNS, classes=("a", "b", "c"), counts=(8, 8, 8))
SMALL: dict[str, dict[str, Any]] = {
    "cnn": {"widths": (8, 16), "convolutions": 1, "dense": (16,), "dropout": 0.0},
    "resnet": {"widths": (8, 16), "blocks": 1, "dropout": 0.0},
}
both = pytest.mark.parametrize("name", SMALL)


def pictures(count: int = 24, side: int = 12, *, colour: bool = False) -> tuple[Rows, np.ndarray]:
    """Noise, and labels that nothing but the noise tells."""
    rng = np.random.default_rng(0)
    values = np.empty(count, dtype=object)
    values[:] = [
        png(rng.integers(0, 256, (side, side, 3) if colour else (side, side)).astype(np.uint8)) for _ in range(count)
    ]
    return Rows({"picture": values}, count), np.arange(count) % 3


def built(name: str, rows: Rows, **options: Any) -> tuple[Any, dict[str, Any], Any, Any]:
    """The model, its features, its arrays and a fresh module."""
    model = parts.build("models", name, {**SMALL[name], **options})
    features = model.features(rows, np.zeros(len(rows)), STATE, seed=0)
    return model, features, model.encode(rows, features), model.module(features, STATE, seed=0)


def with_a_head(module: Any) -> Any:
    """A head that is not zero, so that something reaches what lies below."""
    torch.manual_seed(0)
    torch.nn.init.normal_(module.head.weight)
    return module


@both
def test_the_first_loss_is_that_of_knowing_nothing(name: str) -> None:
    rows, target = pictures()
    _, _, arrays, module = built(name, rows)
    outputs = module(torch.from_numpy(arrays["pixels"]))
    assert outputs.shape == (24, 3)
    loss = torch.nn.functional.cross_entropy(outputs, torch.from_numpy(target))
    assert float(loss) == pytest.approx(math.log(3), abs=1e-6)


@both
def test_one_batch_is_learnt_by_heart(name: str) -> None:
    rows, target = pictures()
    _, _, arrays, module = built(name, rows)
    pixels, wanted = torch.from_numpy(arrays["pixels"]), torch.from_numpy(target)
    optimiser = torch.optim.AdamW(module.parameters(), lr=5e-3)
    for _ in range(150):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(module(pixels), wanted).backward()
        optimiser.step()
    assert (module(pixels).argmax(dim=1) == wanted).all()


@both
def test_every_weight_is_reached(name: str) -> None:
    rows, target = pictures()
    _, _, arrays, module = built(name, rows)
    outputs = with_a_head(module)(torch.from_numpy(arrays["pixels"]))
    torch.nn.functional.cross_entropy(outputs, torch.from_numpy(target)).backward()
    still = [
        key
        for key, p in module.named_parameters()
        if p.grad is None or not torch.isfinite(p.grad).all() or not p.grad.any()
    ]
    assert still == []


@both
def test_bytes_and_floats_of_the_same_image_are_answered_alike(name: str) -> None:
    """Training changes floats; serving gives bytes, and some runtimes whole numbers of another kind."""
    rows, _ = pictures(6)
    _, _, arrays, module = built(name, rows)
    pixels, module = torch.from_numpy(arrays["pixels"]), with_a_head(module).eval()
    with torch.inference_mode():
        wanted = module(pixels.float() / 255)
        torch.testing.assert_close(module(pixels), wanted)
        torch.testing.assert_close(module(pixels.long()), wanted)


@both
def test_a_row_is_answered_alone_as_in_a_batch(name: str) -> None:
    rows, _ = pictures(6)
    _, _, arrays, module = built(name, rows)
    pixels, module = torch.from_numpy(arrays["pixels"]), with_a_head(module).eval()
    with torch.inference_mode():
        torch.testing.assert_close(module(pixels[2:3])[0], module(pixels)[2], atol=1e-5, rtol=1e-5)


@both
def test_the_seed_alone_decides_the_first_weights(name: str) -> None:
    rows, _ = pictures()
    model, features, _, module = built(name, rows)
    torch.manual_seed(99)
    again, other = (model.module(features, STATE, seed=seed).state_dict() for seed in (0, 1))
    first = module.state_dict()
    assert all(torch.equal(tensor, again[key]) for key, tensor in first.items())
    assert any(not torch.equal(tensor, other[key]) for key, tensor in first.items())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cnn", {"kernel": 4}),
        ("cnn", {"kernel": 1, "pooling": "average"}),
        ("cnn", {"kernel": 5, "normalisation": "none", "activation": "gelu"}),
        ("cnn", {"widths": (4, 4, 4, 4, 4, 4)}),
        ("cnn", {"dense": ()}),
        ("cnn", {"widths": ()}),
        ("resnet", {"widths": (4,)}),
        ("resnet", {"widths": (4, 8, 8, 8, 8), "blocks": 2}),
    ],
)
@pytest.mark.parametrize("side", [8, 13])
def test_every_option_fits_every_side(name: str, options: dict[str, Any], side: int) -> None:
    rows, _ = pictures(4, side=side)
    _, features, arrays, module = built(name, rows, side=side, **options)
    assert features["size"] == side
    assert module(torch.from_numpy(arrays["pixels"])).shape == (4, 3)


@both
def test_colour_and_several_columns_are_read(name: str) -> None:
    first, _ = pictures(6, colour=True)
    rows = Rows({"picture": first["picture"], "other": first["picture"][::-1].copy()}, 6)
    state = STATE.model_copy(update={"inputs": (*COLUMNS, Column(name="other", type="image"))})
    model = parts.build("models", name, SMALL[name])
    features = model.features(rows, np.zeros(6), state, seed=0)
    arrays = model.encode(rows, features)
    assert arrays["pixels"].shape == (6, 6, 12, 12)
    module = with_a_head(model.module(features, state, seed=0)).eval()
    torch.testing.assert_close(
        module.scaling(torch.from_numpy(arrays["pixels"]))[:, :3].mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-3, rtol=0
    )
    assert module(torch.from_numpy(arrays["pixels"])).shape == (6, 3)


@both
def test_without_an_image_column_it_says_so(name: str) -> None:
    state = STATE.model_copy(update={"inputs": (Column(name="n", type="number"),)})
    with pytest.raises(DataError, match="no image column"):
        parts.build("models", name).features(Rows({"n": np.zeros(3)}, 3), np.zeros(3), state, seed=0)


@both
def test_work_counts_each_place_of_a_convolution(name: str) -> None:
    rows, _ = pictures()
    model, features, _, module = built(name, rows)
    weights = {key: tensor.numpy() for key, tensor in module.state_dict().items()}
    found = model.work(weights, features, STATE)
    first = next(p for p in module.parameters() if p.ndim == 4)
    assert found.parameters == sum(array.size for array in weights.values())
    assert found.flops_per_row > 2 * first.numel() * 12 * 12, "the first convolution alone is done at 144 places"


@both
def test_exported_is_trained(name: str, tmp_path: Path) -> None:
    rows, _ = pictures(10)
    model, features, arrays, module = built(name, rows)
    module = with_a_head(module)
    for _ in range(3):  # statistics of normalisation that are not the first ones
        module(torch.from_numpy(arrays["pixels"]))
    session = exported(model, module, features, STATE, arrays, tmp_path)
    for count in (1, 3, 10):
        some = {key: values[:count] for key, values in arrays.items()}
        with torch.inference_mode():
            wanted = module(torch.from_numpy(some["pixels"])).numpy()
        np.testing.assert_allclose(session(some), wanted, atol=1e-4, rtol=1e-4)


# -- through the training loop ------------------------------------------------------------------------------------------


def trained(name: str, folder: Path, *, epochs: int, **options: Any) -> tuple[Any, dict[str, Any], State, loop.Learnt]:
    """A model that `learn.loop` trained on stripes."""
    found = stripes(96)
    values = np.empty(len(found), dtype=object)
    values[:] = [data for _, data in found]
    rows, task = Rows({"picture": values}, len(found)), parts.build("tasks", "image-classification")
    labels = np.array([label for label, _ in found], dtype=object)
    state = task.fit(labels, "label", COLUMNS, None)
    target = task.encode_target(labels, state)
    model = parts.build("models", name, {**SMALL[name], "batch_rows": 16, "learning_rate": 5e-3, **options})
    features = model.features(rows.take(slice(0, 64)), target[:64], state, seed=0)
    arrays = model.encode(rows, features)
    halves = [
        Examples({key: a[part] for key, a in arrays.items()}, target[part]) for part in (slice(0, 64), slice(64, None))
    ]
    options_ = model.loop(features, state, 64).model_copy(update={"epochs": epochs, "precision": "fp32"})
    learnt = loop.train(
        model, model.module(features, state, seed=0), *halves, task=task, state=state, options=options_,
        metric=lambda scores, wanted: float((scores.argmax(axis=1) == wanted).mean()), greater_is_better=True, seed=0, threads=1,
        seconds=None, folder=folder, decide=Store(folder).decide, name=name, checkpoint_seconds=1e9, progress=Silence(), tracking=(),
    )  # fmt: skip
    return model, features, state, learnt


@both
def test_stripes_are_learnt_at_any_phase(name: str, tmp_path: Path) -> None:
    _, _, _, learnt = trained(name, tmp_path, epochs=25)
    assert learnt.facts["best_metric"] > 0.9


def test_mixed_rows_keep_the_first_loss_and_the_count(tmp_path: Path) -> None:
    """Outputs of zero have the loss ln K under every share, so that a wrong weight would show."""
    mixed = {"augment": {"mixup": 0.4, "cutmix": 0.4}, "learning_rate": 1e-9}
    _, _, _, learnt = trained("cnn", tmp_path, epochs=1, **mixed)
    assert learnt.curve[0].train_loss == pytest.approx(math.log(2), abs=1e-5)


def test_augmented_training_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    options = {"augment": {"rotation": 10.0, "randaugment": 1, "erasing": 0.3, "mixup": 0.2}}
    first, second = (trained("cnn", tmp_path / part, epochs=2, **options)[3].weights for part in ("one", "two"))
    assert all(np.array_equal(array, second[key]) for key, array in first.items())
    plain = trained("cnn", tmp_path / "plain", epochs=2, augment={"flip": False, "crop": 0.0})[3].weights
    assert not np.array_equal(first["head.weight"], plain["head.weight"]), "the images were changed"


def test_a_trained_network_answers_from_its_own_folder(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    model, features, state, learnt = trained("cnn", tmp_path / "job", epochs=2)
    write_json(tmp_path / "features.json", features)
    save_file(
        {key: np.ascontiguousarray(array) for key, array in learnt.weights.items()}, tmp_path / "weights.safetensors"
    )
    session = parts.build("sessions", "torch").open(tmp_path, model, features, state)
    values = np.empty(300, dtype=object)
    values[:] = [stripes(1)[0][1], None] * 150
    outputs = session(model.encode(Rows({"picture": values}, 300), features))
    assert outputs.shape == (300, 2) and np.isfinite(outputs).all()
    np.testing.assert_allclose(outputs[0], outputs[-2], atol=1e-5)
