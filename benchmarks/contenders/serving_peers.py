"""Peers that serve the same encoder: a FastAPI handler, and LitServe with its batching, on ONNX Runtime or torch fp32.

    python serving_peers.py serve fastapi-onnx FOLDER PORT

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

BATCH, BATCH_TIME = 16, 0.005
"""LitServe's largest batch, and seconds that it waits for one to fill."""


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


def litserve(folder: Path, port: int, *, torch: bool) -> None:
    """Its batching, one worker, because the model uses every core."""
    import litserve as ls

    class Api(ls.LitAPI):
        def setup(self, device: Any) -> None:
            self.model = Model(folder, torch=torch)

        def decode_request(self, request: Any) -> str:
            return str(request["text"])

        def predict(self, texts: Any) -> Any:
            return self.model(list(texts))

        def encode_response(self, output: Any) -> Any:
            return output

    server = ls.LitServer(
        Api(max_batch_size=BATCH, batch_timeout=BATCH_TIME), accelerator="cpu", devices=1, workers_per_device=1
    )
    server.run(host="127.0.0.1", port=port, log_level="warning", generate_client_file=False, access_log=False)


KINDS = {
    "fastapi-onnx": (fastapi, False), "fastapi-torch": (fastapi, True), "litserve-onnx": (litserve, False), "litserve-torch": (litserve, True),
}  # fmt: skip


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
        """Start one; it is asked until it answers."""
        self.process = subprocess.Popen(
            [sys.executable, __file__, "serve", kind, folder, str(port)], start_new_session=True
        )

    def stop(self) -> None:
        """End it and what it started."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve, with_torch = KINDS[sys.argv[2]]
        serve(Path(sys.argv[3]), int(sys.argv[4]), torch=with_torch)
    else:
        import _talk

        peer = Peer()
        try:
            _talk.serve(peer)
        finally:
            peer.stop()
