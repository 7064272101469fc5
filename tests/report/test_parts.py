"""The report's arithmetic, by hand."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist.report import render
from shortlist.report.bias import by_popularity
from shortlist.report.catalogue import OTHER, Labels, described
from shortlist.report.html import as_json, interval, share, table
from shortlist.report.measured import headline_k, measure
from shortlist.report.projection import projected
from shortlist.report.verdict import judged


def test_projection_finds_the_two_long_axes() -> None:
    """Points on the axes of a cross: 3 long, 2 long and 1 long; variances 18, 8 and 2 of 28."""
    cross = np.array([[3, 0, 0], [-3, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 1], [0, 0, -1]], np.float32) + 7
    projection = projected(cross[:, [2, 0, 1]])
    assert projection.kept == pytest.approx(26 / 28)
    expected = [[3, 0], [-3, 0], [0, 2], [0, -2], [0, 0], [0, 0]]
    assert np.abs(projection.places) == pytest.approx(np.abs(np.array(expected, np.float32)), abs=1e-5)
    assert np.array_equal(projected(cross).places, projected(cross).places)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_projection_of_next_to_nothing(rows: int) -> None:
    assert projected(np.ones((rows, 4), np.float32)).places.tolist() == [[0.0, 0.0]] * rows
    assert projected(np.ones((rows, 1), np.float32)).places.shape == (rows, 2)


def test_projection_refuses_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(sl.ConfigError, match="no projection 'tsne'"):
        projected(np.ones((3, 2), np.float32), "tsne")
    monkeypatch.setitem(__import__("sys").modules, "pacmap", None)
    with pytest.raises(sl.MissingExtraError, match="pacmap"):
        projected(np.ones((3, 2), np.float32), "pacmap")


def test_shares_by_popularity() -> None:
    """Counts 4 3 2 1 in a catalogue of four: each candidate is a part, the most popular first."""
    rows = by_popularity(np.array([1, 4, 2, 3]), np.array([0, 3, 0, 1]), np.array([1, 1, 0, 0]))
    assert [row["part"] for row in rows] == [1, 2, 3, 4]
    assert [row["training"] for row in rows] == pytest.approx([4 / 10, 3 / 10, 2 / 10, 1 / 10])
    assert [row["recommended"] for row in rows] == pytest.approx([3 / 4, 1 / 4, 0, 0])
    assert [row["held_out"] for row in rows] == pytest.approx([1 / 2, 0, 0, 1 / 2])
    twelve = by_popularity(np.arange(12), np.zeros(12, np.int64))
    assert [row["candidates"] for row in twelve] == [2, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    assert "held_out" not in twelve[0]


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


@pytest.mark.parametrize(("candidates", "k"), [(1, 1), (19, 1), (20, 2), (99, 9), (100, 10), (10**6, 10)])
def test_small_catalogues_are_judged_by_small_lists(candidates: int, k: int) -> None:
    assert headline_k(candidates) == k


def test_json_cannot_leave_its_element() -> None:
    value = {"</script>": ["<!--", "a & b", "\u2028\u2029", float("nan"), float("inf"), 1.5, None]}
    text = as_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"</script>": ["<!--", "a & b", "\u2028\u2029", None, None, 1.5, None]}


def test_tables_escape_everything() -> None:
    made = table("<c>", ["<h>", "words", "figures"], [("<r>", "<d>", "12.5%")], "<s>")
    for letter in "chrds":
        assert f"&lt;{letter}&gt;" in made
        assert f"<{letter}>" not in made
    assert '<td class="number">12.5%</td>' in made
    assert '<th scope="col" class="number">figures</th>' in made


def test_shares_with_and_without_an_interval() -> None:
    assert share(0.1234) == "12.3%"
    assert share(None) == share(float("nan")) == "–"
    assert interval(0.5, 0.25, 0.75) == "50.0% (25.0% to 75.0%)"
    assert interval(0.5, None, None) == interval(0.5, float("nan"), float("nan")) == "50.0%"


def measured(**comparisons: tuple[float, bool]) -> dict[str, object]:
    """Measurements with these differences to baselines, each with whether it is real."""
    figures = {"seen_in": {"top_10": 0.25}}
    scorers = ["model", *comparisons]
    return {
        "k": 10,
        "evaluation": {
            **dict.fromkeys(scorers, figures),
            "candidates": 1000,
            "intervals": {name: {"seen_in": {"top_10": [0.2, 0.3]}} for name in scorers},
        },
        "comparisons": [
            {"scorer": name, "difference": difference, "real": real} for name, (difference, real) in comparisons.items()
        ],
    }


@pytest.mark.parametrize(
    ("comparisons", "level", "headline"),
    [
        ({"popularity": (0.1, True)}, "good", "Ahead of popularity"),
        ({"popularity": (0.1, True), "ease": (0.1, True)}, "good", "Ahead of every cheaper model measured"),
        ({"popularity": (0.1, True), "ease": (-0.1, True)}, "mixed", "Ahead of popularity, behind EASE"),
        ({"popularity": (0.1, True), "ease": (-0.1, False)}, "mixed", "Ahead of popularity, level with EASE"),
        ({"popularity": (0.1, False)}, "mixed", "No better than popularity"),
        ({"popularity": (-0.1, True), "ease": (0.1, True)}, "bad", "Behind plain popularity"),
        ({}, "unknown", "Compared with nothing"),
    ],
)
def test_verdicts(comparisons: dict[str, tuple[float, bool]], level: str, headline: str) -> None:
    verdict = judged(measured(**comparisons), [])
    assert verdict[:2] == (level, headline)
    assert "25.0% are among the first 10 of 1,000 candidates (95% interval 20.0% to 30.0%)" in verdict.reason


def test_a_collapse_or_no_measurement_comes_first() -> None:
    collapse = {"name": "collapsed", "message": "everyone gets the same", "hint": "…"}
    assert judged(measured(popularity=(0.1, True)), [collapse])[:2] == ("bad", "The model has collapsed")
    assert judged(None, []).level == "unknown"


def test_measure_is_plain_and_whole(split: tuple[sl.Dataset, sl.Dataset], recommender: sl.Recommender) -> None:
    train, test = split
    found = measure(recommender.model, test, seen=train, baselines=["popularity"])
    assert json.loads(json.dumps(found)).keys() == found.keys()
    assert found["k"] == 2
    assert found["evaluation"]["pairs"] == 40
    assert set(found["evaluation"]["intervals"]) == {"model", "popularity"}
    assert [one["scorer"] for one in found["comparisons"]] == ["popularity"]
    assert {"query_history", "warm_cold", "country", "genres"} <= {one["name"] for one in found["segments"]}
    assert {one["scorer"] for one in found["segments"]} == {"model", "popularity"}
    held_out = dict(zip(found["held_out"]["queries"], found["held_out"]["candidates"], strict=True))
    assert len(held_out) == 40
    assert held_out["r0"] == ["b6"]  # step 6 of reader 0
    assert held_out["r13"] == ["b19"]  # 10 + (13 + 6) mod 10


def test_examples_stay_few(
    split: tuple[sl.Dataset, sl.Dataset], recommender: sl.Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shortlist.report.measured.EXAMPLE_CHOICES", 3)
    train, test = split
    found = measure(recommender.model, test, seen=train, baselines=["popularity"])["held_out"]
    assert [len(found[side]) for side in ("queries", "candidates")] == [3, 3]


def test_a_large_test_is_sampled_by_whole_queries(
    split: tuple[sl.Dataset, sl.Dataset], recommender: sl.Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shortlist.report.measured.FEWEST_QUERIES", 4)
    monkeypatch.setattr("shortlist.report.measured.SCORES", 100)  # 20 candidates: five queries
    train, _ = split
    found = measure(recommender.model, train, seen=train, baselines=["popularity"])
    assert found["sampled_from"] == 40
    assert found["evaluation"]["queries"] == 5
    assert found["evaluation"]["pairs"] == 5 * 6  # each with all six choices of the training part
    assert [len(chosen) for chosen in found["held_out"]["candidates"]] == [6] * 5
    monkeypatch.setitem(recommender.metadata, "measured", found)
    assert "30 held-out choices of 5 queries, evenly spread over the 40 of the test," in render(recommender)
