"""Attacks by name, on a real service with its state: each is refused with its status and type, and leaves the service as it was.

As it was: alive, answering, no larger than a bound, a ledger without fault, nothing billed. What an attack may answer stands beside it as
`status type`; `closed` is a connection that ends without an answer.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import gzip
import io
import json
import shutil
import socket
import statistics
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fortress import MOST_BODY, Fortress
from markupsafe import escape
from serve_helpers import ROW, Running, until

from tests.toys import stripes

pytest.importorskip("PIL")
GROWTH = 150 * 2**20
"""Bytes by which the process may be larger after an attack: what one answered request of the largest kind may leave to the allocator."""
SECONDS = 10.0
"""Within this an attack is answered, and the service answers others; on a machine with others on it."""
GOOD = json.dumps({"row": ROW}).encode()
PICTURE = stripes(1)[0][1]
PREDICT, JSON, LENGTH = "POST /v1/predict HTTP/1.1", "Content-Type: application/json", f"Content-Length: {len(GOOD)}"
Answer = httpx.Response | tuple[int, bytes]


@dataclass(frozen=True)
class Attack:
    """What is done, and what may be answered."""

    name: str
    wanted: frozenset[str]
    act: Callable[[Fortress], Answer | Sequence[Answer]]


ATTACKS: list[Attack] = []


def attack(*wanted: str) -> Callable[[Callable[[Fortress], Any]], Callable[[Fortress], Any]]:
    """Add a function to the table under its own name."""

    def add(act: Callable[[Fortress], Any]) -> Callable[[Fortress], Any]:
        ATTACKS.append(Attack(act.__name__.strip("_"), frozenset(wanted), act))
        return act

    return add


def told(answer: Answer) -> str:
    """`status type` of an answer."""
    if isinstance(answer, tuple):
        status, raw = answer
        if not status:
            return "closed"
        body = raw.partition(b"\r\n\r\n")[2]
    else:
        status, body = answer.status_code, answer.content
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return str(status)
    return f"{status} {error.get('code') or error['type']}"


@pytest.fixture(scope="module")
def fortress(launch: Callable[..., Running], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fortress]:
    made = Fortress(launch, tmp_path_factory.mktemp("fortress"))
    yield made
    assert made.end() == 0, "it ends as it should after all of it"


# -- sizes and times ---------------------------------------------------------------------------------------------------------


@attack("413 body_too_large")
def a_body_larger_than_allowed(fort: Fortress) -> Any:
    return fort.asking.post("/v1/predict", content=b" " * (MOST_BODY + 1))


@attack("413 body_too_large")
def a_body_larger_than_allowed_without_a_length(fort: Fortress) -> Any:
    return fort.asking.post("/v1/predict", content=iter([b" " * 65536] * 20))


@attack("413 body_too_large")
def a_length_that_promises_a_terabyte(fort: Fortress) -> Any:
    return fort.request(PREDICT, JSON, "Content-Length: 1099511627776", body=b" " * (5 * MOST_BODY), seconds=5)


@attack("closed")
def a_length_that_is_never_reached(fort: Fortress) -> Any:
    return fort.request(PREDICT, JSON, "Content-Length: 100", body=b"{", finish=True, seconds=5)


@attack("400 invalid_json")
def a_length_shorter_than_the_body(fort: Fortress) -> Any:
    return fort.request(PREDICT, JSON, "Content-Length: 5", body=GOOD)


@attack("413 body_too_large", "closed")
def chunks_without_end(fort: Fortress) -> Any:
    piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
    return fort.request(PREDICT, JSON, "Transfer-Encoding: chunked", body=piece * 200, seconds=5)


@attack("400")
def a_chunk_of_a_nonsensical_size(fort: Fortress) -> Any:
    sizes = (b"fffffffffffffffffffff", b"-5", b"0x10", b"5;" + b"a" * 100_000)
    return [
        fort.request(PREDICT, JSON, "Transfer-Encoding: chunked", body=size + b"\r\nhello\r\n0\r\n\r\n")
        for size in sizes[:3]
    ]


@attack("415 unsupported_encoding")
def bombs_in_gzip_deflate_and_brotli(fort: Fortress) -> Any:
    bomb = gzip.compress(b'{"note": "' + b"a" * 50_000_000 + b'"}')
    return [
        fort.asking.post("/v1/predict", content=bomb, headers={"Content-Encoding": coding})
        for coding in ("gzip", "x-gzip", "deflate", "br", "zstd", "gzip, identity")
    ]


@attack("400 invalid_json", "422 invalid_rows", "400 invalid_text")
def a_zip_bomb_as_rows_as_an_image_and_as_a_job(fort: Fortress) -> Any:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.jsonl", b"{}\n" * 10_000_000)
    bomb = memory.getvalue()
    return [
        fort.asking.post("/v1/predict", content=bomb),
        fort.asking.post("/v1/models/stripes/predict", content=bomb, headers={"Content-Type": "image/png"}),
        fort.asking.post("/v1/jobs", content=bomb, headers={"Content-Type": "application/zip"}),
    ]


@attack("431", "431 head_too_large", "closed")
def headers_larger_than_allowed(fort: Fortress) -> Any:
    return [
        fort.request("GET /healthz HTTP/1.1", "X-A: " + "a" * 200_000),
        fort.request("GET /healthz HTTP/1.1", *[f"X-{number}: a" for number in range(20_000)]),
        fort.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 3_000_000, seconds=5),
    ]


@attack("414 target_too_long", "431", "closed")
def a_path_and_a_query_longer_than_allowed(fort: Fortress) -> Any:
    return [
        fort.request(f"GET /{'a' * 20_000} HTTP/1.1"),
        fort.request(f"GET /healthz?{'a=b&' * 5_000} HTTP/1.1"),
        fort.request(f"GET /{'a' * 300_000} HTTP/1.1"),
    ]


@attack("413 too_many_rows")
def a_hundred_thousand_rows(fort: Fortress) -> Any:
    return fort.asking.post("/v1/predict", content=b'{"rows":[' + b",".join([b"{}"] * 330_000) + b"]}")


@attack("422 invalid_rows")
def sixty_thousand_columns(fort: Fortress) -> Any:
    return fort.asking.post("/v1/predict", json={f"column {number}": 1 for number in range(50_000)})


@attack("413 too_many_rows", "413 too_many_columns", "413 line_too_long")
def jobs_of_millions_of_lines_rows_or_columns(fort: Fortress) -> Any:
    table = {"Content-Type": "text/csv"}
    return [
        fort.asking.post("/v1/jobs", content=b"{}\n" * 2_000_000),
        fort.asking.post("/v1/jobs", content=b"\n" * 5_000_000),
        fort.asking.post("/v1/jobs", content=b"a," * 200_000 + b"\n1\n", headers=table),
        fort.asking.post("/v1/jobs", content=b"," * 5_000_000, headers=table),
        fort.asking.post("/v1/jobs", content=b'{"note":"' + b"a" * 5_000_000 + b'"}'),
    ]


@attack("400 invalid_csv")
def csv_that_its_reader_chokes_on(fort: Fortress) -> Any:
    table = {"Content-Type": "text/csv"}
    return [
        fort.asking.post("/v1/jobs", content=b"note\n" + b"a" * 200_000, headers=table),
        fort.asking.post("/v1/jobs", content=b"note,age\nab\rcd,3\n", headers=table),
    ]


# -- JSON --------------------------------------------------------------------------------------------------------------------


@attack("400 invalid_json")
def json_a_hundred_thousand_deep(fort: Fortress) -> Any:
    chat = {"model": "talk", "messages": 0}
    return [
        fort.asking.post("/v1/predict", content=b"[" * 100_000),
        fort.asking.post("/v1/predict", content=b'{"a":' * 100_000),
        fort.asking.post("/v1/chat/completions", content=json.dumps(chat).replace("0", "[" * 100_000).encode()),
        fort.admin.post("/admin/customers", content=b"[" * 60_000),
        fort.asking.post("/v1/jobs", content=b"[" * 100_000),
    ]


@attack("400 invalid_json", "422 invalid_rows")
def numbers_beyond_any_number(fort: Fortress) -> Any:
    numbers = (b"9" * 900_000, b"1e999", b"-1e999", b"9" * 400, b"1e" + b"9" * 1000, b"0." + b"0" * 900_000 + b"x")
    return [fort.asking.post("/v1/predict", content=b'{"age":' + number + b"}") for number in numbers]


@attack("400 invalid_json", "422 invalid_rows", "422 invalid_body", "400 invalid_type", "400 invalid_value")
def nan_and_infinity(fort: Fortress) -> Any:
    options = b'{"model":"talk","prompt":"a","temperature":%s}'
    return [
        *(fort.asking.post("/v1/predict", content=b'{"age":' + word + b"}") for word in (b"NaN", b"Infinity", b"-Infinity")),
        *(fort.asking.post("/v1/predict", json={"age": word}) for word in ("nan", "inf", "-Infinity", "1e999")),
        *(fort.asking.post("/v1/completions", content=options % word) for word in (b"NaN", b"Infinity", b"1e999")),
        fort.admin.post(f"/admin/customers/{fort.customer}/keys", content=b'{"days":NaN}'),
        fort.admin.post(f"/admin/customers/{fort.customer}/keys", content=b'{"days":1e999}'),
    ]  # fmt: skip


@attack("422 invalid_rows")
def texts_where_a_number_a_date_or_a_truth_is_wanted(fort: Fortress) -> Any:
    """Each long enough that a pattern that takes the square of it would be noticed."""
    return [
        fort.asking.post("/v1/predict", json={"age": "9" * 500_000}),
        fort.asking.post("/v1/predict", json={"age": "1" + "_1" * 200_000}),
        fort.asking.post("/v1/predict", json={"age": " " * 500_000 + "x"}),
        fort.asking.post("/v1/predict", json={"joined": "1 " * 250_000}),
        fort.asking.post("/v1/predict", json={"joined": "(" * 500_000}),
        fort.asking.post("/v1/predict", json={"member": "y" * 500_000}),
    ]


@attack("422 invalid_rows")
def keys_that_other_languages_treat_as_prototypes(fort: Fortress) -> Any:
    return [
        fort.asking.post("/v1/predict", content=f'{{"{name}": {{"admin": true}}, "age": 3}}'.encode())
        for name in ("__proto__", "constructor", "__class__", "__init__.__globals__")
    ]


@attack("422 invalid_rows")
def a_field_twice_the_second_one_wrong(fort: Fortress) -> Any:
    return fort.asking.post("/v1/predict", content=b'{"age": 1, "age": "x"}')


@attack("400 invalid_json")
def half_a_surrogate_and_texts_that_are_not_utf_8(fort: Fortress) -> Any:
    bodies = (b'{"note":"\\ud800"}', b'{"note":"\xff"}', GOOD.decode().encode("utf-16"), GOOD.decode().encode("utf-32"), b'{"note":"\xed\xa0\x80"}')  # fmt: skip
    return [fort.asking.post("/v1/predict", content=body) for body in bodies]


@attack("415 unsupported_encoding")
def an_encoding_that_hides_what_is_said(fort: Fortress) -> Any:
    return [
        fort.asking.post("/v1/predict", content=GOOD, headers={"Content-Type": f"application/json; charset={charset}"})
        for charset in ("utf-7", "utf-16", "cp037", "idna", "unicode_escape", "rot13")
    ]


# -- images ------------------------------------------------------------------------------------------------------------------


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, *, depth: int = 1, packed: bytes | None = None, extra: bytes = b"") -> bytes:
    """A grey PNG of zeros: a few KB for any size."""
    packed = zlib.compress(bytes(((width * depth + 7) // 8 + 1) * height), 9) if packed is None else packed
    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + extra + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _see(fort: Fortress, data: bytes) -> httpx.Response:
    return fort.asking.post("/v1/models/stripes/predict", content=data, headers={"Content-Type": "image/png"})


@attack("422 invalid_rows")
def a_png_of_three_thousand_million_pixels(fort: Fortress) -> Any:
    return [_see(fort, _png(60_000, 60_000, packed=b"")), _see(fort, _png(2**31 - 1, 2**31 - 1, packed=b"")), _see(fort, _png(8000, 8000))]  # fmt: skip


@attack("413 too_many_pixels")
def a_hundred_small_files_of_fifty_million_pixels(fort: Fortress) -> Any:
    bomb = base64.b64encode(_png(7000, 7000)).decode()
    return fort.asking.post("/v1/models/stripes/predict", json={"rows": [{"picture": bomb}] * 60})


@attack("422 invalid_rows")
def a_png_whose_text_unpacks_to_a_gigabyte(fort: Fortress) -> Any:
    text = zlib.compress(b"a" * 200_000_000, 9)
    return _see(fort, _png(8, 8, extra=_chunk(b"zTXt", b"Comment\x00\x00" + text)))


@attack("422 invalid_rows")
def a_jpeg_of_65500_by_65500(fort: Fortress) -> Any:
    from PIL import Image

    memory = io.BytesIO()
    Image.new("L", (16, 16)).save(memory, format="JPEG")
    data = memory.getvalue()
    place = data.index(b"\xff\xc0") + 5
    return _see(fort, data[:place] + struct.pack(">HH", 65500, 65500) + data[place + 4 :])


@attack("422 invalid_rows")
def images_cut_off_and_of_other_kinds(fort: Fortress) -> Any:
    return [
        _see(fort, PICTURE[: len(PICTURE) // 2]),
        _see(fort, PICTURE[:20]),
        _see(fort, b""),
        _see(fort, b"<svg xmlns='http://www.w3.org/2000/svg'><image href='http://127.0.0.1/'/></svg>"),
        _see(fort, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n"),
        _see(fort, b"\x00\x00\x01\x00" + b"\x01" * 100),
    ]


@attack("422 invalid_rows", "415 unsupported_upload")
def addresses_where_an_image_or_a_text_is_wanted(fort: Fortress) -> Any:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/secret"
        answers = [
            fort.asking.post("/v1/models/stripes/predict", json={"picture": given})
            for given in (url, f"file://{fort.state}/admin.token", f"data:text/plain,{url}", f"\\\\127.0.0.1\\{url}", "/etc/passwd")
        ]  # fmt: skip
        answers.append(fort.asking.post("/v1/predict", content=PICTURE, headers={"Content-Type": "image/png"}))
        assert fort.asking.post("/v1/models/mails/predict", json={"body": ""}).status_code == 422
        time.sleep(0.2)
        with pytest.raises(BlockingIOError):  # nobody came
            trap.accept()
    return answers


@attack("400 invalid_form")
def a_form_whose_heads_have_no_end(fort: Fortress) -> Any:
    """The search for a part's name took the square of its head: 200 KB, a minute."""
    heads = (b"content-disposition:" * 45_000, b'content-disposition: ;' + b' name="' * 120_000, b"content-disposition: " + b";" * 900_000)  # fmt: skip
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    return [
        fort.asking.post("/v1/models/stripes/predict", content=b"--b\r\n" + head + b"\r\n\r\nx", headers=form)
        for head in heads
    ]


