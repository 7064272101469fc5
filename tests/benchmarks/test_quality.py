"""The quality benchmark: places and metrics worked by hand, baselines beside their definitions, and the command."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from benchmarks.quality import (
    __main__,
    baselines,
    measures,
    mixing,
    multvae,
    ours,
    page,
    problems,
    runs,
    sasrec,
    tune,
    weighing,
)
from benchmarks.quality.kept import Kept
from benchmarks.quality.problems import Problem
from benchmarks.quality.protocols import PROTOCOLS, Measure, Protocol
from scipy import sparse

import shortlist as sl
from benchmarks import korean
from shortlist.sources import Weights


def problem(*named: Measure, exclude_seen: bool = True) -> Problem:
    """Two queries, six candidates. Query 0 has seen candidate 0 and is asked for 1 and 2; query 1 has seen 5, asked for 3."""
    rows = pl.DataFrame({"user": [0, 0, 0, 1, 1], "item": [0, 1, 2, 5, 3], "time": [1, 2, 3, 1, 2]})
    data = sl.Dataset(
        rows, query="user", candidate="item", timestamp="time", candidates=pl.DataFrame({"item": [0, 1, 2, 3, 4, 5]})
    )
    train = data.with_interactions(rows[[0, 3]])
    test = data.with_interactions(rows[[1, 2, 4]])
    return Problem(train, train, test, Protocol("made up", "given", named, exclude_seen))


SCORES = np.array([[9, 5, 3, 4, 5, 1], [0, 1, 2, 6, 7, 8]], dtype=np.float32)


def score(rows):
    return SCORES[rows]


@pytest.mark.parametrize(
    ("exclude_seen", "k", "places"),
    [
        (True, 5, [2, 4, 2]),  # query 0: 5 ties with 5 and counts below it, 3 is fourth of the five left; query 1: 7, 6
        (False, 5, [3, 5, 3]),  # candidates 0 and 5 compete again
        (True, 2, [2, 3, 2]),  # beyond k is k + 1
    ],
)
def test_places(exclude_seen, k, places) -> None:
    assert measures.places(score, problem(exclude_seen=exclude_seen), k).tolist() == places


def test_a_pair_that_was_seen_cannot_be_found() -> None:
    asked = problem()
    again = Problem(asked.train, asked.train, asked.train, asked.protocol)
    assert measures.places(score, again, 3).tolist() == [4, 4]


def test_metrics_by_hand() -> None:
    named = (Measure("top", 2), Measure("recall", 2), Measure("hit_rate", 2), Measure("ndcg", 4), Measure("ndcg", 1))
    found = measures.figures(score, problem(*named))
    assert found["top_2"] == pytest.approx(2 / 3)  # places 2, 4, 2
    assert found["recall_2"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["hit_rate_2"] == 1
    third = 1 / math.log2(3)
    first = (third + 1 / math.log2(5)) / (1 + third)
    assert found["ndcg_4"] == pytest.approx((first + third) / 2)
    assert found["ndcg_1"] == 0


def test_scores_all_alike_earn_nothing() -> None:
    asked = problem(Measure("recall", 3))
    assert measures.figures(lambda rows: np.zeros((len(rows), 6), np.float32), asked) == {"recall_3": 0}


def test_histories_are_in_order_of_time() -> None:
    rows = pl.DataFrame({"user": [1, 0, 1, 1], "item": [4, 5, 6, 7], "time": [9, 1, 2, 9]})
    data = sl.Dataset(rows, query="user", candidate="item", timestamp="time")
    offsets, items = Problem(data, data, data, PROTOCOLS["beauty", "last"]).histories
    assert offsets.tolist() == [0, 1, 4]
    assert items.tolist() == [1, 2, 0, 3]  # rows of candidates 5; 6, 4, 7: equal times in the order of the rows


@pytest.mark.parametrize(("dataset", "kind"), [key for key in PROTOCOLS if key[0] == "ml-100k"])
def test_validation_is_a_part_of_the_training_data(dataset, kind) -> None:
    whole = problems.load(dataset, kind)
    inner = whole.validation()
    pairs = {frozenset(part.interactions.rows()) for part in (whole.train,)}.pop()
    assert frozenset(inner.train.interactions.rows()) | frozenset(inner.test.interactions.rows()) == pairs
    assert not pairs & frozenset(whole.test.interactions.rows())
    assert not frozenset(inner.train.interactions.rows()) & frozenset(inner.test.interactions.rows())


def test_held_out_users_are_not_trained_on() -> None:
    generator = np.random.default_rng(0)
    rows = pl.DataFrame({"user": generator.integers(0, 50, 1000), "item": generator.integers(0, 30, 1000)}).unique()
    data = sl.Dataset(rows.sort("user", "item"), query="user", candidate="item")
    asked = problems._held_out(data, PROTOCOLS["ml-1m", "users"], seed=3)
    out = set(asked.test.query_rows)
    assert len(out) == 5
    assert set(asked.given.query_rows) == out
    assert not out & set(asked.train.query_rows)
    assert len(asked.train) + len(asked.given) + len(asked.test) == len(data)
    for row in out:
        given, rest = (int((part.query_rows == row).sum()) for part in (asked.given, asked.test))
        assert given == math.ceil(0.8 * (given + rest))


def test_the_one_before_last_is_given_but_not_trained_on() -> None:
    rows = pl.DataFrame({"user": [0] * 4 + [1] * 3, "item": [1, 2, 3, 4, 4, 3, 1], "time": [1, 2, 3, 4, 1, 2, 3]})
    data = sl.Dataset(rows, query="user", candidate="item", timestamp="time")
    asked = problems._held_out(data, PROTOCOLS["beauty", "last"], seed=3)
    assert asked.train.interactions.select("user", "item").rows() == [(0, 1), (0, 2), (1, 4)]
    assert asked.given.interactions.select("user", "item").rows() == [(0, 1), (0, 2), (0, 3), (1, 4), (1, 3)]
    assert asked.test.interactions.select("user", "item").rows() == [(0, 4), (1, 1)]
    inner = asked.validation()
    assert inner.train is inner.given is asked.train
    assert inner.test.interactions.select("user", "item").rows() == [(0, 3), (1, 3)]


def test_our_model_is_asked_with_all_that_is_given() -> None:
    """The vector of an embedding-free query is that of its last given item, though training stopped before it."""
    rows = pl.DataFrame({"user": [0] * 4 + [1] * 4, "item": [0, 1, 2, 3, 3, 2, 1, 0], "time": [1, 2, 3, 4, 1, 2, 3, 4]})
    data = sl.Dataset(rows, query="user", candidate="item", timestamp="time")
    asked = problems._held_out(data, PROTOCOLS["beauty", "last"], seed=3)
    history = sl.History(encoder="mean", length=1, dropout=0.0)
    model = sl.TwoTower(query=sl.Tower(history, dim=4), candidate=sl.Tower(sl.IntegerLookup("item"), dim=4))
    sl.fit(model, asked.train, epochs=1)
    items = model.candidate_vectors(asked.train.candidates)
    np.testing.assert_allclose(ours.scorer(model, asked)(np.array([0])), items[[2]] @ items.T, rtol=1e-5)
    inner = asked.validation()
    np.testing.assert_allclose(ours.scorer(model, inner)(np.array([0])), items[[1]] @ items.T, rtol=1e-5)


def test_data_from_a_folder(tmp_path: Path) -> None:
    """The layouts of --data-dir, with rows made up."""
    for name in ("gowalla", "amazon", "movielens-1m"):
        (tmp_path / name).mkdir()
    pairs = pl.DataFrame({"user": [0, 0, 1, 1, 2, 2], "item": [1, 2, 2, 3, 3, 1]})
    pairs.write_parquet(tmp_path / "gowalla/train.parquet")
    pl.DataFrame({"user": [0, 1], "item": [3, 9]}).write_parquet(tmp_path / "gowalla/test.parquet")
    asked = problems.load("gowalla", "split", tmp_path)
    assert (len(asked.train), len(asked.test), len(asked.train.candidates)) == (6, 2, 4)

    reviews = pl.concat([pairs, pl.DataFrame({"user": [0, 1, 2], "item": [3, 1, 2]})])
    places = pl.Series([1, 2, 2, 1, 1, 2, 0, 0, 0])
    reviews.with_columns(position=places).write_parquet(tmp_path / "amazon/beauty.parquet")
    pl.DataFrame({"item": [1, 2], "attributes": [[5], [5, 6]]}).write_parquet(tmp_path / "amazon/beauty_items.parquet")
    asked = problems.load("beauty", "last", tmp_path)
    assert asked.test.interactions.select("user", "item").rows() == [(0, 2), (1, 2), (2, 1)]
    assert asked.train.interactions.select("user", "item").rows() == [(0, 3), (1, 1), (2, 2)]
    assert asked.train.candidates["attributes"].to_list() == [[5], [5, 6], None]

    rated = pairs.rename({"user": "user_id", "item": "movie_id"})
    rated = rated.with_columns(rating=pl.Series([5, 4, 3, 5, 4, 4]), timestamp=pl.Series([1, 2, 3, 4, 6, 5]))
    rated.write_parquet(tmp_path / "movielens-1m/interactions.parquet")
    asked = problems.load("ml-1m", "last", tmp_path)
    assert asked.test.interactions["movie_id"].to_list() == [2, 3]  # user 1 has one rating of 4 or more left


def random_matrix(seed: int, rows: int = 12, columns: int = 8) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.random.default_rng(seed).random((rows, columns)) < 0.4).astype(np.float32))


def test_ease_is_the_ridge_regression_of_each_item_on_the_others() -> None:
    matrix = random_matrix(1)
    dense = matrix.toarray().astype(np.float64)
    weights = baselines.weights_of(matrix, 2.0)
    for item in range(8):
        others = [other for other in range(8) if other != item]
        left = dense[:, others].T @ dense[:, others] + 2.0 * np.eye(7)
        solution = np.linalg.solve(left, dense[:, others].T @ dense[:, item])
        np.testing.assert_allclose(weights[others, item], solution, rtol=1e-4, atol=1e-6)
        assert weights[item, item] == 0


def test_ials_folds_in_who_training_never_saw() -> None:
    rows = {"user": [0, 0, 1, 1, 2, 2, 3], "item": [0, 1, 0, 1, 2, 3, 2]}
    data = sl.Dataset(rows, query="user", candidate="item")
    train, given = (
        data.with_interactions(data.interactions.filter(keep)) for keep in (pl.col("user") < 3, pl.col("user") == 3)
    )
    score = baselines.ials(Problem(train, given, given, PROTOCOLS["ml-1m", "users"]), dim=2, regularization=0.01)
    found = score(np.array([3]))[0]
    assert found[[2, 3]].min() > 2 * np.abs(found[[0, 1]]).max()


def test_recency_halves_an_item_s_weight_with_its_age() -> None:
    rows = pl.DataFrame({"user": [0, 0, 0, 1, 1], "item": [0, 1, 2, 0, 2], "time": [1, 2, 3, 1, 2]})
    data = sl.Dataset(rows, query="user", candidate="item", timestamp="time")
    asked = Problem(data, data, data, PROTOCOLS["ml-100k", "last"])
    matrix = sparse.csr_matrix((np.ones(5, np.float32), (data.query_rows, data.candidate_rows)))
    weights = baselines.weights_of(matrix, 1.0)
    found = baselines.recency(asked, regularization=1.0, half_life=1.0)(np.array([0]))
    np.testing.assert_allclose(found[0], np.array([0.25, 0.5, 1.0]) @ weights, rtol=1e-5)


def test_transitions_score_what_came_next_and_others_by_popularity() -> None:
    """Items 0 → 1 → 2 by query 0, 0 → 2 by query 1, both twice away from nothing; 3 is chosen by query 2 alone."""
    rows = pl.DataFrame({"user": [0, 0, 0, 1, 1, 2], "item": [0, 1, 2, 0, 2, 3], "time": [1, 2, 3, 1, 2, 1]})
    data = sl.Dataset(rows, query="user", candidate="item", timestamp="time")
    options = {"window": 1, "backward": 0.0, "source_power": 0.0, "target_power": 0.0, "age": 0.5}
    found = baselines.transitions(Problem(data, data, data, PROTOCOLS["beauty", "last"]), **options)(np.array([0, 2]))
    # query 0, latest first: 2 (leads nowhere), 1 (1 → 2, half), 0 (0 → 1 and 0 → 2, a quarter each)
    np.testing.assert_allclose(found[0], [-1 / 3, 0.25, 0.5 + 0.25, -1 / 2])
    np.testing.assert_allclose(found[1], [-1 / 3, -1 / 2, -1 / 3, -1 / 2])  # 3 leads nowhere: by popularity


def test_cooccurrence_scores_what_the_same_queries_chose() -> None:
    rows = pl.DataFrame({"user": [0, 0, 1, 1, 2], "item": [0, 1, 0, 2, 0]})
    data = sl.Dataset(rows, query="user", candidate="item")
    options = {"query_power": 0.0, "source_power": 1.0, "target_power": 0.0}
    found = baselines.cooccurrence(Problem(data, data, data, PROTOCOLS["gowalla", "split"]), **options)(np.array([2]))
    np.testing.assert_allclose(found, [[-1 / 4, 1 / 3, 1 / 3]])  # of three who chose 0, one chose 1 and one 2


def mixture_of(asked: Problem) -> sl.Mixture:
    """Popularity, what came next, and the latest choices of all."""
    sources = [sl.popularity(asked.train), sl.Transitions().fit(asked.train), sl.Recent().fit(asked.train)]
    return sl.Mixture(sources, asked.train, weights=[0.2, 0.5, 0.3], temperatures=[2.0])


def walks() -> sl.Dataset:
    """Thirty queries that mostly walk from item to item, of forty."""
    chance = np.random.default_rng(5)
    steps = np.where(chance.random((30, 7)) < 0.7, 1, chance.integers(0, 40, (30, 7)))
    items = (chance.integers(0, 40, (30, 1)) + np.cumsum(steps, 1)) % 40
    table = {"user": np.repeat(np.arange(30), 7), "item": items.ravel(), "time": np.tile(np.arange(7), 30)}
    return sl.Dataset(pl.DataFrame(table), "user", "item", timestamp="time")


def test_a_mixture_has_the_figures_that_evaluate_gives() -> None:
    named = (Measure("top", 5), Measure("ndcg", 5))
    asked = problems._held_out(walks(), Protocol("made up", "last", named), seed=0)
    model = mixture_of(asked)
    found = measures.figures(ours.scorer(model, asked), asked)
    wanted = sl.evaluate(model, asked.test, seen=asked.train, ks=(5,), metrics=("top", "ndcg"))["model"]["seen_out"]
    assert found == pytest.approx({measure.label: wanted[measure.label] for measure in named})


def test_a_mixture_is_asked_with_what_is_given() -> None:
    """The one before the last validates: it is not trained on, and is the latest of the history when the test part is asked."""
    asked = problems._held_out(walks(), Protocol("made up", "last-two", (Measure("recall", 5),)), seed=0)
    histories = mixing.mixed(mixture_of(asked), asked).context.histories
    offsets, items = asked.histories
    for number, row in enumerate(asked.queries.tolist()):
        given = items[offsets[row] : offsets[row + 1]].tolist()
        assert histories.row(number).tolist() == list(dict.fromkeys(reversed(given)))[::-1]


def test_weights_tried_at_once_have_the_figures_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weighing, "ROWS", 7)
    named = (Measure("recall", 5), Measure("ndcg", 5))
    asked = problems._held_out(walks(), Protocol("made up", "last", named), seed=0)
    model = mixture_of(asked)
    found = weighing.weighed(model, asked, {"transitions": [0.0, 0.2, 0.9]}, {"towers": [0.5, 3.0]})
    assert [changes["weights.transitions"] for changes, _ in found] == [0.0, 0.0, 0.2, 0.2]  # 0.9 and 0.3 leave nothing
    for changes, measured in found:
        share = changes["weights.transitions"]
        weights = Weights((0.7 - share, share, 0.3), (changes["temperatures.towers"],))
        assert measured == pytest.approx(measures.figures(ours.scorer(model.with_weights(weights), asked), asked))
    assert found[0][1] != found[2][1]
    with pytest.raises(sl.ConfigError, match="names the source 'transition'"):
        weighing.weighed(model, asked, {"transition": [0.1]}, {})


def test_kept_towers_are_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = walks()
    recipe = sl.recipes.load("tutorial", ["fit.epochs=1", "model.dim=4"])
    first = Kept(tmp_path)
    towers = first.towers(recipe, data, 3)
    assert (first.saved, len([*tmp_path.iterdir()])) == (0, 1)
    mixed = sl.recipes.load("tutorial", ["fit.epochs=1", "model.dim=4", "neighbours.kind='transitions'"])
    with monkeypatch.context() as patched:
        patched.delattr(sl.recipes.Recipe, "train_towers")
        again = Kept(tmp_path)
        found = again.towers(mixed, data, 3)  # what is mixed with towers does not change them
    assert again.saved > 0
    np.testing.assert_array_equal(found.candidate_vectors(data.candidates), towers.candidate_vectors(data.candidates))
    other = data.with_interactions(data.interactions[1:])
    for args in ((recipe, data, 4), (recipe, other, 3), (sl.recipes.load("tutorial", ["fit.epochs=1"]), data, 3)):
        Kept(tmp_path).towers(*args)
    assert len([*tmp_path.iterdir()]) == 4


def test_the_divergence_of_a_code_from_a_standard_normal() -> None:
    """Of N(μ, σ²) it is (σ² + μ² − 1 − log σ²) / 2 in each dimension."""
    model = multvae.MultVae(items=3, hidden=4, latent=2, dropout=0.0)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.zero_()
        model.encoder[2].bias.copy_(torch.tensor([1.0, 2.0, 0.0, math.log(4)]))  # μ = 1, 2; log σ² = 0, log 4
    _, divergence = model(torch.ones(1, 3))
    assert divergence.item() == pytest.approx((1 + 1 - 1 - 0) / 2 + (4 + 4 - 1 - math.log(4)) / 2, rel=1e-6)


def test_mult_vae_learns_who_chooses_alike() -> None:
    """Two groups of queries choose within two halves of the candidates; one item is enough to tell them apart."""
    blocks = np.kron(np.eye(2), np.ones((20, 5))).astype(np.float32)
    given = np.zeros((2, 10), np.float32)
    given[0, 1] = given[1, 7] = 1
    options = {"hidden": 16, "latent": 4, "epochs": 150, "warm_up": 50, "learning_rate": 0.01}
    scorer = multvae.mult_vae(sparse.csr_matrix(blocks), sparse.csr_matrix(given), 0, **options)
    scores = scorer(np.array([0, 1]))
    assert scores[0, :5].min() > scores[0, 5:].max()
    assert scores[1, 5:].min() > scores[1, :5].max()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Runs `python -m benchmarks.quality ... --json`; returns the exit status, the result and the messages."""
    monkeypatch.setattr(runs, "RESULTS", tmp_path / "results")

    def call(*arguments: str):
        monkeypatch.setattr(sys, "argv", ["quality", *arguments, "--json"])
        status = __main__.main()
        out, err = capsys.readouterr()
        return status, json.loads(out) if out else None, err

    return call


