"""True labels that come back: joined to what was answered, by the customer that asked, on real servers with two workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from paying_service import Business
from serve_helpers import ROW, Running, make_key, make_package, until

from modelyard.packages import write_hashes
from modelyard.serve.labels import Labels, database
from modelyard.store import read_json, write_json

Launch = Callable[..., Running]
ROWS = [{**ROW, "age": 20 + number} for number in range(4)]


@pytest.fixture(scope="module")
def business(model_folder: Path, tmp_path_factory: pytest.TempPathFactory, launch: Launch) -> Iterator[Business]:
    package = make_package(model_folder, tmp_path_factory.mktemp("package") / "v1")
    promised = {"value": 0.9, "low": 0.85, "high": 0.94, "level": 0.95}
    write_json(package / "package.json", read_json(package / "package.json") | {"metrics": {"accuracy": promised}})
    write_hashes(package)
    yield Business(launch, package, tmp_path_factory.mktemp("state"), workers=2)


def ask(client: httpx.Client, rows: list[dict[str, Any]], id: str | None = None) -> tuple[str, list[str]]:
    """The id of a request, and what was answered."""
    answer = client.post("/v1/predict", json={"rows": rows}, headers={} if id is None else {"X-Request-ID": id})
    assert answer.status_code == 200, answer.text
    return answer.headers["x-request-id"], [one["answer"] for one in answer.json()["answers"]]


def other(label: str) -> str:
    return "bad" if label == "good" else "good"


def judged(business: Business) -> Any:
    answer = business.admin.get("/admin/quality")
    assert answer.status_code == 200, answer.text
    found = answer.json()["models"]
    return found[0] if found else {"rows": 0}


def test_a_label_is_joined_to_its_answer_and_the_latest_counts(business: Business) -> None:
    _, client = business.customer("endless")
    before = judged(business)["rows"]
    id, said = ask(client, ROWS)
    labels = [said[0], other(said[1]), None, said[3]]
    first = client.post("/v1/feedback", json={"request_id": id, "labels": labels})
    assert first.json() == {"request_id": id, "recorded": 3, "replaced": 0}
    again = client.post("/v1/feedback", json={"request_id": id, "labels": [said[0], said[1], None, said[3]]})
    assert again.json() == {"request_id": id, "recorded": 3, "replaced": 3}
    assert judged(business)["rows"] == before + 3


def test_nobody_else_can_judge_it_or_learn_that_it_exists(business: Business) -> None:
    _, client = business.customer("endless")
    _, stranger = business.customer("endless")
    id, said = ask(client, ROWS[:1])
    body = {"request_id": id, "label": said[0]}
    refused = stranger.post("/v1/feedback", json=body)
    unknown = stranger.post("/v1/feedback", json={"request_id": "never", "label": said[0]})
    assert refused.status_code == unknown.status_code == 404
    assert refused.json()["error"]["message"].replace(id, "ID") == unknown.json()["error"]["message"].replace("never", "ID")  # fmt: skip
    assert httpx.post(business.url + "/v1/feedback", json=body).status_code == 401
    assert client.post("/v1/feedback", json=body).status_code == 200
    # the same id, chosen by two customers, is two requests
    for one in (client, stranger):
        ask(one, ROWS[:2], id="chosen")
        assert (
            one.post("/v1/feedback", json={"request_id": "chosen", "labels": ["good", "bad"]}).json()["recorded"] == 2
        )


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"label": "godo"}, 422, "no class 'godo'. Did you mean \"good\"?"),
        ({"label": 3}, 422, "no class"),
        ({"labels": ["good", "good"]}, 422, "the request had 1 rows (got 2 labels)"),
        ({}, 422, "give label"),
        ({"label": "good", "labels": ["good"]}, 422, "give label"),
        ({"label": "good", "nonsense": 1}, 422, "nonsense"),
    ],
)
def test_what_cannot_be_a_label_is_told(business: Business, body: dict[str, Any], status: int, told: str) -> None:
    _, client = business.customer("endless")
    id, _ = ask(client, ROWS[:1])
    answer = client.post("/v1/feedback", json={"request_id": id, **body})
    assert answer.status_code == status, answer.text
    assert told.split(".")[0] in answer.text.replace('\\"', '"')


def test_a_model_that_gets_worse_is_told_with_evidence(business: Business) -> None:
    _, client = business.customer("endless")
    for _ in range(12):
        id, said = ask(client, [ROW] * 50)
        labels = [other(said[0])] * 45 + said[45:]
        assert client.post("/v1/feedback", json={"request_id": id, "labels": labels}).status_code == 200
    found = judged(business)
    assert found["below"] and found["high"] < 0.85 and found["expected"]["metric"] == "accuracy"
    assert found["low"] < found["value"] < found["high"] and found["rows"] >= 600


def test_labels_survive_a_kill(business: Business) -> None:
    _, client = business.customer("endless")
    id, said = ask(client, ROWS[:1])
    assert client.post("/v1/feedback", json={"request_id": id, "label": said[0], "consent": True}).status_code == 200
    rows = judged(business)["rows"]
    later, _ = ask(client, ROWS[:1])
    time.sleep(0.6)  # written down within a fifth of a second
    business.kill()
    business.start()
    assert judged(business)["rows"] == rows
    client = business.client(client.headers["Authorization"].removeprefix("Bearer "))
    assert client.post("/v1/feedback", json={"request_id": later, "label": "good"}).status_code == 200


def test_what_was_asked_is_not_written_down(business: Business) -> None:
    _, client = business.customer("endless")
    id, said = ask(client, [{**ROW, "note": "SECRET-NOTE"}])
    assert client.post("/v1/feedback", json={"request_id": id, "label": said[0]}).status_code == 200
    for file in business.state.glob("labels.db*"):
        assert b"SECRET-NOTE" not in file.read_bytes()


def test_only_rows_with_consent_are_exported(tmp_path: Path) -> None:
    labels = Labels(database(tmp_path))
    from modelyard.serve.labels import Label

    one = Label("acme", "r1", 0, 0, "m", "1", "good", "bad", False, True)
    labels.judge([one, Label("acme", "r2", 0, 0, "m", "1", "good", "good", True, False)])
    found = labels.consented()
    assert [(each.request, each.truth) for each in found] == [("r1", "bad")] and labels.consented("other") == []
    assert labels.counts() == {("m", "1"): (1, 2)}
    labels.judge([Label("acme", "r1", 0, 0, "m", "1", "good", "bad", False, False)])  # taken back
    assert labels.consented() == []
    labels.stop()


def test_old_answers_are_forgotten_and_too_many_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelyard.serve import labels as module

    found = Labels(database(tmp_path))
    found.add("r", customer="c", model="m", version="1", answers=[{"answer": 1.5}, {"answer": "x" * 501}])
    kept = found.said("c", "r")
    assert kept is not None and kept.said == (1.5, None)
    found.add("image", customer="c", model="m", version="1", answers=[{"answer": b"png"}])
    assert found.said("c", "image") is None
    monkeypatch.setattr(module, "KEEP", -1)
    found.forget()
    assert found.said("c", "r") is None
    monkeypatch.setattr(module, "MOST_WAITING", 1)
    for number in range(3):
        found.add(f"r{number}", customer="c", model="m", version="1", answers=[{"answer": 1}])
    assert found.dropped == 2
    found.stop()


def test_labelled_rows_become_the_next_builds_data(model_folder: Path, tmp_path: Path, launch: Launch) -> None:
    import polars as pl
    from typer.testing import CliRunner

    from modelyard.cli import app
    from modelyard.client import Client

    state = tmp_path / "state"
    package = make_package(model_folder, tmp_path / "v1")
    running = launch("-m", "modelyard.serve.server", str(package), "--state", str(state), "--port", "0", "--keep-payloads", "1")  # fmt: skip
    until(lambda: httpx.get(running.url + "/readyz").status_code == 200)
    client = Client(running.url, key=make_key(state))
    for number, consent in enumerate((True, False)):
        answers = client.predict([{**ROW, "age": 30 + 10 * number}, ROW])
        assert client.feedback(answers[0].request_id, ["bad", None], consent=consent) == 1
    out = tmp_path / "next.csv"
    command = ["feedback", "export", "--state", str(state), "-o", str(out)]
    until(lambda: CliRunner().invoke(app, command).exit_code == 0)
    frame = pl.read_csv(out)
    assert frame["age"].to_list() == [30] and frame["standing"].to_list() == ["bad"]
    assert out.stat().st_mode & 0o077 == 0
    assert '"export_feedback"' in (state / "admin.jsonl").read_text()
    wrong = CliRunner().invoke(app, [*command[:-1], str(tmp_path / "next.xlsx")])
    assert wrong.exit_code != 0
