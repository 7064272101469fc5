"""A mixture with a second stage as it is saved, loaded and served: lists, changes, columns of a request, and damage."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.recommender.saved import Change, forged, rewrite, setting
from tests.sources.plain_stage import network_of, stage_of

import shortlist as sl
from shortlist.errors import BundleError, ConfigError, DataError
from shortlist.recommender.live import folded

PEOPLE, FILMS, DEPTH = 12, 14, 6
ASK = [*(f"p{one}" for one in range(PEOPLE)), "listed"]


def data() -> sl.Dataset:
    """Each of 12 people chose four of 14 films, in time; one more is in the table alone."""
    rng = np.random.default_rng(3)
    rows = [
        (f"p{one}", int(film), at) for one in range(PEOPLE) for at, film in enumerate(rng.permutation(FILMS - 1)[:4])
    ]
    frame = pl.DataFrame(rows, schema=["who", "film", "at"], orient="row")
    films = pl.DataFrame({
        "film": range(FILMS), "genres": [[["x"], ["x", "y"], [], None, ["z"]][one % 5] for one in range(FILMS)],
        "year": [1990.0 + one * 5 % 13 for one in range(FILMS)],
    })  # fmt: skip
    people = pl.DataFrame({
        "who": ASK, "land": ["kr" if one % 2 else "fi" for one in range(PEOPLE + 1)],
        "age": [18 + 7 * one % 45 for one in range(PEOPLE)] + [None], "born": [None, *range(1990, 1990 + PEOPLE)],
    }).with_columns(born=pl.date("born", 1, 1))  # fmt: skip
    return sl.Dataset(frame, "who", "film", timestamp="at", queries=people, candidates=films)


def mixture(lists: bool = True) -> sl.Mixture:
    train = data()
    one = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=3), sl.Tower(sl.IntegerLookup("film"), dim=3))
    sl.als(one, train, epochs=2)
    sources: list[Any] = [one, sl.popularity(train), sl.Transitions().fit(train)]
    sources += [sl.Popular(by="land", least=1).fit(train), sl.Newest("year").fit(train)] if lists else []
    first = sl.Mixture(sources, train, temperatures=0.5)
    return first.with_stage(stage_of(train, len(sources), DEPTH), train)


MODEL = mixture()


@pytest.fixture
def recommender() -> sl.Recommender:
    return sl.Recommender(MODEL, sl.BruteForce(), data(), cold_start="unknown", fallback=())


def answers(recommender: sl.Recommender, **options: Any) -> list[dict[str, Any]]:
    return recommender.recommend([*ASK, "nobody"], k=FILMS, **options).to_dicts()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("staged") / "a.shortlist"
    sl.Recommender(MODEL, sl.BruteForce(), data(), cold_start="unknown", fallback=()).save(path)
    return path


def test_a_bundle_answers_bit_for_bit(recommender: sl.Recommender, saved: Path, tmp_path: Path) -> None:
    before = answers(recommender)
    assert before != answers(sl.Recommender(MODEL.with_stage(None, data()), sl.BruteForce(), data(), cold_start="unknown", fallback=()))  # fmt: skip
    for options in ({}, {"mmap": True}, {"trusted": False}):
        loaded = sl.Recommender.load(saved, **options)
        assert answers(loaded) == before
        assert answers(loaded, history=[[3]] * 14) == answers(recommender, history=[[3]] * 14)
        assert loaded.similar([0, 1], k=5).to_dicts() == recommender.similar([0, 1], k=5).to_dicts()
        assert loaded.fingerprint == recommender.fingerprint
    again = loaded.model
    assert isinstance(again, sl.Mixture)
    assert answers(sl.Recommender(again, sl.BruteForce(), data(), cold_start="unknown", fallback=())) == before
    loaded.save(tmp_path / "b.shortlist")
    assert answers(sl.Recommender.load(tmp_path / "b.shortlist")) == before


def test_what_a_stage_counted_is_its_own(tmp_path: Path) -> None:
    """Of other choices than the towers': a loaded bundle has those of the stage."""
    train = data()
    some = train.with_interactions(train.interactions[::2])
    first = sl.Mixture([sl.popularity(some), sl.Transitions().fit(some)], some)
    recommender = sl.Recommender(first.with_stage(stage_of(train, 2, DEPTH), train), sl.BruteForce())
    recommender.save(tmp_path / "a.shortlist")
    assert answers(sl.Recommender.load(tmp_path / "a.shortlist")) == answers(recommender)


