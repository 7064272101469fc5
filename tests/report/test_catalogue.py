"""Titles, groups and colours of a catalogue, by hand."""

from __future__ import annotations

import polars as pl

from shortlist.report.catalogue import OTHER, Labels, described


def test_titles_and_groups_of_a_catalogue() -> None:
    table_ = pl.DataFrame({"id": ["a", "b", "c"], "Title": ["Alpha", None, "Gamma"], "genre": ["x|y", "z", None]})
    labels = Labels(table_, "id")
    assert labels.titles == ["Alpha", "b", "Gamma"]
    assert labels.group_column == "genre"
    assert labels.first_groups == ["x", "z", "none given"]
    assert [labels.all_groups(row) for row in range(3)] == ["x, y", "z", ""]
    assert labels.coloured() == (["x", "z", OTHER], ["x", "z", OTHER])
    bare = Labels(pl.DataFrame({"id": [1, 2]}), "id")
    assert (bare.titles, bare.group_column, bare.first_groups) == (["1", "2"], None, ["none given"] * 2)


def test_the_nine_largest_groups_have_a_colour() -> None:
    names = [f"g{number:02}" for number in range(12) for _ in range(12 - number)]
    groups, order = Labels(pl.DataFrame({"id": range(len(names)), "kind": names}), "id").coloured()
    assert order == [f"g{number:02}" for number in range(9)] + [OTHER]
    assert groups.count(OTHER) == 3 + 2 + 1


def test_a_query_is_described_by_its_features() -> None:
    row = {"id": "7", "age": 24, "tags": ["a", "b"], "city": None, "about": "x" * 80}
    assert described(row, "id") == f"age 24 · tags a, b · about {'x' * 57}…"
