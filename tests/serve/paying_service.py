"""A served package with accounts, and those who ask it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from serve_helpers import ROW, Running, until

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


def ask(client: httpx.Client, *, once: str | None = None, row: Any = None) -> httpx.Response:
    headers = {} if once is None else {"Idempotency-Key": once}
    return client.post("/v1/predict", json={"row": row or ROW}, headers=headers)
