"""Fuzz: everything that the OpenAPI document names, and bodies that it does not, on a real service; the ledger is in order afterwards.

schemathesis makes requests from the document itself: what is answered must be what it says, never a 5xx, never late, nothing without a
key. hypothesis sends bodies that no schema has. Long runs: `pytest -m long`.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fortress import MAIL, Fortress, letters
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from serve_helpers import ROW, Running, until

from tests.toys import stripes

pytest.importorskip("PIL")
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,unsupported_method,ignored_auth,missing_required_header"  # fmt: skip
LATE = 10
"""Seconds after which an answer counts as a hang, on a machine with others on it."""
MODELS = ("standing", "mails", "stripes", "talk")


@pytest.fixture(scope="module")
def fortress(launch: Callable[..., Running], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fortress]:
    folder = tmp_path_factory.mktemp("fuzzed")
    made = Fortress(launch, folder, more=[letters(folder)])
    yield made
    until(lambda: made.faults() == [], seconds=10)
    assert not [line for line in made.running.lines() if line["event"] == "failure"]
    billed = made.used()["request"]
    assert made.ask().status_code == 200 and made.used()["request"] == billed + 1
    assert made.end() == 0


def schemathesis(document: Path | str, url: str, token: str, *, only: str, examples: int, seconds: float) -> tuple[int, str]:  # fmt: skip
    """Exit status and report of a run."""
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", str(document), "--url", url, "--header", f"Authorization: Bearer {token}",
        "--include-path-regex", only, "--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", str(examples),
        "--request-timeout", str(LATE), "--seed", "4", "--no-color", "--generation-database", "none", "--suppress-health-check", "all",
        "--exclude-path", "/v1/models/{model}/openapi.json",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:  # what it remembers of a run is nobody's business
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False, cwd=folder
        )  # fmt: skip
    return ended.returncode, ended.stdout[-6000:] + ended.stderr[-2000:]


TARGETS = {
    "everything a customer may": ("/openapi.json", "^/(v1/(usage|jobs|models|predict)|healthz|readyz|openapi|docs|console|$)"),
    "the administrator": ("/openapi.json", "^/(admin|metrics)"),
    "texts": ("/v1/models/mails/openapi.json", "predict$"),
    "images": ("/v1/models/stripes/openapi.json", "predict$"),
    "vectors": ("/v1/models/letters/openapi.json", "(predict|embeddings)$"),
    "writing": ("/v1/models/talk/openapi.json", "(predict|completions)$"),
}  # fmt: skip


def fuzz(fort: Fortress, target: str, *, examples: int, seconds: float) -> None:
    path, only = TARGETS[target]
    token = fort.token if target == "the administrator" else fort.key
    status, report = schemathesis(fort.url + path, fort.url, token, only=only, examples=examples, seconds=seconds)
    assert status == 0, report
    assert " passed" in report and "401/403" not in report, report
    if token == fort.token:  # it has found the customers, and closed them
        fort.customer, fort.key = fort.hire()
        fort.asking = fort.client(fort.key)


@pytest.mark.parametrize("target", TARGETS)
def test_everything_that_answers_is_as_the_document_says(fortress: Fortress, target: str) -> None:
    fuzz(fortress, target, examples=2, seconds=60)


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
def test_everything_that_answers_is_as_the_document_says_for_long(fortress: Fortress, target: str) -> None:
    fuzz(fortress, target, examples=200, seconds=900)


@pytest.mark.parametrize("fault", ["open door", "other answer", "other status"])
def test_a_planted_fault_is_found(fortress: Fortress, tmp_path: Path, fault: str) -> None:
    """A document that says of `/healthz` what is not so: a key is needed, the status is a number, it answers 204."""
    document = httpx.get(f"{fortress.url}/openapi.json").json()
    health = document["paths"]["/healthz"]["get"]
    if fault == "open door":
        health["security"] = [{"key": []}]
        health["responses"]["401"] = {"description": "No."}
    elif fault == "other answer":
        health["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["status"] = {
            "type": "integer"
        }
    else:
        health["responses"] = {"204": {"description": "Nothing."}}
    (tmp_path / "document.json").write_text(json.dumps(document))
    status, report = schemathesis(tmp_path / "document.json", fortress.url, fortress.key, only="^/healthz$", examples=1, seconds=60)  # fmt: skip
    assert status == 1, report


def test_the_document_names_every_path_and_no_other_method_answers(fortress: Fortress) -> None:
    document = httpx.get(f"{fortress.url}/openapi.json").json()
    for path, operations in document["paths"].items():
        assert {"400"} <= set(next(iter(operations.values()))["responses"]) or path == "/"
        place = path.replace("{model}", "standing").replace("{job}", "job_" + "a" * 20)
        place = place.replace("{customer}", fortress.customer).replace("{key}", "0")
        for method in {"get", "post", "put", "patch", "delete"} - set(operations):
            answer = fortress.admin.request(method, place)
            assert answer.status_code in (404, 405), (method, path, answer.status_code)
            assert answer.status_code == 404 or answer.headers["allow"], path
    spoken = httpx.get(f"{fortress.url}/v1/models/talk/openapi.json").json()["paths"]
    assert "/v1/chat/completions" in spoken and "/v1/models/talk/predict" in spoken and "/v1/predict" not in spoken


def test_what_needs_a_key_needs_it(fortress: Fortress) -> None:
    """Every operation that the document secures is 401 without a key, and with one that is wrong."""
    document = httpx.get(f"{fortress.url}/openapi.json").json()
    count = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if operation.get("security"):
                for headers in ({}, {"Authorization": "Bearer yard_0_0"}, {"Authorization": "Basic eWFyZDp5YXJk"}):
                    place = path.replace("{model}", "standing")
                    answer = httpx.request(method, fortress.url + place, headers=headers)
                    assert answer.status_code == 401, (method, path, answer.status_code)
                count += 1
    assert count >= 20


# -- bodies that no schema has -----------------------------------------------------------------------------------------------

ALLOWED = {200, 202, 400, 404, 406, 408, 413, 415, 422, 429}
NAMES = [*ROW, *MAIL, "picture", "question", "row", "rows", "model", "messages", "prompt", "stream", "max_tokens", "stop", "__proto__", ""]  # fmt: skip
WILD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(10**400), 10**400), st.floats(), st.text(max_size=30),
    st.sampled_from(["NaN", "inf", "1e999", "-0", "\u202e", "\x00", "0x10", "१२", "2026-02-30", "data:image/png;base64,AAAA"]),
)  # fmt: skip
ANYTHING = st.recursive(
    WILD,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=5)
        | st.integers(1, 250).map(lambda depth: json.loads("[" * depth + "]" * depth))
    ),
    max_leaves=15,
)
PNG = stripes(1)[0][1]


@st.composite
def mangled(draw: Any, good: bytes) -> bytes:
    """Good bytes with some changed, lost, said twice or put in."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.integers(0, 3)):
            case 0 if data:
                data[place] = draw(st.integers(0, 255))
            case 1:
                del data[place : place + draw(st.integers(1, 20))]
            case 2:
                data[place:place] = data[place : place + 40]
            case _:
                data[place:place] = draw(st.binary(max_size=10))
    return bytes(data)


