"""Keys of a recipe that say how a tower is built reach the tower."""

import polars as pl
import pytest

import shortlist as sl

ROWS = pl.DataFrame({"user": [n % 9 for n in range(120)], "item": [(n * n) % 13 for n in range(120)]})


@pytest.fixture(scope="module")
def data() -> sl.Dataset:
    return sl.Dataset(ROWS, query="user", candidate="item")


def test_layers_of_one_side_are_of_that_side_alone(data: sl.Dataset) -> None:
    recipe = sl.recipes.load("factorization", ["query.hidden=[8]", "query.cross=1", "candidate.hidden=[6, 4]"])
    model = recipe.build_model(data)
    assert (model.query.shape.hidden, model.query.shape.cross) == ((8,), 1)
    assert (model.candidate.shape.hidden, model.candidate.shape.cross) == ((6, 4), 0)


def test_a_query_of_several_vectors(data: sl.Dataset) -> None:
    """Trained, and asked: k candidates without repeats, scored by the best of the query's vectors."""
    recipe = sl.recipes.load("factorization", ["query.heads=3", "model.dim=4", "fit.epochs=1"])
    model, _ = recipe.train(data)
    assert model.query_vectors(data.queries).shape == (9, 3 * 4)
    found = sl.Recommender(model, index=sl.BruteForce()).recommend([4], k=5)
    vectors = model.query_vectors(data.queries.filter(pl.col("user") == 4)).reshape(3, 4)
    best = (vectors @ model.candidate_vectors(data.candidates).T).max(0)
    wanted = data.candidates["item"].gather(best.argsort()[::-1][:5])
    assert found.to_frame()["item"].to_list() == wanted.to_list()


def test_a_candidate_has_one_vector(data: sl.Dataset) -> None:
    with pytest.raises(sl.ConfigError, match="a candidate has one vector"):
        sl.recipes.load("factorization", ["candidate.heads=2"]).build_model(data)


SOURCES = """
towers = "popularity"
temperature = 2.0
[[sources]]
kind = "transitions"
weight = 0.3
[sources.options]
window = 3
[[sources]]
kind = "towers"
weight = 0.2
temperature = 0.5
[sources.towers.model]
dim = 4
[sources.towers.fit]
epochs = 1
seed = 7
[[sources]]
kind = "popular"
weight = 0.1
[sources.options]
by = "land"
least = 1
"""


def logged() -> sl.Dataset:
    rows = {"user": [n % 9 for n in range(90)], "item": [(n * n) % 13 for n in range(90)], "day": list(range(90))}
    lands = {"user": list(range(9)), "land": ["kr", "fi", "kr"] * 3}
    return sl.Dataset(rows, "user", "item", timestamp="day", queries=lands)


def test_sources_of_a_recipe(tmp_path) -> None:
    """Written and read, and trained to the same: towers first, then neighbours, then lists, whatever their order."""
    (tmp_path / "many.toml").write_text(SOURCES)
    recipe = sl.recipes.load(tmp_path / "many.toml")
    (tmp_path / "again.toml").write_text(sl.recipes.to_toml(recipe))
    assert sl.recipes.load(tmp_path / "again.toml") == recipe == sl.recipes.load(recipe.to_dict())
    data = logged()
    model, _ = recipe.train(data)
    again, _ = sl.recipes.load(tmp_path / "again.toml").train(data)
    assert isinstance(model, sl.Mixture)
    assert [type(one).__name__ for one in model.sources] == ["TwoTower", "TwoTower", "Neighbours", "RankedList"]
    assert model.weights.values == pytest.approx((0.4, 0.2, 0.3, 0.1))
    assert model.weights.temperatures == (2.0, 0.5)
    assert model.lists[0].values == ("fi", "kr")
    found = [sl.Recommender(one, seen=data).recommend(list(range(9)), k=5).to_dicts() for one in (model, again)]
    assert found[0] == found[1]


