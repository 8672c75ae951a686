"""What one request and one process may use. It knows nothing about models."""

from __future__ import annotations

from modelyard.frozen import Frozen


class GenerationLimits(Frozen):
    """What answers may use; times in seconds."""

    most_tokens: int = 4096
    """Tokens of an answer, where the request names no fewer; the model's context may leave less."""
    at_once: int = 8
    """Answers that are written at the same time; each holds the keys and values of its text."""
    waiting: int = 64
    """Answers that may wait for their turn; a request beyond them is refused with 429 and Retry-After."""
    wait_time: float = 60.0
    """A request that would wait longer than this for its turn, as last measured, is refused with 429 too."""
    memory: int = 2 * 2**30
    """Bytes for keys and values of all answers at once, at the length that each may come to; where they are padded, up to half more."""
    piece: int = 128
    """Tokens of prompts that are read between two tokens of the answers being written, so that a long prompt does not hold them up."""
    time: float = 300.0
    """An answer must be whole after this time, waiting included; else 504, or an error at the end of a stream."""


class Limits(Frozen):
    """Bounds of the service; times in seconds."""

    max_rows: int = 256
    """Rows in one request."""
    max_body: int = 16 * 2**20
    """Bytes in one request: a photograph of twelve megapixels has about five million, in base64 seven."""
    body_time: float = 15.0
    """A request body must have arrived after this time (a slow sender holds no memory for long); else 408."""
    answer_time: float = 30.0
    """An answer must be there after this time, waiting included; else 504."""
    queue_time: float = 5.0
    """A request that would wait longer than this for its turn is refused at once with 429 and Retry-After."""
    p95: float | None = None
    """Within this time 95 % of requests are to be answered: batches are a quarter of it, and who is let in is expected within three quarters. Without
    it, batches take up to 0.1 s and `queue_time` alone bounds the queue."""
    drain_time: float = 20.0
    """After SIGTERM, requests in flight have this long to finish (Kubernetes kills after 30)."""
    linger: float = 0.25
    """After SIGTERM the service still accepts for this long, while `/readyz` says no and answers carry `Connection: close`,
    so that balancers and kept-alive clients go elsewhere without a reset."""
    generation: GenerationLimits = GenerationLimits()
    """What generated answers may use."""
