"""Open and verify a package: what serving, `yard predict` and a stranger's program import. Needs numpy, not torch.

A package is a folder, or that folder as a `.tar.gz`: `artifact.json` and one folder a member, `package.json` (the manifest),
`MODEL_CARD.md`, `LICENCE.txt`, `requirements.txt`, `wheels/`, `deploy/` (files that run it elsewhere), `reference.json` (what rows looked
like, in counts: `watching.reference`) and `hashes.json`, which names every other file. What a later
stage found out (a gate that failed) stands in `verdict.json`, the only file that may come after the hashes.

>>> opened = open_package(Path("builds/credit/package"))  # doctest: +SKIP
>>> opened.predictor.answer(rows)  # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import shutil
import tarfile
import tempfile
import weakref
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from modelyard.errors import PackageError
from modelyard.frozen import Frozen
from modelyard.predictor import Predictor
from modelyard.records._base import Estimate, Gate
from modelyard.store import read_json, replacing, write_json

MANIFEST, HASHES, VERDICT = "package.json", "hashes.json", "verdict.json"
FORMAT = 1
MOST_FILES = 10_000
MOST_BYTES = 16 * 2**30
"""Bounds of an archive once unpacked: far above any model this version makes, far below a disk."""


class Manifest(Frozen):
    """What `package.json` holds. Nothing in it depends on a clock: the same build makes the same package."""

    format: int = FORMAT
    name: str
    version: str
    description: str = ""
    licence: str = "not declared"
    task: str
    modelyard: str
    """The version that made it."""
    metric: str = ""
    """The choosing metric."""
    metrics: dict[str, Estimate] = {}
    """On the test rows."""
    gates: tuple[Gate, ...] = ()
    """Of the stages before packaging."""
    max_rows: int
    """Rows in one request."""
    max_body: int
    """Bytes in one request."""
    p95: float
    """Seconds within which 95 % of requests are to be answered."""
    missing: tuple[str, ...] | None = None
    """Texts in a CSV file that mean missing, as the blueprint said; null: the usual ones."""
    examples: tuple[dict[str, Any], ...] = ()
    """Rows as the API takes them."""
    answers: tuple[dict[str, Any], ...] = ()
    """What it answers to the examples."""

    @property
    def refused(self) -> bool:
        """Whether a gate before packaging failed (and `--force` packaged all the same)."""
        return any(not gate.passed for gate in self.gates)


@dataclass
class OpenedPackage:
    """A verified package."""

    folder: Path
    manifest: Manifest
    predictor: Predictor
    failed: tuple[Gate, ...]
    """Gates that were not met, whenever they were."""

    @property
    def refused(self) -> bool:
        """Whether it is opened only because of `force`."""
        return bool(self.failed)


def open_package(path: Path, *, force: bool = False) -> OpenedPackage:
    """Verify and open a package, folder or archive. PackageError names the file that changed, lacks or is too much, or the gate
    that failed (unless `force`)."""
    with contextlib.ExitStack() as stack:
        checked = stack.enter_context(checked_package(path, force=force))
        opened = OpenedPackage(checked.folder, checked.manifest, Predictor.open(checked.folder), checked.failed)
        weakref.finalize(opened, stack.pop_all().close)  # what was unpacked stays as long as it is used
    return opened


@dataclass(frozen=True)
class CheckedPackage:
    """A package whose files and gates were looked at, and whose model was not opened."""

    folder: Path
    manifest: Manifest
    failed: tuple[Gate, ...]


@contextlib.contextmanager
def checked_package(path: Path, *, force: bool = False) -> Iterator[CheckedPackage]:
    """Verify a package, folder or archive; what an archive was unpacked into is gone afterwards. PackageError as `open_package`."""
    path = Path(path)
    if not path.exists():
        raise PackageError(f"no package {str(path)!r}. Make one with: yard run BLUEPRINT --to package")
    unpacked = None if path.is_dir() else unpack(path)
    try:
        folder = unpacked or path
        verify(folder)
        manifest = read_manifest(folder)
        failed = tuple(gate for gate in (*manifest.gates, *later_gates(folder)) if not gate.passed)
        if failed and not force:
            reasons = "; ".join(f"{gate.name} demanded {gate.demanded}, measured {gate.measured}" for gate in failed)
            raise PackageError(f"{path} is refused by its own gates: {reasons}. --force takes it all the same.")
        yield CheckedPackage(folder, manifest, failed)
    finally:
        if unpacked:
            shutil.rmtree(unpacked, ignore_errors=True)


def read_manifest(folder: Path) -> Manifest:
    """What `package.json` of a folder says; PackageError where it is of another version or broken."""
    values = _json(folder, MANIFEST)
    made = values.get("format") if isinstance(values, dict) else None
    if made != FORMAT:
        raise PackageError(
            f"{folder / MANIFEST} has format {made!r}; this version of Modelyard reads {FORMAT}. Install the version that made it."
        )
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise PackageError(f"{folder / MANIFEST}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _json(folder: Path, name: str) -> Any:
    try:
        return read_json(folder / name)
    except FileNotFoundError:
        raise PackageError(f"{folder} is no package: it has no {name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise PackageError(f"{folder / name} cannot be read: {error}") from None


# -- hashes -------------------------------------------------------------------------------------------------------------


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files(folder: Path) -> dict[str, Path]:
    """Every file of a package by its relative name, `hashes.json` and `verdict.json` left out. PackageError at a link."""
    found = {}
    for place in sorted(folder.rglob("*")):
        name = place.relative_to(folder).as_posix()
        if place.is_symlink() or not (place.is_file() or place.is_dir()):
            raise PackageError(f"{folder}: {name} is a link or no plain file; packages hold plain files only")
        if place.is_file() and name not in (HASHES, VERDICT):
            found[name] = place
    return found


def write_hashes(folder: Path) -> str:
    """Write `hashes.json`; the answer is its own SHA-256, which stands for the whole package."""
    write_json(folder / HASHES, {name: sha256(place) for name, place in files(folder).items()})
    return sha256(folder / HASHES)


def verify(folder: Path) -> None:
    """PackageError at the first file that is missing, too much or changed."""
    demanded = _json(folder, HASHES)
    if not isinstance(demanded, dict):
        raise PackageError(f"{folder / HASHES} must map files to hashes")
    present = files(folder)
    for name in sorted(demanded.keys() - present.keys()):
        raise PackageError(f"{folder}: {name} is missing. Package it again: yard run BLUEPRINT --to package")
    for name in sorted(present.keys() - demanded.keys()):
        raise PackageError(f"{folder}: {name} does not belong to the package. Remove it.")
    for name, place in present.items():
        if sha256(place) != demanded[name]:
            raise PackageError(
                f"{folder}: {name} was changed after packaging. Package it again: yard run BLUEPRINT --to package"
            )


# -- what later stages found out ----------------------------------------------------------------------------------------


def refuse(folder: Path, gates: Sequence[Gate]) -> None:
    """Write down the gates that failed after packaging; none: the package is not refused (any more). An archive beside follows."""
    place = folder / VERDICT
    if gates:
        write_json(place, {"gates": [gate.model_dump(mode="json") for gate in gates]})
    elif place.exists():
        place.unlink()
    else:
        return
    archive = archive_of(folder)
    if archive.exists():
        pack(folder, archive)


def later_gates(folder: Path) -> tuple[Gate, ...]:
    """The gates of `verdict.json`."""
    if not (folder / VERDICT).exists():
        return ()
    try:
        return tuple(Gate.model_validate(gate) for gate in _json(folder, VERDICT)["gates"])
    except (ValidationError, KeyError, TypeError):
        raise PackageError(
            f"{folder / VERDICT} cannot be read. Package it again: yard run BLUEPRINT --to package"
        ) from None


# -- archives -----------------------------------------------------------------------------------------------------------


def archive_of(folder: Path) -> Path:
    """Where a package's archive stands: beside its folder, named after the service."""
    manifest = read_manifest(folder)
    return folder.parent / f"{manifest.name}-{manifest.version}.tar.gz"


