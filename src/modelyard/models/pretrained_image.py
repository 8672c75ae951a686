"""A pretrained image model from a folder or the Hugging Face hub, fine-tuned: its trunk with a new linear head.

ResNet, EfficientNet, ConvNeXt (1 and 2), MobileNetV2, ViT, DeiT, DINOv2 and Swin are built by transformers; VGG and Inception
v3, which it lacks, here, from repositories in timm's form. How images are scaled is read from the repository. After training
the architecture is rebuilt from `features["trunk"]`. It knows nothing about training loops.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from modelyard.errors import DataError, MissingDownload, MissingExtra
from modelyard.models import _inception, _vgg
from modelyard.models._pretrained import quiet, snapshot
from modelyard.models._transfer import TransferModel

FAMILIES = ("resnet", "efficientnet", "convnext", "convnextv2", "mobilenet_v2", "vit", "deit", "dinov2", "swin")
"""What transformers calls the architectures that are read through it (`model_type` in config.json)."""
PLACED = ("vit", "deit", "swin")
"""Families that place patches by learnt positions and stretch these to another side only when told to."""
FILES = ("config.json", "preprocessor_config.json", "*.safetensors", "model.safetensors.index.json")
"""What is fetched from a hub: never a pickle, never code."""
UNUSED = re.compile(r"^pooler\.|\.num_batches_tracked$")
"""Tensors of transformers' models that a repository may lack."""
CLASSIFIERS = ("pre_logits.", "head.", "fc.", "AuxLogits.")
"""Beginnings of the names that timm gives the weights of classifiers, which are left out."""


class Part(TransferModel):
    """A fine-tuned image model."""

    rate: ClassVar[float] = 1e-4

    pretrained: str = "microsoft/resnet-18"
    """A local folder with config.json, preprocessor_config.json and model.safetensors, or a hub id. Of timm's repositories (no
    preprocessor_config.json) those of VGG and Inception v3 are read, such as timm/vgg16_bn.tv_in1k."""

    def describe(self) -> dict[str, Any]:
        """From config.json and preprocessor_config.json."""
        folder = locate(self.pretrained)
        config = _json(folder / "config.json")
        if "architecture" in config:
            return _timm(config, self.pretrained)
        family = config.get("model_type")
        if family not in FAMILIES or config.get("num_channels", 3) != 3:
            raise DataError(
                f"{self.pretrained!r} is of the kind {family!r}, with {config.get('num_channels', 3)} channels; "
                f"colour images are read by {', '.join((*FAMILIES, *_vgg.NAMES, *_inception.NAMES))}"
            )
        expected = _expected(_json(folder / "preprocessor_config.json"), config, self.pretrained)
        return {"least": _least(config), **expected, "config": _settings(config)}

    def trunk(self, features: dict[str, Any], *, pretrained: bool) -> Any:
        """Of transformers, or of our own modules where the repository is timm's."""
        described = features["trunk"]
        if "architecture" not in described:
            return self._of_transformers(features, pretrained=pretrained)
        name = described["architecture"]
        found = _vgg.vgg(name) if name in _vgg.NAMES else _inception.inception(name)
        if pretrained:
            _fill(found, locate(self.pretrained), self.pretrained)
        return found

    def _of_transformers(self, features: dict[str, Any], *, pretrained: bool) -> Any:
        try:
            from transformers import AutoConfig, AutoModel
        except ImportError:
            raise MissingExtra(f"the image model {self.pretrained!r}", "text") from None
        settings = dict(features["trunk"]["config"])
        config = AutoConfig.for_model(settings.pop("model_type"), **settings)
        if not pretrained:
            inner = AutoModel.from_config(config, attn_implementation="eager")
        else:
            with quiet():
                inner, told = AutoModel.from_pretrained(
                    locate(self.pretrained), config=config, attn_implementation="eager", use_safetensors=True,
                    local_files_only=True, trust_remote_code=False, dtype="float32", output_loading_info=True,
                )  # fmt: skip
            lacking = sorted(name for name in told["missing_keys"] if not UNUSED.search(name))
            if lacking:
                raise DataError(
                    f"the weights of {self.pretrained!r} lack {len(lacking)} tensors: {', '.join(lacking[:5])}"
                )
        return _wrapped()(inner, features["size"])