def test_the_command_measures_a_baseline_and_keeps_the_result(command, tmp_path: Path) -> None:
    arguments = ("--dataset", "ml-100k", "--protocol", "random-unseen", "--recipe", "popularity", "--seeds", "3")
    status, result, _ = command(*arguments)
    assert status == 0
    assert json.loads((tmp_path / "results/ml-100k-random-unseen-popularity.json").read_text()) == result
    assert result["command"] == "python -m benchmarks.quality " + " ".join(arguments)
    keys = ["dataset", "protocol", "recipe", "metric", "mean", "std", "seeds", "bar", "aim", "holds"]
    assert [list(row) for row in result["rows"]] == [keys, keys]
    ten, hundred = result["rows"]
    assert (ten["metric"], ten["seeds"], ten["std"], ten["bar"], ten["holds"]) == ("top_10", 1, 0.0, 0.175, False)
    assert 0.08 < ten["mean"] < 0.1 < hundred["mean"] < 0.5


def test_our_recipe_has_the_figures_that_evaluate_gives(command) -> None:
    status, result, _ = command(
        "--dataset", "ml-100k", "--protocol", "random", "--recipe", "tutorial", "--seeds", "2", "--set", "fit.epochs=1"
    )
    assert status == 0
    train, test = sl.split_random(sl.datasets.movielens("100k"), test=0.2, seed=42)
    model, _ = sl.recipes.load("tutorial", ["fit.epochs=1"]).train(train, seed=1)
    wanted = sl.evaluate(model, test, ks=(10, 100))["model"]["seen_in"]
    assert result["runs"][1]["top_10"] == pytest.approx(wanted["top_10"], abs=2e-4)
    assert result["runs"][1]["top_100"] == pytest.approx(wanted["top_100"], abs=2e-4)
    values = [run["top_100"] for run in result["runs"]]
    assert result["rows"][1]["mean"] == pytest.approx(sum(values) / 2)
    assert result["rows"][1]["std"] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2))


