"""A request's body into rows: bounded reading, strict JSON, and the fields that the model was trained on.

Three bodies are understood: `{"rows": [{...}, ...]}`, `{"row": {...}}`, and the bare fields of one row `{...}`. A field's value
is never an object or a list of objects, so an input that is itself called `rows` or `row` stays unambiguous. Where images are
read, one row may also be a form (`multipart/form-data`) or, where it is all that is read, the image itself. It knows nothing about
answering.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pydantic_core import from_json

from modelyard.errors import RequestError, nearest
from modelyard.features.images import MOST_PIXELS as ONE_IMAGE
from modelyard.features.images import size_of
from modelyard.rows import Column, Rows, from_records, listed
from modelyard.serve.limits import Limits
from modelyard.serve.refusing import MOST_FAULTS, Fault, Refused, invalid_rows

DISCARD = 4
"""A body over the limit is read on and thrown away up to this many limits, so that a client that sends before it listens
gets its 413 and not a broken connection."""
MOST_ARRIVING = 512 * 2**20
"""Bytes of all bodies that are arriving at one process: who sends many large ones at once, slowly, fills no memory with them."""
LONGEST_NAME = 200
"""Characters of an unknown field that are told: a name may be as long as a body."""
MOST_PIXELS = 200_000_000
"""Pixels of all images of one request: four of the largest camera's. They decode in seconds; without a bound a megabyte could ask for hours."""
LONGEST_HEAD = 2048
"""Bytes of a form's part before its content. What is searched for its name must be short: the search takes the square of it."""
_UTF8_MARK = b"\xef\xbb\xbf"


def check_headers(headers: Mapping[str, str]) -> None:
    """Refuse what would not be read as it was meant: compressed bodies and encodings other than UTF-8."""
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise Refused(
            415, "unsupported_encoding", f"Content-Encoding {coding[:40]!r} is not accepted. Send the JSON as it is."
        )
    _, _, charset = headers.get("content-type", "").lower().partition("charset=")
    charset = charset.split(";")[0].strip(" \"'")
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise Refused(415, "unsupported_encoding", f"charset {charset[:40]!r} is not accepted. Send UTF-8.")


_arriving = 0
"""Bytes of bodies that are not whole yet."""


async def read_body(stream: AsyncIterator[bytes], declared: str | None, limits: Limits) -> bytes:
    """The whole body, at most `limits.max_body` bytes, within `limits.body_time`; 413 or 408 otherwise, 429 where too many arrive at once."""
    global _arriving
    pieces: list[bytes] = []
    size = 0
    over = declared is not None and declared.isdecimal() and len(declared) < 20 and int(declared) > limits.max_body
    try:
        async with asyncio.timeout(limits.body_time):
            async for piece in stream:
                size += len(piece)
                _arriving += len(piece)
                over = over or size > limits.max_body
                if not over:
                    pieces.append(piece)
                else:
                    pieces.clear()
                    if size > DISCARD * limits.max_body:
                        break
                if _arriving > MOST_ARRIVING and not over:
                    raise Refused(
                        429, "overloaded", "more is being received than this process has room for. Try again.",
                        headers={"Retry-After": "2", "Connection": "close"},
                    )  # fmt: skip
    except TimeoutError:
        raise Refused(
            408,
            "slow_request",
            f"the body did not arrive within {limits.body_time:g} s.",
            headers={"Connection": "close"},
        ) from None
    finally:
        _arriving -= size
    if over:
        raise Refused(
            413, "body_too_large", f"the body has more than {limits.max_body} bytes. Send less at a time, or raise serve.max_body in the blueprint.",
            headers={"Connection": "close"},
        )  # fmt: skip
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def is_upload(headers: Mapping[str, str]) -> bool:
    """Whether the body is an image itself."""
    return headers.get("content-type", "").strip().lower().startswith("image/")


