"""Laws of splitting: groups stay whole, classes keep their share, later rows are tested, nothing depends on row order."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepare_helpers import run, split, table, texts, whole

from modelyard.errors import BlueprintError
from modelyard.prepare import splitting

SHARES = (0.65, 0.15, 0.2)


def shares(side: np.ndarray) -> list[float]:
    return [float((side == number).mean()) for number in range(3)]


@settings(max_examples=60, deadline=None)
@given(st.integers(12, 200), st.integers(1, 8), st.integers(1, 4), st.integers(0, 10))
def test_groups_stay_whole_and_every_class_is_learnt(rows: int, group_size: int, kinds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.unique(rng.integers(0, max(6, rows // group_size), rows), return_inverse=True)[1]
    classes = np.unique(rng.integers(0, kinds, rows), return_inverse=True)[1]
    marks = rng.integers(0, 2**63, rows).astype(np.uint64)
    if groups.max() < 4:
        return
    side = splitting.by_groups(groups, classes, marks, strata=classes, shares=SHARES, seed=seed)
    assert set(side) == {0, 1, 2}
    assert all(len(set(side[groups == group])) == 1 for group in range(groups.max() + 1))
    spread = [kind for kind in range(classes.max() + 1) if len(set(groups[classes == kind])) > 1]
    assert all(((classes == kind) & (side == 0)).any() for kind in spread)


@pytest.mark.parametrize("rows", [40, 301, 5000])
def test_stratified_shares_are_exact_to_one_row(rows: int) -> None:
    rng = np.random.default_rng(0)
    classes = (rng.random(rows) < 0.1).astype(int)
    marks = rng.integers(0, 2**63, rows).astype(np.uint64)
    side = splitting.by_groups(np.arange(rows), classes, marks, strata=classes, shares=SHARES, seed=0)
    for kind in (0, 1):
        count = (classes == kind).sum()
        for number, share in enumerate(SHARES):
            assert abs(((classes == kind) & (side == number)).sum() - share * count) <= 1.5


def test_grouped_shares_are_close() -> None:
    rng = np.random.default_rng(0)
    sizes = np.minimum(rng.zipf(1.7, 2000), 400)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    classes = (rng.random(len(sizes)) < 0.3).astype(int)[groups]
    marks = rng.integers(0, 2**63, len(groups)).astype(np.uint64)
    side = splitting.by_groups(groups, classes, marks, strata=classes, shares=SHARES, seed=1)
    assert shares(side) == pytest.approx(SHARES, abs=0.02)
    assert shares(side[classes == 1]) == pytest.approx(SHARES, abs=0.02)
    multiple = sizes[side[np.searchsorted(groups, np.arange(len(sizes)))] == 2]
    assert multiple.max() > 1, "large groups are tested too"


def test_a_class_of_two_rows_is_learnt() -> None:
    classes = np.array([0] * 100 + [1] * 2)
    marks = np.arange(102, dtype=np.uint64)
    for seed in range(20):
        for strata in (classes, np.zeros(102, dtype=int)):
            side = splitting.by_groups(np.arange(102), classes, marks, strata=strata, shares=SHARES, seed=seed)
            assert (side[100:] == 0).any()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=12, max_size=80).filter(lambda times: len(set(times)) > 4))
def test_later_rows_are_tested(times: list[int]) -> None:
    known = np.array(times, dtype=float)
    side, (first, last) = splitting.by_time(known, np.arange(len(known)), shares=SHARES)
    assert set(side) == {0, 1, 2}
    assert known[side == 0].max() < first <= known[side == 1].min()
    assert known[side == 1].max() < last <= known[side == 2].min()


def test_clusters_go_to_their_earliest_side_and_unknown_times_to_train() -> None:
    times = np.array([*range(10), np.nan], dtype=float)
    groups = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 10])
    side, _ = splitting.by_time(times, groups, shares=SHARES)
    assert side[9] == side[0] == side[10] == 0
    assert side[8] == 2


def test_rows_whose_label_comes_too_late_are_left_out(tmp_path: Path) -> None:
    frame = table(400).with_columns(when=pl.Series([datetime(2024, 1, 1) + timedelta(hours=n) for n in range(400)]))
    frame.write_parquet(tmp_path / "rows.parquet")
    options = {"by": "time", "column": "when"}
    whole_record = run(tmp_path, "rows.parquet", out="whole", prepare={"split": options})
    record = run(tmp_path, "rows.parquet", prepare={"split": {**options, "gap": "1 day"}})
    train, validation, test = (split(tmp_path, name)["when"] for name in ("train", "validation", "test"))
    assert validation.min() - train.max() == test.min() - validation.max() == timedelta(days=1)
    assert record.splits["test"] == whole_record.splits["test"], "what is tested stays"
    (step,) = (one for one in record.cleaning if one.name == "too_recent")
    assert (step.before, step.after, step.detail) == (400, 354, {"train": 23, "validation": 23})


def test_a_gap_in_the_unit_of_a_number_and_between_given_splits(tmp_path: Path) -> None:
    frame = table(400).with_columns(day=pl.Series(range(400)))
    for name, part in {"train": frame[:320], "test": frame[320:]}.items():
        part.write_parquet(tmp_path / f"{name}.parquet")
    given = {"split": {"by": "time", "column": "day", "gap": 10}}
    run(tmp_path, "train.parquet", data={"test": "test.parquet"}, prepare=given)
    train, validation, test = (split(tmp_path, name)["day"] for name in ("train", "validation", "test"))
    assert (test.len(), test.min(), validation.max(), validation.min() - train.max()) == (80, 320, 310, 10)


def test_a_gap_without_a_time_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BlueprintError, match=r"prepare\.split\.gap: needs prepare\.split\.by: time"):
        run(tmp_path, "rows.parquet", prepare={"split": {"by": "random", "gap": "7 days"}})


@pytest.mark.parametrize(
    "options",
    [{}, {"by": "random"}, {"by": "group", "column": "g"}, {"by": "time", "column": "when"}],
    ids=["auto", "random", "group", "time"],
)
def test_order_of_rows_does_not_matter(tmp_path: Path, options: dict[str, str]) -> None:
    rng = np.random.default_rng(0)
    frame = table(400).with_columns(
        g=pl.Series(rng.integers(0, 50, 400)).cast(pl.String),
        when=pl.Series([datetime(2024, 1, 1) + timedelta(hours=n) for n in range(400)]),
    )
    frame.write_parquet(tmp_path / "one.parquet")
    frame.sample(fraction=1, shuffle=True, seed=1).write_parquet(tmp_path / "two.parquet")
    for name in ("one", "two"):
        run(tmp_path, f"{name}.parquet", out=name, prepare={"split": options})
    for part in ("train", "validation", "test"):
        assert set(split(tmp_path, part, "one")["x"]) == set(split(tmp_path, part, "two")["x"])


def test_the_seed_changes_the_split(tmp_path: Path) -> None:
    table(300).write_parquet(tmp_path / "rows.parquet")
    for seed in (0, 0, 1):
        run(tmp_path, "rows.parquet", out=f"seed{seed}", train={"seed": seed})
    assert set(split(tmp_path, "test", "seed0")["x"]) != set(split(tmp_path, "test", "seed1")["x"])


def test_near_duplicates_never_stand_on_two_sides(tmp_path: Path) -> None:
    base = texts(150, words=80)
    copies = [line + " word7" for line in base[:60]]
    frame = pl.DataFrame({"t": base + copies, "y": ["a", "b"] * 105})
    frame.write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet")
    rows = whole(tmp_path)
    assert rows.height == 210
    assert record.duplicates["clusters"] == 60
    assert rows.group_by("__group__").agg(pl.col("side").n_unique())["side"].max() == 1
    assert rows["side"][:60].to_list() == rows["side"][150:].to_list()
    assert set(run(tmp_path, "rows.parquet", prepare={"near_duplicates": None}, out="exact").duplicates.values()) == {
        0,
        1,
    }


def test_group_split_with_duplicates_merged(tmp_path: Path) -> None:
    base = texts(200, words=30)
    groups = [f"g{number % 40}" for number in range(200)]
    frame = pl.DataFrame({"t": [*base[:199], base[0] + " word1"], "g": groups, "y": ["a", "b"] * 100})
    frame.write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet", prepare={"split": {"by": "group", "column": "g"}})
    rows = whole(tmp_path)
    assert rows.group_by("g").agg(pl.col("side").n_unique())["side"].max() == 1
    assert rows["side"][0] == rows["side"][199]
    assert record.column("g").role == "ignored"


def test_column_split_with_synonyms(tmp_path: Path) -> None:
    words = ["Train"] * 200 + ["dev"] * 40 + ["TEST"] * 60
    table(300).with_columns(part=pl.Series(words)).write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet", prepare={"split": {"by": "column", "column": "part"}})
    assert [record.splits[name].rows for name in ("train", "validation", "test")] == [200, 40, 60]
    assert record.suspects == ()
    assert record.column("part").role == "ignored"


def test_repeats_across_given_splits_leave_train_and_are_suspect(tmp_path: Path) -> None:
    frame = table(300).with_columns(part=pl.Series(["train"] * 240 + ["test"] * 60))
    copied = frame[240:250].with_columns(part=pl.lit("train"))
    pl.concat([frame, copied]).write_parquet(tmp_path / "rows.parquet")
    record = run(tmp_path, "rows.parquet", prepare={"split": {"by": "column", "column": "part"}})
    assert record.splits["test"].rows == 60
    (suspect,) = (one for one in record.suspects if one.kind == "repeated_across_splits")
    assert suspect.value == 10
    assert record.splits["train"].rows + record.splits["validation"].rows == 240
    rows = whole(tmp_path)
    assert rows.group_by("__group__").agg(pl.col("side").n_unique())["side"].max() == 1


def test_regression_is_split_at_random_or_by_its_spread(tmp_path: Path) -> None:
    table(400).with_columns(price=pl.col("x").exp()).drop("x").write_parquet(tmp_path / "rows.parquet")
    assert run(tmp_path, "rows.parquet", "price").split_by == "random"
    record = run(tmp_path, "rows.parquet", "price", prepare={"split": {"by": "stratified"}})
    means = [card.target["mean"] for card in record.splits.values()]
    assert means == pytest.approx([means[0]] * 3, rel=0.25)
