"""fraud: does our chosen model, at our chosen threshold, find more card fraud and save more than LightGBM at 0.5?

Five simulated worlds that the recipe's own simulator makes from seeds nobody has looked at. The last fifth of each is the test; labels
that would not be known when it begins are left out. Simulated: it says how the software works, not what a bank would save.
"""

from __future__ import annotations

import datetime
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks import harness, ratios
from benchmarks.harness import Entry, Fold, Session
from benchmarks.ratios import Bar, Pair, Result, interval
from modelyard.blueprint import Blueprint
from modelyard.metrics import Sample, find, mean_of
from modelyard.rows import Array

RECIPE = harness.ROOT.parent / "recipes" / "card-fraud"
WORLDS, SEED, TESTED = 5, 0, 0.2
OURS, PEER = "modelyard", "lightgbm"
DEFAULTS = {"budget": 360.0}
CONTENDERS = (PEER,)
"""What may run alone: a cell's facts (sources, machine) are those of ours."""
CELLS = [f"world-{number}" for number in range(1, WORLDS + 1)]
MINUTES = 35.0
IDENTITY, TARGET, POSITIVE, WHO, WHEN = "transaction_id", "fraud", "yes", "customer_id", "time"
GAP = datetime.timedelta(days=7)
"""After so long a label is known."""


def run(session: Session) -> None:
    """Run the missing cells and report."""

    def make(cell: str, turn: int) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as place:
            folder = Path(place)
            frame = world(cell)
            fold = write(frame, cell, folder)
            tested = pl.read_parquet(fold.test, columns=[IDENTITY, TARGET, WHO, "amount"])
            taking_part = session.taking_part(entries(session.settings))
            found = harness.compete(fold, taking_part, turn=turn, rounds=0, rows=0, folder=folder)
            return {**found, "tested": tested.to_dict(as_series=False)}

    cells = session.run(CELLS, make)
    if cells:
        session.finish(report(cells, session.settings["budget"]), whole=len(cells) == len(CELLS))


def world(cell: str) -> pl.DataFrame:
    """The transactions of a world, in order of time, as the recipe's are made; the recipe's own seed is left out."""
    found = importlib.util.spec_from_file_location("make_data", RECIPE / "make_data.py")
    assert found and found.loader
    maker = importlib.util.module_from_spec(found)
    found.loader.exec_module(maker)
    made: pl.DataFrame = maker.make(maker.SEED + int(cell.rsplit("-", 1)[1]))
    return made.drop("scenario")


def write(frame: pl.DataFrame, cell: str, folder: Path) -> Fold:
    """The latest fifth as test, and before it what is known by then, as files."""
    begins = frame[WHEN].sort()[round(frame.height * (1 - TESTED))]
    fold = Fold(cell, folder / "train.parquet", folder / "test.parquet", folder / "asked.parquet", TARGET, IDENTITY)
    frame.filter(pl.col(WHEN) < begins - GAP).write_parquet(fold.train)
    test = frame.filter(pl.col(WHEN) >= begins)
    test.write_parquet(fold.test)
    test.drop(TARGET).write_parquet(fold.asked)
    return fold


def entries(settings: dict[str, Any]) -> list[Entry]:
    """Ours as the recipe says, and the peer with the same columns; both hold out the latest of their training rows."""
    recipe = Blueprint.load(RECIPE / "blueprint.yaml")
    costs = recipe.evaluate.costs
    assert costs is not None
    columns = {name: str(kind) for name, kind in recipe.data.columns.items()}
    blueprint = {
        "columns": columns,
        "prepare": {"split": {"by": "time", "column": WHEN, "gap": f"{GAP.days} days"}},
        "train": {"budget": f"{settings['budget']} s", "seed": SEED, "metric": recipe.train.metric},
        "evaluate": {"positive": recipe.evaluate.positive, "costs": costs.model_dump()},
    }
    peer = {
        "kind": "classification",
        "metric": "average_precision",
        "seed": SEED,
        "ignored": [name for name, kind in columns.items() if kind == "ignore"],
        "latest": WHEN,
        "texts": [name for name, kind in columns.items() if kind == "text"],
    }
    return [
        Entry(OURS, "ours", None, {"blueprint": blueprint, "to": "evaluate"}),
        Entry(PEER, "lightgbm_alone", PEER, peer),
    ]


# -- report ---------------------------------------------------------------------------------------------------------------


