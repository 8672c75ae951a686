"""Image models of a folder: read as transformers and timm read them, scaled as their repositories say, and answering without them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import parts
from modelyard.conformance._common import Subject
from modelyard.conformance._models import laws
from modelyard.conformance._toys import picture
from modelyard.errors import DataError, MissingDownload
from modelyard.models import _inception, _vgg, pretrained_image
from modelyard.rows import Column, Rows
from modelyard.store import write_json
from modelyard.tasks._contract import State

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("PIL")
STATE = State(
    task="image-classification",
    target="t",
    inputs=(Column(name="picture", type="image"),),
    classes=("a", "b", "c"),
    counts=(1, 1, 1),
)
TOKENS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
MAPS = {"hidden_sizes": [8, 16], "depths": [1, 2]}
FAMILIES: dict[str, tuple[dict[str, Any], int]] = {
    "resnet": ({**MAPS, "embedding_size": 8, "layer_type": "basic"}, 3),
    "efficientnet": (
        {
            "width_coefficient": 0.25, "depth_coefficient": 1.0, "hidden_dim": 320, "image_size": 32, "kernel_sizes": [3, 5],
            "in_channels": [32, 16], "out_channels": [16, 24], "strides": [1, 2], "num_block_repeats": [1, 2], "expand_ratios": [1, 6],
        },
        4,
    ),
    "convnext": ({**MAPS, "num_stages": 2, "image_size": 32}, 3),
    "convnextv2": ({**MAPS, "num_stages": 2, "image_size": 32}, 3),
    "mobilenet_v2": ({"depth_multiplier": 0.25, "finegrained_output": False, "image_size": 32}, 17),
    "vit": ({**TOKENS, "intermediate_size": 32}, 3),
    "deit": ({**TOKENS, "intermediate_size": 32}, 3),
    "dinov2": ({**TOKENS, "mlp_ratio": 2}, 3),
    "swin": (
        {"image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [1, 2], "num_heads": [1, 2], "window_size": 4},
        3,
    ),
}  # fmt: skip
"""Settings of the smallest of each family, and its stages: what lies before the layers, and each layer."""
SCALING = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3], "size": {"height": 32, "width": 32}}


def write(folder: Path, family: str, **scaling: Any) -> Path:
    """A repository of random weights of a size at which images differ to the end; normalisations that do something."""
    place = folder / family
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(family, **FAMILIES[family][0])
    inner = transformers.AutoModel.from_config(config)
    for layer in inner.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        elif isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(layer.weight)
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 1.5)
    inner.save_pretrained(place)
    write_json(place / "preprocessor_config.json", {**SCALING, **scaling})
    return place


@pytest.fixture(params=list(FAMILIES))
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    return request.param, write(tmp_path, request.param)


def part(folder: Path | str, **options: Any) -> Any:
    return parts.build("models", "pretrained-image", {"pretrained": str(folder), **options})


def rows(number: int = 6, *, colour: bool = True) -> Rows:
    rng = np.random.default_rng(0)
    found = np.empty(number, dtype=object)
    found[:] = [
        picture(rng.integers(0, 256, (32, 32, 3) if colour else (32, 32)).astype(np.uint8)) for _ in range(number)
    ]
    return Rows({"picture": found}, number)


def learnt(model: Any, data: Rows) -> dict[str, Any]:
    """As a package would hold it."""
    found: dict[str, Any] = json.loads(json.dumps(model.features(data, np.zeros(len(data)), STATE, seed=0)))
    return found


def pixels(model: Any, data: Rows, features: dict[str, Any]) -> Any:
    return torch.from_numpy(model.encode(data, features)["pixels"])


# -- through transformers ----------------------------------------------------------------------------------------------


def test_vectors_are_those_of_the_pretrained_model(repository: tuple[str, Path]) -> None:
    family, folder = repository
    model, data = part(folder), rows()
    features = learnt(model, data)
    assert features["size"] == 32
    network, given = model.module(features, STATE, seed=0).eval(), pixels(model, data, features)
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    mean, scale = (torch.tensor(SCALING[name]).view(1, 3, 1, 1) for name in ("image_mean", "image_std"))
    times = 2 if family == "efficientnet" else 1  # its classifiers divide twice
    with torch.inference_mode():
        told = theirs(pixel_values=(given / 255 - mean) / scale**times)
        first = family in ("vit", "deit", "dinov2")
        expected = told.last_hidden_state[:, 0] if first else told.pooler_output.flatten(1)
        found = network.vectors(given)
        assert expected.std(dim=0).max() > 1e-2
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
        assert not network(given).any()  # a head of zeros: every class alike


def test_stages_and_groups_hold_each_parameter_once(repository: tuple[str, Path]) -> None:
    family, folder = repository
    for freeze in ("nothing", 1, "all"):
        model = part(folder, freeze=freeze)
        network = model.module(learnt(model, rows()), STATE, seed=0)
        stages = network.trunk.stages()
        staged = [id(p) for stage in stages for layer in stage for p in layer.parameters(recurse=False)]
        assert len(stages) == FAMILIES[family][1] and sorted(staged) == sorted(map(id, network.trunk.parameters()))
        assert any(True for layer in stages[0] for _ in layer.parameters(recurse=False)), "the stem has weights"
        grouped = [id(p) for _, members in model.groups(network) for p in members]
        assert sorted(grouped) == sorted(id(p) for p in network.parameters() if p.requires_grad)
        assert network.fixed == (freeze == "all")


def test_it_answers_without_its_repository(repository: tuple[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    _, folder = repository
    model, data = part(folder), rows(colour=False)
    features = learnt(model, data)
    assert features["channels"] == 1
    network = model.module(features, STATE, seed=0).eval()
    torch.nn.init.normal_(network.head.weight, std=0.01)
    place = tmp_path / "trained"
    place.mkdir()
    save_file(
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()}, place / "weights.safetensors"
    )
    shutil.rmtree(folder)
    answer = parts.build("sessions", "torch", {"threads": 1}).open(place, model, features, STATE)
    with torch.inference_mode():
        expected = network(pixels(model, data, features)).numpy()
    np.testing.assert_allclose(answer(model.encode(data, features)), expected, rtol=1e-4, atol=1e-4)


def test_frozen_stages_stay_as_they_are(repository: tuple[str, Path]) -> None:
    _, folder = repository
    model, data = part(folder, freeze=2), rows()
    features = learnt(model, data)
    network = model.module(features, STATE, seed=0)
    torch.nn.init.normal_(network.head.weight)
    below = [layer for stage in network.trunk.stages()[:2] for layer in stage]
    kept = [tensor for layer in below for tensor in (*layer.parameters(recurse=False), *layer.buffers(recurse=False))]
    before, head = [tensor.clone() for tensor in kept], network.head.weight.clone()
    trained = [p for p in network.trunk.parameters() if p.requires_grad]
    old = [p.clone() for p in trained]
    network.train()
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network(pixels(model, data, features)).square().sum().backward()
    optimiser.step()
    assert kept and all(torch.equal(*pair) for pair in zip(kept, before, strict=True))
    assert not torch.equal(network.head.weight, head)
    assert any(not torch.equal(*pair) for pair in zip(trained, old, strict=True))


@pytest.mark.parametrize("family", ["vit", "deit", "dinov2", "resnet", "efficientnet", "mobilenet_v2"])
def test_another_side_is_read_too(family: str, tmp_path: Path) -> None:
    model, data = part(write(tmp_path, family), side=48), rows()
    features = learnt(model, data)
    with torch.inference_mode():
        found = model.module(features, STATE, seed=0).eval().vectors(pixels(model, data, features))
    assert features["size"] == 48 and torch.isfinite(found).all() and len(found) == len(data)


def test_a_side_too_small_for_swins_windows_is_refused(tmp_path: Path) -> None:
    scaling = {"size": {"height": 64, "width": 64}}
    folder = write(tmp_path, "swin", **scaling)
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**config, "window_size": 16})
    with pytest.raises(DataError, match=r"side: .* 64 pixels and more \(got 48\)"):
        learnt(part(folder, side=48), rows())


def test_it_keeps_the_laws_of_its_shelf(tmp_path: Path) -> None:
    """Which the default, a hub id, keeps only where there is a network."""
    folder, kind = write(tmp_path, "resnet"), parts.load("models", "pretrained-image")

    class Small(kind):  # type: ignore[misc, valid-type]
        pretrained: str = str(folder)

    subject = Subject("models", "pretrained-image", parts.file_of("models", "pretrained-image"), Small)
    assert len(list(laws(subject))) > 10


# -- what repositories say ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "side", "mean", "scale"),
    [
        ({"size": 224}, 224, 0.5, 0.25),
        (
            {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "do_center_crop": True},
            224,
            0.5,
            0.25,
        ),
        ({"size": {"shortest_edge": 256}, "crop_size": 224, "do_center_crop": False}, 256, 0.5, 0.25),
        ({"size": 224, "crop_size": None}, 224, 0.5, 0.25),
        ({"size": 224, "rescale_factor": 1 / 127.5, "rescale_offset": True}, 224, 0.75, 0.125),
        ({"size": 224, "do_rescale": False}, 224, 0.5 / 255, 0.25 / 255),
        ({"size": 224, "do_normalize": False}, 224, 0.0, 1.0),
    ],
)
def test_scaling_is_read(settings: dict[str, Any], side: int, mean: float, scale: float) -> None:
    given = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, **settings}
    found = pretrained_image._expected(given, {"model_type": "resnet"}, "it")
    assert found["side"] == side
    np.testing.assert_allclose(found["mean"], [mean] * 3)
    np.testing.assert_allclose(found["scale"], [scale] * 3)


def test_a_classifier_of_efficientnet_divides_twice() -> None:
    given = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": 224}
    for told, scale in (({}, 0.25), ({"include_top": True}, 0.25), ({"include_top": False}, 0.5)):
        found = pretrained_image._expected({**given, **told}, {"model_type": "efficientnet"}, "it")
        np.testing.assert_allclose(found["scale"], [scale] * 3)


def test_unknown_scaling_is_refused() -> None:
    with pytest.raises(DataError, match="names no image_mean"):
        pretrained_image._expected({"size": 224}, {"model_type": "resnet"}, "it")


# -- timm's ------------------------------------------------------------------------------------------------------------


def write_timm(folder: Path, architecture: str, state: dict[str, Any]) -> Path:
    from safetensors.torch import save_file

    place = folder / architecture
    place.mkdir()
    told = {"input_size": [3, 96, 96], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    write_json(place / "config.json", {"architecture": architecture, "num_classes": 1000, "pretrained_cfg": told})
    save_file(state, place / "model.safetensors")
    return place


def sketch(make: Callable[[str], Any], name: str) -> Any:
    """The module without its numbers."""
    with torch.device("meta"):
        return make(name)


@pytest.mark.parametrize(
    ("name", "parameters", "convolutions"),
    [
        ("vgg11", 9_220_480, [0, 3, 6, 8, 11, 13, 16, 18]),
        ("vgg16", 14_714_688, [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]),
        ("vgg16_bn", 14_723_136, [0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40]),
        ("vgg19", 20_024_384, [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]),
    ],
)
def test_vgg_is_timms(name: str, parameters: int, convolutions: list[int]) -> None:
    """Its published size without the dense layers, and timm's places in `features`."""
    trunk = sketch(_vgg.vgg, name)
    assert sum(p.numel() for p in trunk.parameters()) == parameters
    places = [int(key.split(".")[1]) for key, tensor in trunk.state_dict().items() if tensor.ndim == 4]
    assert places == convolutions
    assert len(trunk.stages()) == 5 and sum(map(len, trunk.stages())) == len(trunk.features)


