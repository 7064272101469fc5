"""What neighbour sources count from, worked by hand: choices in order, histories by raw ids, the heaviest entries, blocks of
rows; and what every source refuses, one by one over all of their settings."""

from __future__ import annotations

import sys
from dataclasses import fields

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sources.plain import weights_of

import shortlist as sl
from shortlist.data.shards import by_query
from shortlist.errors import ConfigError, DataError
from shortlist.sources import tables
from shortlist.sources.own_history import OwnHistory

LOG = pl.DataFrame(
    {
        "who": ["b", "a", "a", "b", "a"],
        "what": ["x", "y", "x", "x", "y"],
        "at": [3, 9, 1, 2, 4],
        "stars": [1.0, 1.0, 0.0, 1.0, 1.0],
    }
)


def _named(data: sl.Dataset, chosen: tables.Chosen) -> list[tuple[str, str]]:
    who, what = data.queries["who"].to_list(), data.candidates["what"].to_list()
    return [(who[query], what[candidate]) for query, candidate in zip(*map(np.ndarray.tolist, chosen), strict=True)]


def test_choices_are_by_query_and_in_order_of_time() -> None:
    data = sl.Dataset(LOG, "who", "what", timestamp="at")
    by_query: dict[str, list[str]] = {"a": [], "b": []}
    for who, what in _named(data, tables.choices_of(data)):
        by_query[who].append(what)
    assert by_query == {"a": ["x", "y", "y"], "b": ["x", "x"]}


def test_choices_without_weight_are_none() -> None:
    data = sl.Dataset(LOG, "who", "what", timestamp="at", weight="stars")
    assert sorted(_named(data, tables.choices_of(data))) == [("a", "y"), ("a", "y"), ("b", "x"), ("b", "x")]


def test_distinct_keeps_the_latest_place_and_the_latest_few() -> None:
    query, candidate = np.array([0, 0, 0, 0, 1]), np.array([5, 6, 5, 7, 5])
    whole = tables.Chosen(query, candidate).distinct(10)
    assert sorted(zip(whole.query.tolist(), whole.candidate.tolist(), strict=True)) == [(0, 5), (0, 6), (0, 7), (1, 5)]
    few = tables.Chosen(query, candidate).distinct(2)
    assert sorted(zip(few.query.tolist(), few.candidate.tolist(), strict=True)) == [(0, 5), (0, 7), (1, 5)]


def test_histories_are_oldest_first_and_pass_over_what_is_not_there() -> None:
    data = sl.Dataset(LOG, "who", "what", timestamp="at")
    found = tables.histories_of(data, pl.Series(["nobody", "b", "a"]), pl.Series(["y", "x"]), 10)
    assert [found.row(number).tolist() for number in range(3)] == [[], [1], [1, 0]]
    without_x = tables.histories_of(data, pl.Series(["a", "b"]), pl.Series(["y"]), 10)
    assert [without_x.row(number).tolist() for number in range(2)] == [[0], []]


def test_the_heaviest_of_each_row() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_matrix(np.array([[1.0, 3.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0], [-1.0, 0.5, 0.0, 0.0]]))
    offsets, columns, weights = tables.heaviest(matrix, 3)
    assert offsets.tolist() == [0, 3, 3, 4]
    assert columns.tolist() == [1, 3, 2, 1]  # of equal weights the first column
    assert weights.tolist() == [3.0, 3.0, 2.0, 0.5]


@given(
    st.lists(st.dictionaries(st.integers(0, 39), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 3.0])), max_size=4),
    st.integers(1, 3),
    st.none() | st.integers(0, 3),
)
def test_the_heaviest_are_those_of_a_plain_sort(rows, most: int, first: int | None) -> None:
    """Rows of up to 40 entries, of which a bound leaves most out; weights that are equal, and 0."""
    sparse = pytest.importorskip("scipy.sparse")
    offsets = np.cumsum([0, *map(len, rows)])
    columns = np.array([column for row in rows for column in row], np.int32)
    values = np.array([value for row in rows for value in row.values()])
    matrix = sparse.csr_matrix((values, columns, offsets), shape=(len(rows), 40))
    found = tables.heaviest(matrix, most, first)
    expected = []
    for number, row in enumerate(rows):
        own = None if first is None else first + number
        entries = [(-value, column) for column, value in row.items() if value > 0 and column != own]
        expected.append([(column, -value) for value, column in sorted(entries)[:most]])
    flat = [pair for row in expected for pair in row]
    assert found[0].tolist() == [0, *np.cumsum([len(row) for row in expected])]
    assert list(zip(found[1].tolist(), found[2].tolist(), strict=True)) == flat


def test_a_bound_leaves_out_most_of_a_long_row() -> None:
    # 1 to 40: the maxima of every four are 4, 8, … 40, of which 36 is the second; of the 40 values only 5 reach it
    values, offsets = np.arange(1, 41, dtype=np.float32), np.array([0, 40], np.int32)
    assert tables._least(values, offsets, 2).tolist() == [36]
    assert tables._least(values, offsets, 10).tolist() == [4]
    assert 0 < tables._least(values, offsets, 11)[0] < 1e-40  # fewer maxima than asked for


