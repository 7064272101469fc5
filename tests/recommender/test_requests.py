"""Every form of a request is read to the same, and anything else is refused."""

from typing import Any

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.errors import DataError


def test_ids_that_the_catalogue_lacks_are_ignored(recommender: sl.Recommender) -> None:
    answer = recommender.recommend(["cat"], exclude=[["zzz"]], allow=["c", "yyy"], deny=["xxx"])
    assert answer[0].ids == ["c"]
    assert recommender.recommend(["cat"], allow=["yyy"])[0].ids == []


@pytest.mark.parametrize(
    "queries",
    [
        ["bob", "ann"],
        ("bob", "ann"),
        np.array(["bob", "ann"]),
        pl.Series(["bob", "ann"]),
        {"who": ["bob", "ann"]},
        {"who": pl.Series(["bob", "ann"])},
        [{"who": "bob"}, {"who": "ann"}],
        pl.DataFrame({"who": ["bob", "ann"]}),
    ],
)
def test_every_form_of_request(recommender: sl.Recommender, queries: Any) -> None:
    answer = recommender.recommend(queries, k=1)
    assert [(one.query, one.ids) for one in answer] == [("bob", ["d"]), ("ann", ["c"])]
    assert all(type(one) is str for one in answer.queries)


def test_no_queries_no_lists(recommender: sl.Recommender) -> None:
    answer = recommender.recommend([])
    assert len(answer) == 0
    assert answer.to_frame().columns == ["who", "rank", "what", "score", "source", "known"]


@pytest.mark.parametrize(
    ("queries", "options", "says"),
    [
        ("ann", {}, "a list of ids"),
        ({"who": "ann"}, {}, "a list of ids"),
        (7, {}, "a list of ids"),
        ([7], {}, "7 (int)"),
        ([["ann"]], {}, "(list)"),
        ([1.5], {}, "1.5 (float)"),
        ({"whom": ["ann"]}, {}, "they have 'whom'"),
        ({}, {}, "no column 'who'"),
        ([{"who": "ann"}, {"whom": "bob"}], {}, "a query has no 'who'"),
        ([{"who": "ann"}, "bob"], {}, "mix"),
        ({"who": ["ann"], "wha": ["x"]}, {}, "'wha'"),
        (["ann"], {"exclude": "a"}, "one list of ids per query"),
        (["ann"], {"exclude": ["a"]}, "a list of ids"),
        (["ann"], {"exclude": [["a"], ["b"]]}, "2 lists for 1"),
        (["ann"], {"allow": "a"}, "a list of ids"),
        (["ann"], {"allow": [1]}, "1 (int)"),
        (["ann"], {"deny": [None]}, "None"),
    ],
)
def test_what_is_no_request_is_refused(recommender: sl.Recommender, queries: Any, options: Any, says: str) -> None:
    with pytest.raises(DataError) as caught:
        recommender.recommend(queries, **options)
    assert says in str(caught.value)
