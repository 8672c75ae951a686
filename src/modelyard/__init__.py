"""Modelyard: from one blueprint to a trained, audited, compressed, served and priced model.

A venture is one blueprint, a build is one folder, and nine verbs lead from one to the other.

>>> from modelyard import Blueprint
>>> Blueprint.load("blueprint.yaml").run()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelyard.blueprint import Blueprint

__all__ = ["Blueprint", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Blueprint":  # imported when asked for, so that `yard --help` stays quick
        from modelyard.blueprint import Blueprint

        return Blueprint
    raise AttributeError(f"module 'modelyard' has no attribute {name!r}")
