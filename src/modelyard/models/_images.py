"""What the image models share: options, features, encoding, augmentation, and the scaling that stands first in every module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from pydantic import Field

from modelyard.errors import DataError
from modelyard.features import images
from modelyard.models._augment import Augment, Mix, change
from modelyard.models._contract import Arrays, LoopModel, Lost
from modelyard.rows import Array, Rows
from modelyard.tasks._contract import State


class ImageModel(LoopModel):
    """A module that reads `pixels` (n, C, S, S) uint8. Abstract: each architecture is a file of its own."""

    tasks: ClassVar[tuple[str, ...]] = ("image-classification",)
    extra: ClassVar[str | None] = "images"
    largest: ClassVar[int] = 64
    """Side of the images where the blueprint names none and the data are larger."""

    side: int | None = Field(None, ge=8, le=1024)
    """Images are resized to so many pixels a side; null: as the training images are, up to what the architecture is made for."""
    channels: Literal[1, 3] | None = None
    """1: grey; 3: colour; null: grey where no image has colour."""
    fit: Literal["squash", "crop", "pad"] = "squash"
    """How an image becomes square."""
    augment: Augment = Augment()
    """How training images are changed."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of each training label that is spread over all classes (Szegedy et al. 2016)."""
    mirrored: bool = False
    """Answers are the mean of those to an image and to its mirror image (test-time augmentation): better, and twice the work."""

    def unfit(self, state: State) -> str:
        return "" if columns_of(state) else "there is no image column"

    def features(self, rows: Rows, target: Array, state: State, *, seed: int) -> dict[str, Any]:
        """Size, channels and colour statistics."""
        if reason := self.unfit(state):
            raise DataError(reason)
        return images.fit(
            rows, columns_of(state), size=self.side, channels=self.channels, most=self.largest, fit=self.fit, seed=seed
        )

    def encode(self, rows: Rows, features: dict[str, Any]) -> Arrays:
        """`pixels` (n, C, S, S) uint8."""
        return {"pixels": images.encode(rows, features)}

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
        """The task's loss, of labels that are smoothed."""
        found = super().lost(turn, forward, tensors, target, task, state, generator)
        if not self.label_smoothing:
            return found
        even = -found.outputs.float().log_softmax(dim=1).mean(dim=1)
        return Lost((1 - self.label_smoothing) * found.sums + self.label_smoothing * even, found.counts, found.outputs)

    def changed(self, tensors: dict[str, Any], generator: Any) -> tuple[dict[str, Any], Mix | None]:
        """Training images by `augment`; the module takes floats as well as bytes. Vectors made once are as they are."""
        if not self.augment.any or "pixels" not in tensors:
            return tensors, None
        moved, mix = change(tensors["pixels"].float() / 255.0, self.augment, generator)
        return {**tensors, "pixels": moved}, mix


def columns_of(state: State) -> list[str]:
    """Names of the image columns."""
    return [column.name for column in state.inputs if column.type == "image"]


def mirrored(answer: Callable[[Any], Any], pixels: Any) -> Any:
    """The mean of two answers (B, K): to images (B, C, S, S) and to their mirror images."""
    return (answer(pixels) + answer(pixels.flip(3))) / 2


def scaling(features: dict[str, Any]) -> Any:
    """A module: (n, C, S, S) whole numbers to 255, or floats of 0 to 1 -> floats of mean 0 and deviation 1 over the training images."""
    import torch
    from torch import nn

    count = len(features["columns"])

    class Scaling(nn.Module):  # type: ignore[misc]  # torch is not followed
        """Bytes to standardised floats."""

        def __init__(self) -> None:
            super().__init__()
            for name in ("mean", "scale"):
                values = torch.tensor(features[name], dtype=torch.float32).repeat(count)
                self.register_buffer(name, values.view(1, -1, 1, 1))

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            whole = not pixels.is_floating_point()  # bytes, or the int64 that exported graphs take
            found = pixels.to(self.mean.dtype)
            return ((found / 255.0 if whole else found) - self.mean) / self.scale

    return Scaling()
