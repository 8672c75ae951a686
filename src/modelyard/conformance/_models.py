"""The laws of the shelf `models`: what is encoded, learnt, saved and answered, on the toys of every task the model serves."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from modelyard import parts
from modelyard.conformance import _loops
from modelyard.conformance._common import Subject, demand, hold
from modelyard.conformance._toys import toy
from modelyard.conformance._trial import Trial
from modelyard.features import lookups
from modelyard.models._contract import Arrays, Examples
from modelyard.rows import Array, Rows

ROWS = 32
"""Rows of a toy: enough for a tree to split, few enough that an encoder trains on them in a second."""
CLOSE = 1e-4
"""Relative difference allowed where the same row is computed in another batch: float32 sums in another order."""


def laws(subject: Subject, *, thorough: bool = True) -> Iterator[str]:
    """Hold every law on every task; where not `thorough`, a model that learns by gradient keeps some on its first task only."""
    yield hold(serves, subject, subject)
    loops = subject.kind.learns == "loop"
    for number, task in enumerate(subject.kind.tasks):
        with tempfile.TemporaryDirectory() as folder:
            trial = Trial(subject, toy(task, rows=ROWS), Path(folder))
            for law in LOOP_LAWS if loops else FIT_LAWS:
                if number == 0 or thorough or not loops or law not in COSTLY:
                    yield hold(law, subject, trial, where=task)
            if number == 0 and not loops:
                yield hold(light_session, subject, trial, where=task)
            for export in _loops.exports(trial, thorough=thorough) if loops and (number == 0 or thorough) else ():
                yield hold(_loops.exported_is_trained, subject, export, where=f"{task}, {export.method}")


# -- the laws -----------------------------------------------------------------------------------------------------------


def serves(subject: Subject) -> None:
    """It names tasks that exist and says how it learns."""
    demand(subject.kind.tasks, "`tasks` is empty")
    for task in subject.kind.tasks:
        parts.check("tasks", task)
    demand(subject.kind.learns in ("fit", "loop"), f"`learns` must be fit or loop (got {subject.kind.learns!r})")


def features_are_json(trial: Trial) -> None:
    """Features are plain JSON, and encode the same after being written and read."""
    toy = trial.toy
    fresh = trial.model.features(toy.train, toy.train_target, toy.state, seed=0)
    json.dumps(fresh, allow_nan=False)
    _equal(
        trial.model.encode(toy.validation, fresh),
        trial.encode(toy.validation),
        "encoding before and after writing the features",
    )


def features_are_seeded(trial: Trial) -> None:
    """The same seed learns the same features."""
    toy = trial.toy
    again = trial.model.features(toy.train, toy.train_target, toy.state, seed=0)
    ours, theirs = lookups.plain(trial.features), json.loads(json.dumps(again))
    demand(ours == theirs, "two calls gave different features")


def rows_stand_first(trial: Trial) -> None:
    """Every encoded array has a row for each row given, also for none."""
    for rows in (trial.toy.validation, trial.toy.validation.take(slice(0, 1)), trial.toy.validation.take(slice(0, 0))):
        for name, array in trial.encode(rows).items():
            demand(len(array) == len(rows), f"{name!r} has {len(array)} rows for {len(rows)} given")


def rows_stand_alone(trial: Trial) -> None:
    """A row is encoded alone as it is in a batch."""
    together = trial.encode(trial.toy.validation)
    for number in (0, 1, len(trial.toy.validation) - 1):
        alone = trial.encode(trial.toy.validation.take([number]))
        for name in together:
            one, many = _row(together, name, number, trial.model.ragged), _row(alone, name, 0, trial.model.ragged)
            demand(
                one.shape == many.shape and np.array_equal(one, many, equal_nan=one.dtype.kind == "f"),
                f"row {number} of {name!r} differs",
            )


def strange_rows_encode(trial: Trial) -> None:
    """Unseen categories, missing values, empty, odd and very long texts, far-out numbers, images and series of any size are encoded."""
    for name, array in trial.encode(trial.toy.strange).items():
        values = _dense(array)
        demand(values.dtype.kind in "fiub", f"{name!r} is of type {values.dtype}")
        demand(not (values.dtype.kind == "f" and np.isinf(values).any()), f"{name!r} holds infinity")


def weights_are_named_arrays(trial: Trial) -> None:
    """Learnt weights are named, finite numpy arrays."""
    for name, array in trial.weights.items():
        demand(isinstance(name, str) and isinstance(array, np.ndarray), f"{name!r} is a {type(array).__name__}")
        demand(not np.isnan(np.asarray(array, dtype=np.float64)).any(), f"{name!r} holds NaN")


def training_is_seeded(trial: Trial) -> None:
    """The same seed learns the same weights, bit for bit."""
    again = trial.learn("second")
    demand(again.keys() == trial.weights.keys(), "two trainings gave weights of different names")
    for name, array in trial.weights.items():
        demand(np.array_equal(array, again[name]), f"{name!r} differs between two trainings")


def seeds_differ(trial: Trial) -> None:
    """Another seed learns other weights."""
    other = trial.learn("other", seed=1)
    demand(
        any(not np.array_equal(array, other[name]) for name, array in trial.weights.items()),
        "two seeds learnt the same weights",
    )


def learns_again(trial: Trial) -> None:
    """Weights learnt again from all rows have the arrays of those that validation chose, and answer."""
    toy = trial.toy
    everything = Examples(trial.encode(toy.train), toy.train_target)
    again = trial.model.refit(everything, trial.weights, toy.state, trial.features, seed=0, threads=1)
    demand(again.keys() == trial.weights.keys(), f"it gave other arrays: {', '.join(sorted(again))}")
    outputs = trial.model.session(again, trial.features, toy.state)(trial.encode(toy.validation))
    demand(
        outputs.shape == (len(toy.validation), toy.state.outputs) and np.isfinite(outputs).all(),
        f"outputs of shape {outputs.shape}, or not finite",
    )


def answers_from_files(trial: Trial) -> None:
    """What is read back from features.json and weights.safetensors answers (n, K) finite numbers."""
    for count in (len(trial.toy.validation), 1):  # of none, the predictor asks no session
        rows = trial.toy.validation.take(slice(0, count))
        _sound(trial, rows, trial.session(trial.encode(rows)))


def strange_rows_are_answered(trial: Trial) -> None:
    """Strange rows are answered with finite numbers too."""
    _sound(trial, trial.toy.strange, trial.strange_outputs)


def _sound(trial: Trial, rows: Rows, outputs: Array) -> None:
    width = trial.toy.state.outputs
    demand(
        outputs.shape == (len(rows), width),
        f"outputs of shape {outputs.shape} for {len(rows)} rows and {width} outputs",
    )
    demand(
        np.isfinite(outputs).all(),
        f"the outputs of rows {np.flatnonzero(~np.isfinite(outputs).all(axis=1))[:5].tolist()} are not finite",
    )


def answers_as_trained(trial: Trial) -> None:
    """The weights answer the same before and after being written."""
    direct = trial.model.session(trial.weights, trial.features, trial.toy.state)
    arrays = trial.encode(trial.toy.validation)
    demand(np.array_equal(direct(arrays), trial.session(arrays)), "answers differ")


def answers_stand_alone(trial: Trial) -> None:
    """A row is answered alone as it is in a batch of rows of all lengths."""
    for rows, together in (
        (trial.toy.validation, trial.session(trial.encode(trial.toy.validation))),
        (trial.toy.strange, trial.strange_outputs),
    ):
        for number in {0, len(rows) // 2, len(rows) - 1}:
            alone = trial.session(trial.encode(rows.take([number])))[0]
            far = float(np.abs(alone - together[number]).max())
            demand(far <= CLOSE * max(1.0, float(np.abs(together[number]).max())), f"row {number} differs by {far:.2g}")


def reports_itself(trial: Trial) -> None:
    """It reports its parameters, operations and bytes, and facts for the report in plain JSON."""
    work = trial.model.work(trial.weights, trial.features, trial.toy.state)
    demand(work.parameters > 0 and work.flops_per_row > 0 and work.bytes > 0, f"got {work!r}")
    json.dumps(trial.model.explain(trial.weights, trial.features, trial.toy.state), allow_nan=False)


def starts_at_knowing_nothing(trial: Trial) -> None:
    """Before training, the mean loss is that of knowing nothing: ln K, 1/2, of texts ln of the vocabulary, or as the model itself says."""
    import torch

    toy = trial.toy
    module = trial.model.module(trial.features, toy.state, seed=0).eval()
    arrays = trial.encode(toy.train)
    with torch.inference_mode():
        outputs = module(**{name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()})
        demand(tuple(outputs.shape) == (len(toy.train), toy.state.outputs), f"outputs of shape {tuple(outputs.shape)}")
    target = torch.from_numpy(np.ascontiguousarray(toy.train_target))
    sums, counts = toy.task.losses(outputs, target, toy.state) if toy.task.judged else _first(trial, module, target)
    loss, known = float(sums.sum() / counts.sum()), trial.model.first_loss(trial.features, toy.task, toy.state)
    if math.isnan(known):  # pretrained: it knows something
        demand(math.isfinite(loss), f"the first loss is {loss}")
        return
    demand(abs(loss - known) <= 0.2 * known, f"the first loss is {loss:.4f}, that of knowing nothing is {known:.4f}")


def _first(trial: Trial, module: Any, target: Any) -> tuple[Any, Any]:
    """What a model whose losses are its own loses in its first turn, before any step."""
    import torch

    toy = trial.toy
    arrays = trial.model.examples(toy.train, toy.train_target, trial.features, seed=0).arrays
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    draws = torch.Generator().manual_seed(0)
    lost = trial.model.lost(trial.model.turns[0], module.train(), tensors, target.float(), toy.task, toy.state, draws)
    return lost.sums.detach(), lost.counts.detach()


def modules_are_seeded(trial: Trial) -> None:
    """The same seed makes the same module, and another call of it disturbs nobody's random numbers."""
    import torch

    def made() -> dict[str, Any]:
        found: dict[str, Any] = trial.model.module(trial.features, trial.toy.state, seed=3).state_dict()
        return found

    torch.manual_seed(1)
    first = made()
    drawn = torch.rand(1).item()
    torch.manual_seed(1)
    demand(
        torch.rand(1).item() == drawn, "making a module moved torch's global random state: use torch.random.fork_rng"
    )
    demand(
        all(torch.equal(value, second) for value, second in zip(first.values(), made().values(), strict=True)),
        "two modules of one seed differ",
    )


