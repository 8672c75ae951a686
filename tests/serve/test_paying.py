"""A real server with accounts: who is let in, what is billed, and what happens when it is killed."""

from __future__ import annotations

import json
import sqlite3
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve_helpers import ROW, Running, make_key, make_package, until

Launch = Callable[..., Running]


class Business:
    """A served package with accounts, and its administrator."""

    def __init__(
        self, launch: Launch, package: Path, state: Path, *, workers: int = 1, environment: dict[str, str] | None = None
    ) -> None:
        self._environment = environment or {}
        self._launch, self._command, self.state = launch, [
            "-m", "modelyard.serve.server", str(package), "--state", str(state), "--workers", str(workers),
        ], state  # fmt: skip
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it, on the same port as before."""
        self.running = self._launch(*self._command, "--port", str(self.port), **self._environment)
        self.url = self.running.url
        self.port = int(self.url.rpartition(":")[2])
        token = (self.state / "admin.token").read_text().strip()
        self.admin = httpx.Client(base_url=self.url, timeout=30, headers={"Authorization": f"Bearer {token}"})
        until(lambda: self.admin.get("/readyz").status_code == 200)

    def kill(self) -> None:
        """kill -9 of every process."""
        self.running.process.kill()
        self.running.process.wait()

    def customer(self, plan: str, **key: Any) -> tuple[str, httpx.Client]:
        """A new customer's id, and a client with a key of theirs."""
        made = self.admin.post("/admin/customers", json={"name": f"Customer of {plan}", "plan": plan})
        assert made.status_code == 200, made.text
        issued = self.admin.post(f"/admin/customers/{made.json()['id']}/keys", json=key)
        assert issued.status_code == 200, issued.text
        return made.json()["id"], self.client(issued.json()["key"])

    def client(self, key: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, headers={"Authorization": f"Bearer {key}"})

    def used(self, customer: str, *, tariff: str = "standard") -> int:
        """Requests billed this month."""
        lines = self.admin.get(f"/admin/customers/{customer}/usage").json()["usage"]
        return sum(line["used"] for line in lines if line["unit"] == "request" and line["tariff"] == tariff)


