"""What every kind of feature must keep to, one suite over all of them."""

from __future__ import annotations

import datetime as dt
import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist import ConfigError, DataError, features
from shortlist.features import FEATURE_KINDS, Bags, Codes, Encoded, Feature, Floats, Sequences

COLUMN = "the column"
FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text() | st.sampled_from(["", "a", "A man", "b|a", "x" * 5000, "na\u00efve \0 😀"])
INT64 = st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 5)
NUMBERS = pl.Series(COLUMN, [1.5])
LISTS_OF_FLOATS = pl.Series(COLUMN, [[1.5]])


@dataclass(frozen=True)
class Case:
    """A feature, a column to train it on, values that it must encode, and columns that it must refuse."""

    make: Callable[[], Feature]
    train: pl.Series
    values: st.SearchStrategy[Any]
    refuses: tuple[pl.Series, ...]


def series(*values: object, dtype: pl.DataType | type[pl.DataType] | None = None) -> pl.Series:
    return pl.Series(COLUMN, values, dtype=dtype)


STRINGS, INTEGERS, BOOLEANS = series("1", "2"), series(1, 2), series(True, False)
MOMENTS = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))
DATES = series(dt.date(1999, 12, 31), None, dt.date(2024, 2, 29))

CASES = {
    "StringLookup": Case(
        lambda: features.StringLookup(COLUMN, dim=3),
        series("a", "b", None, "a", ""),
        TEXTS,
        (NUMBERS, INTEGERS, BOOLEANS, DATES, LISTS_OF_FLOATS),
    ),
    "StringLookup of categories": Case(
        lambda: features.StringLookup(COLUMN),
        series("a", "b", None, "a", dtype=pl.Categorical),
        st.sampled_from(["a", "b", "never seen"]),
        (NUMBERS, INTEGERS, BOOLEANS),
    ),
    "IntegerLookup": Case(
        lambda: features.IntegerLookup(COLUMN),
        series(1, 2**60, None, -1, 1),
        INT64,
        (NUMBERS, STRINGS, BOOLEANS, DATES, LISTS_OF_FLOATS),
    ),
    "Category of strings": Case(
        lambda: features.Category(COLUMN), series("a", None, ""), TEXTS, (NUMBERS, INTEGERS, BOOLEANS, DATES)
    ),
    "Category of integers": Case(
        lambda: features.Category(COLUMN, dim=3), series(0, 1, None), INT64, (NUMBERS, STRINGS, BOOLEANS)
    ),
    "Category of booleans": Case(
        lambda: features.Category(COLUMN), series(True, None, False), st.booleans(), (NUMBERS, STRINGS, INTEGERS)
    ),
    "MultiCategory of strings": Case(
        lambda: features.MultiCategory(COLUMN, dim=3),
        series(["a", "b"], [], None, ["a", None]),
        st.lists(st.none() | TEXTS, max_size=4),
        (NUMBERS, STRINGS, INTEGERS, BOOLEANS, LISTS_OF_FLOATS, series([1])),
    ),
    "MultiCategory of integers": Case(
        lambda: features.MultiCategory(COLUMN),
        series([1, 2], [], None, [2**60, None]),
        st.lists(st.none() | INT64, max_size=4),
        (NUMBERS, STRINGS, INTEGERS, BOOLEANS, LISTS_OF_FLOATS, series(["1"])),
    ),
    "MultiCategory with a separator": Case(
        lambda: features.MultiCategory(COLUMN, "|"),
        series("a|b", None, "", "a | |"),
        TEXTS,
        (NUMBERS, INTEGERS, BOOLEANS, LISTS_OF_FLOATS, series(["1"])),
    ),
    "Hashing of strings": Case(
        lambda: features.Hashing(COLUMN, 7, dim=3),
        series("a", None),
        TEXTS,
        (NUMBERS, INTEGERS, BOOLEANS, DATES, LISTS_OF_FLOATS),
    ),
    "Hashing of integers": Case(
        lambda: features.Hashing(COLUMN, 1000), series(1, None), INT64, (NUMBERS, STRINGS, BOOLEANS, DATES)
    ),
    "Text": Case(
        lambda: features.Text(COLUMN, 50, dim=3),
        series("A man, a plan", None, ""),
        TEXTS,
        (NUMBERS, INTEGERS, BOOLEANS, DATES, LISTS_OF_FLOATS),
    ),
    "Text of words": Case(lambda: features.Text(COLUMN, ngrams=None), series("A man"), TEXTS, (NUMBERS, series(["a"]))),
    "Normalization": Case(
        lambda: features.Normalization(COLUMN),
        series(1.0, None, 2.5, -7.25),
        FINITE,
        (STRINGS, BOOLEANS, DATES, LISTS_OF_FLOATS, series(1.0, float("nan")), series(float("inf"))),
    ),
    "Normalization with an indicator": Case(
        lambda: features.Normalization(COLUMN, indicator=True), series(1, None, 4), INT64, (STRINGS, BOOLEANS)
    ),
    "Normalization of a constant": Case(
        lambda: features.Normalization(COLUMN), series(0.1, 0.1, 0.1), FINITE, (STRINGS, BOOLEANS)
    ),
    "Discretization": Case(
        lambda: features.Discretization(COLUMN, 4, dim=3),
        series(1.0, None, 2.5, 0.1, 2.5, -7.25),
        FINITE,
        (STRINGS, BOOLEANS, DATES, LISTS_OF_FLOATS, series(1.0, float("nan")), series(float("-inf"))),
    ),
    "Discretization by boundaries": Case(
        lambda: features.Discretization(COLUMN, boundaries=[0, 1]), series(3, None), INT64, (STRINGS, BOOLEANS)
    ),
    "Timestamp": Case(
        lambda: features.Timestamp(COLUMN),
        series(dt.datetime(1999, 12, 31, 23, 59), None, dt.datetime(2024, 2, 29)),
        MOMENTS,
        (NUMBERS, STRINGS, BOOLEANS, LISTS_OF_FLOATS),
    ),
    "Timestamp of dates": Case(
        lambda: features.Timestamp(COLUMN), DATES, st.dates(), (NUMBERS, STRINGS, series(dt.time(12)))
    ),
    "Timestamp of seconds": Case(
        lambda: features.Timestamp(COLUMN),
        series(0, None, 1_700_000_000),
        st.integers(-100_000_000_000, 100_000_000_000),
        (NUMBERS, STRINGS, series(1_700_000_000_000)),
    ),
    "Vector": Case(
        lambda: features.Vector(COLUMN),
        series([1.0, 2.0], None),
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2),
        (
            NUMBERS,
            STRINGS,
            series(["a", "b"]),
            LISTS_OF_FLOATS,
            series([1.0, None]),
            series([1.0, float("nan")]),
            series([1.0, 1e300]),
        ),
    ),
    "History of strings": Case(
        lambda: features.History(COLUMN, length=3, dim=3),
        series(["a", "b"], [], None, ["a", None]),
        st.lists(st.none() | TEXTS, max_size=6),
        (NUMBERS, STRINGS, INTEGERS, BOOLEANS, LISTS_OF_FLOATS, series([1])),
    ),
    "History of integers": Case(
        lambda: features.History(COLUMN, "gru", length=1),
        series([1, 2], [], None, [2**60, None]),
        st.lists(st.none() | INT64, max_size=4),
        (NUMBERS, STRINGS, INTEGERS, BOOLEANS, LISTS_OF_FLOATS, series(["1"])),
    ),
    "Vector of a given width": Case(
        lambda: features.Vector(COLUMN, 3),
        series([1, 2, 3]),
        st.lists(st.integers(-9, 9), min_size=3, max_size=3),
        (INTEGERS, LISTS_OF_FLOATS, series([])),
    ),
}
REFUSALS = [(name, number) for name, case in CASES.items() for number in range(len(case.refuses))]
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def test_no_kind_is_left_out():
    assert {case.make().kind for case in CASES.values()} == set(FEATURE_KINDS)
    for kind, feature in FEATURE_KINDS.items():
        assert (feature.kind, feature.__name__) == (kind, kind)
        assert feature.__doc__