@st.composite
def written(draw: Any) -> bytes:
    """JSON of any shape, as JSON may be written and as it may not."""
    text = json.dumps(draw(ANYTHING), ensure_ascii=draw(st.booleans()))
    if draw(st.booleans()):
        name = draw(st.sampled_from(NAMES))
        text = f'{{"{name}": {text}, "{name}": {json.dumps(draw(WILD))}}}'  # the same field twice
    body = text.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-7"])), "surrogatepass")  # fmt: skip
    return body[: draw(st.integers(0, len(body)))] if draw(st.integers(0, 9)) == 0 else body


KINDS = st.sampled_from(
    ["application/json", "application/json; charset=utf-8", "application/json; charset=utf-16", "text/csv", "application/x-ndjson", "text/plain", "image/png", "image/", "multipart/form-data; boundary=b", "multipart/form-data", "", "\u00ff", ";;;=", "application/x-www-form-urlencoded"]
)  # fmt: skip
FORM = b'--b\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n' + PNG + b"\r\n--b--\r\n"  # fmt: skip
TABLE = b"age,job,member,joined,note\n42,clerk,true,2021-05-01,paid\n"
BODIES = {
    "json": (written(), st.sampled_from([*(f"/v1/models/{name}/predict" for name in MODELS), "/v1/predict", "/v1/completions", "/v1/chat/completions", "/v1/jobs"])),
    "mangled json": (mangled(json.dumps({"rows": [ROW]}).encode()), st.just("/v1/predict")),
    "mangled options": (mangled(json.dumps({"model": "talk", "prompt": "the cat", "max_tokens": 3, "stop": ["a"], "logit_bias": {"3": 1}}).encode()), st.just("/v1/completions")),
    "mangled image": (mangled(PNG), st.just("/v1/models/stripes/predict")),
    "mangled base64": (mangled(json.dumps({"picture": base64.b64encode(PNG).decode()}).encode()), st.just("/v1/models/stripes/predict")),
    "mangled form": (mangled(FORM), st.just("/v1/models/stripes/predict")),
    "mangled table": (mangled(TABLE), st.just("/v1/jobs")),
    "bytes": (st.binary(max_size=300), st.sampled_from(["/v1/predict", "/v1/models/stripes/predict", "/v1/completions", "/v1/jobs"])),
}  # fmt: skip