def test_the_fingerprint_is_of_the_second_stage_too() -> None:
    stage = MODEL.stage
    assert stage is not None
    other = replace(stage, network=stage.network._replace(bias=stage.network.bias + 1))
    made = [MODEL.with_stage(one, data()) for one in (stage, other, replace(stage, depth=5), None)]
    assert len({sl.Recommender(one, sl.BruteForce()).fingerprint for one in made}) == 4


def test_a_stage_of_another_mixture_or_other_tables_is_refused() -> None:
    stage, train = MODEL.stage, data()
    assert stage is not None
    with pytest.raises(ConfigError, match="behind 1 source"):
        sl.Mixture([sl.popularity(train)], train, stage=stage)
    bare = sl.Dataset(train.interactions, "who", "film", timestamp="at", queries=train.queries[["who"]], candidates=train.candidates)  # fmt: skip
    with pytest.raises(ConfigError, match="'land', which the towers' table of queries lacks"):
        sl.Mixture([sl.popularity(bare)], bare, stage=stage_of(train, 1, 3))
    with pytest.raises(ConfigError, match="quotas and a second stage"):
        sl.Mixture([*MODEL.sources], train, stage=stage, quotas=[0.1, 0, 0, 0, 0])
    assert MODEL.with_weights(MODEL.weights).stage is None


@pytest.mark.parametrize("options", [
    {"allow": [1, 5, 9]}, {"deny": [0, 1, 2, 3]}, {"where": "year >= 1996"}, {"exclude": [[1, 2]] * 14}, {"allow": []},
    {"exclude_seen": False}, {"history": [[2, 7]] * 14},
])  # fmt: skip
def test_lists_hold_what_is_eligible_and_are_never_short(recommender: sl.Recommender, options: dict[str, Any]) -> None:
    whole = recommender.recommend([*ASK, "nobody"], k=FILMS + 5, **options)
    plain = sl.Recommender(MODEL.with_stage(None, data()), sl.BruteForce(), data(), cold_start="unknown", fallback=())
    for k in (1, 4, DEPTH, FILMS):
        first = plain.recommend([*ASK, "nobody"], k=FILMS + 5, **options)
        for found, every, unordered in zip(
            recommender.recommend([*ASK, "nobody"], k=k, **options), whole, first, strict=True
        ):
            assert found.ids == every.ids[:k]
            assert {*every.ids[:DEPTH]} == {*unordered.ids[:DEPTH]}
            assert every.ids[DEPTH:] == unordered.ids[DEPTH:]
            assert every.scores == sorted(every.scores, reverse=True)


@pytest.mark.parametrize(
    "options", [{}, {"exclude_seen": False}, {"history": [[1, 9]] * 14}, {"exclude": [[1, 2]] * 14}]
)
def test_the_score_of_a_candidate_is_that_of_its_list(recommender: sl.Recommender, options: dict[str, Any]) -> None:
    asked = [*ASK, "nobody"]
    scores = recommender.score(asked, [*range(FILMS), 404], **options)
    assert np.isfinite(scores[:, :FILMS]).all()
    for number, found in enumerate(recommender.recommend(asked, k=FILMS, **options)):
        assert [float(scores[number, film]) for film in found.ids] == found.scores
    everything = recommender.score(asked, range(FILMS), exclude=[[*range(FILMS)]] * 14)
    assert everything.tolist() == recommender.score(asked, range(FILMS), exclude_seen=False).tolist()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(range(FILMS)), max_size=8, unique=True), st.booleans())
def test_live_lists_are_those_of_the_recommender_that_is_saved(gone: list[int], comes: bool) -> None:
    recommender = sl.Recommender(MODEL, sl.BruteForce(), data(), cold_start="unknown", fallback=())
    if comes:
        recommender.upsert(pl.DataFrame({"film": [100, 5], "year": [1995.0, 2001.0], "genres": [["y", "new"], None]}))
    recommender.delete(gone)
    after = sl.Recommender(folded(recommender.served))
    for one, other in zip(recommender.recommend(ASK, k=FILMS), after.recommend(ASK, k=FILMS), strict=True):
        assert one.ids == other.ids
        assert one.scores == pytest.approx(other.scores, rel=1e-5, abs=1e-5)


def test_candidates_come_and_go_and_are_saved(recommender: sl.Recommender, tmp_path: Path) -> None:
    recommender.upsert(pl.DataFrame({"film": [100, 3], "year": [2020.0, 1993.0], "genres": [["z"], ["x"]]}))
    assert 100 in recommender.recommend(["p0"], k=20)[0].ids
    gone = recommender.recommend(["p0"], k=2)[0].ids
    assert recommender.delete(gone) == 2
    recommender.save(tmp_path / "a.shortlist")
    loaded = sl.Recommender.load(tmp_path / "a.shortlist")
    before = recommender.recommend(ASK, k=20)
    for one, other in zip(before, loaded.recommend(ASK, k=20), strict=True):
        assert one.ids == other.ids
        assert not {*one.ids} & {*gone}
    assert isinstance(loaded.model, sl.Mixture)
    recommender.upsert(pl.DataFrame({"film": [gone[0]], "year": [1990.0], "genres": [None]}))
    assert gone[0] in recommender.recommend(["p0"], k=20)[0].ids


