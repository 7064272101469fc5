"""Conditions on candidates: what they mean, worked out by hand and in plain Python; and what is refused."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.typed import Done, shortlist

import shortlist as sl
from shortlist.errors import DataError
from shortlist.recommender import conditions
from shortlist.recommender.conditions import Conditions

TABLE = pl.DataFrame(
    {
        "country": ["KR", "US", None, "it's"],
        "stock": [1, 0, None, 5],
        "price": [1.5, float("nan"), None, -2.0],
        "tags": [["new", "red"], ["red"], None, []],
        "since": [datetime.date(2020, 1, 1), datetime.date(2021, 1, 1), None, datetime.date(1999, 1, 1)],
        "sold out": [True, False, None, True],
        'size "EU"': [38, 40, 42, 44],
    }
)


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("country = 'KR' and stock > 0", [0]),
        ("country = 'KR' AND stock > 1", []),
        ("country = 'it''s'", [3]),
        ("country != 'KR'", [1, 3]),  # null is neither equal nor different
        ("country <> 'KR' or country is null", [1, 2, 3]),
        ("not country = 'KR'", [1, 3]),
        ("country in ('KR', 'US')", [0, 1]),
        ("country not in ('KR', 'US')", [3]),
        ("country is not null", [0, 1, 3]),
        ("country like '_R'", [0]),
        ("country not ilike 'k%'", [1, 3]),
        ("stock between 1 and 5", [0, 3]),
        ("stock not between 1 and 5", [1]),
        ("stock % 2 = 1", [0, 3]),
        ("stock * 2 + 1 >= 3", [0, 3]),
        ("-stock < 0", [0, 3]),
        ("stock - -1 > 1", [0, 3]),
        ("stock = 1.0", [0]),
        ("stock > 4e-1", [0, 3]),
        ("1 / stock < 1", [3]),  # 1/0 is infinite, as in floats
        ("price > 1", [0]),  # NaN is null, not above every number
        ("array_contains(tags, 'red')", [0, 1]),
        ("lower(country) = 'kr' or length(country) = 4", [0, 3]),
        ("coalesce(stock, 7) >= 5", [2, 3]),
        ("since >= date '2020-06-01'", [1]),
        ('"sold out"', [0, 3]),
        ('not "sold out" and true', [1]),
        ('"size ""EU""" > 40', [2, 3]),
        ("(stock)>((0))", [0, 3]),
        ("stock > null", []),
        ("1 = 1", [0, 1, 2, 3]),
        ("  stock\n>\t0  ", [0, 3]),
    ],
)
def test_what_a_condition_means(where: str, rows: list[int]) -> None:
    assert Conditions(TABLE).rows(where).tolist() == rows


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("countri = 'KR'", "no column 'countri'.*did you mean 'country'"),
        ("Stock > 0", "no column 'Stock'.*did you mean 'stock'"),
        ('country = "KR"', "no column 'KR'.*single quotes: 'KR'"),
        ("sold out", "nothing 'between sold and out'.*double quotes"),
        ("country = 'KR", r"\"'KR\" at character 11.*quote is not closed"),
        ("`country` = 'KR'", "at character 1.*double quotes"),
        ("stock > 0; drop table x", "'; drop tab' at character 10"),
        ("stock > 0 -- all", "'-- all' at character 11"),
        ("stock > /* */ 0", "at character 9"),
        ("stock = 0x1", "at character 9"),
        ("tags.len > 1", "at character 5"),
        ("country ~ 'K'", "at character 9"),
        ("sum(stock) > 1", "calls 'sum'.*known: abs"),
        ("count(*) > 1", "calls 'count'"),
        ("lowr(country) = 'kr'", "calls 'lowr'.*did you mean 'lower'"),
        ("read_csv('/etc/passwd') = 1", "calls 'read_csv'"),
        ("stock > (select max(stock) from self)", "'select', which conditions do not support.*no queries"),
        ("exists (select 1)", "'exists'"),
        ("stock > 0 union select 1", "'select'"),
        ("case when stock > 0 then true else false end", "'case'"),
        ("cast(stock as varchar) = '1'", "'cast'"),
        ("stock is true", "'is true'"),
        ("stock > 0 country", "nothing 'between 0 and country'"),
        ("stock > 0 (stock < 3)", r"nothing 'between 0 and \('"),
        ("stock > 0 and", "is not a condition"),
        ("and", "is not a condition.*'and' is in the wrong place"),
        ("stock > 0)", "is not a condition"),
        ("(" * 100 + "stock > 0" + ")" * 100, "is not a condition"),
        ("country in ()", "is not a condition"),
        ("country like stock", "is not a condition.*pattern"),
        ("since > date '2020'", "is not a condition.*'2020'"),
        ("stock", "gives Int64"),
        ("'KR'", "gives String"),
        ("country = 5", "cannot be computed.*country is String"),
        ("stock in ('a')", "cannot be computed.*stock is Int64"),
        ("since > '2020-06-01'", "cannot be computed.*since is Date; dates are written date '2020-01-31'"),
        ("", "empty"),
        ("  ", "empty"),
        (" or ".join(["stock = 1"] * 150), "299 operators"),
        ("stock = 1" + " " * (1 << 20), "1,048,585 characters"),
        (5, "where is a int"),
        (b"stock > 0", "where is a bytes"),
    ],
)
def test_what_is_no_condition(where: Any, says: str) -> None:
    with pytest.raises(DataError, match=f"(?s){says}"):
        Conditions(TABLE).rows(where)


