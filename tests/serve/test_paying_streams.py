"""What a language model's answers cost: through OpenAI's endpoints, whole, streamed and broken off."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serve_helpers import make_key, until


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