def test_inception_is_timms() -> None:
    """23,834,568 parameters without the second classifier, 2,049,000 of them in the first; 94 convolutions."""
    trunk = sketch(_inception.inception, "inception_v3").eval()
    assert sum(p.numel() for p in trunk.parameters()) == 23_834_568 - 2_049_000
    state = trunk.state_dict()
    assert len(state) == 94 * 6 and trunk.width == 2048
    for name, shape in (
        ("Conv2d_1a_3x3.conv.weight", (32, 3, 3, 3)),
        ("Mixed_5b.branch_pool.conv.weight", (32, 192, 1, 1)),
        ("Mixed_6b.branch7x7dbl_2.conv.weight", (128, 128, 7, 1)),
        ("Mixed_7a.branch7x7x3_4.bn.running_var", (192,)),
        ("Mixed_7c.branch3x3dbl_3b.conv.weight", (384, 384, 3, 1)),
    ):
        assert tuple(state[name].shape) == shape, name
    assert trunk(torch.zeros(1, 3, 75, 75, device="meta")).shape == (1, 2048)
    assert len(trunk.stages()) == 13
    staged = [id(p) for stage in trunk.stages() for layer in stage for p in layer.parameters(recurse=False)]
    assert sorted(staged) == sorted(map(id, trunk.parameters()))


