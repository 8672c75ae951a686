"""Many trees as flat arrays, walked level by level in numpy: exact, and free of the library that grew them.

Arrays (N nodes in all, T trees, K outputs): `feature` (N,), `threshold` (N,) float64, `left`, `right` (N,) (a leaf points at
itself), `missing_left` (N,) bool: where NaN goes, `value` (N, K), `root` (T,), `output` (T,): the output a tree adds to, -1 for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelyard.models._contract import Session, Weights
from modelyard.rows import Array
from modelyard.tasks._contract import State

CELLS = 4_000_000
"""Row x tree cells walked at once: 32 MB of node numbers, which stays in this machine's caches' reach."""


def join(trees: Sequence[dict[str, Array]], outputs: Sequence[int]) -> Weights:
    """Trees with their own node numbers -> one set of flat arrays."""
    sizes = [len(tree["feature"]) for tree in trees]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    joined = {
        name: np.concatenate([tree[name] for tree in trees])
        for name in ("feature", "threshold", "missing_left", "value")
    }
    for name in ("left", "right"):
        joined[name] = np.concatenate([tree[name] + start for tree, start in zip(trees, starts, strict=True)]).astype(
            np.int32
        )
    joined["feature"] = joined["feature"].astype(np.int32)
    joined["root"] = starts.astype(np.int32)
    joined["output"] = np.asarray(outputs, dtype=np.int32)
    return joined


@dataclass(frozen=True)
class Forest:
    """Flat arrays renumbered so that a right child follows its left one: a step down is one look-up and one addition."""

    feature: Array
    threshold: Array
    missing_left: Array
    child: Array
    """(N,) the left child; a leaf is its own."""
    origin: Array
    """(N,) node numbers of the stored arrays."""
    trees: int
    depth: int

    @classmethod
    def of(cls, weights: Weights) -> Forest:
        """Renumber level by level; roots come first, tree by tree."""
        left, right = weights["left"], weights["right"]
        level = weights["root"].astype(np.intp)
        origin, child, start, depth = [level], [], 0, 0
        while level.size:
            inner = left[level] != level
            below = start + len(level)  # the number of this level's first child
            child.append(np.where(inner, below + 2 * (np.cumsum(inner) - 1), start + np.arange(len(level))))
            start, parents = below, level[inner]
            level = np.stack([left[parents], right[parents]], axis=1).ravel().astype(np.intp)
            origin.append(level)
            depth += bool(level.size)
        order = np.concatenate(origin)
        feature, threshold = weights["feature"][order].astype(np.intp), weights["threshold"][order].astype(np.float64)
        missing_left = weights["missing_left"][order].astype(bool)
        return cls(feature, threshold, missing_left, np.concatenate(child), order, len(weights["root"]), depth)

    def walk(self, matrix: Array) -> Array:
        """(n, d) -> (n, T) leaf numbers of the stored arrays. A leaf goes left, to itself, whatever it sees."""
        node = np.tile(np.arange(self.trees), len(matrix))
        flat, base = matrix.ravel(), np.repeat(np.arange(len(matrix)) * matrix.shape[1], self.trees)
        absent = bool(np.isnan(flat).any())
        for _ in range(self.depth):
            seen = flat.take(base + self.feature.take(node))
            right = seen > self.threshold.take(node)
            if absent:
                right |= np.isnan(seen) & ~self.missing_left.take(node)
            node = self.child.take(node)
            node += right
        return self.origin.take(node).reshape(len(matrix), self.trees)


def session(weights: Weights, width: int, *, kind: str) -> Session:
    """Outputs (n, K). `kind`: `sum` adds leaf values (boosting); `vote` averages leaf probabilities and takes their logarithm; `mean` averages."""
    value, output, trees = weights["value"], weights["output"], len(weights["root"])
    forest, only = Forest.of(weights), (int(output[0]) if len(set(output.tolist())) == 1 else None)
    leaf = np.ascontiguousarray(value[:, 0], dtype=np.float64)
    step = max(1, CELLS // max(trees, 1))

    def answer(arrays: dict[str, Array]) -> Array:
        matrix = np.ascontiguousarray(arrays["matrix"], dtype=np.float64)
        pieces = [_total(matrix[start : start + step]) for start in range(0, len(matrix), step)]
        return np.concatenate(pieces) if pieces else np.zeros((0, width))

    def _total(matrix: Array) -> Array:
        leaves = forest.walk(matrix)  # (n, T)
        if kind != "sum":
            mean = value[leaves].mean(axis=1)  # (n, K)
            return np.log(np.clip(mean, 1e-6, None)) if kind == "vote" else mean
        found = leaf.take(leaves)  # (n, T)
        result = np.zeros((len(matrix), width))
        if only is not None:
            result[:, only] = found.sum(axis=1)
            return result
        for place in range(width):
            chosen = output == place
            if chosen.any():
                result[:, place] = found[:, chosen].sum(axis=1)
        return result

    return answer


def from_lightgbm(dumped: dict[str, Any], per_round: int, outputs: int) -> Weights:
    """LightGBM's `dump_model()` -> flat arrays. A two-class model has one tree a round, which adds to the positive output (1)."""
    trees = [_lightgbm_tree(info["tree_structure"]) for info in dumped["tree_info"]]
    places = [place % per_round if per_round > 1 else outputs - 1 for place in range(len(trees))]
    return join(trees, places)


def _lightgbm_tree(structure: dict[str, Any]) -> dict[str, Array]:
    feature: list[int] = []
    left: list[int] = []
    right: list[int] = []
    threshold: list[float] = []
    value: list[float] = []
    missing: list[bool] = []

    def visit(node: dict[str, Any]) -> int:
        number = len(feature)
        leaf = "leaf_value" in node
        feature.append(0 if leaf else node["split_feature"])
        threshold.append(np.inf if leaf else float(node["threshold"]))
        # missing_type None: LightGBM reads NaN as 0 (Tree::NumericalDecision); NaN: the node's default side
        zero_left = not leaf and float(node["threshold"]) >= 0.0
        missing.append(leaf or (node["default_left"] if node["missing_type"] == "NaN" else zero_left))
        value.append(node["leaf_value"] if leaf else 0.0)
        left.append(number)
        right.append(number)
        if not leaf:
            assert node["decision_type"] == "<=", node["decision_type"]
            left[number] = visit(node["left_child"])
            right[number] = visit(node["right_child"])
        return number

    visit(structure)
    return {
        "feature": np.array(feature), "threshold": np.array(threshold), "left": np.array(left), "right": np.array(right),
        "missing_left": np.array(missing, dtype=bool), "value": np.array(value)[:, None],
    }  # fmt: skip


def from_sklearn(trees: Sequence[Any], learner: Any, state: State) -> Weights:
    """scikit-learn's tree arrays -> flat arrays; class counts become shares, in the task's order where a fold lacks a class."""
    found = []
    for tree in trees:
        leaf = tree.children_left < 0
        own = np.arange(tree.node_count)
        value = tree.value[:, 0, :]
        if state.classes:
            shares = value / value.sum(axis=1, keepdims=True)
            value = np.zeros((tree.node_count, state.outputs))
            value[:, learner.classes_] = shares
        found.append({
            "feature": np.where(leaf, 0, tree.feature), "threshold": np.where(leaf, np.inf, tree.threshold),
            "left": np.where(leaf, own, tree.children_left), "right": np.where(leaf, own, tree.children_right),
            "missing_left": leaf | tree.missing_go_to_left.astype(bool), "value": value,
        })  # fmt: skip
    return join(found, [-1] * len(found))
