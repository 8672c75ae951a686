"""Toy data that has an answer: small real files, so that a test trains a real model in a second."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

GOOD = ("lunch", "meeting", "agenda", "minutes", "patch", "review", "thanks", "schedule", "draft", "notes")
BAD = ("winner", "prize", "free", "cash", "click", "offer", "credit", "urgent", "casino", "pills")
PLAIN = (
    "the",
    "and",
    "for",
    "with",
    "this",
    "that",
    "from",
    "have",
    "will",
    "your",
    "please",
    "today",
    "monday",
    "team",
)
SCRIPTS = [
    ("plain English words", "Latin", False), ("naïve façade über", "Latin", False), ("这家餐厅的味道非常好", "Han", True),
    ("この映画はとても面白かったです", "Kana", True), ("อาหารอร่อยมาก", "Thai", True), ("Это хороший фильм", "Cyrillic", False),
    ("هذا فيلم جيد", "Arabic", False), ("이 영화는 정말 좋았다", "Hangul", False), ("यह अच्छा है", "Devanagari", False),
    ("这个iPhone手机的屏幕很好", "Han", True), ("12345 !!", None, False),
]  # fmt: skip
"""Texts, their script, and whether it writes words without spaces between them."""


def table(rows: int = 400, *, seed: int = 0) -> pl.DataFrame:
    """Numbers with missing values, a category, a boolean, a date; `status` (two classes) and `price` depend on them."""
    rng = np.random.default_rng(seed)
    income, age = rng.gamma(3.0, 800.0, rows).round(2), rng.integers(18, 80, rows)
    home = rng.choice(["rent", "own", "parents"], rows)
    records = rng.random(rows) < 0.2
    score = (income - 2400) / 1000 + 1.0 * (home == "own") - 1.5 * records + rng.normal(0, 0.7, rows)
    day = np.datetime64("2025-01-01") + rng.integers(0, 365, rows).astype("timedelta64[D]")
    return pl.DataFrame(
        {
            "income": [None if rng.random() < 0.05 else value for value in income.tolist()], "age": age, "home": home, "records": records,
            "opened": day.astype("datetime64[ms]"), "status": np.where(score > 0, "good", "bad"), "price": (50 + 10 * score).round(3),
        }
    )  # fmt: skip


def texts(rows: int = 240, *, seed: int = 0) -> pl.DataFrame:
    """Short texts; `label` says which words lean which way. No two are near duplicates."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(rows):
        spam = bool(rng.random() < 0.4)
        own = rng.choice(BAD if spam else GOOD, 3)
        words = [*own, *rng.choice(PLAIN, 5), f"w{rng.integers(10**6)}", f"w{rng.integers(10**6)}"]
        rng.shuffle(words)
        found.append({"subject": f"{own[0]} {number}", "body": " ".join(words), "label": "spam" if spam else "ham"})
    return pl.DataFrame(found)


def png(pixels: Any, *, mode: str | None = None, kind: str = "PNG", **options: Any) -> bytes:
    """Pixels (H, W) or (H, W, 3) uint8, or (H, W) uint16, as the bytes of an image file; `mode`: converted to it first."""
    from PIL import Image

    memory, image = io.BytesIO(), Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(memory, format=kind, **options)
    return memory.getvalue()


