"""A real server with accounts: who is let in, what is billed, and what is told."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import httpx
import pytest
from paying_service import Business, ask
from serve_helpers import ROW


def test_nobody_is_let_in_without_a_key_that_is_right(business: Business) -> None:
    _, client = business.customer("pro")
    key = client.headers["Authorization"].removeprefix("Bearer ")
    assert ask(client).status_code == 200
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    for bad in ("yard_", "yard_nobody_nothing", wrong, key.replace("yard", "card"), "x" * 5000, key + "\u00e9"):
        answer = httpx.post(
            f"{business.url}/v1/predict", json={"row": ROW}, headers={"Authorization": f"Bearer {bad}".encode()}
        )
        assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer"), bad[:50]
        assert key[-20:] not in answer.text
    assert httpx.post(f"{business.url}/v1/predict", json={"row": ROW}).json()["error"]["type"] == "no_key"


@pytest.mark.parametrize(
    "path", ["/metrics", "/admin/live", "/admin/models", "/admin/customers", "/admin/plans", "/admin/customers/x/keys"]
)
def test_a_customers_key_opens_nothing_of_the_administrators(business: Business, path: str) -> None:
    _, client = business.customer("pro")
    assert client.get(path).status_code == 401
    assert httpx.get(business.url + path).status_code == 401
    assert business.admin.get(path).status_code in (200, 422)


def test_health_docs_and_console_need_no_key(business: Business) -> None:
    for path in ("/healthz", "/readyz", "/docs", "/openapi.json", "/console", "/v1/models"):
        assert httpx.get(business.url + path).status_code == 200, path


def test_what_is_answered_is_billed_once_whatever_is_repeated(business: Business) -> None:
    customer, client = business.customer("pro")
    first = ask(client, once="order 17")
    again = ask(client, once="order 17")
    assert (first.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true" and "idempotent-replayed" not in first.headers
    other = ask(client, once="order 17", row={**ROW, "age": 43})
    assert (other.status_code, other.json()["error"]["type"]) == (422, "idempotency_conflict")
    assert business.used(customer) == 1
    client.post("/v1/predict", json={"rows": [ROW] * 5})
    assert business.used(customer) == 6


def test_what_fails_is_not_billed(business: Business) -> None:
    customer, client = business.customer("pro")
    for body in ({"row": {"age": "old"}}, {"rows": []}, {"row": {"stranger": 1}}):
        assert client.post("/v1/predict", json=body, headers={"Idempotency-Key": "bad"}).status_code == 422
    assert client.post("/v1/predict", content=b"{").status_code == 400
    assert business.used(customer) == 0
    assert ask(client, once="bad").status_code == 200  # a refused request leaves its key free


def test_a_quota_holds_under_a_hundred_callers_at_once(business: Business) -> None:
    customer, client = business.customer("free")
    statuses: list[int] = []

    def call() -> None:
        with httpx.Client(base_url=business.url, timeout=60, headers=client.headers) as mine:
            statuses.append(ask(mine).status_code)

    threads = [threading.Thread(target=call) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    billed = business.used(customer)
    assert statuses.count(200) == billed <= 20
    assert set(statuses) == {200, 429}
    refused = ask(client)
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "quota_exceeded")
    assert int(refused.headers["retry-after"]) >= 1


def test_a_rate_limit_says_when_to_come_back(business: Business) -> None:
    _, client = business.customer("slow")
    answers = [ask(client) for _ in range(8)]
    assert [answer.status_code for answer in answers[:3]] == [200] * 3
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and refused[0].json()["error"]["type"] == "rate_limited"
    time.sleep(int(refused[-1].headers["retry-after"]))
    assert ask(client).status_code == 200


def test_the_list_of_customers_tells_plan_and_requests_of_each(business: Business) -> None:
    one, client = business.customer("pro")
    other, _ = business.customer("free")
    assert [ask(client).status_code for _ in range(3)] == [200] * 3
    listed = {each["id"]: each for each in business.admin.get("/admin/customers").json()["customers"]}
    assert (listed[one]["plan"], listed[one]["requests"]) == ("pro", 3)
    assert (listed[other]["plan"], listed[other]["requests"]) == ("free", 0)


def test_keys_are_rotated_revoked_and_scoped(business: Business) -> None:
    customer, client = business.customer("pro")
    _, reader = business.customer("pro", scopes=["usage"])
    assert (ask(reader).status_code, ask(reader).json()["error"]["type"]) == (403, "scope")
    (key,) = business.admin.get(f"/admin/customers/{customer}/keys").json()["keys"]
    rotated = business.admin.post(f"/admin/keys/{key['id']}/rotate", json={}).json()["key"]
    assert ask(client).status_code == 200 and ask(business.client(rotated)).status_code == 200
    business.admin.post(f"/admin/keys/{key['id']}/revoke", json={})
    assert ask(client).json()["error"]["type"] == "revoked"
    assert ask(business.client(rotated)).status_code == 200
    business.admin.post(f"/admin/customers/{customer}/close", json={})
    assert ask(business.client(rotated)).status_code == 401


def test_no_secret_is_written_anywhere(business: Business) -> None:
    _, client = business.customer("pro")
    assert ask(client, once="secret order").status_code == 200
    secret = client.headers["Authorization"].rpartition("_")[2].encode()
    token = (business.state / "admin.token").read_text().strip().encode()
    for file in business.state.rglob("*"):
        if file.is_file() and file.name not in ("admin.token", "answers.key") and "packages" not in file.parts:
            content = file.read_bytes()
            # the answers are kept encrypted, and what was asked is kept nowhere
            assert not any(word in content for word in (secret, token, b"probabilities", b"paid on time")), file.name
    log = business.running.log.read_text()
    assert secret.decode() not in log and token.decode() not in log
    actions = [json.loads(line)["action"] for line in (business.state / "admin.jsonl").read_text().splitlines()]
    assert {"add_customer", "issue_key"} <= set(actions)


def test_the_invoice_is_the_ledgers(business: Business) -> None:
    customer, client = business.customer("pro")
    for number in range(3):
        ask(client, once=f"line {number}")
    invoice = business.admin.get(f"/admin/customers/{customer}/invoice").json()
    assert business.used(customer) == 3
    assert json.dumps(invoice).count("29") and invoice["currency"] == "USD"
    for form, kind in (("html", "text/html"), ("csv", "text/csv"), ("pdf", "application/pdf")):
        answer = business.admin.get(f"/admin/customers/{customer}/invoice?format={form}")
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
    assert business.admin.get(f"/admin/customers/{customer}/invoice?format=exe").status_code == 422


def test_the_administrators_mistakes_are_told(business: Business) -> None:
    def refused(path: str, body: Any) -> str:
        answer = business.admin.post(path, json=body)
        assert answer.status_code == 422, answer.text
        return str(answer.json()["error"]["message"])

    assert "no plan 'prp'" in refused("/admin/customers", {"name": "A", "plan": "prp"})
    assert "stranger" in refused("/admin/customers", {"name": "A", "plan": "pro", "stranger": 1})
    assert "no customer" in refused("/admin/customers/nobody/keys", {})
    assert "no scope 'everything'" in refused(
        f"/admin/customers/{business.customer('pro')[0]}/keys", {"scopes": ["everything"]}
    )
    assert "no model" in refused("/admin/models/nothing/promote", {})
    assert "no trial" in refused("/admin/models/standing/promote", {})


def test_a_customer_reads_its_own_usage(business: Business) -> None:
    _, client = business.customer("free")
    ask(client)
    told = client.get("/v1/usage").json()
    assert (told["plan"], told["usage"], told["limits"]["request"]) == (
        "free",
        {"standard": {"request": 1}},
        told["limits"]["request"],
    )
    assert 0 < told["limits"]["request"] <= 20  # of the days that are left of the month
    assert httpx.get(f"{business.url}/v1/usage").status_code == 401
