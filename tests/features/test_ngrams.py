"""Words of scripts that put no spaces between them: characters take their place, as prepare's data card says, and a model learns from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelyard import Blueprint
from modelyard.features import ngrams
from modelyard.prepare import scripts
from modelyard.records.evaluated import Evaluated
from modelyard.records.prepared import Prepared
from modelyard.run import run
from tests import toys

CHINESE = ["这家餐厅的味道非常好", "这家餐厅的味道很差", "服务非常好", "味道很差"]
THAI = ["อาหารอร่อยมาก", "อาหารไม่อร่อย", "บริการดีมาก", "อร่อยมาก"]
ENGLISH = ["a very good place to eat", "a bad place to eat", "very good service", "a bad meal"]


def column(texts: list[str]) -> np.ndarray:
    return np.array(texts, dtype=object)


@pytest.mark.parametrize("texts", [CHINESE, THAI], ids=["Chinese", "Thai"])
def test_unspaced_texts_are_read_in_characters(texts: list[str]) -> None:
    for longest, sizes in ((1, {1, 2}), (2, {1, 2}), (3, {1, 2, 3})):
        found = ngrams.fit_words(column(texts), longest=longest, most=10**6)
        assert found["unspaced"] and {len(term) for term in found["terms"]} == sizes
        assert all(sum(term in text for text in texts) >= 2 for term in found["terms"])
    assert ngrams.encode_words(column(texts), found).dense().any(axis=1).all(), "every text has known terms"


def test_spaced_texts_are_read_in_words() -> None:
    found = ngrams.fit_words(column(ENGLISH), longest=1, most=10**6)
    assert not found["unspaced"]
    assert set(found["terms"]) == {"very", "good", "bad", "place", "to", "eat"}, "whole words of two letters or more"


@pytest.mark.parametrize(("text", "script", "unspaced"), toys.SCRIPTS)
def test_features_and_the_data_card_agree_on_scripts(text: str, script: str | None, unspaced: bool) -> None:
    assert ngrams.is_unspaced(column([text, text])) == scripts.script(pl.Series([text, text]))["unspaced"] == unspaced


UNSPACED = {"Lao": "ອາຫານແຊບຫຼາຍ", "Khmer": "អាហារឆ្ងាញ់ណាស់", "Myanmar": "အစားအစာအရမ်းကောင်းတယ်", "Tibetan": "ཁ་ལག་ཞིམ་པོ་འདུག"}


@pytest.mark.parametrize("script", UNSPACED)
def test_rarer_unspaced_scripts_are_known_to_both(script: str) -> None:
    text = UNSPACED[script]
    assert scripts.script(pl.Series([text]))["script"] == script
    assert ngrams.is_unspaced(column([text])) == scripts.script(pl.Series([text]))["unspaced"] is True


GOOD, BAD = ("会议纪要", "项目进度", "午餐安排", "代码评审"), ("免费中奖", "现金大礼", "点击领取", "限时优惠")
PLAIN = "今天明天我们你们请查看一下谢谢可以时间下午上海北京公司同事大家需要发送附件内容"


def chinese(rows: int = 240) -> pl.DataFrame:
    """Short Chinese texts of two classes; a class has words of its own, within a run of characters that say nothing."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(rows):
        spam = bool(rng.random() < 0.4)
        own = str(rng.choice(BAD if spam else GOOD))
        left, right = ("".join(rng.choice(list(PLAIN), 10)) for _ in range(2))
        found.append({"text": f"{left}{own}{right}。", "label": "spam" if spam else "ham"})
    return pl.DataFrame(found)


def test_a_linear_model_learns_from_chinese(tmp_path: Path) -> None:
    chinese().write_ndjson(tmp_path / "rows.jsonl")
    path = toys.write_blueprint(tmp_path, tmp_path / "rows.jsonl", target="label", train={"candidates": {"linear": {}}})
    records = run(Blueprint.load(path), tmp_path / "build", to="evaluate").records
    prepared, evaluated = records["prepare"], records["evaluate"]
    assert isinstance(prepared, Prepared) and isinstance(evaluated, Evaluated)
    assert prepared.task == "text-classification" and prepared.column("text").facts["unspaced"]
    (gate,) = [gate for gate in evaluated.gates if gate.name == "evaluate.beats_dummy"]
    assert gate.passed and evaluated.candidates["dummy"].difference.low > 0, gate
    assert evaluated.metrics["f1_macro"].value > 0.95
