"""Parquet files, types as stored. It does not know what the columns mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from modelyard.errors import DataError
from modelyard.prepare.sources._contract import Source

if TYPE_CHECKING:
    import polars


class Part(Source):
    """Parquet."""

    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")

    def read(self, path: Path, missing: Sequence[str]) -> polars.DataFrame:
        """The file's rows; DataError where it is no Parquet file."""
        import polars as pl

        try:
            frame = pl.read_parquet(path, hive_partitioning=False, glob=False)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{path}: is not a readable Parquet file: {str(error).splitlines()[0][:200]}") from None
        except BaseException as error:
            if (
                type(error).__name__ != "PanicException"
            ):  # polars' reader gives up on damaged bytes this way; it is no Exception
                raise
            raise DataError(
                f"{path}: is not a readable Parquet file: its bytes are damaged. Copy or export it again."
            ) from None
        if frame.width == 0:
            raise DataError(f"{path}: has no columns")
        return frame
