"""The laws of the shelf `tasks`: target, scores, answers and parity on toy targets; losses where torch is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, get_args

import numpy as np

from modelyard import metrics, parts
from modelyard.conformance._common import Subject, demand, hold
from modelyard.conformance._toys import columns, read_by, targets
from modelyard.errors import DataError
from modelyard.rows import Array, Column, Rows, image_bytes
from modelyard.tasks._contract import Kind, State, Task

SIZES = ("tiny", "small", "base", "large")
ROWS = 40


@dataclass
class Trial:
    """A task with a fitted target."""

    subject: Subject
    task: Task
    inputs: tuple[Column, ...]
    values: Array
    state: State

    @property
    def target(self) -> Array:
        """Class numbers, or numbers in the target's own unit."""
        return self.task.encode_target(self.values, self.state)

    @property
    def perfect(self) -> Array:
        """Outputs (n, K) of a model that is always right."""
        if self.state.classes:
            return 50.0 * np.eye(self.state.outputs)[self.target]
        if self.state.makes == "text":  # nothing is lost on texts that each have other tokens
            return np.stack([np.zeros(ROWS), 5.0 + np.arange(ROWS), 20.0 + np.arange(ROWS)], axis=1)
        if self.state.makes == "image":
            return self.target / 255.0
        return self.task.standardised(self.target, self.state)[:, None]


def laws(subject: Subject) -> Iterator[str]:
    """Hold every law."""
    task: Task = subject.kind()
    inputs = columns(read_by(subject.name))
    values = targets(task.kind, np.arange(ROWS) % 2)
    trial = Trial(subject, task, inputs, values, task.fit(values, "answer", inputs, None))
    for law in LAWS:
        yield hold(law, subject, trial)


def names_what_exists(trial: Trial) -> None:
    """Its metrics, baselines and default candidates exist, take their options and serve the task."""
    kinds = get_args(Kind)
    demand(trial.task.kind in kinds, f"`kind` must be one of {', '.join(kinds)} (got {trial.task.kind!r})")
    demand(trial.task.metrics and trial.task.baselines, "`metrics` or `baselines` is empty")
    for name in trial.task.metrics:
        metrics.find(name, trial.task.kind)
    wanted: dict[str, dict[str, Any]] = {name: {} for name in trial.task.baselines}
    for size in SIZES:
        wanted |= trial.task.candidates(size, trial.inputs)
    for name, options in wanted.items():
        options = dict(options)
        model = parts.build("models", options.pop("model", name), options)
        if trial.subject.name in parts.names("tasks"):
            served = {trial.subject.name, trial.task.like} & set(model.tasks)
            demand(served, f"the candidate {name!r} does not serve this task")


def state_is_json(trial: Trial) -> None:
    """The state survives being written as JSON and read again, and names target and inputs."""
    demand(State.model_validate_json(trial.state.model_dump_json()) == trial.state, "the state changed")
    demand(
        trial.state.target == "answer" and trial.state.inputs == trial.inputs, "target or inputs are not what was given"
    )


def state_is_from_values(trial: Trial) -> None:
    """The order of the training rows changes no state."""
    turned = trial.task.fit(trial.values[::-1].copy(), "answer", trial.inputs, None)
    same = all(
        np.allclose(getattr(turned, name), getattr(trial.state, name)) for name in ("mean", "scale", "low", "high")
    )
    demand(
        same and turned.classes == trial.state.classes and turned.positive == trial.state.positive,
        "the reversed rows gave another state",
    )


def nothing_to_learn(trial: Trial) -> None:
    """A target that never changes is refused with a DataError."""
    try:
        trial.task.fit(np.repeat(trial.values[:1], 10), "answer", trial.inputs, None)
    except DataError:
        return
    demand(False, "it was accepted")


def targets_encode(trial: Trial) -> None:
    """Targets encode to one number a row, images to their pixels; a class never seen to -1."""
    shape = (ROWS, trial.state.outputs) if trial.state.makes == "image" else (ROWS,)
    demand(trial.target.shape == shape, f"shape {trial.target.shape}")
    if trial.state.classes:
        demand(set(trial.target.tolist()) == set(range(trial.state.outputs)), "not every class has a number")
        unseen = trial.task.encode_target(np.array(["never seen"], dtype=object), trial.state)
        demand(unseen.tolist() == [-1], f"a class never seen became {unseen.tolist()}")


def scores_are_sound(trial: Trial) -> None:
    """Scores are (n, K) and finite for any finite outputs; probabilities are non-negative and sum to 1."""
    rng = np.random.default_rng(0)
    for size in (0.0, 1.0, 1e3):
        scores = trial.task.scores(size * rng.standard_normal((ROWS, trial.state.outputs)), trial.state)
        demand(
            scores.shape == (ROWS, trial.state.outputs) and np.isfinite(scores).all(),
            f"outputs of size {size:g} gave no sound scores",
        )
        if trial.state.classes:
            demand(
                (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1),
                f"outputs of size {size:g} gave no probabilities",
            )
    demand(
        trial.task.scores(np.zeros((0, trial.state.outputs)), trial.state).shape == (0, trial.state.outputs),
        "no rows gave no (0, K) scores",
    )


