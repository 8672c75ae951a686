"""The decoder network: what it computes is what its parts say, however it is read; checkpoints of Llama's family answer as with transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.errors import DataError, MissingDownload
from modelyard.features import subwords
from modelyard.models import _decoder, _llama
from modelyard.models._decoder import Shape

torch = pytest.importorskip("torch")

SMALL = {"vocabulary": 61, "context": 40, "layers": 2, "heads": 4, "width": 32, "hidden": 48}
SHAPES = {
    "classic": Shape(blocks="classic", kv_heads=4, **SMALL),
    "classic with biases, untied": Shape(blocks="classic", kv_heads=4, biases=True, tied=False, **SMALL),
    "modern": Shape(blocks="modern", kv_heads=4, **SMALL),
    "modern, grouped": Shape(blocks="modern", kv_heads=2, theta=500.0, **SMALL),
    "modern, one head of keys, untied": Shape(blocks="modern", kv_heads=1, tied=False, **SMALL),
}


def made(shape: Shape, *, spread: float = 8.0) -> Any:
    """A network whose weights are large enough that every part of it tells in its logits."""
    torch.manual_seed(0)
    network = _decoder.network()(shape).eval()
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.mul_(spread) if weight.dim() > 1 and "tokens" not in name else weight.add_(
                torch.randn_like(weight) * 0.1
            )
    return network


@pytest.fixture(params=list(SHAPES))
def network(request: pytest.FixtureRequest) -> Any:
    return made(SHAPES[request.param])


def texts(*lengths: int, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.integers(0, SMALL["vocabulary"], length)) for length in lengths]


def whole(network: Any, ids: Any) -> Any:
    """(T, V) logits of one text read at once."""
    places = torch.arange(len(ids))[None]
    with torch.no_grad():
        logits, _ = network.decode(ids[None], torch.ones_like(places), places, places, network.nothing(1))
    return logits[0]


def arrays(segments: list[list[int]], ids: Any, *, prompt: int = 1) -> dict[str, Any]:
    """Rows of texts one after another, of so many tokens each; the rest is filled up."""
    found = {name: torch.zeros_like(ids) for name in ("segment", "position", "counted", "bytes")}
    for row, lengths in enumerate(segments):
        at = 0
        for number, length in enumerate(lengths):
            found["segment"][row, at : at + length] = number + 1
            found["position"][row, at : at + length] = torch.arange(length)
            found["counted"][row, at + prompt : at + length] = 1
            at += length
    found["bytes"] = ids % 5 + 1
    return {"ids": ids, **found}


def nats(network: Any, ids: Any, prompt: int = 1) -> float:
    """Of one text alone, from its logits."""
    logs = whole(network, ids[:-1]).log_softmax(dim=1)
    return float(-logs[torch.arange(len(ids) - 1), ids[1:]][prompt - 1 :].sum())


# -- reading ---------------------------------------------------------------------------------------------------------------


def test_a_place_sees_what_stands_before_it_and_nothing_after(network: Any) -> None:
    (ids,) = texts(12)
    changed = ids.clone()
    changed[7:] = (changed[7:] + 1) % SMALL["vocabulary"]
    before, after = whole(network, ids), whole(network, changed)
    assert torch.equal(before[:7], after[:7]) and not torch.allclose(before[7:], after[7:], atol=1e-2)
    moved = whole(network, torch.cat([ids[1:2], ids[:1], ids[2:]]))
    assert not torch.allclose(before[2:], moved[2:], atol=1e-3), "order tells"


def test_a_text_read_in_pieces_has_the_logits_of_one_read_at_once(network: Any) -> None:
    (ids,) = texts(15)
    past, found, at = network.nothing(1), [], 0
    for width in (6, 1, 1, 5, 2):
        position = torch.arange(at, at + width)[None]
        places = torch.arange(width)[None]
        with torch.no_grad():
            logits, past = network.decode(
                ids[None, at : at + width], torch.ones(1, at + width, dtype=torch.int64), position, places, past
            )
        found.append(logits[0])
        at += width
    assert torch.allclose(torch.cat(found), whole(network, ids), atol=1e-5)


def test_rows_filled_up_at_the_left_have_the_logits_they_have_alone(network: Any) -> None:
    given = texts(9, 3, 6)
    longest = max(len(ids) for ids in given)
    ids, mask = torch.full((3, longest), 7), torch.zeros(3, longest, dtype=torch.int64)
    for row, one in enumerate(given):
        ids[row, longest - len(one) :] = one
        mask[row, longest - len(one) :] = 1
    position = (mask.cumsum(1) - 1).clamp(min=0)
    last = torch.full((3, 1), longest - 1)
    with torch.no_grad():
        logits, past = network.decode(ids, mask, position, last, network.nothing(3))
        follow = torch.tensor([[5], [6], [8]])
        mask = torch.cat([mask, torch.ones_like(follow)], dim=1)
        after, _ = network.decode(follow, mask, mask.sum(1, keepdim=True) - 1, torch.zeros_like(follow), past)
    for row, one in enumerate(given):
        alone = whole(network, torch.cat([one, follow[row]]))
        assert torch.allclose(logits[row, 0], alone[-2], atol=1e-5)
        assert torch.allclose(after[row, 0], alone[-1], atol=1e-5)


def test_places_choose_logits_row_by_row(network: Any) -> None:
    ids = torch.stack(texts(8, 8))
    places = torch.tensor([[7, 0, 3], [1, 1, 6]])
    with torch.no_grad():
        logits, _ = network.decode(ids, torch.ones_like(ids), torch.arange(8).expand(2, 8), places, network.nothing(2))
    for row in range(2):
        assert torch.allclose(logits[row], whole(network, ids[row])[places[row]], atol=1e-5)


# -- learning --------------------------------------------------------------------------------------------------------------


def test_texts_packed_into_a_row_are_scored_as_each_alone(network: Any) -> None:
    ids = torch.stack(texts(20, 20, 20))
    segments = [[8, 12], [5, 9], [20]]  # the second is filled up
    with torch.no_grad():
        found = network(**arrays(segments, ids, prompt=2))
    for row, lengths in enumerate(segments):
        starts = np.cumsum([0, *lengths])[:-1]
        alone = sum(nats(network, ids[row, at : at + length], 2) for at, length in zip(starts, lengths, strict=True))
        assert float(found[row, 0]) == pytest.approx(alone, rel=1e-4)
        assert float(found[row, 1]) == sum(length - 2 for length in lengths)
    counted = arrays(segments, ids, prompt=2)["counted"][:, 1:] * (ids % 5 + 1)[:, 1:]
    assert torch.equal(found[:, 2], counted.sum(1).float())


def test_a_row_of_one_text_needs_no_mask_and_what_fills_it_up_changes_nothing(network: Any) -> None:
    ids = torch.stack(texts(16, 16))
    given = arrays([[16], [10]], ids)
    network.requires_grad_(False)
    found = network(**given)
    assert float(found[1, 0]) == pytest.approx(nats(network, ids[1, :10]), rel=1e-4)
    split = {**given, "segment": given["segment"] * 2}  # numbers above one: the way of several texts
    assert torch.allclose(network(**split), found, rtol=1e-5)


def test_the_first_loss_is_that_of_knowing_nothing() -> None:
    for shape in SHAPES.values():
        torch.manual_seed(0)
        network = _decoder.network()(shape)
        ids = torch.stack(texts(*[30] * 16))
        found = network(**arrays([[30]] * 16, ids)).detach().sum(0)
        assert float(found[0] / found[1]) == pytest.approx(np.log(SMALL["vocabulary"]), rel=0.02)


def test_logits_made_in_parts_have_the_same_loss_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for logits in (_decoder.LOGITS, 7 * SMALL["vocabulary"]):
        monkeypatch.setattr(_decoder, "LOGITS", logits)
        network = made(SHAPES["modern, grouped"]).train()
        result = network(**arrays([[16], [10]], torch.stack(texts(16, 16))))
        result[:, 0].sum().backward()
        found.append((result.detach(), [weight.grad for weight in network.parameters()]))
    (one, gradients), (parts, same) = found
    assert torch.allclose(one, parts)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(gradients, same, strict=True))


def test_gradients_are_those_of_differences(network: Any) -> None:
    """Turned heads and gated layers have gradients written by hand; what they answer while learning is what they answer without."""
    network = network.double()
    block, shape = network.blocks[0], network.shape
    steps = torch.randn(2, 5, shape.width, dtype=torch.float64)
    angles = torch.arange(5)[None, :, None, None] * network.frequencies.repeat(2)
    turns = (angles.cos(), angles.sin()) if shape.blocks == "modern" else None

    def answer(steps: Any) -> Any:
        return block(steps, turns, None)[0]

    plain = answer(steps)
    assert torch.allclose(answer(steps.requires_grad_()), plain, atol=1e-12)
    assert torch.autograd.gradcheck(answer, (steps,), fast_mode=True)
    weight = block.attention.all.weight
    assert torch.autograd.gradcheck(lambda _: answer(steps.detach()).sum(), (weight,), fast_mode=True)


def test_bf16_changes_little(network: Any) -> None:
    given = arrays([[16], [10]], torch.stack(texts(16, 16)))
    with torch.no_grad():
        exact = network(**given)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = network(**given)
    assert found.dtype == torch.float32 and torch.allclose(found, exact, rtol=0.05)


def test_it_learns_a_rule() -> None:
    torch.manual_seed(0)
    network = _decoder.network()(SHAPES["modern, grouped"])
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(50):
        start = torch.randint(0, SMALL["vocabulary"], (16, 1))
        ids = (start + 3 * torch.arange(20)) % SMALL["vocabulary"]
        found = network(**arrays([[20]] * 16, ids)).sum(0)
        loss = found[0] / found[1]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.5 < np.log(SMALL["vocabulary"])


# -- checkpoints -----------------------------------------------------------------------------------------------------------

LLAMA = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 64,
}  # fmt: skip
CONFIGS = {
    "one head a head": {"num_key_value_heads": 4, "tie_word_embeddings": False},
    "grouped, tied": {"num_key_value_heads": 2, "tie_word_embeddings": True, "rms_norm_eps": 1e-3},
    "another base": {"num_key_value_heads": 2, "rope_parameters": {"rope_type": "default", "rope_theta": 300.0}},
    "stretched": {
        "num_key_value_heads": 1,
        "rope_parameters": {
            "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    },
}  # fmt: skip


def checkpoint(folder: Path, **config: Any) -> Any:
    """A small Llama of transformers, saved; its norms do something and its numbers are not small."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA, **config)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(6) if weight.dim() > 1 else weight.add_(torch.randn_like(weight) * 0.2)
    model.save_pretrained(folder)
    return model


