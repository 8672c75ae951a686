"""Whether gradients reach every layer, and every step of a series: looked at a few times an epoch, judged when training is over.

A gradient that vanishes leaves the layers it does not reach as they began; one that explodes throws the weights about (Bengio, Simard and
Frasconi 1994; Pascanu, Mikolov and Bengio 2013). It knows nothing about losses and optimisers, and changes neither gradients nor weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from modelyard.learn.summary import layers_of

LOOKS = 4
"""Looks an epoch."""
FEWEST = 8
"""Steps from one look to the next at least. A look at every step costs a GRU 7 % and a transformer 2 % of its time (32 series of 20 steps of 12
channels, 154 steps, one thread, torch 2.13); at one in eight less than 1 %."""
MOST = 64
"""Looks that are remembered: of more, every second is forgotten and half as many are taken from then on."""
VANISHED = 1e-5
"""Share of the last layer's typical gradient (along a series: of the strongest step's) below which another's has vanished. The weakest of sound
trainings on `speakers` are 0.017, the last of 8 transformer blocks, and 5e-5, the first step that a plain cell remembers to the last."""
EXPLODED = 10.0
"""How many times the longest allowed gradient it is when it has exploded: what is left of it then is its direction on a few rows."""
UNCLIPPED = 1.0
"""The longest allowed gradient where nothing clips: what models here clip to. Sound unclipped trainings of a GRU and a plain cell on `speakers`
typically have 0.2 and 3 (learning rates 0.002 and 0.3), one at a rate of 1 has 44."""

State = Literal["sound", "vanishing", "exploding"]
Reason = Literal["", "layer", "steps", "clipped", "unclipped", "not_finite"]


@dataclass
class Watch:
    """The gradients of one optimiser's weights."""

    layers: dict[str, list[Any]]
    """Matrices that learn, by layer, from the input to the answer."""
    clip: float | None
    every: int
    """Steps from one look to the next."""
    steps: int = 0
    long: int = 0
    """Steps whose gradient had exploded, before it was clipped."""
    clipped: int = 0
    """Steps whose gradient was longer than `clip` allows."""
    broken: bool = False
    """Whether a gradient or a loss was not finite."""
    looks: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """By layer: norm of the gradient and of the weights, a look."""
    norms: list[float] = field(default_factory=list)
    """Of the whole gradient before it was clipped, a look."""
    reach: list[float] = field(default_factory=list)
    """The gradient at the first step that a recurrent layer reads, as a share of the strongest step's, a look: the worst layer's."""

    @classmethod
    def over(cls, module: Any, parameters: list[Any], clip: float | None, per_epoch: int) -> Watch:
        """A watch over those of a module's layers that hold some of these parameters."""
        learning = {id(one) for one in parameters}
        layers = {
            name: [one for one in layer.parameters() if one.ndim > 1 and id(one) in learning]
            for name, layer in layers_of(module)
        }
        return cls({name: held for name, held in layers.items() if held}, clip, max(FEWEST, -(-per_epoch // LOOKS)))

    # -- a step: along, look, stepped ----------------------------------------------------------------------------------

    @property
    def due(self) -> bool:
        """Whether this step is looked at; the first is not: a head that begins at zero lets nothing through."""
        return self.steps > 0 and self.steps % self.every == 1 % self.every

    @contextmanager
    def along(self, module: Any) -> Iterator[None]:
        """Around a step's passes: notes the gradient that reaches each step of what recurrent layers read."""
        import torch

        if not self.due:
            yield
            return
        squares: dict[str, Any] = {}
        with ExitStack() as stack:
            for name, layer in module.named_modules():
                if isinstance(layer, torch.nn.RNNBase):
                    stack.callback(layer.register_forward_pre_hook(_listening(name, squares)).remove)
            yield
        shares = [float((one[0] / one.max()).sqrt()) for one in squares.values() if len(one) and one.max() > 0]
        if shares and all(map(math.isfinite, shares)):
            self.reach.append(min(shares))

    def look(self) -> None:
        """Note each layer's gradient, before anything is done to it."""
        import torch

        for name, held in self.layers.items() if self.due else ():
            there = [one for one in held if one.grad is not None]
            if there:
                norms = torch.stack(torch._foreach_norm([one.grad for one in there] + [one.detach() for one in there]))
                gradient, weights = norms.double().view(2, -1).square().sum(dim=1).sqrt().tolist()
                self.looks.setdefault(name, []).append((_finite(gradient), _finite(weights)))

    def stepped(self, norm: float, *, finite: bool) -> None:
        """Note a step's whole gradient, before it was clipped."""
        if self.due:
            self.norms.append(_finite(norm))
        self.steps += 1
        self.broken = self.broken or not finite
        self.long += not norm <= EXPLODED * (self.clip or UNCLIPPED)
        self.clipped += self.clip is not None and not norm <= self.clip
        if len(self.norms) >= MOST:
            self.every *= 2
            self.norms, self.reach = self.norms[1::2], self.reach[1::2]
            self.looks = {name: looks[1::2] for name, looks in self.looks.items()}

    # -- what is kept, and what it means -------------------------------------------------------------------------------

    def kept(self) -> dict[str, Any]:
        """What a checkpoint keeps; JSON values."""
        names = ("every", "steps", "long", "clipped", "broken", "looks", "norms", "reach")
        return {name: getattr(self, name) for name in names}

    def restore(self, kept: dict[str, Any]) -> None:
        """Put back what `kept` took."""
        for name, value in kept.items():
            setattr(self, name, value)

    def facts(self, turn: str) -> dict[str, Any]:
        """`state` and its `reason`, the `layer` whose gradient is weakest and its `share` of the last one's, `reach`, the typical `norm`, the
        shares of steps that were `clipped` (None where nothing clips) and too `long`, and a row for each of the `layers` (`norm`, and its `ratio` to the weights'); typical is the median."""
        norms = {name: _typical(looks, 0) for name, looks in self.looks.items()}
        weights = {name: _typical(looks, 1) for name, looks in self.looks.items()}
        last = next(reversed(norms.values()), 0.0)
        weakest = min(list(norms)[:-1], key=norms.__getitem__, default=None)
        share = norms[weakest] / last if weakest and last > 0 else None
        reach = float(np.median(self.reach)) if self.reach else None
        state, reason = self._judged(share, reach)
        return {
            "turn": turn, "state": state, "reason": reason, "layer": weakest, "share": share, "reach": reach,
            "norm": float(np.median(self.norms)) if self.norms else None, "long": self.long / max(1, self.steps),
            "clipped": self.clipped / max(1, self.steps) if self.clip is not None else None,
            "limit": EXPLODED * (self.clip or UNCLIPPED), "looks": len(self.norms),
            "layers": [{"name": name, "norm": norms[name], "ratio": norms[name] / (weights[name] or 1.0)} for name in norms],
        }  # fmt: skip

    def _judged(self, share: float | None, reach: float | None) -> tuple[State, Reason]:
        if self.broken:
            return "exploding", "not_finite"
        if self.long > self.steps / 2:
            return "exploding", "unclipped" if self.clip is None else "clipped"
        if share is not None and share < VANISHED:
            return "vanishing", "layer"
        return ("vanishing", "steps") if reach is not None and reach < VANISHED else ("sound", "")


HUGE = 1e300
"""Stands for what is not finite, which JSON cannot hold."""


def said(facts: dict[str, Any]) -> str:
    """One line for the log."""
    what = {
        "layer": f"reaches {facts['layer']} with {facts['share'] or 0:.1e} of what reaches the last layer",
        "steps": f"reaches the first step of a series with {facts['reach'] or 0:.1e} of what reaches the strongest",
        "clipped": f"is longer than {facts['limit']:g}, {EXPLODED:g} times the clip, on {facts['long']:.0%} of the steps",
        "unclipped": f"is longer than {facts['limit']:g} on {facts['long']:.0%} of the steps, and nothing clips it",
        "not_finite": "is not finite",
    }
    return f"gradient {facts['state']}: it {what[facts['reason']]}"


def _listening(name: str, squares: dict[str, Any]) -> Any:
    """A hook before a recurrent layer, after which `squares[name]` (L,) sums up the squared gradient at each step the layer reads."""
    import torch

    def note(gradient: Any) -> None:
        own = gradient.detach().double().square().sum(dim=(0, 2))  # (L,)
        before = squares.get(name, own.new_zeros(0))  # of a pass before, which may be shorter or longer
        wide = own.new_zeros(max(len(own), len(before)))
        wide[: len(own)] += own
        wide[: len(before)] += before
        squares[name] = wide

    def hook(cell: Any, given: tuple[Any, ...]) -> Any:
        read = given[0]
        if not torch.is_grad_enabled() or not isinstance(read, torch.Tensor) or read.ndim != 3:
            return None
        # a view, so that only what comes through this layer is heard
        read = read.view_as(read) if read.requires_grad else read.detach().requires_grad_()
        read.register_hook(lambda gradient: note(gradient if cell.batch_first else gradient.transpose(0, 1)))
        return (read, *given[1:])

    return hook


def _finite(value: float) -> float:
    return value if math.isfinite(value) else HUGE


def _typical(looks: list[tuple[float, float]], place: int) -> float:
    return float(np.median([look[place] for look in looks]))
