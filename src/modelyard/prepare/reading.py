"""From what the blueprint names to one frame: files, globs, folders, lists, given splits, or a frame from Python.

It knows the shelf of sources, and nothing about what columns mean.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard import parts
from modelyard.blueprint import Data
from modelyard.errors import DataError, nearest
from modelyard.features import images
from modelyard.prepare import pictures
from modelyard.rows import GROUP, ROW, SPLITS
from modelyard.store import fingerprint, hash_file, replacing

if TYPE_CHECKING:
    import polars

SHELF = "prepare.sources"
SYNONYMS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "development": "validation", "test": "test", "testing": "test",
}  # fmt: skip
"""What people call the three splits."""
GIVEN = "__split__"
"""A column that stands in the frame while `prepare` runs where the files themselves are the splits."""


@dataclass(frozen=True)
class Loaded:
    """The rows of all files, and what was read."""

    frame: polars.DataFrame
    files: list[dict[str, Any]] = field(default_factory=list)
    given: bool = False
    """Whether the files are the splits (column `__split__`)."""


def load(data: Data, folder: Path) -> Loaded:
    """Read everything that `data` names, relative to `folder`. DataError says what is wrong and where."""
    import polars as pl

    sources = _given_splits(data.source, folder)
    for split, more in (("validation", data.validation), ("test", data.test)):
        if more is not None:
            if split in sources and len(sources) > 1:
                raise DataError(
                    f"data.{split}: rows for {split} already stand in the folder {data.source!r}. Name only one of the two."
                )
            sources[split] = resolve(more, folder)
    read_twice = _twice([file for files in sources.values() for file in files])
    if read_twice:
        raise DataError(f"{read_twice}: is named for more than one split. Give every split files of its own.")
    common = Path(os.path.commonpath([file.parent for files in sources.values() for file in files]))
    frames, records, given = [], [], len(sources) > 1
    for split, files in sources.items():
        for found in _gathered(files):
            frame, facts = _read_file(found[0], data.missing) if len(found) == 1 else _read_all(found, data.missing)
            name = found[0] if len(found) == 1 else Path(os.path.commonpath(found))
            records.append(
                {"name": name.relative_to(common).as_posix(), **facts, **({"split": split} if given else {})}
            )
            frames.append(frame.with_columns(pl.lit(split).alias(GIVEN)) if given else frame)
    return Loaded(_together(frames), records, given)


def _gathered(files: Sequence[Path]) -> list[list[Path]]:
    """The files one by one; those of a source that reads all its files as one table together, where the first of them stands."""
    found: list[list[Path]] = []
    joined: dict[str, list[Path]] = {}
    known = _suffixes()
    for file in files:
        part = _part(file, known)
        if part is None or not part.together:
            found.append([file])
        elif type(part).__module__ in joined:
            joined[type(part).__module__].append(file)
        else:
            joined[type(part).__module__] = [file]
            found.append(joined[type(part).__module__])
    return found


def _read_all(files: Sequence[Path], missing: Sequence[str]) -> tuple[polars.DataFrame, dict[str, Any]]:
    """Many files as one table, a row each, and what they are together."""
    frame = _part(files[0]).read_all(files, missing)
    size = sum(file.stat().st_size for file in files)
    return frame, {
        "files": len(files),
        "bytes": size,
        "rows": frame.height,
        "hash": fingerprint(marks(files)),
    }


def marks(files: Sequence[Path]) -> list[str]:
    """What each file's rows depend on: its bytes; those of the image files that a table names; and where a file is a row, its folder and
    name, which are its label and column `file`."""
    known = _suffixes()
    found = []
    for file in files:
        part = _part(file, known)
        alone = part is not None and part.together
        found.append(f"{hash_file(file)} {file.parent.name}/{file.name}" if alone else _mark(file, part))
    return found


def _mark(file: Path, part: Any) -> str:
    """A table's hash, and of the image files that it names their hashes too."""
    own = hash_file(file)
    if part is None or not _may_name_images(file):
        return own
    try:
        named = pictures.files_of(part.read(file, ("",)), file.parent)
    except DataError:
        return own  # `prepare` says what is wrong with it
    return fingerprint([own, *map(hash_file, named)]) if named else own


