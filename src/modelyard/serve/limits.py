"""What one request and one process may use. It knows nothing about models."""

from __future__ import annotations

from modelyard.frozen import Frozen


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
    """Within this time 95 % of requests are to be answered: batches are a quarter of it, and a standing queue at most a half. Without
    it, batches take up to 0.1 s and `queue_time` alone bounds the queue."""
    drain_time: float = 20.0
    """After SIGTERM, requests in flight have this long to finish (Kubernetes kills after 30)."""
    linger: float = 0.25
    """After SIGTERM the service still accepts for this long, while `/readyz` says no and answers carry `Connection: close`,
    so that balancers and kept-alive clients go elsewhere without a reset."""
