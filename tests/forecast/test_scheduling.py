"""The budget played through: nothing is cut without a limit, the limit is kept, and shares are those of the train stage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.forecast.scheduling import Planned, spend
from modelyard.train.candidates import FIT_SHARE, LOOP_SHARE
from modelyard.train.world import FINISH_SHARE

ONE = st.builds(Planned, st.just("x"), st.sampled_from(["fit", "loop"]), st.floats(0.01, 1000.0))


@given(st.lists(ONE, min_size=1, max_size=8), st.integers(1, 5))
def test_a_budget_without_end_cuts_nothing(queue: list[Planned], folds: int) -> None:
    taken = spend(queue, budget=1e9, folds=folds, refit=False)
    assert taken == pytest.approx([one.natural * folds for one in queue])


@given(st.lists(ONE, min_size=1, max_size=8), st.integers(1, 5), st.floats(1.0, 1000.0), st.booleans())
def test_the_budget_is_kept(queue: list[Planned], folds: int, budget: float, refit: bool) -> None:
    assert sum(spend(queue, budget=budget, folds=folds, refit=refit)) <= budget * (1 - FINISH_SHARE) + 1e-6


def test_shares_are_those_of_the_stage() -> None:
    queue = [Planned("fit", "fit", 1e6), Planned("loop", "loop", 1e6), Planned("last", "loop", 1e6)]
    left = 100.0 * (1 - FINISH_SHARE)
    first = left * FIT_SHARE
    second = (left - first) * LOOP_SHARE
    assert spend(queue, budget=100.0, refit=False) == pytest.approx([first, second, left - first - second])


def test_a_declared_share_is_of_the_whole_budget() -> None:
    queue = [Planned("gan", "loop", 1e6, share=0.75), Planned("flow", "loop", 1e6)]
    assert spend(queue, budget=100.0) == pytest.approx([75.0, 22.0])


def test_a_fit_model_learns_again_where_there_is_time() -> None:
    assert spend([Planned("linear", "fit", 10.0)], budget=100.0) == [20.0]
    assert spend([Planned("linear", "fit", 60.0)], budget=100.0) == [60.0]
    assert spend([Planned("dummy", "fit", 1.0, baseline=True)], budget=100.0) == [1.0]


def test_imports_are_paid_once_and_what_cannot_be_cut_is_not() -> None:
    assert spend([Planned("mlp", "loop", 2.0, cold=5.0)], budget=1000.0, folds=3) == [11.0]
    queue = [Planned("slow", "loop", 90.0, least=80.0), Planned("late", "loop", 50.0)]
    assert spend(queue, budget=100.0) == pytest.approx([80.0, 17.0])


def test_nothing_begins_when_the_budget_is_used_up() -> None:
    taken = spend([Planned("all", "loop", 99.0, share=1.0), Planned("late", "fit", 5.0)], budget=100.0)
    assert taken == pytest.approx([97.0, 0.0])


def test_no_budget() -> None:
    with pytest.raises(ValueError, match="above 0"):
        spend([], budget=0.0)