def samples(cell: dict[str, Any]) -> dict[str, Sample]:
    """Each contender's answers in the order of the tested rows: ours at its threshold, the peer at 0.5."""
    tested, found = cell["tested"], {}
    for name, one in cell["contenders"].items():
        answers = one["answers"]
        place = {identity: row for row, identity in enumerate(answers["identity"])}
        assert sorted(place) == sorted(tested[IDENTITY]), f"{name} answered other rows"
        rows = [place[identity] for identity in tested[IDENTITY]]
        classes, scores = answers["classes"], np.asarray(answers["scores"])[rows]
        target = [classes.index(label) for label in tested[TARGET]]
        positive = classes.index(POSITIVE)
        threshold = one["facts"].get("threshold") or 0.5
        labels = np.where(scores[:, positive] >= threshold, positive, 1 - positive)
        found[name] = Sample.of(target, scores, labels=labels, positive=positive)
    return found


def cost(sample: Sample, amounts: Array) -> Array:
    """(n,) USD that each decision costs: a false alarm its price, a missed fraud its amount (the recipe's `evaluate.costs`)."""
    costs = Blueprint.load(RECIPE / "blueprint.yaml").evaluate.costs
    assert costs is not None and costs.false_negative == "amount"
    said, truth = sample.labels == sample.positive, sample.target == sample.positive
    return np.where(said & ~truth, float(costs.false_positive), np.where(~said & truth, amounts, 0.0))


def compare(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of both over the worlds, and ours minus the peer's; whole customers are drawn, with all their transactions."""
    found = [samples(cell) for cell in cells]
    names = [f"{number} {name}" for number, cell in enumerate(cells) for name in cell["tested"][WHO]]
    groups = np.unique(names, return_inverse=True)[1]
    ends = np.cumsum([len(cell["tested"][WHO]) for cell in cells])
    pairs = [Pair(each, rows) for each, rows in zip(found, np.split(groups, ends[:-1]), strict=True)]
    metric = find("average_precision")
    spent = {
        name: [cost(each[name], np.asarray(cell["tested"]["amount"])) for each, cell in zip(found, cells, strict=True)]
        for name in (OURS, PEER)
    }
    saved = np.concatenate(spent[PEER]) - np.concatenate(spent[OURS])
    (by_row,) = ratios.BOOTSTRAP.of([mean_of(saved)], len(saved), groups=groups)
    assert by_row is not None
    return {
        "rows": len(saved),
        "frauds": int(sum((each[OURS].target == each[OURS].positive).sum() for each in found)),
        "average_precision": {name: float(np.mean([metric.of(each[name]) for each in found])) for name in (OURS, PEER)},
        "difference": ratios.folded(metric, pairs, lambda means: means[OURS] - means[PEER]),
        "cost_of_a_row": {name: float(np.concatenate(spent[name]).mean()) for name in (OURS, PEER)},
        "saved_of_a_row": by_row,
    }


def report(cells: dict[str, dict[str, Any]], budget: float = DEFAULTS["budget"]) -> Result:
    """Two bars, a line a world, and all together."""
    whole = compare(list(cells.values()))
    gap, saved = whole["difference"], whole["saved_of_a_row"]
    bars = [
        Bar("average precision, ours minus LightGBM", "lower bound > 0", interval(gap, 4), gap.low > 0),
        Bar(
            "USD saved of a transaction, ours at its threshold against LightGBM at 0.5",
            "lower bound > 0",
            interval(saved, 3),
            saved.low > 0,
        ),
    ]
    by_cell = {name: compare([cell]) for name, cell in cells.items()}
    lines = [_line(name, by_cell[name], cells[name]) for name in cells] + [_line("all", whole, None)]
    header = [
        "world", "rows", "frauds", "ours", "LightGBM", "difference", "saved USD a row", "cost USD a row: ours", "LightGBM at 0.5",
        "our ensemble", "seconds: ours", "LightGBM",
    ]  # fmt: skip
    caption = (
        "Average precision on transactions later than all that either saw. The intervals draw whole customers. LightGBM takes the merchant's "
        "name as a category or leaves it out, whichever is better on the rows it holds out. **Simulated data.**"
    )
    figures = ratios.plain({**by_cell, "all": whole})
    bars.append(ratios.budget_kept(cells, OURS, budget))
    return Result("fraud", bars, [(caption, header, lines)], figures, **ratios.provenance(cells))


def _line(name: str, found: dict[str, Any], cell: dict[str, Any] | None) -> list[str]:
    scores, spent = found["average_precision"], found["cost_of_a_row"]
    return [
        name, f"{found['rows']:,}", f"{found['frauds']:,}", f"{scores[OURS]:.4f}", f"{scores[PEER]:.4f}", interval(found["difference"], 4),
        interval(found["saved_of_a_row"], 3), f"{spent[OURS]:.3f}", f"{spent[PEER]:.3f}", *ratios.trained(cell, OURS, PEER),
    ]  # fmt: skip
