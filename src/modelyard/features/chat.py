"""Conversations as tokens, as a model's own chat template writes them. jinja2, numpy and `tokenizers` only.

    ids = tokens([{"role": "user", "content": "Hello"}], features)     up to where the answer begins

Features hold `template` (Jinja, as in tokenizer_config.json), its `specials` (names such as `bos_token` and their texts) and the tokenizer.
What is learnt from and what is served go through this one function. What looks like a special token in a message is text. It knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from modelyard.errors import DataError
from modelyard.features import subwords

MARK = "\U0010fffd{}\U0010fffd"
"""Stands for what looks like a special token in a message, while it is written into the template: a code point that no text may use."""
MARKED = re.compile(MARK.format(r"(\d+)"))


def tokens(messages: Sequence[Mapping[str, Any]], features: dict[str, Any]) -> list[int]:
    """The ids of a conversation, and of what begins the answer to it."""
    return many([messages], features)[0]


def many(conversations: Sequence[Sequence[Mapping[str, Any]]], features: dict[str, Any]) -> list[list[int]]:
    """The same of several."""
    names, made = _special_texts(features["tokenizer"]), _spelling(features["tokenizer"])
    texts = [render(_marked(messages, names), features) for messages in conversations]
    found = [each.ids for each in made.encode_batch_fast(texts, add_special_tokens=False)]
    return [
        _apart(text, names, features) if MARKED.search(text) else ids for text, ids in zip(texts, found, strict=True)
    ]


def closing(features: dict[str, Any]) -> int | None:
    """The special token that the template puts behind an answer; None where there is none."""
    answered = [{"role": "user", "content": "?"}, {"role": "assistant", "content": MARK.format(0)}]
    behind = render(answered, features, going=False).partition(MARK.format(0))[2].lstrip()
    name = next((name for name in _special_texts(features["tokenizer"]) if behind.startswith(name)), None)
    return None if name is None else int(_spelling(features["tokenizer"]).token_to_id(name))


def _apart(text: str, names: tuple[str, ...], features: dict[str, Any]) -> list[int]:
    """Special tokens of the template, and between them text, in which those of messages are text again."""
    made = subwords.tokenizer(features["tokenizer"])
    ids: list[int] = []
    for piece in re.split(f"({'|'.join(map(re.escape, names))})", text):
        whole = MARKED.sub(lambda match: names[int(match.group(1))], piece)
        ids += [made.token_to_id(piece)] if piece in names else made.encode(whole, add_special_tokens=False).ids
    return ids


def render(messages: Sequence[Mapping[str, Any]], features: dict[str, Any], *, going: bool = True) -> str:
    """The text of a conversation; `going`: up to where its answer begins. DataError where the template refuses it or fails."""
    from jinja2 import TemplateError

    given = {"messages": list(messages), "add_generation_prompt": going, "tools": None, "documents": None}
    try:
        return str(_template(features["template"]).render(**features["specials"], **given))
    except (TemplateError, TypeError, ValueError, AttributeError, KeyError) as error:
        raise DataError(f"the chat template does not take this conversation: {error}") from None


@lru_cache(maxsize=8)
def _template(text: str) -> Any:
    """Compiled as transformers does it: sandboxed, nothing in it may be changed, loops may break, lines of blocks leave no space."""
    import json

    from jinja2 import TemplateError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    made.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    made.globals |= {"raise_exception": refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
    try:
        return made.from_string(text)
    except TemplateError as error:
        raise DataError(f"the chat template is not Jinja: {error}") from None


def _marked(messages: Sequence[Mapping[str, Any]], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Messages in which nothing looks like a special token."""
    every = re.compile("|".join(map(re.escape, names)) if names else r"(?!)")

    def marked(text: Any) -> Any:
        return every.sub(lambda match: MARK.format(names.index(match.group())), text) if isinstance(text, str) else text

    return [{name: marked(value) for name, value in message.items()} for message in messages]


@lru_cache(maxsize=8)
def _special_texts(tokenizer: str) -> tuple[str, ...]:
    """Every special token, the longest first: one may begin another."""
    added = subwords.tokenizer(tokenizer).get_added_tokens_decoder().values()
    return tuple(sorted((each.content for each in added if each.special), key=lambda name: (-len(name), name)))


@lru_cache(maxsize=8)
def _spelling(tokenizer: str) -> Any:
    """A tokenizer that reads special tokens where they stand."""
    found = subwords.read(tokenizer)
    found.encode_special_tokens = False
    return found