_number = st.none() | st.integers(-2, 2)
_condition = st.recursive(
    st.one_of(
        st.tuples(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), st.sampled_from("ab"), st.integers(-2, 2)),
        st.tuples(st.just("in"), st.sampled_from("ab"), st.lists(st.integers(-2, 2), min_size=1, max_size=3)),
        st.tuples(st.just("between"), st.sampled_from("ab"), st.tuples(st.integers(-2, 2), st.integers(-2, 2))),
        st.tuples(st.just("is null"), st.sampled_from("ab"), st.none()),
    ),
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner, st.none()), st.tuples(st.sampled_from(["and", "or"]), inner, inner)
    ),
    max_leaves=6,
)


def as_sql(condition: Any) -> str:
    kind, first, second = condition
    if kind == "not":
        return f"not ({as_sql(first)})"
    if kind in ("and", "or"):
        return f"({as_sql(first)}) {kind} ({as_sql(second)})"
    if kind == "in":
        return f"{first} in ({', '.join(map(str, second))})"
    if kind == "between":
        return f"{first} between {second[0]} and {second[1]}"
    return f"{first} is null" if kind == "is null" else f"{first} {kind} {second}"


def truth(condition: Any, row: dict[str, int | None]) -> bool | None:
    """SQL's three values, one row at a time: None where it cannot be known."""
    kind, first, second = condition
    if kind == "not":
        inner = truth(first, row)
        return None if inner is None else not inner
    if kind in ("and", "or"):
        values = {truth(first, row), truth(second, row)}
        decided = kind == "or"
        return decided if decided in values else None if None in values else not decided
    value = row[first]
    if kind == "is null":
        return value is None
    if value is None:
        return None
    if kind == "in":
        return value in second
    if kind == "between":
        return second[0] <= value <= second[1]
    return {
        "=": value == second,
        "!=": value != second,
        "<": value < second,
        "<=": value <= second,
        ">": value > second,
        ">=": value >= second,
    }[kind]


@given(condition=_condition, rows=st.lists(st.tuples(_number, _number), min_size=1, max_size=8))
def test_conditions_agree_with_three_valued_logic(condition: Any, rows: list[tuple[int | None, int | None]]) -> None:
    table = pl.DataFrame(rows, schema={"a": pl.Int64, "b": pl.Int64}, orient="row")
    expected = [i for i, (a, b) in enumerate(rows) if truth(condition, {"a": a, "b": b})]
    assert Conditions(table).rows(as_sql(condition)).tolist() == expected


def test_the_comparison_can_fail() -> None:
    assert truth(("!=", "a", 1), {"a": None, "b": 0}) is None
    assert truth(("or", ("!=", "a", 1), ("is null", "a", None)), {"a": None, "b": 0}) is True


def test_the_last_conditions_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []
    real = conditions.Evaluation
    monkeypatch.setattr(
        conditions, "Evaluation", lambda table, where, *rest: computed.append(where) or real(table, where, *rest)
    )
    known = Conditions(TABLE)
    for _ in range(3):
        known.rows("stock > 0")
    assert computed == ["stock > 0"]
    for number in range(conditions._KEPT - 1):
        known.rows(f"stock > {number} + 1")
    known.rows("stock > 0")
    assert len(computed) == conditions._KEPT
    known.rows("stock > 100")  # one too many: the least recently asked goes, not the one asked just now
    known.rows("stock > 0")
    assert len(computed) == conditions._KEPT + 1
    known.rows("stock > 0 + 1")
    assert len(computed) == conditions._KEPT + 2


def test_large_answers_are_not_all_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditions, "_BYTES", 50)
    known = Conditions(TABLE)
    for where in ("1 = 1", "2 = 2", "3 = 3"):  # 32 bytes each
        assert known.rows(where).tolist() == [0, 1, 2, 3]
    assert list(known._known) == ["3 = 3"]


