"""What there is to tune: backends by name, builds, and the values of a setting at search."""

from __future__ import annotations

from itertools import pairwise

import pytest

from shortlist.errors import ConfigError
from shortlist.index import Faiss, Quantized, ScaNN
from shortlist.tuning import spaces


@pytest.fixture(autouse=True)
def both_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "quantized_trouble", lambda: None)
    monkeypatch.setattr(spaces, "scann_trouble", lambda: None)
    monkeypatch.setattr(spaces, "faiss_trouble", lambda: None)


def test_backends_by_name() -> None:
    assert spaces.chosen(None) == spaces.Chosen(("exact", "quantized", "scann", "ivfpq", "hnsw"), {})
    assert spaces.chosen(["hnsw", "faiss"]).names == ("hnsw", "ivfpq")
    with pytest.raises(ConfigError, match="did you mean 'scann'"):
        spaces.chosen(["scan"])


def test_what_cannot_run_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "scann_trouble", lambda: "this processor lacks avx2")
    monkeypatch.setattr(spaces, "faiss_trouble", lambda: "the package 'faiss-cpu' is not installed")
    monkeypatch.setattr(spaces, "quantized_trouble", lambda: "the package 'turbovec' is not installed")
    found = spaces.chosen(["quantized", "scann", "hnsw"])
    assert found.names == ()
    assert found.missing == {
        "quantized": "the package 'turbovec' is not installed (pip install \"shortlist[quantized]\")",
        "scann": "this processor lacks avx2 (another backend will do)",
        "hnsw": "the package 'faiss-cpu' is not installed (pip install \"shortlist[faiss]\")",
    }


@pytest.mark.parametrize(
    ("n", "leaves"), [(1000, [None]), (10_000, [None, 100]), (40_000, [400, 800])]
)  # the root, twice and four times it
def test_builds_of_scann_follow_the_number_of_candidates(n: int, leaves: list[int | None]) -> None:
    assert [one.settings()["leaves"] for one in spaces.builds("scann", n, None)] == leaves


def test_builds_of_faiss() -> None:
    assert spaces.builds("ivfpq", 1000, None) == []  # too few to part
    assert [one.settings()["lists"] for one in spaces.builds("ivfpq", 10_000, None)] == [200]
    (graph,) = spaces.builds("hnsw", 1000, None)
    assert spaces.backend_of(graph) == "hnsw"
    assert spaces.backend_of(ScaNN()) == "scann"


def test_what_a_template_gives_stays() -> None:
    assert [one.settings()["leaves"] for one in spaces.builds("scann", 40_000, ScaNN(leaves=30))] == [30, 30]
    (one,) = spaces.builds("scann", 40_000, ScaNN(leaves=30, dims_per_code=2))
    assert (one.settings()["leaves"], one.settings()["dims_per_code"]) == (30, 2)


@pytest.mark.parametrize("n", [300, 10_000, 40_000])
@pytest.mark.parametrize("searched", [1, 50, 150, 500, 20_000])
def test_a_template_that_searches_many_partitions_is_built_with_as_many(n: int, searched: int) -> None:
    free = spaces.builds("scann", n, ScaNN())
    given = spaces.builds("scann", n, ScaNN(leaves_to_search=searched))
    for plain, one in zip(free, given, strict=True):
        leaves = plain.settings()["leaves"]
        assert one.settings() == {
            **plain.settings(),
            "leaves": None if leaves is None else max(leaves, searched),
            "leaves_to_search": searched,
        }


def test_axes_rise_from_the_least_to_the_most() -> None:
    first, second = spaces.axes(ScaNN(leaves=100), 40_000, 10)
    assert (first.name, first.values[0], first.values[-1]) == ("leaves_to_search", 1, 100)
    assert second is not None
    assert (second.name, second.values[0], second.values[-1]) == ("reorder", 10, 1200)
    for axis, step in ((first, 1.25), (second, 1.6)):
        assert all(a < b <= max(a + 1, a * step) for a, b in pairwise(axis.values))
    many, _ = spaces.axes(ScaNN(leaves=800), 40_000, 10)
    assert many.values[-1] == 200  # a quarter of many
    fixed, _ = spaces.axes(ScaNN(leaves=100, leaves_to_search=7), 40_000, 10)
    assert fixed.values == (7,)


def test_quantized_is_built_with_both_widths_and_has_one_axis() -> None:
    assert [one.settings()["bits"] for one in spaces.builds("quantized", 1000, None)] == [4, 2]
    assert [one.settings()["bits"] for one in spaces.builds("quantized", 1000, Quantized(bits=2))] == [2]
    assert spaces.backend_of(Quantized()) == "quantized"
    depth, none = spaces.axes(Quantized(), 40_000, 10)
    assert none is None
    assert (depth.name, depth.values[0], depth.values[-1]) == ("reorder", 10, 1200)


def test_a_graph_has_one_axis() -> None:
    effort, none = spaces.axes(Faiss("hnsw"), 600, 10)
    assert none is None
    assert (effort.name, effort.values[0], effort.values[-1]) == ("search_effort", 10, 600)