def light_session(trial: Trial) -> None:
    """It encodes and answers in a process that has neither torch nor scikit-learn nor LightGBM nor polars."""
    demand(trial.saved.exists(), "nothing was saved")
    (trial.saved / "state.json").write_text(trial.toy.state.model_dump_json(), encoding="utf-8")
    place = os.pathsep.join(each for each in sys.path if each)
    answered = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(trial.saved), *_door(trial.subject)], env={**os.environ, "PYTHONPATH": place},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    demand(
        answered.returncode == 0,
        answered.stderr.strip().splitlines()[-1] if answered.stderr.strip() else "the process failed",
    )


def _door(subject: Subject) -> tuple[str, str]:
    """How another process finds the part: `shelf` and its name, or `file` and its path where no shelf has it yet."""
    known = subject.name in parts.names("models") and parts.file_of("models", subject.name) == subject.file
    return ("shelf", subject.name) if known else ("file", str(subject.file))


PROGRAM = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "sklearn", "lightgbm", "polars", "pandas", "scipy", "transformers"):
            raise ImportError(f"{name} is not there when a model answers")
sys.meta_path.insert(0, Refuse())
from pathlib import Path
from modelyard import conformance, parts
from modelyard.rows import from_records
from modelyard.store import read_json
from modelyard.tasks._contract import State
folder, (door, name) = Path(sys.argv[1]), sys.argv[2:]
kind = parts.load("models", name) if door == "shelf" else conformance.module_of(Path(name)).Part
state, features, model = State.model_validate(read_json(folder / "state.json")), read_json(folder / "features.json"), kind()
session, task = parts.build("sessions", "native").open(folder, model, features, state), parts.build("tasks", state.task)
texts = [column.name for column in state.inputs if column.type in ("text", "category")]
rows = from_records([{}, {texts[-1]: "late again"}], state.inputs)
if state.makes == "text":
    logits, _ = session.decoder.start(model.prompts(rows, features)[1])
    assert logits.ndim == 1, "it did not continue a prompt"
    sys.exit()
