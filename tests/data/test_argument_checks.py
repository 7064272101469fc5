"""Every public function that takes a Dataset refuses everything else in words, before anything happens."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import shortlist as sl
from shortlist import report
from shortlist.errors import ConfigError, DataError

TABLE = {"user": [1, 1, 2, 2, 3], "film": [7, 8, 7, 9, 8]}
DATA = sl.Dataset(TABLE, "user", "film")


def new_model() -> sl.TwoTower:
    return sl.TwoTower(sl.Tower(sl.IntegerLookup("user"), dim=2), sl.Tower(sl.IntegerLookup("film"), dim=2))


@pytest.fixture(scope="module")
def model() -> sl.TwoTower:
    model = new_model()
    model.prepare(DATA)
    return model.eval()


CALLS = {  # by function and parameter
    "split_random(dataset)": lambda model, given: sl.split_random(given),
    "split_by_time(dataset)": lambda model, given: sl.split_by_time(given),
    "split_last(dataset)": lambda model, given: sl.split_last(given),
    "split_queries(dataset)": lambda model, given: sl.split_queries(given),
    "keep_at_least(dataset)": lambda model, given: sl.keep_at_least(given, "film", 1),
    "k_core(dataset)": lambda model, given: sl.k_core(given),
    "audit(train)": lambda model, given: sl.audit(given, DATA),
    "audit(test)": lambda model, given: sl.audit(DATA, given),
    "evaluate(test)": lambda model, given: sl.evaluate(model, given),
    "evaluate(seen)": lambda model, given: sl.evaluate(model, DATA, seen=given),
    "diagnose(test)": lambda model, given: sl.diagnose(model, given),
    "choose(data)": lambda model, given: sl.choose(given),
    "cross_validate(data)": lambda model, given: sl.cross_validate("als", given),
    "popularity(train)": lambda model, given: sl.popularity(given),
    "Mixture(train)": lambda model, given: sl.Mixture([model], given),
    "fit(train)": lambda model, given: sl.fit(new_model(), given),
    "fit(validation)": lambda model, given: sl.fit(new_model(), DATA, validation=given),
    "als(train)": lambda model, given: sl.als(new_model(), given),
    "als(validation)": lambda model, given: sl.als(new_model(), DATA, validation=given),
    "fit(impressions)": lambda model, given: sl.fit(new_model(), DATA, impressions=given),
    "from_tfrs(seen)": lambda model, given: sl.from_tfrs({}, "user", "film", seen=given),
    "Recommender(seen)": lambda model, given: sl.Recommender(model, seen=given),
    "tune(test)": lambda model, given: sl.tune(sl.Recommender(model), test=given),
    "TwoTower.prepare(train)": lambda model, given: new_model().prepare(given),
    "Recipe.train(data)": lambda model, given: sl.recipes.load("factorization").train(given),
    "Recipe.build_model(data)": lambda model, given: sl.recipes.load("factorization").build_model(given),
    "report.measure(test)": lambda model, given: report.measure(model, given),
    "report.measure(seen)": lambda model, given: report.measure(model, DATA, seen=given),
    "report.write(test)": lambda model, given: report.write(sl.Recommender(model), "page.html", given),
    "report.render(test)": lambda model, given: report.render(sl.Recommender(model), given),
}
OTHERS = {
    "a Polars DataFrame": pl.DataFrame(TABLE),
    "a Polars LazyFrame": pl.LazyFrame(TABLE),
    "a pandas DataFrame": pd.DataFrame(TABLE),
    "an Arrow Table": pa.table(TABLE),
    "a dict": TABLE,
    "a list": [TABLE],
    "the text 'log.parquet'": "log.parquet",
    "a Split": sl.split_random(DATA, test=0.5),
    "an int": 3,
    "a NumPy ndarray": np.zeros(3),
}
NOT_NONE = {
    "evaluate(seen)",
    "diagnose(test)",
    "fit(validation)",
    "als(validation)",
    "fit(impressions)",
    "from_tfrs(seen)",
}
NOT_NONE |= {"Recommender(seen)", "tune(test)", "report.measure(seen)", "report.write(test)", "report.render(test)"}


def test_the_table_has_every_public_function_that_takes_a_dataset() -> None:
    wanted = set()
    for name in sl.__all__:
        public = getattr(sl, name)
        is_error = isinstance(public, type) and issubclass(public, (Exception, Warning))
        if not callable(public) or is_error or public in (sl.Dataset, sl.Split, sl.Shards):
            continue
        for parameter, one in inspect.signature(public).parameters.items():
            if "Dataset" in str(one.annotation):
                wanted.add(f"{name}({parameter})")
    assert wanted <= set(CALLS)


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("call", CALLS)
def test_what_is_no_dataset_is_refused(model, tmp_path: Path, monkeypatch, call: str, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"got {kind}; a Dataset") as caught:
        CALLS[call](model, OTHERS[kind])
    hint = str(caught.value.hint)
    assert "train, test = split" in hint if kind == "a Split" else "shortlist.Dataset(" in hint
    assert ("reset_index" in hint and "Int64" in hint) == (kind == "a pandas DataFrame")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", sorted(set(CALLS) - NOT_NONE))
def test_none_is_refused_where_data_is_needed(model, call: str) -> None:
    with pytest.raises(DataError, match="got None; a Dataset"):
        CALLS[call](model, None)


NEW = {"film": [10, 11]}
TABLES = {
    "polars": pl.DataFrame(NEW),
    "lazy": pl.LazyFrame(NEW),
    "pandas": pd.DataFrame(NEW),
    "arrow": pa.table(NEW),
    "a dict of columns": NEW,
    "a list of dicts": [{"film": 10}, {"film": 11}],
    "a path": "new.parquet",
    "a path of text": "new.csv",
}


@pytest.mark.parametrize("kind", TABLES)
def test_upsert_takes_every_table_that_a_dataset_takes(model, tmp_path: Path, monkeypatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    pl.DataFrame(NEW).write_parquet("new.parquet")
    pl.DataFrame(NEW).write_csv("new.csv")
    recommender = sl.Recommender(model)
    recommender.upsert(TABLES[kind])
    assert recommender.index.size == 5
    assert recommender.delete([10, 11]) == 2


@pytest.mark.parametrize("given", [3, None, "no such file.parquet", [1, 2], {"film": ["a", 1]}, np.zeros(3)])
def test_upsert_refuses_what_is_no_table(model, given: object) -> None:
    recommender = sl.Recommender(model)
    with pytest.raises(DataError, match="candidates"):
        recommender.upsert(given)
    assert recommender.index.size == 3


@pytest.mark.parametrize("kind", ["polars", "lazy", "pandas", "arrow", "a dict of columns"])
def test_lists_of_ids_may_be_a_column_of_a_table(model, kind: str) -> None:
    ids = {
        "polars": pl.DataFrame,
        "lazy": pl.LazyFrame,
        "pandas": pd.DataFrame,
        "arrow": pa.table,
        "a dict of columns": dict,
    }[kind]
    recommender = sl.Recommender(model)
    for option, left in (("allow", {7, 8}), ("deny", {9})):
        found = recommender.recommend([1], 5, exclude_seen=False, **{option: ids({"film": [7, 8]})})
        assert {item.id for item in found[0]} == left
    assert recommender.delete(ids({"film": [9]})) == 1


SEEDS = [-(2**63) - 1, 2**64, 2**70, 1.5, True, None, "42"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_is_a_whole_number_of_64_bits(model, seed: object) -> None:
    for call in (
        lambda: sl.fit(new_model(), DATA, seed=seed),
        lambda: sl.tune(sl.Recommender(model), seed=seed),
        lambda: sl.compare(sl.evaluate(model, DATA), sl.evaluate(model, DATA), seed=seed),
    ):
        with pytest.raises(ConfigError, match=r"seed=.* a whole number"):
            call()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", [-(2**63), -1, 0, 2**63, 2**64 - 1, np.int64(3)])
def test_seeds_at_the_edges_train(seed: int) -> None:
    sl.fit(new_model(), DATA, seed=seed, epochs=1, batch_size=4)


FLAGS = {
    "BSL(correct_positive)": lambda given: sl.BSL(correct_positive=given),
    "Checkpoints(resume)": lambda given: sl.Checkpoints("runs", resume=given),
    "Events(strip_ids)": lambda given: sl.Events(strip_ids=given),
    "Events(drop_null_ids)": lambda given: sl.Events(drop_null_ids=given),
    "History(share)": lambda given: sl.History(share=given),
    "Normalization(indicator)": lambda given: sl.Normalization("age", indicator=given),
    "Recommender.keep_up(rebuild)": lambda given: served().keep_up(rebuild=given),
    "Estimator(exclude_seen)": lambda given: sl.Estimator(exclude_seen=given).fit(DATA),
    "compare_all(exclude_seen)": lambda given: sl.compare_all(["als"], [sl.split_random(DATA)], exclude_seen=given),
    "cross_validate(exclude_seen)": lambda given: sl.cross_validate("als", DATA, exclude_seen=given),
    "Recommender.from_hub(trusted)": lambda given: sl.Recommender.from_hub("a/b", trusted=given),
    "Recommender.from_mlflow(trusted)": lambda given: sl.Recommender.from_mlflow("models:/a/1", trusted=given),
    "Recommender.push_to_hub(private)": lambda given: served().push_to_hub("a/b", private=given),
    "Recommender.load(mmap)": lambda given: sl.Recommender.load("no.shortlist", mmap=given),
    "Recommender.load(trusted)": lambda given: sl.Recommender.load("no.shortlist", trusted=given),
    "Recommender.recommend(exclude_seen)": lambda given: served().recommend([1], exclude_seen=given),
    "Recommender.score(exclude_seen)": lambda given: served().score([1], [2], exclude_seen=given),
    "Recommender.recommend_all(exclude_seen)": lambda given: served().recommend_all("no", exclude_seen=given),
    "Recommender.recommend_all(vectors)": lambda given: served().recommend_all("no", vectors=given),
    "Recommender.recommend(explain)": lambda given: served().recommend([1], explain=given),
    "Recommender.save(overwrite)": lambda given: served().save("no", overwrite=given),
    "Recommender.save(optimizer)": lambda given: served().save("no", optimizer=given),
    "Retrieval(remove_accidental_hits)": lambda given: sl.Retrieval(remove_accidental_hits=given),
    "Retrieval(mask_known)": lambda given: sl.Retrieval(mask_known=given),
    "Retrieval(learn_temperature)": lambda given: sl.Retrieval(learn_temperature=given),
    "Shards.encode(grow)": lambda given: sl.Shards.encode("no.csv", "no", query="user", candidate="film", grow=given),
    "Shards.encode(overwrite)": lambda given: sl.Shards.encode(
        "no.csv", "no", query="user", candidate="film", overwrite=given
    ),
    "Shards.load(verify)": lambda given: sl.Shards.load("no", verify=given),
    "Softmax(correct_positive)": lambda given: sl.Softmax(correct_positive=given),
    "Timestamp(of_target)": lambda given: sl.Timestamp("at", of_target=given),
    "Tower(layer_norm)": lambda given: sl.Tower(sl.IntegerLookup("user"), layer_norm=given),
    "Tower(normalize)": lambda given: sl.Tower(sl.IntegerLookup("user"), normalize=given),
    "Tower(bias)": lambda given: sl.Tower(sl.IntegerLookup("user"), bias=given),
    "WarmStart(only_new)": lambda given: sl.WarmStart(new_model(), only_new=given),
    "als(exclude_seen)": lambda given: sl.als(new_model(), DATA, exclude_seen=given),
    "als(weighted)": lambda given: sl.als(new_model(), DATA, weighted=given),
    "choose(refit)": lambda given: sl.choose(DATA, refit=given),
    "choose(weighted)": lambda given: sl.choose(DATA, weighted=given),
    "evaluate(intervals)": lambda given: sl.evaluate(new_model(), DATA, intervals=given),
    "evaluate(weighted)": lambda given: sl.evaluate(new_model(), DATA, weighted=given),
    "fit(exclude_seen)": lambda given: sl.fit(new_model(), DATA, exclude_seen=given),
    "fit(weighted)": lambda given: sl.fit(new_model(), DATA, weighted=given),
    "popularity(recent)": lambda given: sl.popularity(DATA, recent=given),
    "split_queries(by_time)": lambda given: sl.split_queries(DATA, by_time=given),
}
RESULTS = {"Choice(refitted)", "TrainingHistory(stopped_early)"}
BY_CALLERS_OF_OURS = {
    "BruteForce.load(mmap)", "Faiss.load(mmap)", "Milvus.load(mmap)", "Quantized.load(mmap)", "ScaNN.load(mmap)",
    "LanceDB.load(mmap)", "Pgvector.load(mmap)", "Qdrant.load(mmap)", "History.settled_context(timestamps)",
    "Estimator.get_params(deep)", "MLflow.close(failed)", "Shards.chunks(numbers)", "Shards.chunks(times)", "Shards.read(negatives)", "Shards.read(times)",
}  # fmt: skip


def served() -> sl.Recommender:
    return sl.Recommender(sl.popularity(DATA), seen=DATA)


def public_flags() -> set[str]:
    """Every parameter of a public function, class or method that is annotated as bool."""
    found = set()
    for name in sl.__all__:
        one = getattr(sl, name)
        calls = {name: one}
        if inspect.isclass(one):
            methods = inspect.getmembers(one, lambda each: inspect.isfunction(each) or inspect.ismethod(each))
            calls |= {
                f"{name}.{label}": method
                for label, method in methods
                if not label.startswith("_") and method.__module__.startswith("shortlist")
            }
        for label, call in calls.items():
            try:
                parameters = inspect.signature(call).parameters.values()
            except (TypeError, ValueError):
                continue
            found |= {f"{label}({one.name})" for one in parameters if one.annotation in ("bool", bool)}
    return found


def test_every_public_flag_is_in_the_table() -> None:
    assert public_flags() == set(FLAGS) | RESULTS | BY_CALLERS_OF_OURS


@pytest.mark.parametrize("call", FLAGS)
@pytest.mark.parametrize("given", ["no", 1, None, []], ids=repr)
def test_a_flag_is_true_or_false(call: str, given: object) -> None:
    name = call.partition("(")[2][:-1]
    with pytest.raises(ConfigError, match=f"{name}=.*True or False was expected"):
        FLAGS[call](given)