def stripes(rows: int = 160, *, seed: int = 0) -> list[tuple[str, bytes]]:
    """Grey images of 12 x 12 pixels with noise, striped `across` or `down`, at any phase: no pixel alone says which. No two are alike."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(rows):
        dark, light = rng.integers(30, 90), rng.integers(150, 230)
        lines = np.where((np.arange(12) + rng.integers(4)) % 4 < 2, dark, light)
        pixels = np.tile(lines, (12, 1)) if number % 2 else np.tile(lines[:, None], (1, 12))
        noisy = np.clip(pixels + rng.integers(-25, 26, (12, 12)), 0, 255).astype(np.uint8)
        found.append(("down" if number % 2 else "across", png(noisy)))
    return found


def write_stripes(folder: Path, *, rows: int = 160, seed: int = 0) -> Path:
    """`stripes`, a folder a class."""
    place = folder / "pictures"
    for number, (label, data) in enumerate(stripes(rows, seed=seed)):
        (place / label).mkdir(parents=True, exist_ok=True)
        (place / label / f"{number:03d}.png").write_bytes(data)
    return place


def waves(rows: int = 160, *, seed: int = 0) -> pl.DataFrame:
    """Series of 12 to 40 steps with noise: a `sine` or a `square` wave of any pace, phase and height."""
    rng = np.random.default_rng(seed)
    series, labels = [], []
    for number in range(rows):
        steps = np.arange(rng.integers(12, 41))
        wave = np.sin(rng.uniform(0.4, 0.9) * steps + rng.uniform(0, 6))
        wave = rng.uniform(0.5, 2.0) * (np.sign(wave) if number % 2 else wave) + rng.normal(0, 0.05, len(steps))
        series.append(wave.round(4).tolist())
        labels.append("square" if number % 2 else "sine")
    return pl.DataFrame({"wave": series, "label": labels}, schema={"wave": pl.List(pl.Float64), "label": pl.String})


def write_waves(folder: Path, *, rows: int = 160, seed: int = 0) -> Path:
    """`waves`, as a Parquet file."""
    path = folder / "waves.parquet"
    waves(rows, seed=seed).write_parquet(path)
    return path


def write_table(folder: Path, *, rows: int = 400, seed: int = 0) -> Path:
    """`table` without `price`, as a CSV file."""
    path = folder / "rows.csv"
    table(rows, seed=seed).drop("price").write_csv(path)
    return path


def write_prices(folder: Path, *, rows: int = 400, seed: int = 0) -> Path:
    """`table` without `status`, as a Parquet file."""
    path = folder / "prices.parquet"
    table(rows, seed=seed).drop("status").write_parquet(path)
    return path


def write_texts(folder: Path, *, rows: int = 240, seed: int = 0) -> Path:
    """`texts`, as JSON lines."""
    path = folder / "texts.jsonl"
    texts(rows, seed=seed).write_ndjson(path)
    return path


def write_encoder(folder: Path, words: list[str] | None = None) -> Path:
    """A tiny randomly initialised BERT with its tokenizer, as a folder that the encoder's `pretrained` can name."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, set_seed

    letters = [chr(code) for code in range(32, 127) if not chr(code).isspace()]
    known = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        *letters,
        *("##" + letter for letter in letters),
        *(words or [*GOOD, *BAD, *PLAIN]),
    ]
    vocabulary = {word: place for place, word in enumerate(dict.fromkeys(known))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    place = folder / "encoder"
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.save_pretrained(place)
    set_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(place)
    return place


def write_blueprint(folder: Path, data: Path, *, target: str, name: str = "toy", **sections: Any) -> Path:
    """A tiny blueprint for a data file; sections are merged over quick settings."""
    from ruamel.yaml import YAML

    values: dict[str, Any] = {
        "name": name, "size": "tiny", "data": {"source": data.name, "target": target},
        "train": {"budget": "60 s"}, "evaluate": {"bootstrap": 200},
        "serve": {"p95": "250 ms", "levels": [5, 20], "level_time": "0.5 s"},
    }  # fmt: skip
    for key, value in sections.items():
        values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    path = folder / "blueprint.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(values, file)
    return path


CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""SmolLM2's chat template, with another system prompt."""


def write_llama(folder: Path, *, template: str | None = CHATML, **config: Any) -> Path:
    """A tiny randomly initialised Llama with a tokenizer that knows conversations, as `pretrained` of a language model can name it."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    tokenizer.train_from_iterator([" ".join([*GOOD, *BAD, *PLAIN, "system user assistant"])] * 4, trainer)
    place = folder / "llama"
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>")
    fast.chat_template = template
    fast.save_pretrained(place)
    set_seed(0)
    shape = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 256, "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    model = LlamaForCausalLM(LlamaConfig(vocab_size=tokenizer.get_vocab_size(), **{**shape, **config}))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4) if weight.dim() > 1 else weight.add_(torch.randn_like(weight) * 0.2)
        model.model.embed_tokens.weight.mul_(5)  # or no answer could be certain
    model.save_pretrained(place)
    return place