def trained(case: Case) -> Feature:
    feature = case.make()
    feature.fit(case.train)
    assert feature.fitted
    return feature


def stored(feature: Feature) -> Feature:
    """The feature as a bundle gives it back: plain values through JSON, series through Parquet."""
    state: dict[str, Any] = {}
    for key, value in feature.state().items():
        if isinstance(value, pl.Series):
            file = io.BytesIO()
            pl.DataFrame({"value": value}).write_parquet(file)
            file.seek(0)
            state[key] = pl.read_parquet(file)["value"]
        else:
            state[key] = json.loads(json.dumps(value, allow_nan=False))
    return FEATURE_KINDS[feature.kind].restore(state)


def row(encoded: Encoded, number: int) -> Encoded:
    if isinstance(encoded, Codes):
        return Codes(encoded.values[number : number + 1], encoded.cardinality)
    if isinstance(encoded, Floats):
        return Floats(encoded.values[number : number + 1])
    if isinstance(encoded, Sequences):
        read = encoded.values[encoded.start[number] : encoded.stop[number]]
        return Sequences(read, np.array([0]), np.array([len(read)]), None, encoded.cardinality, encoded.length)
    start, stop = encoded.offsets[number : number + 2]
    return Bags(np.array([0, stop - start]), encoded.values[start:stop], encoded.cardinality)


