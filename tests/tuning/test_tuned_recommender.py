"""A recommender's index tuned on its own queries, and what that costs in accuracy."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from tests.tuning.conftest import no_stopwatch  # noqa: F401 - of this module, too

import shortlist as sl
from shortlist.errors import ConfigError, DataError
from shortlist.index.scann import scann_trouble
from shortlist.tuning import tuned_recommender

pytestmark = pytest.mark.skipif(scann_trouble() is not None, reason="ScaNN cannot run here")


@pytest.fixture(scope="module")
def parts():
    """Sixty readers who chose ten of 400 books each, and two more books each to be tested on."""
    rng = np.random.default_rng(0)
    chosen = [rng.permutation(400)[:12] for _ in range(60)]
    rows = [(f"r{reader}", f"b{book}", at) for reader, books in enumerate(chosen) for at, book in enumerate(books)]
    table = pl.DataFrame(rows, schema=["reader", "book", "at"], orient="row")
    train = sl.Dataset(table.filter(pl.col("at") < 10), "reader", "book")
    test = sl.Dataset(table.filter(pl.col("at") >= 10), "reader", "book")
    model = sl.TwoTower(
        query=sl.Tower(sl.StringLookup("reader"), dim=8), candidate=sl.Tower(sl.StringLookup("book"), dim=8)
    )
    sl.fit(model, train, optimizer=sl.Adagrad(0.5), epochs=5, batch_size=64)
    return model, train, test


def by_hand(recommender, test, k: int) -> float:
    """Top-k accuracy of test pairs through ``recommend``; unknown candidates left out."""
    known = set(recommender.candidate_ids.to_list())
    pairs = [pair for pair in test.interactions.select("reader", "book").rows() if pair[1] in known]
    lists = recommender.recommend([reader for reader, _ in pairs], k=k)
    return float(np.mean([book in one.ids for (_, book), one in zip(pairs, lists, strict=True)]))


def test_a_tuned_recommender_answers_and_is_saved(parts, tmp_path) -> None:
    model, train, test = parts
    plain = sl.Recommender(model, index=sl.BruteForce(), seen=train)
    tuned = sl.tune(plain, recall=0.9, k=10, backends=["scann"], test=test)
    assert type(tuned.recommender.index) is sl.ScaNN
    assert type(plain.index) is sl.BruteForce
    assert tuned.accuracy.exact[10] == pytest.approx(by_hand(plain, test, 10))
    assert tuned.accuracy.index[10] == pytest.approx(by_hand(tuned.recommender, test, 10))
    assert tuned.accuracy.pairs + tuned.accuracy.left_out == len(test)
    assert tuned.to_dict()["accuracy"]["exact"].keys() == {"top_10", "top_100"}
    tuned.recommender.save(tmp_path / "b.shortlist")
    again = sl.Recommender.load(tmp_path / "b.shortlist")
    assert again.metadata["tuning"]["k"] == 10
    assert again.reason == tuned.tuning.reason
    assert again.recommend(["r3"], k=5)[0].ids == tuned.recommender.recommend(["r3"], k=5)[0].ids


@pytest.mark.parametrize("backend", ["exact", "scann"])
def test_deleted_candidates_take_no_part(parts, tmp_path, backend: str) -> None:
    model, train, test = parts
    recommender = sl.Recommender(model, index=sl.BruteForce(), seen=train)
    gone = [one for one in recommender.recommend(["r3"], k=400)[0].ids if one not in {"b0", "b1"}][:150]
    recommender.delete(gone)
    tuned = sl.tune(recommender, recall=0.9, k=10, backends=[backend], test=test)
    assert tuned.recommender.index.size == recommender.index.size == len(train.candidates) - 150
    left = set(train.candidates["book"].to_list()) - set(gone)
    assert tuned.accuracy.pairs == sum(book in left for book in test.interactions["book"].to_list())
    for one in (tuned.recommender, recommender):
        assert not set(gone) & set(one.recommend(["r3"], k=400)[0].ids)
    tuned.recommender.upsert({"book": gone[:1]})
    assert gone[0] in tuned.recommender.recommend(["r3"], k=400)[0].ids
    tuned.recommender.save(tmp_path / "b.shortlist")
    again = sl.Recommender.load(tmp_path / "b.shortlist")
    assert again.recommend(["r3"], k=5)[0].ids == tuned.recommender.recommend(["r3"], k=5)[0].ids


@pytest.mark.parametrize("tuned", [True, False])
def test_a_promise_is_kept_again_where_a_changed_recommender_is_saved(parts, tmp_path, tuned: bool) -> None:
    """Saving builds the index of what there is by now, which is not what the settings were found for."""
    model, train, _ = parts
    if tuned:
        recommender = sl.tune(
            sl.Recommender(model, index=sl.BruteForce(), seen=train), recall=0.9, k=10, backends=["scann"]
        ).recommender
    else:
        recommender = sl.Recommender(model, index=sl.ScaNN(recall=0.9, k=10), seen=train)
    assert type(recommender.index) is sl.ScaNN
    recommender.upsert({"book": ["new"]})
    recommender.delete(["b1"])
    recommender.save(tmp_path / "b.shortlist")
    again = sl.Recommender.load(tmp_path / "b.shortlist")
    assert again.index.size == recommender.index.size
    assert again.ann_overlap(k=10) >= 0.88
    assert {"new", "b1"} & set(again.candidate_ids.to_list()) == {"new"}


def test_a_recommender_built_with_a_promise(parts) -> None:
    model, train, _ = parts
    recommender = sl.Recommender(model, index=sl.ScaNN(recall=0.9, k=10), seen=train)
    assert recommender.reason.startswith("ScaNN: recall@10")
    assert recommender.ann_overlap(k=10) >= 0.88


def test_pairs_that_cannot_be_found_are_refused(parts) -> None:
    model, train, _ = parts
    recommender = sl.Recommender(model, index=sl.BruteForce(), seen=train)
    with pytest.raises(DataError, match="no test pairs are left"):
        sl.tune(recommender, backends=["exact"], test=train)
    other = sl.Dataset({"who": ["r1"], "book": ["b1"]}, "who", "book")
    with pytest.raises(DataError, match="'who'"):
        sl.tune(recommender, backends=["exact"], test=other)
    numbers = sl.Dataset({"reader": [1], "book": ["b1"]}, "reader", "book")
    with pytest.raises(DataError, match="holds Int64; its vocabulary was built from String"):
        sl.tune(recommender, backends=["exact"], test=numbers)


def test_queries_that_only_a_request_has(parts) -> None:
    _, train, _ = parts
    table = train.interactions.with_columns(hour=pl.Series(np.arange(len(train)) % 24).cast(pl.Float64))
    model = sl.TwoTower(
        query=sl.Tower(sl.StringLookup("reader"), sl.Normalization("hour"), dim=4),
        candidate=sl.Tower(sl.StringLookup("book"), dim=4),
    )
    sl.fit(model, sl.Dataset(table, "reader", "book"), optimizer=sl.Adagrad(0.1), epochs=1, batch_size=64)
    with pytest.raises(ConfigError, match="only a request has"):
        sl.tune(sl.Recommender(model, index=sl.BruteForce()))


def test_of_a_mixture_the_lists_of_all_sources_are_measured(parts) -> None:
    model, train, test = parts
    sources = [model, sl.Cooccurrence().fit(train), sl.Popular().fit(train)]
    recommender = sl.Recommender(sl.Mixture(sources, train, weights=[0.5, 0.4, 0.1]), seen=train)
    tuned = sl.tune(recommender, recall=0.9, k=10, backends=["exact"], test=test)
    assert tuned.mixture_recall == 1.0 == tuned.to_dict()["mixture_recall"]
    assert tuned.recommender.metadata["tuning"]["mixture_recall"] == 1.0
    assert tuned.accuracy is not None
    assert tuned.accuracy.index[10] == pytest.approx(by_hand(tuned.recommender, test, 10))


def test_the_recall_of_a_mixture_is_that_of_its_lists_and_not_of_the_index(parts, monkeypatch) -> None:
    model, train, _ = parts
    mixture = sl.Mixture([model, sl.Cooccurrence().fit(train)], train, weights=[0.99, 0.01])
    lossy = sl.ScaNN(leaves=20, leaves_to_search=2, reorder=12).build(model.candidate_vectors(train.candidates))
    recommender = sl.Recommender(mixture, index=sl.BruteForce())
    whole = tuned_recommender.tune_index
    monkeypatch.setattr(tuned_recommender, "tune_index", lambda *args, **of: replace(whole(*args, **of), index=lossy))
    tuned = sl.tune(recommender, k=10, backends=["exact"])

    def shared(first: sl.Recommender, second: sl.Recommender) -> int:
        readers = recommender.query_ids.to_list()
        both = zip(first.recommend(readers, k=10), second.recommend(readers, k=10), strict=True)
        return sum(len({*one.ids} & {*other.ids}) for one, other in both)

    of_lists, most = shared(tuned.recommender, recommender), 10 * len(recommender.query_ids)
    assert tuned.mixture_recall == of_lists / most == tuned.to_dict()["mixture_recall"]
    of_index = shared(sl.Recommender(model, lossy), sl.Recommender(model, sl.BruteForce()))
    assert of_index < of_lists < most  # the table finds some of what the index misses
