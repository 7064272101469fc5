"""The map between ids and codes."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist import DataError
from shortlist.features import Vocabulary, vocabulary

ODD = ["", " ", "\0", "a", "A", "x" * 100_000, "x" * 99_999, "\u00e9", "e\u0301", "😀", "007", "7", "null", "NaN"]
INTS = [0, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 7]


def codes(ids: list[object], values: list[object], repeat: int) -> list[int]:
    """Through the dictionary (few values) or the join (many)."""
    encoded = Vocabulary(pl.Series(ids)).encode(pl.Series("v", values * repeat, dtype=pl.Series(ids).dtype))
    assert encoded.dtype == "int32"
    assert encoded.tolist() == encoded.tolist()[: len(values)] * repeat
    return encoded.tolist()[: len(values)]


@pytest.mark.parametrize("repeat", [1, 100])
@pytest.mark.parametrize("ids", [ODD, INTS])
def test_every_id_has_its_place_plus_one(ids: list[object], repeat: int):
    assert codes(ids, ids, repeat) == list(range(1, len(ids) + 1))


@pytest.mark.parametrize("repeat", [1, 100])
def test_null_and_unseen_values_share_code_zero(repeat: int):
    assert codes(["b", "a"], ["a", None, "c", "b", ""], repeat) == [2, 0, 0, 1, 0]
    assert codes([2**53], [2**53, 2**53 + 1, None], repeat) == [1, 0, 0]


@pytest.mark.parametrize("repeat", [1, 100])
def test_integers_of_another_width(repeat: int):
    small = Vocabulary(pl.Series([1, 255], dtype=pl.UInt8))
    assert small.encode(pl.Series([255, 256, -1, 257] * repeat)).tolist() == [2, 0, 0, 0] * repeat
    wide = Vocabulary(pl.Series([1, 2**64 - 1], dtype=pl.UInt64))
    assert wide.encode(pl.Series([-1, 1] * repeat)).tolist() == [0, 1] * repeat


def test_most_frequent_first_then_by_value():
    assert Vocabulary.of(pl.Series(["b", None, "c", "a", "c", None, None])).ids.to_list() == ["c", "a", "b"]
    assert Vocabulary.of(pl.Series([3, 1, 3, 2])).ids.to_list() == [3, 1, 2]


def test_sizes():
    known = Vocabulary(pl.Series(["b", "a"]))
    assert (len(known), known.cardinality) == (2, 3)
    assert repr(known) == "Vocabulary(2 ids of type String)"


@given(st.lists(st.text(max_size=5), unique=True, max_size=20), st.lists(st.text(max_size=5), max_size=100))
def test_a_dictionary_says_the_same(ids: list[str], values: list[str]):
    encoded = Vocabulary(pl.Series(ids, dtype=pl.String)).encode(pl.Series(values, dtype=pl.String))
    assert encoded.tolist() == [ids.index(value) + 1 if value in ids else 0 for value in values]


def test_parts_join_seamlessly(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vocabulary, "AT_A_TIME", 7)
    values = [number % 11 for number in range(100)]
    assert Vocabulary(pl.Series([3, 5])).encode(pl.Series(values)).tolist() == [
        {3: 1, 5: 2}.get(value, 0) for value in values
    ]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (pl.Series([1.5]), "Float64; ids are strings or integers"),
        (pl.Series([True]), "Boolean"),
        (pl.Series(["a", None]), "1 nulls"),
        (pl.Series(["a", "b", "a"]), "1 repeated ids"),
    ],
)
def test_what_cannot_be_a_vocabulary(ids: pl.Series, message: str):
    with pytest.raises(DataError, match=message):
        Vocabulary(ids)


@pytest.mark.parametrize(
    ("ids", "values"),
    [
        (pl.Series(["1"]), pl.Series("user", [1])),
        (pl.Series([1]), pl.Series("user", ["1"])),
        (pl.Series([1]), pl.Series("user", [1.0])),
        (pl.Series([1]), pl.Series("user", [True])),
    ],
)
def test_values_of_another_type(ids: pl.Series, values: pl.Series):
    with pytest.raises(DataError, match=f"'user' holds {values.dtype}.*{ids.dtype}") as error:
        Vocabulary(ids).encode(values)
    assert f"cast the column to {ids.dtype}" in error.value.hint
