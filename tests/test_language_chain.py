"""Texts through all nine stages, on toys: a GPT that learns to answer, exported, served without torch, asked by OpenAI's own client."""

from __future__ import annotations

import json

import polars as pl
import pytest

from modelyard import Blueprint
from modelyard.blueprint.business import Business
from modelyard.report.world import World
from modelyard.run import NAMES, Build, run
from modelyard.serve.client import running
from modelyard.units import quantity
from tests.report_laws import faults_of, free_numbers, parse

pytest.importorskip("torch")
pytest.importorskip("openvino")
ANIMALS = ("cat", "dog", "owl", "fox", "hen", "cow", "bee", "ant")
PLACES = ("mat", "roof", "moon", "tree", "barn", "lake")


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("texts")
    rows = [
        {"question": f"Where is the {animal} today, number {number}?", "answer": f"On the {PLACES[place % len(PLACES)]}, says the {animal}."}
        for number in range(30)
        for place, animal in enumerate(ANIMALS)
    ]  # fmt: skip
    pl.DataFrame(rows).write_csv(folder / "rows.csv")
    gpt = {
        "tokenizer": "characters",
        "context": 96,
        "layers": 2,
        "heads": 2,
        "width": 48,
        "dropout": 0.0,
        "epochs": 18,
        "batch_rows": 8,
    }
    blueprint = Blueprint.build(
        name="small-talk", task="text-generation", size="tiny", data={"source": str(folder / "rows.csv"), "target": "answer"},
        prepare={"near_duplicates": None}, train={"budget": "5 min", "candidates": {"gpt": gpt}}, generate={"max_tokens": 48},
        compress={"methods": {"decoder-int8": {}}}, serve={"p95": "2 s"},
        audit={"checks": {"robustness": {"fail_ratio": None}}},  # a toy learns letters by heart: shown, not stopped
    )  # fmt: skip
    return run(blueprint, folder / "build")


def test_every_stage_leaves_its_record(build: Build) -> None:
    assert set(build.records) == set(NAMES)
    assert not build.failed


def test_the_gpt_beats_what_counts_bytes(build: Build) -> None:
    trained = json.loads((build.folder / "train.json").read_text())
    assert trained["weights"] == {"gpt": 1.0} and trained["weighting"] == "single"
    figures = {one["name"]: one["validation"]["bits_per_byte"]["value"] for one in trained["candidates"]}
    assert figures["gpt"] < figures["ngram"] < figures["dummy"]


def test_what_was_written_is_measured_beside_what_was_wanted(build: Build) -> None:
    writing = json.loads((build.folder / "evaluate.json").read_text())["writing"]
    assert writing["answered"] and set(writing["candidates"]) == {"gpt", "ngram"}
    assert {"chrf", "bleu", "copied"} <= set(writing["chosen"]["figures"])
    assert writing["chosen"]["figures"]["chrf"]["value"] > writing["candidates"]["ngram"]["figures"]["chrf"]["value"]
    assert writing["wanted"]["figures"]["copied"]["value"] == 1.0  # "Where" repeats; every answer stands in training


def test_the_exported_decoder_predicts_as_the_trained_one(build: Build) -> None:
    compressed = json.loads((build.folder / "compress.json").read_text())
    (variant,) = compressed["variants"]
    assert variant["status"] == "measured" and variant["agreement"] >= 0.995
    artifact = json.loads((build.package / "artifact.json").read_text())
    assert [member["session"] for member in artifact["members"]] == ["openvino-decoder"]
    assert not list(build.package.rglob("weights.safetensors"))


def test_openais_client_is_answered_as_rows_are(build: Build) -> None:
    openai = pytest.importorskip("openai")
    question = "Where is the owl today, number 31?"
    with running(build.package) as service:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{service.port}/v1", api_key=service.key, max_retries=0)
        (model,) = client.models.list().data
        asked = {"model": model.id, "prompt": question + "\n", "temperature": 0, "max_tokens": 48}
        whole = client.completions.create(**asked)
        streamed = "".join(chunk.choices[0].text for chunk in client.completions.create(**asked, stream=True))
        status, body = service.ask("POST", "/v1/predict", json.dumps({"rows": [{"question": question}]}).encode())
        answer = json.loads(body)
        with pytest.raises(openai.BadRequestError, match="conversation"):
            client.chat.completions.create(model=model.id, messages=[{"role": "user", "content": question}])
    assert status == 200 and "owl" in answer["answers"][0]["answer"]
    assert whole.choices[0].text.strip() == streamed.strip() == answer["answers"][0]["answer"]
    assert answer["usage"] == {"input token": whole.usage.prompt_tokens, "output token": whole.usage.completion_tokens}


def test_the_report_shows_what_was_written_and_nothing_loose(build: Build) -> None:
    text = build.report.read_text(encoding="utf-8")
    assert "chrF" in text and "says the" in text
    world = World.open(build.folder, "en")
    page = parse(text)
    assert faults_of(page, world) == []
    assert free_numbers(page, world) == []


def test_tokens_read_and_written_have_prices_of_their_own(build: Build) -> None:
    served, valued = (json.loads((build.folder / f"{name}.json").read_text()) for name in ("serve", "business"))
    stream = served["measured_stream"]
    assert stream["path"] == "/v1/completions" and set(served["measured_units"]) == {"input token", "output token"}
    assert quantity(stream["first_token"]["p50"]) <= quantity(stream["first_token"]["p95"])
    assert 0 < quantity(stream["reading"]).value < 1
    units = {one["unit"]: one for one in valued["measured_units"]}
    costs = [
        quantity(one["cost"]["likely"]).value / one["lot"] * quantity(one["per_request"]).value
        for one in units.values()
    ]
    request = quantity(valued["measured_costs"]["per_request"]["likely"]).value
    overhead = Business().hosting_overhead.likely
    assert sum(costs) == pytest.approx(request * (1 + overhead), rel=1e-4)
