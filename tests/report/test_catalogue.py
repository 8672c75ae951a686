"""The catalogue: both languages hold the same keys and placeholders, every key asked for is there, and every shelf's parts have names."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import get_args

import pytest
from markupsafe import Markup

import modelyard.report
from modelyard import metrics, parts
from modelyard.records.prepared import ColumnCard, Suspect
from modelyard.records.valued import Remark
from modelyard.report.catalogue import Words, languages, texts
from modelyard.report.world import STAGES

SOURCES = sorted(Path(modelyard.report.__file__).parent.rglob("*.py")) + sorted(
    Path(modelyard.report.__file__).parent.rglob("*.html")
)
CODE = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
ASKED = set(re.findall(r"""words(?:\.plain)?\(\s*["']([a-z0-9_.]+)["']""", CODE))
GROUPS = set(re.findall(r"""words\.name\(\s*["']([a-z_]+)["']""", CODE))
WORKED_OUT = {
    "unit", "money", "light", "gate", "cure", "metric_help", "check_help", "economics", "plan", "cash", "remark", "money_of", "figure", "about", "done",
}  # fmt: skip
"""Groups whose keys are put together in the code: `words(f"plan.{key}")`."""


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_the_languages_have_the_same_keys_and_placeholders() -> None:
    assert languages() == ("en", "zh")
    english, chinese = texts("en"), texts("zh")
    assert english.keys() == chinese.keys()
    assert [key for key in english if placeholders(english[key]) != placeholders(chinese[key])] == []
    assert [key for key, text in {**english, **chinese}.items() if not text and key != "verdict.between"] == []


def test_every_key_asked_for_is_there() -> None:
    assert sorted(ASKED - texts("en").keys()) == []
    assert len(ASKED) > 150


def test_no_text_is_left_over() -> None:
    worked_out = re.findall(r"""words(?:\.plain)?\(\s*f["']([a-z_]+)\.""", CODE)
    used = GROUPS | WORKED_OUT | set(worked_out)
    assert [key for key in texts("en") if key not in ASKED and key.split(".")[0] not in used] == []


def test_a_missing_key_is_an_error_not_a_blank() -> None:
    with pytest.raises(KeyError, match=r"train\.nothing"):
        Words("en")("train.nothing")


def test_what_is_filled_in_is_escaped() -> None:
    said = Words("en")("verdict.beside", name="<b>", value=Markup("<i>1</i>"))
    assert said == "&lt;b&gt; <i>1</i>"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_parts_and_codes_have_names(language: str) -> None:
    words = Words(language)
    wanted = [f"metric.{name}" for name in metrics.names()] + [f"metric_help.{name}" for name in metrics.names()]
    wanted += [f"task.{name}" for name in parts.names("tasks")]
    wanted += [f"check.{name}" for name in parts.names("audit.checks")] + [
        f"check_help.{name}" for name in parts.names("audit.checks")
    ]
    wanted += [f"method.{name}" for name in parts.names("compress.methods")]
    wanted += [f"section.{name}" for name in (*STAGES, "verdict", "appendix")] + [
        f"about.{name}" for name in (*STAGES, "appendix")
    ]
    wanted += [f"type.{name}" for name in get_args(ColumnCard.model_fields["type"].annotation)]
    wanted += [f"role.{name}" for name in get_args(ColumnCard.model_fields["role"].annotation)]
    wanted += [f"suspect.{name}" for name in get_args(Suspect.model_fields["kind"].annotation)]
    wanted += [f"remark.{name}" for name in get_args(Remark.model_fields["code"].annotation)]
    assert [key for key in wanted if not words.has(key.replace("-", "_"))] == []


def test_chinese_is_chinese() -> None:
    """A text with an English sentence in it was forgotten: three small words in a row, outside placeholders and commands."""
    forgotten = re.compile(r"\b[a-z]{2,} [a-z]{2,} [a-z]{2,}\b")
    assert [key for key, text in texts("zh").items() if forgotten.search(re.sub(r"\{\w+\}|yard run", "", text))] == []
