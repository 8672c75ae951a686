"""decode: how fast does a language model write, and how fast does it read its prompt, beside transformers' `generate` and llama.cpp?

SmolLM2-135M: ours as float32, int8 and int4 weights; transformers in float32 and bfloat16 with the same weights; llama.cpp with the
very file they all come from. One answer at a time, greedily; everybody stays loaded and takes turns.
"""

from __future__ import annotations

import random
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import builds, harness, ratios
from benchmarks.harness import Entry, Session
from benchmarks.ratios import Bar, Result, interval
from modelyard.context import available_cores

DEFAULTS = {"rounds": 8}
CELLS = ["smollm2"]
PROMPT, NEW = 64, 128
"""Tokens read, and tokens written after them."""
TEXTS, CONTEXT = 40, 256
"""Letters whose bits per byte say what rounding loses, and how many tokens of each."""
OURS = ("ours-fp32", "ours-int8", "ours-int4")
GENERATE = ("transformers-fp32", "transformers-bf16")
LLAMA = "llama.cpp"
SMALLEST = 2.0
"""Times faster than `generate`: the bar."""
MINUTES = 10.0


def entries() -> list[Entry]:
    """Everybody."""
    inside = [Entry(name, "language", None, {}) for name in (*OURS, *GENERATE)]
    return [*inside, Entry(LLAMA, "llama_cpp_alone", "llama", {})]


def run(session: Session) -> None:
    """Run the missing cells and report."""
    cells = session.run(CELLS, lambda cell, turn: measure(session.settings))
    if cells:
        session.finish(report(cells), whole=len(cells) == len(CELLS))


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Everybody writes after the same prompts, in rounds; the first round is not counted."""
    place, threads = builds.FOLDER / "decode", available_cores()
    cell: dict[str, Any] = {"before": harness.facts(), "threads": threads, "contenders": {}}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        running = {
            entry.name: stack.enter_context(harness.contender(entry.name, entry.program, entry.python(), folder=folder))
            for entry in entries()
        }
        cell["made"] = running[OURS[0]].do("make", folder=str(place))
        for name, one in running.items():
            given = {"source": cell["made"]["source"]} if name == LLAMA else {"folder": str(place), "kind": name}
            one.do("open", **given, threads=threads)
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in running}
        names = list(running)
        for number in range(settings["rounds"] + 1):
            prompt = prompts(number)
            for later in range(len(names)):
                name = names[(number + later) % len(names)]
                found[name].append(running[name].do("one", prompt=prompt, count=NEW))
        for name, one in running.items():
            cell["contenders"][name] = {"rounds": found[name][1:], "peak": one.peak, "versions": one.do("versions")}
        for name in OURS:
            cell["contenders"][name]["loss"] = running[name].do("loss", texts=letters(), context=CONTEXT)
    cell["after"] = harness.facts()
    return cell


def prompts(number: int) -> list[int]:
    """Tokens of one round: what they say changes no time."""
    chosen = random.Random(number)
    return [chosen.randrange(100, 40_000) for _ in range(PROMPT)]


def letters() -> list[str]:
    """Real ham."""
    import polars as pl

    frame = pl.read_parquet(builds.RECIPES / "mail-spam" / "mail.parquet").filter(pl.col("label") == "ham")
    step = frame.height // TEXTS
    found: list[str] = frame["body"].gather_every(step).to_list()[:TEXTS]
    return found


# -- report ---------------------------------------------------------------------------------------------------------------


def report(cells: dict[str, dict[str, Any]]) -> Result:
    """A line a contender; the bar is on the faster of transformers' two and on each of ours with fewer bits."""
    (cell,) = cells.values()
    told = cell["contenders"]
    follow = {name: [[each["follow"] / (NEW - 1)] for each in one["rounds"]] for name, one in told.items()}
    read = {name: [[each["read"]] for each in one["rounds"]] for name, one in told.items()}
    speed = {name: 1 / ratios.median([each for (each,) in rounds]) for name, rounds in follow.items()}
    generate = max(GENERATE, key=lambda name: speed[name])
    faster = {name: ratios.ratio(follow[generate], follow[name]) for name in told}
    beside = {name: ratios.ratio(follow[LLAMA], follow[name]) for name in told}
    reading = {name: ratios.median([each for (each,) in rounds]) for name, rounds in read.items()}
    bars = [
        Bar(
            f"tokens a second, {name} over {generate} (`generate`)",
            f"at least {SMALLEST:g}",
            interval(faster[name], 2),
            faster[name].low >= SMALLEST,
        )
        for name in OURS[1:]
    ]
    size = {
        **{f"ours-{name}": count for name, count in cell["made"]["bytes"].items()},
        LLAMA: cell["made"]["bytes"]["source"],
    }
    lines = [
        [
            name, f"{size[name] / 1e6:.0f} MB" if name in size else "", f"{speed[name]:.1f}", interval(faster[name], 2), interval(beside[name], 2),
            f"{reading[name] * 1e3:.0f} ms", f"{one['peak'] / 1e6:.0f} MB", f"{one['loss']:.4f}" if "loss" in one else "",
        ]
        for name, one in told.items()
    ]  # fmt: skip
    header = [
        "", "weights", "tokens a second", f"times {generate}", f"times {LLAMA}", f"{PROMPT} tokens read in", "peak memory", "bits per byte",
    ]  # fmt: skip
    figures = {
        name: {
            "tokens_a_second": speed[name], "read": reading[name], "times_generate": faster[name].model_dump(),
            "times_llama": beside[name].model_dump(), "loss": one.get("loss"), "ids": [each["ids"] for each in one["rounds"]],
        }
        for name, one in told.items()
    }  # fmt: skip
    caption = (
        f"SmolLM2-135M, a prompt of {PROMPT} tokens, {NEW} new ones greedily, one answer at a time, {cell['threads']} threads. "
        f"llama.cpp reads the file of 4-bit weights that the others' float32 numbers come from; bits per byte: {TEXTS} letters."
    )
    return Result("decode", bars, [(caption, header, lines)], figures, **ratios.provenance(cells))
