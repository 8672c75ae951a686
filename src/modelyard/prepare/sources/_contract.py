"""The Source contract: which file names it reads, and how one file becomes a frame. It does not know what the columns mean."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from modelyard.frozen import Frozen

if TYPE_CHECKING:
    import polars


class Source(Frozen):
    """A kind of file. Subclasses are final and named `Part`."""

    suffixes: ClassVar[tuple[str, ...]]
    """Endings of the file names it reads, in small letters."""
    together: ClassVar[bool] = False
    """Whether all files of a source are read as one table, by `read_all`: a row a file."""

    @abstractmethod
    def read(self, path: Path, missing: Sequence[str]) -> polars.DataFrame:
        """The file's rows; texts in `missing` become null where the format has no null of its own. DataError where it cannot be read."""

    def read_all(self, paths: Sequence[Path], missing: Sequence[str]) -> polars.DataFrame:
        """All files as one table, a row each in their order; only where `together` says so."""
        raise NotImplementedError

    def facts(self, path: Path) -> dict[str, Any]:
        """What had to be found out to read the file, such as its encoding. JSON."""
        return {}
