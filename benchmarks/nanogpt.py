"""nanogpt: how soon does a GPT from scratch reach the loss that nanoGPT's own code reaches, on the same text?

nanoGPT's small setting (4 layers, 4 heads, width 128, 64 characters) trains with its own `train.py` and the options of its README for
2,000 iterations of 12. Ours gets half of its time, of the same size, through the loop that `yard run` trains every network with; and a
model of word pieces, of the same size of network, gets all of it. Whole chapters are held out; everybody predicts the same ones.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import builds, harness, ratios
from benchmarks.harness import Entry, Session
from benchmarks.ratios import Bar, Result, interval
from modelyard.context import available_cores
from modelyard.records._base import Estimate

DEFAULTS = {"rounds": 3}
CELLS = ["verses"]
HELD, SEED = 0.05, 0
"""Share of the chapters that are held out, drawn with this seed."""
PEER, OURS, PIECES = "nanogpt", "ours", "ours-pieces"
SHARE, GIVEN = 0.5, 0.49
"""Of nanoGPT's time: the most that ours may take, and what it is told to take; a budget is kept to a few percent."""
MINUTES = 8.0


def entries() -> list[Entry]:
    """Everybody; nanoGPT's code stands in a folder of its own and runs on our torch."""
    return [Entry(PEER, "nanogpt_alone", None, {}), *(Entry(name, "pretraining", None, {}) for name in (OURS, PIECES))]


def run(session: Session) -> None:
    """Run the missing cells and report."""
    cells = session.run(CELLS, lambda cell, turn: measure(session.settings))
    if cells:
        session.finish(report(cells), whole=len(cells) == len(CELLS))


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """In rounds: nanoGPT first, because the others' time is a share of its."""
    cell: dict[str, Any] = {"before": harness.facts(), "contenders": {}}
    threads = available_cores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        write(folder)
        running = {
            entry.name: stack.enter_context(harness.contender(entry.name, entry.program, entry.python(), folder=folder))
            for entry in entries()
        }
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in running}
        for number in range(settings["rounds"]):
            harness.say(f"round {number + 1} of {settings['rounds']}")
            peer = running[PEER].do("train", folder=str(folder), seed=number, threads=threads)
            found[PEER].append(peer)
            for name, share in ((OURS, GIVEN), (PIECES, 1.0)):
                kind = "characters" if name == OURS else "bpe"
                given = {"seconds": share * peer["seconds"], "seed": number, "threads": threads, "tokenizer": kind}
                found[name].append(running[name].do("train", folder=str(folder), **given))
        for name, one in running.items():
            cell["contenders"][name] = {"rounds": found[name], "peak": one.peak, "versions": one.do("versions")}
    cell["after"] = harness.facts()
    return cell


def write(folder: Path) -> None:
    """`train.parquet` and `test.parquet`: a chapter a row, its verses a line each."""
    import polars as pl

    verses = pl.read_parquet(builds.RECIPES / "verses-gpt" / "verses.parquet")
    chapters = verses.group_by("chapter", maintain_order=True).agg(pl.col("en").str.join("\n").alias("text"))
    held = np.zeros(chapters.height, dtype=bool)
    held[np.random.default_rng(SEED).permutation(chapters.height)[: round(HELD * chapters.height)]] = True
    chapters.filter(~held).write_parquet(folder / "train.parquet")
    chapters.filter(held).write_parquet(folder / "test.parquet")


# -- report ---------------------------------------------------------------------------------------------------------------


def report(cells: dict[str, dict[str, Any]]) -> Result:
    """A line a contender: seconds, loss a character, bits per byte."""
    (cell,) = cells.values()
    told = {name: one["rounds"] for name, one in cell["contenders"].items()}
    seconds = {name: [[each["seconds"]] for each in rounds] for name, rounds in told.items()}
    shorter = ratios.ratio(seconds[OURS], seconds[PEER])
    gap = _between([ours["loss"] - peer["loss"] for ours, peer in zip(told[OURS], told[PEER], strict=True)])
    bits = {name: _between([each["bits_per_byte"] for each in rounds]) for name, rounds in told.items()}
    finer = _between(
        [ours["bits_per_byte"] - peer["bits_per_byte"] for ours, peer in zip(told[PIECES], told[PEER], strict=True)]
    )
    bars = [
        Bar(
            "seconds of training, ours over nanoGPT's",
            f"at most {SHARE:g}",
            interval(shorter, 3),
            shorter.value <= SHARE,
        ),
        Bar("nats a character, ours minus nanoGPT's", "at most 0", interval(gap, 4), gap.value <= 0),
        Bar("bits per byte, word pieces minus nanoGPT's", "below 0", interval(finer, 3), finer.high < 0),
    ]
    header = [
        "",
        "seconds",
        "steps",
        "tokens a second",
        "nats a character",
        "bits per byte",
        "parameters",
        "peak memory",
    ]
    lines = []
    for name, one in cell["contenders"].items():
        rounds = one["rounds"]
        losses = _between([each["loss"] for each in rounds]) if name != PIECES else None
        speed = ratios.median([each["tokens"] / each["seconds"] for each in rounds])
        lines.append([
            name, f"{ratios.median([each['seconds'] for each in rounds]):.1f}", f"{ratios.median([each['steps'] for each in rounds]):.0f}",
            f"{speed:,.0f}", interval(losses, 4) if losses else "", interval(bits[name], 3), f"{rounds[0]['parameters']:,}", f"{one['peak'] / 1e6:.0f} MB",
        ])  # fmt: skip
    figures = {
        "seconds_ratio": shorter.model_dump(), "loss_gap": gap.model_dump(), "bits_gap": finer.model_dump(), "rounds": told,
    }  # fmt: skip
    caption = (
        "Chapters of the World English Bible; 59 of 1,189 are held out and predicted 64 characters at a time (word pieces: a chapter at a time, "
        "as far as their context reaches). Seconds are of training, without preparing the text: nanoGPT's are the sum of its iterations, its start and its evaluations left out; "
        "ours are of the whole loop, validation included. In brackets: the least and the most of the rounds."
    )
    return Result("nanogpt", bars, [(caption, header, lines)], figures, **ratios.provenance(cells))


def _between(values: list[float]) -> Estimate:
    """The median of the rounds, between the least and the most."""
    return Estimate(value=ratios.median(values), low=min(values), high=max(values))