def test_a_run_goes_on_where_it_was_broken_off(command, tmp_path: Path) -> None:
    asked = ("--dataset", "ml-100k", "--protocol", "random", "--recipe", "tutorial", "--set", "fit.epochs=1")
    _, whole, _ = command(*asked, "--seeds", "2")
    _, first, _ = command(*asked, "--seeds", "1", "--anew")
    assert len(first["runs"]) == 1
    status, result, err = command(*asked, "--seeds", "2")
    assert status == 0
    assert "seed 0" not in err  # the seed that was there is not run again
    assert result["runs"][0] == first["runs"][0]
    assert [row["mean"] for row in result["rows"]] == [row["mean"] for row in whole["rows"]]
    place = tmp_path / "results/ml-100k-random-tutorial.json"
    known = json.loads(place.read_text())
    del known["settings"]["model"]["bias"]  # as if the option had come since
    del known["runs"][0]  # a seed in between may be the missing one
    place.write_text(json.dumps(known))
    status, result, err = command(*asked, "--seeds", "2")
    assert status == 0
    assert "seed 1" not in err
    assert [run["seed"] for run in result["runs"]] == [0, 1]
    assert [row["mean"] for row in result["rows"]] == [row["mean"] for row in whole["rows"]]
    kept = json.loads(place.read_text())
    assert kept == result
    assert command(*asked, "--seeds", "1")[1] == kept  # nothing is missing, and nothing is dropped
    changed = ("--set", "model.dim=8")
    status, _, err = command(*asked, *changed, "--seeds", "3")
    assert status == 1
    assert "other settings" in err
    assert json.loads(place.read_text()) == kept