@pytest.fixture(scope="module")
def package(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_package(model_folder, tmp_path_factory.mktemp("package") / "v1")


@pytest.fixture(scope="module")
def business(package: Path, tmp_path_factory: pytest.TempPathFactory, launch: Launch) -> Iterator[Business]:
    yield Business(launch, package, tmp_path_factory.mktemp("state"))


def ask(client: httpx.Client, *, once: str | None = None, row: Any = None) -> httpx.Response:
    headers = {} if once is None else {"Idempotency-Key": once}
    return client.post("/v1/predict", json={"row": row or ROW}, headers=headers)


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


def test_sums_are_right_after_many_kills(package: Path, tmp_path: Path, launch: Launch) -> None:
    """Clients repeat each request with its key until it succeeds, while the service is killed again and again."""
    business = Business(launch, package, tmp_path / "state")
    customer, client = business.customer("pro")
    stop, received = threading.Event(), dict[str, bytes]()

    def caller(name: int) -> None:
        number = 0
        while not stop.is_set():
            key = f"{name}-{number}"
            while key not in received:
                try:
                    with httpx.Client(base_url=business.url, timeout=5, headers=client.headers) as mine:
                        answer = ask(mine, once=key)
                except httpx.HTTPError:
                    time.sleep(0.02)
                    continue
                if answer.status_code == 200:
                    received[key] = answer.content
                else:
                    assert answer.status_code in (409, 429, 503), answer.text
                    time.sleep(0.02)
            number += 1

    threads = [threading.Thread(target=caller, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for number in range(4):
        time.sleep(0.4 + 0.11 * number)
        business.kill()
        business.start()
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    assert business.used(customer) == len(received) > 20
    some = sorted(received)[:: max(1, len(received) // 10)]
    assert all(ask(client, once=key).content == received[key] for key in some)
    assert business.used(customer) == len(received)
    with sqlite3.connect(business.state / "accounts.db") as database:
        (entries,) = database.execute("SELECT count(*) FROM entries WHERE kind = 'use'").fetchone()
    assert entries == len(received)


def test_two_replicas_share_customers_quota_and_bill(
    package: Path, tmp_path: Path, launch: Launch, postgres: Any
) -> None:
    """Two services with state folders of their own on one PostgreSQL, as on two hosts; one of them is killed."""
    import base64

    shared = {"MODELYARD_DATABASE": postgres.new(), "MODELYARD_ANSWERS_KEY": base64.b64encode(b"k" * 32).decode()}
    first, second = (Business(launch, package, tmp_path / name, environment=shared) for name in ("first", "second"))
    customer, client = first.customer("endless")
    limited, few = first.customer("free")
    there = second.client(client.headers["Authorization"].removeprefix("Bearer "))
    one = ask(client, once="shared 1")
    assert ask(there, once="shared 1").content == one.content
    assert ask(there, once="shared 1").headers["idempotent-replayed"] == "true"
    answered: list[int] = []

    def call(url: str) -> None:
        for _ in range(15):
            with httpx.Client(base_url=url, timeout=30, headers=few.headers) as mine:
                answered.append(ask(mine).status_code)

    threads = [threading.Thread(target=call, args=(each.url,)) for each in (first, second, first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answered.count(200) == second.used(limited) <= 20 and set(answered) == {200, 429}
    first.kill()
    assert ask(there, once="shared 2").status_code == 200
    assert second.used(customer) == 2


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


def test_only_named_sites_may_ask_from_a_browser_and_docs_can_be_closed(package: Path, tmp_path: Path) -> None:
    from starlette.testclient import TestClient

    from modelyard.serve.app import create_app
    from modelyard.serve.gate import Gate
    from modelyard.serve.opening import open_service

    app = create_app(open_service(package), origins=["https://shop.example"], docs=False, gate=Gate(admin_token="t"))
    with TestClient(app) as client:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        known = client.options("/v1/predict", headers={"Origin": "https://shop.example", **asked})
        assert known.headers["access-control-allow-origin"] == "https://shop.example"
        other = client.options("/v1/predict", headers={"Origin": "https://evil.example", **asked})
        assert "access-control-allow-origin" not in other.headers
        assert client.get("/docs").status_code == client.get("/openapi.json").status_code == 401
        assert client.get("/docs", headers={"Authorization": "Bearer t"}).status_code == 200
    with TestClient(create_app(open_service(package))) as client:
        assert "access-control-allow-origin" not in client.get("/docs", headers={"Origin": "https://a.example"}).headers


def test_https_with_files_of_ones_own(package: Path, tmp_path: Path, launch: Launch) -> None:
    import subprocess

    from modelyard.errors import UserError
    from modelyard.serve.server import serve

    made = tmp_path / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(tmp_path / "key.pem"), "-out", str(made)],
        check=True, capture_output=True,
    )  # fmt: skip
    with pytest.raises(UserError, match="cannot be used"):
        serve(package, certificate=made, port=0)
    with pytest.raises(UserError, match="and no certificate"):
        serve(package, certificate_key=made, port=0)
    running = launch(
        "-m", "modelyard.serve.server", str(package), "--port", "0", "--certificate", str(made), "--certificate-key",
        str(tmp_path / "key.pem"),
    )  # fmt: skip
    assert running.url.startswith("https://")
    with httpx.Client(verify=ssl.create_default_context(cafile=str(made)), timeout=20) as client:
        until(lambda: client.get(f"{running.url}/readyz").status_code == 200)
        assert client.post(f"{running.url}/v1/predict", json={"row": ROW}).status_code == 200


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """Address, key, state folder."""
    import asyncio

    import uvicorn
    from writing_service import application

    from modelyard.accounts.database import open_database
    from modelyard.accounts.plans import Plan, add_plan
    from modelyard.accounts.state import State
    from modelyard.serve.gate import Gate
    from modelyard.serve.server import _bound, _gate

    state = tmp_path_factory.mktemp("spoken")
    with open_database(State(state).database) as database, database.write() as held:
        add_plan(held, Plan(name="endless", currency="USD", price="0", prices={"output token": "2"}))
    app = application(pause=0.01, gate=_gate(state))
    assert isinstance(app.gate, Gate) and not app.gate.open
    with _bound("127.0.0.1", 0) as sock:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])))
        thread.start()
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        until(lambda: server.started and httpx.get(f"{url}/readyz").status_code == 200)
        yield url, make_key(state), state
        server.should_exit = True
        thread.join()


class TestStreams:
    """A language model's answers, through OpenAI's endpoints, with accounts in this process."""

    def used(self, state: Path) -> dict[str, int]:
        """Everything that was billed, by unit."""
        with sqlite3.connect(state / "accounts.db") as database:
            return dict(database.execute("SELECT unit, sum(used) FROM balances GROUP BY unit").fetchall())

    def test_the_openai_client_pays_for_tokens(self, spoken: tuple[str, str, Path]) -> None:
        import openai

        url, key, state = spoken
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=f"{url}/v1", api_key="yard_a_b").completions.create(model="speaker", prompt="the")
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        before = self.used(state)
        whole = client.completions.create(model="speaker", prompt="the cat", max_tokens=8, seed=1)
        told = None
        for chunk in client.completions.create(
            model="speaker", prompt="the cat", max_tokens=8, seed=1, stream=True, stream_options={"include_usage": True}
        ):
            told = chunk.usage or told
        after = self.used(state)
        assert told is not None and whole.usage is not None
        for unit, ours in (("input token", "prompt_tokens"), ("output token", "completion_tokens")):
            paid = after[unit] - before.get(unit, 0)
            assert paid == getattr(whole.usage, ours) + getattr(told, ours)
        assert after["request"] - before.get("request", 0) == 2

    def test_a_stream_is_billed_once_and_told_again_for_its_key(self, spoken: tuple[str, str, Path]) -> None:
        url, key, state = spoken
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "verse 1"}
        body = {"model": "speaker", "prompt": "the owl", "max_tokens": 6, "stream": True}
        before = self.used(state)
        first = httpx.post(f"{url}/v1/completions", json=body, headers=headers, timeout=30)
        paid = self.used(state)
        again = httpx.post(f"{url}/v1/completions", json=body, headers=headers, timeout=30)
        assert first.status_code == again.status_code == 200
        assert again.content == first.content and first.content.endswith(b"data: [DONE]\n\n")
        assert self.used(state) == paid != before

    def test_who_leaves_a_stream_pays_for_what_was_handed_out(self, spoken: tuple[str, str, Path]) -> None:
        url, key, state = spoken
        before = self.used(state)["output token"]
        body = {"model": "speaker", "prompt": "the dog", "max_tokens": 200, "stream": True, "seed": 3}
        received = 0
        with httpx.stream(
            "POST", f"{url}/v1/completions", json=body, headers={"Authorization": f"Bearer {key}"}
        ) as answer:
            for line in answer.iter_lines():
                received += line.startswith("data: {")
                if received == 5:
                    break
        until(lambda: self.used(state)["output token"] > before)
        paid = self.used(state)["output token"] - before
        assert 5 <= paid <= 5 + 8, paid  # what was on its way when the client left was handed out too
        with sqlite3.connect(state / "accounts.db") as database:
            assert database.execute("SELECT count(*) FROM reservations").fetchone() == (0,)

    def test_an_answer_that_breaks_here_is_not_billed(self, spoken: tuple[str, str, Path]) -> None:
        from writing_service import BREAKS

        url, key, state = spoken
        before = self.used(state)
        body = {"model": "speaker", "prompt": f"the {BREAKS}", "max_tokens": 4}
        answer = httpx.post(f"{url}/v1/completions", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=30)
        assert answer.status_code == 500
        assert self.used(state) == before
