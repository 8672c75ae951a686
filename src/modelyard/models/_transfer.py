"""What models on a pretrained image trunk share: options, freezing, layer groups, and the network of trunk and new head.

A trunk is a torch module: `forward` turns colour images (n, 3, S, S), scaled as it expects them, into vectors (n, D), `width`
is D, and `stages()` gives its modules from the stem up, each in one stage. After training the weights are full ones of
their own, so that nothing pretrained is needed any more. It knows no architecture and nothing about training loops.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from modelyard.errors import DataError, MissingExtra
from modelyard.features import images
from modelyard.models._contract import LoopOptions, Weights
from modelyard.models._images import ImageModel, columns_of, scaling
from modelyard.records.trained import Work
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State

SMALLEST, STEP = 96, 32
"""Side that smaller images are enlarged to, and what sides are rounded up to: trunks halve the side five times, and 3 x 3 places are the
fewest that have a middle."""
STATISTICS = 64
"""Side at which mean colours are learnt: they are the same at any, and 2,000 images of 224 pixels fill 2.4 GB as float64."""


class TransferModel(ImageModel):
    """A pretrained trunk and a new linear head. Abstract: where a trunk comes from is a file of its own."""

    rate: ClassVar[float]
    """Learning rate of a trunk, where none is named."""

    side: int | None = Field(None, ge=32, le=1024)
    """Images are resized to so many pixels a side; null: as the training images are, rounded up to a multiple of 32, from 96 (weights made for
    224 pixels see nothing in 28) to what the weights were trained with. Time grows with its square."""
    freeze: Literal["nothing", "gradual", "all"] | Annotated[int, Field(ge=0)] = "nothing"
    """What is not trained: nothing, so many of the lowest stages (the stem is the first), all but the head (fast: vectors are made once, of
    unchanged images), or gradual: all but the head at first, then stage by stage from the top over the first half of the epochs."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Before the head."""
    learning_rate: float | None = Field(None, gt=0)
    """At its peak; null: what the trunk bears, or 1e-3 for a head alone."""
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled weight decay (AdamW)."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Factor of the learning rate from one stage to the one below (Howard and Ruder 2018)."""
    schedule: Literal["cosine", "linear", "constant", "step"] = "cosine"
    """Learning rate after warm-up."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps over which the learning rate rises."""
    epochs: int | None = Field(None, ge=1)
    """Passes over the data at most; null: 6, or 30 for a head alone. The budget may buy fewer."""
    batch_rows: int = Field(32, ge=1)
    """Images in an optimiser step."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many validations without a better metric."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 where it is measured to be faster."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What the trunk expects, plain JSON: `side` it was trained with, `least` that it can read, `mean` and `scale` of three channels
        (0 to 1), and what `trunk` needs to build it again. MissingExtra or MissingDownload where its weights are not here."""

    @abstractmethod
    def trunk(self, features: dict[str, Any], *, pretrained: bool) -> Any:
        """The trunk, with its pretrained weights, or with any where those of a trained artifact follow."""

    # -- rows to arrays ------------------------------------------------------------------------------------------------

    def features(self, rows: Rows, target: Array, state: State, *, seed: int) -> dict[str, Any]:
        """Size, channels and mean colour of the images, and what the trunk expects."""
        if reason := self.unfit(state):
            raise DataError(reason)
        trunk, columns = self.describe(), columns_of(state)
        side = self.side or _side(images.typical_side(rows, columns, seed=seed), trunk)
        if side < trunk["least"]:
            raise DataError(f"side: these weights read images of {trunk['least']} pixels and more (got {side})")
        found = images.fit(
            rows, columns, size=min(side, STATISTICS), channels=self.channels, most=STATISTICS, fit=self.fit, seed=seed
        )
        return {**found, "size": side, "trunk": trunk}

    # -- the network ---------------------------------------------------------------------------------------------------

    def module(self, features: dict[str, Any], state: State, *, seed: int, folder: Any = None) -> Any:
        """`forward(pixels)` -> (n, K). Pretrained weights are loaded, unless `folder` (a trained artifact's) says they follow."""
        try:
            import torch
        except ImportError:
            raise MissingExtra("a pretrained image model", "images") from None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            trunk = self.trunk(features, pretrained=folder is None)
            network = _network()(trunk, features, state.outputs, self.dropout)
        stages = len(trunk.stages())
        # under `gradual` every weight is trained in the end, so that the optimiser must know it from the start
        counts = {"nothing": 0, "gradual": 0, "all": stages}
        network.freeze(counts[self.freeze] if isinstance(self.freeze, str) else self.freeze)
        network.fixed = network.frozen >= stages
        return network

    def loop(self, features: dict[str, Any], state: State, rows: int) -> LoopOptions:
        """AdamW; for a head alone a larger rate and more passes, which cost nothing."""
        alone = self.freeze == "all"
        return LoopOptions(
            optimiser="adamw", learning_rate=self.learning_rate or (1e-3 if alone else self.rate), weight_decay=self.weight_decay,
            schedule=self.schedule, warmup=self.warmup, epochs=self._passes, batch_rows=self.batch_rows, patience=self.patience,
            layer_decay=self.layer_decay, precision=self.precision,
        )  # fmt: skip

    @property
    def _passes(self) -> int:
        return self.epochs or (30 if self.freeze == "all" else 6)

    def thaw(self, module: Any, epoch: int) -> None:
        """Under `gradual`, as many stages from the top as this epoch has reached."""
        if self.freeze != "gradual":
            return
        stages = len(module.trunk.stages())
        count = max(0, stages - stages * epoch // max(1, self._passes // 2))
        if count != module.frozen:
            module.freeze(count)

    def groups(self, module: Any) -> Sequence[tuple[int, list[Any]]]:
        """Head and top stage 0, each stage below one more."""
        found = {0: list(module.head.parameters())}
        for below, stage in enumerate(reversed(module.trunk.stages())):
            members = [p for layer in stage for p in layer.parameters(recurse=False) if p.requires_grad]
            if members:
                found.setdefault(below, []).extend(members)
        return sorted(found.items())

    # -- what it reports -----------------------------------------------------------------------------------------------

    def work(self, weights: Weights, features: dict[str, Any], state: State) -> Work:
        """FLOPs as torch counts them while one image passes: those of convolutions and matrix products."""
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        network = self.module(features, state, seed=0, folder="").eval()
        side, planes = features["size"], features["channels"] * len(features["columns"])
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, planes, side, side))
        flops = float(counter.get_total_flops())
        return super().work(weights, features, state).model_copy(update={"flops_per_row": flops})


