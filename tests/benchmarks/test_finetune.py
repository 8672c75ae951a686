"""The benchmark of fine-tuning: where ours is faster and smaller the bars are reached, and swapped they are missed."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

from benchmarks import finetune


def cell(ours: float, theirs: float, *, peak: float) -> dict[str, Any]:
    """Seconds of a round; `peak`: ours as a share of theirs."""
    seconds = {finetune.OURS: ours, **dict.fromkeys(finetune.THEIRS, theirs)}
    told = {
        name: {
            "rounds": [{"seconds": each, "processor": 2 * each, "steps": 2, "loss": 3.5}] * 3, "versions": {},
            "peak": int(2e9 * (peak if name == finetune.OURS else 1)),
        }
        for name, each in seconds.items()
    }  # fmt: skip
    facts = {"date": "2026-11-22", "machine": {}, "load": [0.1], "commit": "none", "sources": "none"}
    return {"before": facts, "after": facts, "others": 0.0, "threads": 2, "made": {"tokens": 4000, "answers": 2000}, "contenders": told}  # fmt: skip


def test_the_report_asks_for_at_least_the_trainers_speed_and_at_most_its_memory() -> None:
    found = finetune.report({"smollm2": cell(5.0, 10.0, peak=0.5)})
    assert [bar.passed for bar in found.bars] == [True, True]
    assert found.figures["ours"]["tokens_a_second"] == pytest.approx(1000 / 5)
    assert found.figures["trainer"]["times_faster"]["value"] == pytest.approx(2)
    assert found.figures["trainer"]["times_lighter"]["value"] == pytest.approx(2)
    assert [bar.passed for bar in finetune.report({"smollm2": cell(10.0, 5.0, peak=1.5)}).bars] == [False, False]
    assert len(found.tables[0][2]) == len(finetune.entries())
    assert all(len(line) == len(found.tables[0][1]) for line in found.tables[0][2])