def loaded(place: Path) -> Any:
    shape, weights = _llama.read(place)
    network = _decoder.network()(shape).eval()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return network


@pytest.mark.parametrize("name", list(CONFIGS))
def test_a_folder_has_the_logits_it_has_with_transformers(name: str, tmp_path: Path) -> None:
    theirs, (ids,) = checkpoint(tmp_path, **CONFIGS[name]), texts(50)
    with torch.no_grad():
        told = theirs(ids[None]).logits[0]
    assert float(told.abs().max()) > 1
    assert torch.allclose(whole(loaded(tmp_path), ids), told, atol=1e-4)


def test_shards_are_read(tmp_path: Path) -> None:
    whole_place, parts_place = tmp_path / "whole", tmp_path / "parts"
    model = checkpoint(whole_place, **CONFIGS["grouped, tied"])
    model.save_pretrained(parts_place, max_shard_size="10KB")
    assert len(list(parts_place.glob("*.safetensors"))) > 1
    (shape, one), (same, other) = _llama.read(whole_place), _llama.read(parts_place)
    assert shape == same and one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model_type": "gemma"}, "model_type: gemma.*Allowed: llama"),
        ({"attention_bias": True}, "attention_bias"),
        ({"head_dim": 16}, "head_dim: 16.*Allowed: 8"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_type: yarn"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"num_hidden_layers": 3}, "does not hold the weights"),
        ({"hidden_size": None}, "lacks hidden_size"),
    ],
)
def test_what_the_network_does_not_compute_is_refused(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    checkpoint(tmp_path, **CONFIGS["grouped, tied"])
    file = tmp_path / "config.json"
    config = {**json.loads(file.read_text()), **change}
    file.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
    with pytest.raises(DataError, match=told):
        _llama.read(tmp_path)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDownload, match="allowed are smollm2"):
        _llama.locate("./nowhere")
    with pytest.raises(MissingDownload, match=r"config\.json"):
        _llama.read(tmp_path)