def assert_same(first: Encoded, second: Encoded) -> None:
    """Same kind, same shape, same bits."""
    assert type(first) is type(second)
    for name, value in vars(first).items():
        other = getattr(second, name)
        if isinstance(value, np.ndarray):
            assert (value.dtype, value.shape) == (other.dtype, other.shape)
            assert value.tobytes() == other.tobytes(), name
        else:
            assert value == other, name


def assert_sound(encoded: Encoded, rows: int) -> None:
    assert len(encoded) == rows
    if isinstance(encoded, Floats):
        assert encoded.values.dtype == np.float32
        assert encoded.values.shape == (rows, encoded.width)
        assert np.isfinite(encoded.values).all()
        return
    assert encoded.values.dtype == np.int32
    assert ((encoded.values >= 0) & (encoded.values < encoded.cardinality)).all()
    if isinstance(encoded, Sequences):
        assert (encoded.start.dtype, encoded.stop.dtype) == (np.int64, np.int64)
        assert ((encoded.start >= 0) & (encoded.start <= encoded.stop) & (encoded.stop <= len(encoded.values))).all()
    if isinstance(encoded, Bags):
        assert encoded.offsets.dtype == np.int64
        assert encoded.offsets.shape == (rows + 1,)
        assert (encoded.offsets[0], encoded.offsets[-1]) == (0, len(encoded.values))
        assert (np.diff(encoded.offsets) >= 0).all()


@every_case
@given(data=st.data())
def test_encodes_alike_after_storing_and_row_by_row(case: Case, data: st.DataObject):
    drawn = data.draw(st.lists(st.none() | case.values, max_size=80))
    values = pl.Series(COLUMN, drawn, dtype=case.train.dtype)
    feature = trained(case)
    encoded = feature.encode(values)
    assert_sound(encoded, len(values))
    assert_same(encoded, stored(feature).encode(values))
    assert_same(encoded, stored(stored(feature)).encode(values))
    for number in range(min(len(values), 10)):
        assert_same(row(encoded, number), feature.encode(values[number : number + 1]))


@every_case
def test_more_rows_than_a_dictionary_serves_encode_alike(case: Case):
    feature = trained(case)
    many = pl.concat([case.train] * 70)
    encoded, few = feature.encode(many), feature.encode(case.train)
    for number in range(len(many)):
        assert_same(row(encoded, number), row(few, number % len(case.train)))


