"""The Task contract: a task owns the answer (target, loss, scores, decode, usage); a model owns its features.

Train, evaluate, compress and serve all go rows -> model.encode -> session -> task.scores -> task.decode, so that what is
served cannot differ from what was trained. Everything but `losses` needs numpy only.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from modelyard.frozen import Frozen
from modelyard.rows import Array, Column, Rows, from_frame

if TYPE_CHECKING:
    import polars


Kind = Literal["classification", "regression", "language", "image"]


class State(Frozen):
    """What a task learnt from the training split only. Plain JSON."""

    task: str
    target: str
    inputs: tuple[Column, ...]
    """The fields of a request."""
    makes: Literal["text", "image"] | None = None
    """What an answer is, where it is made; None where it is a class or a number. Its scores are then about the row's target, which
    scoring reads beside the inputs."""
    width: int | None = None
    """Numbers that a model puts out for a row, where an answer is made."""
    shape: tuple[int, int, int] | None = None
    """Channels, height and width, where images are made."""
    classes: tuple[str, ...] = ()
    """Class names, sorted (classification)."""
    counts: tuple[int, ...] = ()
    """Training rows of each class."""
    positive: str | None = None
    """The class looked for (two-class tasks)."""
    transform: str = "identity"
    """`identity` or `log`: what is done to a numeric target before it is standardised."""
    mean: float = 0.0
    scale: float = 1.0
    """Mean and standard deviation of the transformed numeric target."""
    low: float = 0.0
    high: float = 0.0
    """Range of the transformed numeric target; answers are cut half a deviation beyond it, because none was ever seen there."""

    @property
    def outputs(self) -> int:
        """Width of a model's output: classes, or 1 for a number, or what the task says."""
        return self.width or len(self.classes) or 1

    @property
    def positive_class(self) -> int | None:
        """The number of the class looked for."""
        return None if self.positive is None else self.classes.index(self.positive)

    def target_of(self, frame: polars.DataFrame) -> Array:
        """The target of a split as it was written: (n,) texts of classes, numbers, or what is made."""
        return from_frame(frame, {self.target: self.makes or ("category" if self.classes else "number")})[self.target]

    def types(self) -> dict[str, str]:
        """Input name to type: what a request holds."""
        return {column.name: column.type for column in self.inputs}

    def scored(self) -> dict[str, str]:
        """Column name to type of what scoring reads: the inputs, and the target where an answer is made."""
        return self.types() | ({self.target: self.makes} if self.makes else {})


class Task(Frozen):
    """What a service does. Subclasses are final and named `Part`."""

    units: ClassVar[tuple[str, ...]] = ("request",)
    """What the service sells and counts, each at a price of its own."""
    kind: ClassVar[Kind]
    """Which metrics and figures apply: a class, a number, a text or an image is answered."""
    metrics: ClassVar[tuple[str, ...]]
    """Names on the metrics shelf; the first one chooses."""
    combines: ClassVar[bool] = True
    """Whether the answers of several models have a mean."""
    tolerance: ClassVar[float] = 1e-4
    """What `same` allows where the blueprint's `compress.tolerance` says nothing."""
    judged: ClassVar[bool] = True
    """Whether `losses` tells how good an answer to one row is; where not, models bring the losses they learn by."""
    like: ClassVar[str | None] = None
    """A task whose models serve this one as well, because its targets and outputs have the same form."""
    baselines: ClassVar[tuple[str, ...]] = ("dummy",)
    """Candidates that always run and must be beaten (the first, with confidence)."""

    def added(self, inputs: Mapping[str, str]) -> dict[str, str]:
        """Fields of a request that the data need not hold, name to type: `prepare` adds them, texts empty and numbers by row."""
        return {}

    @abstractmethod
    def candidates(self, size: str, columns: Sequence[Column]) -> dict[str, dict[str, Any]]:
        """The default candidates for a size: name -> options."""

    @abstractmethod
    def fit(self, values: Array, target: str, inputs: Sequence[Column], positive: str | None) -> State:
        """Learn classes or scales from the training target. `values`: object array of str, or float64."""

    @abstractmethod
    def encode_target(self, values: Array, state: State) -> Array:
        """Target values -> (n,) int64 class numbers (-1 for a class never seen), (n,) float64 in the target's own unit, or (n, D) pixels."""

    def standardised(self, target: Array, state: State) -> Array:
        """What models learn of an encoded target: class numbers as they are; a number's task puts it on one scale."""
        return target

    def restored(self, target: Array, state: State) -> Array:
        """The inverse of `standardised`."""
        return target

    @abstractmethod
    def losses(self, outputs: Any, target: Any, state: State) -> tuple[Any, Any]:
        """Torch: model outputs (n, K) and target (n,) -> (sum of the loss of each example (n,), its count (n,))."""

    @abstractmethod
    def first_loss(self, state: State) -> float:
        """The mean loss of a model whose outputs are all zero, on balanced classes or the training target: ln K, or 1/2."""

    @abstractmethod
    def scores(self, outputs: Array, state: State) -> Array:
        """Session outputs (n, K) -> probabilities (n, K), or (n, 1) numbers in the target's own unit."""

    @abstractmethod
    def decode(self, scores: Array, state: State, threshold: float | None) -> list[dict[str, Any]]:
        """Scores -> answers: `{'answer': ..., 'probabilities': {class: p}}` or `{'answer': number}`."""

    @abstractmethod
    def labels(self, scores: Array, state: State, threshold: float | None) -> Array:
        """Scores -> (n,) class numbers or numbers: what metrics and parity compare."""

    @abstractmethod
    def same(self, ours: Array, theirs: Array, state: State, *, threshold: float | None, tolerance: float) -> Array:
        """Parity: for each row, whether two score arrays give the same answer. (n,) bool."""

    def usage(self, rows: Rows, answers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """What the ledger writes down for a request."""
        return {self.units[0]: len(answers)}