@cache
def _wrapped() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch
    from torch import nn

    class Trunk(nn.Module):  # type: ignore[misc]  # torch is not followed
        """A model of transformers, and one vector an image: what it pools itself, or its first token."""

        def __init__(self, inner: Any, side: int) -> None:
            super().__init__()
            self.inner = inner
            pooler = getattr(inner, "pooler", None)
            if pooler is not None and any(True for _ in pooler.parameters()):
                inner.pooler = None  # a layer for another purpose, of which many repositories have no weights
            elif isinstance(pooler, nn.AvgPool2d):
                inner.pooler = nn.AdaptiveAvgPool2d(1)  # the same mean; exporters do not know windows beyond the map
            for layer in inner.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.momentum = (
                        0.1  # transformers gives torch TensorFlow's 0.99, the share of the old; torch takes the new's
                    )
            self.told = {"interpolate_pos_encoding": True} if inner.config.model_type in PLACED else {}
            self.eval()
            with torch.no_grad():
                self.width = self(torch.zeros(1, 3, side, side)).shape[1]
            self.train()

        def stages(self) -> list[list[Any]]:
            """What lies before the list of layers, each of these, and with the last what lies behind."""
            named = dict(self.named_modules())
            lists = [name for name, module in named.items() if isinstance(module, nn.ModuleList)]
            outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
            layers = list(named[max(outer, key=lambda name: len(named[name]))])
            found: list[list[Any]] = [[], *(list(layer.modules()) for layer in layers)]
            inside = {id(module) for stage in found for module in stage}
            for name, module in named.items():
                if id(module) not in inside:
                    found[0 if "embed" in name or "stem" in name else -1].append(module)
            return found

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            found = self.inner(pixel_values=pixels, **self.told)
            pooled = found.pooler_output
            return found.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1)  # (n, D)

    return Trunk


def _fill(trunk: Any, folder: Path, name: str) -> None:
    """Load timm's weights into our module of the same names; DataError where they are not its own."""
    from safetensors.torch import load_file

    given = load_file(folder / "model.safetensors")
    found = {key: tensor for key, tensor in given.items() if not key.startswith(CLASSIFIERS)}
    own = trunk.state_dict()
    strange = [key for key in found if key not in own or found[key].shape != own[key].shape]
    lacking = [key for key in own if key not in found and not key.endswith("num_batches_tracked")]
    if strange or lacking:
        raise DataError(
            f"the weights of {name!r} are not those of its architecture: {len(strange)} tensors are strange, {len(lacking)} are "
            f"missing ({', '.join([*strange, *lacking][:5])})"
        )
    trunk.load_state_dict(found, strict=False)


# -- what a repository says --------------------------------------------------------------------------------------------


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """What builds the trunk; what names places, versions and the old classes is left out."""
    dropped = (
        "_name_or_path", "architectures", "transformers_version", "torch_dtype", "dtype", "id2label", "label2id", "num_labels",
        "problem_type", "out_features", "out_indices", "stage_names", "output_hidden_states", "output_attentions", "return_dict",
    )  # fmt: skip
    return {key: value for key, value in config.items() if key not in dropped}


def _least(config: dict[str, Any]) -> int:
    """Smallest side that the architecture can read: Swin's last map must hold a window of its attention."""
    if config["model_type"] != "swin":
        return 32
    patch, window = config.get("patch_size", 4), config.get("window_size", 7)
    return int(patch * window * 2 ** (len(config.get("depths", (2, 2, 6, 2))) - 1))


