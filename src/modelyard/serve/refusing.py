"""Every refusal of the service, in one shape: `{"error": {type, message, field, row, faults}, "request_id"}`.

It knows nothing about HTTP servers or models; `app` turns a `Refused` into a response.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_FAULTS = 20
"""Faults listed in one answer: enough to mend a client, too few to make an answer heavy."""

Fault = tuple[int | None, str | None, str]
"""Row, field, message."""


class Refused(Exception):
    """A request that is not answered, and why."""

    def __init__(
        self,
        status: int,
        type: str,
        message: str,
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.type, self.message = status, type, message
        self.faults, self.headers = tuple(faults), dict(headers or {})

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON that a client receives; `field` and `row` are those of the first fault, null where there is none."""
        row, field = self.faults[0][:2] if self.faults else (None, None)
        error: dict[str, Any] = {"type": self.type, "message": self.message, "field": field, "row": row}
        if self.faults:
            error["faults"] = [
                {"row": row, "field": field, "message": text} for row, field, text in self.faults[:MOST_FAULTS]
            ]
        return {"error": error, "request_id": request_id}


def invalid_rows(faults: Sequence[Fault]) -> Refused:
    """422 with every fault; the message is the first one's, and says how many more there are."""
    row, field, text = faults[0]
    where = ": ".join(part for part in (f"row {row}" if row is not None else "", field or "") if part)
    least = "at least " if len(faults) >= MOST_FAULTS else ""
    more = f" ({least}{len(faults) - 1} more)" if len(faults) > 1 else ""
    return Refused(422, "invalid_rows", f"{where}: {text}{more}" if where else f"{text}{more}", faults=faults)
