"""What a rule is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from modelyard.blueprint import Blueprint
from modelyard.frozen import Frozen

Path = tuple[str | int, ...]
"""Keys from the file's top to a value; list positions are numbers."""
Fault = Callable[[Path, str], None]
"""Takes where a fault stands, and the sentence that says what was given, what is allowed, what to do."""


class Rule(Frozen):
    """A rule. Subclasses are final and named `Part`."""

    @abstractmethod
    def check(self, values: Mapping[str, Any], blueprint: Blueprint | None, fault: Fault) -> None:
        """Tell every fault. `values`: what the file says, of any type; `blueprint`: the same, typed; None where it does not fit its types."""
