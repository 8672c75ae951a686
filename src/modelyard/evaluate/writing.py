"""What a language model writes: answers to test rows beside what was wanted, how varied they are, and what they copy from training.

Scores tell how well texts are predicted; only written ones show whether a service can be built on them. It knows no tokens.
"""

from __future__ import annotations

import numpy as np

from modelyard.context import Context
from modelyard.evaluate._rows import Trial
from modelyard.metrics import Statistic, mean_of, overlap
from modelyard.models._language import prompted
from modelyard.predictor import Predictor
from modelyard.records.evaluated import Nearest, Text, Writing, Written
from modelyard.records.trained import Trained
from modelyard.rows import Array, from_frame, read_split

ROWS = {"tiny": 8, "small": 64, "base": 200, "large": 500}
"""Test rows that are answered by each candidate, by size."""
SHOWN = 12
"""Of them that are shown."""
OVERLAPS = {"chrf": overlap.chrf, "bleu": overlap.bleu}
"""What is measured against references."""
WARM = 0.8
"""Temperature where nothing stands before an answer and the blueprint says greedy: all answers would be the same."""


def study(context: Context, chosen: Predictor, others: dict[str, Predictor], test: Trial) -> Writing:
    """Answers of the chosen artifact and of every other one to the same rows, and their figures."""
    state = chosen.state
    count = min(ROWS[context.blueprint.size], len(test.target))
    places = np.sort(np.random.default_rng(context.blueprint.train.seed).permutation(len(test.target))[:count])
    rows, asked = test.rows.take(places), prompted(state)
    wanted = [str(text) for text in rows[state.target]]
    frame = read_split(context.store.path("data"), "train")
    memory = overlap.Memory(str(text) for text in from_frame(frame, {state.target: "text"})[state.target])
    everyone: dict[str, Predictor] = {"": chosen, **others}
    made: dict[str, list[str]] = {}
    with context.progress.bar("write", len(everyone)) as advance:
        for name, predictor in everyone.items():
            alone = context.record(Trained).weights.get(name) == 1.0  # it is the chosen one
            made[name] = made[""] if alone else _write(predictor, places, test, asked)
            advance(1)
    groups = None if test.groups is None else test.groups[places]
    references = wanted if asked else None
    figures = {
        name: _figures(texts, references, memory, test, groups, chosen=made[""] if name else None)
        for name, texts in made.items()
    }
    prompts = ["\n".join(str(rows[name][row] or "") for name in asked) for row in range(count)]
    texts = tuple(
        Text(row=int(test.row[places[row]]), prompt=prompts[row], wanted=wanted[row], answer=made[""][row])
        for row in range(min(SHOWN, count))
    )
    return Writing(
        rows=count, answered=bool(asked), chosen=figures.pop(""), candidates=figures, texts=texts,
        wanted=_figures(wanted, None, memory, test, groups),
    )  # fmt: skip


def _write(predictor: Predictor, places: Array, test: Trial, asked: list[str]) -> list[str]:
    """The answers, each drawn by the row's own number where they are drawn at all."""
    generator = predictor.generator
    assert generator is not None
    options = generator.options
    if not asked and options.temperature == 0 and options.beams == 1:
        options = options.model_copy(update={"temperature": WARM})
    prompts = generator.model.prompts(test.rows.take(places), generator.features)
    seeds = [int(test.row[place]) for place in places]
    return [one.text for one in generator.several(prompts, options, seeds)]


def _figures(
    texts: list[str], wanted: list[str] | None, memory: overlap.Memory, test: Trial, groups: Array | None,
    *, chosen: list[str] | None = None,
) -> Written:  # fmt: skip
    """`chosen`: the texts that differences are taken from, with the same resamples."""
    copied = np.array([memory.copied(text) for text in texts], dtype=np.float64).reshape(-1, 3)
    near = [memory.nearest(text) for text in texts]
    shares = np.array([share for share, _ in near])
    found: dict[str, Statistic] = {
        "copied": _share(copied[:, 0], copied[:, 1]), "near": mean_of((shares >= overlap.NEAR).astype(float)), "words": mean_of(copied[:, 1]),
    }  # fmt: skip
    if wanted is not None:
        found |= {name: of(texts, wanted) for name, of in OVERLAPS.items()}
    apart: dict[str, Statistic] = {}
    if wanted is not None and chosen is not None:
        apart = {name: _minus(of(chosen, wanted), of(texts, wanted)) for name, of in OVERLAPS.items()}
    drawn = test.bootstrap.of([*found.values(), *apart.values()], len(texts), groups=groups)
    return Written(
        figures={name: one for name, one in zip(found, drawn[: len(found)], strict=True) if one is not None},
        differences={name: one for name, one in zip(apart, drawn[len(found) :], strict=True) if one is not None},
        distinct_2=overlap.distinct(texts), repetition=overlap.repetition(texts), longest_copy=int(copied[:, 2].max(initial=0)),
        nearest=_nearest(texts, near, memory),
    )  # fmt: skip


def _nearest(texts: list[str], near: list[tuple[float, int]], memory: overlap.Memory) -> Nearest | None:
    place = max(range(len(near)), key=lambda number: near[number][0], default=-1)
    if place < 0 or near[place][1] < 0:
        return None
    share, number = near[place]
    return Nearest(share=round(share, 6), answer=texts[place], training=memory.texts[number])


def _minus(ours: Statistic, theirs: Statistic) -> Statistic:
    return lambda weights: ours(weights) - theirs(weights)


def _share(above: Array, below: Array) -> Statistic:
    return lambda weights: (weights @ above) / np.maximum(weights @ below, 1.0)