def test_a_block_ends_where_the_next_ten_products_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """In all 4, 8 | 12 | 37, 37, 38 | 47: a row of many has a block of its own, with what costs nothing after it."""
    monkeypatch.setattr(tables, "BLOCK", 10)
    parts = tables.in_blocks(np.array([4, 4, 4, 25, 0, 1, 9]))
    assert [(part.start, part.stop) for part in parts] == [(0, 2), (2, 3), (3, 6), (6, 7)]


SOURCES = (sl.Transitions, sl.Cooccurrence, sl.EASE, OwnHistory)
RANGES = {  # ends included
    "decay": (0, 1),
    "backward": (0, 1),
    "age": (1e-6, 1),
    "source_power": (0, 2),
    "target_power": (0, 2),
    "query_power": (0, 2),
    "strength": (1e-6, 1e12),
}
SETTINGS = [(source, field.name) for source in SOURCES for field in fields(source)]


@pytest.mark.parametrize(("source", "name"), SETTINGS)
def test_a_setting_that_cannot_be_is_refused_by_name(source, name) -> None:
    bad = [True, "1", float("nan"), -1]
    bad += [RANGES[name][1] * 1.01, RANGES[name][0] - 1e-7] if name in RANGES else [0, 1.5]
    if (source, name) != (sl.EASE, "strength"):  # None follows the table there
        bad.append(None)
    for value in bad:
        with pytest.raises(ConfigError, match=f"{source.__name__} got {name}=.* was expected"):
            source(**{name: value})


@pytest.mark.parametrize(("source", "name"), SETTINGS)
def test_the_ends_of_what_can_be_are_taken(source, name) -> None:
    for value in RANGES.get(name, (1, 10**9)):
        assert getattr(source(**{name: value}), name) == value


@pytest.mark.parametrize("source", SOURCES)
def test_only_a_dataset_is_learned_from(source) -> None:
    these = "a Dataset" if source in (sl.Popular, sl.Recent, sl.Newest) else "a Dataset or Shards"
    with pytest.raises(DataError, match=rf"{source.__name__}\.fit\(train\) got a.*; {these} was expected"):
        source().fit([1, 2])


@pytest.mark.parametrize("source", [one for one in SOURCES if one is not OwnHistory])
def test_without_scipy_the_extra_is_named(source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(sl.MissingExtraError, match=rf"{source.__name__} needs the package 'scipy'") as error:
        source().fit(sl.Dataset(LOG, "who", "what", timestamp="at"))
    assert "shortlist[train]" in str(error.value.hint)


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> tuple[sl.Dataset, sl.Shards]:
    """The same log in memory and as shards of a few rows; no two times are equal, and some rows weigh nothing."""
    folder = tmp_path_factory.mktemp("log")
    generator = np.random.default_rng(0)
    rows = pl.DataFrame({
        "q": generator.integers(0, 30, 600), "c": generator.integers(0, 20, 600),
        "t": generator.permutation(600), "w": generator.choice([0.0, 1.0, 2.0], 600),
    })  # fmt: skip
    rows.write_parquet(folder / "log.parquet")
    columns = {"query": "q", "candidate": "c", "timestamp": "t", "weight": "w"}
    shards = sl.Shards.encode(folder / "log.parquet", folder / "shards", **columns, piece_rows=64, block_rows=16)
    return sl.Dataset(rows, **columns), shards


@pytest.mark.parametrize(
    "settings", [sl.Transitions(window=4), sl.Cooccurrence(length=5), sl.EASE(strength=3.0), sl.OwnHistory()]
)
@pytest.mark.parametrize("at_once", [50, 1 << 22])
def test_a_table_of_shards_is_that_of_the_same_data_in_memory(
    on_disk, settings, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_query, "AT_ONCE", at_once)  # so many rows of whole queries at a time
    data, shards = on_disk
    of_rows, of_shards = (weights_of(settings.fit(one)) for one in (data, shards))
    assert data.candidates["c"].to_list() == shards.candidates["c"].to_list()
    assert of_rows
    assert of_shards == pytest.approx(of_rows, rel=1e-6)


def test_a_mixture_reads_histories_from_shards(on_disk) -> None:
    data, shards = on_disk
    towers = sl.popularity(data)
    mixtures = [sl.Mixture([towers, sl.Transitions().fit(one)], one) for one in (data, shards)]
    first, second = (one.histories for one in mixtures)
    assert first.offsets.tolist() == second.offsets.tolist()
    assert first.values.tolist() == second.values.tolist()
    assert len(first.values) > 200


def test_shards_without_times_have_no_transitions(tmp_path) -> None:
    pl.DataFrame({"q": [1, 1], "c": [1, 2]}).write_parquet(tmp_path / "log.parquet")
    shards = sl.Shards.encode(tmp_path / "log.parquet", tmp_path / "shards", query="q", candidate="c")
    with pytest.raises(sl.DataError, match="these Shards have none"):
        sl.Transitions().fit(shards)
