"""The sums of a service that is killed again and again, and of two that share one database."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from paying_service import Business, Launch, ask


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
