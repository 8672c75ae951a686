"""Kept requests: sealed, bounded, deleted in time, whole after a kill, and found by their id."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fortress import MAIL, Fortress
from paying_service import Business
from serve_helpers import COLUMNS, ROW, Running, heard, make_package
from typer.testing import CliRunner

from modelyard.cli import app as cli
from modelyard.errors import UserError
from modelyard.rows import from_records
from modelyard.serve import payloads
from modelyard.serve.payloads import FOLDER, INDEX, SEALED, Payloads, Reading, of_rows
from tests.toys import stripes

Launch = Callable[..., Running]
PICTURE = stripes(1)[0][1]


class Clock:
    """A time that is set."""

    now = 1.7e9

    def __call__(self) -> float:
        return self.now


def made(state: Path, **how: Any) -> tuple[Payloads, Clock]:
    """Payloads that are written when told to."""
    clock = Clock()
    found = Payloads(state, **{"days": 3, "clock": clock, **how})
    found.folder.mkdir(parents=True, exist_ok=True)
    return found, clock


def add(kept: Payloads, id: str, *, note: str = "paid on time", customer: str = "c1") -> None:
    rows = from_records([{**ROW, "note": note}], COLUMNS)
    kept.add(id, customer=customer, model="standing", version="1", read=of_rows(rows, [{"answer": "good"}]), size=100)


def files(state: Path, kind: str = SEALED) -> list[Path]:
    return sorted((state / FOLDER).glob(f"*{kind}"))


def test_what_is_kept_is_read_again_as_a_client_would_send_it(tmp_path: Path) -> None:
    kept, clock = made(tmp_path)
    for number in range(5):
        add(kept, f"request {number}", note=f"note {number} 猫")
        clock.now += 1
        kept._turn()
    found = list(Reading(tmp_path))
    assert [each.id for each in found] == [f"request {number}" for number in range(5)]
    assert found[3].rows[0]["note"] == "note 3 猫" and found[3].answers == ({"answer": "good"},)
    assert len(from_records(list(found[3].rows), COLUMNS)) == 1
    assert found[3].at == pytest.approx(1.7e9 + 3)
    assert not any(b"note" in file.read_bytes() or b"request" in file.read_bytes() for kind in (SEALED, INDEX) for file in files(tmp_path, kind))  # fmt: skip
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in (*files(tmp_path), tmp_path / "payloads.key"))


def test_a_request_is_found_by_its_id_the_latest_first(tmp_path: Path) -> None:
    kept, clock = made(tmp_path)
    for note, customer in (("first", "c1"), ("of another", "c2"), ("second", "c1")):
        add(kept, "same", note=note, customer=customer)
        clock.now += 4000  # another file each
        kept._turn()
    add(kept, "other")
    kept._turn()
    reading = Reading(tmp_path)
    assert len(files(tmp_path)) >= 3
    for customer, note in ((None, "second"), ("c1", "second"), ("c2", "of another")):
        found = reading.find("same", customer=customer)
        assert found is not None and found.rows[0]["note"] == note
    assert reading.find("nobody") is None and reading.find("same", customer="c3") is None
    for index in files(tmp_path, INDEX):  # without an index it is looked for everywhere
        index.unlink()
    found = reading.find("same", customer="c2")
    assert found is not None and found.rows[0]["note"] == "of another"


def test_a_file_that_ends_anywhere_is_read_up_to_there(tmp_path: Path) -> None:
    """Cut at every byte, as a kill may leave it: whole frames are read, nothing else, and nothing fails."""
    kept, _ = made(tmp_path)
    ends = [0]
    for number in range(3):
        add(kept, str(number))
        kept._turn()
        ends.append(files(tmp_path)[0].stat().st_size)
    (path,), content = files(tmp_path), files(tmp_path)[0].read_bytes()
    reading = Reading(tmp_path)
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        whole = sum(size >= end for end in ends[1:])
        assert len(list(reading)) == whole, size
        assert (reading.find("1") is not None) == (whole >= 2)
    assert reading.damaged == 0


def test_what_was_changed_exchanged_or_belongs_to_another_key_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    kept, _ = made(tmp_path)
    ends = [0]
    for number in range(3):
        add(kept, str(number))
        kept._turn()
        ends.append(files(tmp_path)[0].stat().st_size)
    (path,), content = files(tmp_path), files(tmp_path)[0].read_bytes()
    first, second, third = (content[begin:end] for begin, end in pairwise(ends))

    def readable(changed: bytes) -> tuple[list[str], int]:
        path.write_bytes(changed)
        reading = Reading(tmp_path)
        return [each.id for each in reading], reading.damaged

    assert readable(content) == (["0", "1", "2"], 0)
    flipped = bytearray(content)
    flipped[ends[1] + 50] ^= 1
    assert readable(bytes(flipped)) == (["0", "2"], 1)
    assert readable(second + first + third) == (["2"], 2)
    assert readable(b"\xff" * 100)[1] == 1
    path.write_bytes(content)
    path.rename(path.with_name(f"0{path.name}"))  # another file's frames
    assert list(Reading(tmp_path)) == []
    monkeypatch.setenv("MODELYARD_PAYLOAD_KEY", base64.b64encode(secrets.token_bytes(32)).decode())
    reading = Reading(tmp_path)
    assert list(reading) == [] and reading.damaged == 3
    monkeypatch.setenv("MODELYARD_PAYLOAD_KEY", "short")
    with pytest.raises(UserError, match="32 bytes"):
        Reading(tmp_path)


def test_reading_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no key of payloads"):
        Reading(tmp_path)
    assert not (tmp_path / "payloads.key").exists()


def test_files_go_when_their_days_are_over_whoever_wrote_them(tmp_path: Path) -> None:
    dead, clock = made(tmp_path, days=3)
    add(dead, "of a process that died")
    dead._turn()
    living, later = made(tmp_path, days=3)
    later.now = clock.now + 2.9 * 86_400
    add(living, "young")
    living._turn()
    assert len(files(tmp_path)) == len(files(tmp_path, INDEX)) == 2
    later.now = clock.now + 3 * 86_400 + 1
    living._turn()
    assert [each.id for each in Reading(tmp_path)] == ["young"] and len(files(tmp_path, INDEX)) == 1
    later.now += 3 * 86_400
    living._turn()
    assert files(tmp_path) == files(tmp_path, INDEX) == []
    add(living, "goes on")
    living._turn()
    assert [each.id for each in Reading(tmp_path)] == ["goes on"]


def test_all_files_together_are_bounded_the_oldest_go(tmp_path: Path) -> None:
    kept, clock = made(tmp_path, most_bytes=2500)
    for number in range(20):
        add(kept, str(number), note=secrets.token_hex(200))
        clock.now += 4000
        kept._turn()
    assert sum(file.stat().st_size for file in files(tmp_path)) <= 2500
    ids = [each.id for each in Reading(tmp_path)]
    assert ids == [str(number) for number in range(20 - len(ids), 20)] and 1 < len(ids) < 10


def test_a_disk_that_cannot_be_written_costs_what_waits_and_nothing_else(tmp_path: Path) -> None:
    kept, _ = made(tmp_path)
    kept.folder.rmdir()
    add(kept, "lost")
    kept._turn()  # told in the log
    kept.folder.mkdir()
    add(kept, "kept")
    kept._turn()
    assert [each.id for each in Reading(tmp_path)] == ["kept"]


def test_more_than_can_be_written_is_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "MOST_WAITING", 450)
    kept, _ = made(tmp_path)
    for number in range(7):
        add(kept, str(number))
    with heard() as records:
        kept._turn()
    assert [each.id for each in Reading(tmp_path)] == ["0", "1", "2", "3"]
    assert [one.facts for one in records if one.getMessage() == "payloads_dropped"] == [{"count": 3}]  # type: ignore[attr-defined]
    add(kept, "after")
    kept._turn()
    assert Reading(tmp_path).find("after") is not None


@pytest.mark.parametrize("days", [0, -1, float("nan"), 1e9])
def test_days_that_are_none(tmp_path: Path, days: float) -> None:
    with pytest.raises(UserError, match="days"):
        Payloads(tmp_path, days=days)


class Keeping(Business):
    """A served package that keeps payloads."""

    def start(self) -> None:
        if "--keep-payloads" not in self._command:
            self._command += ["--keep-payloads", "2"]
        super().start()


def test_a_killed_service_has_kept_all_but_the_last_second(model_folder: Path, tmp_path: Path, launch: Launch) -> None:
    package = make_package(model_folder, tmp_path / "v1")
    business = Keeping(launch, package, tmp_path / "state")
    customer, client = business.customer("endless")
    for round in range(3):
        began, ids = time.monotonic(), []
        while time.monotonic() - began < 0.4:
            answer = client.post("/v1/predict", json={"row": {**ROW, "note": f"secret {round}"}})
            ids.append((answer.json()["request_id"], time.monotonic()))
        time.sleep((0.0, 0.6, 1.3)[round])
        business.admin.close()
        business.kill()
        killed = time.monotonic()
        reading = Reading(business.state)
        kept = {each.id for each in reading}
        assert reading.damaged == 0
        assert {id for id, at in ids if at < killed - 1.4} <= kept  # the flush's second, and a slow machine's
        business.start()
    found = reading.find(ids[-1][0], customer=customer)
    assert found is not None and found.rows[0]["note"] == "secret 2" and found.answers[0]["answer"] in ("good", "bad")
    assert client.post("/v1/predict", json={"row": ROW}, headers={"Idempotency-Key": "a"}).status_code == 200
    assert client.post("/v1/predict", json={"row": ROW}, headers={"Idempotency-Key": "a"}).status_code == 200
    assert client.post("/v1/predict", json={"row": {"stranger": 1}}).status_code == 422
    client.close()
    business.admin.close()
    business.running.stop()  # writes what waits
    last = list(Reading(business.state))[-1]
    assert last.rows[0]["note"] == ROW["note"]
    assert (
        sum(each.rows[0]["note"] == ROW["note"] for each in Reading(business.state)) == 1
    )  # replays and refusals are not kept
    for file in (business.state / FOLDER).iterdir():
        assert b"secret" not in file.read_bytes()
    out = tmp_path / "out.jsonl"
    ended = CliRunner().invoke(cli, ["payloads", "export", "--state", str(business.state), "-o", str(out)])
    assert ended.exit_code == 0, ended.output
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == len(list(Reading(business.state))) and out.stat().st_mode & 0o777 == 0o600
    assert "export_payloads" in (business.state / "admin.jsonl").read_text()
    shown = CliRunner().invoke(cli, ["payloads", "find", lines[0]["id"], "--state", str(business.state)])
    assert json.loads(shown.output)["rows"] == lines[0]["rows"]


def test_nothing_is_kept_unless_it_is_asked_for(model_folder: Path, tmp_path: Path, launch: Launch) -> None:
    business = Business(launch, make_package(model_folder, tmp_path / "v1"), tmp_path / "state")
    _, client = business.customer("endless")
    assert client.post("/v1/predict", json={"row": ROW}).status_code == 200
    client.close()
    business.admin.close()
    assert business.running.stop() == 0
    assert not (business.state / FOLDER).exists() and not (business.state / "payloads.key").exists()


def test_every_kind_of_request_is_kept(launch: Launch, tmp_path: Path) -> None:
    """Texts, images, several models, written texts whole and in a stream; as they were sent, and as they were answered."""
    fort = Fortress(launch, tmp_path, "--keep-payloads", "1")
    picture = base64.b64encode(PICTURE).decode()
    asked = {
        "mails": fort.asking.post("/v1/models/mails/predict", json=MAIL),
        "stripes": fort.asking.post("/v1/models/stripes/predict", content=PICTURE, headers={"Content-Type": "image/png"}),
        "whole": fort.asking.post("/v1/completions", json={"model": "talk", "prompt": "where", "max_tokens": 3}),
        "stream": fort.asking.post("/v1/completions", json={"model": "talk", "prompt": "the", "max_tokens": 3, "stream": True}),
    }  # fmt: skip
    assert {answer.status_code for answer in asked.values()} == {200}
    assert fort.asking.post("/v1/completions", json={"model": "talk", "prompt": []}).status_code == 400
    assert fort.end() == 0
    reading = Reading(fort.state)
    found = {
        name: reading.find(answer.headers["x-request-id"], customer=fort.customer) for name, answer in asked.items()
    }
    assert all(found.values())
    assert found["mails"].rows == (MAIL,) and list(found["mails"].answers) == asked["mails"].json()["answers"]  # type: ignore[union-attr]
    assert found["stripes"].rows == ({"picture": picture},) and found["stripes"].model == "stripes"  # type: ignore[union-attr]
    assert found["whole"].rows[0]["prompt"] == "where" and found["whole"].answers == (asked["whole"].json(),)  # type: ignore[union-attr]
    assert found["stream"].answers[0]["events"] == asked["stream"].text  # type: ignore[union-attr]
    assert len(list(reading)) == 5 and reading.damaged == 0  # with the one that Fortress begins with