@pytest.mark.parametrize("architecture", ["vgg11_bn", "inception_v3"])
def test_timms_weights_are_read(architecture: str, tmp_path: Path) -> None:
    make = _vgg.vgg if architecture.startswith("vgg") else _inception.inception
    torch.manual_seed(0)
    trunk = make(architecture).eval()
    more = {name: torch.zeros(1) for name in ("pre_logits.fc1.bias", "head.fc.bias", "fc.bias", "AuxLogits.fc.bias")}
    folder = write_timm(tmp_path, architecture, {**trunk.state_dict(), **more})
    model, data = part(folder), rows(3)
    features = learnt(model, data)
    assert features["size"] == 96 and features["trunk"]["architecture"] == architecture
    network, given = model.module(features, STATE, seed=1).eval(), pixels(model, data, features)
    mean, scale = (torch.tensor(features["trunk"][name]).view(1, 3, 1, 1) for name in ("mean", "scale"))
    with torch.inference_mode():
        expected = trunk((given / 255 - mean) / scale)
        assert expected.shape == (3, trunk.width)
        torch.testing.assert_close(network.vectors(given), expected, rtol=1e-4, atol=1e-6)
    assert all(torch.equal(tensor, network.trunk.state_dict()[name]) for name, tensor in trunk.state_dict().items())


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    folder = write_timm(tmp_path, "vgg11", {"features.0.weight": torch.zeros(64, 3, 3, 3), "strange": torch.zeros(1)})
    model = part(folder)
    features = learnt(model, rows())
    with pytest.raises(DataError, match=r"are not those of its architecture: 1 tensors are strange, 15 are missing"):
        model.module(features, STATE, seed=0)


