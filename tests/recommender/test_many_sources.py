"""A mixture of many sources served: two towers, a table, and ranked lists of three kinds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.recommender.saved import Change, forged, rewrite, setting
from tests.sources.plain import mixed, ranked, scores, weights_of

import shortlist as sl
from shortlist.errors import BundleError
from shortlist.recommender.live import folded

FILMS, PEOPLE = 12, 9
WEIGHTS, TEMPERATURES = (0.3, 0.2, 0.2, 0.15, 0.1, 0.05), (0.5, 0.2)
ASK = [*(f"p{one}" for one in range(PEOPLE)), "listed", "nobody"]


def data() -> sl.Dataset:
    """9 people of two lands who chose four of 12 films each; of a tenth and of film 11 nothing but what the tables have is known."""
    generator = np.random.default_rng(5)
    rows = [
        (f"p{one}", int(film), int(at))
        for one in range(PEOPLE)
        for at, film in enumerate(generator.permutation(11)[:4])
    ]
    frame = pl.DataFrame(rows, schema=["who", "film", "at"], orient="row")
    films = {"film": list(range(FILMS)), "year": [1990 + one * 5 % 12 for one in range(FILMS)]}
    queries = {
        "who": [*(f"p{one}" for one in range(PEOPLE)), "listed"],
        "land": [*("kr" if one % 2 else "fi" for one in range(PEOPLE)), "kr"],
    }
    return sl.Dataset(frame, "who", "film", timestamp="at", queries=queries, candidates=films)


def mixture() -> sl.Mixture:
    train = data()
    torch.manual_seed(0)
    towers = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=4, heads=2), sl.Tower(sl.IntegerLookup("film"), dim=4))
    sl.fit(towers, train, epochs=3, batch_size=16)
    solved = sl.TwoTower(sl.Tower(sl.StringLookup("who"), dim=3), sl.Tower(sl.IntegerLookup("film"), dim=3))
    sl.als(solved, train, epochs=2)
    lists = [sl.Popular(by="land", least=1).fit(train), sl.Newest("year").fit(train), sl.Newest(length=4).fit(train)]
    return sl.Mixture(
        [towers, solved, sl.Transitions().fit(train), *lists], train, weights=WEIGHTS, temperatures=TEMPERATURES
    )


@pytest.fixture(scope="module")
def model() -> sl.Mixture:
    return mixture()


@pytest.fixture
def recommender(model: sl.Mixture) -> sl.Recommender:
    return sl.Recommender(model, sl.BruteForce(), data())


def answers(recommender: sl.Recommender, **options: Any) -> list[dict[str, Any]]:
    return recommender.recommend(ASK, k=FILMS, **options).to_dicts()


def seen_of(query: str) -> set[int]:
    return {*data().interactions.filter(pl.col("who") == query)["film"]}


def test_a_list_is_that_of_a_double_loop(recommender: sl.Recommender, model: sl.Mixture) -> None:
    train, table, listed = data(), model.tables[0], model.lists
    rows, candidates = train.queries, np.arange(FILMS)
    for number, found in enumerate(recommender.recommend(ASK[:PEOPLE], k=FILMS)):
        history = train.interactions.filter(pl.col("who") == ASK[number]).sort("at")["film"].to_list()
        eligible = [one for one in range(FILMS) if one not in history]
        towers = []
        for one, dim in ((model.towers, 4), (model.others[0], 3)):
            heads = one.query_vectors(rows[number]).reshape(-1, dim)
            scored = (heads @ one.candidate_vectors(train.candidates).T).max(0)
            towers.append({int(film): float(scored[film]) for film in candidates if film in eligible})
        others = [scores(weights_of(table), history, table.age, table.length)]
        places = [list(listed[0].values).index(rows["land"][number]) + 1, 0, 0]
        for one, place in zip(listed, places, strict=True):
            order = one.rows[one.offsets[place] : one.offsets[place + 1]].tolist()
            others.append(ranked(order, eligible))
        expected = mixed(towers, others, WEIGHTS, TEMPERATURES)
        assert found.ids == sorted(expected, key=lambda one: -expected[one])
        assert [item.score for item in found] == pytest.approx(sorted(expected.values(), reverse=True), rel=1e-5)


@pytest.mark.parametrize("options", [
    {"allow": [1, 5, 9]}, {"deny": [0, 1, 2, 3]}, {"where": "year >= 1996"}, {"exclude": [[1, 2]] * len(ASK)},
    {"allow": []}, {"deny": list(range(FILMS))}, {"allow": [404]}, {"exclude_seen": False},
])  # fmt: skip
@pytest.mark.parametrize("cold_start", ["auto", "unknown", "popularity"])
def test_lists_hold_what_is_eligible_and_are_never_short(
    model: sl.Mixture, options: dict[str, Any], cold_start: str
) -> None:
    years = dict(data().candidates.rows())
    open_to_all = [one for one in range(FILMS) if one in options.get("allow", range(FILMS))]
    open_to_all = [
        one
        for one in open_to_all
        if one not in options.get("deny", ()) and ("where" not in options or years[one] >= 1996)
    ]
    for k in (1, 3, FILMS + 5):
        served = sl.Recommender(model, sl.BruteForce(), data(), fallback=(), cold_start=cold_start)
        whole = served.recommend(ASK, k=FILMS + 5, **options)
        for found, every in zip(served.recommend(ASK, k=k, **options), whole, strict=True):
            closed = seen_of(found.query) if options.get("exclude_seen", True) else set()
            closed = closed | {*options.get("exclude", [[]])[0]}
            assert sorted(every.ids) == [one for one in open_to_all if one not in closed]
            assert found.ids == every.ids[:k]


def test_a_list_by_segment_speaks_to_whom_training_never_saw(model: sl.Mixture) -> None:
    # the list alone: what each land chose, by the column of the request, of the table, or everybody's
    alone = model.with_weights(sl.Weights((0.0, 0.0, 0.0, 1.0, 0.0, 0.0), TEMPERATURES))
    recommender = sl.Recommender(alone, sl.BruteForce())
    train = data()
    lands = dict(train.queries.rows())
    counted = {
        land: train.interactions.filter(pl.col("who").replace_strict(lands) == land)["film"].value_counts().rows()
        for land in ("kr", "fi")
    }
    first = {land: min(rows, key=lambda row: (-row[1], row[0]))[0] for land, rows in counted.items()}
    everybody = train.interactions["film"].value_counts().rows()
    first[None] = min(everybody, key=lambda row: (-row[1], row[0]))[0]
    asked = [{"who": "new", "land": "kr"}, {"who": "new", "land": "fi"}, {"who": "new", "land": "xx"}, {"who": "new"}]
    found = recommender.recommend(asked, k=1)
    assert [one.ids[0] for one in found] == [first["kr"], first["fi"], first[None], first[None]]
    assert [one.ids[0] for one in recommender.recommend(["listed", "p0", "p1"], k=1)] == [
        first["kr"], first["fi"], first["kr"],
    ]  # fmt: skip
    assert {one.sources[0] for one in found} == {"model"}


def test_what_is_chosen_now_counts_in_every_source(recommender: sl.Recommender) -> None:
    before = recommender.recommend(["p0"], k=FILMS)[0]
    after = recommender.recommend(["p0"], k=FILMS, history=[[int(before.ids[0])]])[0]
    assert before.ids[0] not in after.ids
    assert [item.score for item in after] != [item.score for item in before][1:]
    new = recommender.recommend(["new"], k=3, history=[[3, 4]])[0]
    assert (new.known, new.sources) == (False, ["model"] * 3)


def test_a_bundle_answers_bit_for_bit(recommender: sl.Recommender, tmp_path: Path) -> None:
    before = answers(recommender)
    recommender.save(tmp_path / "a.shortlist")
    manifest = json.loads((tmp_path / "a.shortlist/manifest.json").read_text())
    assert (manifest["format"], manifest["neighbours"], len(manifest["sources"])) == (2, None, 6)
    for options in ({}, {"mmap": True}, {"trusted": False}):
        loaded = sl.Recommender.load(tmp_path / "a.shortlist", **options)
        assert answers(loaded) == before
        for history in ([[3]], [[]]):
            asked = [
                recommender.recommend(["new"], k=5, history=history),
                loaded.recommend(["new"], k=5, history=history),
            ]
            assert asked[0].to_dicts() == asked[1].to_dicts()
        assert loaded.similar([0, 1], k=5).to_dicts() == recommender.similar([0, 1], k=5).to_dicts()
        assert loaded.fingerprint == recommender.fingerprint
    again = loaded.model
    assert isinstance(again, sl.Mixture)
    assert again.weights == recommender.model.weights
    assert answers(sl.Recommender(again, sl.BruteForce(), data())) == before
    loaded.save(tmp_path / "b.shortlist")
    assert answers(sl.Recommender.load(tmp_path / "b.shortlist")) == before


def test_candidates_come_and_go(recommender: sl.Recommender, tmp_path: Path) -> None:
    recommender.upsert(pl.DataFrame({"film": [100, 3], "year": [2020, 1993]}))
    lists = recommender.served.state.near.lists  # type: ignore[union-attr]
    assert lists[1].rows[0] == FILMS  # the newest by its year, and by arrival
    assert (lists[2].rows[0], len(lists[2].rows)) == (FILMS, 4)
    assert 100 in recommender.recommend(["p0"], k=20)[0].ids
    assert recommender.recommend(["p0"], k=1, where="year = 2020")[0].ids == [100]
    gone = recommender.recommend(["p0"], k=2)[0].ids
    assert recommender.delete([*gone, 404]) == 2
    for found in recommender.recommend(ASK, k=20):
        assert not {*found.ids} & {*gone}
        assert len(found.ids) == FILMS + 1 - 2 - len(seen_of(found.query) - {*gone})
    before = answers(recommender)
    recommender.save(tmp_path / "a.shortlist")
    loaded = sl.Recommender.load(tmp_path / "a.shortlist")
    assert [[item["id"] for item in one["items"]] for one in answers(loaded)] == [
        [item["id"] for item in one["items"]] for one in before
    ]
    recommender.upsert(pl.DataFrame({"film": [gone[0]], "year": [1990]}))
    assert gone[0] in recommender.recommend(["p0"], k=20)[0].ids


@settings(max_examples=20)
@given(st.lists(st.sampled_from(range(FILMS)), max_size=6, unique=True), st.booleans())
def test_live_lists_are_those_of_the_recommender_that_is_saved(gone: list[int], comes: bool) -> None:
    recommender = sl.Recommender(MODEL, sl.BruteForce(), data())
    if comes:
        recommender.upsert(pl.DataFrame({"film": [100, 5], "year": [1995, 2001]}))
    recommender.delete(gone)
    saved = sl.Recommender(folded(recommender.served))
    found = [recommender.recommend(ASK[:PEOPLE], k=FILMS), saved.recommend(ASK[:PEOPLE], k=FILMS)]
    for live, after in zip(*found, strict=True):
        assert live.ids == after.ids
        assert [item.score for item in live] == pytest.approx([item.score for item in after])


MODEL = mixture()


def test_everyone_gets_what_each_would(recommender: sl.Recommender, tmp_path: Path) -> None:
    recommender.delete([2])
    recommender.recommend_all(tmp_path / "all", 5)
    found = pl.read_parquet(tmp_path / "all/lists-00000.parquet")
    alone = sl.Recommender(recommender.served)
    alone.fallback = ()
    expected = [
        (one.query, item.id, rank, item.score)
        for one in alone.recommend(ASK[:PEOPLE], 5)
        for rank, item in enumerate(one, start=1)
    ]
    assert found.rows() == expected


def test_similar_is_without_ranked_lists(model: sl.Mixture) -> None:
    listed = model.with_weights(sl.Weights((*WEIGHTS[:3], 9.0, 9.0, 9.0), TEMPERATURES))
    found = [sl.Recommender(one, sl.BruteForce()).similar([0, 5], k=FILMS).to_dicts() for one in (model, listed)]
    assert found[0] == found[1]


def test_rules_hold_for_every_source(recommender: sl.Recommender) -> None:
    rules = sl.Rerank(diversify=0.3, at_most={"year": 1}, pin={1: 7})
    for found in recommender.recommend(["p0", "p1"], k=4, rerank=rules, exclude_seen=False):
        assert found.ids[0] == 7
        assert len({*found.ids}) == 4


def test_recall_is_of_the_whole_mixture(model: sl.Mixture) -> None:
    class Lame(sl.BruteForce):
        """Finds the last half alone."""

        exact = False

        def search(self, queries: Any, k: int, **filters: Any) -> Any:
            rows = np.arange(FILMS // 2, FILMS)
            allow = filters.pop("allow", None)
            return super().search(queries, k, allow=rows if allow is None else np.intersect1d(rows, allow), **filters)

    by_lists = model.with_weights(sl.Weights((0.0, 0.0, 0.0, 1.0, 0.0, 0.0), TEMPERATURES))
    lame = sl.Recommender(by_lists, Lame(), data())
    assert lame.ann_overlap(k=3) == 1.0  # which the ranked list fills alone
    by_towers = model.with_weights(sl.Weights((1.0, 0.0, 0.0, 0.0, 0.0, 0.0), TEMPERATURES))
    assert sl.Recommender(by_towers, sl.BruteForce(), data()).ann_overlap(k=3) == 1.0


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, model: sl.Mixture) -> Path:
    path = tmp_path_factory.mktemp("many") / "a.shortlist"
    sl.Recommender(model, sl.BruteForce(), data()).save(path)
    return path


DAMAGE: dict[str, Change] = {
    "a row beyond": setting("list-0.rows", 0, FILMS),
    "a row below": setting("list-1.rows", 0, -1),
    "falling offsets": setting("list-0.offsets", 1, 10_000),
    "a segment less": lambda arrays: arrays.update({"list-0.offsets": np.delete(arrays["list-0.offsets"], 1)}),
    "another column": setting("table-0.columns", 0, FILMS),
    "no list": lambda arrays: arrays.pop("list-2.rows"),
    "no histories": lambda arrays: arrays.pop("history_values"),
    "a history beyond": setting("history_values", 0, FILMS),
    "rows as text": lambda arrays: arrays.update({"list-0.rows": arrays["list-0.rows"].astype(np.float32)}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_sources_that_do_not_fit_are_refused(saved: Path, tmp_path: Path, damage: str) -> None:
    place = forged(saved, tmp_path / "b.shortlist", "sources.safetensors", DAMAGE[damage])
    with pytest.raises(BundleError):
        sl.Recommender.load(place)


@pytest.mark.parametrize(
    "change",
    [
        lambda sources: sources.pop(0), lambda sources: sources.pop(1), lambda sources: sources.reverse(),
        lambda sources: sources.clear(), lambda sources: sources[1].update(fingerprint="0" * 64),
        lambda sources: sources[0].update(weight=-1), lambda sources: sources[0].update(temperature=0),
        lambda sources: sources[3].update(by="nothing"), lambda sources: sources[4].update(newest="nothing"),
        lambda sources: sources[2].update(age=2), lambda sources: sources[5].update(more=1),
        lambda sources: sources[2].update({"of": "other"}),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(saved: Path, tmp_path: Path, change: Callable[[Any], Any]) -> None:
    shutil.copytree(saved, tmp_path / "b.shortlist")
    rewrite(tmp_path / "b.shortlist", lambda manifest: change(manifest["sources"]))
    with pytest.raises(BundleError):
        sl.Recommender.load(tmp_path / "b.shortlist")


@pytest.mark.parametrize("name", ["sources.safetensors", "towers-2/vectors.safetensors", "towers-2/manifest.json"])
def test_a_bit_that_changed_is_refused(saved: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(saved, tmp_path / "b.shortlist")
    file = tmp_path / "b.shortlist" / name
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(BundleError):
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


def test_indexes_of_all_towers_are_rebuilt(recommender: sl.Recommender) -> None:
    from shortlist.recommender.upkeep import renewal

    recommender.upsert(pl.DataFrame({"film": [100], "year": [1999]}))
    again = renewal(recommender.served)
    recommender.delete([3])
    served = again.onto(recommender.served)
    assert [one.index.size for one in (served, *served.others)] == [FILMS, FILMS]
    assert answers(sl.Recommender(served)) == answers(recommender)


def test_quotas_and_weights_of_short_histories_are_in_the_bundle(tmp_path: Path) -> None:
    # the newest films by their year have every fourth place; of those who chose nothing in training, they are the list
    sources = [*MODEL.sources]
    model = sl.Mixture(
        sources, MODEL.histories, weights=WEIGHTS, temperatures=TEMPERATURES,
        by_history={0: [0, 0, 0, 0, 1, 0]}, quotas=[0, 0, 0, 0, 0.25, 0],
    )  # fmt: skip
    assert model.added.pair is None
    recommender = sl.Recommender(model, sl.BruteForce(), data(), cold_start="unknown")
    years = dict(data().candidates.rows())
    newest = sorted(range(FILMS), key=lambda one: (-years[one], one))
    assert recommender.recommend(["nobody"], k=5)[0].ids == newest[:5]
    for found in recommender.recommend(ASK[:PEOPLE], k=8):
        left = [one for one in newest if one not in seen_of(found.query)]
        assert {*left[:1]} <= {*found.ids[:4]}
        assert {*left[:2]} <= {*found.ids}
    plain = sl.Recommender(MODEL, sl.BruteForce(), data(), cold_start="unknown")
    assert recommender.fingerprint != plain.fingerprint
    assert recommender.similar([0, 1], k=5).to_dicts() == plain.similar([0, 1], k=5).to_dicts()
    recommender.save(tmp_path / "a.shortlist")
    loaded = sl.Recommender.load(tmp_path / "a.shortlist")
    assert answers(loaded) == answers(recommender)
    again = loaded.model
    assert isinstance(again, sl.Mixture)
    assert (again.quotas, again.by_history) == (model.quotas, model.by_history)


def of_new_people() -> sl.Mixture:
    """The mixture with other weights for who chose nothing: the newest films alone."""
    return sl.Mixture(
        [*MODEL.sources],
        MODEL.histories,
        weights=WEIGHTS,
        temperatures=TEMPERATURES,
        by_history={0: [0, 0, 0, 0, 1, 0]},
    )


@pytest.mark.parametrize("ids_alone", [True, False])
def test_weights_of_who_chose_nothing_answer_new_people_by_default(tmp_path: Path, ids_alone: bool) -> None:
    """In memory, after changes, after loading, and in the figures; popularity answers where it is asked for."""
    model = of_new_people()
    if ids_alone:
        pick = [0, 1, 2, 4, 5]  # less the list by the queries' column
        model = sl.Mixture(
            [MODEL.sources[one] for one in pick],
            MODEL.histories,
            temperatures=TEMPERATURES,
            by_history={2: [0, 0, 0, 1, 0]},
        )
    assert model.reads_ids_alone == ids_alone
    years = dict(data().candidates.rows())
    newest = sorted(range(FILMS), key=lambda one: (-years[one], one))
    live = sl.Recommender(model, sl.BruteForce(), data())
    (found,) = live.recommend(["nobody"], k=5)
    assert (found.ids, found.known, {*found.sources}) == (newest[:5], False, {"model"})
    test = sl.Dataset({"who": ["nobody", "nobody"], "film": newest[:2]}, "who", "film")
    assert sl.evaluate(model, test, seen=data(), ks=(2,), baselines=()).to_dict()["model"]["seen_out"]["top_2"] == 1.0
    live.upsert(pl.DataFrame({"film": [100], "year": [2030]}))
    live.delete([newest[0]])
    expected = [100, *newest[1:5]]
    live.save(tmp_path / "a.shortlist")
    for one in (live, sl.Recommender.load(tmp_path / "a.shortlist")):
        assert one.recommend(["nobody"], k=5)[0].ids == expected
        assert one.recommend([None], k=5)[0].ids == expected
        one.cold_start = "popularity"
        assert {*one.recommend(["nobody"], k=5)[0].sources} == {"popularity"}


@pytest.mark.parametrize("again", [False, True])
def test_what_is_folded_in_after_a_deletion_is_what_it_is_after_loading(tmp_path: Path, again: bool) -> None:
    """By all towers, whether or not a vector was folded in before; to rounding, since an index of its own may add otherwise."""
    recommender = sl.Recommender(MODEL, sl.BruteForce(), data())
    asked: dict[str, Any] = {"queries": ["nobody", "p3"], "k": FILMS, "history": [[1, 9, 4], [2]]}
    before = recommender.recommend(**asked).to_dicts() if again else None
    recommender.delete([4, 7])
    live = recommender.recommend(**asked)
    assert live.to_dicts() != before
    recommender.save(tmp_path / "a.shortlist")
    loaded = sl.Recommender.load(tmp_path / "a.shortlist").recommend(**asked)
    for one, other in zip(live, loaded, strict=True):
        assert one.ids == other.ids
        assert one.scores == pytest.approx(other.scores, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quotas": [0.1]}, r"Mixture\(quotas=\) got 1 number for 6 sources"),
        ({"quotas": [0.3, 0.3, 0, 0, 0, 0]}, "0.6 of the places"),
        ({"quotas": "all"}, r"Mixture\(quotas=\)"),
        ({"by_history": {-1: [1] * 6}}, "by_history=-1"),
        ({"by_history": {1: [1]}}, r"Mixture\(by_history=\) got 1 number for 6 sources"),
        ({"by_history": [1]}, r"Mixture\(by_history=\)"),
        ({"by_history": {1: [0] * 6}}, "all weights of a mixture are 0"),
    ],
)
def test_quotas_and_weights_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(sl.ConfigError, match=words):
        sl.Mixture([*MODEL.sources], MODEL.histories, weights=WEIGHTS, temperatures=TEMPERATURES, **options)


@pytest.mark.parametrize(
    "options", [{}, {"exclude_seen": False}, {"history": [[1, 9]] * len(ASK)}, {"exclude": [[1, 2]] * len(ASK)}]
)
def test_the_score_of_a_candidate_is_that_of_its_list(recommender: sl.Recommender, options: dict[str, Any]) -> None:
    """Of every candidate that the list may have, to the last bit; others are measured by no more than its best."""
    recommender.cold_start, recommender.fallback = "unknown", ()
    candidates = [*range(FILMS), 404]
    scores = recommender.score(ASK, candidates, **options)
    assert np.isnan(scores[:, FILMS]).all()
    assert (scores[:, :FILMS] <= sum(WEIGHTS) + 1e-6).all()
    for number, found in enumerate(recommender.recommend(ASK, k=FILMS, **options)):
        assert [float(scores[number, film]) for film in found.ids] == found.scores


@pytest.mark.parametrize("films", [[], [0, 2]])
def test_no_queries_have_no_scores(recommender: sl.Recommender, films: list[int]) -> None:
    assert recommender.score([], films).shape == (0, len(films))


def test_scores_where_no_candidate_is_open(recommender: sl.Recommender) -> None:
    """Then they are shares of the best of all."""
    everything = [list(range(FILMS))] * len(ASK)
    scores = recommender.score(ASK, range(FILMS), exclude=everything)
    assert scores.tolist() == recommender.score(ASK, range(FILMS), exclude_seen=False).tolist()


CLIMBERS = [(f"p{one}", film, 10 * film + again) for one in range(6) for film in range(one) for again in range(2)]


@pytest.mark.parametrize("tables", [(), (sl.Transitions(length=1),), (sl.Transitions(), sl.Cooccurrence(length=2))])
def test_weights_for_short_histories_are_for_those_alone(tmp_path: Path, tables: tuple[Any, ...]) -> None:
    """Person n chose n films, twice each. Up to two films are few, however many the tables read; repeats are no more films."""
    films = {"film": list(range(10)), "year": [*range(9), 2000]}
    people = {"who": [f"p{one}" for one in range(6)]}
    frame = pl.DataFrame(CLIMBERS, schema=["who", "film", "at"], orient="row")
    train = sl.Dataset(frame, "who", "film", timestamp="at", queries=people, candidates=films)
    sources = [sl.popularity(train), *(one.fit(train) for one in tables), sl.Newest("year").fit(train)]
    nothing = [0.0] * len(tables)
    model = sl.Mixture(sources, train, weights=[1, *nothing, 0], by_history={2: [0, *nothing, 1]})
    new, popular = 9, 0
    expected = {f"p{one}": new if one <= 2 else popular for one in range(6)}
    live = sl.Recommender(model, sl.BruteForce())
    live.save(tmp_path / "a.shortlist")
    for recommender in (live, sl.Recommender.load(tmp_path / "a.shortlist")):
        found = recommender.recommend([*expected], k=1, exclude_seen=False)
        assert {one.query: one.ids for one in found} == {one: [film] for one, film in expected.items()}
        for query, history, film in [
            ("nobody", [3, 3, 3], new), ("nobody", [3, 4, 5], popular), ("p2", [1, 0, 1], new), ("p2", [0, 5], popular),
        ]:  # fmt: skip
            (one,) = recommender.recommend([query], k=1, exclude_seen=False, history=[history])
            assert one.ids == [film], (query, history)
            assert recommender.score([query], [new, popular], exclude_seen=False, history=[history])[0].argmax() == (
                film == popular
            )
    test = sl.Dataset({"who": [*expected], "film": [*expected.values()]}, "who", "film", candidates=films)
    found = sl.evaluate(model, test, ks=(1,), metrics=["top"], baselines=())
    assert found["model"]["seen_in"]["top_1"] == 1.0


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 7), st.none() | st.integers(0, 9)), max_size=6))
def test_the_newest_are_the_newest_of_those_that_are_left(steps: list[tuple[int, int | None]]) -> None:
    """After any additions, changes and deletions, however short the list is; a year of None deletes."""
    films = {"film": list(range(5)), "year": [1, 5, 9, 7, 3]}
    train = sl.Dataset({"who": ["ann", "bob"], "film": [0, 1]}, "who", "film", candidates=films)
    model = sl.Mixture([sl.popularity(train), sl.Newest("year", length=2).fit(train)], train)
    recommender = sl.Recommender(model, sl.BruteForce())
    years = dict(zip(*films.values(), strict=True))
    row = {film: film for film in years}
    for film, year in steps:
        if year is None:
            recommender.delete([film])
            years.pop(film, None)
        else:
            recommender.upsert({"film": [film], "year": [year]})
            years[film] = year
            row.setdefault(film, len(row))
        newest = sorted(years, key=lambda one: (-years[one], row[one]))[:2]
        (listed,) = recommender.served.state.near.lists  # type: ignore[union-attr]
        assert [one for one in recommender.candidate_ids.gather(listed.rows).to_list() if one in years] == newest
