"""`/v1/embeddings` of a real server over a text encoder with random weights, asked by OpenAI's client; and of its exported graphs."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from paying_service import Business
from serve_helpers import Running, client, make_encoder, make_package

from modelyard.models._vectors import VectorSession
from modelyard.predictor import Predictor
from tests.exporting import exported

openai = pytest.importorskip("openai")
pytest.importorskip("transformers")
TEXTS = ["all good", "bad order and a much longer text about it " * 4, "good", "it was bad, the worst of all"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoder") / "mails")


@pytest.fixture(scope="module")
def shop(encoder: Path, launch: Callable[..., Running], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Business]:
    package = make_package(encoder, tmp_path_factory.mktemp("package") / "v1", name="mails", example={"note": "good"})
    yield Business(launch, package, tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def bought(shop: Business) -> tuple[str, httpx.Client]:
    return shop.customer("endless")


@pytest.fixture(scope="module")
def api(shop: Business, bought: tuple[str, httpx.Client]) -> Iterator[Any]:
    key = bought[1].headers["Authorization"].removeprefix("Bearer ")
    with openai.OpenAI(base_url=shop.url + "/v1", api_key=key, max_retries=0) as made:
        yield made


def vectors(api: Any, given: Any, **options: Any) -> np.ndarray:
    found = api.embeddings.create(model="mails", input=given, **options)
    assert [each.index for each in found.data] == list(range(len(found.data)))
    return np.array([each.embedding for each in found.data], dtype=np.float32)


def test_a_text_has_one_vector_alone_and_among_others(api: Any, encoder: Path) -> None:
    together = vectors(api, TEXTS)
    assert together.shape == (4, 32) and np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=1e-6)
    alone = np.concatenate([vectors(api, text) for text in TEXTS])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    np.testing.assert_allclose(vectors(api, TEXTS[::-1]), together[::-1], atol=1e-5)
    here, _ = Predictor.open(encoder).embedder.vectors(TEXTS)
    np.testing.assert_allclose(here, together, atol=1e-5)
    cosines = together @ together.T
    assert cosines[0, 2] < 1 - 1e-4, "different texts have different vectors"


def test_base64_holds_the_same_numbers(api: Any, bought: tuple[str, httpx.Client]) -> None:
    raw = bought[1].post("/v1/embeddings", json={"model": "mails", "input": TEXTS, "encoding_format": "base64"}).json()
    read = np.array([np.frombuffer(base64.b64decode(each["embedding"]), dtype="<f4") for each in raw["data"]])
    np.testing.assert_array_equal(read, vectors(api, TEXTS, encoding_format="float"))
    np.testing.assert_array_equal(read, vectors(api, TEXTS))  # the client asks for base64 by itself


def test_what_the_answers_tell_is_what_is_billed(api: Any, bought: tuple[str, httpx.Client], encoder: Path) -> None:
    def billed() -> dict[str, int]:
        used: dict[str, int] = {}
        for units in bought[1].get("/v1/usage").json()["usage"].values():
            for unit, count in units.items():
                used[unit] = used.get(unit, 0) + count
        return used

    before = billed()
    tokens = [api.embeddings.create(model="mails", input=each).usage.prompt_tokens for each in (TEXTS, "good", "bad")]
    embedder = Predictor.open(encoder).embedder
    read = embedder.vectors(TEXTS)[1]
    assert read.max() == embedder.longest == 24, "a text is cut where the model cuts it"
    assert tokens == [read.sum(), *(embedder.vectors([text])[1].sum() for text in ("good", "bad"))]
    after = billed()
    assert after["input token"] - before.get("input token", 0) == sum(tokens)
    assert after["request"] - before.get("request", 0) == len(TEXTS) + 2


def test_a_repeated_key_is_answered_from_what_was_kept_and_billed_once(bought: tuple[str, httpx.Client]) -> None:
    once = {"Idempotency-Key": "embed 1"}
    body = {"model": "mails", "input": "good"}
    first, again = (bought[1].post("/v1/embeddings", json=body, headers=once) for _ in range(2))
    assert first.status_code == again.status_code == 200 and again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    elsewhere = bought[1].post("/v1/predict", json={"row": {"note": "good"}}, headers=once)
    assert elsewhere.status_code == 422, "the same key for another question"


@pytest.mark.parametrize(
    ("body", "status", "param", "says"),
    [
        ({"input": "good"}, 400, "model", "is required"),
        ({"model": "mails"}, 400, "input", "is required"),
        ({"model": "mails", "input": []}, 400, "input", "at least one"),
        ({"model": "mails", "input": ["good", " "]}, 400, "input", "place 1 is empty"),
        ({"model": "mails", "input": [1, 2, 3]}, 400, "input", "no token ids"),
        ({"model": "mails", "input": [[1], [2]]}, 400, "input", "no token ids"),
        ({"model": "mails", "input": ["a"] * 257}, 400, "input", "at most 256 texts"),
        ({"model": "mails", "input": "good", "dimensions": 8}, 400, "dimensions", "must be 32"),
        ({"model": "mails", "input": "good", "encoding_format": "int8"}, 400, "encoding_format", "must be"),
        ({"model": "mails", "input": "good", "truncate": True}, 400, "truncate", "unknown option"),
        ({"model": "nobody", "input": "good"}, 404, "model", "There is: 'mails'"),
    ],
)
def test_what_cannot_be_answered_is_refused_as_openai_does(
    bought: tuple[str, httpx.Client], body: dict[str, Any], status: int, param: str, says: str
) -> None:
    answer = bought[1].post("/v1/embeddings", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, param) and says in error["message"], error


def test_nobody_asks_without_a_key(shop: Business) -> None:
    answer = httpx.post(f"{shop.url}/v1/embeddings", json={"model": "mails", "input": "good"})
    assert answer.status_code == 401 and answer.json()["error"]["code"] == "no_key"


def test_a_model_that_is_no_encoder_says_so(server: Running) -> None:
    answer = client().post(f"{server.url}/v1/embeddings", json={"model": "standing", "input": "good"})
    assert answer.status_code == 404 and "needs a text encoder" in answer.json()["error"]["message"]


def test_its_own_size_may_be_asked_for_and_the_document_tells_it(api: Any, shop: Business) -> None:
    assert vectors(api, "good", dimensions=32).shape == (1, 32)
    document = httpx.get(f"{shop.url}/openapi.json").json()
    schema = document["components"]["schemas"]["EmbeddingRequest"]
    assert 32 in schema["properties"]["dimensions"]["enum"] and "/v1/embeddings" in document["paths"]


@pytest.mark.parametrize(
    ("method", "least"),
    [("onnx", 0.99999), ("openvino", 0.9999), ("onnx-int8", 0.98), ("openvino-int8-weights", 0.98)],
)
def test_exported_graphs_tell_the_trained_models_vectors(
    encoder: Path, tmp_path: Path, method: str, least: float
) -> None:
    from modelyard.sessions.torch import load_module

    predictor = Predictor.open(encoder)
    _, model, features, _, trained = predictor._members[0]
    arrays = model.read(TEXTS * 5, features)
    session = exported(
        model, load_module(encoder / "one", model, features, predictor.state), features, predictor.state, arrays, tmp_path,
        method=method,
    )  # fmt: skip
    assert isinstance(session, VectorSession) and isinstance(trained, VectorSession)
    mine, theirs = session.vectors(arrays), trained.vectors(arrays)
    cosines = (mine * theirs).sum(axis=1) / np.linalg.norm(mine, axis=1) / np.linalg.norm(theirs, axis=1)
    assert cosines.min() >= least, json.dumps(sorted(cosines.tolist())[:4])
    outputs = trained(arrays)
    assert np.abs(session(arrays) - outputs).max() < (1e-3 if least > 0.999 else 0.1) * np.abs(outputs).max()