def as_gguf(model: Any, file: Path) -> None:
    """A Llama as llama.cpp keeps it: names of its own, and neighbours of a head turned against each other instead of halves."""
    gguf = pytest.importorskip("gguf")
    config, writer = model.config, gguf.GGUFWriter(file, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, weight in model.named_parameters():
        found = weight.detach().numpy()
        if count := heads.get(name.split(".")[-2]):
            halves = found.reshape(count, 2, -1, found.shape[1])  # (H, 2, d / 2, W)
            found = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(found.shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), found)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("name", ["one head a head", "grouped, tied", "another base"])
def test_a_gguf_file_has_the_logits_of_the_model_it_was_made_from(name: str, tmp_path: Path) -> None:
    theirs, (ids,) = checkpoint(tmp_path, **CONFIGS[name]), texts(50)
    as_gguf(theirs, tmp_path / "model.gguf")
    with torch.no_grad():
        told = theirs(ids[None]).logits[0]
    assert torch.allclose(whole(loaded(_llama.locate(str(tmp_path / "model.gguf"))), ids), told, atol=1e-4)


def test_what_is_no_gguf_file_is_named(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    (tmp_path / "model.gguf").write_bytes(b"nothing of the kind" * 10)
    with pytest.raises(DataError, match="is not a GGUF file"):
        _llama.read(tmp_path / "model.gguf")


def packed() -> Path:
    pytest.importorskip("gguf")
    try:
        return _llama.locate("smollm2")
    except MissingDownload as error:
        pytest.skip(str(error))


@pytest.mark.long
def test_a_gguf_files_tokenizer_is_read() -> None:
    features = _llama.tokenizer(packed())
    assert features["size"] == 49152 and features["end"] == 2 and features["kind"] == "bpe"
    text = "Tom's 127 cats\n\tsaid:  “héllo” 你好 🙂"
    (ids,) = subwords.ids_of([text], features)
    assert subwords.text_of(ids, features) == text
    assert int(subwords.sizes(features)[ids].sum()) == len(text.encode())
    (numbers,) = subwords.ids_of(["127"], features)
    assert len(numbers) == 3, "digits stand alone"
    assert subwords.ids_of(["The capital of France is"], features) == [[504, 3575, 282, 4649, 314]]


@pytest.mark.long
def test_smollm2_has_the_logits_it_has_with_transformers() -> None:
    transformers, place = pytest.importorskip("transformers"), packed()
    pytest.importorskip("accelerate", reason="transformers reads GGUF files with it")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        place.parent, gguf_file=place.name, dtype=torch.float32
    ).eval()
    features = _llama.tokenizer(place)
    ids = torch.tensor(subwords.ids_of(["The capital of France is Paris, and that of Italy is"], features)[0])
    with torch.no_grad():
        told = theirs(ids[None]).logits[0]
    found = whole(loaded(place), ids)
    assert torch.allclose(found, told, atol=1e-4 * float(told.abs().max()))
    assert subwords.text_of([int(found[-1].argmax())], features) == " Rome"
