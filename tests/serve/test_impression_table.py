"""The log as a table: rows, clicks within their time, shares, and what training makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shortlist as sl
from shortlist.serve.impression_files import FOLDER, Segment
from shortlist.serve.impression_table import impression_table


def shown(at: float, query: Any, *candidates: Any, **others: Any) -> dict[str, Any]:
    items = [{"candidate": one, "place": place} for place, one in enumerate(candidates, start=1)]
    return {"op": "shown", "at": at, "query": query, "bundle": "b1", "items": items, **others}


def events(*chosen: tuple[Any, Any, float]) -> dict[str, Any]:
    return {"op": "events", "at": 0.0, "events": [{"query": q, "candidate": c, "at": at} for q, c, at in chosen]}


def state(folder: Path, *files: list[dict[str, Any]]) -> Path:
    for records in files:
        segment = Segment(folder / FOLDER)
        segment.append(records)
        segment.close()
    return folder


def test_a_row_per_place_and_the_last_list_before_the_event_is_clicked(tmp_path: Path) -> None:
    log = state(
        tmp_path,
        [shown(20, "ann", "a", "b", request="r2"), events(("ann", "b", 25), ("ann", "c", 25), ("bob", "a", 12))],
        [shown(10, "ann", "b", "a", request="r1"), events(("ann", "a", 100), ("ann", "b", 9))],
    )
    table = impression_table(log, within=50)
    assert table.select("request", "query", "candidate", "place", "clicked", "at").rows() == [
        ("r1", "ann", "b", 1, False, 10.0),
        ("r1", "ann", "a", 2, False, 10.0),
        ("r2", "ann", "a", 1, False, 20.0),
        ("r2", "ann", "b", 2, True, 20.0),  # not r1's: the click came after both
    ]
    assert impression_table(log, within=80)["clicked"].to_list() == [False, False, True, True]
    assert impression_table(log, within=4)["clicked"].to_list() == [False] * 4
    assert table["bundle"].to_list() == ["b1"] * 4


ROWS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 20), st.sampled_from("xy"), st.sampled_from("ab")), min_size=1, max_size=20
)


@given(ROWS, st.integers(0, 8))
@settings(deadline=None, max_examples=50)
def test_clicks_as_a_plain_loop_has_them(rows: list[tuple[bool, int, str, str]], within: int) -> None:
    import tempfile

    lists = {(at, q, c) for is_list, at, q, c in rows if is_list} | {(0, "x", "a")}
    clicks = [(q, c, float(at)) for is_list, at, q, c in rows if not is_list]
    clicked = set()
    for query, candidate, at in clicks:
        before = [one for one, q, c in lists if (q, c) == (query, candidate) and one <= at]
        if before and at - max(before) <= within:
            clicked.add((max(before), query, candidate))
    with tempfile.TemporaryDirectory() as folder:
        log = state(Path(folder), [shown(at, q, c) for at, q, c in lists] + ([events(*clicks)] if clicks else []))
        table = impression_table(log, within)
    found = {(int(row["at"]), row["query"], row["candidate"]) for row in table.filter("clicked").to_dicts()}
    assert found == clicked
    assert len(table) == len(lists)


def test_teams_propensities_and_shares_have_columns(tmp_path: Path) -> None:
    one = shown(1, 7, 1)
    one["items"] = [{"candidate": 1, "place": 1, "bundle": "new", "propensity": 0.5}]
    two = shown(2, 7, 2)
    two["items"] = [{"candidate": 2, "place": 1, "shares": {"model": 0.75, "transitions": 0.25}}]
    table = impression_table(state(tmp_path, [one] * 200 + [two]), 10, query="user", candidate="film")
    assert table.columns == [
        "request", "bundle", "team", "user", "film", "place", "clicked", "propensity", "at",
        "share model", "share transitions",
    ]  # fmt: skip
    last = table.rows(named=True)[-1]
    assert (last["user"], last["film"], last["share model"], last["share transitions"]) == (7, 2, 0.75, 0.25)
    assert table["team"][0] == "new"
    assert table["propensity"][0] == 0.5


def test_training_takes_it_as_impressions(tmp_path: Path) -> None:
    pairs = [(f"u{n % 6}", f"i{(n * 5 + n // 6) % 8}") for n in range(36)]
    train = sl.Dataset(pl.DataFrame(pairs, schema=["user", "item"], orient="row"), "user", "item")
    log = state(tmp_path, [shown(n, f"u{n}", "i0", "i1", "i2") for n in range(6)] + [events(("u1", "i1", 3))])
    table = impression_table(log, 10, query="user", candidate="item").filter(~pl.col("clicked"))
    model = sl.TwoTower(sl.Tower(sl.StringLookup("user"), dim=4), sl.Tower(sl.StringLookup("item"), dim=4))
    history = sl.fit(model, train, impressions=sl.Dataset(table, "user", "item"), epochs=1, batch_size=16)
    assert history.epochs


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(sl.DataError, match="no impressions were logged"):
        impression_table(tmp_path, 10)
    state(tmp_path, [shown(1, "ann", "a")])
    for names in ({"query": "place"}, {"query": "x", "candidate": "x"}, {"candidate": "share model"}):
        with pytest.raises(sl.ConfigError, match="as another column is"):
            impression_table(tmp_path, 10, **names)
    state(tmp_path, [shown(1, 7, "a")])
    with pytest.raises(sl.DataError, match="queries are strings in some impressions and integers in others"):
        impression_table(tmp_path, 10)


def test_a_list_sent_twice_under_one_request_id_counts_once(tmp_path: Path) -> None:
    log = state(
        tmp_path,
        [
            shown(1, "ann", "a", "b", request="r1"),
            shown(2, "ann", "a", "b", request="r1"),  # the client got no answer
            shown(3, "ann", "a", "c", request="r1"),  # the next page of it
            shown(4, "bob", "a", "b", request="r1"),
            shown(5, "ann", "a"),
            shown(5, "ann", "a"),  # without an id nobody can tell
        ],
    )
    assert impression_table(log, within=9).group_by("at", maintain_order=True).len().rows() == [
        (1.0, 2), (3.0, 2), (4.0, 2), (5.0, 2),
    ]  # fmt: skip
