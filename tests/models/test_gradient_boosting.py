"""Boosted trees whose clock runs out, and a system without the library they link to."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest

from modelyard import parts
from modelyard.errors import MissingLibrary
from modelyard.models._contract import Clock, Examples
from tests.test_laws import rows_and_state


def noise() -> tuple[Any, Examples, Examples, Any]:
    """A model that overfits from the first rounds on: the target is noise."""
    rng = np.random.default_rng(0)
    _, _, state = rows_and_state("tabular-classification")
    sides = [Examples({"matrix": rng.normal(size=(200, 5))}, rng.integers(0, 2, 200)) for _ in range(2)]
    model = parts.build(
        "models", "gradient-boosting", {"trees": 60, "patience": 60, "learning_rate": 0.3, "leaves": 31}
    )
    return model, sides[0], sides[1], state


def test_cut_off_by_the_clock_it_keeps_the_best_round_and_not_the_last() -> None:
    model, train, held, state = noise()

    def trees(clock: Clock) -> int:
        return len(model.fit(train, held, state, {}, seed=0, threads=1, clock=clock)["root"])

    decided = Clock(decided=lambda name: 50)
    assert trees(decided) == trees(Clock()) < 25, "the best round lies well before both ends"


def test_a_system_without_openmp_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    model, train, held, state = noise()
    real = builtins.__import__

    def broken(name: str, *rest: Any, **more: Any) -> Any:
        if name == "lightgbm":
            raise OSError("libgomp.so.1: cannot open shared object file: No such file or directory")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(MissingLibrary, match=r"libgomp\.so\.1.*apt-get install libgomp1"):
        model.fit(train, held, state, {}, seed=0, threads=1, clock=Clock())
