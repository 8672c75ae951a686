"""Nothing phones home: no socket is opened, no name is looked up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

GUARD = """
import sys
def refuse(event, given):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname"):
        print("PHONED", event, given[1:] if event == "socket.connect" else given[:2], flush=True)
        raise OSError("no network in this test")
sys.addaudithook(refuse)
"""
EXPORT = """
import torch, numpy as np
from modelyard.sessions.openvino import openvino_quietly
from modelyard.compress.methods._openvino import nncf_quietly
openvino = openvino_quietly()
graph = openvino.convert_model(torch.nn.Linear(3, 2), example_input=torch.zeros(2, 3))
with nncf_quietly() as nncf:
    nncf.quantize(graph, nncf.Dataset([np.zeros((1, 3), dtype=np.float32)]))
import time
time.sleep(0.5)
print("DONE")
"""
CONTROL = """
import openvino, time
time.sleep(1.0)
print("DONE")
"""


def output(program: str, home: Path) -> str:
    """Standard output of a fresh process with an empty home, outside any continuous integration (which telemetry respects)."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("CI", "NNCF_CI", "NNCF_DEV", "TF_BUILD", "JENKINS_URL")
    }
    environment |= {"HOME": str(home), "PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}
    ended = subprocess.run(
        [sys.executable, "-c", GUARD + program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "DONE" in ended.stdout, ended.stderr
    return ended.stdout


def test_export_and_quantisation_open_no_socket(tmp_path: Path) -> None:
    assert output(EXPORT, tmp_path) == "DONE\n"  # and print nothing
    assert not (tmp_path / "intel").exists()


def test_the_guard_notices_telemetry(tmp_path: Path) -> None:
    assert "PHONED" in output(CONTROL, tmp_path)
