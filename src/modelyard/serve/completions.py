"""The endpoints of a language model as OpenAI's clients know them: `/v1/chat/completions` and `/v1/completions`.

    caller -> body -> options, checked -> tokens -> reserved -> engine (`writer`) -> one answer, or server-sent events -> billed

Every refusal has OpenAI's shape, `{"error": {message, type, param, code}}`, so that its clients raise their own exceptions. What is
not supported is refused, never ignored. It knows no model; a `Generator` has one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from modelyard.errors import RequestError
from modelyard.sampling import Sampling
from modelyard.serve.asking import ChatRequest, Options, TextRequest, bad, prompts_of, read_options
from modelyard.serve.events import Bill, dumped, sent, streamed, whole
from modelyard.serve.gate import Answer, Caller, Gate, idempotency_of
from modelyard.serve.leaving import while_there
from modelyard.serve.limits import Limits
from modelyard.serve.lines import say_failure
from modelyard.serve.payloads import Payloads, of_bodies
from modelyard.serve.reading import check_headers, read_body
from modelyard.serve.refusing import Refused
from modelyard.serve.telling import ChatShape, TextShape, usage_of
from modelyard.serve.writer import Ask, GenerationEngine, GenerationLimits, Generator, TokenMeters

Json = dict[str, Any]
T = TypeVar("T")
PATHS = ("/v1/chat/completions", "/v1/completions")


class Completions:
    """The endpoints over one generator.

    `thread` is where the model runs; share it with whatever else runs the same model. `ready` says whether to answer yet; `gate` who may
    ask, and what it costs.
    """

    def __init__(
        self, generator: Generator, *, name: str, limits: Limits, thread: ThreadPoolExecutor, meters: TokenMeters,
        ready: Callable[[], bool] = lambda: True, generation: GenerationLimits | None = None, gate: Gate | None = None,
        version: str = "", payloads: Payloads | None = None,
    ) -> None:  # fmt: skip
        self._generator, self._name, self._version, self._limits, self._ready = generator, name, version, limits, ready
        self._gate, self._payloads = gate or Gate(), payloads
        self.engine = GenerationEngine(generator, generation or limits.generation, thread=thread, meters=meters)

    def warm(self) -> None:
        """Write a few tokens until the code is loaded; blocks."""
        self.engine.warm()

    async def chat(self, request: Any) -> Any:
        """POST /v1/chat/completions."""
        asked, given = await self._read(request, ChatRequest)
        if given.top_logprobs is not None and not given.logprobs:
            raise bad("top_logprobs", "needs `logprobs: true`")
        if given.max_tokens is not None and given.max_completion_tokens is not None:
            raise bad("max_tokens", "is the old name of max_completion_tokens. Give one of them")
        most = given.max_tokens if given.max_completion_tokens is None else given.max_completion_tokens
        if most == 0:
            raise bad("max_tokens", "must be at least 1 (got 0)")
        try:
            messages = [message.plain for message in given.messages]
            ids = await asyncio.to_thread(self._generator.encode_chat, messages)
        except RequestError as error:
            raise bad("messages", "; ".join(text.rstrip(".") for *_, text in error.faults)) from None
        likeliest = given.top_logprobs or 0 if given.logprobs else None
        asks = [self._ask(asked, given, ids, "messages", most=most, likeliest=likeliest)]
        return await self._answer(request, asked, given, asks, ChatShape(self._name, request.scope["request_id"]))

    async def complete(self, request: Any) -> Any:
        """POST /v1/completions."""
        asked, given = await self._read(request, TextRequest)
        prompts = prompts_of(given.prompt)
        if len(prompts) * given.n > self.engine.limits.at_once + self.engine.limits.waiting:
            raise bad("prompt", f"{len(prompts)} prompts with {given.n} answers each are more than can wait")
        asks = []
        for prompt in prompts:
            ids, text = await asyncio.to_thread(self._tokens, prompt, echo=given.echo)
            asks.append(
                self._ask(asked, given, ids, "prompt", most=given.max_tokens, likeliest=given.logprobs, echo=text)
            )
        return await self._answer(request, asked, given, asks, TextShape(self._name, request.scope["request_id"]))

    def _check_name(self, name: str) -> None:
        if name != self._name:
            message = f"no model {name[:100]!r} here. There is: {self._name!r}"
            raise Refused(404, "model_not_found", message, faults=[(None, "model", message)])

    async def _read(self, request: Any, kind: type[Any]) -> tuple[Asked, Any]:
        """Who asks, and the options of a request, each by itself and together as they should be."""
        if not self._ready():
            raise Refused(503, "not_ready", "the model is still being loaded. Try again.", headers={"Retry-After": "1"})
        caller = await self._gate.caller(request.headers, "predict")
        request.scope["key"] = caller.shown
        check_headers(request.headers)
        idempotency = idempotency_of(request.headers)
        body = await read_body(request.stream(), request.headers.get("content-length"), self._limits)
        given = read_options(body, kind)
        self._check_name(given.model)
        at_once = self.engine.limits.at_once
        for name in ("n", "beams"):
            if getattr(given, name) > at_once:
                raise bad(name, f"must be at most {at_once} (got {getattr(given, name)})")
        return Asked(caller, idempotency, body), given

    def _tokens(self, prompt: str | list[int], *, echo: bool) -> tuple[Sequence[int], str | None]:
        """A prompt's token ids, and its text where it is to be echoed."""
        if isinstance(prompt, str):
            return self._generator.encode_prompt(prompt), prompt if echo else None
        for number in prompt:
            if not 0 <= number < self._generator.vocabulary:
                raise bad("prompt", f"no token {number}. There are 0 to {self._generator.vocabulary - 1}")
        return prompt, self._generator.decode(prompt) if echo else None

    def _ask(
        self, asked: Asked, given: Options, ids: Sequence[int], param: str, *, most: int | None, likeliest: int | None,
        echo: str | None = None,
    ) -> Ask:  # fmt: skip
        return Ask(
            prompt=np.asarray(ids, dtype=np.int64),
            sampling=self._sampling(given),
            most=self._room(len(ids), most, param),
            choices=given.n,
            seed=secrets.randbits(63) if given.seed is None else given.seed % 2**64,
            stops=(given.stop,) if isinstance(given.stop, str) else given.stop,
            beams=given.beams,
            logarithms=likeliest is not None,
            likeliest=likeliest or 0,
            echo=echo,
            caller=asked.caller.customer,
        )

    def _room(self, length: int, most: int | None, param: str) -> int:
        """Tokens that the answer may have; 400 where the prompt is too long for them."""
        context, allowed = self._generator.context, self.engine.limits.most_tokens
        if length == 0:
            raise bad(param, "holds no token")
        if most is not None and most > allowed:
            raise bad("max_tokens", f"must be at most {allowed} (got {most})")
        wanted = 1 if most is None else most
        if length + wanted > context:
            raise bad(
                param,
                f"there are {length} tokens, and with {wanted} of an answer that is {length + wanted}. "
                f"At most {context} fit, both together",
                code="context_length_exceeded",
            )
        return min(allowed, context - length) if most is None else most

    def _sampling(self, given: Options) -> Sampling:
        bias = {}
        for name, value in given.logit_bias.items():
            if not (name.isdecimal() and len(name) < 10 and int(name) < self._generator.vocabulary):
                raise bad("logit_bias", f"no token {name[:20]!r}. There are 0 to {self._generator.vocabulary - 1}")
            bias[int(name)] = value
        return Sampling(
            temperature=given.temperature,
            top_k=given.top_k,
            top_p=given.top_p,
            min_p=given.min_p,
            repetition=given.repetition_penalty,
            presence=given.presence_penalty,
            frequency=given.frequency_penalty,
            bias=bias,
        )

    async def _answer(
        self, request: Any, asked: Asked, given: Options, asks: Sequence[Ask], shape: ChatShape | TextShape
    ) -> Any:
        """The whole answer, or its first piece and a stream of the others; or the answer that was billed before."""
        bound = {
            "request": len(asks),
            "input token": sum(len(ask.prompt) for ask in asks),
            "output token": sum(ask.most * ask.choices for ask in asks),
        }
        reserved = await self._gate.reserve(asked.caller, idempotency=asked.idempotency, body=asked.body, bound=bound)
        if isinstance(reserved, Answer):
            return sent(reserved)
        bill = Bill(
            self._gate, reserved, requests=len(asks), model=self._name, version=self._version,
            keep=self._keeper(request.scope["request_id"], asked),
        )  # fmt: skip
        generation = None
        try:
            generation = self.engine.submit(asks, streamed=given.stream)
            pieces = generation.__aiter__()
            if not given.stream:
                content = await while_there(request, whole(pieces, generation, asks, shape))
                answer = Answer(dumped(content))
                await bill.settle(generation, answer)
                return sent(answer)
            first = await while_there(request, anext(pieces))
        except BaseException:
            if generation is not None:
                generation.cancel()
            await bill.release()
            raise
        finally:
            if generation is not None:
                request.scope["usage"] = usage_of(generation)
        usage = given.stream_options is not None and given.stream_options.include_usage
        return streamed(
            first, pieces, generation, shape, bill, usage=usage,
            told=lambda error: _body(_refused(error, request.scope["request_id"]), request.scope["request_id"]),
        )  # fmt: skip

    def _keeper(self, request_id: str, asked: Asked) -> Callable[[Answer], None] | None:
        """What keeps the request with its answer, where payloads are kept."""
        payloads = self._payloads
        if payloads is None:
            return None
        return lambda answer: payloads.add(
            request_id, customer=asked.caller.customer, model=self._name, version=self._version,
            read=of_bodies(asked.body, answer.body, answer.media), size=len(asked.body) + len(answer.body),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked, and what came over the wire."""

    caller: Caller
    idempotency: str | None
    body: bytes


def _json(content: Json, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Any:
    from starlette.responses import Response

    return Response(dumped(content), status, headers={**(headers or {}), "content-type": "application/json"})


# -- refusals --------------------------------------------------------------------------------------------------------------


def shaped(endpoint: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    """The endpoint with refusals in OpenAI's shape."""
    from starlette.requests import ClientDisconnect

    async def answer(request: Any) -> Any:
        identity = request.scope["request_id"]
        try:
            return await endpoint(request)
        except ClientDisconnect:
            raise
        except Exception as error:
            refused = _refused(error, identity)
            return _json(_body(refused, identity), status=refused.status, headers=refused.headers)

    return answer


def _refused(error: Exception, request_id: str) -> Refused:
    """A refusal as it is; anything else is logged, and told as an error of ours."""
    if isinstance(error, Refused):
        return error
    say_failure(error, request_id=request_id)
    return Refused(500, "internal", "something went wrong here, not with you. Quote the request id.")


def _body(refused: Refused, request_id: str) -> Json:
    kind = "rate_limit_error" if refused.status == 429 else "server_error" if refused.status >= 500 else None
    error = {
        "message": refused.message,
        "type": kind or "invalid_request_error",
        "param": refused.faults[0][1] if refused.faults else None,
        "code": refused.type,
    }
    return {"error": error, "request_id": request_id}