HEAD = 1 << 16
"""Bytes of a table in which a name of an image file is looked for, so that tables without are not read twice."""


def _may_name_images(file: Path) -> bool:
    """Whether a table's first rows hold an image file's ending."""
    import gzip

    import polars as pl

    if file.suffix in PARQUET:
        try:
            return bool(pictures.naming(pl.scan_parquet(file).head(100).collect()))
        except (pl.exceptions.PolarsError, OSError):
            return False
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
            head = opened.read(HEAD).lower()
    except (OSError, EOFError):
        return False
    return any(suffix.encode() in head for suffix in images.SUFFIXES)


PARQUET = (".parquet", ".pq")
"""Tables whose texts are compressed."""


def from_python(frame: Any, place: Path) -> Path:
    """Write a polars or pandas frame (or anything that speaks Arrow) to `place`; DataError where it cannot be a table."""
    import polars as pl

    try:
        if isinstance(frame, pl.LazyFrame):
            frame = frame.collect()
        if type(frame).__module__.split(".")[0] == "pandas":
            frame = _from_pandas(frame)
        table = frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(frame)
        with replacing(place) as temporary:
            table.write_parquet(temporary)
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise DataError(
            f"the frame of type {type(frame).__name__} cannot be read as a table: {str(error).splitlines()[0][:200]}"
        ) from None
    return place


def _from_pandas(frame: Any) -> polars.DataFrame:
    """A pandas frame; columns of mixed Python values become text. The index is left out."""
    import polars as pl

    twice = _twice([str(name) for name in frame.columns])
    if twice:
        raise DataError(f"the frame has two columns named {twice!r}. Give every column its own name.")
    columns = []
    for name in frame.columns:
        series = frame[name]
        try:
            columns.append(pl.Series(str(name), pl.from_pandas(series)))
        except (pl.exceptions.PolarsError, TypeError, ValueError, ImportError, OverflowError):
            texts = [None if gone else str(value) for value, gone in zip(series, series.isna(), strict=True)]
            columns.append(pl.Series(str(name), texts, dtype=pl.String))
        except Exception as error:  # pyarrow raises errors of its own for mixed columns
            if type(error).__module__.split(".")[0] != "pyarrow":
                raise
            texts = [None if gone else str(value) for value, gone in zip(series, series.isna(), strict=True)]
            columns.append(pl.Series(str(name), texts, dtype=pl.String))
    return pl.DataFrame(columns)


def resolve(given: str | Sequence[str], folder: Path) -> list[Path]:
    """The files that a path, glob, folder or list of these means, sorted within each; DataError where there is none."""
    files: list[Path] = []
    known = _suffixes()
    for item in [given] if isinstance(given, str) else given:
        place = folder / Path(item).expanduser()
        if place.is_dir():
            found = _in_folder(place)
            if not found:
                raise DataError(
                    f"data: the folder {str(place)!r} holds no file that can be read. Known endings: {' '.join(_suffixes())}"
                )
        elif place.exists():
            found = [place]
        elif glob.has_magic(item):
            found = [
                match
                for match in sorted(map(Path, glob.glob(str(place), recursive=True)))
                if match.is_file() and _part(match, known)
            ]
            if not found:
                raise DataError(f"data: no file matches {str(place)!r}. Known endings: {' '.join(_suffixes())}")
        else:
            near = (
                nearest(place.name, [other.name for other in place.parent.iterdir()]) if place.parent.is_dir() else ""
            )
            raise DataError(
                f"data: no file {str(place)!r}.{near} Paths are relative to the blueprint's folder, {folder}."
            )
        files.extend(file.resolve() for file in found)
    return list(dict.fromkeys(files))


