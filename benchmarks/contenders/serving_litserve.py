"""LitServe with its batching, as its documentation shows: `python serving_litserve.py onnx FOLDER PORT`.

A file of its own, because LitServe starts its worker as a new process, which must find the class by its module.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import litserve as ls
from serving_peers import Model

BATCH, BATCH_TIME = 16, 0.005
"""The largest batch, and seconds that it waits for one to fill."""


class Api(ls.LitAPI):  # type: ignore[misc]  # its environment is not ours
    """Texts in, answers out."""

    def __init__(self, folder: Path, *, torch: bool) -> None:
        super().__init__(max_batch_size=BATCH, batch_timeout=BATCH_TIME, api_path="/predict")
        self.folder, self.torch = folder, torch

    def setup(self, device: Any) -> None:
        """Load."""
        self.model = Model(self.folder, torch=self.torch)

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # an annotation would say what the body is
        """The text."""
        return str(request["text"])

    def predict(self, texts: Any) -> Any:
        """A batch."""
        return self.model(list(texts))

    def encode_response(self, output: Any) -> Any:
        """As it is."""
        return output


if __name__ == "__main__":
    api = Api(Path(sys.argv[2]), torch=sys.argv[1] == "torch")
    # one worker, because the model uses every core
    server = ls.LitServer(api, accelerator="cpu", devices=1, workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[3]), log_level="warning", generate_client_file=False, access_log=False
    )
