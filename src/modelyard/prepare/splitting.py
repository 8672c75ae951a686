"""Rows to train, validation and test, whole groups at a time. It knows groups, class numbers and times; no columns, no models.

Random, stratified and group splits depend on the seed and on what the rows hold, not on their order: groups are put in the order of a
hash of their content before the seed shuffles them. A side is 0 train, 1 validation, 2 test.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelyard.errors import DataError
from modelyard.rows import SPLITS, Array

TRAIN, VALIDATION, TEST = range(3)


def by_groups(
    groups: Array, classes: Array, marks: Array, *, strata: Array, shares: tuple[float, float, float], seed: int
) -> Array:
    """Sides (n,) of rows: every group on one side, every stratum spread by `shares` as well as its groups allow, every class in train.

    `groups`, `classes`, `strata` (n,) count from 0 (all 0 where there are none); `marks` (n,) are 64-bit hashes of the rows' content.
    A side of share 0 stays empty.
    """
    count = int(groups.max()) + 1
    table = np.zeros((count, int(strata.max()) + 1))
    np.add.at(table, (groups, strata), 1)
    mark = np.full(count, np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(mark, groups, marks)
    order = np.argsort(mark, kind="stable")
    order = order[np.random.default_rng(seed).permutation(count)]
    sizes = table.sum(axis=1)
    target = np.outer(shares, table.sum(axis=0))  # (3, kinds) rows wanted
    side = np.full(count, -1)
    have = np.zeros_like(target)
    large = order[sizes[order] > 1]
    for group in large[np.argsort(-sizes[large], kind="stable")]:
        chosen = _best_side(table[group], have, target)
        side[group] = chosen
        have[chosen] += table[group]
    single = order[sizes[order] == 1]
    _fill(single, table[single].argmax(axis=1), have, target, side)
    _keep_sides_filled(side, sizes, shares)
    members = np.zeros((count, int(classes.max()) + 1))
    np.add.at(members, (groups, classes), 1)
    _keep_classes_in_train(side, members)
    return np.asarray(side[groups])


def _best_side(group: Array, have: Array, target: Array) -> int:
    """The side whose relative shortfall a group mends most: least growth of the chi-square distance to the wanted counts."""
    wanted = np.maximum(target, 1e-9)
    growth = (group * (2 * (have - target) + group) / wanted / np.maximum(target.sum(axis=0), 1)).sum(axis=1)
    over = np.maximum(have + group - target, 0).sum(axis=1) - np.maximum(have - target, 0).sum(axis=1)
    return int(np.lexsort((growth, over > 0.5 * group.sum()))[0])


def _fill(single: Array, classes: Array, have: Array, target: Array, side: Array) -> None:
    """Single rows fill what each class still lacks on each side, largest remainders first."""
    for kind in np.unique(classes):
        rows = single[classes == kind]
        lacking = np.maximum(target[:, kind] - have[:, kind], 0)
        total = lacking.sum()
        share = lacking / total if total else target[:, kind] / max(target[:, kind].sum(), 1e-9)
        exact = share * len(rows)
        counts = np.floor(exact).astype(int)
        rest = len(rows) - counts.sum()
        counts[np.argsort(-(exact - counts), kind="stable")[:rest]] += 1
        if len(rows) >= 2 and counts[TRAIN] == 0 and have[TRAIN, kind] == 0:
            counts[TRAIN], counts[counts.argmax()] = 1, counts[counts.argmax()] - 1
        side[rows] = np.repeat([TRAIN, VALIDATION, TEST], counts)
        have[:, kind] += counts


def _keep_sides_filled(side: Array, sizes: Array, shares: tuple[float, float, float]) -> None:
    """An empty side that is wanted takes the smallest group of the side with the most groups."""
    for empty in (TEST, VALIDATION, TRAIN):
        if (side == empty).any() or not shares[empty]:
            continue
        donor = int(np.bincount(side, minlength=3).argmax())
        if (side == donor).sum() < 2:
            raise DataError(
                f"the data falls into {len(side)} groups of rows that must stay together, too few for train, validation and test rows. "
                "Add rows, split by another column, or set prepare.near_duplicates: null."
            )
        inside = np.flatnonzero(side == donor)
        side[inside[sizes[inside].argmin()]] = empty


def _keep_classes_in_train(side: Array, table: Array) -> None:
    """A class without training rows gets its smallest group from another side, if that side keeps a group."""
    for kind in range(table.shape[1]):
        holders = np.flatnonzero(table[:, kind] > 0)
        if len(holders) and not (side[holders] == TRAIN).any():
            for group in holders[np.argsort(table[holders].sum(axis=1), kind="stable")]:
                if (side == side[group]).sum() > 1:
                    side[group] = TRAIN
                    break


def by_time(times: Array, groups: Array, *, shares: tuple[float, float, float]) -> tuple[Array, tuple[float, float]]:
    """Sides of rows (n,), and the first moment of validation and of test. Later rows are tested; equal times stay together.

    A group (near duplicates) goes to its earliest row's side: what was known then is learnt, not tested. A row without a time
    (NaN) goes to train, as nobody can say that it came later.
    """
    known = np.sort(times[~np.isnan(times)])
    last = cut(known, shares[TEST])
    before = known[known < last]
    first = cut(before, shares[VALIDATION] * len(known) / len(before))
    side = np.where(times >= last, TEST, np.where(times >= first, VALIDATION, TRAIN))
    side[np.isnan(times)] = TRAIN
    earliest = np.full(int(groups.max()) + 1, TEST)
    np.minimum.at(earliest, groups, side)
    return np.asarray(earliest[groups]), (float(first), float(last))


def too_recent(side: Array, times: Array, gap: float) -> Array:
    """(n,) rows whose label would not be known yet: less than `gap` before, or after, the first moment of a later side."""
    late = np.zeros(len(side), dtype=bool)
    for later in (VALIDATION, TEST):
        moments = times[(side == later) & ~np.isnan(times)]
        if gap and len(moments):
            late |= (side >= TRAIN) & (side < later) & (times > moments.min() - gap)
    return late


def cut(known: Array, share: float) -> float:
    """The moment from which about `share` of the sorted times lie, such that some lie before it. DataError where there is none."""
    if len(known) < 2 or known[0] == known[-1]:
        raise DataError("the time column holds too few distinct times to split by. Choose another prepare.split.")
    moment = known[int(np.clip(round(len(known) * (1 - share)), 1, len(known) - 1))]
    return float(moment if moment > known[0] else known[known > known[0]][0])


def given(values: Sequence[str | None], synonyms: dict[str, str], column: str) -> Array:
    """Sides from words; DataError for words that say none, and for rows without one."""
    words = [None if value is None else str(value).strip().lower() for value in values]
    strange = sorted({word for word in words if word is not None and word not in synonyms})
    missing = sum(word is None for word in words)
    if strange or missing:
        what = f"the values {', '.join(map(repr, strange[:5]))}" if strange else f"{missing} rows without a value"
        raise DataError(
            f"prepare.split.column: the column {column!r} holds {what}. Allowed: {', '.join(sorted(synonyms))}"
        )
    side = np.array([SPLITS.index(synonyms[word]) for word in words if word is not None])
    if not (side == TRAIN).any():
        raise DataError(f"prepare.split.column: the column {column!r} gives no training rows. Mark them 'train'.")
    return side


def check(side: Array, classes: Array, names: Sequence[str], how: str) -> None:
    """DataError where a side is empty or a class has no training row."""
    for number, split in enumerate(SPLITS):
        if not (side == number).any():
            raise DataError(f"the {how} split leaves no {split} rows. Add rows, or change prepare.split.")
    absent = [name for number, name in enumerate(names) if not ((classes == number) & (side == TRAIN)).any()]
    if absent:
        raise DataError(
            f"the {how} split leaves no training rows of {', '.join(map(repr, absent[:5]))}: all of them stand in groups, or at times, that are "
            "held out. Choose another prepare.split, or leave these classes out."
        )
