"""Whatever a public function is given in the place of a model, a table, an index or a path, it refuses in words."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

import shortlist as sl
from shortlist import report

PAIRS = [(f"u{query}", f"i{(query * 5 + place * place) % 15}") for query in range(12) for place in range(6)]
FRAME = pl.DataFrame(PAIRS, schema=["user", "item"], orient="row")
DATA = sl.Dataset(FRAME, query="user", candidate="item")
TRAIN, TEST = sl.split_random(DATA, test=0.2)


RANKER = sl.Ranker(depth=4, folds=2, epochs=1)


def new_model() -> sl.TwoTower:
    return sl.TwoTower(sl.Tower(sl.StringLookup("user"), dim=4), sl.Tower(sl.StringLookup("item"), dim=4))


def trained(seed: int) -> sl.TwoTower:
    model = new_model()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sl.fit(model, TRAIN, epochs=1, batch_size=32, seed=seed)
    return model


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """One of everything."""
    model, folder = trained(0), tmp_path_factory.mktemp("given")
    FRAME.write_parquet(folder / "x.parquet")
    neighbours = sl.Cooccurrence().fit(TRAIN)
    return SimpleNamespace(
        model=model,
        other=trained(1),
        neighbours=neighbours,
        mixture=sl.Mixture.of(model, neighbours, TRAIN, share=0.5),
        recommender=sl.Recommender(model, seen=TRAIN),
        evaluation=sl.evaluate(model, TEST, seen=TRAIN),
        folder=folder,
    )


OBJECTS: dict[str, Callable[[Any], Any]] = {
    "neighbours": lambda given: given.neighbours,
    "pandas": lambda given: FRAME.to_pandas(),
    "polars": lambda given: FRAME,
    "recommender": lambda given: given.recommender,
    "text": lambda given: "my.shortlist",
    "path": lambda given: given.folder,
    "None": lambda given: None,
    "int": lambda given: 7,
    "dict": lambda given: {"a": 1},
    "class": lambda given: sl.TwoTower,
    "dataset": lambda given: TRAIN,
    "split": lambda given: sl.split_random(DATA),
    "tower": lambda given: given.model.query,
    "model": lambda given: given.model,
    "mixture": lambda given: given.mixture,
    "evaluation": lambda given: given.evaluation,
    "array": lambda given: np.ones((3, 2)),
    "list": lambda given: [1, 2],
    "index": lambda given: sl.BruteForce(),
    "training": lambda given: (given.model, None),  # as a recipe's train returns
}

CALLS: dict[str, tuple[Callable[[Any, Any], object], set[str]]] = {  # and the objects that it takes
    "Recommender(…)": (lambda given, x: sl.Recommender(x), {"mixture", "model"}),
    "Recommender(index=…)": (lambda given, x: sl.Recommender(given.model, index=x), {"None", "index"}),
    "Recommender(seen=…)": (lambda given, x: sl.Recommender(given.model, seen=x), {"None", "dataset"}),
    "Recommender.load(…)": (lambda given, x: sl.Recommender.load(x), set()),
    "rec.save(…)": (lambda given, x: given.recommender.save(x), {"path", "text"}),
    "evaluate(…)": (lambda given, x: sl.evaluate(x, TEST), {"mixture", "model"}),
    "evaluate(test=…)": (lambda given, x: sl.evaluate(given.model, x), {"dataset"}),
    "evaluate(seen=…)": (lambda given, x: sl.evaluate(given.model, TEST, seen=x), {"None", "dataset"}),
    "evaluate(index=…)": (lambda given, x: sl.evaluate(given.model, TEST, index=x), {"None", "index"}),
    "fit(…)": (lambda given, x: sl.fit(x, TRAIN, epochs=1, batch_size=32), {"model"}),
    "fit(train=…)": (lambda given, x: sl.fit(new_model(), x, epochs=1), {"dataset"}),
    "fit(validation=…)": (lambda given, x: sl.fit(new_model(), TRAIN, validation=x, epochs=1), {"None", "dataset"}),
    "fit(task=…)": (lambda given, x: sl.fit(new_model(), TRAIN, task=x, epochs=1), {"None"}),
    "fit(optimizer=…)": (lambda given, x: sl.fit(new_model(), TRAIN, optimizer=x, epochs=1), {"None"}),
    "fit(impressions=…)": (lambda given, x: sl.fit(new_model(), TRAIN, impressions=x, epochs=1), {"None", "dataset"}),
    "fit(warm_start=…)": (
        lambda given, x: sl.fit(new_model(), TRAIN, warm_start=x, epochs=1),
        {"None", "mixture", "model"},
    ),
    "fit(checkpoints=…)": (lambda given, x: sl.fit(new_model(), TRAIN, checkpoints=x, epochs=1), {"None"}),
    "als(…)": (lambda given, x: sl.als(x, TRAIN, epochs=1), {"model"}),
    "als(train=…)": (lambda given, x: sl.als(new_model(), x, epochs=1), {"dataset"}),
    "choose(…)": (lambda given, x: sl.choose(x), {"dataset"}),
    "choose(by=…)": (lambda given, x: sl.choose(TRAIN, by=x, budget=1e-3), {"None"}),
    "choose(budget=…)": (lambda given, x: sl.choose(TRAIN, budget=x), {"int"}),
    "choose(test=…)": (lambda given, x: sl.choose(TRAIN, test=x, budget=1e-3), set()),
    "choose(seed=…)": (lambda given, x: sl.choose(TRAIN, seed=x, budget=1e-3), {"int"}),
    "choose(device=…)": (lambda given, x: sl.choose(TRAIN, device=x, budget=1e-3), set()),
    "Mixture.of(…)": (lambda given, x: sl.Mixture.of(x, given.neighbours, TRAIN, share=0.5), {"model"}),
    "Mixture.of(neighbours=…)": (lambda given, x: sl.Mixture.of(given.model, x, TRAIN, share=0.5), {"neighbours"}),
    "Mixture.of(train=…)": (lambda given, x: sl.Mixture.of(given.model, given.neighbours, x, share=0.5), {"dataset"}),
    "Mixture(train=…)": (lambda given, x: sl.Mixture([given.model], x), {"dataset"}),
    "Mixture(stage=…)": (lambda given, x: sl.Mixture([given.model], TRAIN, stage=x), {"None"}),
    "Mixture.with_blend(…)": (lambda given, x: given.mixture.with_blend(x), set()),
    "Mixture.with_weights(…)": (lambda given, x: given.mixture.with_weights(x), set()),
    "Mixture.with_stage(…)": (lambda given, x: given.mixture.with_stage(x, TRAIN), {"None"}),
    "Mixture.with_stage(train=…)": (lambda given, x: given.mixture.with_stage(None, x), {"dataset"}),
    "Mixture.segments_of(…)": (lambda given, x: given.mixture.segments_of(x), {"polars"}),
    "Mixture.context_of(…)": (lambda given, x: given.mixture.context_of(x, given.mixture.histories), {"polars"}),
    "Ranker.fit(train=…)": (lambda given, x: RANKER.fit(sl.popularity, x), {"dataset"}),
    "Ranker.fit(trained=…)": (
        lambda given, x: RANKER.fit(sl.popularity, TRAIN, trained=x),
        {"None", "mixture", "model"},
    ),
    "Ranker.fit(…), what it returns": (lambda given, x: RANKER.fit(lambda part: x, TRAIN), {"mixture", "model"}),
    "Ranker.trainings(…)": (lambda given, x: RANKER.trainings(x), {"dataset"}),
    "diagnose(…)": (lambda given, x: sl.diagnose(x), {"mixture", "model"}),
    "diagnose(test=…)": (lambda given, x: sl.diagnose(given.model, x), {"None", "dataset"}),
    "audit(…)": (lambda given, x: sl.audit(x, TEST), {"dataset"}),
    "audit(model=…)": (lambda given, x: sl.audit(TRAIN, TEST, model=x), {"None", "model"}),
    "compare(…)": (lambda given, x: sl.compare(x, given.evaluation), {"evaluation"}),
    "compare(second=…)": (lambda given, x: sl.compare(given.evaluation, x), {"evaluation"}),
    "report.measure(…)": (lambda given, x: report.measure(x, TEST), {"mixture", "model"}),
    "report.render(…)": (lambda given, x: report.render(x), {"recommender"}),
    "report.write(…)": (lambda given, x: report.write(x, given.folder / "r.html"), {"recommender"}),
    "report.write(path=…)": (lambda given, x: report.write(given.recommender, x), {"text"}),
    "tune(…)": (lambda given, x: sl.tune(x, sample=20), {"recommender"}),
    "join(…)": (lambda given, x: sl.join(x), set()),
    "join([…])": (lambda given, x: sl.join([given.other, x]), {"model"}),
    "popularity(…)": (lambda given, x: sl.popularity(x), {"dataset"}),
    "Shards.encode(…)": (
        lambda given, x: sl.Shards.encode(x, given.folder / "sh", query="user", candidate="item"),
        set(),
    ),
    "Shards.encode(folder=…)": (
        lambda given, x: sl.Shards.encode(given.folder / "x.parquet", x, query="user", candidate="item"),
        {"path", "text"},
    ),
    "Shards.encode(query=…)": (
        lambda given, x: sl.Shards.encode(given.folder / "x.parquet", given.folder / "q", query=x, candidate="item"),
        set(),
    ),
    "Shards.load(…)": (lambda given, x: sl.Shards.load(x), set()),
    "Dataset(…)": (lambda given, x: sl.Dataset(x, query="user", candidate="item"), {"pandas", "path", "polars"}),
    "Dataset(queries=…)": (
        lambda given, x: sl.Dataset(FRAME, query="user", candidate="item", queries=x),
        {"None", "pandas", "path", "polars"},
    ),
    "Dataset(query=…)": (lambda given, x: sl.Dataset(FRAME, query=x, candidate="item"), set()),
    "Dataset(candidate=…)": (lambda given, x: sl.Dataset(FRAME, query="user", candidate=x), set()),
    "Dataset(timestamp=…)": (lambda given, x: sl.Dataset(FRAME, "user", "item", x), {"None"}),
    "Dataset(weight=…)": (lambda given, x: sl.Dataset(FRAME, "user", "item", None, x), {"None"}),
    "Dataset(events=…)": (lambda given, x: sl.Dataset(FRAME, query="user", candidate="item", events=x), {"None"}),
    "Dataset(reading=…)": (lambda given, x: sl.Dataset(FRAME, query="user", candidate="item", reading=x), {"None"}),
    "Cooccurrence.fit(…)": (lambda given, x: sl.Cooccurrence().fit(x), {"dataset"}),
    "EASE.fit(…)": (lambda given, x: sl.EASE().fit(x), {"dataset"}),
    "Transitions.fit(…)": (lambda given, x: sl.Transitions().fit(x), set()),
    "Newest.fit(…)": (lambda given, x: sl.Newest().fit(x), {"dataset"}),
    "OwnHistory.fit(…)": (lambda given, x: sl.OwnHistory().fit(x), {"dataset"}),
    "Popular.fit(…)": (lambda given, x: sl.Popular().fit(x), {"dataset"}),
    "Recent.fit(…)": (lambda given, x: sl.Recent().fit(x), {"dataset"}),
    "with_interactions(…)": (lambda given, x: TRAIN.with_interactions(x), {"polars"}),
    "split_random(…)": (lambda given, x: sl.split_random(x), {"dataset"}),
    "split_by_time(…)": (lambda given, x: sl.split_by_time(x, test=0.1), set()),
    "split_last(…)": (lambda given, x: sl.split_last(x), set()),
    "split_queries(…)": (lambda given, x: sl.split_queries(x), {"dataset"}),
    "k_core(…)": (lambda given, x: sl.k_core(x), {"dataset"}),
    "keep_at_least(…)": (lambda given, x: sl.keep_at_least(x, "user", 1), set()),
    "TwoTower(…)": (lambda given, x: sl.TwoTower(x, given.model.candidate), {"tower"}),
    "Tower(…)": (lambda given, x: sl.Tower(x, dim=4), set()),
    "query_vectors(…)": (lambda given, x: given.model.query_vectors(x), {"polars"}),
    "candidate_vectors(…)": (lambda given, x: given.model.candidate_vectors(x), {"polars"}),
    "from_tfrs(…)": (lambda given, x: sl.from_tfrs(x, "user", "item"), set()),
    "WarmStart(…)": (lambda given, x: sl.WarmStart(x), {"mixture", "model"}),
    "recipes.load(…)": (lambda given, x: sl.recipes.load(x), set()),
    "Recipe.train_towers(…)": (lambda given, x: sl.recipes.load("factorization").train_towers(x), {"dataset"}),
    "read_sql(…)": (lambda given, x: sl.read_sql(x), set()),
    "upsert(…)": (lambda given, x: given.recommender.upsert(x), set()),
    "embed_queries(…)": (lambda given, x: given.recommender.embed_queries(x), {"polars"}),
    "embed_candidates(…)": (lambda given, x: given.recommender.embed_candidates(x), {"polars"}),
    "fold_in(…)": (lambda given, x: given.recommender.fold_in(x), set()),
    "recommend(…)": (lambda given, x: given.recommender.recommend(x), {"pandas", "polars"}),
    "similar(…)": (lambda given, x: given.recommender.similar(x), {"pandas", "polars"}),
    "recommend(rerank=…)": (lambda given, x: given.recommender.recommend(["u1"], rerank=x), {"None"}),
    "publish(…)": (lambda given, x: sl.publish(x, sl.LanceDB(str(given.folder), collection="c")), {"recommender"}),
    "publish(place=…)": (lambda given, x: sl.publish(given.recommender, x), set()),
    "tune(test=…)": (lambda given, x: sl.tune(given.recommender, test=x, sample=20), set()),
    "recommend_all(…)": (lambda given, x: given.recommender.recommend_all(x), {"path", "text"}),
    "Checkpoints(…)": (lambda given, x: sl.Checkpoints(x), {"path", "text"}),
    "TensorBoard(…)": (lambda given, x: sl.TensorBoard(x), {"path", "text"}),
}


@pytest.mark.parametrize("call", CALLS)
def test_wrong_objects_are_refused_in_words(
    given: SimpleNamespace, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ask, taken = CALLS[call]
    for kind, make in OBJECTS.items():
        if kind not in taken:
            with pytest.raises(sl.ShortlistError) as caught:
                ask(given, make(given))
            assert "object at 0x" not in str(caught.value), (kind, str(caught.value))
            assert len(caught.value.message) < 400, (kind, caught.value.message)


MESSAGES = {
    "Recommender(…), neighbours": (
        "Recommender(model) got a Neighbours; a TwoTower or a Mixture was expected.",
        "shortlist.Mixture.of",
    ),
    "evaluate(…), recommender": (
        "evaluate(model) got a Recommender; a TwoTower or a Mixture was expected.",
        "recommender.model",
    ),
    "evaluate(…), text": (
        "evaluate(model) got the text 'my.shortlist'; a TwoTower or a Mixture was expected.",
        ".model",
    ),
    "fit(…), mixture": ("fit(model) got a Mixture; a TwoTower was expected.", "mixture.towers"),
    "diagnose(…), class": (
        "diagnose(model) got the class TwoTower; a TwoTower or a Mixture was expected.",
        "TwoTower(…)",
    ),
    "tune(…), model": ("tune(recommender) got a TwoTower; a Recommender was expected.", "Recommender(model"),
    "Shards.encode(…), polars": (
        "Shards.encode(source) got a Polars DataFrame; a path, pattern, folder or URL was expected.",
        "Dataset(",
    ),
    "evaluate(…), training": (
        "evaluate(model) got a tuple; a TwoTower or a Mixture was expected.",
        "model, history = recipe.train(data)",
    ),
    "Recommender(…), training": (
        "Recommender(model) got a tuple; a TwoTower or a Mixture was expected.",
        "model, history = recipe.train(data)",
    ),
    "Ranker.fit(…), what it returns, training": (
        "Ranker.fit(first_stage) got a tuple; a TwoTower or a Mixture was expected.",
        "model, history = recipe.train(data)",
    ),
    "report.write(path=…), None": ("report.write(path) got None; a path was expected.", ""),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_the_message_names_what_came_and_what_was_expected(given: SimpleNamespace, case: str) -> None:
    call, _, kind = case.rpartition(", ")
    message, hint = MESSAGES[case]
    with pytest.raises(sl.ShortlistError) as caught:
        CALLS[call][0](given, OBJECTS[kind](given))
    assert caught.value.message == message
    assert hint in str(caught.value.hint)


FUNCTIONS: dict[str, Callable[[Any, Any], object]] = {  # by function and parameter, what takes a function
    "Ranker.fit(first_stage)": lambda given, x: RANKER.fit(x, TRAIN),
    "Recommender.recommend_all(on_part)": lambda given, x: given.recommender.recommend_all(
        given.folder / "f", on_part=x
    ),
    "Shards.encode(on_piece)": lambda given, x: sl.Shards.encode(
        given.folder / "x.parquet", given.folder / "f", query="user", candidate="item", on_piece=x
    ),
    "als(on_batch)": lambda given, x: sl.als(new_model(), TRAIN, epochs=1, on_batch=x),
    "als(on_epoch)": lambda given, x: sl.als(new_model(), TRAIN, epochs=1, on_epoch=x),
    "choose(say)": lambda given, x: sl.choose(TRAIN, budget=1e-3, say=x),
    "fit(on_batch)": lambda given, x: sl.fit(new_model(), TRAIN, epochs=1, on_batch=x),
    "fit(on_epoch)": lambda given, x: sl.fit(new_model(), TRAIN, epochs=1, on_epoch=x),
    "fit(validation)": lambda given, x: sl.fit(new_model(), TRAIN, epochs=1, validation=x),
    "publish(on_rows)": lambda given, x: sl.publish(
        given.recommender, sl.LanceDB(str(given.folder), collection="c"), on_rows=x
    ),
    "tune(say)": lambda given, x: sl.tune(given.recommender, sample=20, say=x),
}
MADE_WITHIN = {"RankedList.scores(closed)", "Reason(titles)"}  # nobody calls these by hand


def test_the_table_has_every_public_function_that_takes_a_function() -> None:
    assert _taking("Callable") - MADE_WITHIN == FUNCTIONS.keys()


@pytest.mark.parametrize("call", FUNCTIONS)
def test_what_is_no_function_is_refused_before_anything_is_done(given: SimpleNamespace, call: str) -> None:
    """A model can be called, as a module of torch, and so can a class; neither is meant."""
    before = {one.name for one in given.folder.iterdir()}
    for kind, make in OBJECTS.items():
        if not (kind == "None" and call != "Ranker.fit(first_stage)") and (call, kind) != (
            "fit(validation)",
            "dataset",
        ):
            with pytest.raises(sl.ShortlistError, match=r"\) got ") as caught:
                FUNCTIONS[call](given, make(given))
            assert "was expected" in caught.value.message
    assert {one.name for one in given.folder.iterdir()} == before


LISTS: dict[str, Callable[[Any, Any], object]] = {  # by function and parameter, what takes a list
    "Dataset(keep)": lambda given, x: sl.Dataset(FRAME, query="user", candidate="item", keep=x),
    "Reading(columns)": lambda given, x: sl.Dataset(
        given.folder / "x.parquet", query="user", candidate="item", reading=sl.Reading(columns=x)
    ),
    "Shards.encode(context)": lambda given, x: sl.Shards.encode(
        given.folder / "x.parquet", given.folder / "lists", query="user", candidate="item", context=x
    ),
    "Category(vocabulary)": lambda given, x: sl.Category("c", x),
    "IntegerLookup(vocabulary)": lambda given, x: sl.IntegerLookup("c", x),
    "StringLookup(vocabulary)": lambda given, x: sl.StringLookup("c", x),
    "MultiCategory(vocabulary)": lambda given, x: sl.MultiCategory("c", vocabulary=x),
    "Discretization(boundaries)": lambda given, x: sl.Discretization("c", boundaries=x),
    "Tower(hidden)": lambda given, x: sl.Tower(sl.StringLookup("user"), dim=4, hidden=x),
    "Examination(chances)": lambda given, x: sl.Examination(x),
    "Mixture(sources)": lambda given, x: sl.Mixture(x, TRAIN),
    "Mixture(weights)": lambda given, x: sl.Mixture([given.model, given.neighbours], TRAIN, weights=x),
    "Mixture(quotas)": lambda given, x: sl.Mixture([given.model, given.neighbours], TRAIN, quotas=x),
    "Mixture(by_history)": lambda given, x: sl.Mixture([given.model, given.neighbours], TRAIN, by_history={0: x}),
    "Mixture.context_of(vectors)": lambda given, x: given.mixture.context_of(TRAIN.queries, given.mixture.histories, x),
    "Recommender(fallback)": lambda given, x: sl.Recommender(given.model, fallback=x),
    "Recommender.recommend(queries)": lambda given, x: given.recommender.recommend(x),
    "Recommender.recommend(history)": lambda given, x: given.recommender.recommend(["u1"], history=x),
    "Recommender.recommend(history), of one": lambda given, x: given.recommender.recommend(["u1"], history=[x]),
    "Recommender.recommend(exclude)": lambda given, x: given.recommender.recommend(["u1"], exclude=x),
    "Recommender.recommend(exclude), of one": lambda given, x: given.recommender.recommend(["u1"], exclude=[x]),
    "Recommender.recommend(allow)": lambda given, x: given.recommender.recommend(["u1"], allow=x),
    "Recommender.recommend(deny)": lambda given, x: given.recommender.recommend(["u1"], deny=x),
    "Recommender.score(queries)": lambda given, x: given.recommender.score(x, ["i1"]),
    "Recommender.score(candidates)": lambda given, x: given.recommender.score(["u1"], x),
    "Recommender.score(history)": lambda given, x: given.recommender.score(["u1"], ["i1"], history=x),
    "Recommender.score(history), of one": lambda given, x: given.recommender.score(["u1"], ["i1"], history=[x]),
    "Recommender.score(exclude)": lambda given, x: given.recommender.score(["u1"], ["i1"], exclude=x),
    "Recommender.score(exclude), of one": lambda given, x: given.recommender.score(["u1"], ["i1"], exclude=[x]),
    "Recommender.query_vectors(queries)": lambda given, x: given.recommender.query_vectors(x),
    "Recommender.query_vectors(history)": lambda given, x: given.recommender.query_vectors(["u1"], x),
    "Recommender.fold_in(chosen)": lambda given, x: given.recommender.fold_in(x),
    "Recommender.similar(candidates)": lambda given, x: given.recommender.similar(x),
    "Recommender.delete(ids)": lambda given, x: given.recommender.delete(x),
    "als(ks)": lambda given, x: sl.als(new_model(), TRAIN, validation=TEST, epochs=1, ks=x),
    "compare_all(recipes)": lambda given, x: sl.compare_all(x, [sl.split_random(DATA)]),
    "compare_all(splits)": lambda given, x: sl.compare_all(["als"], x),
    "compare_all(metrics)": lambda given, x: sl.compare_all(["als"], [sl.split_random(DATA)], metrics=x),
    "compare_all(changes)": lambda given, x: sl.compare_all(["als"], [sl.split_random(DATA)], changes=x),
    "cross_validate(recipes)": lambda given, x: sl.cross_validate(x, DATA),
    "cross_validate(metrics)": lambda given, x: sl.cross_validate("als", DATA, metrics=x),
    "cross_validate(changes)": lambda given, x: sl.cross_validate("als", DATA, changes=x),
    "diagnose(training)": lambda given, x: sl.diagnose(given.model, training=x),
    "evaluate(ks)": lambda given, x: sl.evaluate(given.model, TEST, ks=x),
    "evaluate(metrics)": lambda given, x: sl.evaluate(given.model, TEST, metrics=x),
    "evaluate(baselines)": lambda given, x: sl.evaluate(given.model, TEST, baselines=x),
    "evaluate(segments)": lambda given, x: sl.evaluate(given.model, TEST, segments=x),
    "fit(ks)": lambda given, x: sl.fit(new_model(), TRAIN, validation=TEST, epochs=1, ks=x),
    "interleave(queries)": lambda given, x: sl.interleave(given.recommender, given.recommender, x),
    "join(models)": lambda given, x: sl.join(x),
    "join(weights)": lambda given, x: sl.join([given.model, given.other], x),
    "off_policy_evaluate(examination)": lambda given, x: sl.off_policy_evaluate(
        given.recommender, FRAME, examination=x
    ),
    "recipes.load(changes)": lambda given, x: sl.recipes.load("als", x),
    "tune(backends)": lambda given, x: sl.tune(given.recommender, backends=x, sample=20),
}
RESULTS = {  # which nobody makes by hand, and functions of arrays
    "Choice", "CrossValidation", "Evaluation", "Interleaved", "OffPolicyEvaluation", "RankedList", "Reason", "Rerank",
    "Recommendations", "TrainingHistory", "Weights", "Weights.total", "Shards.read", "Adagrad.update", "Adam.update",
    "AdamW.update", "RowwiseAdagrad.update", "SGD.update",
}  # fmt: skip
TAKE_MAPPINGS = {
    "recipes.load(changes)",
    "compare_all(changes)",
    "cross_validate(changes)",
}  # refused by what they name
OTHER = {
    "Mixture(temperatures)",
    "compare(scorers)",
    "Recommender.recommend(chosen)",
    "Recommender.query_vectors(chosen)",
}


def _taking(*words: str) -> set[str]:
    """Every parameter of a public function whose type has one of these words, as "function(parameter)"."""
    wanted = set()
    for name in sl.__all__:
        public = getattr(sl, name)
        if isinstance(public, type) and issubclass(public, (Exception, Warning)):
            continue
        found = {name: public} if callable(public) else {}
        if not name.startswith("_") and (isinstance(public, type) or inspect.ismodule(public)):
            members = vars(public) if isinstance(public, type) else public.__all__
            found |= {f"{name}.{one}": getattr(public, one) for one in members if not one.startswith("_")}
        for called, function in found.items():
            if callable(function) and called not in RESULTS:
                parameters = inspect.signature(function).parameters.values()
                wanted |= {
                    f"{called}({one.name})" for one in parameters if any(word in str(one.annotation) for word in words)
                }
    return wanted


def test_the_table_has_every_public_function_that_takes_a_list() -> None:
    wanted = _taking("Sequence", "Iterable", "tuple", "Queries") - FUNCTIONS.keys() - MADE_WITHIN
    assert wanted <= {one.partition(",")[0] for one in LISTS} | OTHER


@pytest.mark.parametrize("call", LISTS)
@pytest.mark.parametrize("given_", ["recall", b"recall", 7, {"recall": 1}], ids=["text", "bytes", "number", "mapping"])
def test_what_is_no_list_is_refused(given: SimpleNamespace, call: str, given_: Any) -> None:
    """The characters of a text, and the numbers of bytes, would else be taken for values."""
    if isinstance(given_, dict) and call in TAKE_MAPPINGS:
        return
    with pytest.raises(sl.ShortlistError) as caught:
        LISTS[call](given, given_)
    assert "object at 0x" not in str(caught.value)
    if not isinstance(given_, dict):
        refused = (
            "there is no recipe 'recall'" if (call, given_) == ("cross_validate(recipes)", "recall") else "expected"
        )
        assert refused in caught.value.message


@pytest.mark.parametrize("value", ["x", b"x", 1.5, None, ["x"], "\ud800"])
@pytest.mark.parametrize(
    "call", ["evaluate(segments)", "evaluate(baselines)", "Dataset(keep)", "Discretization(boundaries)"]
)
def test_a_list_of_other_values_is_refused(given: SimpleNamespace, call: str, value: Any) -> None:
    if (isinstance(value, str) and call == "Dataset(keep)") or (value == 1.5 and call.startswith("Discr")):
        return
    with pytest.raises(sl.ShortlistError):
        LISTS[call](given, [value])


CONDITIONS: dict[str, Callable[[Any, Any], object]] = {  # by function and parameter, what takes a condition in SQL
    "recommend(where)": lambda given, x: given.recommender.recommend(["u1"], where=x),
    "recommend_all(where)": lambda given, x: given.recommender.recommend_all(given.folder / "all", where=x),
    "similar(where)": lambda given, x: given.recommender.similar(["i1"], where=x),
    "Rerank(boost)": lambda given, x: sl.Rerank(boost={x: 1.0}),
    "Rerank(explore_where)": lambda given, x: sl.Rerank(explore=0.5, explore_where=x),
    "Events(where)": lambda given, x: sl.Dataset(FRAME, query="user", candidate="item", events=sl.Events(where=x)),
}


@pytest.mark.parametrize("wrong", [5, True, 0.5, b"a", ("a", "b"), TRAIN], ids=repr)
@pytest.mark.parametrize("call", CONDITIONS)
def test_whatever_is_no_condition_is_refused_in_words(given: SimpleNamespace, call: str, wrong: Any) -> None:
    with pytest.raises(sl.ShortlistError, match="expected"):
        CONDITIONS[call](given, wrong)


ADDRESSES: dict[str, Callable[[Any, str], object]] = {  # what reads or writes a file or a folder here
    "Recommender.save": lambda given, x: given.recommender.save(x),
    "Recommender.load": lambda given, x: sl.Recommender.load(x),
    "recommend_all": lambda given, x: given.recommender.recommend_all(x),
    "report.write": lambda given, x: report.write(given.recommender, x),
    "Checkpoints": lambda given, x: sl.Checkpoints(x),
    "Shards.encode": lambda given, x: sl.Shards.encode(given.folder / "x.parquet", x, query="user", candidate="item"),
    "Shards.load": lambda given, x: sl.Shards.load(x),
    "recipes.load": lambda given, x: sl.recipes.load(x),
    "plot().save": lambda given, x: given.evaluation.plot().save(x),
}


@pytest.mark.parametrize("call", ADDRESSES)
def test_an_address_is_not_taken_for_a_folder(
    given: SimpleNamespace, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sl.ShortlistError) as caught:
        ADDRESSES[call](given, "s3://me:secret@bucket/x")
    assert "s3://…" in caught.value.message
    assert "secret" not in str(caught.value)
    assert not list(tmp_path.iterdir())
