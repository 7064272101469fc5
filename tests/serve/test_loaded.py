"""A bundle that answers, with a policy of the server's own for queries that training never saw."""

from __future__ import annotations

from pathlib import Path

from shortlist.recommender.pipeline import recommend
from shortlist.serve.loaded import Loaded


def test_the_server_says_how_new_queries_are_answered(bundles: Path) -> None:
    own = Loaded.read(bundles / "one").served
    for policy, source in (("popularity", "popularity"), ("unknown", "model")):
        served = Loaded.read(bundles / "one", cold_start=policy).served
        assert served.policy.cold_start == policy
        assert recommend(served, ["nobody ever"], k=1)[0].sources == [source]
    assert Loaded.read(bundles / "one").served.policy.cold_start == own.policy.cold_start
