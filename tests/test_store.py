"""The store: files appear whole or not at all, decisions are taken once, and a build has one user at a time."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelyard.errors import Busy, UserError
from modelyard.store import Store, fingerprint, hash_tree, read_json, replacing, replacing_folder, to_json, write_json


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    place = tmp_path / "record.json"
    write_json(place, {"a": 1})
    with pytest.raises(ZeroDivisionError), replacing(place) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert read_json(place) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    place = tmp_path / "model"
    with replacing_folder(place) as temporary:
        (temporary / "old").write_text("old")
    with pytest.raises(ZeroDivisionError), replacing_folder(place) as temporary:
        (temporary / "new").write_text("half")
        raise ZeroDivisionError
    assert list(hash_tree(place)) == ["old"]
    with replacing_folder(place) as temporary:
        (temporary / "new").write_text("new")
    assert list(hash_tree(place)) == ["new"]
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("writer", [replacing, replacing_folder])
def test_a_full_disk_is_a_users_error(tmp_path: Path, writer: Callable[..., Any]) -> None:
    with (
        pytest.raises(UserError, match=r"the disk is full: .*big could not be written\. Free some space"),
        writer(tmp_path / "big"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="Permission"), writer(tmp_path / "big"):
        raise OSError(errno.EACCES, "Permission denied")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_really_full_device_is_a_users_error(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="the disk is full"),
        replacing(tmp_path / "big"),
        open("/dev/full", "w", encoding="ascii") as device,
    ):
        device.write("x")


def test_readers_see_the_old_or_the_new_file_never_half(tmp_path: Path) -> None:
    """A process is killed in the middle of writing, five times."""
    place = tmp_path / "record.json"
    write_json(place, {"n": -1, "filler": "x" * 200_000})
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from modelyard.store import write_json
        print("ready", flush=True)
        for n in range(10_000):
            write_json(Path(sys.argv[1]), {"n": n, "filler": "x" * 200_000})
        """
    )
    for delay in range(5):
        process = subprocess.Popen([sys.executable, "-c", program, str(place)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(4 + delay):
            assert len(read_json(place)["filler"]) == 200_000
        process.kill()
        process.wait()
        process.stdout.close()
        assert len(read_json(place)["filler"]) == 200_000
    Store(tmp_path).sweep()
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_nan_never_reaches_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not (tmp_path / "x.json").exists()
    assert "é" in to_json({"a": "é"})


def test_fingerprints_ignore_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint([1, 2]) != fingerprint([2, 1])
    assert fingerprint({"a": 1}) != fingerprint({"a": "1"})


def test_a_decision_is_taken_once_and_replayed(tmp_path: Path) -> None:
    store, taken = Store(tmp_path), []

    def choose() -> dict[str, Any]:
        taken.append(1)
        return {"steps": len(taken), "pair": (1, 2)}

    first = store.decide("budget", choose)
    assert first == {"steps": 1, "pair": [1, 2]}  # what is replayed is JSON, so the first time is too
    assert Store(tmp_path).decide("budget", choose) == first
    assert len(taken) == 1
    assert store.decide("other", lambda: None) is None
    assert store.decided("budget") == first
    assert store.decided("never") is None
    assert list(read_json(tmp_path / "decisions.json")) == ["budget", "other"]


def test_a_decision_is_written_before_it_is_used(tmp_path: Path) -> None:
    Store(tmp_path).decide("precision", lambda: "bf16")
    assert read_json(tmp_path / "decisions.json") == {"precision": "bf16"}


def test_a_second_process_is_told_who_holds_the_build(tmp_path: Path) -> None:
    store = Store(tmp_path / "build")
    program = "import sys; from pathlib import Path; from modelyard.store import Store\nwith Store(Path(sys.argv[1])).lock(): pass"

    def other() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, str(store.folder)], capture_output=True, text=True, check=False
        )

    with store.lock():
        with (
            pytest.raises(Busy, match=f"in use by process {os.getpid()} on .* since .* name another folder with -o"),
            Store(store.folder).lock(),
        ):
            pass
        assert f"process {os.getpid()}" in other().stderr
    assert other().returncode == 0


def test_a_killed_process_frees_its_lock_and_leaves_no_halves(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from modelyard.store import Store, replacing
        store = Store(Path(sys.argv[1]))
        with store.lock(), replacing(store.path("train", "big")) as temporary:
            temporary.write_text("half")
            print("held", flush=True)
            time.sleep(60)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    assert len(list(tmp_path.rglob(".*.part"))) == 1
    process.kill()
    process.wait()
    process.stdout.close()
    with Store(tmp_path).lock():
        assert list(tmp_path.rglob(".*.part")) == []


def test_a_folder_that_cannot_be_made_is_a_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"cannot be made.*Name another with -o"),
        Store(tmp_path / "file" / "build").lock(),
    ):
        pass