def _expected(settings: dict[str, Any], config: dict[str, Any], name: str) -> dict[str, Any]:
    """Side, mean and deviation of pixels from 0 to 1, from preprocessor_config.json.

    There, pixels of 0 to 255 are multiplied (`rescale_factor`), moved (`rescale_offset`) and standardised; for EfficientNet's
    classifiers (`include_top`) they are divided by the deviation once more.
    """
    factor = 255.0 * float(settings.get("rescale_factor") or 1 / 255) if settings.get("do_rescale", True) else 255.0
    moved = 1.0 if settings.get("rescale_offset") else 0.0
    mean, scale = [0.0] * 3, [1.0] * 3
    if settings.get("do_normalize", True):
        if "image_mean" not in settings or "image_std" not in settings:
            raise DataError(f"preprocessor_config.json of {name!r} names no image_mean and image_std")
        mean, scale = _three(settings["image_mean"]), _three(settings["image_std"])
    twice = config["model_type"] == "efficientnet" and settings.get("include_top", True)
    return {
        "side": _side(settings, config),
        "mean": [(each + moved) / factor for each in mean],
        "scale": [each * (each if twice else 1.0) / factor for each in scale],
    }


def _side(settings: dict[str, Any], config: dict[str, Any]) -> int:
    """Pixels of the images that the weights were trained with: after cropping, where they were cropped."""
    cropped = settings.get("crop_size") if settings.get("do_center_crop", True) else None
    size = cropped or settings.get("size") or config.get("image_size") or 224
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge") or 224
    return int(size[0] if isinstance(size, list) else size)


def _three(value: Any) -> list[float]:
    return [float(each) for each in value] if isinstance(value, list) else [float(value)] * 3


def _timm(config: dict[str, Any], name: str) -> dict[str, Any]:
    """The same of a repository in timm's form."""
    architecture, known = config["architecture"], (*_vgg.NAMES, *_inception.NAMES)
    if architecture not in known:
        raise DataError(
            f"{name!r} holds timm's {architecture!r}; of timm's are read {', '.join(known)}. Of other families name a repository "
            f"that transformers reads ({', '.join(FAMILIES)})."
        )
    given = config.get("pretrained_cfg", config)
    if not {"mean", "std", "input_size"} <= given.keys():
        raise DataError(f"config.json of {name!r} names no mean, std and input_size in pretrained_cfg")
    return {
        "side": int(given["input_size"][-1]),
        "least": _vgg.LEAST if architecture in _vgg.NAMES else _inception.LEAST,
        "mean": _three(given["mean"]),
        "scale": _three(given["std"]),
        "architecture": architecture,
    }


def _json(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


# -- finding pretrained weights ----------------------------------------------------------------------------------------


def locate(pretrained: str) -> Path:
    """The folder of an image model. MissingDownload says what is missing and where it may be put."""
    folder = Path(pretrained).expanduser()
    if folder.is_dir():
        return _complete(folder, pretrained)
    if pretrained.startswith((".", "/", "~")) or pretrained.count("/") != 1:
        raise MissingDownload(
            f"no image model {pretrained!r}: allowed are a folder that exists, or a hub id such as 'microsoft/resnet-18'"
        )
    cure = (
        f"Put config.json, preprocessor_config.json and model.safetensors of {pretrained!r} into a folder and name it "
        "(train.candidates: pretrained-image: pretrained: FOLDER), or use efficientnet, whose weights come as a package."
    )
    found = snapshot(pretrained, FILES, what=f"the image model {pretrained!r}", extra="text", cure=cure)
    return _complete(found, pretrained)


def _complete(folder: Path, name: str) -> Path:
    missing = [] if (folder / "config.json").is_file() else ["config.json"]
    timm = not missing and "architecture" in _json(folder / "config.json")
    if not timm and not (folder / "preprocessor_config.json").is_file():
        missing.append("preprocessor_config.json")
    present = (folder / "model.safetensors").is_file() if timm else any(folder.glob("*.safetensors"))
    missing += [] if present else ["model.safetensors"]
    if missing:
        raise MissingDownload(
            f"the image model {name!r} lacks {', '.join(missing)} in {folder}. Only safetensors weights are read."
        )
    return folder
