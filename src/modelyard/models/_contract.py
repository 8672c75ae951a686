"""The Model contract: encode rows into arrays, learn weights, and answer arrays with outputs.

A model learns by `fit` (trees, linear: arrays in, weights out) or by `loop` (a torch module that `learn.loop` trains).
Weights are named numpy arrays (safetensors); features are plain JSON. `encode` and a `fit` model's `session` need numpy only.
"""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from modelyard.frozen import Frozen
from modelyard.records.trained import Epoch, Work
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State

Arrays = dict[str, Any]
"""Named arrays (or `features.sparse.Sparse`) of one first dimension (rows). A `length` array (n,) marks the model's `ragged` arrays as padded to it."""
Weights = dict[str, Array]
OUTPUTS = "outputs"
"""Name of what a graph answers."""
Session = Callable[[Arrays], Array]
"""Arrays -> outputs (n, K): logits, or the standardised number (n, 1)."""


@dataclass(frozen=True)
class Clock:
    """How long a fit may take. A model that must stop early decides where, once; the decision is replayed ever after."""

    seconds: float = math.inf
    decide: Callable[[str, Callable[[], Any]], Any] = lambda name, choose: choose()
    decided: Callable[[str], Any] = lambda name: None
    started: float = field(default_factory=time.monotonic)
    taken: dict[str, Any] = field(default_factory=dict)
    """What was decided, read once: a step may take less than reading it."""

    def over(self, name: str, step: int, share: float = 1.0) -> bool:
        """Whether step `step` is where `name` stops: as decided before, or now because `share` of the seconds has passed."""
        if name not in self.taken:
            self.taken[name] = self.decided(name)
        if self.taken[name] is None and time.monotonic() - self.started > share * self.seconds:
            self.taken[name] = self.decide(name, lambda: step)
        return self.taken[name] is not None and step >= self.taken[name]


@dataclass(frozen=True)
class Examples:
    """Encoded rows and their target: (n,) int64 class numbers, or (n,) float64 standardised numbers."""

    arrays: Arrays
    target: Array

    def __len__(self) -> int:
        return len(self.target)


class Model(Frozen):
    """An architecture. Its fields are its options. Subclasses are final and named `Part`."""

    learns: ClassVar[Literal["fit", "loop"]]
    tasks: ClassVar[tuple[str, ...]]
    """Tasks it can serve."""
    extra: ClassVar[str | None] = None
    """The extra its training needs, if not the core."""
    encoding: ClassVar[str | None] = None
    """Models of one encoding turn equal features into equal arrays, so that one of them encodes for all; None: only itself."""
    ragged: ClassVar[tuple[str, ...]] = ()
    """Arrays (n, L) that a batch trims to its longest `length`."""

    @abstractmethod
    def features(self, rows: Rows, target: Array, state: State, *, seed: int) -> dict[str, Any]:
        """What encoding needs, learnt from training rows only: vocabulary, scales, tokenizer. Plain JSON.

        What `encode` looks up at each call it may keep on them with `features.lookups.kept`; it is not written.
        """

    @abstractmethod
    def encode(self, rows: Rows, features: dict[str, Any]) -> Arrays:
        """Rows -> arrays. numpy (and `tokenizers`) only."""

    def unfit(self, state: State) -> str:
        """Why it cannot learn from these inputs with its options; empty where it can."""
        return ""

    def files(self) -> Sequence[Path]:
        """Files outside the blueprint that learning begins with and that may change under their name, as a folder of pretrained weights."""
        return ()

    def work(self, weights: Weights, features: dict[str, Any], state: State) -> Work:
        """Parameters, FLOPs and bytes; the default counts two FLOPs a weight."""
        count = sum(int(array.size) for array in weights.values())
        return Work(
            parameters=count, flops_per_row=2.0 * count, bytes=sum(int(array.nbytes) for array in weights.values())
        )

    def explain(self, weights: Weights, features: dict[str, Any], state: State) -> dict[str, Any]:
        """Facts for the report: `rules` (text of a tree), `weights` (top features), `importance`."""
        return {}


class FitModel(Model):
    """Learns in one call."""

    learns: ClassVar[Literal["fit", "loop"]] = "fit"

    @abstractmethod
    def fit(
        self,
        train: Examples,
        validation: Examples,
        state: State,
        features: dict[str, Any],
        *,
        seed: int,
        threads: int,
        clock: Clock,
    ) -> Weights:
        """Learn weights; `validation` may choose a number of trees or a strength, never more."""

    @abstractmethod
    def refit(
        self, train: Examples, chosen: Weights, state: State, features: dict[str, Any], *, seed: int, threads: int
    ) -> Weights:
        """Learn again from all rows, validation rows included, with what they chose in `chosen` (strength, depth, number of trees)."""

    @abstractmethod
    def session(self, weights: Weights, features: dict[str, Any], state: State) -> Session:
        """A function of arrays to outputs, numpy only."""


