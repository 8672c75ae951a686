"""OpenAI's endpoints, asked by OpenAI's own client: over real HTTP, what is served is what decoding gives."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from serve_helpers import Running, client, until
from writing_service import BREAKS, Speaker

from modelyard.decoding.sampling import Sampling
from modelyard.decoding.searching import beam, continued, log_softmax
from modelyard.serve import asking
from modelyard.serve.refusing import Refused

openai = pytest.importorskip("openai")
pytest.importorskip("tokenizers")

Launch = Callable[..., Running]
ASKED = [{"role": "user", "content": "where is the cat?"}]
PROMPT = "user: where is the"
MODEL = "speaker"


def speaking(launch: Launch, **options: Any) -> Running:
    """A ready server."""
    running = launch(str(Path(__file__).parent / "writing_service.py"), json.dumps(options))
    until(lambda: client().get(running.url + "/readyz").status_code == 200)
    return running


@pytest.fixture(scope="module")
def running(launch: Launch) -> Running:
    return speaking(launch)


@pytest.fixture(scope="module")
def slow(launch: Launch) -> Running:
    """20 ms a token, room for two answers and for two that wait."""
    return speaking(launch, pause=0.02, at_once=2, waiting=2, time=1.2, chat=False)


@pytest.fixture(scope="module")
def api(running: Running) -> Iterator[Any]:
    with openai.OpenAI(base_url=running.url + "/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    """The same model, here."""
    return Speaker()


def expected(
    speaker: Speaker, ids: list[int], *, seed: int, number: int = 0, most: int = 200, **options: Any
) -> list[int]:
    """The tokens that decoding gives."""
    rng = np.random.default_rng([seed, number])
    found = continued(speaker.decoder, np.array(ids), Sampling(**options), most=most, rng=rng)
    return [token.id for token in found]


def chat(api: Any, **options: Any) -> Any:
    return api.chat.completions.create(**{"model": MODEL, "messages": ASKED, "seed": 1, "max_tokens": 200, **options})


def complete(api: Any, **options: Any) -> Any:
    return api.completions.create(**{"model": MODEL, "prompt": PROMPT, "seed": 1, "max_tokens": 200, **options})


def meter(running: Running, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", client().get(running.url + "/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def writing(running: Running) -> float:
    """Answers that are being written."""
    return meter(running, 'modelyard_answers{stage="writing"}')


# -- what is answered ------------------------------------------------------------------------------------------------------


def test_the_model_is_listed(api: Any) -> None:
    assert [model.id for model in api.models.list()] == [MODEL]
    assert api.models.retrieve(MODEL).owned_by == "modelyard"
    with pytest.raises(openai.NotFoundError) as error:
        api.models.retrieve("gpt/4")
    assert error.value.code == "model_not_found"


def test_a_chat_is_what_decoding_gives(api: Any, speaker: Speaker) -> None:
    messages = [
        {"role": "system", "content": "be kind."},
        {"role": "user", "content": [{"type": "text", "text": "where is "}, {"type": "text", "text": "the 猫?"}]},
    ]
    ids = speaker.encode_chat([messages[0], {"role": "user", "content": "where is the 猫?"}])
    for seed in range(3):
        answer = chat(api, messages=messages, seed=seed, temperature=0.8, top_p=0.95)
        wanted = expected(speaker, ids, seed=seed, temperature=0.8, top_p=0.95)
        assert (answer.object, answer.model, answer.choices[0].message.role) == ("chat.completion", MODEL, "assistant")
        assert answer.choices[0].message.content == speaker.decode(wanted)
        assert answer.choices[0].finish_reason == ("length" if len(wanted) == 200 else "stop")
        usage = answer.usage
        assert (usage.prompt_tokens, usage.completion_tokens) == (len(ids), len(wanted))
        assert usage.total_tokens == len(ids) + len(wanted)


def test_an_answer_may_be_sent_back(api: Any) -> None:
    first = chat(api).choices[0].message
    assert chat(api, messages=[*ASKED, first, *ASKED], max_tokens=5).usage.completion_tokens <= 5


def test_every_option_of_sampling_reaches_it(api: Any, speaker: Speaker) -> None:
    ours = {"temperature": 1.5, "top_p": 0.9, "top_k": 30, "min_p": 0.01, "repetition": 1.2, "presence": 0.5}
    bias = speaker.encode_prompt(" ")[-1]
    answer = complete(
        api, temperature=1.5, top_p=0.9, presence_penalty=0.5, frequency_penalty=0.25, logit_bias={str(bias): -2},
        extra_body={"top_k": 30, "min_p": 0.01, "repetition_penalty": 1.2},
    )  # fmt: skip
    wanted = expected(speaker, speaker.encode_prompt(PROMPT), seed=1, **ours, frequency=0.25, bias={bias: -2.0})
    assert answer.choices[0].text == speaker.decode(wanted)


def test_prompts_of_every_shape_are_answered_as_if_alone(api: Any, speaker: Speaker) -> None:
    prompts = [PROMPT, "assistant: the 猫"]
    ids = [speaker.encode_prompt(prompt) for prompt in prompts]
    alone = [complete(api, prompt=prompt, n=2) for prompt in prompts]
    texts = [choice.text for answer in alone for choice in answer.choices]
    for together in (prompts, ids):
        answer = complete(api, prompt=together, n=2)
        assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
        assert [choice.text for choice in answer.choices] == texts
        assert answer.usage.prompt_tokens == sum(map(len, ids))
        assert answer.usage.completion_tokens == sum(one.usage.completion_tokens for one in alone)
    assert complete(api, prompt=ids[0], n=2).choices == alone[0].choices
    assert texts == [
        speaker.decode(expected(speaker, one, seed=1, number=number)) for one in ids for number in range(2)
    ]


def test_a_seed_repeats_and_none_does_not(api: Any) -> None:
    texts = [chat(api, seed=seed).choices[0].message.content for seed in (7, 7, -7, None, None)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 4


def test_the_length_is_kept(api: Any, speaker: Speaker) -> None:
    ids = speaker.encode_chat(ASKED)
    answer = chat(api, max_tokens=None, max_completion_tokens=4)
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 4)
    rest = chat(api, max_tokens=None, logit_bias={str(number): -100 for number in speaker.decoder.ends})
    assert (rest.choices[0].finish_reason, rest.usage.total_tokens) == ("length", speaker.context)
    assert len(ids) + rest.usage.completion_tokens == speaker.context


@pytest.mark.parametrize("stop", ["and", [" the", "slept", "mat"], "🌙. then"])
def test_nothing_of_a_stop_sequence_is_told(api: Any, speaker: Speaker, stop: Any) -> None:
    stops, met = [stop] if isinstance(stop, str) else stop, 0
    for seed in range(6):
        wanted = speaker.decode(expected(speaker, speaker.encode_chat(ASKED), seed=seed))
        places = [place for one in stops if (place := wanted.find(one)) >= 0]
        met += bool(places)
        answer = chat(api, seed=seed, stop=stop, logprobs=True)
        told = wanted[: min(places)] if places else wanted
        assert answer.choices[0].message.content == told
        assert answer.choices[0].finish_reason == "stop"
        if "�" not in "".join(one.token for one in answer.choices[0].logprobs.content):
            assert "".join(one.token for one in answer.choices[0].logprobs.content) == told
        pieces = [chunk.choices[0].delta.content or "" for chunk in chat(api, seed=seed, stop=stop, stream=True)]
        assert "".join(pieces) == told
    assert met


def test_a_search_gives_what_beam_search_finds(api: Any, speaker: Speaker) -> None:
    ids = np.array(speaker.encode_prompt(PROMPT))
    answer = api.completions.create(model=MODEL, prompt=PROMPT, max_tokens=25, extra_body={"beams": 4})
    found = beam(speaker.decoder, ids, beams=4, most=25)
    assert answer.choices[0].text == speaker.decode(found)
    assert answer.usage.completion_tokens == len(found)


# -- logarithms ------------------------------------------------------------------------------------------------------------


def test_logarithms_are_those_of_the_model(api: Any, speaker: Speaker) -> None:
    ids = speaker.encode_chat(ASKED)
    wanted = expected(speaker, ids, seed=1)
    told = chat(api, logprobs=True, top_logprobs=3).choices[0].logprobs.content
    assert len(told) == len(wanted)
    logits, state = speaker.decoder.start(np.array(ids))
    for number, one in zip(wanted, told, strict=True):
        logs = log_softmax(logits)
        assert np.isclose(one.logprob, logs[number])
        assert np.allclose([other.logprob for other in one.top_logprobs], np.sort(logs)[:-4:-1])
        if one.bytes is not None:
            assert bytes(one.bytes).decode() == one.token
        rows, state = speaker.decoder.step(np.array([number]), state)
        logits = rows[0]


def test_offsets_point_into_the_text(api: Any) -> None:
    choice = complete(api, logprobs=2, echo=True).choices[0]
    assert choice.text.startswith(PROMPT)
    found = choice.logprobs
    assert (found.token_logprobs[0], found.top_logprobs[0]) == (None, None)
    for token, offset in zip(found.tokens, found.text_offset, strict=True):
        assert "�" in token or choice.text.startswith(token, offset)
    for token, logarithm, others in list(zip(found.tokens, found.token_logprobs, found.top_logprobs, strict=True))[1:]:
        assert 2 <= len(others) <= 3 or "�" in others  # halves of characters are told alike
        assert token == "�" or others[token] == logarithm


def test_a_text_is_scored_without_an_answer(api: Any, speaker: Speaker) -> None:
    """What evaluation harnesses ask for: the likelihood of a given text."""
    ids = speaker.encode_prompt("assistant: the cat sat on the mat.")
    answer = complete(api, prompt=ids, echo=True, logprobs=0, max_tokens=0)
    logits, state = speaker.decoder.start(np.array(ids[:1]))
    wanted = []
    for number in ids[1:]:
        wanted.append(log_softmax(logits)[number])
        rows, state = speaker.decoder.step(np.array([number]), state)
        logits = rows[0]
    assert answer.choices[0].text == "assistant: the cat sat on the mat."
    assert np.allclose(answer.choices[0].logprobs.token_logprobs[1:], wanted)
    assert (answer.usage.completion_tokens, answer.choices[0].finish_reason) == (0, "length")


# -- streams ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_a_streamed_chat_joins_to_the_whole(api: Any, seed: int) -> None:
    whole = chat(api, seed=seed, n=3, logprobs=True)
    chunks = list(chat(api, seed=seed, n=3, logprobs=True, stream=True, stream_options={"include_usage": True}))
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)
    assert all(chunk.usage is None for chunk in chunks[:-1])
    for choice in whole.choices:
        own = [chunk.choices[0] for chunk in chunks[:-1] if chunk.choices[0].index == choice.index]
        assert (own[0].delta.role, own[0].delta.content) == ("assistant", "")
        assert "".join(one.delta.content or "" for one in own) == choice.message.content
        if "�" not in choice.message.content:
            assert all("�" not in (one.delta.content or "") for one in own)
        assert [one.finish_reason for one in own] == [None] * (len(own) - 1) + [choice.finish_reason]
        assert [token for one in own if one.logprobs for token in one.logprobs.content] == choice.logprobs.content


def test_a_streamed_completion_joins_to_the_whole(api: Any) -> None:
    options = {"prompt": [PROMPT, "the dog"], "echo": True, "logprobs": 1, "n": 2}
    whole = complete(api, **options)
    chunks = list(complete(api, **options, stream=True))
    assert all(chunk.usage is None for chunk in chunks)
    for choice in whole.choices:
        own = [chunk.choices[0] for chunk in chunks if chunk.choices[0].index == choice.index]
        assert "".join(one.text for one in own) == choice.text
        assert own[-1].finish_reason == choice.finish_reason
        for name in ("tokens", "token_logprobs", "text_offset"):
            told = [value for one in own if one.logprobs for value in getattr(one.logprobs, name)]
            assert told == getattr(choice.logprobs, name)


def test_the_stream_is_one_of_events(running: Running) -> None:
    body = {"model": MODEL, "messages": ASKED, "stream": True, "seed": 3}
    answer = client().post(running.url + "/v1/chat/completions", json=body, headers={"x-request-id": "mine"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-request-id"] == "mine"
    *events, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    assert all(json.loads(event.removeprefix("data: "))["id"] == "chatcmpl-mine" for event in events)


# -- refusals --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "param", "code", "told"),
    [
        ({"temperature": 9}, "temperature", "invalid_value", "less than or equal to 5 (got 9)"),
        ({"temperature": "hot"}, "temperature", "invalid_value", 'number (got "hot")'),
        ({"max_tokens": 0}, "max_tokens", "invalid_value", "at least 1"),
        ({"max_tokens": 10**6}, "max_tokens", "invalid_value", "at most 4096"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens", "invalid_value", "Give one"),
        ({"n": 9}, "n", "invalid_value", "at most 8"),
        ({"stop": list("abcde")}, "stop", "invalid_value", "four"),
        ({"stop": 3}, "stop", "invalid_value", "must be a text"),
        ({"top_logprobs": 2}, "top_logprobs", "invalid_value", "logprobs: true"),
        ({"logit_bias": {"4000": 1}}, "logit_bias", "invalid_value", "no token '4000'"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value", "stream: true"),
        ({"response_format": {"type": "json_object"}}, "response_format.type", "invalid_value", "'text'"),
        ({"tools": []}, "tools", "unsupported_parameter", "not supported"),
        ({"extra_body": {"temprature": 1}}, "temprature", "unknown_parameter", "Did you mean 'temperature'?"),
        ({"extra_body": {"beams": 2}, "n": 2}, "beams", "invalid_value", "one answer"),
        ({"extra_body": {"beams": 2}}, "seed", "invalid_value", "does not go with `beams`"),
        ({"messages": []}, "messages", "invalid_value", "at least 1"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role", "invalid_value", "'system'"),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "missing_required_parameter", "required"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages.0.content", "invalid_value", "must be a text",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(api: Any, options: dict[str, Any], param: str, code: str, told: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        chat(api, **options)
    assert (error.value.param, error.value.code, error.value.type) == (param, code, "invalid_request_error")
    assert told in error.value.body["message"]
    assert re.fullmatch(r"[0-9a-f]{24}", error.value.request_id)


@pytest.mark.parametrize(
    ("prompt", "told"),
    [([], "at least one"), ([[]], "no token"), ([1, 4000], "no token 4000"), (["a", 1], "must be a text"), ("a " * 400, "fit")],
)  # fmt: skip
def test_a_prompt_that_cannot_be_continued_is_refused(api: Any, prompt: Any, told: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        complete(api, prompt=prompt)
    assert error.value.param == "prompt"
    assert told in error.value.body["message"]


def test_too_long_a_text_is_told_in_tokens(api: Any, speaker: Speaker) -> None:
    count = len(speaker.encode_prompt(PROMPT))
    with pytest.raises(openai.BadRequestError) as error:
        complete(api, max_tokens=300)
    assert error.value.code == "context_length_exceeded"
    told = f"there are {count} tokens, and with 300 of an answer that is {count + 300}. At most 300 fit"
    assert told in error.value.body["message"]


def test_another_model_is_not_found(api: Any) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        chat(api, model="gpt-4o")
    assert (error.value.param, error.value.code) == ("model", "model_not_found")
    assert "'speaker'" in error.value.body["message"]


def test_bodies_that_are_none_are_refused(running: Running) -> None:
    large = b'{"model": "speaker", "prompt": "' + b"a" * 17_000_000 + b'"}'
    for body, status in ((b"{", 400), (b"[]", 400), (b'{"seed": NaN}', 400), (large, 413)):
        answer = client().post(running.url + "/v1/completions", content=body)
        assert (answer.status_code, set(answer.json()["error"])) == (status, {"message", "type", "param", "code"})


def test_many_faults_cost_no_more_than_one() -> None:
    """Each shape that a prompt may have is read up to its first fault."""
    bodies = ({"prompt": [*[1] * 50_000, "a"]}, {"prompt": [[1, "a"]] * 50_000}, {"messages": [{}] * 50_000})
    for body in bodies:
        kind = asking.TextRequest if "prompt" in body else asking.ChatRequest
        with pytest.raises(ValidationError) as error:
            kind.model_validate_json(json.dumps({"model": MODEL, **body}))
        assert error.value.error_count() <= 5
        with pytest.raises(Refused):
            asking.read_options(json.dumps({"model": MODEL, **body}).encode(), kind)


def test_an_error_of_ours_is_told_without_content(api: Any, running: Running, speaker: Speaker) -> None:
    with pytest.raises(openai.InternalServerError) as error:
        complete(api, prompt=BREAKS)
    assert (error.value.status_code, error.value.code) == (500, "internal")
    amid = complete(api, stream=True, logit_bias={str(speaker.decoder.broken): 100})
    with pytest.raises(openai.APIError) as late:
        list(amid)
    assert late.value.code == "internal"
    failures = until(lambda: [line for line in running.lines() if line["event"] == "failure"])
    assert {line["error"] for line in failures} == {"RuntimeError"}
    assert "SECRET" not in running.log.read_text() + str(error.value) + str(late.value)
    assert complete(api).choices[0].text


def test_a_model_without_conversations_says_so(slow: Running) -> None:
    with openai.OpenAI(base_url=slow.url + "/v1", api_key="none", max_retries=0) as api:
        with pytest.raises(openai.BadRequestError) as error:
            chat(api)
        assert "not trained on conversations" in error.value.body["message"]
        assert complete(api, max_tokens=2).usage.completion_tokens == 2


# -- many, and those who leave ---------------------------------------------------------------------------------------------


def test_an_answer_is_the_same_alone_and_in_a_crowd(api: Any, running: Running) -> None:
    prompts = [f"{'the dog. ' * place}{PROMPT}" for place in range(6)]
    alone = {
        (prompt, seed): complete(api, prompt=prompt, seed=seed).choices[0].text
        for prompt in prompts
        for seed in range(4)
    }

    async def crowd() -> dict[tuple[str, int], str]:
        async with openai.AsyncOpenAI(base_url=running.url + "/v1", api_key="none", max_retries=0) as many:

            async def one(prompt: str, seed: int) -> str:
                given: Any = {"model": MODEL, "prompt": prompt, "seed": seed, "max_tokens": 200}
                if seed % 2:
                    return str((await many.completions.create(**given)).choices[0].text)
                stream = await many.completions.create(**given, stream=True)
                return "".join([chunk.choices[0].text async for chunk in stream])

            texts = await asyncio.gather(*(one(*key) for key in alone))
            return dict(zip(alone, texts, strict=True))

    assert asyncio.run(crowd()) == alone
    until(lambda: writing(running) == 0)


def test_answers_are_written_side_by_side_and_those_beyond_are_refused(slow: Running) -> None:
    """Two are written, two wait, and the fifth and sixth are told when to come again."""

    async def crowd() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=slow.url + "/v1", api_key="none", max_retries=0) as many:
            asked: Any = {"model": MODEL, "prompt": PROMPT, "max_tokens": 8, "logit_bias": {"0": -100}}
            return await asyncio.gather(*(many.completions.create(**asked) for _ in range(6)), return_exceptions=True)

    answers = asyncio.run(crowd())
    refused = [answer for answer in answers if isinstance(answer, openai.RateLimitError)]
    assert len(refused) == 2
    assert all(answer.usage.completion_tokens == 8 for answer in answers if answer not in refused)
    assert {(one.code, one.type) for one in refused} == {("overloaded", "rate_limit_error")}
    assert all(int(one.response.headers["retry-after"]) >= 1 for one in refused)


def test_who_leaves_a_stream_is_written_for_no_more(slow: Running) -> None:
    with openai.OpenAI(base_url=slow.url + "/v1", api_key="none", max_retries=0) as api:
        stream = complete(api, stream=True, logit_bias={"0": -100})
        next(stream)
        assert writing(slow) == 1
        stream.close()
    until(lambda: writing(slow) == 0, seconds=3)
    stands = meter(slow, "modelyard_completion_tokens_total")
    time.sleep(0.1)
    assert meter(slow, "modelyard_completion_tokens_total") == stands
    assert not [line for line in slow.lines() if line["event"] == "failure"]


def test_who_leaves_before_the_answer_is_written_for_no_more(slow: Running) -> None:
    with openai.OpenAI(base_url=slow.url + "/v1", api_key="none", max_retries=0, timeout=0.3) as api:
        before = meter(slow, "modelyard_completion_tokens_total")
        with pytest.raises(openai.APITimeoutError):
            complete(api, logit_bias={"0": -100})
    until(lambda: writing(slow) == 0, seconds=3)
    assert meter(slow, "modelyard_completion_tokens_total") - before < 40
    lines = until(lambda: [line for line in slow.lines() if line.get("status") == 499])
    assert lines[-1]["path"] in ("/v1/completions", "other")


def test_an_answer_that_takes_too_long_is_a_504(slow: Running) -> None:
    with openai.OpenAI(base_url=slow.url + "/v1", api_key="none", max_retries=0) as api:
        with pytest.raises(openai.InternalServerError) as error:
            complete(api, max_tokens=250, logit_bias={"0": -100})
        assert (error.value.status_code, error.value.code) == (504, "timeout")
        stream = complete(api, max_tokens=250, logit_bias={"0": -100}, stream=True)
        with pytest.raises(openai.APIError) as late:
            list(stream)
        assert late.value.code == "timeout"
    until(lambda: writing(slow) == 0, seconds=3)


# -- what is measured and described ----------------------------------------------------------------------------------------


def test_tokens_and_their_times_are_metered(api: Any, running: Running) -> None:
    names = (
        "modelyard_prompt_tokens_total",
        "modelyard_completion_tokens_total",
        "modelyard_first_token_seconds_count",
    )
    before = [meter(running, name) for name in (*names, "modelyard_token_seconds_count")]
    usage = complete(api, prompt=[PROMPT, "the"], max_tokens=20, logit_bias={"0": -100}).usage
    after = [meter(running, name) for name in (*names, "modelyard_token_seconds_count")]
    assert [int(late - early) for early, late in zip(before, after, strict=True)] == [usage.prompt_tokens, 40, 2, 38]


def test_the_endpoints_are_described() -> None:
    described = asking.describe("speaker")
    assert set(described["paths"]) == {"/v1/chat/completions", "/v1/completions"}
    known = set(described["schemas"])
    assert set(re.findall(r"#/components/schemas/(\w+)", json.dumps(described))) <= known
    for name in ("ChatRequest", "TextRequest"):
        assert all(field.get("description") for field in described["schemas"][name]["properties"].values())