def round_trip(trial: Trial) -> None:
    """Perfect outputs decode to the targets that were encoded."""
    scores = trial.task.scores(trial.perfect, trial.state)
    labels = trial.task.labels(scores, trial.state, None)
    answers = [answer["answer"] for answer in trial.task.decode(scores, trial.state, None)]
    if trial.state.makes == "image":
        read = np.array([image_bytes(answer) for answer in answers], dtype=object)
        demand(np.array_equal(trial.task.encode_target(read, trial.state), trial.target), "answers are not the targets")
        return
    demand(np.allclose(np.asarray(labels).reshape(ROWS), trial.target), "labels are not the targets")
    if trial.state.classes:
        demand(answers == trial.values.tolist(), "answers are not the targets")
    elif not trial.state.makes:
        demand(
            np.allclose(np.array(answers, dtype=float), trial.values.astype(float), rtol=1e-4),
            "answers are not the targets",
        )


def answers_are_json(trial: Trial) -> None:
    """Answers are plain JSON, one a row, each with `answer`; classes also have `probabilities`."""
    answers = trial.task.decode(trial.task.scores(trial.perfect * 0.1, trial.state), trial.state, None)
    json.dumps(answers, allow_nan=False)
    demand(len(answers) == ROWS and all("answer" in answer for answer in answers), "an answer is missing")
    if trial.state.classes:
        demand(
            all(tuple(answer["probabilities"]) == trial.state.classes for answer in answers),
            "probabilities do not name the classes in order",
        )
    demand(trial.task.decode(np.zeros((0, trial.state.outputs)), trial.state, None) == [], "no rows gave answers")


def threshold_counts(trial: Trial) -> None:
    """With two classes, threshold 0 always answers the positive one and a threshold above 1 never does."""
    if trial.state.positive is None:
        return
    scores = trial.task.scores(trial.perfect * 0.01, trial.state)
    positive = trial.state.positive_class
    demand((trial.task.labels(scores, trial.state, 0.0) == positive).all(), "threshold 0 did not always answer it")
    demand((trial.task.labels(scores, trial.state, 1.1) != positive).all(), "threshold 1.1 answered it")


def parity_is_reflexive(trial: Trial) -> None:
    """Scores give the same answers as themselves, and other answers than the opposite ones."""

    def same(ours: Array, theirs: Array) -> Array:
        found = trial.task.same(ours, theirs, trial.state, threshold=None, tolerance=1e-4)
        demand(
            found.shape == (ROWS,) and found.dtype == bool, f"parity must be (n,) bool, got {found.shape} {found.dtype}"
        )
        return found

    right = trial.task.scores(trial.perfect, trial.state)
    wrong = trial.task.scores(np.roll(trial.perfect, 1, axis=0), trial.state)
    demand(same(right, right).all(), "scores differ from themselves")
    demand(not same(right, wrong).any(), "opposite answers count as the same")
    demand((same(right, wrong) == same(wrong, right)).all(), "parity depends on the order")


def usage_counts(trial: Trial) -> None:
    """Usage counts the unit that is sold, once an answer."""
    answers = trial.task.decode(trial.task.scores(trial.perfect, trial.state), trial.state, None)
    used = trial.task.usage(Rows({}, ROWS), answers)
    demand(
        set(used) == set(trial.task.units) and all(isinstance(count, int) and count >= 0 for count in used.values()),
        f"got {used}",
    )


def first_loss(trial: Trial) -> None:
    """Outputs of zero have the loss of knowing nothing: ln K, or 1/2; perfect ones have less. What is made is judged by the model."""
    if find_spec("torch") is None or trial.state.makes:
        return
    import torch

    learnt = trial.target if trial.state.classes else trial.perfect[:, 0]
    target = torch.from_numpy(np.ascontiguousarray(learnt))

    def loss(outputs: Array) -> float:
        sums, counts = trial.task.losses(torch.from_numpy(outputs.astype(np.float32)), target, trial.state)
        demand(
            tuple(sums.shape) == tuple(counts.shape) == (ROWS,), "sums and counts must have a value for each example"
        )
        return float(sums.sum() / counts.sum())

    known, found = trial.task.first_loss(trial.state), loss(np.zeros((ROWS, trial.state.outputs)))
    demand(abs(found - known) < 1e-3, f"the loss is {found:.4f}, first_loss says {known:.4f}")
    demand(loss(trial.perfect) < 0.01 * known, "perfect outputs have a loss")


LAWS = (
    names_what_exists, state_is_json, state_is_from_values, nothing_to_learn, targets_encode, scores_are_sound, round_trip, answers_are_json,
    threshold_counts, parity_is_reflexive, usage_counts, first_loss,
)  # fmt: skip
