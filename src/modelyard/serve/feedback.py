"""`POST /v1/feedback`: what turned out to be true of an answer; and how good the served versions are by it.

    {"request_id": "…", "label": "spam"}  or  {"request_id": "…", "labels": ["spam", null, …], "consent": true}

Only the customer that asked can judge its request, by the `X-Request-ID` of the answer, for 30 days. The latest label of a row counts. With
`consent` the row may be learnt from: `yard feedback export`.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError, model_validator
from pydantic_core import from_json

from modelyard.errors import DatabaseFault, nearest
from modelyard.frozen import Frozen
from modelyard.serve.fleet import Fleet
from modelyard.serve.gate import Gate
from modelyard.serve.limits import Limits
from modelyard.serve.reading import check_headers, read_body
from modelyard.serve.refusing import Refused, invalid_rows
from modelyard.watching.quality import Quality, expected, is_right, judged

if TYPE_CHECKING:
    from modelyard.serve.deployed import Deployed
    from modelyard.serve.labels import Label, Labels, Said

LIMITS = Limits(max_body=64 * 1024)


class Given(Frozen):
    """The body."""

    request_id: str = Field(min_length=1, max_length=64)
    label: str | float | None = None
    labels: tuple[str | float | None, ...] | None = None
    consent: bool = False

    @model_validator(mode="after")
    def _one(self) -> Given:
        if (self.label is None) == (self.labels is None):
            raise ValueError("give label (of one row) or labels (one for each row, null where it is not known)")
        return self


class Feedback:
    """The endpoint."""

    def __init__(self, gate: Gate, fleet: Fleet, labels: Labels) -> None:
        self._gate, self._fleet, self._labels = gate, fleet, labels

    async def give(self, request: Any) -> Any:
        """POST /v1/feedback."""
        from starlette.responses import JSONResponse

        caller = await self._gate.caller(request.headers, "feedback")
        request.scope["key"] = caller.shown
        check_headers(request.headers)
        given = _read(await read_body(request.stream(), request.headers.get("content-length"), LIMITS))
        try:
            said = await self._said(caller.customer, given.request_id)
            labels = self._judged(said, given)
            replaced = await asyncio.to_thread(self._labels.judge, labels)
        except DatabaseFault as error:
            raise Refused(503, "try_again", "labels cannot be written now. Try again.", headers={"Retry-After": "2"}) from error  # fmt: skip
        return JSONResponse({"request_id": given.request_id, "recorded": len(labels), "replaced": replaced})

    async def _said(self, customer: str, request: str) -> Said:
        """What was answered; another process may be about to write it down."""
        for pause in (0.0, 0.4):
            await asyncio.sleep(pause)
            found = await asyncio.to_thread(self._labels.said, customer, request)
            if found is not None:
                return found
        raise Refused(
            404, "unknown_request",
            f"no answer of yours has the id {request!r} and can be judged. Send the X-Request-ID of an answer of the last 30 days that "
            "named a class or a number.",
        )  # fmt: skip

    def _judged(self, said: Said, given: Given) -> list[Label]:
        from modelyard.serve.labels import Label

        truths = (given.label,) if given.labels is None else given.labels
        if len(truths) != len(said.said):
            raise invalid_rows([(None, "labels", f"the request had {len(said.said)} rows (got {len(truths)} labels)")])
        model = self._model(said.model)
        faults = [
            (row, "label", fault)
            for row, truth in enumerate(truths)
            if truth is not None and (fault := _misfit(truth, model))
        ]
        if faults:
            raise invalid_rows(faults)
        promised = promise(model)
        return [
            Label(said.customer, said.request, row, 0, said.model, said.version, answer, truth,
                  is_right(answer, truth, promised) if answer is not None else None, given.consent)
            for row, (answer, truth) in enumerate(zip(said.said, truths, strict=True)) if truth is not None
        ]  # fmt: skip

    def _model(self, name: str) -> Deployed:
        return self._fleet.entry(name).live

    def quality(self) -> list[dict[str, Any]]:
        """Each version that was judged, with what its test promised; blocks."""
        found = []
        for (model, version), (right, rows) in sorted(self._labels.counts().items()):
            entry = self._fleet.entries.get(model)
            promised = promise(entry.live) if entry is not None and entry.live.version == version else None
            found.append({"name": model, "version": version, **told(judged(right, rows, promised))})
        return found


def promise(model: Deployed) -> Any:
    """What a version's test rows promise."""
    return expected(model.service.predictor.task.kind, model.service.metrics)


def told(quality: Quality) -> dict[str, Any]:
    """As the administrator reads it."""
    promised = quality.expected
    return {
        "rows": quality.rows, "value": quality.value, "low": quality.low, "high": quality.high, "below": quality.below,
        "expected": None if promised is None else {
            "metric": promised.metric, "value": promised.value, "low": promised.low, "tolerance": promised.tolerance,
        },
    }  # fmt: skip


def _misfit(truth: Any, model: Deployed) -> str:
    """Why a label cannot be one of this model; nothing where it can."""
    state = model.state
    if state.classes:
        return "" if truth in state.classes else f"no class {str(truth)[:80]!r}.{nearest(str(truth), state.classes)} There are: {', '.join(state.classes)[:300]}"  # fmt: skip
    if isinstance(truth, str) or not math.isfinite(truth):
        return f"must be a finite number (got {str(truth)[:80]!r})"
    return ""


def _read(body: bytes) -> Given:
    try:
        return Given.model_validate(from_json(body, allow_inf_nan=False))
    except ValidationError as error:
        faults = [(None, ".".join(str(part) for part in one["loc"][:1]) or None, one["msg"]) for one in error.errors()]
        raise invalid_rows(faults) from None
    except ValueError:
        raise Refused(400, "bad_json", 'the body is no JSON. Send {"request_id": "…", "label": …}.') from None
