"""Compute-optimal pretraining against the published figures, and against a search."""

from __future__ import annotations

import numpy as np
import pytest

from modelyard.forecast.scaling import FLOP_EACH, best, best_with, loss


def test_epochs_ratio_at_chinchillas_budget() -> None:
    assert best(5.76e23).tokens_each == pytest.approx(18.4, abs=0.05), (
        "Besiroglu and others 2024; about 20, as Hoffmann's rule"
    )


@pytest.mark.parametrize("compute", [1e15, 1e18, 5.76e23])
def test_no_other_split_is_better(compute: float) -> None:
    found = best(compute)
    sizes = found.parameters * np.geomspace(0.1, 10, 2001)
    losses = [loss(size, compute / FLOP_EACH / size) for size in sizes]
    assert sizes[int(np.argmin(losses))] == pytest.approx(found.parameters, rel=0.01)
    assert found.parameters * found.tokens * FLOP_EACH == pytest.approx(compute)


def test_the_model_for_some_tokens_is_that_of_its_budget() -> None:
    found = best(1e20)
    assert best_with(found.tokens).parameters == pytest.approx(found.parameters)
    assert best_with(found.tokens, most=1e6).parameters == 1e6


@pytest.mark.parametrize("wrong", [lambda: best(0), lambda: best_with(0), lambda: loss(0, 1), lambda: loss(1, 0)])
def test_nothing_is_no_budget(wrong: object) -> None:
    with pytest.raises(ValueError):
        wrong()  # type: ignore[operator]
