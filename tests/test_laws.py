"""Laws that hold whatever the data: losses, parity of our walk with the libraries, one encoding for one row and many."""

from __future__ import annotations

import math

import numpy as np
import pytest

from modelyard import parts
from modelyard.features import ngrams
from modelyard.models import _forest
from modelyard.models._contract import Clock, Examples
from modelyard.predictor import temper
from modelyard.rows import Column, Rows, from_frame
from modelyard.tasks._contract import State
from tests import toys

TYPES = {"income": "number", "age": "number", "home": "category", "records": "boolean", "opened": "date"}


def rows_and_state(task: str) -> tuple[Rows, np.ndarray, State]:
    """The toy table and what a task learnt from it."""
    frame = toys.table(600)
    inputs = [Column(name=name, type=kind) for name, kind in TYPES.items()]  # type: ignore[arg-type]
    part = parts.build("tasks", task)
    values = frame["status" if "classification" in task else "price"].to_numpy()
    state = part.fit(values, "target", inputs, None)
    target = part.encode_target(values, state)
    return from_frame(frame, TYPES), part.standardised(target, state), state


def test_binary_cross_entropy_by_hand() -> None:
    """y = 0,1,0,1 at p = .2,.8,.1,.9: mean of -ln .8, -ln .8, -ln .9, -ln .9 = 0.1643."""
    torch = pytest.importorskip("torch")
    task = parts.build("tasks", "tabular-classification")
    state = State(task="tabular-classification", target="y", inputs=(), classes=("0", "1"), counts=(2, 2), positive="1")
    chance = torch.tensor([0.2, 0.8, 0.1, 0.9])
    outputs = torch.stack([torch.log(1 - chance), torch.log(chance)], dim=1)
    sums, counts = task.losses(outputs, torch.tensor([0, 1, 0, 1]), state)
    assert float(sums.sum() / counts.sum()) == pytest.approx(0.1643, abs=5e-5)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_first_loss_is_ln_k(classes: int) -> None:
    torch = pytest.importorskip("torch")
    names = tuple(f"c{number:02d}" for number in range(classes))
    state = State(task="text-classification", target="y", inputs=(), classes=names, counts=(1,) * classes)
    task = parts.build("tasks", "text-classification")
    sums, counts = task.losses(torch.zeros(50, classes), torch.arange(50) % classes, state)
    assert float(sums.sum() / counts.sum()) == pytest.approx(math.log(classes), rel=1e-6)
    assert task.first_loss(state) == pytest.approx(math.log(classes))


def test_first_loss_of_a_standardised_number_is_one_half() -> None:
    torch = pytest.importorskip("torch")
    _, target, state = rows_and_state("tabular-regression")
    task = parts.build("tasks", "tabular-regression")
    sums, counts = task.losses(torch.zeros(len(target), 1), torch.tensor(target), state)
    assert float(sums.sum() / counts.sum()) == pytest.approx(task.first_loss(state), rel=1e-6)


@pytest.mark.parametrize("task", ["tabular-classification", "tabular-regression"])
def test_our_walk_answers_as_lightgbm(task: str) -> None:
    """Also where training saw no missing value and serving does."""
    import lightgbm

    rows, target, state = rows_and_state(task)
    model = parts.build("models", "gradient-boosting", {"trees": 40})
    features = model.features(rows, target, state, seed=0)
    matrix = model.encode(rows, features)["matrix"]
    data = lightgbm.Dataset(matrix, label=target)
    booster = lightgbm.train(model._parameters(state, 0, 1, matrix), data, num_boost_round=40)
    weights = _forest.from_lightgbm(booster.dump_model(), 1, state.outputs)
    holes = matrix.copy()
    holes[np.random.default_rng(0).random(matrix.shape) < 0.3] = np.nan
    for tried in (matrix, holes):
        ours = model.session(weights, features, state)({"matrix": tried})[:, -1]
        np.testing.assert_allclose(ours, booster.predict(tried, raw_score=True), atol=1e-12)


def test_our_walk_answers_as_lightgbm_with_three_classes() -> None:
    import lightgbm

    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(500, 6))
    target = (matrix[:, 0] + rng.normal(0, 0.3, 500) > 0).astype(int) + (matrix[:, 1] > 0.5)
    options = {"objective": "multiclass", "num_class": 3, "verbosity": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(matrix, label=target), num_boost_round=10)
    ours = _forest.session(_forest.from_lightgbm(booster.dump_model(), 3, 3), 3, kind="sum")({"matrix": matrix})
    np.testing.assert_allclose(ours, booster.predict(matrix, raw_score=True), atol=1e-12)


