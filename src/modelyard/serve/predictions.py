"""`/v1/predict`: rows in a body, answers in order, billed before they leave.

    caller -> body -> rows -> reserved -> fleet -> engine -> settled -> answer

It knows the formats of bodies and answers, and the order of the steps; what each of them does stands in `reading`, `gate` and `fleet`.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelyard.errors import RequestError
from modelyard.rows import Column, Rows
from modelyard.serve.deployed import Deployed
from modelyard.serve.engine import Answered
from modelyard.serve.events import dumped, sent
from modelyard.serve.fleet import Entry, Fleet
from modelyard.serve.gate import Answer, Caller, Gate, Used, idempotency_of
from modelyard.serve.labels import Labels
from modelyard.serve.leaving import while_there
from modelyard.serve.limits import Limits
from modelyard.serve.meters import STAGES, Meters
from modelyard.serve.payloads import Payloads, of_rows
from modelyard.serve.reading import (
    check_headers,
    is_form,
    is_upload,
    read_body,
    read_form,
    read_rows,
    read_upload,
    wants_picture,
)  # fmt: skip
from modelyard.serve.refusing import Refused, invalid_rows
from modelyard.serve.telemetry import PARTS, Part

_STAGE_OF = {"caller": "gate", "reserve": "gate", "settle": "gate"}
"""The stage of the meters that a part belongs to, where it is not its own."""


class Predictions:
    """The endpoint."""

    def __init__(
        self,
        gate: Gate,
        fleet: Fleet,
        meters: Meters,
        limits: Limits,
        *,
        payloads: Payloads | None = None,
        labels: Labels | None = None,
    ) -> None:
        self._gate, self._fleet, self._meters, self._limits = gate, fleet, meters, limits
        self._payloads, self._labels = payloads, labels

    async def predict(self, request: Any) -> Any:
        """POST /v1/predict and /v1/models/NAME/predict."""
        entry = self._fleet.entry(request.path_params.get("model"))
        if not entry.live.ready:
            raise Refused(503, "not_ready", "the model is still being loaded. Try again.", headers={"Retry-After": "1"})
        clock = time.perf_counter
        begun = clock()
        caller = await self._gate.caller(request.headers, "predict")
        request.scope["key"] = caller.shown
        known = clock()
        check_headers(request.headers)
        idempotency = idempotency_of(request.headers)
        body = await read_body(request.stream(), request.headers.get("content-length"), self._limits)
        read = clock()
        asked = _Asked(body, request.headers, request.scope["request_id"], caller, entry, self._limits)
        count = len(asked.rows(entry.live.inputs))
        checked = clock()
        answer = await self._gate.metered(
            caller,
            lambda: self._awaited(request, asked),
            idempotency=idempotency,
            body=body
            if idempotency is None
            else entry.live.name.encode() + b"\n" + body,  # another model: another request
            bound=entry.live.bound(count),
        )
        request.scope["rows"] = count
        if asked.found is not None and asked.deployed is not None:  # not where the answer was given before
            self._meters.rows(count, asked.found.usage)
            self._tell(request.scope, asked.deployed, asked.parts(begun, known, read, checked))
            if self._labels is not None:
                self._labels.add(
                    asked.request_id, customer=caller.customer, model=entry.live.name, version=asked.deployed.version,
                    answers=asked.found.answers,
                )  # fmt: skip
            if self._payloads is not None:
                self._payloads.add(
                    asked.request_id, customer=caller.customer, model=entry.live.name, version=asked.deployed.version,
                    read=of_rows(asked.rows(asked.deployed.inputs), asked.found.answers), size=len(body) + len(answer.body),
                )  # fmt: skip
        return sent(answer)

    def _tell(self, scope: Any, deployed: Deployed, parts: Sequence[Part]) -> None:
        """Where the time went: to the meters, and to a trace where one is wanted."""
        seconds = dict.fromkeys(STAGES, 0.0)
        for part in parts:
            seconds[_STAGE_OF.get(part.name, part.name)] += part.ended - part.began
        for stage, spent in seconds.items():
            self._meters.stage(stage, max(spent, 0.0))
        scope["model"], scope["version"] = deployed.name, deployed.version
        if PARTS in scope:
            scope[PARTS] += parts

    async def _awaited(self, request: Any, asked: _Asked) -> tuple[Answer, Used]:
        """The answer; where there is a queue and the client leaves it, its place goes to the next and nothing is billed."""
        answered = asked.answered(self._fleet)
        return await while_there(request, answered) if self._fleet.waiting else await answered


@dataclass
class _Asked:
    """One request under way."""

    body: bytes
    headers: Mapping[str, str]
    request_id: str
    caller: Caller
    entry: Entry
    limits: Limits
    found: Answered | None = None
    """What the model answered, once it has."""
    deployed: Deployed | None = None
    """... and which version of it."""
    began: float = 0.0
    """When the model was asked ..."""
    ended: float = 0.0
    """... and when its answer was written."""
    _read: list[tuple[Sequence[Column], Rows]] = field(default_factory=list)

    @property
    def picture(self) -> bool:
        """Whether the answer is to be a PNG itself."""
        return self.entry.live.state.makes == "image" and wants_picture(self.headers)

    def rows(self, inputs: Sequence[Column]) -> Rows:
        """The rows of the body, an image, a form, or JSON, as a version's inputs; read once for each."""
        for columns, rows in self._read:
            if columns == inputs:
                return rows
        if is_upload(self.headers):
            rows = read_upload(self.body, inputs)
        elif is_form(self.headers):
            rows = read_form(self.body, self.headers["content-type"], inputs)
        else:
            rows = read_rows(self.body, inputs, self.limits)
        if self.picture and len(rows) != 1:
            raise Refused(
                406, "one_row_a_picture", f"a PNG answers one row (got {len(rows)}). Accept application/json for more."
            )
        self._read.append((inputs, rows))
        return rows

    def parts(self, begun: float, known: float, read: float, checked: float) -> list[Part]:
        """Where the time went until now."""
        assert self.found is not None
        asked = self.began + self.found.waited
        answered = min(asked + self.found.computed, self.ended)
        return [
            Part("caller", begun, known), Part("read", known, read), Part("check", read, checked), Part("reserve", checked, self.began),
            Part("wait", self.began, asked), Part("predict", asked, answered), Part("write", answered, self.ended),
            Part("settle", self.ended, time.perf_counter()),
        ]  # fmt: skip

    async def answered(self, fleet: Fleet) -> tuple[Answer, Used]:
        """The answer and what it used."""
        self.began = time.perf_counter()
        try:
            found, deployed, rows = await fleet.answer(
                self.entry, self.rows, token=self.request_id, caller=self.caller.customer
            )
        except RequestError as error:  # an image is opened only when it is encoded
            raise invalid_rows(list(error.faults)) from None
        content = {
            "answers": found.answers,
            "model": {"name": deployed.name, "version": deployed.version},
            "usage": found.usage,
            "request_id": self.request_id,
        }
        try:
            answer = _picture(found.answers[0]) if self.picture else Answer(dumped(content))
        except ValueError:  # a value so far out that arithmetic overflowed: no answer is better than NaN
            raise invalid_rows(
                [(_endless(found.answers), None, "has values so extreme that the model has no finite answer")]
            ) from None
        self.deployed = deployed
        self.found, self.ended = found, time.perf_counter()
        return answer, Used({"request": len(rows)} | dict(found.usage), deployed.name, deployed.version)


def _picture(answer: Mapping[str, Any]) -> Answer:
    """The PNG of an answer itself."""
    return Answer(base64.b64decode(answer["answer"]), media="image/png")


def _endless(answers: Any) -> int | None:
    """The first row whose answer is not finite."""
    for number, answer in enumerate(answers):
        try:
            dumped(answer)
        except ValueError:
            return number
    return None