# -- what is not there -------------------------------------------------------------------------------------------------


def test_weights_that_lack_tensors_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write(tmp_path, "resnet")
    given = load_file(folder / "model.safetensors")
    given.pop(next(name for name in given if name.endswith("convolution.weight")))
    save_file(given, folder / "model.safetensors", metadata={"format": "pt"})
    model = part(folder)
    features = learnt(model, rows())
    with pytest.raises(DataError, match="lack 1 tensors"):
        model.module(features, STATE, seed=0)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "bert"}, "of the kind 'bert'.*resnet.*vgg16"),
        ({"model_type": "vit", "num_channels": 1}, "with 1 channels"),
        ({"architecture": "resnet50", "model_type": "timm_wrapper"}, "timm's 'resnet50'.*vgg16_bn.*inception_v3"),
        ({"architecture": "vgg16"}, "names no mean, std and input_size"),
    ],
)
def test_other_kinds_are_refused(config: dict[str, Any], words: str, tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", config)
    write_json(tmp_path / "preprocessor_config.json", SCALING)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match=words):
        learnt(part(tmp_path), rows())


def test_missing_files_say_what_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locate = pretrained_image.locate
    with pytest.raises(MissingDownload, match=r"no image model './nowhere'.*a folder that exists"):
        locate("./nowhere")
    with pytest.raises(MissingDownload, match=r"lacks config.json, preprocessor_config.json, model.safetensors"):
        locate(str(tmp_path))
    write_json(tmp_path / "config.json", {"architecture": "vgg16"})
    with pytest.raises(MissingDownload, match=r"lacks model.safetensors in "):
        locate(str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        MissingDownload, match=r"may not be fetched \(HF_HUB_OFFLINE=1\).*Put config.json, preprocessor"
    ):
        locate("nobody/no-such-model")