def test_a_requests_own_columns_take_the_place_of_stored_ones(saved: Path, recommender: sl.Recommender) -> None:
    people = data().queries
    for one in (recommender, sl.Recommender.load(saved)):
        plain = one.recommend(["p0", "p1"], k=FILMS).to_dicts()
        for name in ("land", "age", "born"):
            same = [{"who": who, name: people.filter(who=who)[name][0]} for who in ("p0", "p1")]
            assert one.recommend(same, k=FILMS).to_dicts() == plain
        other = [{"who": "p0", "age": 60}, {"who": "p1"}]
        found = one.recommend(other, k=FILMS).to_dicts()
        assert found[1] == plain[1]
        assert found[0]["items"] != plain[0]["items"]
        scores = one.score(other, range(FILMS))
        assert [float(scores[0, item["id"]]) for item in found[0]["items"]] == [
            item["score"] for item in found[0]["items"]
        ]
        assert one.recommend([{"who": "new", "age": 60, "land": "kr"}], k=3)[0].sources == ["model"] * 3


@pytest.mark.parametrize("wrong", [
    {"age": "old"}, {"age": [30]}, {"age": True}, {"land": 3}, {"land": ["kr", "fi"]}, {"born": 1990}, {"born": "1990"},
])  # fmt: skip
def test_values_of_another_type_are_refused(recommender: sl.Recommender, wrong: dict[str, Any]) -> None:
    name = next(iter(wrong))
    for method in (lambda asked: recommender.recommend(asked, k=3), lambda asked: recommender.score(asked, [1])):
        with pytest.raises(DataError, match=f"column '{name}' (is|of the queries is) of type"):
            method([{"who": "p0", **wrong}])


def test_rules_and_reasons(recommender: sl.Recommender) -> None:
    rules = sl.Rerank(
        diversify=0.3, at_most={"year": 1}, pin={1: 7}, boost={"year > 1995": 0.5}, explore=0.2, explore_rarer_than=9
    )
    for found in recommender.recommend(ASK, k=5, rerank=rules, exclude_seen=False, explain=True):
        assert found.ids[0] == 7
        assert len({*found.ids}) == 5
        for reason in found.reasons:
            assert sum(reason.shares.values()) == pytest.approx(1)
    plain = recommender.recommend(ASK, k=5)
    for one, other in zip(plain, recommender.recommend(ASK, k=5, rerank=sl.Rerank(pin={14: 7})), strict=True):
        assert one.ids == other.ids
        assert one.scores == pytest.approx(other.scores)


def test_everyone_gets_what_each_would(recommender: sl.Recommender, tmp_path: Path) -> None:
    recommender.recommend_all(tmp_path / "all", 5)
    found = pl.read_parquet(tmp_path / "all/lists-00000.parquet")
    expected = [
        (one.query, item.id, rank, item.score)
        for one in recommender.recommend(ASK[:PEOPLE], 5)
        for rank, item in enumerate(one, start=1)
    ]
    assert found.rows() == expected


