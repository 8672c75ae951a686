"""The OpenAPI 3.1 description of a service, made from the columns it was trained on.

`modelyard.rows.from_records` is the one validator (files, tests and requests alike); this module says in JSON Schema what it
accepts. It knows nothing about HTTP servers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from modelyard.rows import GREY_IMAGE, Column, example_series
from modelyard.serve.limits import Limits
from modelyard.tasks._contract import State

Json = dict[str, Any]
MADE = (
    " An answer is a PNG in base64; with `Accept: image/png` one row is answered with the PNG itself. The same `seed` and class make the "
    "same image; no seed is seed 0, and without a class that training knew one is drawn as often as in training."
)
"""What is said where images are made."""
MOST_VALUES = 50
"""Categories listed in a field's description; a longer list hides the rest of the page."""


def describe(
    *,
    name: str,
    version: str,
    description: str,
    state: State,
    limits: Limits,
    examples: Sequence[Mapping[str, Any]] = (),
) -> Json:
    """The whole document. `examples` are real or made rows; by default one is made of the columns' examples."""
    rows = [dict(row) for row in examples] or [example_row(state.inputs)]
    error = {"description": "Refused; the error says why.", "content": {"application/json": {"schema": _ref("Error")}}}
    codes = ["400", "408", "413", "415", "422", "429", "500", "503", "504"]
    if state.makes == "image":
        codes.insert(1, "406")
    predict: Json = {
        "operationId": "predict",
        "summary": f"Answer {state.target!r} for one row or many",
        "description": (
            f'Send `{{"rows": [...]}}` (at most {limits.max_rows}), `{{"row": {{...}}}}`, or the fields of one row. '
            f"At most {limits.max_body} bytes. A field that is left out is a missing value."
            + (MADE if state.makes == "image" else "")
        ),
        "parameters": [_request_id()],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"anyOf": [_ref("Rows"), _ref("OneRow"), _ref("Row")]},
                    "examples": {
                        "one": {"summary": "One row", "value": {"row": rows[0]}},
                        "many": {"summary": "Several rows", "value": {"rows": rows[:3] if len(rows) > 1 else rows * 2}},
                    },
                },
                **_uploads(state.inputs),
            },
        },
        "responses": {
            "200": {
                "description": "One answer a row, in order.",
                "headers": {
                    "X-Request-ID": {
                        "schema": {"type": "string"},
                        "description": "Quote it when you ask about this answer.",
                    }
                },
                "content": {"application/json": {"schema": _ref("Answers")}, **_picture(state)},
            },
            **dict.fromkeys(codes, error),
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": version, "description": description},
        "paths": {
            "/v1/predict": {"post": predict},
            "/healthz": {"get": _plain("healthz", "Is the process alive?", {"200": "It is."})},
            "/readyz": {
                "get": _plain("readyz", "Should it be sent requests?", {"200": "Yes.", "503": "Not yet, or no more."})
            },
            "/metrics": {
                "get": {
                    "operationId": "metrics",
                    "summary": "Counters for Prometheus",
                    "responses": {
                        "200": {
                            "description": "Text format.",
                            "content": {"text/plain": {"schema": {"type": "string"}}},
                        }
                    },
                }
            },
        },
        "components": {"schemas": _schemas(state, limits, rows[0])},
    }


def _uploads(inputs: Sequence[Column]) -> Json:
    """Where images are read: a form with a file a field, and the bytes of an image alone where it is all that is read."""
    if all(column.type != "image" for column in inputs):
        return {}
    fields = {
        column.name: {"contentMediaType": "image/*"} if column.type == "image" else {"type": "string"}
        for column in inputs
    }
    found: Json = {"multipart/form-data": {"schema": {"type": "object", "properties": fields}}}
    return found | ({"image/*": {"schema": {"contentMediaType": "image/*"}}} if len(inputs) == 1 else {})


def _picture(state: State) -> Json:
    """Where images are made, the PNG itself for one row, where `Accept` asks for it."""
    return {"image/png": {"schema": {"contentMediaType": "image/png"}}} if state.makes == "image" else {}


def example_row(inputs: Sequence[Column]) -> dict[str, Any]:
    """A row that the service can answer, made of what training saw."""
    row = {column.name: _example(column) for column in inputs}
    if all(value is None or value == "" for value in row.values()):
        row.update({column.name: _PLACEHOLDER[column.type] for column in inputs[:1]})
    return row


_PLACEHOLDER: Json = {
    "number": 0, "boolean": True, "category": "other", "text": "some text", "date": "2026-01-31", "image": GREY_IMAGE,
}  # fmt: skip


def _example(column: Column) -> Any:
    if column.type == "sequence":
        return example_series(column.channels)
    given = column.example
    if given is None:
        given = (
            column.values[0] if column.values else column.low if column.low is not None else _PLACEHOLDER[column.type]
        )
    if column.type == "boolean":
        return given if isinstance(given, str) else bool(given)
    if column.type == "date" and isinstance(given, (int, float)) and not isinstance(given, bool):
        return _day(float(given))
    if column.type == "number" and column.whole and isinstance(given, float):
        return int(given)
    return given


