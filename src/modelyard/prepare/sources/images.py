"""Image files: a row a file, with the folder it lies in as its label. It does not know what the images show.

Broken files are rows like others; `prepare` lists them and leaves them out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from modelyard.features.images import SUFFIXES, file_bytes
from modelyard.prepare.sources._contract import Source

if TYPE_CHECKING:
    import polars


class Part(Source):
    """Image files."""

    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES
    together: ClassVar[bool] = True

    def read(self, path: Path, missing: Sequence[str]) -> polars.DataFrame:
        """One image as a table of one row: `image` (bytes) and `file`."""
        return self.read_all([path], missing)

    def read_all(self, paths: Sequence[Path], missing: Sequence[str]) -> polars.DataFrame:
        """`image` (bytes), `file` (its path below the folder that all share) and, where they lie in several folders, `label`."""
        import polars as pl

        root = Path(os.path.commonpath([path.parent for path in paths]))
        columns = {
            "image": [file_bytes(path) for path in paths],
            "label": [path.parent.name for path in paths],
            "file": [path.relative_to(root).as_posix() for path in paths],
        }
        frame = pl.DataFrame(columns, schema={"image": pl.Binary, "label": pl.String, "file": pl.String})
        return frame if len({path.parent for path in paths}) > 1 else frame.drop("label")
