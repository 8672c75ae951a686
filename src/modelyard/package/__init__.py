"""The verb package: one folder, and one archive, that answers without torch and without network, and says what it is.

It knows what shipping needs (manifest, card, licence, requirements, hashes) and nothing about how models are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelyard.context import Context
    from modelyard.records.packaged import Packaged


def run(context: Context) -> Packaged:
    """Assemble the package and try it in a fresh process. GateFailed where a gate failed before, unless `context.force`.

    Gates: `package.answers`, `package.imports`, `package.size`.
    """
    from modelyard.package.stage import run as assemble

    return assemble(context)
