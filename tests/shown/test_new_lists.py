"""New lists, from tables and from a recommender, in the rows of the impressions."""

from __future__ import annotations

from types import SimpleNamespace

import polars as pl
import pytest

import shortlist as sl
from shortlist.shown.impressions import Impressions, Places, read_impressions
from shortlist.shown.new_lists import read_new_lists

COLUMNS = Places("query", "candidate", "place", "clicked")


@pytest.fixture
def shown() -> Impressions:
    rows = {"query": [1, 1, 2], "candidate": ["x", "y", "x"], "place": [1, 2, 1], "clicked": [True, True, False]}
    return read_impressions(rows, COLUMNS)


class Asked:
    """Answers the same list, and remembers what it was asked."""

    seen = None

    def recommend(self, queries, k):
        self.asked = queries, k
        return [SimpleNamespace(ids=["y", "z"]), SimpleNamespace(ids=["x"])]


def test_a_recommender_is_asked_once_for_every_query(shown):
    recommender = Asked()
    new = read_new_lists(recommender, shown, COLUMNS, k=2)
    assert recommender.asked == ([1, 2], 2)
    assert new.query.tolist() == [0, 0, 1]
    assert new.candidate.tolist() == [1, -1, 0]
    assert new.place.tolist() == [1, 2, 1]
    assert new.unshown.to_list() == ["z"]


def test_seen_clicks_are_noted_and_many_refused(shown):
    recommender = Asked()
    recommender.seen = sl.Dataset({"u": [1, 9], "i": ["x", "x"]}, "u", "i")
    assert "1 of 2 clicked candidates" in read_new_lists(recommender, shown, COLUMNS, k=2).notes[0]
    recommender.seen = sl.Dataset({"u": [1, 1], "i": ["x", "y"]}, "u", "i")
    with pytest.raises(sl.DataError, match="2 of 2 clicked candidates"):
        read_new_lists(recommender, shown, COLUMNS, k=2)


def test_a_table_is_cut_at_k_and_other_queries_are_passed_over(shown):
    table = pl.DataFrame(
        {"query": [2, 1, 1, 5], "candidate": ["x", "z", "x", "x"], "place": [1, 3, 1, 1]},
        schema_overrides={"query": pl.Int32},
    )
    new = read_new_lists(table, shown, COLUMNS, k=2)
    assert list(zip(new.query.tolist(), new.candidate.tolist(), new.place.tolist(), strict=True)) == [
        (1, 0, 1),
        (0, 0, 1),
    ]


def test_a_bundle_s_path_is_no_table(shown, tmp_path):
    train = sl.Dataset({"query": ["a", "b"], "candidate": ["x", "y"]}, "query", "candidate")
    sl.Recommender(sl.popularity(train)).save(tmp_path / "my.shortlist")
    with pytest.raises(sl.ConfigError, match=r"Recommender\.load"):
        read_new_lists(tmp_path / "my.shortlist", shown, COLUMNS, k=2)
