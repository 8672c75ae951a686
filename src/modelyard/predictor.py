"""A predictor: rows in, scores and answers out. The same code answers for a trained, a compressed and a served model.

An artifact is a folder with `artifact.json` (task state, members and their weights, temperature, threshold) and one folder a
member: `features.json`, `weights.safetensors` or an exported graph. It needs numpy and what its sessions need, not torch.

    rows -> encode (once for equal features) -> session -> task.scores -> each one's temperature -> weighted mean -> temperature, biases -> decode
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from modelyard import parts
from modelyard.decoding.answering import Generator
from modelyard.embedding import Embedder
from modelyard.errors import PackageError, RequestError
from modelyard.frozen import Frozen
from modelyard.models._contract import Arrays, Session
from modelyard.models._language import LanguageSession
from modelyard.models._vectors import VectorSession
from modelyard.rows import Array, Rows
from modelyard.sampling import Generate
from modelyard.store import fingerprint, hash_tree, read_json, write_json
from modelyard.tasks._contract import State


class Member(Frozen):
    """One model of an artifact."""

    candidate: str
    model: str
    options: dict[str, Any] = {}
    folder: str
    """Relative to the artifact's folder."""
    weight: float = 1.0
    temperature: float = 1.0
    """Its own probabilities are sharpened or softened by it before they are averaged, so that the surest does not rule the mean."""
    session: str = "native"
    """Part of the sessions shelf that answers for it: native (numpy), torch, onnxruntime, openvino."""
    session_options: dict[str, Any] = {}


class Artifact(Frozen):
    """What `artifact.json` holds."""

    format: int = 1
    name: str
    state: State
    members: tuple[Member, ...]
    temperature: float = 1.0
    """Probabilities are sharpened or softened by it: p**(1/T), normalised. Chosen on validation rows."""
    bias: tuple[float, ...] = ()
    """Added to each class's log-probability before normalising. Chosen with the temperature."""
    generate: Generate = Generate()
    """How texts are written, where the task makes them."""
    threshold: float | None = None
    """The positive class is answered from this probability on (two-class tasks); null: the likeliest class."""

    def save(self, folder: Path) -> None:
        """Write `artifact.json`."""
        write_json(folder / "artifact.json", self.model_dump(mode="json"))


