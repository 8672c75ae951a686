"""Two networks that learn images from each other: DCGAN with classes, or Wasserstein with a gradient penalty (`loss: wasserstein`).

The critic tells real images from made ones, the generator makes what it takes for real; they move in turns, each by an optimiser
of its own. What answers is the generator's running mean. It knows nothing about training loops and files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, ClassVar, Literal

from pydantic import Field

from modelyard.models import _gan
from modelyard.models._contract import LoopOptions, Lost
from modelyard.models._imaging import ImageNetwork
from modelyard.records.trained import Epoch
from modelyard.tasks._contract import State


class Part(ImageNetwork):
    """A generative adversarial network (Goodfellow et al. 2014)."""

    tasks: ClassVar[tuple[str, ...]] = ("image-generation",)
    extra: ClassVar[str | None] = "images"
    turns: ClassVar[tuple[str, ...]] = ("critic", "generator")

    loss: Literal["bce", "hinge", "wasserstein"] = "hinge"
    """What the two play for: cross-entropy (Goodfellow et al. 2014), hinge (Lim and Ye 2017), Wasserstein (Gulrajani et al. 2017)."""
    noise: int = Field(64, ge=1, le=1024)
    """Numbers that an image is made from."""
    width: int = Field(32, ge=4, le=512)
    """Channels of the generator's largest maps; every halving of the side doubles them."""
    critic_width: int = Field(32, ge=4, le=512)
    """The same of the critic."""
    critic_steps: int = Field(1, ge=1, le=20)
    """Steps of the critic for one of the generator."""
    spectral: bool | None = None
    """Whether the critic's layers are held to a largest singular value of 1 (Miyato et al. 2018); null: but for `wasserstein`."""
    penalty: float = Field(_gan.PENALTY, gt=0)
    """Weight of the gradient penalty of `wasserstein`."""
    learning_rate: float = Field(2e-3, gt=0)
    """Of the critic."""
    generator_rate: float = Field(0.5, gt=0)
    """Learning rate of the generator, as a share of the critic's."""
    momentum: float = Field(0.0, ge=0, lt=1)
    """Adam's first beta: 0, for the other network moves under way."""
    averaging: float = Field(0.995, ge=0, lt=1)
    """Share of its weights that the running mean of the generator keeps at a step (Yazici et al. 2019)."""
    schedule: Literal["cosine", "linear", "constant", "step"] = "constant"
    """Learning rates over the steps."""
    epochs: int = Field(60, ge=1)
    """Passes over the data at most; the budget may buy fewer."""
    batch_rows: int = Field(64, ge=2)
    """Images in an optimiser step."""
    validations_per_epoch: float = Field(0.25, gt=0)
    """How often made images are compared with validation rows: below 1, every so many passes over the data."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many validations without a better metric."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What products are computed in while it trains."""

    def numbers(self, features: dict[str, Any]) -> int:
        return self.noise

    def network(self, features: dict[str, Any]) -> Any:
        """`forward(noise, label)` -> (n, D); with `real` images and a `turn`, the loss of each row."""
        return _network()(features, self)

    @property
    def bounded(self) -> bool:
        """Whether the critic's layers are."""
        return self.loss != "wasserstein" if self.spectral is None else self.spectral

    def loop(self, features: dict[str, Any], state: State, rows: int) -> LoopOptions:
        """Its own options."""
        return LoopOptions(
            optimiser="adam", learning_rate=self.learning_rate, weight_decay=0.0, betas=(self.momentum, 0.99),
            rates={"generator": self.generator_rate}, schedule=self.schedule, warmup=0.0, clip=None, epochs=self.epochs,
            batch_rows=self.batch_rows, patience=self.patience, validations_per_epoch=self.validations_per_epoch,
            precision=self.precision,
        )  # fmt: skip

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
        """The loss of one of the two on real images and as many made from fresh noise."""
        import torch

        real = (target / 255.0).unflatten(1, state.shape)  # (B, D) -> (B, C, S, S)
        noise = torch.randn(len(real), self.noise, generator=generator).to(real.device)
        each = forward(noise=noise, label=tensors["label"], real=real, turn=turn, generator=generator)
        return Lost(each, torch.ones_like(each))

    def moves(self, turn: str, step: int) -> bool:
        return turn == "critic" or (step + 1) % self.critic_steps == 0

    def moved(self, turn: str, module: Any) -> None:
        """The running mean follows the generator."""
        if turn == "generator":
            module.average.follow(module.generator, self.averaging)

    def groups_of(self, turn: str, module: Any) -> Sequence[tuple[int, list[Any]]]:
        return [(0, list(getattr(module, turn).parameters()))]

    def first_loss(self, features: dict[str, Any], task: Any, state: State) -> float:
        """A critic that cannot tell at all."""
        return _gan.GUESSING[self.loss]

    def troubles(self, curve: Sequence[Epoch], facts: dict[str, Any]) -> tuple[str, ...]:
        """Signs of divergence, from the losses between two validations."""
        critic, made = ([one.losses[turn] for one in curve if turn in one.losses] for turn in self.turns)
        found = _gan.signs(critic, made, [], loss=self.loss, last=1)
        broken = facts.get("stopped") == "loss_not_finite"
        return tuple(dict.fromkeys((*(("loss_not_finite",) if broken else ()), *found)))


@cache
def _network() -> Any:
    """The module class; made on first use, because torch is heavy."""
    import torch
    from torch import nn

    class Network(nn.Module):  # type: ignore[misc]  # torch is not followed
        """A critic, a generator, and the generator's running mean, which answers."""

        def __init__(self, features: dict[str, Any], options: Part) -> None:
            super().__init__()
            channels, side, _ = features["shape"]
            sizes = {"side": side, "channels": channels, "classes": len(features["classes"])}
            self.play, self.penalty = options.loss, options.penalty
            self.critic = _gan.critic(**sizes, width=options.critic_width, spectral=options.bounded)
            self.generator = _gan.generator(**sizes, noise=options.noise, width=options.width)
            self.average = _gan.averaged(self.generator)

        def forward(
            self, noise: torch.Tensor, label: torch.Tensor, real: Any = None, turn: str = "", generator: Any = None
        ) -> torch.Tensor:
            if turn == "critic":
                return self._critic_loss(noise, label, real, generator)
            if turn == "generator":
                with _gan.held(self.critic):
                    return _gan.generator_loss(self.play, self.critic(self.generator(noise, label), label).float())
            return self.average(noise, label).flatten(1)  # (B, C, S, S) -> (B, D)

        def _critic_loss(self, noise: Any, label: Any, real: Any, generator: Any) -> Any:
            with torch.no_grad():
                made = self.generator(noise, label)
            scores = self.critic(torch.cat([real, made]), torch.cat([label, label])).float()
            of_real, of_made = scores.chunk(2)
            lost = _gan.critic_loss(self.play, of_real, of_made)
            if self.play == "wasserstein":
                slope = _gan.gradient_penalty(self.critic, real, made, label, generator=generator)
                lost = lost + self.penalty * slope
            return lost

    return Network
