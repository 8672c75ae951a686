"""llama.cpp on the same GGUF file, through llama-cpp-python: a prompt is read, and tokens follow greedily."""

from __future__ import annotations

import ctypes
import time
from typing import Any

import _talk


class Writer:
    """llama.cpp."""

    def versions(self) -> dict[str, str]:
        """Of what it uses."""
        return _talk.versions("llama-cpp-python", "numpy")

    def open(self, source: str, threads: int) -> None:
        """Load the file. `use_extra_bufts=False`: with llama.cpp's repacked buffers, 0.3.36 crashes on Q4_1 weights."""
        from llama_cpp import Llama

        self.model = Llama(
            source, n_ctx=1024, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False,
            use_extra_bufts=False,
        )  # fmt: skip

    def one(self, prompt: list[int], count: int) -> dict[str, Any]:
        """Seconds until the first of `count` new tokens, and those of all that follow it; the tokens."""
        self.model.reset()
        began = time.perf_counter()
        found = [self._next(prompt)]
        first = time.perf_counter()
        while len(found) < count:
            found.append(self._next(found[-1:]))
        return {"read": first - began, "follow": time.perf_counter() - first, "ids": found}

    def _next(self, ids: list[int]) -> int:
        """The likeliest token after these."""
        import llama_cpp
        import numpy as np

        self.model.eval(ids)
        logits = ctypes.cast(llama_cpp.llama_get_logits_ith(self.model.ctx, -1), ctypes.POINTER(ctypes.c_float))
        return int(np.ctypeslib.as_array(logits, shape=(self.model.n_vocab(),)).argmax())


if __name__ == "__main__":
    _talk.serve(Writer())