def test_quotas_and_short_histories_of_a_recipe(tmp_path) -> None:
    """Without a history 0.9 by popularity; up to 3 items 0.3 of it, and 0 by transitions; the first towers have the rest."""
    text = SOURCES.replace('kind = "popular"\n', 'kind = "popular"\nquota = 0.2\nshort = { "3" = 0.3, "0" = 0.9 }\n')
    text = text.replace("weight = 0.3\n", 'weight = 0.3\nshort = { "3" = 0.0 }\n').replace(
        "weight = 0.2", "weight = 0.05"
    )
    (tmp_path / "short.toml").write_text(text)
    recipe = sl.recipes.load(tmp_path / "short.toml")
    (tmp_path / "again.toml").write_text(sl.recipes.to_toml(recipe))
    assert sl.recipes.load(tmp_path / "again.toml") == recipe
    model, _ = recipe.train(logged())
    assert model.quotas == (0.0, 0.0, 0.0, 0.2)
    (most, first), (more, second) = model.by_history
    assert (most, more) == (0, 3)
    assert first.values == pytest.approx((0.05, 0.05, 0.0, 0.9))
    assert second.values == pytest.approx((0.65, 0.05, 0.0, 0.3))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("weight = 0.3", "weight = 0.9", "whose sum is below 1"),
        ("weight = 0.3", 'weight = 0.3\nshort = { "few" = 0.1 }', "'few' in short"),
        ("weight = 0.3", 'weight = 0.3\nshort = { "2" = 0.9 }', "for histories of at most 2"),
        ("weight = 0.3", "weight = 0.3\nquota = 0.7", "the quota 0.7"),
        ("weight = 0.3", "weight = 0.0", "numbers above 0"),
        ("window = 3", "windows = 3", "have no option 'windows'"),
        ('kind = "transitions"', 'kind = "towers"', "no section of towers"),
        ('kind = "towers"', 'kind = "ease"', "a section of towers"),
        ("weight = 0.3", "share = 0.3", r"unknown key 'share' in \[\[sources\]\]"),
        ('kind = "popular"', 'kind = "best"', "Invalid enum value 'best'"),
        ("temperature = 2.0", "temperature = 0", "temperature=0"),
        ("temperature = 0.5", "temperature = -1", "temperature=-1"),
        (
            "temperature = 0.5",
            "temperature = 0.5\noptions = { age = 0.1 }",
            "kind 'towers' and options, which it does not read",
        ),
        (
            'kind = "popular"',
            'kind = "popular"\ntemperature = 0.5',
            "kind 'popular' and temperature, which it does not read",
        ),
        ("[sources.towers.model]", "[sources.towers.loss]\ntemperature = 0\n[sources.towers.model]", "temperature"),
        ("temperature = 2.0", '[neighbours]\nkind = "ease"\nshare = 1.2', "share=1.2"),
        ("temperature = 2.0", '[neighbours]\nkind = "ease"\noptions = { strenght = 3 }', "no option 'strenght'"),
        (
            "temperature = 2.0",
            'temperature = 2.0\n[neighbours]\nkind = "ease"',
            "temperature = 2, which it does not read",
        ),
        (
            "temperature = 2.0",
            "[model]\ndim = 8",
            r"towers = 'popularity', which are not trained, and a section \[model\]",
        ),
    ],
)
def test_sources_that_cannot_be(before: str, after: str, words: str, tmp_path) -> None:
    (tmp_path / "bad.toml").write_text(SOURCES.replace(before, after))
    with pytest.raises(sl.ConfigError, match=words):
        sl.recipes.load(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("popular", 'by = "nope"', "no column 'nope'"),
        ("new", 'column = "nope"', "no column 'nope'"),
        ("recent", "half_life = 3", "needs timestamps"),
        ("transitions", "window = 3", "need timestamps"),
    ],
)
def test_what_does_not_fit_the_data_is_found_before_towers_are_trained(
    data: sl.Dataset, kind: str, options: str, words: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late.toml").write_text(
        f'[model]\ndim = 4\n[[sources]]\nkind = "{kind}"\nweight = 0.1\n[sources.options]\n{options}\n'
    )
    recipe = sl.recipes.load(tmp_path / "late.toml")
    monkeypatch.delattr(type(recipe), "train_towers")
    with pytest.raises(sl.ShortlistError, match=words):
        recipe.train(data)


def test_a_temperature_that_nothing_reads_is_refused(tmp_path) -> None:
    with pytest.raises(sl.ConfigError, match=r"temperature = 0\.5, which it does not read"):
        sl.recipes.load("factorization", ["temperature=0.5"])


def test_sources_need_memory_and_one_process(tmp_path) -> None:
    (tmp_path / "many.toml").write_text(SOURCES)
    recipe = sl.recipes.load(tmp_path / "many.toml")
    with pytest.raises(
        sl.ConfigError, match=r"\[\[sources\]\] \(transitions, towers, popular\); a mixture is trained in memory"
    ):
        recipe.check_from_disk()
    with pytest.raises(sl.ConfigError, match="does not support warm start"):
        recipe.train(logged(), warm_start=sl.popularity(logged()))


@pytest.mark.parametrize(
    "text",
    ['towers = "popularity"', '[neighbours]\nkind = "cooccurrence"', '[[sources]]\nkind = "popular"\nweight = 0.1'],
)
def test_what_counts_choices_cannot_train_on_new_rows_alone(text: str, data: sl.Dataset, tmp_path) -> None:
    (tmp_path / "counting.toml").write_text(text)
    before = sl.popularity(data)
    with pytest.raises(sl.ConfigError, match="counts choices and would forget all earlier ones"):
        sl.recipes.load(tmp_path / "counting.toml").train(data, warm_start=sl.WarmStart(before, only_new=True))
