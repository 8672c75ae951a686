"""Bad requests that every service must refuse, made from its own description."""

from __future__ import annotations

import json
from typing import Any

from modelyard.records.served import Refusal
from modelyard.serve.client import RunningService

WRONG = {
    "number": "no number",
    "boolean": "perhaps",
    "date": "the day before",
    "category": ["a", "list"],
    "text": {"an": "object"},
    "image": "bm8gaW1hZ2U=",
    "sequence": {"an": "object"},
}
"""A value that no column of the type accepts."""
STRANGER = "no_such_field"


def bad_requests(description: dict[str, Any]) -> list[tuple[str, str, str, bytes | None, int, str | None]]:
    """(name, method, path, body, right status, field to be named)."""
    row = description["components"]["schemas"]["Row"]
    example, limit = row["examples"][0], description["components"]["schemas"]["Rows"]["properties"]["rows"]["maxItems"]
    path = "/v1/predict"

    def post(
        name: str, value: Any, status: int = 422, field: str | None = None
    ) -> tuple[str, str, str, bytes | None, int, str | None]:
        return name, "POST", path, value if isinstance(value, bytes) else json.dumps(value).encode(), status, field

    cases = [
        post("unknown_field", {"rows": [{**example, STRANGER: 1}]}, field=STRANGER),
        post("empty_row", {"row": {}}),
        post("no_rows", {"rows": []}, field="rows"),
        post("row_not_an_object", {"rows": [3]}),
        post("a_list", [example]),
        post("too_many_rows", {"rows": [{}] * (limit + 1)}, 413),
        post("not_json", b"{", 400),
        post("not_a_number", b'{"row": {"x": NaN}}', 400),
        post("too_deep", b"[" * 10_000, 400),
        ("wrong_method", "GET", path, None, 405, None),
        ("wrong_path", "GET", "/no/such/path", None, 404, None),
    ]
    if "rows" not in row["properties"]:  # a column of that name makes it a row
        cases.append(post("rows_not_a_list", {"rows": 3}, field="rows"))
    seen: set[str] = set()
    for name, field in row["properties"].items():
        kind = field["x-column-type"]
        if kind not in seen:
            seen.add(kind)
            cases.append(post(f"wrong_type_{kind}", {"rows": [{**example, name: WRONG[kind]}]}, field=name))
    return cases


def try_bad_requests(served: RunningService, description: dict[str, Any]) -> tuple[Refusal, ...]:
    """Send them all; a refusal is right when its status is, its body has the one shape, and it names the field."""
    found = []
    for name, method, path, body, wanted, field in bad_requests(description):
        status, answer = served.ask(method, path, body)
        try:
            named = json.loads(answer)["error"]["field"]
            shaped = True
        except (ValueError, KeyError, TypeError):
            named, shaped = None, False
        right = status == wanted and shaped and (field is None or named == field)
        found.append(Refusal(name=name, wanted=wanted, got=status, field=field, passed=right))
    return tuple(found)