def test_it_is_exported_and_served_without_torch(saved: Path, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None; sys.modules['scipy'] = None\n"
        f"import shortlist as sl; print(sl.Recommender.load({str(saved)!r}).recommend(['p0'], k=3)[0].ids)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    expected = sl.Recommender.load(saved).recommend(["p0"], k=3)[0].ids
    assert (done.stdout.strip(), done.returncode) == (str(expected), 0), done.stderr


def test_figures_are_of_the_lists_that_are_served(recommender: sl.Recommender) -> None:
    """The place of each held-out film in the exact list is its rank."""
    train = data()
    chosen = dict(train.interactions.group_by("who").agg("film").rows())
    films = [
        [one for one in range(FILMS - 1) if one not in chosen[who]][number % 9]
        for number, who in enumerate(ASK[:PEOPLE])
    ]
    tables = {"queries": train.queries, "candidates": train.candidates}
    test = sl.Dataset({"who": ASK[:PEOPLE], "film": films}, "who", "film", **tables)
    figures = sl.evaluate(MODEL, test, seen=train, ks=(1, 3, DEPTH, 10), metrics=["top"], baselines=()).to_dict()[
        "model"
    ]
    for seen in (True, False):
        lists = recommender.recommend(ASK[:PEOPLE], k=FILMS, exclude_seen=seen)
        places = [found.ids.index(film) for found, film in zip(lists, films, strict=True)]
        for k in (1, 3, DEPTH, 10):
            figure = figures["seen_out" if seen else "seen_in"][f"top_{k}"]
            assert figure == pytest.approx(sum(place < k for place in places) / PEOPLE), (seen, k)


def test_an_index_is_tuned_behind_it(recommender: sl.Recommender) -> None:
    assert recommender.ann_overlap(k=5) == 1.0


ARRAYS = {
    "network.mean": (0, np.nan), "network.deviation": (0, 0), "network.linear": (0, np.inf), "network.inner": ((0, 0), np.nan),
    "network.bias": (0, np.nan), "network.out": (0, np.nan), "counts": (0, -1), "taste-0.shares": (0, 0),
    "taste-1.shares": (0, np.inf), "liking-0.offsets": (1, 10_000), "liking-0.rows": (0, FILMS), "liking-0.often": (0, np.nan),
    "liking-0.sizes": (0, -1), "liking-1.offsets": (0, 1), "liking-1.rows": (0, -1), "liking-1.often": (0, -1),
    "liking-2.sizes": (0, np.nan),
}  # fmt: skip
DAMAGE: dict[str, Change] = {
    f"{name} {at}": setting(f"stage.{name}", at, value) for name, (at, value) in ARRAYS.items()
}  # type: ignore[arg-type]
for _name in ARRAYS:
    _key = f"stage.{_name}"
    DAMAGE |= {
        f"no {_name}": lambda arrays, key=_key: arrays.pop(key),
        f"{_name} longer": lambda arrays, key=_key: arrays.update(
            {key: np.concatenate([arrays[key], arrays[key][-1:]])}
        ),
        f"{_name} of another type": lambda arrays, key=_key: arrays.update({key: arrays[key].astype(np.int16)}),
        f"{_name} as one number": lambda arrays, key=_key: arrays.update(
            {key: arrays[key].reshape(-1)[:1].reshape(())}
        ),
        f"{_name} in other dimensions": lambda arrays, key=_key: arrays.update({key: arrays[key][None]}),
        f"{_name} empty": lambda arrays, key=_key: arrays.update({key: arrays[key][:0]}),
    }


@pytest.mark.parametrize("damage", DAMAGE)
def test_arrays_that_do_not_fit_are_refused(saved: Path, tmp_path: Path, damage: str) -> None:
    place = forged(saved, tmp_path / "b.shortlist", "sources.safetensors", DAMAGE[damage])
    with pytest.raises(BundleError):
        sl.Recommender.load(place)


@pytest.mark.parametrize("change", [
    lambda one: one.update(depth=0), lambda one: one.update(depth=10**9), lambda one: one.update(length=0),
    lambda one: one.update(total=-1), lambda one: one.update(more=1), lambda one: one.pop("depth"), lambda one: one.pop("total"),
    lambda one: one["tastes"].pop(), lambda one: one["likings"].pop(), lambda one: one["tastes"].reverse(),
    lambda one: one["likings"].reverse(), lambda one: one["tastes"][0].update(column="nothing"),
    lambda one: one["likings"][0].update(column="nothing"), lambda one: one["tastes"][0].update(values=[]),
    lambda one: one["tastes"][0].update(values=["x", "x", "y"]), lambda one: one["tastes"][0].update(values=["x", 1, True]),
    lambda one: one["tastes"][0].update(edges=[1.0, 2.0]), lambda one: one["tastes"][0].update(column="year"),
    lambda one: one["likings"][1].update(column="land"), lambda one: one["likings"][1].update(times=True),
    lambda one: one["likings"][1].update(edges=[3.0, 2.0]), lambda one: one["likings"][2].update(times=False),
])  # fmt: skip
def test_settings_that_cannot_be_are_refused(saved: Path, tmp_path: Path, change: Callable[[Any], Any]) -> None:
    shutil.copytree(saved, tmp_path / "b.shortlist")
    rewrite(tmp_path / "b.shortlist", lambda manifest: change(manifest["stage"]))
    with pytest.raises(BundleError):
        sl.Recommender.load(tmp_path / "b.shortlist")


def test_a_stage_behind_other_sources_is_refused(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "b.shortlist")
    rewrite(tmp_path / "b.shortlist", lambda manifest: manifest["sources"].pop())
    with pytest.raises(BundleError):
        sl.Recommender.load(tmp_path / "b.shortlist")
    assert network_of(3).shapes
