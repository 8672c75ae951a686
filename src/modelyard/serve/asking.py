"""Requests to a language model, as OpenAI's clients send them: every option by itself, and those that do not go together.

What is not known or not supported is refused with its name, never ignored. It knows no model: how many tokens fit is checked later.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, FailFast, Field, ValidationError
from pydantic_core import from_json

from modelyard.errors import nearest
from modelyard.frozen import Frozen
from modelyard.serve.refusing import Refused

UNSUPPORTED = frozenset(
    "audio best_of function_call functions metadata modalities moderation parallel_tool_calls prediction prompt_cache_key "
    "prompt_cache_options prompt_cache_retention reasoning_effort safety_identifier service_tier store suffix tool_choice tools "
    "verbosity web_search_options".split()
)
"""OpenAI's options that this service does not have."""
REFUSALS = ("400", "404", "408", "413", "415", "429", "500", "503", "504")
"""Statuses of answers that are none."""


class FirstFault(FailFast):
    """A list is read up to its first fault: a body of a million wrong values costs no more than one of two."""

    __hash__ = object.__hash__  # members of a union must have one, and FailFast has none


Ids = Annotated[list[int], FirstFault()]
Texts = Annotated[list[str], FirstFault()]


class TextPart(Frozen):
    """A part of a message."""

    type: Literal["text"]
    """Images and sounds are not read."""
    text: str
    """What it says."""


class Message(Frozen):
    """A message of a conversation."""

    role: Literal["system", "user", "assistant"]
    """Who says it."""
    content: str | Annotated[tuple[TextPart, ...], FirstFault()]
    """A text, or its parts, which are joined."""

    @property
    def plain(self) -> dict[str, str]:
        """Role and whole text."""
        content = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": self.role, "content": content}


class StreamOptions(Frozen):
    """What a stream tells."""

    include_usage: bool = False
    """Whether its last chunk tells the usage."""


class ResponseFormat(Frozen):
    """What the answer is."""

    type: Literal["text"] = "text"
    """No JSON is enforced."""


class Options(Frozen):
    """What both kinds of requests may say; each kind adds its own."""

    model_config = ConfigDict(strict=True)

    model: str
    """The model's name, as `/v1/models` tells it."""
    max_tokens: int | None = Field(None, ge=0)
    """Most tokens of an answer; by default what the service allows and the context leaves."""
    temperature: float = Field(1.0, ge=0, le=5)
    """Logits are divided by it; 0: always the likeliest token."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Only the likeliest tokens that together reach this probability."""
    top_k: int = Field(0, ge=0)
    """Only so many likeliest tokens; 0: all. (Beyond OpenAI's.)"""
    min_p: float = Field(0.0, ge=0, le=1)
    """Only tokens with at least this share of the likeliest one's probability. (Beyond OpenAI's.)"""
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    """Taken from the logit of each token that was generated already, once."""
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    """... and as often as it was generated."""
    repetition_penalty: float = Field(1.0, gt=0, le=5)
    """The logit of a token that stands already is divided by it where positive, else multiplied. (Beyond OpenAI's.)"""
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] = Field({}, max_length=1024)
    """Added to the logits of these token ids."""
    n: int = Field(1, ge=1)
    """Answers to each prompt."""
    beams: int = Field(1, ge=1)
    """Width of a beam search for the likeliest answer, instead of sampling. (Beyond OpenAI's.)"""
    stop: str | tuple[str, ...] = ()
    """A text or up to four that end the answer; they are not part of it."""
    seed: int | None = Field(None, ge=-(2**63), le=2**63 - 1)
    """The same seed and options give the same answer; by default every answer differs."""
    stream: bool = False
    """Whether the answer comes as server-sent events."""
    stream_options: StreamOptions | None = None
    """What the stream tells besides."""
    user: str | None = None
    """Read and forgotten."""


class ChatRequest(Options):
    """The body of `/v1/chat/completions`."""

    messages: Annotated[tuple[Message, ...], FirstFault()] = Field(min_length=1)
    """The conversation so far; the answer is its next message."""
    max_completion_tokens: int | None = Field(None, ge=1)
    """OpenAI's newer name of `max_tokens`."""
    logprobs: bool = False
    """Whether the logarithms of the tokens' probabilities are told."""
    top_logprobs: int | None = Field(None, ge=0, le=20)
    """... and those of so many likeliest tokens in each place."""
    response_format: ResponseFormat = ResponseFormat()
    """Text is all there is."""


class TextRequest(Options):
    """The body of `/v1/completions`."""

    prompt: str | Texts | Ids | Annotated[list[Ids], FirstFault()]
    """A text, texts, token ids, or lists of token ids."""
    echo: bool = False
    """Whether the answer begins with the prompt."""
    logprobs: int | None = Field(None, ge=0, le=20)
    """The logarithms of the tokens' probabilities are told, and those of so many likeliest tokens in each place."""


