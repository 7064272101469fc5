"""A mixture served: lists by both sources, on disk and back, while candidates come and go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.recommender.saved import Change, forged, rewrite, setting

import shortlist as sl
from shortlist.errors import BundleError
from shortlist.recommender.manifest import FORMAT, PLAIN
from shortlist.sources import Added, Blend, Neighbours

FILMS, PEOPLE = 12, 9


def data() -> sl.Dataset:
    """9 people who chose four of 12 films each; of a tenth and of film 11 nothing but the id is known."""
    generator = np.random.default_rng(5)
    rows = [
        (f"p{one}", int(film), int(at))
        for one in range(PEOPLE)
        for at, film in enumerate(generator.permutation(11)[:4])
    ]
    frame = pl.DataFrame(rows, schema=["who", "film", "at"], orient="row")
    films = {"film": list(range(FILMS)), "year": [1990 + one for one in range(FILMS)]}
    queries = {"who": [*(f"p{one}" for one in range(PEOPLE)), "listed"]}
    return sl.Dataset(frame, "who", "film", timestamp="at", queries=queries, candidates=films)


def towers(train: sl.Dataset, **options: Any) -> sl.TwoTower:
    torch.manual_seed(0)
    model = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=4, **options), sl.Tower(sl.IntegerLookup("film"), dim=4))
    sl.fit(model, train, epochs=3, batch_size=16)
    return model


def mixture(heads: int = 1, share: float = 0.5) -> sl.Mixture:
    train = data()
    return sl.Mixture.of(towers(train, heads=heads), sl.Transitions().fit(train), train, share=share)


def pair(towers: sl.TwoTower, table: Neighbours, histories: Any, blend: Blend) -> sl.Mixture:
    weights = blend.weights
    return sl.Mixture([towers, table], histories, weights=weights.values, temperatures=weights.temperatures)


@pytest.fixture(scope="module", params=[1, 2], ids=["", "heads"])
def model(request: pytest.FixtureRequest) -> sl.Mixture:
    return mixture(request.param)


@pytest.fixture
def recommender(model: sl.Mixture) -> sl.Recommender:
    return sl.Recommender(model, sl.BruteForce(), data())


ASK = [*(f"p{one}" for one in range(PEOPLE)), "listed", "nobody"]


def answers(recommender: sl.Recommender, **options: Any) -> list[dict[str, Any]]:
    return recommender.recommend(ASK, k=FILMS, **options).to_dicts()


def test_both_sources_are_in_the_list(model: sl.Mixture) -> None:
    by_share = {}
    for share in (0.0, 0.5, 1.0):
        recommender = sl.Recommender(model.with_blend(Blend(share)), sl.BruteForce(), data())
        by_share[share] = [answer.ids for answer in recommender.recommend(ASK[:PEOPLE], k=3)]
    alone = sl.Recommender(model.towers, sl.BruteForce(), data())
    assert by_share[0.0] == [answer.ids for answer in alone.recommend(ASK[:PEOPLE], k=3)]
    assert by_share[0.5] != by_share[0.0] != by_share[1.0]


def test_who_is_known_and_who_is_not(recommender: sl.Recommender) -> None:
    known, listed, nobody, told = recommender.recommend(
        ["p0", "listed", "nobody", "told"], k=2, history=[[], [], [], [3, 4]]
    )
    assert (known.known, listed.known, nobody.known, told.known) == (True, False, False, False)
    assert known.sources == told.sources == ["model", "model"]
    assert listed.sources == nobody.sources == ["popularity", "popularity"]
    assert not {3, 4} & {*told.ids}


def test_what_is_chosen_now_counts_as_the_latest(model: sl.Mixture) -> None:
    # neighbours alone: film 0 leads to 1, what p0 chose before leads nowhere
    offsets = np.concatenate([[0], np.full(FILMS, 1)])
    table = Neighbours(offsets, np.array([11], np.int32), np.array([1], np.float32))
    alone = pair(model.towers, table, model.histories, Blend(1.0))
    recommender = sl.Recommender(alone, sl.BruteForce())
    assert recommender.recommend(["new"], k=1, history=[[0]])[0].ids == [11]
    assert recommender.recommend(["p0"], k=1, history=[[0]])[0].ids == [11]
    assert recommender.recommend(["new"], k=1, history=[[11]])[0].ids != [11]


@pytest.mark.parametrize("options", [
    {"allow": [1, 5, 9]}, {"deny": [0, 1, 2, 3]}, {"where": "year >= 1996"}, {"exclude": [[1, 2]] * len(ASK)},
    {"allow": []}, {"deny": list(range(FILMS))}, {"allow": [404]}, {"exclude_seen": False},
])  # fmt: skip
def test_lists_hold_what_is_eligible_and_are_never_short(recommender: sl.Recommender, options: dict[str, Any]) -> None:
    seen = {query: {*films} for query, films in data().interactions.group_by("who").agg("film").rows()}
    open_to_all = [one for one in range(FILMS) if one in options.get("allow", range(FILMS))]
    open_to_all = [
        one for one in open_to_all if one not in options.get("deny", ()) and ("where" not in options or one >= 6)
    ]
    for fallback in ((), ("popularity",)):
        served = sl.Recommender(recommender.model, sl.BruteForce(), data(), fallback=fallback)
        for found in served.recommend(ASK, k=FILMS + 5, **options):
            closed = set() if not options.get("exclude_seen", True) else seen.get(found.query, set())
            closed = closed | {*options.get("exclude", [[]])[0]}
            assert sorted(found.ids) == [one for one in open_to_all if one not in closed]


def test_a_bundle_answers_bit_for_bit(recommender: sl.Recommender, tmp_path: Path) -> None:
    before = answers(recommender)
    recommender.save(tmp_path / "a.shortlist")
    for mmap in (False, True):
        loaded = sl.Recommender.load(tmp_path / "a.shortlist", mmap=mmap)
        assert answers(loaded) == before
        assert (
            loaded.recommend(["new"], k=5, history=[[3]]).to_dicts()
            == recommender.recommend(["new"], k=5, history=[[3]]).to_dicts()
        )
        assert loaded.similar([0, 1], k=5).to_dicts() == recommender.similar([0, 1], k=5).to_dicts()
        assert loaded.fingerprint == recommender.fingerprint
    again = loaded.model
    assert isinstance(again, sl.Mixture)
    assert again.blend == recommender.model.blend
    np.testing.assert_array_equal(again.histories.values, recommender.model.histories.values)
    assert answers(sl.Recommender(again, sl.BruteForce(), data())) == before
    assert loaded.towers is again.towers
    loaded.save(tmp_path / "b.shortlist")
    assert answers(sl.Recommender.load(tmp_path / "b.shortlist")) == before


def test_the_fingerprint_is_of_all_that_was_learned(model: sl.Mixture) -> None:
    table, train = model.neighbours, data()
    turned = sl.Lists if hasattr(sl, "Lists") else type(model.histories)
    others = [
        model.towers,
        model.with_blend(Blend(0.4)),
        pair(model.towers, Neighbours(table.offsets, table.columns, table.weights * 2), model.histories, model.blend),
        pair(model.towers, sl.Cooccurrence().fit(train), model.histories, model.blend),
        pair(model.towers, table, turned(model.histories.offsets, model.histories.values[::-1].copy()), model.blend),
    ]
    prints = {sl.Recommender(one).fingerprint for one in [model, *others]}
    assert len(prints) == 6
    assert sl.Recommender(model).fingerprint in prints


def test_a_bundle_of_towers_alone_has_no_neighbours_and_format_1_is_read(tmp_path: Path) -> None:
    recommender = sl.Recommender(towers(data()), sl.BruteForce(), data(), cold_start="unknown")
    recommender.save(tmp_path / "a.shortlist")
    manifest = json.loads((tmp_path / "a.shortlist/manifest.json").read_text())
    assert (manifest["format"], manifest["neighbours"]) == (2, None) == (PLAIN, None)
    assert "neighbours.safetensors" not in manifest["files"]

    def as_format_1(manifest: dict[str, Any]) -> None:
        del manifest["neighbours"]
        manifest["format"] = 1

    rewrite(tmp_path / "a.shortlist", as_format_1)
    assert answers(sl.Recommender.load(tmp_path / "a.shortlist")) == answers(recommender)
    rewrite(tmp_path / "a.shortlist", lambda manifest: manifest.update(format=FORMAT + 1))
    with pytest.raises(BundleError, match="reads up to 3"):
        sl.Recommender.load(tmp_path / "a.shortlist")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mixture") / "a.shortlist"
    sl.Recommender(mixture(), sl.BruteForce(), data()).save(path)
    return path


DAMAGE: dict[str, Change] = {
    "column beyond": setting("columns", 0, FILMS),
    "column below": setting("columns", 0, -1),
    "falling offsets": setting("offsets", 1, 10_000),
    "offsets from 1": setting("offsets", 0, 1),
    "no weight": setting("weights", 0, 0),
    "NaN": setting("weights", 0, np.nan),
    "history beyond": setting("history_values", 0, FILMS),
    "falling histories": setting("history_offsets", 1, 10_000),
    "another weight": setting("weights", 0, 123.0),
    "fewer candidates": lambda arrays: arrays.update(offsets=np.delete(arrays["offsets"], 1)),
    "fewer queries": lambda arrays: arrays.update(history_offsets=np.delete(arrays["history_offsets"], 1)),
    "no offsets": lambda arrays: arrays.update(offsets=arrays["offsets"][:0]),
    "fewer weights": lambda arrays: arrays.update(weights=arrays["weights"][1:]),
    "columns as text": lambda arrays: arrays.update(columns=arrays["columns"].astype(np.float32)),
    "a matrix": lambda arrays: arrays.update(weights=arrays["weights"][None]),
    "no columns": lambda arrays: arrays.pop("columns"),
    "no histories": lambda arrays: arrays.pop("history_values"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_neighbours_that_do_not_fit_are_refused(saved: Path, tmp_path: Path, damage: str) -> None:
    place = forged(saved, tmp_path / "b.shortlist", "neighbours.safetensors", DAMAGE[damage])
    with pytest.raises(BundleError):
        sl.Recommender.load(place)


@pytest.mark.parametrize(
    "entry", [{"age": 0}, {"age": 2}, {"length": 0}, {"share": 2}, {"temperature": 0}, {"kind": 1}, {"more": 1}]
)
def test_settings_that_cannot_be_are_refused(saved: Path, tmp_path: Path, entry: dict[str, Any]) -> None:
    place = forged(saved, tmp_path / "b.shortlist", "neighbours.safetensors", lambda arrays: None)
    assert len(sl.Recommender.load(place).candidate_ids) == FILMS
    rewrite(place, lambda manifest: manifest["neighbours"].update(entry))
    with pytest.raises(BundleError):
        sl.Recommender.load(place)


def test_a_bit_that_changed_is_refused(saved: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(saved, tmp_path / "b.shortlist")
    file = tmp_path / "b.shortlist/neighbours.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(BundleError, match=r"neighbours\.safetensors"):
        sl.Recommender.load(tmp_path / "b.shortlist")


def test_it_is_served_without_torch(saved: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys; sys.modules['torch'] = None; sys.modules['scipy'] = None\n"
        f"import shortlist as sl; print(sl.Recommender.load({str(saved)!r}).recommend(['p0'], k=3)[0].ids)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    expected = sl.Recommender.load(saved).recommend(["p0"], k=3)[0].ids
    assert (done.stdout.strip(), done.returncode) == (str(expected), 0), done.stderr


def test_candidates_come_and_go(recommender: sl.Recommender, tmp_path: Path) -> None:
    recommender.upsert(pl.DataFrame({"film": [100, 3], "year": [2020, 1993]}))
    assert {100} <= {*recommender.recommend(["p0"], k=20)[0].ids}
    assert recommender.recommend(["p0"], k=1, where="year = 2020")[0].ids == [100]
    assert (
        recommender.recommend(["new"], k=3, history=[[100]])[0].sources == ["model"] * 3
    )  # a history without neighbours
    gone = recommender.recommend(["p0"], k=2)[0].ids
    assert recommender.delete([*gone, 404]) == 2
    for found in recommender.recommend(ASK, k=20):
        assert not {*found.ids} & {*gone}
        assert len(found.ids) == FILMS + 1 - 2 - len({*_seen(found.query)} - {*gone})
    assert not {*recommender.similar([100], k=20)[0].ids} & {100, *gone}
    before = answers(recommender)
    recommender.save(tmp_path / "a.shortlist")
    loaded = sl.Recommender.load(tmp_path / "a.shortlist")
    assert _without_scores(answers(loaded)) == _without_scores(before)
    assert (len(loaded.candidate_ids), len(loaded.model.neighbours)) == (FILMS - 1, FILMS - 1)
    recommender.upsert(pl.DataFrame({"film": [gone[0]], "year": [1990]}))  # it comes back, with its neighbours
    assert gone[0] in recommender.recommend(["p0"], k=20)[0].ids


def _seen(query: str) -> list[int]:
    return data().interactions.filter(pl.col("who") == query)["film"].to_list()


def _without_scores(found: list[dict[str, Any]]) -> list[list[Any]]:
    return [[item["id"] for item in one["items"]] for one in found]


@given(st.lists(st.sampled_from(range(FILMS)), max_size=6, unique=True))
def test_a_deleted_candidate_tells_nothing_before_and_after_saving(gone: list[int]) -> None:
    # live lists are those of the recommender that is saved, whatever was deleted, also of what queries chose
    from shortlist.recommender.live import folded

    recommender = sl.Recommender(mixture(), sl.BruteForce(), data())
    recommender.delete(gone)
    saved = sl.Recommender(folded(recommender.served))
    found = [recommender.recommend(ASK[:PEOPLE], k=FILMS), saved.recommend(ASK[:PEOPLE], k=FILMS)]
    for live, after in zip(*found, strict=True):
        assert live.ids == after.ids
        assert [item.score for item in live] == pytest.approx([item.score for item in after])


def test_similar_is_by_both_sources(model: sl.Mixture) -> None:
    recommender = sl.Recommender(model.with_blend(Blend(1.0)), sl.BruteForce(), data())
    table = model.neighbours
    row = max(range(FILMS), key=lambda one: table.offsets[one + 1] - table.offsets[one])
    known = slice(table.offsets[row], table.offsets[row + 1])
    found = recommender.similar([row], k=FILMS)[0].ids
    order = np.lexsort((table.columns[known], -table.weights[known]))
    expected = [int(one) for one in table.columns[known][order] if one != row]
    assert found[: len(expected)] == expected
    assert sorted(found) == [one for one in range(FILMS) if one != row]


@pytest.mark.parametrize("options", [{}, {"exclude_seen": False}, {"where": "year >= 1996"}])
def test_everyone_gets_what_each_would(recommender: sl.Recommender, tmp_path: Path, options: dict[str, Any]) -> None:
    recommender.delete([2])
    recommender.recommend_all(tmp_path / "all", 5, **options)
    found = pl.read_parquet(tmp_path / "all/lists-00000.parquet")
    alone = copy_without_fallback(recommender)
    people = [f"p{one}" for one in range(PEOPLE)]
    expected = [
        (one.query, item.id, rank, item.score)
        for one in alone.recommend(people, 5, **options)
        for rank, item in enumerate(one, start=1)
    ]
    assert found.rows() == expected


def copy_without_fallback(recommender: sl.Recommender) -> sl.Recommender:
    other = sl.Recommender(recommender.served)
    other.fallback = ()
    return other


@pytest.mark.parametrize("films", [1, 2, 3])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_catalogues_of_one_to_three(films: int, share: float, tmp_path: Path) -> None:
    rows = {"who": ["a", "b", "a", "b"], "film": [0, 0, films - 1, films // 2], "at": [0, 1, 2, 3]}
    train = sl.Dataset(rows, "who", "film", timestamp="at", candidates={"film": list(range(films))})
    for source in (sl.Transitions(), sl.Cooccurrence(), sl.EASE()):
        model = sl.Mixture.of(sl.popularity(train), source.fit(train), train, share=share)
        recommender = sl.Recommender(model, seen=train)
        for k in (1, 5):
            for found in recommender.recommend(["a", "b", "new"], k=k, exclude_seen=False):
                assert len({*found.ids}) == len(found.ids) == min(k, films)
        recommender.save(tmp_path / f"{type(source).__name__}.shortlist")
        sl.Recommender.load(tmp_path / f"{type(source).__name__}.shortlist")


def test_an_approximate_index_finds_what_neighbours_know(model: sl.Mixture) -> None:
    recommender = sl.Recommender(model.with_blend(Blend(0.9)), sl.ScaNN(), data())
    exact = sl.Recommender(model.with_blend(Blend(0.9)), sl.BruteForce(), data())
    assert _without_scores(answers(recommender)) == _without_scores(answers(exact))


def test_a_source_is_kept_as_it_was_given(recommender: sl.Recommender, model: sl.Mixture) -> None:
    near = recommender.served.state.near
    assert isinstance(near, Added)
    assert (near.tables, near.histories, near.pair) == ((model.neighbours,), model.histories, model.blend)
    assert sl.Recommender(model.towers).served.state.near is None
