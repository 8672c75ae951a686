"""A package that was changed, cut, stuffed or built to harm is refused with the file's name; a sound one opens."""

from __future__ import annotations

import gc
import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard import packages
from modelyard.context import Context
from modelyard.errors import PackageError
from modelyard.packages import open_package, pack, refuse
from modelyard.records._base import Gate
from modelyard.records.packaged import Packaged

SLOW = Gate(name="serve.p95", demanded="p95 <= 0.1 s", measured="0.2 s", passed=False)


def test_folder_and_archive_answer_alike(built: Context) -> None:
    folder = open_package(built.store.path("package"))
    archive = open_package(built.store.path(built.record(Packaged).archive))
    assert archive.manifest == folder.manifest
    assert archive.folder != folder.folder and archive.folder.exists()


def test_what_was_unpacked_goes_with_its_last_user(built: Context) -> None:
    """An opened archive's files stay while it is used; a checked one's are gone with the block."""
    archive = built.store.path(built.record(Packaged).archive)
    opened = open_package(archive)
    place = opened.folder
    gc.collect()
    assert place.is_dir() and opened.predictor.folder == place
    del opened
    gc.collect()
    assert not place.exists()
    with packages.checked_package(archive) as checked:
        place = checked.folder
        assert place.is_dir()
    assert not place.exists()
    with pytest.raises(KeyError), packages.checked_package(built.store.path("package")) as checked:
        raise KeyError
    assert checked.folder.is_dir(), "a package's own folder is nobody's to remove"


def change(folder: Path) -> str:
    place = folder / "linear" / "weights.safetensors"
    data = bytearray(place.read_bytes())
    data[-1] ^= 1
    place.write_bytes(data)
    return "linear/weights.safetensors was changed"


def remove(folder: Path) -> str:
    (folder / "MODEL_CARD.md").unlink()
    return "MODEL_CARD.md is missing"


def add(folder: Path) -> str:
    (folder / "linear" / "extra.bin").write_bytes(b"x")
    return "linear/extra.bin does not belong"


def link(folder: Path) -> str:
    (folder / "linear" / "password").symlink_to("/etc/passwd")
    return "linear/password is a link"


def forget(folder: Path) -> str:
    (folder / "hashes.json").unlink()
    return "it has no hashes.json"


def scribble(folder: Path) -> str:
    (folder / "hashes.json").write_text("{")
    return "hashes.json cannot be read"


def newer(folder: Path) -> str:
    place = folder / "package.json"
    place.write_text(place.read_text().replace('"format": 1', '"format": 2', 1))
    packages.write_hashes(folder)
    return "has format 2"


def unknown(folder: Path) -> str:
    place = folder / "package.json"
    place.write_text(place.read_text().replace('"max_rows"', '"most_rows"', 1))
    packages.write_hashes(folder)
    return "max_rows: Field required"


@pytest.mark.parametrize("spoil", [change, remove, add, link, forget, scribble, newer, unknown])
def test_a_spoilt_package_is_refused(package: Path, spoil: Callable[[Path], str]) -> None:
    open_package(package)  # the clean control
    expected = spoil(package)
    with pytest.raises(PackageError) as caught:
        open_package(package, force=True)
    assert expected in str(caught.value)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="no package"):
        open_package(tmp_path / "none")


def test_a_later_gate_refuses_until_it_passes(package: Path) -> None:
    archive = packages.archive_of(package)
    pack(package, archive)
    clean = archive.read_bytes()
    refuse(package, [SLOW])
    for place in (package, archive):
        with pytest.raises(PackageError, match=r"serve\.p95"):
            open_package(place)
        assert open_package(place, force=True).failed == (SLOW,)
    refuse(package, [])
    assert not open_package(package).refused and archive.read_bytes() == clean


def archive_with(place: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(place, "w:gz") as tar:
        for entry, data in entries:
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return place


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


@pytest.mark.parametrize(
    "harmful",
    [
        entry("demo/../../escaped"),
        entry("/tmp/escaped"),
        entry("../escaped"),
        entry("demo\\..\\escaped"),
        entry("lonely"),
        entry("demo/link", tarfile.SYMTYPE, "/etc/passwd"),
        entry("demo/hard", tarfile.LNKTYPE, "/etc/passwd"),
        entry("demo/pipe", tarfile.FIFOTYPE),
        entry("demo/device", tarfile.CHRTYPE),
    ],
    ids=lambda made: made.name,
)
def test_a_harmful_archive_leaves_nothing(
    tmp_path: Path, harmful: tarfile.TarInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    data = b"x" if harmful.isreg() else b""
    archive = archive_with(tmp_path / "a.tar.gz", (entry("demo/artifact.json"), b"{}"), (harmful, data))
    with pytest.raises(PackageError, match="unsafe"):
        open_package(archive)
    assert (
        os.listdir(tmp_path / "scratch") == []
        and not (tmp_path / "escaped").exists()
        and not Path("/tmp/escaped").exists()
    )


def test_an_archive_that_would_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "MOST_BYTES", 1000)
    with pytest.raises(PackageError, match="more than"):
        open_package(archive_with(tmp_path / "a.tar.gz", (entry("demo/zeros"), bytes(2000))))


@pytest.mark.parametrize("data", [b"", b"not an archive", gzip.compress(b"not a tar file")])
def test_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(data)
    with pytest.raises(PackageError, match="no package"):
        open_package(tmp_path / "a.tar.gz")


def test_a_cut_archive(built: Context, tmp_path: Path) -> None:
    whole = built.store.path(built.record(Packaged).archive).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PackageError, match="no package"):
        open_package(tmp_path / "cut.tar.gz")