def pack(folder: Path, archive: Path) -> None:
    """Write a package as a `.tar.gz`; the same files give the same bytes."""
    members = {**files(folder), **{name: folder / name for name in (HASHES, VERDICT) if (folder / name).exists()}}
    with (
        replacing(archive) as temporary,
        temporary.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in sorted(members):
            entry = tarfile.TarInfo(f"{archive.name.removesuffix('.tar.gz')}/{name}")
            entry.size, entry.mode = members[name].stat().st_size, 0o644
            with members[name].open("rb") as file:
                tar.addfile(entry, file)


def unpack(archive: Path) -> Path:
    """Unpack into a new temporary folder and answer the package's folder in it. PackageError for whatever is unsafe."""
    target = Path(tempfile.mkdtemp(prefix="modelyard-package-"))
    try:
        with tarfile.open(archive, "r:gz") as tar:
            _extract(tar, target, archive)
    except PackageError:
        shutil.rmtree(target, ignore_errors=True)
        raise
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        shutil.rmtree(target, ignore_errors=True)
        raise PackageError(f"{archive} is no package: neither a folder nor a whole .tar.gz archive ({error})") from None
    return target


def _extract(tar: tarfile.TarFile, target: Path, archive: Path) -> None:
    """Plain files below one top folder, without that folder's name."""
    total = 0
    for count, entry in enumerate(_entries(tar)):
        inside = PurePosixPath(entry.name)
        if entry.isdir() and ".." not in inside.parts and not inside.is_absolute():
            continue
        if (
            not entry.isreg()
            or inside.is_absolute()
            or ".." in inside.parts
            or "\\" in entry.name
            or len(inside.parts) < 2
        ):
            raise PackageError(f"{archive}: {entry.name!r} is unsafe or no plain file; nothing of it was used")
        total += entry.size
        if count >= MOST_FILES or total > MOST_BYTES:
            raise PackageError(
                f"{archive}: holds more than {MOST_FILES} files or {MOST_BYTES} bytes; nothing of it was used"
            )
        place = target.joinpath(*inside.parts[1:])
        source = tar.extractfile(entry)
        assert source is not None, "a plain file"
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            shutil.copyfileobj(source, file)


def _entries(tar: tarfile.TarFile) -> Iterable[tarfile.TarInfo]:
    while (entry := tar.next()) is not None:
        yield entry