def test_tuning_writes_down_the_search_and_its_range(command, tmp_path: Path) -> None:
    search = tmp_path / "small.toml"
    search.write_text("[space]\nregularization = [1.0, 300.0, 1e6]\n")
    status, result, _ = command(
        "--dataset",
        "ml-100k",
        "--protocol",
        "random-unseen",
        "--recipe",
        "ease",
        "--tune",
        str(search),
        "--trials",
        "2",
    )
    assert status == 0
    assert result["space"] == {"regularization": [1.0, 300.0, 1e6]}
    assert len(result["trials"]) == 2
    assert result["best"] == result["trials"][0]["changes"]
    assert result["trials"][0]["top_10"] >= result["trials"][1]["top_10"]
    assert result["train_rows"] + result["validation_rows"] == 80_000
    assert (tmp_path / "results/tuning/ml-100k-random-unseen-ease.json").is_file()


def test_weights_of_a_mixture_are_tried_at_each_point(command, tmp_path: Path) -> None:
    recipe, search = tmp_path / "mixed.toml", tmp_path / "weights.toml"
    recipe.write_text('towers = "popularity"\n[[sources]]\nkind = "transitions"\nweight = 0.5\n')
    search.write_text(
        "[space]\n'sources' = [[{kind = 'transitions', weight = 0.5, options = {window = 1}}], [{kind = 'transitions', weight = 0.5}]]\n"
        "[weights]\ntransitions = [0.5, 0.9]\n[temperatures]\ntowers = [2.0]\n"
    )
    asked = ("--dataset", "ml-100k", "--protocol", "last", "--recipe", str(recipe), "--set", "fit.seed=3")
    status, result, _ = command(*asked, "--tune", str(search), "--towers", str(tmp_path / "kept"))
    assert status == 0
    assert len(result["trials"]) == 4
    assert result["fixed"] == {"fit.seed": 3}
    assert result["space"].keys() == {"sources", "weights.transitions", "temperatures.towers"}
    assert result["best"].keys() == result["space"].keys()
    assert len([*(tmp_path / "kept").iterdir()]) == 1  # one training for all
    assert len({trial["ndcg_10"] for trial in result["trials"]}) == 4


