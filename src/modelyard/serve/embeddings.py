"""`/v1/embeddings`: texts as vectors of a text encoder, as OpenAI's clients ask for them.

    caller -> body -> texts -> reserved -> engine -> vectors -> billed -> answer

A vector is what the encoder's classifier reads (its pooled hidden states), at length 1, so that the dot product of two is their cosine.
Refusals have OpenAI's shape. Batches, admission, quota and ledger are those of predictions; what is billed is `request`, a text each,
and `input token`, the tokens that were read, which is also what the answer tells.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict

from modelyard.embedding import Embedder, texts
from modelyard.frozen import Frozen
from modelyard.rows import Array
from modelyard.serve.asking import REFUSALS, Texts, bad, read_options
from modelyard.serve.engine import Engine
from modelyard.serve.events import dumped, sent
from modelyard.serve.gate import Answer, Gate, Used, idempotency_of
from modelyard.serve.leaving import while_there
from modelyard.serve.limits import Limits
from modelyard.serve.meters import Meters
from modelyard.serve.payloads import Payloads, of_bodies
from modelyard.serve.reading import check_headers, read_body
from modelyard.serve.refusing import Refused

Json = dict[str, Any]
PATH = "/v1/embeddings"


class EmbeddingRequest(Frozen):
    """The body of `/v1/embeddings`."""

    model_config = ConfigDict(strict=True)

    model: str
    """The model's name, as `/v1/models` tells it."""
    input: str | Texts
    """A text, or texts."""
    encoding_format: Literal["float", "base64"] = "float"
    """Numbers, or their bytes as little-endian float32 in base64."""
    dimensions: int | None = None
    """Numbers of a vector: this model's, if it is said at all."""
    user: str | None = None
    """Read and forgotten."""


class Embeddings:
    """The endpoint over one encoder. `thread` is where the model runs, shared with its predictions."""

    def __init__(
        self, embedder: Embedder, *, name: str, version: str, limits: Limits, thread: ThreadPoolExecutor, meters: Meters,
        ready: Callable[[], bool] = lambda: True, gate: Gate | None = None, payloads: Payloads | None = None,
    ) -> None:  # fmt: skip
        self._embedder, self._name, self._version, self._limits, self._ready = embedder, name, version, limits, ready
        self._gate, self._payloads, self._meters = gate or Gate(), payloads, meters
        self.engine = Engine(embedder, limits, meters=meters.batches, thread=thread)

    @property
    def size(self) -> int:
        """Numbers of a vector."""
        return self._embedder.size

    def warm(self) -> None:
        """Read a text until the code is loaded; blocks."""
        self.engine.warm(texts(["Where is my order?"]))

    async def embed(self, request: Any) -> Any:
        """POST /v1/embeddings."""
        if not self._ready():
            raise Refused(503, "not_ready", "the model is still being loaded. Try again.", headers={"Retry-After": "1"})
        caller = await self._gate.caller(request.headers, "predict")
        request.scope["key"] = caller.shown
        check_headers(request.headers)
        idempotency = idempotency_of(request.headers)
        body = await read_body(request.stream(), request.headers.get("content-length"), self._limits)
        given, asked = self._read(body)
        bound = {"request": len(asked), "input token": len(asked) * round(self._embedder.longest)}

        async def answered() -> tuple[Answer, Used]:
            found = await while_there(request, self.engine.answer(texts(asked), caller=caller.customer))
            self._meters.rows(len(asked), found.usage)
            tokens = found.usage["input token"]
            request.scope["usage"] = usage = {"prompt_tokens": tokens, "total_tokens": tokens}
            content = {
                "object": "list",
                "data": [
                    {"object": "embedding", "index": place, "embedding": _spelt(each["embedding"], given.encoding_format)}
                    for place, each in enumerate(found.answers)
                ],
                "model": self._name,
                "usage": usage,
            }  # fmt: skip
            return Answer(dumped(content)), Used(found.usage, self._name, self._version)

        answer = await self._gate.metered(caller, answered, idempotency=idempotency, body=PATH.encode() + b"\n" + body, bound=bound)  # fmt: skip
        request.scope["rows"] = len(asked)
        if self._payloads is not None and not answer.replayed:
            self._payloads.add(
                request.scope["request_id"], customer=caller.customer, model=self._name, version=self._version,
                read=of_bodies(body, answer.body, answer.media), size=len(body) + len(answer.body),
            )  # fmt: skip
        return sent(answer)

    def _read(self, body: bytes) -> tuple[EmbeddingRequest, list[str]]:
        """The options and the texts of a body."""
        given: EmbeddingRequest = read_options(body, EmbeddingRequest)
        if given.model != self._name:
            message = f"no model {given.model[:100]!r} here. There is: {self._name!r}"
            raise Refused(404, "model_not_found", message, faults=[(None, "model", message)])
        asked = [given.input] if isinstance(given.input, str) else list(given.input)
        if not asked:
            raise bad("input", "must hold at least one text")
        if len(asked) > self._limits.max_rows:
            raise bad("input", f"must hold at most {self._limits.max_rows} texts (got {len(asked)})")
        for place, text in enumerate(asked):
            if not text.strip():
                raise bad("input", f"the text at place {place} is empty")
        if given.dimensions is not None and given.dimensions != self.size:
            raise bad("dimensions", f"must be {self.size}, the numbers of this model's vectors (got {given.dimensions})")  # fmt: skip
        return given, asked


def _spelt(vector: Array, form: str) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()
    found: list[float] = vector.tolist()
    return found


def describe(name: str, size: int) -> Json:
    """What the OpenAPI document says of the endpoint: its `paths` and their `schemas`."""
    schema = EmbeddingRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    schema["properties"]["model"] |= {"enum": [name]}
    schema["properties"]["dimensions"] |= {"enum": [size, None]}
    body = {"application/json": {"schema": {"$ref": "#/components/schemas/EmbeddingRequest"}}}
    post = {
        "operationId": "embed",
        "summary": "Turn texts into vectors (as OpenAI's clients ask)",
        "description": f"{size} numbers of length 1 a text: what the classifier reads, so that a dot product is a cosine.",
        "requestBody": {"required": True, "content": body},
        "responses": {
            "200": {"description": "A vector a text, in order.", "content": {"application/json": {"schema": {"type": "object"}}}},
            **{code: {"description": "Refused; the error says why."} for code in REFUSALS},
        },
    }  # fmt: skip
    return {"paths": {PATH: {"post": post}}, "schemas": {"EmbeddingRequest": schema}}
