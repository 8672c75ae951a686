"""A pretrained language model through all nine stages, on toys: as it comes, and with adapters that are merged, exported and asked to chat."""

from __future__ import annotations

import json

import polars as pl
import pytest

from modelyard import Blueprint
from modelyard.report.world import World
from modelyard.run import NAMES, Build, run
from modelyard.serve.client import running
from tests.report_laws import faults_of, free_numbers, parse
from tests.toys import write_llama

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("openvino")
SYSTEM = "Say the other word."
PAIRS = {"thank": "you", "late": "again", "good": "well", "late again": "all", "well": "late", "you": "thank", "all": "good", "again": "well"}  # fmt: skip


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("assistant")
    llama = write_llama(folder)
    rows = [
        {"question": f"{word} {number}", "answer": f"{other}."} for number in range(25) for word, other in PAIRS.items()
    ]
    pl.DataFrame(rows).write_csv(folder / "rows.csv")
    shared = {"model": "pretrained-language", "pretrained": str(llama), "system": SYSTEM, "context": 96}
    tuned = {"tuning": "lora", "rank": 16, "learning_rate": 1e-2, "epochs": 14, "batch_rows": 4}
    blueprint = Blueprint.build(
        name="other-word", task="text-generation", size="tiny", data={"source": str(folder / "rows.csv"), "target": "answer"},
        prepare={"near_duplicates": None},
        train={"budget": "5 min", "candidates": {"before": {**shared, "tuning": "none"}, "after": {**shared, **tuned}}},
        generate={"max_tokens": 16}, compress={"methods": {"decoder-int8": {}}},
        audit={"checks": {"robustness": {"fail_ratio": None}}},  # a toy: shown, not stopped
    )  # fmt: skip
    return run(blueprint, folder / "build")


def test_every_stage_leaves_its_record(build: Build) -> None:
    assert set(build.records) == set(NAMES)
    assert not build.failed


def test_after_is_better_than_before_and_both_are_written(build: Build) -> None:
    trained = json.loads((build.folder / "train.json").read_text())
    assert trained["weights"] == {"after": 1.0}
    evaluated = json.loads((build.folder / "evaluate.json").read_text())
    bits = {name: one["metrics"]["bits_per_byte"]["value"] for name, one in evaluated["candidates"].items()}
    assert bits["after"] < bits["before"]
    before, after = (evaluated["writing"]["candidates"][name] for name in ("before", "after"))
    assert after["differences"]["chrf"]["value"] == 0.0
    apart = before["differences"]["chrf"]
    assert apart["value"] == pytest.approx(after["figures"]["chrf"]["value"] - before["figures"]["chrf"]["value"])
    assert apart["low"] > 0, "clearly above"
    assert evaluated["writing"]["chosen"]["differences"] == {}


def test_the_adapter_stays_in_the_build_and_its_merge_is_recorded(build: Build) -> None:
    trained = json.loads((build.folder / "train.json").read_text())
    (job,) = next(one["jobs"] for one in trained["candidates"] if one["name"] == "after")
    assert 0 < job["facts"]["merge_difference"] <= 1e-3 and job["facts"]["merge_rows"] == 8
    assert job["facts"]["trainable"] < job["facts"]["parameters"]
    place = build.folder / job["folder"] / job["facts"]["adapter"]
    assert {file.name for file in place.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    assert not list(build.package.rglob("adapter*")) and not list(build.package.rglob("weights.safetensors"))


def test_a_conversation_is_answered_as_a_row_is(build: Build) -> None:
    openai = pytest.importorskip("openai")
    asked = "late 7"
    with running(build.package) as service:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{service.port}/v1", api_key=service.key, max_retries=0)
        (model,) = client.models.list().data
        given = {
            "model": model.id,
            "messages": [{"role": "user", "content": asked}],
            "temperature": 0,
            "max_tokens": 16,
        }
        whole = client.chat.completions.create(**given)
        pieces = [
            chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**given, stream=True)
        ]
        status, body = service.ask("POST", "/v1/predict", json.dumps({"rows": [{"question": asked}]}).encode())
        answer = json.loads(body)
    assert status == 200
    text = whole.choices[0].message.content
    assert text.strip() == "".join(pieces).strip() == answer["answers"][0]["answer"] == "again."
    assert answer["usage"] == {"input token": whole.usage.prompt_tokens, "output token": whole.usage.completion_tokens}


def test_the_report_names_the_adapter_and_nothing_loose(build: Build) -> None:
    text = build.report.read_text(encoding="utf-8")
    assert "PEFT" in text and "chosen minus this, chrF" in text
    world = World.open(build.folder, "en")
    page = parse(text)
    assert faults_of(page, world) == []
    assert free_numbers(page, world) == []