def test_some_of_the_queries_keep_their_pairs() -> None:
    asked = problems._held_out(walks(), Protocol("made up", "random", (Measure("recall", 5),)), seed=0)
    drawn = asked.some(10, seed=1)
    assert len(drawn.queries) == 10
    assert asked.some(30, seed=1) is asked
    inside = np.isin(asked.test.query_rows, drawn.queries)
    assert drawn.test.interactions.rows() == asked.test.interactions.filter(pl.Series(inside)).rows()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ml-100k", "holiday", "ease"], "there is no protocol 'holiday'"),
        (["gowalla", "split", "ease"], "--data-dir"),
        (["ml-100k", "last", "easy"], "there is no recipe 'easy'"),
        (["ml-100k", "last", "ease", "--set", "lambda=3"], "option it does not have"),
        (["ml-100k", "last", "tutorial", "--set", "model.dmi=3"], "unknown key 'dmi'"),
        (["ml-100k", "last", "ease", "--tune", "nothing"], "there is no search"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(command, arguments, message) -> None:
    dataset, protocol, recipe, *rest = arguments
    status, result, err = command("--dataset", dataset, "--protocol", protocol, "--recipe", recipe, *rest)
    assert (status, result) == (1, None)
    assert message in err


def test_every_recipe_and_search_kept_here_can_be_read() -> None:
    for path in ours.RECIPES.glob("*.toml"):
        assert sl.recipes.load(path)
    for path in tune.SEARCHES.glob("*.toml"):
        values = tune.space_of(path.stem).values
        assert values
        assert all(isinstance(one, list) and one for one in values.values())


@pytest.mark.parametrize("code", korean.CODES)
def test_the_page_is_what_the_results_say(code: str) -> None:
    """docs/quality.md and its Korean twin are made by `python -m benchmarks.quality --docs`, never typed."""
    assert korean.place(page.PAGE, code).read_text(encoding="utf-8") == page.text_of(runs.RESULTS, code)


def test_results_and_notes_have_their_korean() -> None:
    assert korean.missing(page.made(runs.RESULTS)) == [], "benchmarks/ko.po"
    assert page.notes("ko").keys() == page.notes("en").keys()


def test_every_result_can_be_repeated_and_judges_its_own_bar() -> None:
    for path in runs.RESULTS.glob("*.json"):
        result = json.loads(path.read_text())
        first = result["rows"][0]
        measures_ = PROTOCOLS[first["dataset"], first["protocol"]].measures
        assert [row["metric"] for row in result["rows"]] == [measure.label for measure in measures_], path
        assert result["command"].startswith(f"python -m benchmarks.quality --dataset {first['dataset']}"), path
        for row, measure in zip(result["rows"], measures_, strict=True):
            values = [run[row["metric"]] for run in result["runs"]]
            assert row["mean"] == pytest.approx(sum(values) / len(values)), path
            bar, aim = measure.goals(runs.is_mixture(result["settings"]))
            assert (row["bar"], row["aim"], row["seeds"]) == (bar, aim, len(values)), path
            assert row["holds"] == (None if bar is None else row["mean"] >= bar), path


def test_the_page_of_made_up_results(tmp_path: Path) -> None:
    """A best recipe that holds one bar of two, and a baseline below it; everything else is said to be missing."""
    asked = PROTOCOLS["ml-100k", "random"]
    rows = [
        {
            "dataset": "ml-100k",
            "protocol": "random",
            "recipe": name,
            "metric": measure.label,
            "mean": mean,
            "std": 0.002,
        }
        | {"seeds": 2, "bar": measure.bar, "aim": measure.aim, "holds": mean >= measure.bar}
        for name, means in (("ours", (0.07, 0.4)), ("popularity", (0.04, 0.3)))
        for measure, mean in zip(asked.measures, means, strict=True)
    ]
    for name in ("ours", "popularity"):
        own = [row for row in rows if row["recipe"] == name]
        content = {"command": f"python -m benchmarks.quality --recipe {name}", "rows": own, "runs": [{"seconds": 3.0}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    text = page.text_of(tmp_path)
    assert f"| {asked.what} | ours | 0.0700 / 0.4000 | 0.060 / 0.420 | 0.080 / 0.480 | **one of two missed** |" in text
    assert "| **ours** | 0.0700 ± 0.0020 | 0.4000 ± 0.0020 | 2 | 3 |" in text
    assert text.index("| popularity | 0.0400") < text.index("| **ours** | 0.0700")
    assert "python -m benchmarks.quality --recipe ours" in text
    assert text.count("Not run.") == len(PROTOCOLS) - 1


def test_the_lists_of_rectools_are_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Query 0 finds 1 first and 2 never, query 1 finds 3 second, in a list that is not full."""
    asked = problem(Measure("top", 3))
    given: dict[str, object] = {}
    asked_of: list[str] = []

    def lists(peer: str, of: Problem, settings: dict[str, object]) -> np.ndarray:
        given.update(settings)
        asked_of.append(peer)
        return np.array([[1, 3, 4], [0, 3, -1]])

    monkeypatch.setattr(sasrec, "_lists", lists)
    found = sasrec.rectools(asked, seed=7, n_factors=8)
    assert measures.places(found, asked, 3).tolist() == [1, 4, 2]
    assert given == {"k": 3, "seed": 7, "threads": torch.get_num_threads(), "n_factors": 8}
    assert measures.places(sasrec.replay(asked, seed=7, embedding_dim=8), asked, 3).tolist() == [1, 4, 2]
    assert (given["embedding_dim"], given["num_blocks"], asked_of) == (8, 2, ["rectools", "replay"])


def test_rectools_gets_rows_by_user_and_then_by_time() -> None:
    rows = pl.DataFrame({"user": [1, 0, 1, 0], "item": [5, 6, 7, 8], "time": [4, 3, 2, 1]})
    data = sl.Dataset(rows, query="user", candidate="item", timestamp="time")
    found = sasrec._in_order(data)
    assert data.interactions["user"].to_list() == [1, 0, 1, 0]
    assert found["user"].tolist() == sorted(data.query_rows.tolist())
    items = data.candidates["item"].to_list()
    by_user = {
        user: [items[item] for u, item in zip(found["user"], found["item"], strict=True) if u == user]
        for user in (0, 1)
    }
    users = data.queries["user"].to_list()
    assert {users[user]: chosen for user, chosen in by_user.items()} == {0: [8, 6], 1: [7, 5]}
