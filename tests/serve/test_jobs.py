"""Batch jobs on a real server: answered in order, billed at their tariff, gone on with after a kill."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from paying_service import Business
from serve_helpers import ROW, Running, make_package, until

Launch = Callable[..., Running]


@pytest.fixture(scope="module")
def business(model_folder: Path, tmp_path_factory: pytest.TempPathFactory, launch: Launch) -> Iterator[Business]:
    folder = tmp_path_factory.mktemp("jobs")
    yield Business(launch, make_package(model_folder, folder / "v1"), folder / "state")


def rows(count: int) -> bytes:
    return b"".join(json.dumps({**ROW, "age": 18 + number % 70}).encode() + b"\n" for number in range(count))


def finished(client: httpx.Client, identity: str) -> dict[str, Any]:
    until(lambda: client.get(f"/v1/jobs/{identity}").json().get("ended"))
    told: dict[str, Any] = client.get(f"/v1/jobs/{identity}").json()
    return told


def results(client: httpx.Client, identity: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.get(f"/v1/jobs/{identity}/results").text.splitlines()]


def test_rows_are_answered_in_order_as_one_by_one_and_billed_as_a_batch(business: Business) -> None:
    customer, client = business.customer("pro")
    made = client.post("/v1/jobs", content=rows(150), headers={"Content-Type": "application/x-ndjson"})
    assert (made.status_code, made.json()["rows"]) == (202, 150)
    told = finished(client, made.json()["id"])
    assert (told["status"], told["done"], told["failed"]) == ("done", 150, 0)
    answers = results(client, told["id"])
    assert [answer["row"] for answer in answers] == list(range(150))
    one = client.post("/v1/predict", json={"row": {**ROW, "age": 18 + 7}}).json()["answers"][0]
    assert answers[7]["answer"] == one["answer"]
    assert answers[7]["probabilities"] == pytest.approx(one["probabilities"], abs=1e-6)
    assert (business.used(customer, tariff="batch"), business.used(customer)) == (150, 1)
    assert [job["id"] for job in client.get("/v1/jobs").json()["jobs"]] == [told["id"]]


def test_csv_and_rows_that_cannot_be_answered(business: Business) -> None:
    customer, client = business.customer("pro")
    text = "age,job,member,joined,note\n42,clerk,true,2021-05-01,paid\nold,clerk,true,2021-05-01,late\n,,,,\n30,smith,false,2020-01-01,late\n"
    made = client.post("/v1/jobs", content=text.encode(), headers={"Content-Type": "text/csv"}).json()
    told = finished(client, made["id"])
    assert (told["status"], told["done"], told["failed"]) == ("done", 4, 2)
    first, second, third, fourth = results(client, made["id"])
    assert "answer" in first and "answer" in fourth
    assert second["field"] == "age" and "must be a number" in second["error"] and "value" in third["error"]
    assert business.used(customer, tariff="batch") == 2


def test_the_same_key_is_the_same_job_and_nobody_else_sees_it(business: Business) -> None:
    _, client = business.customer("pro")
    _, stranger = business.customer("pro")
    headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "night of 22"}
    first, again = (client.post("/v1/jobs", content=rows(3), headers=headers).json() for _ in range(2))
    assert first["id"] == again["id"]
    for path in (f"/v1/jobs/{first['id']}", f"/v1/jobs/{first['id']}/results", "/v1/jobs/../../admin.token"):
        assert stranger.get(path).status_code == 404
    assert stranger.delete(f"/v1/jobs/{first['id']}").status_code == 404
    finished(client, first["id"])
    assert client.delete(f"/v1/jobs/{first['id']}").status_code == 200
    assert client.get(f"/v1/jobs/{first['id']}").status_code == 404


def test_what_is_no_file_of_rows_is_refused(business: Business) -> None:
    _, client = business.customer("pro")

    def refused(content: bytes, media: str = "application/x-ndjson") -> tuple[int, str]:
        answer = client.post("/v1/jobs", content=content, headers={"Content-Type": media})
        return answer.status_code, answer.json()["error"]["message"]

    assert refused(b"") == (400, "the file holds no row. Send JSON Lines, or CSV (Content-Type: text/csv) with a head.")
    assert refused(rows(2) + b"{")[0] == 400 and "line 3" in refused(rows(2) + b"{")[1]
    assert "line 1" in refused(b"[1, 2]")[1]
    assert "byte 1" in refused(b"{\xff}")[1]
    assert client.post("/v1/jobs?model=other", content=rows(1)).status_code == 404
    _, reader = business.customer("pro", scopes=["predict"])
    assert reader.post("/v1/jobs", content=rows(1)).status_code == 403


def test_a_quota_stops_a_job_and_says_so(business: Business) -> None:
    customer, client = business.customer("free")
    made = client.post("/v1/jobs", content=rows(64)).json()
    told = finished(client, made["id"])
    assert told["status"] == "stopped" and "the plan has" in told["reason"]
    assert business.used(customer, tariff="batch") == told["done"] == len(results(client, made["id"])) == 0


def test_a_killed_service_goes_on_and_bills_nothing_twice(model_folder: Path, tmp_path: Path, launch: Launch) -> None:
    business = Business(launch, make_package(model_folder, tmp_path / "v1"), tmp_path / "state")
    customer, client = business.customer("endless")
    made = client.post("/v1/jobs", content=rows(6000)).json()
    for _ in range(3):
        until(lambda: client.get(f"/v1/jobs/{made['id']}").json()["done"] > 0)
        time.sleep(0.05)
        business.kill()
        with (business.state / "jobs" / made["id"] / "results.jsonl").open("ab") as file:
            file.write(b'{"row": 3')  # as a kill amid writing leaves it
        business.start()
    told = finished(client, made["id"])
    assert (told["status"], told["done"]) == ("done", 6000)
    assert [answer["row"] for answer in results(client, made["id"])] == list(range(6000))
    assert business.used(customer, tariff="batch") == 6000