@pytest.mark.parametrize("size", [1, 3, 4, 5])
def test_a_condition_is_computed_in_pieces_of_the_table(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(conditions, "_LEAST", size)
    monkeypatch.setattr(conditions, "_MOST", size)
    evaluation = Conditions(TABLE).begin("stock > 0 or stock is null")
    steps = 1
    while not evaluation.step():
        steps += 1
    assert steps == -(-4 // size)
    assert evaluation.rows is not None
    assert evaluation.rows.tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("where", "weight"),
    [
        ("stock > 0", 2),  # 1, and one for the comparison
        ("stock > 0 and price < 1", 4),
        ("country ilike '%k%'", 21),
        ("not lower(country) = 'kr'", 13),
        ("stock in (1, 2)", 4),
    ],
)
def test_what_a_condition_costs_is_known_before_it_is_computed(where: str, weight: int) -> None:
    """In comparisons for each of four rows; texts are short here, and long ones count as several."""
    assert Conditions(TABLE).begin(where).cost == 4 * weight
    long = pl.DataFrame({"country": ["x" * 3200] * 4, "stock": [1] * 4, "price": [1.0] * 4})
    assert Conditions(long).begin(where).cost == 4 * weight * (100 if "country" in where else 1)


@pytest.mark.parametrize(
    "where", ["country + country = 'x'", "lower(country + 'a') like 'b'", "stock > 0 and country + 'x' = 'y'"]
)
def test_texts_are_not_added(where: str) -> None:
    with pytest.raises(DataError, match="adds texts"):
        Conditions(TABLE).rows(where)


def test_an_answer_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Conditions(TABLE).rows("1 = 1")[0] = 3


# Through the recommender. Scores of a, b, c, d: ann 4 3 1 ½, bob 0 1 4 2; ann chose a and b, bob b and c.


@pytest.fixture
def stocked(model: sl.TwoTower, train: sl.Dataset) -> sl.Recommender:
    attributes = {"what": ["a", "b", "c", "d"], "stock": [3, 0, None, 9], "kind": ["x", "x", "y", "y"]}
    model.prepare(
        sl.Dataset(train.interactions, "who", "what", queries=train.queries, candidates=pl.DataFrame(attributes))
    )
    return sl.Recommender(model, index=sl.BruteForce(), seen=train)


def test_where_narrows_a_request(stocked: sl.Recommender) -> None:
    ask = stocked.recommend
    assert {one.id for one in ask(["ann"], k=9, where="stock > 0")[0]} == {"d"}  # a is seen, c has no stock known
    assert {one.id for one in ask(["ann"], k=9, where="stock > 0", exclude_seen=False)[0]} == {"a", "d"}
    assert [set(one.ids) for one in ask(["ann", "bob"], k=9, where="kind = 'y'")] == [{"c", "d"}, {"d"}]
    assert [len(one) for one in ask(["ann", "bob"], k=1, where="kind = 'y'")] == [1, 1]
    assert ask(["ann"], where="stock > 100")[0].ids == []


def test_where_joins_the_other_filters(stocked: sl.Recommender) -> None:
    ask = stocked.recommend
    assert ask(["ann"], where="kind = 'y'", allow=["a", "d"])[0].ids == ["d"]
    assert ask(["ann"], where="kind = 'y'", deny=["d"])[0].ids == ["c"]
    assert ask(["ann"], where="kind = 'y'", exclude=[["c"]])[0].ids == ["d"]
    assert ask(["ann"], where="kind = 'y'", allow=["a", "zzz"])[0].ids == []


def test_the_fallback_keeps_to_the_condition(stocked: sl.Recommender, model: sl.TwoTower) -> None:
    popular = sl.Recommender(model, index=sl.BruteForce(), cold_start="popularity")
    assert popular.recommend(["new"], k=9, where="kind = 'x'")[0].ids == ["b", "a"]


def test_similar_takes_a_condition(stocked: sl.Recommender) -> None:
    assert set(stocked.similar(["a"], where="kind = 'x'")[0].ids) == {"b"}
    with pytest.raises(DataError, match="did you mean 'kind'"):
        stocked.similar(["a"], where="knd = 'x'")


def test_a_bundle_keeps_the_columns(stocked: sl.Recommender, tmp_path: Path) -> None:
    stocked.save(tmp_path / "my.shortlist")
    loaded = sl.Recommender.load(tmp_path / "my.shortlist")
    for where in ("stock > 0", "stock is null or kind = 'x'"):
        assert loaded.recommend(["bob"], where=where) == stocked.recommend(["bob"], where=where)


def test_on_the_command_line(stocked: sl.Recommender, tmp_path: Path) -> None:
    stocked.save(tmp_path / "my.shortlist")

    def run(where: str) -> Done:
        return shortlist("recommend", "my.shortlist", "ann", "--where", where, "--json", cwd=tmp_path)

    done = run("stock > 0")
    assert [item["id"] for item in json.loads(done.stdout)[0]["items"]] == ["d"], done.stderr
    done = run("stok > 0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "did you mean 'stock'" in done.stderr
    assert "Traceback" not in done.stderr


def test_pieces_of_a_deep_condition_do_not_shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every piece takes two hundredths of a second, most of which Polars needs before the first row: 7,000 rows are no fewer then (2,048 are the least)."""
    ticks = iter(range(1000))
    clock = SimpleNamespace(
        perf_counter=lambda: 0.02 * next(ticks)
    )  # of this module alone: other threads look at theirs
    monkeypatch.setattr(conditions, "time", clock)
    table = pl.DataFrame({"n": range(100_000)})
    where = " + ".join(["n"] * 150) + " > 14999999 - 150"
    one = Conditions(table).begin(where)
    steps = 1
    while not one.step():
        steps += 1
    assert one.rows is not None
    assert one.rows.tolist() == [99_999]
    assert steps <= 15  # 100,000 / 7,000; 49 of the least
    assert one.cost > 100_000 * 151
    assert Conditions(table.head(1000)).begin(where).cost == 1000 * 152  # one piece
