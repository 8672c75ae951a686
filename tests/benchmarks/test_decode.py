"""The decode benchmark's report: where ours writes twice as fast the bars are reached, and swapped they are missed."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import decode


def cell(ours: float, generate: float, llama: float) -> dict[str, Any]:
    """Everybody with so many seconds a token."""
    run = {"date": "2026-11-22T00:00:00", "load": [0.1] * 3, "machine": {"cores": "2"}, "commit": "", "sources": "abc"}
    seconds = {**dict.fromkeys(decode.OURS, ours), **dict.fromkeys(decode.GENERATE, generate), decode.LLAMA: llama}
    contenders = {
        name: {
            "rounds": [{"read": 10 * each, "follow": each * (decode.NEW - 1), "ids": []}] * 3, "peak": 1, "versions": {},
            **({"loss": 1.2} if name in decode.OURS else {}),
        }
        for name, each in seconds.items()
    }  # fmt: skip
    size = {"fp32": 4, "int8": 1, "int4": 1, "source": 1}
    made = {"source": "model.gguf", "bytes": {name: count * 10**8 for name, count in size.items()}}
    return {"before": run, "after": run, "others": 0.0, "threads": 2, "made": made, "contenders": contenders}


def test_the_decode_report_asks_for_twice_the_speed_of_generate_and_states_the_gap_to_llama() -> None:
    found = decode.report({"smollm2": cell(0.01, 0.04, 0.008)})
    assert [bar.passed for bar in found.bars] == [True, True]
    assert found.figures["ours-int8"]["tokens_a_second"] == pytest.approx(100)
    assert found.figures["ours-int8"]["times_generate"]["value"] == pytest.approx(4)
    assert found.figures["ours-int8"]["times_llama"]["value"] == pytest.approx(0.8)
    assert [bar.passed for bar in decode.report({"smollm2": cell(0.04, 0.01, 0.008)}).bars] == [False, False]
    assert len(found.tables[0][2]) == len(decode.entries())


def test_letters_and_prompts_are_the_same_each_time() -> None:
    assert decode.prompts(1) == decode.prompts(1) != decode.prompts(2) and len(decode.prompts(0)) == decode.PROMPT
    assert len(decode.letters()) == decode.TEXTS and decode.letters() == decode.letters()
