"""The cost of an approximate index is visible."""

from __future__ import annotations

import shortlist as sl
from shortlist.report import measure, render


def test_an_approximate_index_stands_beside_the_model(
    split: tuple[sl.Dataset, sl.Dataset], recommender: sl.Recommender
) -> None:
    train, test = split
    served = sl.Recommender(recommender.model, index=sl.Faiss(), seen=train)
    found = measure(served.model, test, seen=train, baselines=["popularity"], index=served.index)
    assert set(found["evaluation"]["index_recall"]) == {"seen_in", "seen_out"}
    assert [one["scorer"] for one in found["comparisons"]] == ["index", "popularity"]
    assert {one["scorer"] for one in found["segments"]} == {"model", "popularity"}
    page = render(served, test, baselines=["popularity"])
    recall = found["evaluation"]["index_recall"]["seen_out"]["recall_2"]
    assert f"The index finds {recall:.1%} of the model's exact top 2." in page
    exact = measure(served.model, test, seen=train, baselines=["popularity"], index=recommender.index)
    assert "index" not in exact["evaluation"]
