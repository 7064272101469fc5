"""A recipe as scikit-learn's tools take it: cloned, searched over, cross-validated."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils import estimator_checks as checks
from sklearn.utils.validation import check_is_fitted

import shortlist as sl


def frame() -> pd.DataFrame:
    """Thirty people, who each choose eight of their own dozen of items."""
    rng = np.random.default_rng(0)
    rows = [(user, 12 * (user % 3) + item) for user in range(30) for item in rng.permutation(12)[:8]]
    return pd.DataFrame(rows, columns=["user", "item"]).sample(frac=1, random_state=0, ignore_index=True)


def small(**parameters: object) -> sl.Estimator:
    return sl.Estimator(
        "als", query="user", candidate="item", changes={"model.dim": 4, "fit.epochs": 2}, k=3, **parameters
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "check",
    [
        checks.check_no_attributes_set_in_init,
        checks.check_get_params_invariance,
        checks.check_set_params,
        checks.check_parameters_default_constructible,
    ],
    ids=lambda check: check.__name__,
)
def test_scikit_learns_own_checks(check: object) -> None:
    """Those that hold for an estimator whose X is a table of ids."""
    check("Estimator", sl.Estimator())  # type: ignore[operator]


def test_a_clone_trains_the_same() -> None:
    first = small().fit(frame())
    second = clone(first)
    with pytest.raises(sl.ConfigError, match="not fitted"):
        second.predict([1])
    assert second.fit(frame()).predict([1, 2]).tolist() == first.predict([1, 2]).tolist()
    check_is_fitted(first)
    assert pickle.loads(pickle.dumps(first)).predict([1]).tolist() == first.predict([1]).tolist()


def test_lists_and_score_are_those_of_the_recommender() -> None:
    table = frame()
    train, test = table[:200], table[200:]
    estimator = small().fit(train)
    assert estimator.predict([4])[0].tolist() == estimator.recommender_.recommend([4], k=3)[0].ids
    assert len(estimator.recommend([4], k=5)[0]) == 5
    assert estimator.predict(test.head(2)).shape == (2, 3)
    data = sl.Dataset(train, "user", "item")
    expected = sl.evaluate(
        estimator.recommender_.model,
        sl.Dataset(test, "user", "item"),
        seen=data,
        ks=(3,),
        metrics=("recall",),
        baselines=(),
    )
    assert estimator.score(test) == pytest.approx(expected["model"]["seen_out"]["recall_3"])
    assert (
        sl.Estimator("als", changes={"model.dim": 4, "fit.epochs": 2}, k=3).fit(data).predict([4]).tolist()
        == estimator.predict([4]).tolist()
    )


@pytest.mark.parametrize(
    "made", [dict, pl.DataFrame, pa.table, pd.DataFrame, lambda rows: pd.DataFrame(rows)[["user"]]]
)
def test_every_kind_of_table_is_answered_by_its_rows(made: object) -> None:
    estimator = small().fit(frame())
    table = made({"user": [4, 5], "item": [1, 2]})  # type: ignore[operator]
    assert estimator.predict(table).tolist() == estimator.predict([4, 5]).tolist()
    with pytest.raises(sl.ConfigError, match="without the column 'user'"):
        estimator.predict(pd.DataFrame({"person": [4]}))


def test_short_lists_end_with_none() -> None:
    table = pd.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1]})
    assert small().fit(table).predict([1, 2]).tolist() == [[None, None, None], [2, None, None]]


def test_a_grid_search_changes_keys_of_the_recipe() -> None:
    search = GridSearchCV(small(), {"model__dim": [2, 8]}, cv=2).fit(frame())
    assert search.best_params_ == {"model__dim": 8}
    assert search.best_estimator_.recommender_.model.query.dim == 8
    assert search.best_estimator_.changes == {"model.dim": 8, "fit.epochs": 2}
    assert len(cross_val_score(small(), frame(), cv=2)) == 2


@pytest.mark.parametrize("made", [pl.DataFrame, pa.table, lambda rows: sl.Dataset(rows, "user", "item").interactions])
def test_scikit_learn_divides_frames_and_arrow_tables_by_rows(made: object) -> None:
    estimator = small().set_params(fit__epochs=1)
    scores = cross_val_score(estimator, made(frame()), cv=2, error_score="raise")  # type: ignore[operator]
    assert scores.tolist() == cross_val_score(estimator, frame(), cv=2).tolist()


def test_parameters() -> None:
    estimator = small()
    assert estimator.get_params()["model__dim"] == 4
    assert "model__dim" not in estimator.get_params(deep=False)
    assert repr(sl.Estimator("als", k=3)) == "Estimator(k=3)"
    with pytest.raises(sl.ConfigError, match="no parameter 'q'"):
        estimator.set_params(q="a")
    with pytest.raises(sl.ConfigError, match="names of columns"):
        sl.Estimator().fit(frame())
    with pytest.raises(sl.ConfigError, match="dims"):
        small().set_params(model__dims=3).fit(frame())


def test_a_text_or_a_number_is_no_list_of_queries() -> None:
    fitted = small().fit(frame())
    for wrong in ("u1", 5, None, b"u1"):
        with pytest.raises(sl.DataError, match=r"queries is .*; a list of ids was expected"):
            fitted.predict(wrong)


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "3"])
def test_k_is_checked_before_training(k: object) -> None:
    with pytest.raises(sl.ShortlistError, match="an integer of at least 1 was expected"):
        small().set_params(k=k).fit(frame())