class LoopOptions(Frozen):
    """How `learn.loop` trains a module."""

    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    """Decoupled for AdamW, L2 for the others."""
    l1: float = 0.0
    """Weight of the sum of absolute weights in the loss."""
    momentum: float = 0.9
    """Nesterov's, of SGD."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of Adam and AdamW: how slowly the means of the gradient and of its square move."""
    rates: dict[str, float] = {}
    """Share of the learning rate by turn, where a model has several optimisers."""
    schedule: Literal["cosine", "linear", "constant", "step"] = "cosine"
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises from 0."""
    clip: float | None = 1.0
    """Largest global norm of the gradient; null: none."""
    epochs: int = 3
    """At most; the budget may buy fewer."""
    batch_rows: int = 32
    """Rows in an optimiser step."""
    batch_tokens: int | None = None
    """Tokens in one forward pass; a step's rows are cut into as many passes as that needs (gradient accumulation)."""
    patience: int | None = None
    """Stop after so many validations without a better metric; null: never."""
    validations_per_epoch: float = 1.0
    """Below 1: a validation every so many epochs."""
    layer_decay: float = 1.0
    """Factor of the learning rate from one layer group to the one below (1: equal)."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` measures whether bf16 is faster here, once, and writes the decision down."""


@dataclass(frozen=True)
class Lost:
    """What a pass lost; torch tensors."""

    sums: Any
    """(n,) loss of each row, summed over what it counts."""
    counts: Any
    """(n,) what each row counts: 1, or its tokens."""
    outputs: Any = None
    """(n, K) what the module answered, for the metric on training rows; None where it answers no rows."""


class LoopModel(Model):
    """Learns by gradient: `learn.loop` trains its module."""

    learns: ClassVar[Literal["fit", "loop"]] = "loop"

    most_threads: ClassVar[int | None] = None
    """Threads that its training can use; null: all."""
    recurrent: ClassVar[bool] = False
    """Whether layers read one step after another, which rounded activations would lead astray."""
    exports: ClassVar[tuple[str, ...]] = (OUTPUTS,)
    """What its graph answers where it is exported, in order (see `_vectors`)."""
    turns: ClassVar[tuple[str, ...]] = ("weights",)
    """Its optimisers, in the order in which they move within a step."""

    @abstractmethod
    def module(self, features: dict[str, Any], state: State, *, seed: int, folder: Any = None) -> Any:
        """A fresh `torch.nn.Module`; `forward(**arrays)` of tensors gives outputs (n, K). Pretrained weights are loaded here."""

    def exported(self, module: Any) -> Any:
        """The module whose graph is exported: it answers with a tuple where there are several `exports`."""
        return module

    @abstractmethod
    def loop(self, features: dict[str, Any], state: State, rows: int) -> LoopOptions:
        """How to train it."""

    def first_loss(self, features: dict[str, Any], task: Any, state: State) -> float:
        """The mean loss before training on a balanced target: the task's, where the module's outputs are then all zero.

        NaN where weights are pretrained, so that it knows something.
        """
        return float(task.first_loss(state))

    def examples(self, rows: Rows, target: Array, features: dict[str, Any], *, seed: int) -> Examples:
        """What training passes are made of: by default the encoded rows. Texts may be packed, so that nothing is padding."""
        return Examples(self.encode(rows, features), target)

    def lost(
        self,
        turn: str,
        forward: Callable[..., Any],
        tensors: dict[str, Any],
        target: Any,
        task: Any,
        state: State,
        generator: Any,
    ) -> Lost:
        """The loss of a training pass: the task's own, of rows that `changed` may have mixed. `forward` is the module."""
        tensors, mix = self.changed(tensors, generator)
        outputs = forward(**tensors)
        sums, counts = task.losses(outputs, target, state)
        if mix is not None:
            sums = mix.own * sums + (1 - mix.own) * task.losses(outputs, target[mix.other], state)[0]
        return Lost(sums, counts, outputs)

    def moves(self, turn: str, step: int) -> bool:
        """Whether this optimiser moves in this step."""
        return True

    def moved(self, turn: str, module: Any) -> None:
        """Called after an optimiser has moved, without gradients: what follows the weights, such as their running mean."""

    def troubles(self, curve: Sequence[Epoch], facts: dict[str, Any]) -> tuple[str, ...]:
        """Names of what went wrong in a training, as its curve and facts show; the report says them."""
        return ()

    def changed(self, tensors: dict[str, Any], generator: Any) -> tuple[dict[str, Any], Any]:
        """A training pass's tensors, augmented (`generator`: torch's, seeded by the step), and how rows were mixed: None, or an object
        with `other` (n,) row numbers and `own` (n,) shares of the row's own target."""
        return tensors, None

    def thaw(self, module: Any, epoch: int) -> None:
        """Called before each step with the whole passes over the data so far: what is frozen may change, by that number alone."""

    def finished(
        self, weights: Weights, features: dict[str, Any], state: State, held: Arrays, folder: Path
    ) -> tuple[Weights, dict[str, Any]]:
        """The weights that sessions read, of those that were learnt, and facts; `held` are encoded rows to try them on, `folder` keeps files."""
        return weights, {}

    def groups(self, module: Any) -> Sequence[tuple[int, list[Any]]]:
        """Parameters by depth, for layer-wise learning rates: (layers below the top, parameters)."""
        return [(0, [p for p in module.parameters() if p.requires_grad])]

    def groups_of(self, turn: str, module: Any) -> Sequence[tuple[int, list[Any]]]:
        """The same for the weights of one optimiser."""
        return self.groups(module)