class Predictor:
    """An opened artifact.

    >>> predictor = Predictor.open(Path("builds/credit/package"))  # doctest: +SKIP
    >>> predictor.answer(rows)[0]  # doctest: +SKIP
    {'answer': 'good', 'probabilities': {'bad': 0.08, 'good': 0.92}}
    """

    def __init__(self, artifact: Artifact, folder: Path) -> None:
        self.artifact, self.folder, self.state = artifact, folder, artifact.state
        self.task = parts.build("tasks", artifact.state.task)
        self._members: list[tuple[Member, Any, dict[str, Any], str, Session]] = []
        states: dict[str, dict[str, Any]] = {}
        for member in artifact.members:
            place = folder / member.folder
            features = read_json(place / "features.json")
            model = parts.build("models", member.model, member.options)
            mark = fingerprint([model.encoding or member.model, features])
            features = states.setdefault(mark, features)
            session = parts.build("sessions", member.session, member.session_options).open(
                place, model, features, self.state
            )
            self._members.append((member, model, features, mark, session))
        self._total = sum(member.weight for member in artifact.members)
        self.generator = self._generator() if self.state.makes == "text" else None
        """What writes texts, where the task makes them."""

    @cached_property
    def embedder(self) -> Embedder | None:
        """What turns texts into vectors: its encoder, of several the one of the greatest weight; None where there is none."""
        encoders = [member for member in self._members if isinstance(member[4], VectorSession)]
        if not encoders:
            return None
        _, model, features, _, session = max(encoders, key=lambda each: each[0].weight)
        return Embedder(model, features, cast(VectorSession, session), self.state)

    @property
    def longest(self) -> float:
        """Tokens of a text beyond which nothing is read: where its networks cut; infinite where none does."""
        cuts = [features["max_length"] for _, _, features, _, _ in self._members if "max_length" in features]
        return float(max(cuts, default=math.inf))

    def _generator(self) -> Generator:
        """Of the one member: the answers of several have no mean."""
        (_, model, features, _, session) = self._members[0]
        return Generator(model, features, cast(LanguageSession, session).decoder, self.artifact.generate)

    @classmethod
    def open(cls, folder: Path) -> Predictor:
        """Open an artifact's folder; PackageError where it is none."""
        try:
            artifact = Artifact.model_validate(read_json(folder / "artifact.json"))
        except (OSError, ValueError) as error:
            raise PackageError(f"{folder} is not a model folder: {error}") from None
        return cls(artifact, folder)

    def scores(self, rows: Rows, *, batch: int = 256, known: dict[str, Array] | None = None) -> Array:
        """Probabilities (n, K), or numbers (n, 1); computed `batch` rows at a time.

        `known` holds what members answered to these very rows, by their marks: what is there is not computed again, the rest is
        added. Several artifacts that share members (a candidate and the ensemble it is part of) then cost each member once.
        """
        if len(rows) == 0:
            return np.zeros((0, self.state.outputs))
        batches = [slice(start, start + batch) for start in range(0, len(rows), batch)]
        everyone = range(len(self._members))
        if known is None:
            return np.concatenate([self._together(self._each(rows, each, everyone)) for each in batches])
        marks = [self._mark(member) for member, *_ in self._members]
        lacking = [index for index in everyone if marks[index] not in known]
        if lacking:
            pieces = [self._each(rows, each, lacking) for each in batches]
            known |= {marks[index]: np.concatenate(answers) for index, *answers in zip(lacking, *pieces, strict=True)}
        return self._together([known[mark] for mark in marks])

    def answer(self, rows: Rows) -> list[dict[str, Any]]:
        """Answers, one a row, in order."""
        if self.generator is not None:
            return self.generator.answers(rows)
        return self.task.decode(self.scores(rows), self.state, self.artifact.threshold)  # type: ignore[no-any-return]

    def _each(self, rows: Rows, batch: slice, members: Sequence[int]) -> list[Array]:
        """Scores of the members of these numbers for one batch, in order; equal features are encoded once."""
        encoded: dict[str, Arrays] = {}
        found, some = [], rows.take(batch)
        for index in members:
            _, model, features, mark, session = self._members[index]
            if mark not in encoded:
                try:
                    encoded[mark] = model.encode(some, features)
                except RequestError as error:  # an image that cannot be read; its row is counted from the first batch
                    faults = [(batch.start + row, field, message) for row, field, message in error.faults]
                    raise RequestError(faults) from None
            found.append(self.task.scores(session(encoded[mark]), self.state))
        return found

    def _together(self, scores: Sequence[Array]) -> Array:
        """The weighted mean of all members' scores; probabilities with temperature and biases."""
        total: Array | float = 0.0
        for (member, *_), each in zip(self._members, scores, strict=True):
            total = total + member.weight / self._total * temper(each, member.temperature)
        return temper(np.asarray(total), self.artifact.temperature, self.artifact.bias)

    def _mark(self, member: Member) -> str:
        """Equal for members that answer alike: the same files, opened the same way."""
        files = {name: mark for name, mark in hash_tree(self.folder / member.folder).items() if name not in BESIDE}
        return fingerprint([member.model, member.options, member.session, member.session_options, files])


BESIDE = ("job.json", "validation.npz")
"""What a training leaves beside the files that a session reads."""


def temper(scores: Array, temperature: float, bias: Sequence[float] = ()) -> Array:
    """p**(1/T) * exp(bias), normalised (bias-corrected temperature scaling, Alexandari et al. 2020, on averaged probabilities)."""
    if temperature == 1.0 and not bias:
        return scores
    logs = np.log(np.clip(scores, 1e-12, 1.0)) / temperature + (np.asarray(bias) if bias else 0.0)
    logs -= logs.max(axis=1, keepdims=True)
    powers = np.exp(logs)
    result: Array = powers / powers.sum(axis=1, keepdims=True)
    return result


def combine(scores: Sequence[Array], weights: Sequence[float]) -> Array:
    """The weighted mean of score arrays."""
    return np.average(np.stack(scores), axis=0, weights=weights)
