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
    for option in ("history", "exclude"):
        assert listed(ask(["b"], **{option: [frame(c=["a"])]})) == listed(ask(["b"], **{option: [["a"]]})), option
        with pytest.raises(DataError, match=f"{option} is an? .*; one list of ids per query"):
            ask(["b"], **{option: frame(c=["a"])})
    with pytest.raises(DataError, match="one list of ids per query"):
        recommender.fold_in(frame(c=["a"]))
    for wrong in (lambda: ask(["b"], allow=frame(x=["a"])), lambda: recommender.similar(frame(q=["b"]))):
        with pytest.raises(DataError, match="without a column 'c'"):
            wrong()
    with pytest.raises(DataError, match="no column 'q'"):
        ask(frame(c=["b"]))
    assert recommender.delete(frame(c=["a", "zz"])) == 1


def test_a_column_of_any_library_is_its_values(id_model: Make) -> None:
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    texts = sl.Recommender(id_model(["a", "b"], ["c", "d"])[0])
    numbers = sl.Recommender(id_model([1, 2], [3, 4])[0])
    series, array = pandas.Series, pyarrow.array
    for column in (series(["a", None]), series(["a", None], dtype="string"), array(["a", None])):
        assert texts.recommend(column, k=1).queries == ["a", None]
    for column in (
        pyarrow.chunked_array([["b"], ["a"]]),
        array(["b", "a"]).dictionary_encode(),
        series(["b", "a"], dtype="category"),
    ):
        assert texts.recommend(column, k=1).queries == ["b", "a"]
    for column in (series([1, None], dtype="Int64"), array([1, None])):
        assert numbers.recommend(column, k=1).queries == [1, None]
    assert [one.ids for one in texts.recommend(["a"], allow=array(["d"]))] == [["d"]]
    for wrong in (array([1]), series([1, 2])):
        with pytest.raises(DataError, match=r"queries holds 1 \(int\); ids of this model are of type String"):
            texts.recommend(wrong)


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