@attack("400 invalid_form", "422 invalid_rows")
def forms_that_are_none(fort: Fortress) -> Any:
    def send(kind: str, body: bytes) -> httpx.Response:
        return fort.asking.post("/v1/models/stripes/predict", content=body, headers={"Content-Type": kind})

    return [
        send("multipart/form-data", b"--b\r\n"),
        send("multipart/form-data; boundary=" + "b" * 5000, b"--b\r\n"),
        send("multipart/form-data; boundary=b", b"--b" * 300_000),
        send("multipart/form-data; boundary=b", b"".join(b'--b\r\nContent-Disposition: form-data; name="%d"\r\n\r\nx\r\n' % n for n in range(10_000)) + b"--b--"),
        send("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="picture"; filename="../../admin.token"\r\n\r\nx\r\n--b--'),
    ]  # fmt: skip


# -- the wire ----------------------------------------------------------------------------------------------------------------


@attack("400")
def two_lengths_and_a_length_beside_chunks(fort: Fortress) -> Any:
    """Request smuggling: two parties disagree where a request ends."""
    inner = b"GET /admin/customers HTTP/1.1\r\nHost: x\r\n\r\n"
    return [
        fort.request(PREDICT, JSON, LENGTH, "Content-Length: 3", body=GOOD),
        fort.request(PREDICT, JSON, LENGTH, "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + inner),
        fort.request(PREDICT, JSON, "Transfer-Encoding: chunked", LENGTH, body=b"0\r\n\r\n" + inner),
        fort.request(PREDICT, JSON, "Content-Length: 3, 5", body=GOOD),
        fort.request(PREDICT, JSON, "Content-Length: +5", body=GOOD),
        fort.request(PREDICT, JSON, "Content-Length: -1", body=GOOD),
        fort.request(PREDICT, JSON, "Content-Length: 0x5", body=GOOD),
    ]


@attack("400", "501")
def encodings_of_the_wire_that_are_not_plain_chunks(fort: Fortress) -> Any:
    codings = ("xchunked", "chunked, identity", "identity, chunked, chunked", "gzip", "\x0bchunked")
    return [
        fort.request(PREDICT, JSON, f"Transfer-Encoding: {coding}", LENGTH, body=b"0\r\n\r\n") for coding in codings
    ]


@attack("400")
def lines_that_end_or_fold_in_other_ways(fort: Fortress) -> Any:
    return [
        fort.send(b"GET /healthz HTTP/1.1\nHost: x\n\n"),
        fort.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c: d\r\n\r\n"),
        fort.send(b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n"),
        fort.send(b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n"),
    ]


@attack("400", "400 bad_idempotency_key")
def line_breaks_and_control_characters_in_ids(fort: Fortress) -> Any:
    values = (b"a\rSet-Cookie: b", b"a\nSet-Cookie: b", b"a\x00b", b"a\x0bb", b"a\x7fb", b"\x85", b"")
    answers = [fort.request(PREDICT, JSON, LENGTH, b"Idempotency-Key: " + value, body=GOOD) for value in values]
    answers += [fort.request("GET /healthz HTTP/1.1", b"X-Request-ID: " + value) for value in values[:2]]
    assert not any(b"set-cookie" in raw.lower().partition(b"\r\n\r\n")[0] for _, raw in answers)
    return answers


@attack("404 not_found")
def ids_of_requests_that_are_no_ids(fort: Fortress) -> Any:
    """They are not given back, and not logged; another id is."""
    for value in (
        "<script>alert(1)</script>",
        "' OR 1=1 --",
        "%n%n%s",
        "${jndi:ldap://127.0.0.1/a}",
        "../../x",
        "a" * 65,
    ):
        answer = fort.asking.get("/nothing", headers={"X-Request-ID": value})
        assert answer.headers["x-request-id"] != value and value not in answer.text
        assert value not in fort.running.log.read_text()
    return answer


@attack("400 duplicate_header", "400")
def headers_that_decide_sent_twice(fort: Fortress) -> Any:
    _, other = fort.hire()
    pairs = (f"Authorization: Bearer {other}", "Host: evil.example", "Idempotency-Key: b", "Content-Type: image/png", "Content-Encoding: gzip")  # fmt: skip
    return [
        fort.request(PREDICT, JSON, LENGTH, "Idempotency-Key: a", "Content-Encoding: identity", pair, body=GOOD)
        for pair in pairs
    ]


@attack("400 no_host")
def no_host(fort: Fortress) -> Any:
    return fort.send(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")


@attack("401 not_the_administrator", "401 no_key")
def other_hosts_and_whole_addresses(fort: Fortress) -> Any:
    """No Host and no forwarding header opens a door or turns up in an answer."""
    answers = [
        fort.send(b"GET /admin/customers HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 127.0.0.1\r\nX-Original-URL: /healthz\r\nX-Rewrite-URL: /healthz\r\nForwarded: for=127.0.0.1\r\nConnection: close\r\n\r\n"),
        fort.send(b"GET http://evil.example/v1/usage HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
    ]  # fmt: skip
    home = fort.send(b"GET / HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nConnection: close\r\n\r\n")[1]  # fmt: skip
    assert b"evil" not in home and b"location: /console" in home.lower()
    return answers


@attack("405 method_not_allowed", "400", "404 not_found")
def methods_that_nobody_needs(fort: Fortress) -> Any:
    return [
        fort.request("TRACE / HTTP/1.1", "X-Secret: 42"),
        fort.request("TRACK / HTTP/1.1"),
        fort.request("CONNECT evil.example:443 HTTP/1.1"),
        fort.request("DEBUG / HTTP/1.1"),
        fort.request("PUT /v1/predict HTTP/1.1"),
        fort.request("DELETE /admin/customers HTTP/1.1"),
        fort.request("OPTIONS * HTTP/1.1"),
    ]


@attack("405 method_not_allowed")
def headers_that_claim_another_method(fort: Fortress) -> Any:
    names = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
    return [fort.asking.get("/v1/predict", headers={name: "POST"}) for name in names]


@attack("400")
def http_2_without_asking(fort: Fortress) -> Any:
    return fort.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")


@attack("401 no_key", "404 not_found")
def a_websocket(fort: Fortress) -> Any:
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13")  # fmt: skip
    return [
        fort.request(f"GET {path} HTTP/1.1", *upgrade, key=False, seconds=5)
        for path in ("/v1/usage", "/ws", "/v1/jobs")
    ]


@attack("404 not_found", "404 model_not_found", "400")
def paths_that_climb(fort: Fortress) -> Any:
    secrets = (fort.token.encode(), (fort.state / "answers.key").read_bytes().strip())
    climbs = ("../../admin.token", "..%2f..%2fadmin.token", "..%252f..%252fadmin.token", "..%5c..%5cadmin.token", "%00", "%2e%2e/%2e%2e/admin.token", "....//....//admin.token", "..%c0%af..%c0%afadmin.token", "%ef%bc%8e%ef%bc%8e/admin.token")  # fmt: skip
    places = ("v1/models", "v1/jobs", "console", "docs", "static", "v1/models/standing")
    answers = [fort.request(f"GET /{place}/{climb} HTTP/1.1") for place in places for climb in climbs]
    answers += [fort.request("GET /../../../../etc/passwd HTTP/1.1"), fort.request("GET //etc/passwd HTTP/1.1")]
    answers.append(fort.asking.post("/v1/jobs?model=../../x", content=b"{}"))
    for answer in answers:
        raw = answer[1] if isinstance(answer, tuple) else answer.content
        assert not any(secret in raw for secret in secrets) and b"root:" not in raw
    return answers


# -- who asks ----------------------------------------------------------------------------------------------------------------


@attack("401 no_key", "401 unknown_key", "401 not_the_administrator", "431", "431 head_too_large")
def tokens_that_are_empty_long_or_of_another_kind(fort: Fortress) -> Any:
    key = fort.key
    values = ("Bearer", "Bearer ", "Bearer  ", "Bearer \t", f"Basic {key}", f"{key}", "Bearer null", "Bearer yard__", f"Bearer {key} {key}", f"Bearer {key},{key}", f"Bearer {key[:-1]}", f"Bearer {key.upper()}", f"Bearer {key}\u00ad", "Bearer " + "a" * 50_000, "Bearer " + "yard_" * 9_000, "Bearer " + "a" * 90_000)  # fmt: skip
    answers = [fort.request(PREDICT, JSON, LENGTH, f"Authorization: {value}", body=GOOD, key=False) for value in values]
    answers += [fort.request("GET /admin/customers HTTP/1.1", f"Authorization: {value}", key=False) for value in values]
    answers.append(httpx.post(f"{fort.url}/v1/predict?key={key}&api_key={key}&access_token={key}", content=GOOD))
    answers.append(httpx.post(f"{fort.url}/v1/predict", content=GOOD, cookies={"Authorization": f"Bearer {key}"}))
    assert not any(key[-20:] in (a[1].decode("latin-1") if isinstance(a, tuple) else a.text) for a in answers)
    return answers


@attack("401 revoked", "401 expired", "401 unknown_key")
def keys_that_are_revoked_expired_or_closed(fort: Fortress) -> Any:
    customer, revoked = fort.hire()
    (listed,) = fort.admin.get(f"/admin/customers/{customer}/keys").json()["keys"]
    fort.admin.post(f"/admin/keys/{listed['id']}/revoke", json={})
    _, expired = fort.hire(days=1e-6)
    gone, closed = fort.hire()
    fort.admin.post(f"/admin/customers/{gone}/close", json={})
    time.sleep(0.2)
    paths = ("/v1/usage", "/v1/jobs")
    return [fort.client(key).get(path) for key in (revoked, expired, closed) for path in paths] + [
        fort.client(key).post("/v1/predict", json={"row": ROW}) for key in (revoked, expired, closed)
    ]


@attack("403 scope")
def more_than_the_key_may(fort: Fortress) -> Any:
    _, reader = fort.hire(scopes=["usage"])
    _, asker = fort.hire(scopes=["predict"])
    reads, asks = fort.client(reader), fort.client(asker)
    return [
        reads.post("/v1/predict", json={"row": ROW}),
        reads.post("/v1/completions", json={"model": "talk", "prompt": "a"}),
        reads.post("/v1/jobs", content=b"{}"),
        asks.get("/v1/usage"),
        asks.get("/v1/jobs"),
        asks.get("/v1/usage", headers={"X-Scopes": "usage"}),
    ]


@attack("422 not_possible", "422 invalid_body")
def scopes_that_are_none_or_the_administrators(fort: Fortress) -> Any:
    """An empty list once gave every scope."""
    given = ([], ["admin"], ["*"], ["predict", "admin"], [""], "predict", {"predict": True})
    return [fort.admin.post(f"/admin/customers/{fort.customer}/keys", json={"scopes": scopes}) for scopes in given]


ADMIN = ("/metrics", "/admin/live", "/admin/models", "/admin/plans", "/admin/customers", "/admin/customers/{}/keys", "/admin/customers/{}/usage", "/admin/customers/{}/invoice?format=csv")  # fmt: skip
ACTS = ("/admin/customers", "/admin/customers/{}/close", "/admin/customers/{}/keys", "/admin/keys/{}/rotate", "/admin/keys/{}/revoke", "/admin/models/standing/promote", "/admin/models/standing/roll-back")  # fmt: skip


@attack("401 not_the_administrator")
def the_administrators_paths_with_a_customers_key_and_with_none(fort: Fortress) -> Any:
    nobody = fort.client("")
    return [who.get(path.format(fort.customer)) for who in (fort.asking, nobody) for path in ADMIN] + [
        who.post(path.format(fort.customer), json={}) for who in (fort.asking, nobody) for path in ACTS
    ]


@attack("401 unknown_key")
def the_administrators_token_as_a_key(fort: Fortress) -> Any:
    return [fort.admin.post("/v1/predict", json={"row": ROW}), fort.admin.get("/v1/usage"), fort.admin.get("/v1/jobs")]


@attack("404 not_found")
def jobs_and_results_of_another_customer(fort: Fortress) -> Any:
    _, mine = fort.hire()
    job = fort.client(mine).post("/v1/jobs", content=b'{"stranger": 1}\n').json()["id"]
    until(lambda: fort.client(mine).get(f"/v1/jobs/{job}").json()["ended"])
    assert job not in fort.asking.get("/v1/jobs").text
    return [fort.asking.get(f"/v1/jobs/{job}"), fort.asking.get(f"/v1/jobs/{job}/results"), fort.asking.delete(f"/v1/jobs/{job}")]  # fmt: skip


@attack("422 idempotency_conflict", "422 invalid_rows")
def an_idempotency_key_with_another_body_model_or_job(fort: Fortress) -> Any:
    once = {"Idempotency-Key": f"order {time.time_ns()}"}
    first = b'{"stranger": 1}\n'
    assert fort.ask(headers=once).status_code == 200  # this one is billed, and allowed for
    assert fort.asking.post("/v1/jobs", content=first, headers=once).status_code == 202
    other = fort.asking.post("/v1/models/mails/predict", json={"row": ROW}, headers=once)
    assert "idempotent-replayed" not in other.headers, "another model's answer"
    return [
        fort.ask({**ROW, "age": 43}, headers=once),
        fort.asking.post("/v1/models/stripes/predict", json={"picture": "x"}, headers=once),
        fort.asking.post("/v1/jobs", content=b'{"stranger": 2}\n', headers=once),
    ]


@attack("413 body_too_large", "422 invalid_rows", "400 bad_idempotency_key")
def another_customers_idempotency_key(fort: Fortress) -> Any:
    """The same key of two customers is two keys: nobody gets another's answer. Keys that are too long are refused."""
    _, other = fort.hire()
    once = {"Idempotency-Key": f"shared {time.time_ns()}"}
    first = fort.ask(headers=once)
    second = fort.client(other).post("/v1/predict", json={"row": {"stranger": 1}}, headers=once)
    assert first.status_code == 200 and "idempotent-replayed" not in second.headers
    assert first.json()["request_id"] not in second.text
    return [second, fort.ask(headers={"Idempotency-Key": "a" * 256})]


@attack("405 method_not_allowed")
def a_preflight_from_another_site(fort: Fortress) -> Any:
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}  # fmt: skip
    paths = ("/v1/predict", "/admin/customers", "/v1/usage")
    answers = [httpx.options(fort.url + path, headers=origin) for path in paths]
    simple = fort.asking.get("/v1/usage", headers={"Origin": "https://evil.example"})
    for answer in (*answers, simple):
        assert not any(name.startswith("access-control") for name in answer.headers)
    return answers


@attack("401 not_the_administrator")
def a_form_that_another_site_posts_for_the_administrator(fort: Fortress) -> Any:
    """No cookie is ever an authority, so a browser has nothing to send along."""
    kinds = ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=b")
    body = '{"name": "Eve", "plan": "free"}'
    return [
        httpx.post(f"{fort.url}/admin/customers", content=body, cookies={"token": fort.token}, headers={"Content-Type": kind, "Origin": "https://evil.example"})
        for kind in kinds
    ]  # fmt: skip


# -- what is written down ----------------------------------------------------------------------------------------------------

SQL = ("' OR '1'='1", "'; DROP TABLE entries; --", '" UNION SELECT secret FROM keys --', "1); DELETE FROM balances; --", "\\' OR 1=1 #", "a' || (SELECT secret FROM keys) || '")  # fmt: skip


@attack(
    "422 not_possible",
    "401 unknown_key",
    "404 not_found",
    "404 model_not_found",
    "422 invalid_rows",
    "422 invalid_body",
)
def sql_in_every_string(fort: Fortress) -> Any:
    def of(text: str) -> Iterator[Answer]:
        place = quote(text, safe="")
        yield fort.admin.post("/admin/customers", json={"name": "x", "plan": text})
        yield fort.admin.get(f"/admin/customers/{place}/keys")
        yield fort.admin.get(f"/admin/customers/{place}/usage")
        yield fort.admin.get(f"/admin/customers/{fort.customer}/usage", params={"month": text})
        yield fort.admin.get(f"/admin/customers/{fort.customer}/invoice", params={"format": text})
        yield fort.admin.post(f"/admin/customers/{place}/close", json={})
        yield fort.admin.post(f"/admin/keys/{place}/revoke", json={})
        yield fort.admin.post(f"/admin/keys/{place}/rotate", json={})
        yield fort.admin.post(f"/admin/customers/{fort.customer}/keys", json={"scopes": [text]})
        yield fort.admin.post(f"/admin/models/{place}/promote", json={})
        yield fort.client(f"yard_{text.replace('_', '')}_x".replace('"', "'")).get("/v1/usage")
        yield fort.asking.get(f"/v1/models/{place}")
        yield fort.asking.post(f"/v1/models/{place}/predict", json={"row": ROW})
        yield fort.asking.get(f"/v1/jobs/{place}")
        once = {"Idempotency-Key": text, "X-Request-ID": text}
        yield fort.asking.post("/v1/predict", json={"row": {text: text}}, headers=once)

    answers = [answer for text in SQL for answer in of(text)]
    for text in SQL:  # where it may be said it is kept as it is, and nothing else happens
        made = fort.admin.post("/admin/customers", json={"name": text, "plan": "free"}).json()
        assert made["name"] == text
        key = fort.admin.post(f"/admin/customers/{made['id']}/keys", json={"label": text}).json()
        assert key["name"] == text
    assert all("sqlite" not in answer.text.lower() and "syntax" not in answer.text.lower() for answer in answers)  # type: ignore[union-attr]
    return answers


@attack(
    "422 not_possible",
    "404 not_found",
    "404 model_not_found",
    "422 invalid_rows",
    "400",
    "400 bad_idempotency_key",
    "400 model_not_found",
)
def nul_in_every_string(fort: Fortress) -> Any:
    """PostgreSQL keeps no NUL; SQLite does."""
    return [
        *(fort.admin.get(f"/admin/customers/{place}/{what}") for place in ("%00", f"{fort.customer}%00") for what in ("keys", "usage", "invoice")),
        *(fort.admin.post(f"/admin/customers/a%00/{what}", json={}) for what in ("keys", "close")),
        *(fort.admin.post(f"/admin/keys/a%00/{what}", json={}) for what in ("rotate", "revoke")),
        fort.admin.post("/admin/models/standing%00/promote", json={}),
        fort.admin.post("/admin/models/standing/roll-back", json={"reason": "a\x00b"}),
        fort.admin.get(f"/admin/customers/{fort.customer}/usage", params={"month": "2026-11\x00"}),
        fort.admin.post("/admin/customers", json={"name": "x", "plan": "free\x00"}),
        fort.admin.post(f"/admin/customers/{fort.customer}/keys", json={"scopes": ["predict\x00"]}),
        fort.asking.get("/v1/models/standing%00"),
        fort.asking.get("/v1/jobs/job_%00"),
        fort.asking.post("/v1/jobs?model=standing%00", content=b"{}"),
        fort.asking.post("/v1/completions", json={"model": "talk\x00", "prompt": "a"}),
        fort.request(PREDICT, JSON, LENGTH, b"Idempotency-Key: a\x00b", body=GOOD),
    ]  # fmt: skip


@attack("422 not_possible", "422 invalid_body")
def names_and_labels_that_hide(fort: Fortress) -> Any:
    hidden = ("a\x00b", "a\nb", "a\x1b[31mb", "a\u202eb", "a\u2028b", "a\x7fb", "", "   ", "x" * 5000)
    answers = [fort.admin.post("/admin/customers", json={"name": name, "plan": "free"}) for name in hidden]
    answers += [fort.admin.post(f"/admin/customers/{fort.customer}/keys", json={"label": name}) for name in hidden if name.strip()]  # fmt: skip
    return answers


@attack("404 not_found", "404 model_not_found", "422 not_possible")
def names_that_look_like_others(fort: Fortress) -> Any:
    """A name is its letters: nothing is folded or normalised into another one."""
    looks = (
        "\uff53tanding",
        "standing\u200b",
        "STANDING",
        "stan\u0064\u0307ing",
        "standing%20",
        "standing.",
        "ſtanding",
    )
    return [fort.asking.post(f"/v1/models/{name}/predict", json={"row": ROW}) for name in looks] + [
        fort.admin.get(f"/admin/customers/{name}/keys") for name in (fort.customer.upper(), fort.customer + "\u200b")
    ]


@attack("422 not_possible")
def months_and_days_beyond_the_calendar(fort: Fortress) -> Any:
    months = ("9999-12", "0000-00", "0001-01", "2026-13", "2026-1", "-001-01", "२०२६-११", "2026-11\n", "9" * 5000)
    return [
        fort.admin.get(f"/admin/customers/{fort.customer}/{what}", params={"month": month})
        for month in months
        for what in ("usage", "invoice")
    ]


@attack(
    "422 invalid_body",
    "400 invalid_json",
    "400 invalid_type",
    "400 invalid_value",
    "400 context_length_exceeded",
    "400 integer_below_min_value",
)
def negative_and_overflowing_units(fort: Fortress) -> Any:
    def write(**options: Any) -> httpx.Response:
        return fort.asking.post("/v1/completions", json={"model": "talk", "prompt": "a", **options})

    return [
        write(max_tokens=-1), write(max_tokens=2**63), write(max_tokens=10**30), write(n=-1), write(n=0), write(n=10**9),
        write(beams=10**9), write(prompt=[-1]), write(prompt=[2**70]), write(prompt=[10**6] * 10), write(logprobs=10**9), write(seed=2**64),
        fort.admin.post(f"/admin/customers/{fort.customer}/keys", json={"days": -1}),
        fort.admin.post(f"/admin/customers/{fort.customer}/keys", json={"days": 1e308}),
        fort.admin.post(f"/admin/customers/{fort.customer}/keys", content=b'{"days": ' + b"9" * 400 + b"}"),
    ]  # fmt: skip


@attack("404 not_found", "400")
def lines_forged_in_the_log(fort: Fortress) -> Any:
    forged = '%0a{"event":"forged","url":"http://127.0.0.1"}%0d%0a'
    before = len(fort.running.lines())
    answers = [
        fort.request(f"GET /x{forged} HTTP/1.1"),
        fort.request("GET /%25s%25n%7B0%7D HTTP/1.1"),
        fort.request("GET /nothing HTTP/1.1", "User-Agent: \x1b]0;owned\x07 %s %n {0} ${jndi:ldap://127.0.0.1}"),
    ]
    text = fort.running.log.read_text()
    assert "forged" not in text and "owned" not in text and "jndi" not in text
    for line in text.splitlines():
        assert json.loads(line) if line.startswith("{") else "Invalid HTTP" in line or "upgrade" in line.lower(), line
    assert len(fort.running.lines()) >= before
    return answers


@attack("422 not_possible")
def names_that_a_page_or_a_spreadsheet_would_run(fort: Fortress) -> Any:
    """Kept as text; the invoice's page escapes them and may run nothing, no cell of the CSV begins a formula."""
    names = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "=HYPERLINK(\"http://127.0.0.1\")", "+cmd|' /C calc'!A0", "@SUM(1)", "-2+3", "{{7*7}}", "${7*7}")  # fmt: skip
    for name in names:
        customer = fort.admin.post("/admin/customers", json={"name": name, "plan": "pro"}).json()["id"]
        page = fort.admin.get(f"/admin/customers/{customer}/invoice?format=html")
        assert "<script" not in page.text and "<img" not in page.text and str(escape(name)) in page.text
        assert "sandbox" in page.headers["content-security-policy"]
        table = fort.admin.get(f"/admin/customers/{customer}/invoice?format=csv").text
        for cell in (cell for line in csv.reader(io.StringIO(table)) for cell in line):
            assert not cell.startswith(("=", "+", "@", "\t", "\r")), cell
    return fort.admin.get(f"/admin/customers/{fort.customer}/invoice?format=exe")


@attack("401 not_the_administrator")
def pages_that_would_be_framed_or_sniffed(fort: Fortress) -> Any:
    for path in ("/docs", "/console"):
        page = httpx.get(fort.url + path)
        policy = page.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy and "unsafe" not in policy and "default-src 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff" and page.headers["cache-control"] == "no-store"
        assert "set-cookie" not in page.headers and "server" not in page.headers
    return httpx.get(fort.url + "/admin/customers/x/invoice?format=html")


# -- how they are judged -----------------------------------------------------------------------------------------------------

ALLOWED = {"an_idempotency_key_with_another_body_model_or_job": 1, "another_customers_idempotency_key": 1}
"""Good requests that an attack itself makes, and are billed."""


def test_there_are_enough_of_them() -> None:
    assert len(ATTACKS) >= 40 and len({each.name for each in ATTACKS}) == len(ATTACKS)


def judge(fortress: Fortress, attack: Attack) -> None:
    """AssertionError where the attack is answered otherwise than it may be, or the service is not as it was."""
    billed, began = fortress.used().get("request", 0), time.monotonic()
    answers = attack.act(fortress)
    seconds = time.monotonic() - began
    several = answers if isinstance(answers, list) else [answers]
    found = [told(answer) for answer in several]
    assert set(found) <= attack.wanted, [each for each in found if each not in attack.wanted]
    assert seconds < SECONDS + 0.5 * len(several), f"{seconds:.1f} s"
    assert fortress.running.process.poll() is None
    assert fortress.ask({"stranger": 1}).status_code == 422  # it answers, and this is not billed either
    assert fortress.used().get("request", 0) == billed + ALLOWED.get(attack.name, 0), "something was billed"
    assert fortress.faults() == []
    assert fortress.memory() - fortress.grown < GROWTH
    assert not [line for line in fortress.running.lines() if line["event"] == "failure"]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: each.name)
def test_an_attack_is_refused_and_changes_nothing(fortress: Fortress, attack: Attack) -> None:
    judge(fortress, attack)


def test_the_judge_sees_what_is_not_refused(fortress: Fortress) -> None:
    """Planted: a good request is no refusal, and where its answer is allowed, it is seen to be billed."""
    with pytest.raises(AssertionError, match="200"):
        judge(fortress, Attack("answered", frozenset({"401 no_key"}), Fortress.ask))
    with pytest.raises(AssertionError, match="billed"):
        judge(fortress, Attack("billed", frozenset({"200"}), Fortress.ask))
    judge(fortress, Attack("clean", frozenset({"422 invalid_rows"}), lambda fort: fort.ask({"stranger": 1})))


def test_a_job_with_an_image_that_cannot_be_read_stops_no_other(fortress: Fortress) -> None:
    """One such row once stopped all jobs of all customers, for ever."""
    good = base64.b64encode(PICTURE).decode()
    bad, deep = base64.b64encode(PICTURE[:40]).decode(), "bm8gaW1hZ2U="
    rows = b"".join(json.dumps({"picture": each}).encode() + b"\n" for each in (good, bad, good, good, deep, good, ""))
    _, key = fortress.hire()
    client = fortress.client(key)
    poison = client.post("/v1/jobs?model=stripes", content=rows).json()["id"]
    after = fortress.asking.post("/v1/jobs", content=GOOD.replace(b'{"row": ', b"").rstrip(b"}") + b"}").json()["id"]
    until(lambda: fortress.asking.get(f"/v1/jobs/{after}").json()["status"] == "done")
    until(lambda: client.get(f"/v1/jobs/{poison}").json()["ended"])
    told = client.get(f"/v1/jobs/{poison}").json()
    assert (told["status"], told["done"], told["failed"]) == ("done", 7, 3)
    lines = [json.loads(line) for line in client.get(f"/v1/jobs/{poison}/results").text.splitlines()]
    assert [line["row"] for line in lines if "error" in line] == [1, 4, 6]
    assert all("cannot be read" in lines[row]["error"] or "no image" in lines[row]["error"] for row in (1, 4))
    usage = client.get("/v1/usage").json()["usage"]["batch"]
    assert usage["image"] == usage["request"] == 4
    assert fortress.faults() == []


# -- what takes many ---------------------------------------------------------------------------------------------------------


def quickest(fortress: Fortress, kinds: dict[str, str]) -> dict[str, float]:
    """Seconds of the quicker requests (the lower quartile of 60, taken in turn) with each of these keys: what others on the machine do
    makes requests slower, and none quicker. A kind called `planted` waits a millisecond more."""
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    with httpx.Client(base_url=fortress.url) as client:
        for _ in range(60):
            for kind, given in kinds.items():
                began = time.perf_counter()
                assert client.get("/v1/usage", headers={"Authorization": f"Bearer {given}"}).status_code == 401
                if kind == "planted":
                    time.sleep(0.001)
                times[kind].append(time.perf_counter() - began)
    return {kind: statistics.quantiles(found, n=4)[0] for kind, found in times.items()}


def apart(fortress: Fortress, kinds: dict[str, str]) -> float:
    """The least difference between the kinds, in seconds, of five measurements: a difference that is there is there each time."""
    found = [quickest(fortress, kinds).values() for _ in range(5)]
    return min(max(each) - min(each) for each in found)


def test_no_time_tells_which_keys_there_are(fortress: Fortress) -> None:
    """A key that is not there, one that is with a wrong secret, and one whose secret is right but for its last letter, take the same time to
    within 0.4 ms; a millisecond that is planted is seen. (Letter by letter a comparison differs by nanoseconds, which no network shows; what
    is seen here is whether one way does more work.)"""
    _, key = fortress.hire()
    _, there, secret = key.split("_")
    kinds = {
        "nobody": f"yard_{'0' * len(there)}_{secret}",
        "wrong": f"yard_{there}_{'a' * len(secret)}",
        "nearly": f"yard_{there}_{secret[:-1]}{'b' if secret[-1] == 'a' else 'a'}",
    }
    assert apart(fortress, kinds) < 0.0004
    assert apart(fortress, {"nobody": kinds["nobody"], "planted": kinds["nobody"]}) > 0.0004


def test_many_attackers_at_once_leave_room_for_a_customer(fortress: Fortress) -> None:
    """Fifty half-sent requests and forms without end at a time: a good request is still answered."""
    form = b"--b\r\n" + b"content-disposition:" * 10_000
    with contextlib.ExitStack() as open_:
        for _ in range(50):
            sock = open_.enter_context(fortress.connect())
            sock.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n")

        def storm() -> None:
            with fortress.client(fortress.key) as client:
                for _ in range(5):
                    client.post(
                        "/v1/models/stripes/predict",
                        content=form,
                        headers={"Content-Type": "multipart/form-data; boundary=b"},
                    )

        threads = [threading.Thread(target=storm) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert fortress.ask().status_code == 200
        for thread in threads:
            thread.join()
    assert fortress.faults() == []


@pytest.mark.browser
@pytest.mark.skipif(
    not shutil.which("chromedriver"), reason="needs Chromium (apt-get install chromium chromium-driver)"
)
def test_no_name_runs_in_the_console(fortress: Fortress) -> None:
    """In a real Chromium: names of customers and labels of keys that are markup are shown as text; the page's policy would stop them too."""
    from test_console import Page, signed_in

    mark = f"<img src=x onerror=\"document.title='owned'\">{time.time_ns()}"
    customer = fortress.admin.post("/admin/customers", json={"name": mark, "plan": "free"}).json()["id"]
    fortress.admin.post(f"/admin/customers/{customer}/keys", json={"label": "<script>document.title='owned'</script>"})
    page = signed_in(Page(fortress.url, width=1280), fortress.state)
    try:
        page.section("customers")
        page.wait("return document.querySelector('main').innerText.includes(arguments[0])", mark)
        page.do(
            "[...document.querySelectorAll('main a, main button')].find((each) => each.textContent.includes(arguments[0]))?.click()", mark
        )  # fmt: skip
        page.wait(
            "return document.querySelector('main').innerText.includes(\"<script>document.title='owned'</script>\")"
        )
        assert page.do("return document.querySelectorAll('main img, main script').length") == 0
        assert page.do("return document.title") != "owned"
        page.do(
            "const planted = document.createElement('div'); planted.innerHTML = arguments[0]; document.body.append(planted)",
            mark,
        )
        time.sleep(0.5)  # planted: even as markup the policy lets it run nothing
        assert page.do("return document.title") != "owned"
    finally:
        page.driver.quit()


STRINGS = ("sql_in_every_string", "names_and_labels_that_hide", "names_that_look_like_others", "months_and_days_beyond_the_calendar", "nul_in_every_string", "keys_that_are_revoked_expired_or_closed", "names_that_a_page_or_a_spreadsheet_would_run")  # fmt: skip


def test_strings_do_no_more_on_postgresql(
    launch: Callable[..., Running], tmp_path: Path, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What SQLite takes PostgreSQL may not (a NUL): refused there as here, and never a fault of the ledger."""
    address = postgres.new()
    monkeypatch.setenv("MODELYARD_DATABASE", address)  # for the judge, who looks into the same database
    elsewhere = Fortress(launch, tmp_path, MODELYARD_DATABASE=address)
    for each in ATTACKS:
        if each.name in STRINGS:
            judge(elsewhere, each)
    assert {each.name for each in ATTACKS} >= set(STRINGS)
    assert elsewhere.end() == 0
