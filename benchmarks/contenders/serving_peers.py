"""Peers that serve the same encoder on ONNX Runtime or torch fp32: a FastAPI handler; LitServe's stands in `serving_litserve`.

    python serving_peers.py onnx FOLDER PORT

`FOLDER` holds `model.onnx`, `tokenizer.json`, `config.json`, `weights.safetensors` and `peer.json` (`max_length`, `pad`, `classes`,
`gain`). Each is written as its documentation shows; a request is `{"text": ...}`, an answer the class and the probabilities.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any


class Model:
    """Texts -> probabilities; `graph` (ONNX Runtime) or torch."""

    def __init__(self, folder: Path, *, torch: bool) -> None:
        from tokenizers import Tokenizer

        told = json.loads((folder / "peer.json").read_text())
        self.classes = told["classes"]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(told["max_length"])
        self.tokenizer.enable_padding(pad_id=told["pad"])
        self.logits = _torch(folder, told["gain"]) if torch else _graph(folder)

    def __call__(self, texts: list[str]) -> list[dict[str, Any]]:
        import numpy as np

        found = self.tokenizer.encode_batch(texts)
        ids = np.array([one.ids for one in found], dtype=np.int64)
        length = np.array([sum(one.attention_mask) for one in found], dtype=np.int64)
        logits = self.logits(ids, length)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        return [
            {
                "answer": self.classes[int(row.argmax())],
                "probabilities": dict(zip(self.classes, row.tolist(), strict=True)),
            }
            for row in odds
        ]


def _graph(folder: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    return lambda ids, length: session.run(None, {"ids": ids, "length": length})[0]


def _torch(folder: Path, gain: float) -> Any:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModel

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    settings = json.loads((folder / "config.json").read_text())
    trunk = AutoModel.from_config(AutoConfig.for_model(settings.pop("model_type"), **settings)).eval()
    trunk.pooler = None
    weights = load_file(folder / "weights.safetensors")
    trunk.load_state_dict(
        {name.removeprefix("trunk."): value for name, value in weights.items() if name.startswith("trunk.")}
    )
    head, bias = weights["head.weight"], weights["head.bias"]

    def logits(ids: Any, length: Any) -> Any:
        given, count = torch.from_numpy(ids), torch.from_numpy(length)
        with torch.inference_mode():
            mask = (torch.arange(given.shape[1])[None, :] < count[:, None]).to(torch.int64)
            hidden = trunk(input_ids=given, attention_mask=mask).last_hidden_state
            mean = (hidden * mask[:, :, None]).sum(dim=1) / count[:, None]
            return (mean * gain @ head.T + bias).numpy()

    return logits


def fastapi(folder: Path, port: int, *, torch: bool) -> None:
    """One handler, one request at a time through the model, as FastAPI's threads call it."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Request(BaseModel):
        text: str

    class Answer(BaseModel):
        answer: str
        probabilities: dict[str, float]

    app, model = FastAPI(), Model(folder, torch=torch)

    def predict(request: Request) -> Answer:
        return Answer(**model([request.text])[0])

    # made by hand, because a local class cannot be found by name in postponed annotations
    predict.__annotations__ = {"request": Request, "return": Answer}
    app.post("/predict", response_model=Answer)(predict)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


class Peer:
    """The contender: starts a server and ends it."""

    process: subprocess.Popen[bytes] | None = None

    def versions(self) -> dict[str, str]:
        """Of what it depends on."""
        import _talk

        return _talk.versions(
            "fastapi",
            "litserve",
            "uvicorn",
            "uvloop",
            "httptools",
            "onnxruntime",
            "tokenizers",
            "torch",
            "transformers",
        )

    def start(self, kind: str, folder: str, port: int) -> None:
        """Start `fastapi-onnx` and the like; it is asked until it answers."""
        server, runtime = kind.split("-")
        program = Path(__file__).with_name({"fastapi": "serving_peers.py", "litserve": "serving_litserve.py"}[server])
        self.process = subprocess.Popen(
            [sys.executable, str(program), runtime, folder, str(port)], start_new_session=True
        )

    def stop(self) -> None:
        """End it and what it started."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
            with suppress(ChildProcessError):
                while True:  # its workers are ours now
                    os.waitpid(-1, 0)


if __name__ == "__main__":
    if sys.argv[1:]:
        fastapi(Path(sys.argv[2]), int(sys.argv[3]), torch=sys.argv[1] == "torch")
    else:
        import ctypes

        import _talk

        # PR_SET_CHILD_SUBREAPER: a killed server's workers are reaped here, so that their time counts as the benchmark's own
        ctypes.CDLL(None).prctl(36, 1)
        peer = Peer()
        try:
            _talk.serve(peer)
        finally:
            peer.stop()