def describe(name: str) -> dict[str, Any]:
    """What the OpenAPI document says of the endpoints of a model of that name: its `paths` and their `schemas`."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    told = (
        ("/v1/chat/completions", "chat", "Answer a conversation (as OpenAI's clients ask)", ChatRequest),
        ("/v1/completions", "complete", "Continue a text (as OpenAI's clients ask)", TextRequest),
    )
    for path, operation, summary, kind in told:
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schema["properties"]["model"] |= {"enum": [name]}
        schemas[kind.__name__] = schema
        body = {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}
        paths[path] = {
            "post": {
                "operationId": operation,
                "summary": summary,
                "requestBody": {"required": True, "content": body},
                "responses": {
                    "200": {
                        "description": "The answer, or its chunks as server-sent events.",
                        "content": {
                            "application/json": {"schema": {"type": "object"}},
                            "text/event-stream": {"schema": {"type": "string"}},
                        },
                    },
                    **{code: {"description": "Refused; the error says why."} for code in REFUSALS},
                },
            }
        }
    return {"paths": paths, "schemas": schemas}


def read_options(body: bytes, kind: type[Any]) -> Any:
    """The options of a body; 400 with the first fault."""
    try:
        given = from_json(body.removeprefix(b"\xef\xbb\xbf"), allow_inf_nan=False)
    except ValueError as error:
        raise Refused(400, "invalid_json", f"the body is not JSON in UTF-8: {error}") from None
    if not isinstance(given, dict):
        raise Refused(400, "invalid_json", "the body must be an object of options")
    given = _without_nulls(given)
    for name in given:
        if name in UNSUPPORTED:
            raise bad(name, "is not supported by this service. Leave it out", code="unsupported_parameter")
    try:
        options = kind.model_validate_json(json.dumps(given))
    except ValidationError as error:
        raise _fault(error, kind) from None
    if isinstance(options, Options):
        _check_together(options)
    return options


def _without_nulls(value: Any) -> Any:
    """Clients send null for an option that they leave out, also in the messages that they send back."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


_SHAPES = {
    "input": "must be a text or a list of texts, and no token ids: a client's are of another vocabulary than this model's (LangChain "
    "sends them unless check_embedding_ctx_length=False)",
    "prompt": "must be a text, a list of texts, token ids, or a list of lists of token ids",
    "stop": "must be a text or a list of texts",
    "content": 'must be a text or a list of parts {"type": "text", "text": ...}',
}
"""What is said of an option that may have several shapes."""


def _fault(error: ValidationError, kind: type[Any]) -> Refused:
    """The first fault as a refusal."""
    found = error.errors(include_url=False, include_context=False)[0]
    path, given = list(found["loc"]), found.get("input")
    for place, name in enumerate(path):
        if name in _SHAPES and found["type"] != "missing":
            return bad(".".join(map(str, path[: place + 1])), _SHAPES[str(name)])
    param = ".".join(map(str, path))
    if found["type"] == "missing":
        return bad(param, "is required", code="missing_required_parameter")
    if found["type"] == "extra_forbidden":
        known = sorted(kind.model_fields) if len(path) == 1 else []
        allowed = f" Allowed: {', '.join(known)}" if known else ""
        return bad(
            param[:200], f"unknown option.{nearest(param[:200], known)}{allowed}", code="unknown_parameter", end=""
        )
    told = str(found["msg"]).replace("Input should be", "must be").replace("valid integer", "whole number")
    told = told.replace("a valid", "a")
    shown = json.dumps(given, ensure_ascii=False)
    return bad(param, f"{told[:1].lower()}{told[1:]} (got {shown[:60]})")


def _check_together(given: Options) -> None:
    """Options that do not go with others."""
    stops = (given.stop,) if isinstance(given.stop, str) else given.stop
    if len(stops) > 4:
        raise bad("stop", f"must be at most four texts (got {len(stops)})")
    if given.stream_options is not None and not given.stream:
        raise bad("stream_options", "needs `stream: true`")
    if given.beams == 1:
        return
    if given.stream or given.n > 1:
        raise bad("beams", "gives one answer, all at once: leave out `n` and `stream`")
    drawn = {"temperature", "top_p", "top_k", "min_p", "seed", "logit_bias", "logprobs"}
    drawn |= {f"{name}_penalty" for name in ("presence", "frequency", "repetition")}
    for name in sorted(drawn & given.model_fields_set):
        raise bad(name, "does not go with `beams`, which draws nothing")


def prompts_of(prompt: Any) -> list[str | list[int]]:
    """The prompts of any of the shapes."""
    if isinstance(prompt, str) or (prompt and isinstance(prompt[0], int)):
        return [prompt]
    if not prompt:
        raise bad("prompt", "must hold at least one prompt")
    return list(prompt)


def bad(param: str, text: str, *, code: str = "invalid_value", end: str = ".") -> Refused:
    """400 that names its option."""
    message = f"{param}: {text}{end}"
    return Refused(400, code, message, faults=[(None, param, message)])