@every_case
def test_a_column_of_nulls_encodes_whatever_its_type(case: Case):
    feature = trained(case)
    untyped = feature.encode(pl.Series(COLUMN, [None, None]))
    typed = feature.encode(pl.Series(COLUMN, [None, None], dtype=case.train.dtype))
    assert untyped.values.dtype == typed.values.dtype
    assert_same(untyped, typed)
    assert_sound(untyped, 2)
    assert not isinstance(untyped, Codes) or untyped.unknown == 2
    assert not isinstance(untyped, Bags) or len(untyped.values) == 0


@every_case
def test_a_null_is_the_same_alone_and_among_values(case: Case):
    feature = trained(case)
    among = feature.encode(pl.concat([case.train, pl.Series(COLUMN, [None], dtype=case.train.dtype)]))
    assert_same(row(among, len(case.train)), feature.encode(pl.Series(COLUMN, [None])))


@every_case
def test_an_empty_column_encodes(case: Case):
    feature = trained(case)
    assert_sound(feature.encode(case.train.clear()), 0)
    assert_sound(feature.encode(pl.Series(COLUMN, [])), 0)


@every_case
def test_encoding_changes_neither_state_nor_values(case: Case):
    feature = trained(case)
    before, values = repr(feature.state()), case.train.clone()
    feature.encode(values)
    assert repr(feature.state()) == before
    assert values.equals(case.train, null_equal=True)


@every_case
def test_before_training_it_says_so(case: Case):
    feature = case.make()
    if feature.fitted:
        assert_sound(feature.encode(case.train), len(case.train))
        return
    with pytest.raises(ConfigError, match=f"{feature.kind}.*{COLUMN}.* has no ") as error:
        feature.encode(case.train)
    assert error.value.hint
    with pytest.raises(ConfigError, match=COLUMN):
        feature.state()


@every_case
def test_training_rows_without_any_value(case: Case):
    for nothing in (pl.Series(COLUMN, [None, None]), pl.Series(COLUMN, [None, None], dtype=case.train.dtype)):
        feature = case.make()
        if feature.fitted:
            feature.fit(nothing)
            continue
        with pytest.raises(DataError, match=rf"{feature.kind}\('{COLUMN}'\) got 2 training rows without") as error:
            feature.fit(nothing)
        assert error.value.hint
        assert not feature.fitted


@pytest.mark.parametrize(("name", "number"), REFUSALS)
def test_other_columns_are_refused(name: str, number: int):
    case = CASES[name]
    wrong = case.refuses[number]
    feature = trained(case)
    with pytest.raises(DataError) as error:
        feature.encode(wrong)
    message = error.value.message
    assert feature.kind in message or "vocabulary" in message
    assert COLUMN in message
    assert error.value.hint
    assert_same(feature.encode(case.train), trained(case).encode(case.train))


@pytest.mark.parametrize("name", CASES)
def test_training_refuses_what_no_training_could_make_good(name: str):
    feature = CASES[name].make()
    with pytest.raises(DataError, match=rf"{feature.kind}\('{COLUMN}'.*\) got") as error:
        feature.fit(pl.Series(COLUMN, [b"bytes"]))
    assert "Binary" in error.value.message
    assert error.value.hint


@pytest.mark.parametrize("dim", [0, -1, 1.5, True])
@pytest.mark.parametrize(
    "make",
    [
        features.StringLookup,
        features.IntegerLookup,
        features.Category,
        features.MultiCategory,
        features.Text,
        features.Discretization,
        features.History,
        lambda column, dim: features.Hashing(column, 9, dim=dim),
    ],
)
def test_dim_must_be_a_positive_whole_number(make: Callable[..., Feature], dim: object):
    with pytest.raises(ConfigError, match=f"{COLUMN}.*dim={dim}"):
        make(COLUMN, dim=dim)


@every_case
def test_repr_names_kind_and_column(case: Case):
    assert repr(case.make()).startswith(f"{case.make().kind}('{COLUMN}'")


def test_features_need_no_torch():
    code = "import sys, shortlist.features; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
