"""Two towers over a dataset: contexts make rows of their own, and a column that is not there is named."""

import pytest
from tests.model.films import data, featured

import shortlist as sl
from shortlist.model import query_table


def test_context_makes_a_row_per_pair_of_query_and_context() -> None:
    table, rows = query_table(featured().query, data())
    assert table.select("user", "device").rows() == [(1, "tv"), (1, "phone"), (2, "tv"), (3, "tv")]
    assert rows.tolist() == [0, 1, 2, 3]


def test_a_missing_column_names_the_nearest() -> None:
    model = sl.TwoTower(sl.Tower(sl.IntegerLookup("usr"), dim=4), sl.Tower(sl.StringLookup("film"), dim=4))
    with pytest.raises(sl.DataError, match="did you mean 'user'"):
        sl.fit(model, data())
