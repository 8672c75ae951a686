"""A language model's answer as it leaves: whole, or as server-sent events, and its bill.

A whole answer is billed before it leaves. A stream is billed before its last event leaves, so that who has read `[DONE]` has been
billed for what they read; one whose client leaves is billed for the tokens that were handed out until then, and one that breaks here
is not billed at all. It knows no model.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from modelyard.serve.gate import Answer, Gate, Used
from modelyard.serve.refusing import Refused
from modelyard.serve.telling import ChatShape, TextShape, usage_of
from modelyard.serve.writer import Ask, Generation, Piece

if TYPE_CHECKING:
    from modelyard.accounts.ledger import Reserved

Json = dict[str, Any]
EVENTS = "text/event-stream; charset=utf-8"
END = b"data: [DONE]\n\n"


class Bill:
    """What one request to a language model costs: settled once, or released."""

    def __init__(
        self, gate: Gate, reserved: Reserved | None, *, requests: int, model: str, version: str,
        keep: Callable[[Answer], None] | None = None,
    ) -> None:  # fmt: skip
        self._gate, self._reserved, self._requests = gate, reserved, requests
        self._model, self._version, self._keep = model, version, keep
        self.closed = False

    async def settle(self, generation: Generation, answer: Answer) -> None:
        """Bill the tokens that were handed out; `Refused` where it could not be."""
        if not self.closed:
            self.closed = True
            units = {
                "request": self._requests,
                "input token": generation.prompt_tokens,
                "output token": generation.completion_tokens,
            }
            await self._gate.settle(self._reserved, answer, Used(units, self._model, self._version))
            if self._keep is not None:
                self._keep(answer)

    async def release(self) -> None:
        """Bill nothing."""
        if not self.closed:
            self.closed = True
            await self._gate.release(self._reserved)


async def whole(
    pieces: AsyncIterator[Piece], generation: Generation, asks: Sequence[Ask], shape: ChatShape | TextShape
) -> Json:
    """All pieces as one answer."""
    choices: list[Json] = [
        {"text": [], "tokens": None, "finish": None} for _ in range(sum(ask.choices for ask in asks))
    ]
    async for piece in pieces:
        choice = choices[piece.choice]
        choice["text"].append(piece.text)
        if piece.tokens is not None:
            choice["tokens"] = [*(choice["tokens"] or ()), *piece.tokens]
        choice["finish"] = piece.finish
    for choice in choices:
        choice["text"] = "".join(choice["text"])
    return {**shape.whole(choices), "usage": usage_of(generation)}


def streamed(
    first: Piece,
    rest: AsyncIterator[Piece],
    generation: Generation,
    shape: ChatShape | TextShape,
    bill: Bill,
    *,
    usage: bool,
    told: Callable[[Exception], Json],
) -> Any:
    """A response of events; however it ends, the generation ends with it and the bill is closed. `told` makes an error an event."""
    from starlette.requests import ClientDisconnect
    from starlette.responses import StreamingResponse

    extra = {"usage": None} if usage else {}
    sent_so_far: list[bytes] = []

    def event(content: Json) -> bytes:
        sent_so_far.append(b"data: " + dumped(content) + b"\n\n")
        return sent_so_far[-1]

    def kept() -> Answer:
        return Answer(b"".join([*sent_so_far, END]), media=EVENTS)

    async def events() -> AsyncIterator[bytes]:
        try:
            yield b"".join(event({**chunk, **extra}) for chunk in shape.chunks(first))
            async for piece in rest:
                yield b"".join(event({**chunk, **extra}) for chunk in shape.chunks(piece))
            if usage:
                yield event({**shape.last(), "usage": usage_of(generation)})
            await bill.settle(generation, kept())
        except Exception as error:
            await bill.release()
            yield b"data: " + dumped(told(error)) + b"\n\n"
        yield END

    response = StreamingResponse(events(), headers={"x-accel-buffering": "no"}, media_type="text/event-stream")

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        try:
            await response(scope, receive, send)
        except ClientDisconnect:
            pass  # nobody is there to be told
        finally:
            generation.cancel()
            scope["usage"] = usage_of(generation)
            with contextlib.suppress(Refused):  # nobody is there to be told; what could not be billed is given back
                await bill.settle(generation, kept())  # where it is still open, the client has left

    return answer


def sent(answer: Answer) -> Any:
    """An answer as a response; one that was given before says so."""
    from starlette.responses import Response

    again = {"idempotent-replayed": "true"} if answer.replayed else {}
    return Response(answer.body, answer.status, headers={**again, "content-type": answer.media})


def dumped(content: Any) -> bytes:
    """JSON in UTF-8, numpy's numbers as Python's; ValueError where a number is not finite."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    return text.encode("utf-8", "replace")


def _plain(value: Any) -> Any:
    """numpy scalars as Python's."""
    return value.item()
