"""What the image models share: options, features, encoding, augmentation, and the scaling that stands first in every module."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from modelyard.errors import DataError
from modelyard.features import images
from modelyard.models._augment import Augment, Mix, change
from modelyard.models._contract import Arrays, LoopModel
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

    def changed(self, tensors: dict[str, Any], generator: Any) -> tuple[dict[str, Any], Mix | None]:
        """Training images by `augment`; the module takes floats as well as bytes. Vectors made once are as they are."""
        if not self.augment.any or "pixels" not in tensors:
            return tensors, None
        moved, mix = change(tensors["pixels"].float() / 255.0, self.augment, generator)
        return {**tensors, "pixels": moved}, mix


def columns_of(state: State) -> list[str]:
    """Names of the image columns."""
    return [column.name for column in state.inputs if column.type == "image"]


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
