"""Conditions on any table: dates and times are compared with dates and times only, and names may be anything."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import shortlist as sl
from shortlist.data.condition_text import quoted
from shortlist.data.conditions import condition
from shortlist.errors import DataError

ZONED = pl.Series([datetime(2020, 1, 10, 3), datetime(2020, 1, 11)]).dt.replace_time_zone("Asia/Seoul")
TIMES = pl.DataFrame(
    {
        "d": [date(2020, 1, 9), date(2020, 1, 11)],
        "t": [datetime(2020, 1, 9, 12), datetime(2020, 1, 11, 12)],
        "ms": pl.Series([datetime(2020, 1, 9), datetime(2020, 1, 11)], dtype=pl.Datetime("ms")),
        "seoul": ZONED,
        "utc": ZONED.dt.convert_time_zone("UTC"),
        "hour": [time(3), time(5)],
        "took": [timedelta(days=1), timedelta(days=2)],
        "days": [[date(2020, 1, 9)], [date(2020, 1, 11)]],
        "n": [20200109, 20200111],
    }
)
OTHERS = ("20200110", "1578614400", "20200110.0", "-1", "true", "'2020-01-10'", "'20200110'", "n", "n + 1")


@pytest.mark.parametrize("column", ["d", "t", "ms", "seoul", "utc", "hour", "took"])
@pytest.mark.parametrize("other", OTHERS)
def test_a_time_is_never_compared_with_something_else(column: str, other: str) -> None:
    """Polars would read the number as days, micro- or milliseconds since 1970, and meet all rows or none."""
    wheres = [f"{column} {sign} {other}" for sign in (">", "<=", "=", "!=")] + [
        f"{other} < {column}",
        f"{column} between {other} and {other}",
        f"not ({column} > {other} and n > 0)",
        f"coalesce({column}, null) > {other}",
    ]
    for where in wheres:
        with pytest.raises(DataError, match="cannot be computed"):
            condition(where, TIMES.schema)


@pytest.mark.parametrize("other", ["20200109", "'2020-01-09'", "n"])
def test_a_list_of_dates_holds_dates(other: str) -> None:
    with pytest.raises(DataError, match="cannot be computed"):
        condition(f"array_contains(days, {other})", TIMES.schema)


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("d > date '2020-01-10'", [1]),
        ("date '2020-01-10' > d", [0]),
        ("t > timestamp '2020-01-11 11:59:59'", [1]),
        ("t between date '2020-01-09' and date '2020-01-11'", [0]),  # noon of the 11th is after its midnight
        ("ms = date '2020-01-11'", [1]),
        ("d in (date '2020-01-09')", [0]),
        ("seoul >= date '2020-01-10'", [0, 1]),  # three in the morning in Seoul is the evening before in UTC
        ("utc >= date '2020-01-10'", [1]),
        ("seoul < timestamp '2020-01-10 04:00:00'", [0]),
        ("array_contains(days, date '2020-01-11')", [1]),
        ("d < t", [0, 1]),
        ("hour = hour and took = took", [0, 1]),
        ("d is not null and n > 20200110", [1]),
    ],
)
def test_times_with_times(where: str, rows: list[int]) -> None:
    met = condition(where, TIMES.schema)
    assert met.mask(TIMES).arg_true().to_list() == rows
    assert met.keep(TIMES.lazy()).collect().rows() == TIMES[rows].rows()


def test_times_of_two_zones_are_not_compared_by_their_clocks() -> None:
    for where in ("seoul = utc", "seoul > t"):
        with pytest.raises(DataError, match="two zones"):
            condition(where, TIMES.schema)


@pytest.mark.parametrize("name", ["^n$", "*", "met", "date", "column_0", "literal", "len", "n ame", 'q"uote', ""])
def test_a_column_may_have_any_name(name: str) -> None:
    """``^n$`` is a pattern to Polars, which would read the column n in its place."""
    table = pl.DataFrame({name: [1, 2, 3], "n": [3, 1, 2], "when": ["a", "b", "c"]})
    if name == "":
        with pytest.raises(DataError):
            condition('"" > 1', table.schema)
        return
    quoted = name.replace('"', '""')
    assert condition(f'"{quoted}" > 1 and n < 3', table.schema).mask(table).to_list() == [False, True, True]


def test_the_error_says_which_option_and_which_rows() -> None:
    with pytest.raises(DataError, match="the interactions have no column 'event'"):
        condition("event = 'buy'", TIMES.schema, option="--where", of="interactions")
    with pytest.raises(DataError, match="--seen-where is empty"):
        condition(" ", TIMES.schema, option="--seen-where", of="interactions")


def test_a_text_without_quotes_is_told_from_a_misspelt_column() -> None:
    quotes = "; write 'a text' in single quotes"
    for where in ("s = Drama", "n > 1 and s != 식품", "s like x", "s ilike x"):
        with pytest.raises(DataError, match="have no column") as caught:
            condition(where, pl.Schema({"s": pl.String, "n": pl.Int64}))
        assert caught.value.hint == f"known: n, s{quotes}"
    for where in ("Drama = s", "s = title and n > 1", "length(Drama) > 2"):
        with pytest.raises(DataError, match="have no column") as caught:
            condition(where, pl.Schema({"s": pl.String, "titel": pl.String, "n": pl.Int64}))
        assert quotes not in caught.value.hint


@pytest.mark.parametrize(
    "where", ["n = 1 or d > date '2020-01-10'", "n + n + 1 > 3", "n + 1 > 2 and d < date '2020-01-10' and n + 2 > 3"]
)
def test_types_are_asked_for_once_however_long_a_condition_is(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question about a part of an expression costs as much as the whole part."""
    asked: list[int] = []
    select = pl.LazyFrame.select
    monkeypatch.setattr(
        pl.LazyFrame, "select", lambda table, *some: (asked.append(len(list(*some))), select(table, *some))[1]
    )
    condition(where, TIMES.schema)
    once, asked[:] = len(asked), []
    condition(" or ".join([where] * 20), TIMES.schema)
    assert len(asked) == once
    asked.clear()
    condition(" + ".join(["n"] * 150) + " > 3", TIMES.schema)
    assert max(asked) < 10


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("n + n + t > 3", "cannot be computed"),
        ("t + 1 > 3", "cannot be computed"),
        ("days in (date '2020-01-09')", "looks for a list"),
        ("not n", "gives Int64 to not; true or false was expected"),
        ("n = 1 and not (n + 1)", "gives Int64 to not"),
    ],
)
def test_types_that_do_not_fit_are_an_error(where: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        condition(where, TIMES.schema)


@pytest.mark.parametrize("where", ["not (n = 1)", "n not in (1, 2)", "not true", "not (n = 1 and not (n = 2))"])
def test_not_is_for_what_is_true_or_false(where: str) -> None:
    condition(where, TIMES.schema)


# Long conditions.


@pytest.mark.parametrize("sign", ["and", "or"])
def test_a_long_chain_is_the_same_condition(sign: str) -> None:
    """40 comparisons, joined as they are written and as a tree; null is neither true nor false in both."""
    table = pl.DataFrame({"n": [0, 39, 40, None], "m": [None, 0, 1, 1]})
    parts = [f"n != {number}" for number in range(40)] if sign == "and" else [f"n = {number}" for number in range(40)]
    chain = condition(f" {sign} ".join([*parts, "m > 0"]), table.schema).mask(table)
    met = {"and": [False, False, True, False], "or": [True, True, True, True]}[sign]
    assert chain.to_list() == met
    mixed = condition(f"n = 39 and (not (n > 40) {sign} " + f" {sign} ".join([*parts, "m = 0"]) + ")", table.schema)
    assert mixed.mask(table).to_list() == [False, sign == "or", False, False]


def test_what_a_call_costs_grows_with_the_depth_of_sums_and_the_length_of_chains() -> None:
    """Twice as many comparisons take twice as much; twice as many numbers added up take more than three times."""
    chains = [condition(" or ".join(["n = 1"] * count), TIMES.schema).overhead for count in (50, 100)]
    sums = [condition(" + ".join(["n"] * count) + " > 3", TIMES.schema).overhead for count in (75, 150)]
    assert chains[1] < 2 * chains[0]
    assert sums[1] > 3 * sums[0]


NAN = float("nan")
PRICES = ("price > 10", "price >= 10", "price != 1", "not price > 10", "not (price <= 10)", "price + 1 > 10", "abs(price) > 10",
          "price not in (1)", "price between 0 and 1e300", "price = price", "price is not null", "not price = 1")  # fmt: skip


@pytest.mark.parametrize("where", PRICES)
@pytest.mark.parametrize("kind", [pl.Float64, pl.Float32])
def test_an_unknown_price_is_as_null_whatever_said_that_it_is_unknown(where: str, kind: type[pl.DataType]) -> None:
    nan, null = (pl.DataFrame({"price": [1.0, 20.0, one]}, schema={"price": kind}) for one in (NAN, None))
    for frame in (nan, null):
        found = condition(where, frame.schema)
        met = found.mask(frame).to_list()
        assert met[2] is False
        assert found.keep(frame.lazy()).collect().height == sum(met)
        assert found.flag(frame.lazy(), "met").collect()["met"].to_list() == met
    assert condition(where, nan.schema).mask(nan).to_list() == condition(where, null.schema).mask(null).to_list()
    assert condition("price is null", nan.schema).mask(nan).to_list() == [False, False, True]


def test_events_leave_out_rows_with_nan() -> None:
    log = {"u": ["a", "b", "c"], "i": ["x", "x", "y"], "price": [1.0, 20.0, NAN]}
    for frame in (log, pl.DataFrame(log), pd.DataFrame(log), pa.table(log)):
        data = sl.Dataset(frame, "u", "i", events=sl.Events(where="price > 10"))
        assert data.interactions["u"].to_list() == ["b"]


AS_TEXT = [
    ("size like 'S%'", [0]), ("size not like 'S%'", [1, 2]), ("size ilike 's%'", [0]), ("lower(size) = 's'", [0]),
    ("upper(size) in ('S', 'L')", [0, 2]), ("starts_with(size, 'M')", [1]), ("ends_with(size, 'L')", [2]), ("length(size) = 1", [0, 1, 2]),
    ("size = 'S'", [0]), ("size != 'S'", [1, 2]), ("size in ('S', 'X')", [0]), ("size is null", [3]), ("lower(coalesce(size, 'x')) = 'x'", [3]),
    ("starts_with(text, size)", [0, 1, 2]), ("size = text", [0, 1, 2]),
]  # fmt: skip


@pytest.mark.parametrize("kind", [pl.String(), pl.Categorical(), pl.Enum(["S", "M", "L"])])
@pytest.mark.parametrize(("where", "rows"), AS_TEXT)
def test_categories_are_text(where: str, rows: list[int], kind: pl.DataType) -> None:
    frame = pl.DataFrame(
        {"size": ["S", "M", "L", None], "text": ["S", "M", "L", None]}, schema_overrides={"size": kind}
    )
    met = condition(where, frame.schema).mask(frame).to_list()
    assert [row for row, one in enumerate(met) if one] == rows


def test_an_enum_is_compared_in_its_own_order() -> None:
    frame = pl.DataFrame({"size": ["S", "M", "L"]}, schema={"size": pl.Enum(["S", "M", "L"])})
    assert condition("size > 'S' and not starts_with('L', 'x')", frame.schema).mask(frame).to_list() == [
        False,
        True,
        True,
    ]


WORDS = [
    "order",
    "from",
    "group",
    "where",
    "limit",
    "having",
    "join",
    "union",
    "as",
    "end",
    "then",
    "asc",
    "by",
    "user",
    "date",
    "Order",
]


@pytest.mark.parametrize("word", WORDS)
def test_a_column_may_have_the_name_of_a_word_of_sql(word: str) -> None:
    frame = pl.DataFrame({word: [1, 2], "n": [2, 2]})
    for where in (f"{word} = 2", f'"{word}" = 2', f"n = {word}", f"not {word} < n and abs({word}) > 1"):
        assert condition(where, frame.schema).mask(frame).to_list() == [False, True]


@pytest.mark.parametrize("word", ["case", "select", "over", "cast", "null", "true", "not", "in"])
def test_words_that_conditions_have_need_quotes(word: str) -> None:
    frame = pl.DataFrame({word: [1, 2]})
    assert quoted(word) == f'"{word}"'
    assert condition(f"{quoted(word)} = 2", frame.schema).mask(frame).to_list() == [False, True]


def test_an_error_names_the_columns_of_the_table() -> None:
    frame = pl.DataFrame({"price": [1.0]})
    with pytest.raises(DataError, match="name `price`"):
        condition("lower(price) = 'a'", frame.schema)
    with pytest.raises(DataError, match='needs double quotes: "case"'):
        condition("case = 1", frame.schema)


def test_what_a_server_says_of_texts_in_double_quotes_and_of_lists_says_how_they_are_written() -> None:
    """A server repeats nothing of the condition; how it is written is said all the same."""
    schema = pl.Schema({"genre": pl.String(), "tags": pl.List(pl.String())})
    with pytest.raises(DataError) as refused:
        condition('genre = "drama"', schema)
    assert refused.value.plain == (
        "the candidates have no column of the name at character 9 of the condition; texts need single quotes."
    )
    with pytest.raises(DataError) as refused:
        condition("tags = 'new'", schema).mask(pl.DataFrame({"genre": ["a"], "tags": [["new"]]}))
    assert refused.value.hint == "tags is List(String); lists are asked with array_contains(column, value)"