def _given_splits(source: str | Sequence[str], folder: Path) -> dict[str, list[Path]]:
    """Files by split: one folder that holds `train/`, `test/` … or `train.*`, `test.*` …; else everything is `train`."""
    place = folder / Path(source).expanduser() if isinstance(source, str) else None
    if place is None or not place.is_dir():
        return {"train": resolve(source, folder)}
    splits: dict[str, list[Path]] = {}
    known = _suffixes()
    for inside in sorted(place.iterdir()):
        split = SYNONYMS.get(inside.name.lower() if inside.is_dir() else inside.name.lower().split(".")[0])
        found = _in_folder(inside) if inside.is_dir() else [inside] if _part(inside, known) else []
        if split and found:
            splits.setdefault(split, []).extend(file.resolve() for file in found)
    if len(splits) < 2 or "train" not in splits:
        return {"train": resolve(source, folder)}
    return {split: splits[split] for split in SPLITS if split in splits}


def _in_folder(folder: Path) -> list[Path]:
    """The files that can be read; images only where there is no table, which would name them or have nothing to do with them."""
    inside = (
        file
        for file in sorted(folder.rglob("*"))
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    known = _suffixes()
    found = [(file, _part(file, known)) for file in inside if file.is_file()]
    tables = [file for file, part in found if part is not None and not part.together]
    return tables or [file for file, part in found if part is not None]


def _suffixes() -> dict[str, str]:
    """File ending -> name of the source part that reads it."""
    return {suffix: name for name in parts.names(SHELF) for suffix in parts.load(SHELF, name).suffixes}


def _part(path: Path, known: dict[str, str] | None = None) -> Any:
    """The source part for a file by the longest ending that fits, or None. `known` endings, where many files are asked about."""
    known = _suffixes() if known is None else known
    fitting = [suffix for suffix in known if path.name.lower().endswith(suffix)]
    return parts.build(SHELF, known[max(fitting, key=len)]) if fitting else None


def _read_file(path: Path, missing: Sequence[str]) -> tuple[polars.DataFrame, dict[str, Any]]:
    part = _part(path)
    if part is None:
        raise DataError(f"{path}: the ending is not known. Known endings: {' '.join(sorted(_suffixes()))}")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: is empty (0 bytes)")
    frame = pictures.from_paths(part.read(path, missing), path.parent)
    if frame.height == 0:
        raise DataError(f"{path}: has columns but no rows")
    ours = sorted({ROW, GROUP, GIVEN} & set(frame.columns))
    if ours:
        raise DataError(
            f"{path}: the column name {ours[0]!r} is kept for modelyard's own use. Rename or drop that column."
        )
    return frame, {"bytes": path.stat().st_size, "rows": frame.height, "hash": _mark(path, part), **part.facts(path)}


def _together(frames: list[polars.DataFrame]) -> polars.DataFrame:
    """All rows under the union of the columns; a column whose files disagree on its type becomes text, unless all are numbers."""
    import polars as pl

    if len(frames) == 1:
        return frames[0]
    kinds: dict[str, set[Any]] = {}
    for frame in frames:
        for name, kind in frame.schema.items():
            if kind != pl.Null:
                kinds.setdefault(name, set()).add(kind)
    mixed = {name for name, found in kinds.items() if len(found) > 1 and not all(kind.is_numeric() for kind in found)}
    nested = {name for name in mixed if any(kind.is_nested() or kind == pl.Binary for kind in kinds[name])}
    if nested:
        raise DataError(
            f"the column {min(nested)!r} has different kinds of values in different files. Give the files equal columns."
        )
    casts = [
        frame.with_columns(pl.col(name).cast(pl.String) for name in frame.columns if name in mixed) for frame in frames
    ]
    return pl.concat(casts, how="diagonal_relaxed")


def _twice(values: Sequence[Any]) -> Any:
    seen = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
