"""Histories from interactions: what each training row may read, and what is stored for later; by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.features import Sequences
from shortlist.model.history_inputs import id_feature, joined_histories, training_histories, with_histories

LOG = {
    "user": ["ann", "ann", "ann", "bob", "ann", "bob"],
    "film": ["a", "b", "c", "b", "a", "c"],
    "time": [1, 2, 2, 5, 9, 6],
}
DATA = sl.Dataset(LOG, "user", "film", timestamp="time")


def towers(length: int = 10, **options: object) -> tuple[sl.Tower, sl.Tower]:
    films = sl.StringLookup("film", ["a", "b", "c"])
    return sl.Tower(sl.History(length=length, **options), dim=4), sl.Tower(films, dim=4)


def read(windows: Sequences, films: list[str]) -> list[list[str]]:
    """The titles that each row reads."""
    rows = []
    for row in range(len(windows)):
        places = list(range(windows.start[row], windows.stop[row]))
        if windows.left_out is not None:
            places = [place for place in places if place != windows.left_out[row]]
        rows.append([films[windows.values[place] - 1] for place in places])
    return rows


def test_a_row_reads_what_its_query_chose_before_its_own_time() -> None:
    query, candidate = towers()
    (windows,) = training_histories(query, candidate, DATA).values()
    # ann: a at 1; b and then c at 2, in the order of their rows; a at 9. bob: b at 5; c at 6
    assert read(windows, ["a", "b", "c"]) == [[], ["a"], ["a", "b"], [], ["a", "b", "c"], ["b"]]


def test_windows_are_no_longer_than_asked_for() -> None:
    query, candidate = towers(length=2)
    (windows,) = training_histories(query, candidate, DATA).values()
    assert read(windows, ["a", "b", "c"])[4] == ["b", "c"]


def test_stored_histories_are_oldest_first_and_null_for_nobody() -> None:
    query, candidate = towers(length=3)
    training_histories(query, candidate, DATA)
    users = pl.DataFrame({"user": ["bob", "ann", "eve"]})
    stored = with_histories(query, users, DATA)["history"].to_list()
    assert stored[:2] == [["b", "c"], ["b", "c", "a"]]
    assert not stored[2]


def test_histories_come_from_the_first_table_that_has_one() -> None:
    query, _ = towers()
    first = pl.DataFrame({"user": ["ann", "bob"], "history": [["a"], None]})
    second = pl.DataFrame({"user": ["bob", "ann", "eve"], "history": [["b"], ["c"], ["a"]]})
    asked = pl.DataFrame({"user": ["eve", "ann", "bob", "nobody"]})
    assert joined_histories(query, asked, [first, second], "user")["history"].to_list() == [["a"], ["a"], ["b"], None]
    assert joined_histories(query, first, [second], "user").equals(first)  # it has its own


def test_ids_of_another_type_are_refused() -> None:
    query, _ = towers()
    known = pl.DataFrame({"user": ["ann"], "history": [["a"]]})
    with pytest.raises(sl.DataError, match="String was expected"):
        joined_histories(query, pl.DataFrame({"user": [1]}), [known], "user")


def test_the_id_feature_that_is_shared() -> None:
    _, candidate = towers()
    name, lookup = id_feature(candidate, "film")
    assert (name, lookup.column) == ("film:StringLookup", "film")
    with pytest.raises(sl.ConfigError, match="no lookup of 'title'"):
        id_feature(candidate, "title")


def test_a_table_of_its_own_has_the_candidates_that_occur() -> None:
    query, candidate = towers(share=False)
    data = sl.Dataset(LOG, "user", "film", timestamp="time", candidates={"film": ["z", "a", "b", "c"]})
    (windows,) = training_histories(query, candidate, data).values()
    (history,) = query.histories.values()
    assert windows.cardinality == 4  # unknown, a, b, c
    assert history.encode(pl.Series([["z", "a"]])).values.tolist() == [1]  # which nobody chose is passed over
    assert np.unique(windows.values).tolist() == [1, 2, 3]