scores = task.scores(session(model.encode(rows, features)), state)
assert len(task.decode(scores, state, None)) == 2, "it did not answer each of two rows"
"""
_SHARED: tuple[Callable[[Trial], None], ...] = (
    features_are_json, features_are_seeded, rows_stand_first, rows_stand_alone, strange_rows_encode, weights_are_named_arrays,
    training_is_seeded, answers_from_files, strange_rows_are_answered,
)  # fmt: skip
FIT_LAWS = (*_SHARED, learns_again, answers_as_trained, answers_stand_alone, reports_itself)
LOOP_LAWS = (
    modules_are_seeded, starts_at_knowing_nothing, *_SHARED, seeds_differ, answers_stand_alone, reports_itself, _loops.learns_by_heart,
    _loops.resumes,
)  # fmt: skip
COSTLY = (
    modules_are_seeded, features_are_seeded, training_is_seeded, seeds_differ, strange_rows_are_answered, answers_stand_alone,
    _loops.learns_by_heart, _loops.resumes,
)  # fmt: skip
"""Laws that load a gradient-trained model, or train it, once more."""


# -- comparing ----------------------------------------------------------------------------------------------------------


def _dense(array: Any) -> Array:
    return np.asarray(array.dense()) if hasattr(array, "dense") else np.asarray(array)


def _row(arrays: Arrays, name: str, number: int, ragged: tuple[str, ...]) -> Array:
    """One row; of a ragged array what lies within its length."""
    row: Array = _dense(arrays[name])[number]
    return row[: int(arrays["length"][number])] if name in ragged and "length" in arrays else row


def _equal(ours: Arrays, theirs: Arrays, what: str) -> None:
    demand(ours.keys() == theirs.keys(), f"{what}: arrays {sorted(ours)} and {sorted(theirs)}")
    for name in ours:
        one, two = _dense(ours[name]), _dense(theirs[name])
        demand(
            one.shape == two.shape and np.array_equal(one, two, equal_nan=one.dtype.kind == "f"),
            f"{what}: {name!r} differs",
        )