def _side(typical: float, trunk: dict[str, Any]) -> int:
    """The side for images whose own is `typical`.

    >>> [_side(own, {"side": 224, "least": 32}) for own in (28.0, 100.0, 640.0)]
    [96, 128, 224]
    """
    return int(min(trunk["side"], max(SMALLEST, trunk["least"], -(-typical // STEP) * STEP)))


@cache
def _network() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch
    from torch import nn

    class Network(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Grey images as three equal channels, scaling, trunk, dropout, and a head that starts at zero."""

        def __init__(self, trunk: Any, features: dict[str, Any], outputs: int, dropout: float) -> None:
            super().__init__()
            self.channels, self.frozen, self.fixed = features["channels"], 0, False
            # every image is scaled by itself, in colour, as the weights expect
            self.scaling = scaling({**{key: features["trunk"][key] for key in ("mean", "scale")}, "columns": ["image"]})
            self.trunk = trunk
            self.dropout = nn.Dropout(dropout)
            self.head = nn.Linear(trunk.width * len(features["columns"]), outputs)
            nn.init.zeros_(self.head.weight)  # so that the first loss is that of knowing nothing: ln K
            nn.init.zeros_(self.head.bias)

        def freeze(self, count: int) -> None:
            """Keep the lowest `count` stages as they are: no gradients, and normalised by the statistics they have."""
            self.frozen = count
            for number, stage in enumerate(self.trunk.stages()):
                for layer in stage:
                    for parameter in layer.parameters(recurse=False):
                        parameter.requires_grad_(number >= count)
            self.train(self.training)

        def train(self, mode: bool = True) -> Any:
            """As torch's; frozen stages stay in evaluation mode."""
            super().train(mode)
            if self.frozen:
                for stage in self.trunk.stages()[: self.frozen]:
                    for layer in stage:
                        layer.training = False
            return self

        def vectors(self, pixels: torch.Tensor) -> torch.Tensor:
            """(B, N C, S, S) of N image columns -> (B, N D)."""
            single = pixels.reshape(-1, self.channels, *pixels.shape[2:])  # (B N, C, S, S)
            found = self.trunk(self.scaling(single.expand(-1, 3, -1, -1)))  # (B N, D)
            return found.reshape(-1, self.head.in_features)

        def answer(self, vectors: torch.Tensor) -> torch.Tensor:
            """(B, N D) -> (B, K)."""
            return self.head(self.dropout(vectors))

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.answer(self.vectors(pixels))

    return Network
