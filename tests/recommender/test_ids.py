"""Ids come back as they came, in value and type, through training, bundle and answer."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shortlist as sl
from shortlist.errors import DataError
from shortlist.recommender import ids as room
from shortlist.recommender.ids import Ids

pytestmark = pytest.mark.filterwarnings("ignore::shortlist.errors.ShortlistWarning")  # ids that look wrong are meant

Make = Callable[[Sequence[Any], Sequence[Any]], tuple[sl.TwoTower, sl.Dataset]]

STRINGS = ["", " ", "1", "01", "ü", "u\u0308", "日本", "🎬", "a\nb", "a\x00b", "x" * 5000, "None", "null", "-1"]
INTEGERS = [0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]


@pytest.mark.parametrize(
    ("queries", "candidates"), [(STRINGS, INTEGERS), (INTEGERS, STRINGS), ([2**63, 2**64 - 1], ["1"]), (["1"], [1])]
)
def test_round_trip(id_model: Make, queries: list[Any], candidates: list[Any], tmp_path: Path) -> None:
    model, train = id_model(queries, candidates)
    fresh = sl.Recommender(model, seen=train)
    fresh.save(tmp_path / "ids.shortlist")
    for recommender in (fresh, sl.Recommender.load(tmp_path / "ids.shortlist")):
        answer = recommender.recommend(queries, k=len(candidates), exclude_seen=False)
        assert answer.queries == queries
        assert all(answer.known)
        for one in answer:
            assert sorted(map(repr, one.ids)) == sorted(map(repr, candidates))
            assert {type(value) for value in one.ids} == {type(candidates[0])}
        frame = answer.to_frame()
        assert frame["q"].unique().sort().to_list() == sorted(queries)
        assert frame["c"].unique().sort().to_list() == sorted(candidates)
        assert (recommender.query_ids.dtype, recommender.candidate_ids.dtype) == (frame["q"].dtype, frame["c"].dtype)


def test_text_and_numbers_are_different_ids(id_model: Make) -> None:
    model, train = id_model([1, 2, 3], ["1", "2"])
    recommender = sl.Recommender(model, seen=train)
    for wrong in (["1"], [1.0], [True], [np.float64(1)], {"q": ["1"]}, [{"q": "1"}], [b"1"], [1, "2"]):
        with pytest.raises(DataError, match="different"):
            recommender.recommend(wrong)
    for wrong in ([1], [1.0], [True]):
        with pytest.raises(DataError, match="different"):
            recommender.recommend([1], deny=wrong)
        with pytest.raises(DataError, match="different"):
            recommender.recommend([1], exclude=[wrong])
        with pytest.raises(DataError, match="different"):
            recommender.similar(wrong)


def test_numpy_integers_are_integers(id_model: Make) -> None:
    model, _ = id_model([1, 2, 3], [7, 8])
    answer = sl.Recommender(model).recommend(np.array([1, 3], np.uint8))
    assert answer.queries == [1, 3]
    assert [type(value) for value in answer.queries] == [int, int]
    assert sl.Recommender(model).recommend([np.int32(2)]).known == [True]


@settings(max_examples=15)
@given(
    data=st.data(),
    queries=st.one_of(
        st.lists(st.text(max_size=6), min_size=1, max_size=6, unique=True),
        st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6, unique=True),
    ),
)
def test_any_ids(id_model: Make, data: st.DataObject, queries: list[Any]) -> None:
    queries = [one.encode("utf-8", "ignore").decode() if isinstance(one, str) else one for one in queries]
    queries = list(dict.fromkeys(queries))
    candidates = ["x", "y", "z"]
    model, train = id_model(queries, candidates)
    asked = data.draw(st.lists(st.sampled_from(queries), max_size=8))
    answer = sl.Recommender(model, seen=train).recommend(asked, k=3)
    assert answer.queries == asked
    chosen = {(one["q"], one["c"]) for one in train.interactions.to_dicts()}
    for one in answer:
        assert len(one) == 3 - sum((one.query, candidate) in chosen for candidate in candidates)
        assert not any((one.query, candidate) in chosen for candidate in one.ids)


def frames(table: dict[str, list[Any]]) -> list[Any]:
    """The table as every kind of frame there is."""
    made: list[Any] = [pl.DataFrame(table), pl.LazyFrame(table)]
    pyarrow = pytest.importorskip("pyarrow")
    arrow = pyarrow.table(table)
    made += [pytest.importorskip("pandas").DataFrame(table), arrow, arrow.to_batches()[0]]
    return made


@pytest.mark.parametrize("number", range(5))
def test_a_frame_is_its_column_of_ids(id_model: Make, number: int) -> None:
    """Never its column names, which are what a pandas frame gives when it is iterated."""
    model, train = id_model(["a", "b", "q", "c"], ["a", "b", "q", "c"])  # the columns are called q and c
    recommender = sl.Recommender(model, seen=train)

    def frame(**table: list[Any]) -> Any:
        return frames(table)[number]

    def listed(answer: sl.Recommendations) -> list[Any]:
        return [(one.query, one.known, one.ids) for one in answer]

    ask = recommender.recommend
    assert listed(ask(frame(q=["b", "zz"]))) == listed(ask(["b", "zz"]))
    for option in ("allow", "deny"):
        mine, plain = ({option: ids} for ids in (frame(c=["a", "b"]), ["a", "b"]))
        assert listed(ask(["b"], **mine)) == listed(ask(["b"], **plain)), option
    assert listed(recommender.similar(frame(c=["b"]))) == listed(recommender.similar(["b"]))
    for option in ("chosen", "exclude"):
        assert listed(ask(["b"], **{option: [frame(c=["a"])]})) == listed(ask(["b"], **{option: [["a"]]})), option
        with pytest.raises(DataError, match=f"{option} is a .*; one list of ids per query"):
            ask(["b"], **{option: frame(c=["a"])})
    with pytest.raises(DataError, match="one list of ids per query"):
        recommender.fold_in(frame(c=["a"]))
    for wrong in (lambda: ask(["b"], allow=frame(x=["a"])), lambda: recommender.similar(frame(q=["b"]))):
        with pytest.raises(DataError, match="without a column 'c'"):
            wrong()
    with pytest.raises(DataError, match="no column 'q'"):
        ask(frame(c=["b"]))
    assert recommender.delete(frame(c=["a", "zz"])) == 1


def test_a_pandas_column_says_how_to_keep_integers(id_model: Make) -> None:
    pandas = pytest.importorskip("pandas")
    model, _ = id_model([1, 2, 3], [7, 8])
    recommender = sl.Recommender(model)
    series = pandas.Series([1, None])
    for wrong in (series, pandas.DataFrame({"q": series})):
        with pytest.raises(DataError, match=r'astype\("Int64"\)'):
            recommender.recommend(wrong)
    assert recommender.recommend(pandas.Series([1, 2])).queries == [1, 2]
    assert recommender.recommend(
        pandas.DataFrame({"x": [1, 2]}, index=pandas.Index([1, 2], name="q")).reset_index()[["q"]]
    ).queries == [1, 2]
    with pytest.raises(DataError, match="reset_index"):
        recommender.recommend(pandas.DataFrame({"x": [1, 2]}, index=pandas.Index([1, 2], name="q")))


# Rows by id, and ids by row.


STEP = st.one_of(
    st.tuples(st.just("came"), st.sets(st.integers(0, 20), max_size=4)),
    st.tuples(st.just("went"), st.sets(st.integers(0, 20), max_size=4)),
)


@given(st.sets(st.integers(0, 15)), st.lists(STEP, max_size=8), st.booleans())
def test_changed_ids_are_found_as_if_they_were_alone(
    first: set[int], steps: list[tuple[str, set[int]]], merging: bool
) -> None:
    """An id that comes back gets its own row again; one that was never there gets the next."""
    of_row = sorted(first)
    rows = {one: row for row, one in enumerate(of_row)}
    states = [(Ids.of(pl.Series("id", of_row, pl.Int64)), dict(rows), list(of_row))]
    for kind, some in steps:
        found, rows, of_row = states[-1][0], dict(states[-1][1]), list(states[-1][2])
        if kind == "came":
            added = [one for one in sorted(some) if one not in of_row]
            of_row += added
            more = {one: of_row.index(one) for one in some if one not in rows}
            rows |= more
            after = found.changed(pl.Series("id", of_row, pl.Int64), added, more)
        else:
            rows = {one: row for one, row in rows.items() if one not in some}
            after = found.changed(found.series, gone=sorted(some & set(of_row)))
        if merging:
            after = Ids(after.series, after.found.merged(after.series, after.added, after.more, after.gone))
        states.append((after, rows, of_row))
    for found, rows, of_row in states:  # older ones stay as they were
        assert dict(found.row_of) == rows
        assert len(found.row_of) == len(rows)
        assert found.rows([*range(-1, 22), None]) == [rows.get(one, -1) for one in (*range(-1, 22), None)]  # type: ignore[call-overload]
        assert [found.row_of.get(one, -1) for one in range(22)] == [rows.get(one, -1) for one in range(22)]
        assert [one in found.row_of for one in range(22)] == [one in rows for one in range(22)]
        assert found.take(np.arange(len(of_row))[::-1]) == of_row[::-1]


def test_many_changes_become_one_map() -> None:
    found = Ids.of(pl.Series("id", list(range(100))))
    for number in range(100, 170):
        found = found.changed(pl.Series("id", list(range(number + 1))), [number], {number: number}, [number - 100])
    assert isinstance(found.row_of, dict) or not found.more or len(found.more) < 64
    assert sorted(found.row_of) == list(range(70, 170))
    assert found.take(np.array([0, 99, 100, 169])) == [0, 99, 100, 169]


@pytest.mark.parametrize("kind", [pl.Int64, pl.UInt16, pl.UInt64, pl.String])
def test_a_few_ids_are_found_without_a_map(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a table of 10 rows, looked through 3 at a time; after two searches there is a map."""
    for name, value in (("PIECE", 5), ("SEARCHED", 3), ("SEARCHES", 2)):
        monkeypatch.setattr(room, name, value)
    values: list[Any] = [f"n{row}" for row in range(10)] if kind == pl.String else list(range(5, 15))
    absent: list[Any] = ["n10", ""] if kind == pl.String else [4, -1, 2**17, 2**64, -(2**70)]
    for one in [*values, *absent, None]:
        found = Ids.of(pl.Series("id", values, kind))
        expected = values.index(one) if one in values else -1
        assert found.rows([one]) == [expected]
        assert found.found._row_of is None
        assert found.rows([one, values[3]]) == [expected, 3]
        assert found.rows([one]) == [expected]
        assert found.found._row_of is not None
