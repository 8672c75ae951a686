"""nanoGPT (Karpathy, MIT) as it comes: its `train.py` with its README's options for a CPU, on a text of ours.

Its code is not a package: put a copy of github.com/karpathy/nanoGPT, commit 3adf61e, into `.cache/nanogpt`.
"""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import _talk
import numpy as np
import polars as pl

CODE = Path(__file__).parents[2] / ".cache" / "nanogpt"
CONTEXT = 64
OPTIONS = (
    "--device=cpu --compile=False --eval_iters=20 --log_interval=1 --block_size=64 --batch_size=12 --n_layer=4 --n_head=4 --n_embd=128 "
    "--max_iters=2000 --lr_decay_iters=2000 --dropout=0.0"
).split()
SCORED = """
import json, sys
import numpy as np, torch
from model import GPT, GPTConfig
kept = torch.load(sys.argv[1] + "/ckpt.pt", map_location="cpu")
model = GPT(GPTConfig(**kept["model_args"]))
model.load_state_dict(kept["model"])
model.eval()
windows = torch.from_numpy(np.load(sys.argv[2]))
with torch.no_grad():
    losses = [(len(part), model(part[:, :-1], part[:, 1:].contiguous())[1].item()) for part in windows.split(256)]
count = sum(size for size, _ in losses)
parameters = sum(one.numel() for one in model.parameters())
print(json.dumps({"loss": sum(size * loss for size, loss in losses) / count, "parameters": parameters, "iterations": kept["iter_num"]}))
"""
"""Its checkpoint on windows (n, 65) of ids: the mean nats a character."""


class Trained:
    """One way to train."""

    def versions(self) -> dict[str, str]:
        """Of what it uses."""
        return _talk.versions("torch", "numpy")

    def train(self, folder: str, seed: int, threads: int) -> dict[str, Any]:
        """Seconds of its iterations, and the loss of its last checkpoint on the held-out chapters."""
        if not (CODE / "train.py").exists():
            raise FileNotFoundError(f"{CODE} lacks nanoGPT. Put a copy of github.com/karpathy/nanoGPT there.")
        place, texts = Path(folder), {}
        for split in ("train", "test"):
            texts[split] = "\n".join(pl.read_parquet(place / f"{split}.parquet")["text"]) + "\n"
        ids = {letter: number for number, letter in enumerate(sorted(set("".join(texts.values()))))}
        data, out = CODE / "data" / "verses", place / "nanogpt-out"
        data.mkdir(parents=True, exist_ok=True)
        for split, name in (("train", "train"), ("test", "val")):
            np.array([ids[letter] for letter in texts[split]], dtype=np.uint16).tofile(data / f"{name}.bin")
        (data / "meta.pkl").write_bytes(
            pickle.dumps({"vocab_size": len(ids), "stoi": ids, "itos": {v: k for k, v in ids.items()}})
        )
        printed = self._run(
            ["train.py", "config/train_shakespeare_char.py", "--dataset=verses", f"--out_dir={out}", "--always_save_checkpoint=True", *OPTIONS],
            threads,
        )  # fmt: skip
        spans = [float(span) / 1e3 for span in re.findall(r"^iter \d+: .* time ([\d.]+)ms", printed, re.M)]
        plain = [span for number, span in enumerate(spans) if number % 250]  # those of its evaluations hold them
        windows = place / "windows.npy"
        np.save(windows, np.array([[ids[letter] for letter in window] for window in cut(place)], dtype=np.int64))
        found = json.loads(self._run(["-c", SCORED, str(out), str(windows)], threads).strip().splitlines()[-1])
        seconds = sum(plain) * len(spans) / len(plain)
        return {
            "seconds": seconds, "steps": found["iterations"], "tokens": len(spans) * 12 * CONTEXT, "loss": found["loss"],
            "bits_per_byte": bits(found["loss"], cut(place)), "parameters": found["parameters"],
        }  # fmt: skip

    def _run(self, arguments: list[str], threads: int) -> str:
        import os

        told = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=CODE, env=told, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return done.stdout


def cut(place: Path) -> list[str]:
    """The held-out chapters in windows of 65 characters, each beginning with the last one of the window before."""
    found = []
    for text in pl.read_parquet(place / "test.parquet")["text"]:
        found += [text[start : start + CONTEXT + 1] for start in range(0, len(text) - CONTEXT, CONTEXT)]
    return found


def bits(loss: float, windows: list[str]) -> float:
    """Nats a character as bits a byte of the same characters."""
    size = sum(len(window[1:].encode()) for window in windows)
    return loss * len(windows) * CONTEXT / size / float(np.log(2))


if __name__ == "__main__":
    _talk.serve(Trained())