def send(fort: Fortress, path: str, body: bytes, kind: str) -> None:
    """AssertionError where a body is answered by anything but what it may, or late."""
    began = time.monotonic()
    answer = fort.asking.post(path, content=body, headers={"Content-Type": kind.encode("latin-1")})
    assert answer.status_code in ALLOWED, (answer.status_code, answer.text)
    assert time.monotonic() - began < LATE
    if answer.status_code not in (200, 202):
        told = answer.json()["error"]
        assert told["message"] and told["type"] and answer.headers["x-request-id"]


def bodies(fort: Fortress, name: str, *, examples: int) -> None:
    strategy, paths = BODIES[name]
    quick = {"json": "application/json", "image": "image/png", "form": "multipart/form-data; boundary=b", "table": "text/csv"}  # fmt: skip
    own = quick.get(name.rpartition(" ")[2], "application/json")

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy, paths, st.just(own) | KINDS)
    def each(body: bytes, path: str, kind: str) -> None:
        send(fort, path, body, kind)

    each()
    assert fort.faults() == []


@pytest.mark.parametrize("name", BODIES)
def test_any_body_is_answered_or_refused(fortress: Fortress, name: str) -> None:
    bodies(fortress, name, examples=60)


@pytest.mark.long
@pytest.mark.parametrize("name", BODIES)
def test_any_body_is_answered_or_refused_for_long(fortress: Fortress, name: str) -> None:
    bodies(fortress, name, examples=3000)


def test_what_breaks_inside_is_seen(launch: Callable[..., Running]) -> None:
    """Planted: a model that breaks on an age of 99 answers 500, which no body may be answered with."""
    running = launch(str(Path(__file__).parent / "slow_service.py"), "0")
    until(lambda: httpx.get(f"{running.url}/readyz").status_code == 200)
    fort = Fortress.__new__(Fortress)
    with httpx.Client(base_url=running.url) as fort.asking:
        send(fort, "/v1/predict", b'{"age": 42}', "application/json")
        with pytest.raises(AssertionError, match="500"):
            send(fort, "/v1/predict", b'{"age": 99}', "application/json")
