"""finetune: tokens a second and peak memory of LoRA, beside transformers' Trainer with PEFT on the same weights and conversations.

SmolLM2-135M-Instruct, English verses and their Spanish, float32, the same rank and matrices, about the same tokens a step. The Trainer
fills batches up to their longest row; once as it comes, once with rows of like length together. Everybody stays loaded and takes turns.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import builds, harness, ratios
from benchmarks.harness import Entry, Session
from benchmarks.ratios import Bar, Result, interval
from modelyard.context import available_cores

DEFAULTS = {"rounds": 4}
CELLS = ["smollm2"]
MINUTES = 15.0
VERSES = builds.RECIPES / "verses-assistant" / "verses.parquet"
ROUND, TOGETHER = 16, 8
"""Conversations of a round, and of a step."""
OURS = "ours"
THEIRS = ("trainer", "trainer-by-length")


def entries() -> list[Entry]:
    """Everybody."""
    return [Entry(OURS, "finetuning", None, {}), *(Entry(name, "finetuning", "peft", {}) for name in THEIRS)]


def run(session: Session) -> None:
    """Run the missing cells and report."""
    cells = session.run(CELLS, lambda cell, turn: measure(session.settings))
    if cells:
        session.finish(report(cells), whole=len(cells) == len(CELLS))


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Everybody learns from the same conversations, in rounds; the first round is not counted."""
    threads, rounds = available_cores(), settings["rounds"]
    cell: dict[str, Any] = {"before": harness.facts(), "threads": threads, "contenders": {}}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        with harness.contender("maker", "finetuning", entries()[0].python(), folder=folder) as maker:
            cell["made"] = maker.do("make", folder=str(folder), verses=str(VERSES), count=ROUND * (rounds + 1))
        running = {
            entry.name: stack.enter_context(harness.contender(entry.name, entry.program, entry.python(), folder=folder))
            for entry in entries()
        }
        for name, one in running.items():
            one.do("open", folder=str(folder), kind=name, verses=str(VERSES), threads=threads)
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in running}
        names = list(running)
        for number in range(rounds + 1):
            for later in range(len(names)):
                name = names[(number + later) % len(names)]
                found[name].append(running[name].do("one", start=number * ROUND, count=ROUND, together=TOGETHER))
        for name, one in running.items():
            cell["contenders"][name] = {"rounds": found[name][1:], "peak": one.peak, "versions": one.do("versions")}
    cell["after"] = harness.facts()
    return cell


# -- report ---------------------------------------------------------------------------------------------------------------


def report(cells: dict[str, dict[str, Any]]) -> Result:
    """A line a contender; the bars are on the faster and on the smaller of the Trainer's two."""
    (cell,) = cells.values()
    told = cell["contenders"]
    seconds = {name: [[each["seconds"]] for each in one["rounds"]] for name, one in told.items()}
    tokens = cell["made"]["tokens"] / (len(told[OURS]["rounds"]) + 1)  # of a round: the first is not counted
    speed = {name: tokens / ratios.median([each for (each,) in rounds]) for name, rounds in seconds.items()}
    processor = {name: [[each["processor"]] for each in one["rounds"]] for name, one in told.items()}
    lighter = {name: ratios.ratio(processor[name], processor[OURS]) for name in THEIRS}
    faster = {name: ratios.ratio(seconds[name], seconds[OURS]) for name in THEIRS}
    rival = max(THEIRS, key=lambda name: speed[name])
    smallest = min(told[name]["peak"] for name in THEIRS)
    bars = [
        Bar(f"tokens a second, ours over {rival}", "at least 1, aim 2", interval(faster[rival], 2), faster[rival].low >= 1),
        Bar("peak memory, ours over the smaller of theirs", "at most 1", f"{told[OURS]['peak'] / smallest:.2f}", told[OURS]["peak"] <= smallest),
    ]  # fmt: skip
    lines = [
        [
            name, f"{speed[name]:.0f}", interval(faster[name], 2) if name in faster else "",
            interval(lighter[name], 2) if name in lighter else "", f"{one['peak'] / 1e9:.2f}",
            f"{sum(each['steps'] for each in one['rounds']) / len(one['rounds']):.1f}", f"{ratios.median([each['loss'] for each in one['rounds']]):.2f}",
        ]
        for name, one in told.items()
    ]  # fmt: skip
    header = [
        "",
        "tokens a second",
        "ours is faster by",
        "and needs fewer processor seconds by",
        "peak memory, GB",
        "steps a round",
        "loss, nats a token",
    ]
    figures = {
        name: {
            "tokens_a_second": speed[name], "peak": one["peak"], "rounds": one["rounds"],
            "times_faster": faster[name].model_dump() if name in faster else None,
            "times_lighter": lighter[name].model_dump() if name in lighter else None,
        }
        for name, one in told.items()
    }  # fmt: skip
    caption = (
        f"SmolLM2-135M-Instruct, LoRA of rank 16 on all matrices, float32, {ROUND} conversations a round, {TOGETHER} a step, "
        f"{cell['threads']} threads. Tokens are those of the conversations, prompts and answers; what fills batches up is not counted."
    )
    return Result("finetune", bars, [(caption, header, lines)], figures, **ratios.provenance(cells))
