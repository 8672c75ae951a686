"""The choice on validation rows in groups: what one group asks for is not given to all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from modelyard import metrics, parts
from modelyard.blueprint import Blueprint
from modelyard.context import Context
from modelyard.rows import Array, Column, Rows
from modelyard.store import Store
from modelyard.train import choosing
from modelyard.train.world import Fold, World


def world_of(folder: Path, target: Array, groups: Array, *, shifts: bool = True) -> World:
    """Validation rows alone, split by group; or rows drawn at random, some of which hang together."""
    blueprint = Blueprint.build(name="demo", data={"source": "x.csv", "target": "label"})
    task = parts.build("tasks", "text-classification")
    names = np.where(target == 1, "spam", "ham").astype(object)
    state = task.fit(names, "label", (Column(name="text", type="text"),), "spam")
    held = np.arange(len(target))
    return World(
        context=Context(blueprint, Store(folder)), task=task, state=state, rows=Rows({}, len(target)), row=held, target=target,
        groups=groups, shifts=shifts, top_k=metrics.TopK(), costs=(), folds=[Fold(held[:0], held)], metric=metrics.find("f1_macro"), fingerprint="",
        started=0.0, spent_before=0.0,
    )  # fmt: skip


def scores_of(logits: Array) -> Array:
    positive = 1 / (1 + np.exp(-logits))
    return np.stack([1 - positive, positive], axis=1)


@pytest.mark.parametrize(("everywhere", "shifts"), [(False, False), (True, False), (True, True)])
def test_a_bias_comes_in_only_where_all_groups_ask_for_it_and_will_be_met_again(
    tmp_path: Path, everywhere: bool, shifts: bool
) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 1000)
    target = (rng.random(1000) < 1 / (1 + np.exp(-logits))).astype(int)
    groups = np.arange(1000) // 5
    given = 2.0 * logits + (1.5 if everywhere else 0.0)  # twice too sure everywhere
    if not everywhere:  # and one large group of ham that looks like spam
        target, given = np.append(target, np.zeros(200, dtype=int)), np.append(given, np.full(200, 1.0))
        groups = np.append(groups, np.full(200, 999))
    world = world_of(tmp_path, target, groups, shifts=shifts)
    temperature, bias = choosing._calibration(world, scores_of(given), target)
    assert temperature > 1.3
    assert bool(bias) is (everywhere and not shifts)


def test_one_groups_threshold_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    target = rng.integers(0, 2, 600)
    logits = (2 * target - 1) * 2 + rng.normal(0, 1, 600)
    target, logits = np.append(target, np.zeros(40, dtype=int)), np.append(logits, np.full(40, 0.2))
    groups = np.append(np.arange(600), np.full(40, 999))
    threshold, reason, _ = choosing._threshold(world_of(tmp_path, target, groups), scores_of(logits), target)
    assert threshold is None and "surely" in reason


@pytest.mark.parametrize(
    ("shifts", "metric", "alike"), [(True, "f1_macro", True), (False, "accuracy", True), (False, "roc_auc", False)]
)
def test_candidates_that_weigh_the_same_or_are_weighed_by_the_log_loss_are_equally_sure(
    tmp_path: Path, shifts: bool, metric: str, alike: bool
) -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, 2000)
    target = (rng.random(2000) < 1 / (1 + np.exp(-logits))).astype(int)
    world = replace(world_of(tmp_path, target, np.arange(2000), shifts=shifts), metric=metrics.find(metric))
    found = [choosing._own_temperature(world, scores_of(factor * logits), target) for factor in (3.0, 1.0, 0.4)]
    assert found == (pytest.approx([3.0, 1.0, 0.4], rel=0.1) if alike else [1.0, 1.0, 1.0])
