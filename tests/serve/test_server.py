"""The server process: address, workers, and what stops it from starting."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from serve_helpers import ROW, Running, make_model

from modelyard.errors import PackageError, UserError
from modelyard.serve.server import _bound, serve

Launch = Callable[..., Running]


def test_no_torch_and_no_fastapi(model_folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from modelyard.serve.opening import open_service; from modelyard.serve.app import create_app;"
        "import modelyard.serve.server, uvicorn; create_app(open_service(Path(sys.argv[1]))).warm();"
        "print([name for name in ('torch', 'pandas', 'transformers', 'sklearn', 'fastapi', 'polars') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(model_folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_answers_are_not_delayed_by_nagle() -> None:
    with _bound("127.0.0.1", 0) as sock:
        assert sock.proto == socket.IPPROTO_TCP


def test_what_stops_it_from_starting(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="no package"):
        serve(tmp_path / "none")
    with pytest.raises(PackageError, match="no package"):
        serve(tmp_path / "none", workers=2)
    with pytest.raises(UserError, match="at least 1"):
        serve(model_folder, workers=0)
    with _bound("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(UserError, match=r"cannot listen on 127.0.0.1 port"):
            serve(model_folder, port=taken.getsockname()[1])
    with pytest.raises(UserError, match="0 to 65535"):
        serve(model_folder, port=70000)


def test_a_users_error_ends_with_2_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modelyard.serve.server", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no package" in done.stderr
    assert "Traceback" not in done.stderr


def test_workers_share_a_port_and_are_started_again(model_folder: Path, launch: Launch) -> None:
    running = launch("-m", "modelyard.serve.server", str(model_folder), "--port", "0", "--workers", "2")

    def ask() -> int:
        try:
            return httpx.post(running.url + "/v1/predict", json=ROW).status_code
        except httpx.HTTPError:
            return 0

    def workers() -> list[int]:
        return [
            int(pid)
            for pid in Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
        ]

    deadline = time.monotonic() + 20
    while ask() != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    first = workers()
    assert len(first) == 2
    os.kill(first[0], signal.SIGKILL)
    while (set(workers()) == set(first) or len(workers()) < 2) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert first[1] in workers()
    while ask() != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(20):
        ask()
    text = httpx.get(running.url + "/metrics").text
    counted = re.search(r'modelyard_requests_total{path="/v1/predict",status="200"} (\d+)', text)
    assert counted and int(counted[1]) >= 20  # of all workers together
    assert running.stop() == 0


def test_workers_end_with_their_supervisor(model_folder: Path, launch: Launch) -> None:
    running = launch("-m", "modelyard.serve.server", str(model_folder), "--port", "0", "--workers", "2")
    pids = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    running.process.kill()
    running.process.wait()
    deadline = time.monotonic() + 20
    while any(alive(int(pid)) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 2
    assert not any(alive(int(pid)) for pid in pids)


def alive(pid: int) -> bool:
    """Whether it runs (a zombie does not)."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_the_server_ends_with_its_starter(model_folder: Path, tmp_path: Path) -> None:
    log = (tmp_path / "log").open("wb")
    command = [
        sys.executable,
        "-m",
        "modelyard.serve.server",
        str(make_model(tmp_path / "m")),
        "--port",
        "0",
        "--with-parent",
    ]
    with log, subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log) as process:
        while b"listening" not in (tmp_path / "log").read_bytes():
            time.sleep(0.05)
        process.stdin.close()  # type: ignore[union-attr]
        assert process.wait(timeout=20) == 0


def test_a_crash_in_native_code_says_where(model_folder: Path, launch: Launch) -> None:
    running = launch("-m", "modelyard.serve.server", str(model_folder), "--port", "0")
    running.process.send_signal(signal.SIGBUS)
    assert running.process.wait(timeout=30) == -signal.SIGBUS
    log = running.log.read_text()
    assert "Bus error" in log and "most recent call first" in log
