"""The verb compress: export the trained model in several ways, prove that the answers stayed, keep the fastest.

It knows nothing about architectures: methods of the shelf `compress.methods` wrap a model from outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelyard.context import Context
    from modelyard.records.compressed import Compressed


def run(context: Context) -> Compressed:
    """Export, compare on validation rows, measure, choose. Gates: `compress.parity`, `compress.drop`."""
    from modelyard.compress.stage import run as compress

    return compress(context)