def wants_picture(headers: Mapping[str, str]) -> bool:
    """Whether the client accepts a PNG and no JSON."""
    kinds = {part.split(";")[0].strip().lower() for part in headers.get("accept", "").split(",")}
    return bool(kinds & {"image/png", "image/*"}) and not kinds & {"application/json", "application/*", "*/*"}


def read_upload(body: bytes, inputs: Sequence[Column]) -> Rows:
    """The one row of an uploaded image; 415 where the model reads other things, or more than one image."""
    if [column.type for column in inputs] != ["image"]:
        named = listed([f"{column.name} ({column.type})" for column in inputs])
        raise Refused(415, "unsupported_upload", f"an image alone is not accepted here. Send JSON with: {named}")
    return from_records([{inputs[0].name: body}], inputs)


def is_form(headers: Mapping[str, str]) -> bool:
    """Whether the body is a form."""
    return headers.get("content-type", "").strip().lower().startswith("multipart/form-data")


def read_form(body: bytes, content_type: str, inputs: Sequence[Column]) -> Rows:
    """The one row of a form (RFC 7578): files of images, everything else as text; 400 where it is no form, 422 where it does not fit."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise Refused(400, "invalid_form", "the form names no boundary in its Content-Type.")
    kinds: dict[str, str] = {column.name: column.type for column in inputs}
    record: dict[str, Any] = {}
    mark = (boundary[1] or boundary[2]).encode("latin-1", "replace")
    for name, content in _fields(body, mark, len(kinds) + MOST_FAULTS):
        try:
            record[name] = content if kinds.get(name, "image") == "image" else content.decode("utf-8")
        except UnicodeDecodeError:
            raise invalid_rows([(0, name[:LONGEST_NAME], "must be text in UTF-8")]) from None
    if not record:
        raise Refused(400, "invalid_form", f"the form holds no field. Fields: {listed(list(kinds))}")
    try:
        return from_records([record], inputs)
    except RequestError as error:
        raise invalid_rows(list(error.faults)) from None


_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(rb'content-disposition:[^\r\n]*?[;\s]name="([^"\r\n]*)"', re.IGNORECASE)


def _fields(body: bytes, boundary: bytes, most: int) -> Iterator[tuple[str, bytes]]:
    """Name and content of at most so many parts: heads, an empty line and what was sent, up to the next boundary."""
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary, most + 1)[1 : most + 1]:
        if part.startswith(b"--"):  # the last boundary
            return
        head, _, content = part.partition(b"\r\n\r\n")
        if len(head) <= LONGEST_HEAD and (found := _NAME.search(head)):
            yield found[1].decode("utf-8", "replace"), content


def read_rows(body: bytes, inputs: Sequence[Column], limits: Limits) -> Rows:
    """Rows from a body; 400 where it is not JSON, 422 with row and field where it does not fit, 413 for too many rows."""
    try:
        # allow_inf_nan: NaN and Infinity are not JSON. Depth over 200, lone surrogates and endless integers are errors too.
        given = from_json(body.removeprefix(_UTF8_MARK), allow_inf_nan=False)
    except ValueError as error:
        raise Refused(400, "invalid_json", f"the body is not JSON in UTF-8: {error}") from None
    records = _records(given, {column.name for column in inputs})
    if len(records) > limits.max_rows:
        raise Refused(413, "too_many_rows", f"{len(records)} rows in one request. Allowed: at most {limits.max_rows}.")
    return check_records(records, inputs)


def _records(given: Any, known: set[str]) -> list[Any]:
    if isinstance(given, list):
        raise invalid_rows([(None, None, 'must be an object: {"rows": [{...}, ...]} or the fields of one row')])
    if not isinstance(given, dict):
        raise invalid_rows(
            [(None, None, f'must be an object: {{"rows": [{{...}}]}} or the fields of one row (got {_kind(given)})')]
        )
    # a series called `rows` is a list too, but of numbers or lists
    many = "rows" in given and ("rows" not in known or _of_objects(given["rows"]))
    one = isinstance(given.get("row"), dict) or ("row" in given and "row" not in known)
    if not many and not one:
        return [given]
    envelope = "rows" if many else "row"
    for name in given.keys() - {envelope}:
        raise invalid_rows(
            [
                (
                    None,
                    name[:LONGEST_NAME],
                    f"unknown field beside {envelope!r}. Put the fields of a row inside {envelope!r}.",
                )
            ]
        )
    inner = given[envelope]
    if many and not isinstance(inner, list):
        raise invalid_rows([(None, "rows", f"must be a list of objects (got {_kind(inner)})")])
    if one and not many:
        return [inner]
    if not inner:
        raise invalid_rows([(None, "rows", "must hold at least one row")])
    return list(inner)


def _of_objects(given: Any) -> bool:
    return isinstance(given, list) and any(isinstance(each, dict) for each in given)


def check_records(records: Sequence[Any], inputs: Sequence[Column]) -> Rows:
    """Rows from decoded JSON. A missing field is a missing value; a row without any value is refused.

    No more faults are looked for than are told: a request of a hundred thousand unknown fields costs no more than one of twenty.
    """
    shapes = [(number, record) for number, record in enumerate(records) if not isinstance(record, dict)]
    if shapes:
        raise invalid_rows(
            [(number, None, f"must be an object of fields (got {_kind(record)})") for number, record in shapes]
        )
    faults = list(islice(_misfits(records, inputs), MOST_FAULTS + 1))
    if len(faults) > MOST_FAULTS:
        raise invalid_rows(faults)
    try:
        rows = from_records(records, inputs)
    except RequestError as error:
        known, named = {column.name for column in inputs}, {(row, field) for row, field, _ in faults}
        faults += [fault for fault in error.faults if fault[:2] not in named and fault[1] in known]
    if faults:
        raise invalid_rows(sorted(faults, key=lambda fault: fault[0] or 0))
    check_pixels(rows, inputs)
    return rows


def check_pixels(rows: Rows, inputs: Sequence[Column]) -> None:
    """413 where the images of the rows have more than `MOST_PIXELS` together, by what their headers say; one alone is bounded elsewhere."""
    images = [data for column in inputs if column.type == "image" for data in rows[column.name] if data is not None]
    if len(images) * ONE_IMAGE <= MOST_PIXELS:
        return
    total = 0
    for data in images:
        with contextlib.suppress(ValueError):  # no image: told where it is decoded
            width, height, _ = size_of(data)
            total += width * height
    if total > MOST_PIXELS:
        raise Refused(
            413, "too_many_pixels", f"the images have {total:,} pixels together. Allowed: at most {MOST_PIXELS:,} in one request."
        )  # fmt: skip


def _misfits(records: Sequence[Mapping[str, Any]], inputs: Sequence[Column]) -> Iterator[Fault]:
    """Unknown fields, other values where a text stands, and rows without a value, row by row."""
    known = {column.name: column.type for column in inputs}
    for number, record in enumerate(records):
        stranger = False
        for name in record:
            if name not in known:
                stranger = True
                close = nearest(name[:LONGEST_NAME], known)
                yield number, name[:LONGEST_NAME], f"unknown field.{close} Allowed: {listed(list(known))}"
        for name, value in record.items():
            # a file may say 12 where a text stands; a client that does has mixed up its fields
            if known.get(name) in ("text", "image") and value is not None and not isinstance(value, str):
                wanted = "text" if known[name] == "text" else "an image in base64"
                yield number, name, f"must be {wanted} (got {_kind(value)})"
        if not stranger and all(value is None or value == "" for value in record.values()):
            yield number, None, f"has no value. Give at least one of: {listed(list(known))}"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    for kind, name in ((dict, "an object"), (list, "a list"), (str, "a string")):
        if isinstance(value, kind):
            return name
    return f"the number {str(value)[:30]}"
