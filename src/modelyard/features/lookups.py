"""What encoding looks up at each call: dictionaries and arrays, made once from plain features and kept on them.

Features are plain JSON. A look-up is told from them by its type, not by a name: names of columns stand in features too, and a
column may have any name. It knows nothing about what is looked up.

>>> features = {"terms": ["a", "b"]}
>>> kept(features, lambda found: {term: place for place, term in enumerate(found["terms"])})
{'a': 0, 'b': 1}
>>> plain(features)
{'terms': ['a', 'b']}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
KEY = "_kept"
"""Where a dict of features holds its look-up. Only on dicts whose keys are our own words, never on one keyed by columns."""


@dataclass(frozen=True)
class Kept:
    """Marks a look-up."""

    value: Any


def kept(features: dict[str, Any], make: Callable[[dict[str, Any]], T]) -> T:
    """The look-up of these features, made at the first call. One for each dict: all callers of a dict pass the same `make`."""
    found: Kept = features.get(KEY) or features.setdefault(KEY, Kept(make(features)))
    value: T = found.value
    return value


def plain(features: Any) -> Any:
    """Features as they are written: without look-ups, at any depth of dicts."""
    if isinstance(features, dict):
        return {key: plain(value) for key, value in features.items() if not isinstance(value, Kept)}
    return features