def _day(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return "2026-01-31"


def row_schema(inputs: Sequence[Column], example: Mapping[str, Any]) -> Json:
    """The fields of a row."""
    return {
        "type": "object",
        "title": "Row",
        "description": "The fields of one row. At least one must have a value.",
        "properties": {column.name: _field(column, example.get(column.name)) for column in inputs},
        "additionalProperties": False,
        "minProperties": 1,
        "examples": [dict(example)],
    }


_TYPES: dict[str, list[str]] = {
    "number": ["number", "string", "null"],
    "boolean": ["boolean", "number", "string", "null"],
    "category": ["string", "number", "boolean", "null"],
    "text": ["string", "null"],
    "date": ["string", "number", "null"],
    "image": ["string", "null"],
    "sequence": ["array", "string", "null"],
}
_MEANING = {
    "number": "A number (also as text).",
    "boolean": "true or false (also yes/no, 1/0).",
    "category": "A category. An unknown one is accepted, and counts as one that training never saw.",
    "text": "Text.",
    "date": "A date or time in ISO 8601, such as 2026-01-31 (also seconds since 1970).",
    "image": "A PNG, JPEG, WebP, GIF, BMP or TIFF file in base64 (also as a data URI). Addresses are not fetched.",
    "sequence": "A list of numbers, or of lists of numbers where a step has several channels; null where one lacks.",
}


def _meaning(column: Column) -> str:
    """What may be sent: what every column of its type takes, and what this one takes because training did."""
    told, reading = _MEANING[column.type], column.reading
    if column.type == "number" and reading.decimal_comma:
        told = "A number (also as text, with a decimal comma: 1,5)."
    if column.type == "date" and reading.day_first is not None:
        told += f" `05/01/2026` is {'the 5th of January' if reading.day_first else 'the 1st of May'}."
    low, high = reading.limits
    if low is not None or high is not None:
        bounds = [f"below {low:g}" if low is not None else "", f"above {high:g}" if high is not None else ""]
        told += f" A value {' or '.join(bound for bound in bounds if bound)} counts as missing."
    return told


def _field(column: Column, example: Any) -> Json:
    facts = [_meaning(column)]
    if column.values:
        known = ", ".join(column.values[:MOST_VALUES])
        facts.append(f"Seen in training: {known}{', …' if len(column.values) > MOST_VALUES else ''}.")
    if column.low is not None and column.high is not None and column.type in ("number", "date"):
        low, high = (
            (_day(column.low), _day(column.high)) if column.type == "date" else (f"{column.low:g}", f"{column.high:g}")
        )
        facts.append(f"In training from {low} to {high}.")
    if column.missing:
        facts.append(f"Missing in {column.missing:.1%} of the training rows.")
    schema: Json = {"type": _TYPES[column.type], "description": " ".join(facts), "x-column-type": column.type}
    if column.type == "image":
        schema |= {"contentEncoding": "base64", "contentMediaType": "image/*"}
    if column.values:
        schema["x-known-values"] = list(column.values[:MOST_VALUES])
    if example is not None:
        schema["examples"] = [example]
    return schema


def _schemas(state: State, limits: Limits, example: Mapping[str, Any]) -> Json:
    answer: Json = {
        "type": "object",
        "required": ["answer"],
        "properties": {"answer": {"type": "number", "description": state.target}},
    }
    if state.classes:
        answer["properties"] = {
            "answer": {"type": "string", "enum": list(state.classes), "description": state.target},
            "probabilities": {
                "type": "object",
                "description": "Of each class; they sum to 1.",
                "properties": {name: {"type": "number", "minimum": 0, "maximum": 1} for name in state.classes},
            },
        }
        answer["required"] = ["answer", "probabilities"]
    if state.makes == "image":
        made = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}
        answer["properties"] = {"answer": made | {"description": state.target}}
    if state.makes == "text":
        counted = {"type": "integer", "minimum": 0}
        answer["properties"] = {
            "answer": {"type": "string", "description": state.target},
            "finish_reason": {"enum": ["stop", "length"]},
            "input_tokens": counted,
            "output_tokens": counted,
        }
    text, whole, null_text, null_whole = (
        {"type": "string"},
        {"type": "integer"},
        {"type": ["string", "null"]},
        {"type": ["integer", "null"]},
    )
    fault = {"row": null_whole, "field": null_text, "message": text}
    return {
        "Row": row_schema(state.inputs, example),
        "Rows": _object(rows={"type": "array", "items": _ref("Row"), "minItems": 1, "maxItems": limits.max_rows}),
        "OneRow": _object(row=_ref("Row")),
        "Answer": answer,
        "Answers": _object(
            answers={"type": "array", "items": _ref("Answer")},
            model=_object(name=text, version=text),
            usage={"type": "object", "additionalProperties": whole, "description": "What was used, by unit."},
            request_id=text,
        ),
        "Error": _object(
            error={
                "type": "object",
                "required": ["type", "message", "field", "row"],
                "properties": {
                    "type": {
                        "type": "string",
                        "description": "For programs: `invalid_rows`, `body_too_large`, `overloaded`, …",
                    },
                    "message": {"type": "string", "description": "For people."},
                    "field": {**null_text, "description": "The field that is wrong, where there is one."},
                    "row": {**null_whole, "description": "Its row, counted from 0."},
                    "faults": {"type": "array", "items": _object(**fault), "description": "The faults (at most 20)."},
                },
            },
            request_id=text,
        ),
    }


def _object(**properties: Any) -> Json:
    return {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": False}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _plain(operation: str, summary: str, codes: Mapping[str, str]) -> Json:
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {code: {"description": text} for code, text in codes.items()},
    }


def _request_id() -> Json:
    return {
        "name": "X-Request-ID",
        "in": "header",
        "required": False,
        "description": "A name of your own for this request: 1 to 64 letters, digits, `.`, `_`, `:` or `-`. Another one is given where it is not that.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$"},
    }
