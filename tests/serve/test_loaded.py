"""A bundle that answers, with a policy of the server's own for queries that training never saw."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import shortlist as sl
from shortlist.recommender.live import changed
from shortlist.recommender.pipeline import recommend
from shortlist.serve import loaded as module
from shortlist.serve.loaded import Loaded
from shortlist.serve.lookups import _note


def test_the_server_says_how_new_queries_are_answered(bundles: Path) -> None:
    own = Loaded.read(bundles / "one").served
    for policy, source in (("popularity", "popularity"), ("unknown", "model")):
        served = Loaded.read(bundles / "one", cold_start=policy).served
        assert served.policy.cold_start == policy
        assert recommend(served, ["nobody ever"], k=1)[0].sources == [source]
    assert Loaded.read(bundles / "one").served.policy.cold_start == own.policy.cold_start


def test_the_map_of_counts_is_by_their_neighbours(tmp_path: Path) -> None:
    """Two groups of three films, of which nobody chose films of both: they are on two sides of the map."""
    pairs = [(f"{group}{person}", f"{group}{film}") for group in "ab" for person in range(3) for film in range(3)]
    data = sl.Dataset({"user": [one for one, _ in pairs], "film": [one for _, one in pairs]}, "user", "film")
    model, _ = sl.recipes.load({"towers": "popularity", "neighbours": {"kind": "cooccurrence"}}).train(data)
    sl.Recommender(model, index=sl.BruteForce(), seen=data).save(tmp_path / "counts.shortlist")
    loaded = Loaded.read(tmp_path / "counts.shortlist")
    rows, x, _, shown = loaded.positions
    sides = {film: bool(place > 0) for film, place in zip(loaded.state.candidates["film"].gather(rows), x, strict=True)}
    assert sides["a0"] == sides["a1"] == sides["a2"] != sides["b0"] == sides["b1"] == sides["b2"]
    assert shown is None
    assert _note(None, None).startswith("Candidates that are chosen together")
    assert _note(None, (2, 6)).endswith("neighbours. 2 candidates of 6, at most 20,000.")


def test_values_of_columns_are_made_for_those_who_ask_and_not_for_the_catalogue(
    bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond four thousand candidates, here beyond one; after each change too. A deletion leaves those that are made."""
    made: list[int] = []
    whole = pl.Series.to_list
    monkeypatch.setattr(pl.Series, "to_list", lambda column: (made.append(len(column)), whole(column))[1])
    monkeypatch.setattr(module, "AT_ONCE", 1)
    loaded = Loaded.read(bundles / "one")
    made.clear()
    names = ("full_name", "kind", "stock")
    alpha = {"full_name": "Alpha", "kind": "x", "stock": 3}
    assert loaded.values_of(["a", "c"], names) == [alpha, {"full_name": None, "kind": "x", "stock": 5}]
    table = pl.DataFrame({"what": ["c", "e"], "full_name": ["Gamma", "Epsilon"], "kind": ["y", "z"], "stock": [6, 9]})
    more = loaded.changed(changed(loaded.served, table))
    less = more.changed(changed(more.served, None, ["b"]))
    for one in (more, less):
        assert "b" in one.state.candidate_ids.row_of or one is less
    made.clear()
    for one in (more, less):
        assert one.values_of(["e", "a", "c"], names) == [
            {"full_name": "Epsilon", "kind": "z", "stock": 9},
            alpha,
            {"full_name": "Gamma", "kind": "y", "stock": 6},
        ]
    assert max(made, default=0) <= 1
    assert loaded.values_of(["a"], names) == [alpha]
    assert less._listed is more._listed
    assert more._listed is not loaded._listed