@pytest.mark.parametrize("name", ["decision-tree", "extra-trees"])
def test_our_walk_answers_as_scikit_learn(name: str) -> None:
    from sklearn.ensemble import ExtraTreesRegressor

    rows, target, state = rows_and_state("tabular-regression")
    model = parts.build("models", name)
    matrix = np.nan_to_num(model.encode(rows, model.features(rows, target, state, seed=0))["matrix"], nan=-1.0)
    learner = ExtraTreesRegressor(n_estimators=7, random_state=0).fit(matrix, target)
    weights = _forest.from_sklearn([tree.tree_ for tree in learner.estimators_], learner, state)
    ours = _forest.session(weights, 1, kind="mean")({"matrix": matrix.astype(np.float32)})[:, 0]
    np.testing.assert_allclose(ours, learner.predict(matrix.astype(np.float32)), atol=1e-9)


def test_our_words_are_scikit_learns() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = np.array([*toys.texts(80)["body"].to_list(), "", "Ünïcode straße 42 don't"], dtype=object)
    reference = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2)).fit(texts)
    features = ngrams.fit_words(texts, longest=2, most=10**6)
    assert set(features["terms"]) == set(reference.vocabulary_)
    order = [reference.vocabulary_[term] for term in features["terms"]]
    np.testing.assert_allclose(
        ngrams.encode_words(texts, features).dense(), reference.transform(texts).toarray()[:, order], atol=1e-6
    )


@pytest.mark.parametrize("texts", [["abc", "", None, "ab"], ["", None], ["今天天气很好", "สวัสดีครับ"]])
def test_characters_of_a_row_alone_are_its_characters_among_others(texts: list[str | None]) -> None:
    column = np.array(texts, dtype=object)
    features = ngrams.fit_characters(column, sizes=(2, 3), bits=10, longest=100)
    together = ngrams.encode_characters(column, features).dense()
    alone = np.concatenate(
        [ngrams.encode_characters(column[place : place + 1], features).dense() for place in range(len(column))]
    )
    np.testing.assert_array_equal(together, alone)
    lengths = np.linalg.norm(together, axis=1)
    assert np.allclose(lengths[[bool(text) for text in texts]], 1.0, atol=1e-6)


@pytest.mark.parametrize("name", ["dummy", "linear", "decision-tree", "gradient-boosting", "extra-trees"])
@pytest.mark.parametrize("task", ["tabular-classification", "tabular-regression"])
def test_a_row_alone_is_a_row_among_others_and_seeds_give_the_same_weights(name: str, task: str) -> None:
    rows, target, state = rows_and_state(task)
    model = parts.build("models", name)
    found = []
    for _ in range(2):
        features = model.features(rows, target, state, seed=3)
        encoded = Examples(model.encode(rows, features), target)
        found.append(model.fit(encoded, encoded, state, features, seed=3, threads=1, clock=Clock()))
    assert found[0].keys() == found[1].keys()
    assert all(np.array_equal(found[0][key], found[1][key]) for key in found[0])
    session = model.session(found[0], features, state)
    together = session(model.encode(rows.take(slice(0, 20)), features))
    alone = np.concatenate([session(model.encode(rows.take(slice(place, place + 1)), features)) for place in range(20)])
    np.testing.assert_allclose(together, alone, rtol=1e-9, atol=1e-9)
    assert together.shape == (20, state.outputs)
    assert session(model.encode(rows.take(slice(0, 0)), features)).shape == (0, state.outputs)


def test_temperature_one_changes_nothing_and_order_is_kept() -> None:
    scores = np.random.default_rng(0).dirichlet([1, 1, 1], 50)
    assert temper(scores, 1.0) is scores
    np.testing.assert_array_equal(np.argsort(temper(scores, 2.5), axis=1), np.argsort(scores, axis=1))
    np.testing.assert_allclose(temper(scores, 0.5).sum(axis=1), 1.0)


def test_regression_answers_stay_near_the_training_range() -> None:
    _, _, state = rows_and_state("tabular-regression")
    task = parts.build("tasks", "tabular-regression")
    wild = task.scores(np.array([[1e9], [-1e9], [0.0]]), state)[:, 0]
    assert wild[0] == pytest.approx(state.high + state.scale / 2)
    assert wild[1] == pytest.approx(state.low - state.scale / 2)
    assert wild[2] == pytest.approx(state.mean)
