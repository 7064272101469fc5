"""What a column or an id is called never changes a result: our own names in every role, and odd ids, against neutral ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.cli.typed import shortlist

import shortlist as sl

NEUTRAL = ("Who", "What", "When", "Much", "From", "Sort")
NAMES = [
    "id", "query", "candidate", "rank", "score", "source", "known", "similar_to", "vector", "count", "len", "row",
    "value", "weight", "timestamp", "seen", "training_count", "known_", "rank_", "chosen", "exclude", "history", "owner",
    "met", "literal", "index", "0", "__row", "__count", "__now", "__0", "mask", "first", "second", "model",
    "popularity", "where", "ids", "date", "select", "null", "true", "a.b", "a/b", "a b", "a\nb", 'a"b', "a'b", "{x}", "%s",
    "^W.*$", "*", "^.*$", "^a$", "__proto__", "constructor", "🎬", "", "-x", "counts_as_seen", "rows", "x" * 300, "right",
]  # fmt: skip
WINDOWS = [tuple((NAMES + NAMES)[start : start + 6]) for start in range(0, len(NAMES), 3)]


def results(names: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """What comes of one data set under these names, without the names."""
    query, candidate, time, weight, own, kind = names
    films = np.random.default_rng(0).integers(0, 12, 40).tolist()
    log = {
        query: [f"u{n % 10}" for n in range(40)],
        candidate: [f"i{film}" for film in films],
        time: list(range(40)),
        weight: [1.0 + n % 3 for n in range(40)],
    }
    sides: dict[str, Any] = {
        "queries": {query: [f"u{n}" for n in range(10)], own: ["kr", "us"] * 5},
        "candidates": {candidate: [f"i{n}" for n in range(12)], kind: ["x", "y", "z"] * 4},
    }
    train, test = sl.split_by_time(sl.Dataset(log, query, candidate, time, weight, **sides), test=8)
    model = sl.TwoTower(
        sl.Tower(sl.StringLookup(query), sl.Category(own), dim=4),
        sl.Tower(sl.StringLookup(candidate), sl.Category(kind), dim=4),
    )
    sl.fit(model, train, epochs=2, batch_size=8, seed=1)
    recommender = sl.Recommender(model, index=sl.BruteForce(), seen=train)
    asked = recommender.recommend(["u1", "u2", "new"], k=5)
    quoted = kind.replace('"', '""')
    found: dict[str, Any] = {
        "lists": [(one.query, one.known, one.items) for one in asked],
        "frame": asked.to_frame().rows(),
        "similar": recommender.similar(["i1"], k=3).to_frame().rows(),
        "features": recommender.recommend([{query: "u1", own: "us"}], k=5)[0].items,
        "where": recommender.recommend(["u1"], k=9, where=f"\"{quoted}\" = 'y'")[0].ids if kind else [],
    }
    evaluation = sl.evaluate(
        model, test, seen=train, segments=[own, kind], weighted=True, baselines=("popularity", "recent", "ease")
    )
    found["figures"] = evaluation.figures
    found["segments"] = [(one.name in names, one[1:6], one.figures) for one in evaluation.segments]
    recommender.save(folder / "b.shortlist")
    loaded = sl.Recommender.load(folder / "b.shortlist")
    loaded.recommend_all(folder / "all", k=3, vectors=True)
    for part in ("lists", "candidates"):
        found[part + " written"] = pl.read_parquet(
            folder / "all" / f"{part}-00000.parquet", hive_partitioning=False
        ).rows()
    loaded.upsert(pl.DataFrame({candidate: ["i99"], kind: ["x"]}))
    found["live"] = len(loaded.recommend(["u1"], k=20)[0])
    pl.DataFrame(log).write_parquet(folder / "log.parquet")
    for number, others in enumerate(({"timestamp": time, "weight": weight}, {"context": [time, weight]})):
        shards = sl.Shards.encode(
            folder / "log.parquet", folder / f"shards{number}", query=query, candidate=candidate,
            block_rows=8, piece_rows=16, **others, **sides,
        )  # fmt: skip
        rows = shards.to_dataset().interactions
        found[f"disk {number}"] = sorted(zip(*(rows[name].to_list() for name in names[:4]), strict=True))
    return found


@pytest.fixture(scope="module")
def neutral(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return results(NEUTRAL, tmp_path_factory.mktemp("neutral"))


@pytest.mark.filterwarnings("ignore::shortlist.errors.ShortlistWarning")
@pytest.mark.parametrize("names", WINDOWS, ids=lambda names: repr(names[0])[:20])
def test_names_of_ours_in_every_role(names: tuple[str, ...], neutral: dict[str, Any], tmp_path: Path) -> None:
    found = results(names, tmp_path)
    different = [
        part for part, value in neutral.items() if found[part] != value and not (part == "where" and not names[5])
    ]
    assert different == []


def test_the_comparison_can_fail(neutral: dict[str, Any], tmp_path: Path) -> None:
    assert len(neutral["frame"][0]) == 6
    assert len(neutral["lists written"][0]) == 4
    other = results(("Who", "What", "When", "Much", "Sort", "From"), tmp_path)
    assert other["where"] == neutral["where"]
    assert neutral["lists"][0][0] == "u1"


@pytest.mark.parametrize(
    ("query", "candidate", "columns"),
    [
        ("rank", "score", ["rank", "rank_", "score", "score_", "source", "known"]),
        ("source", "known", ["source", "rank", "known", "score", "source_", "known_"]),
        ("rank", "rank_", ["rank", "rank__", "rank_", "score", "source", "known"]),
    ],
)
def test_ours_give_way_to_the_columns_of_ids(query: str, candidate: str, columns: list[str]) -> None:
    data = sl.Dataset({query: ["a", "b"], candidate: ["x", "y"]}, query, candidate)
    model = sl.TwoTower(sl.Tower(sl.StringLookup(query), dim=2), sl.Tower(sl.StringLookup(candidate), dim=2))
    model.prepare(data)
    frame = sl.Recommender(model.eval()).recommend(["b"], k=1).to_frame()
    assert frame.columns == columns
    assert frame[query].to_list() == ["b"]


def test_a_column_called_like_a_built_in_segment_is_told_of() -> None:
    log = {"q": ["a", "b", "b"], "c": ["x", "y", "x"], "warm_cold": ["lukewarm", "icy", "icy"]}
    data = sl.Dataset(log, "q", "c")
    model = sl.TwoTower(sl.Tower(sl.StringLookup("q"), dim=2), sl.Tower(sl.StringLookup("c"), dim=2))
    sl.fit(model, data, epochs=1, batch_size=4)
    with pytest.warns(sl.ShortlistWarning, match="'warm_cold' is the built-in one"):
        groups = {one.group for one in sl.evaluate(model, data, segments=["warm_cold"]).segments}
    assert groups == {"warm query, warm candidate"}


ODD = ["", " ", "'", '"', "a/b", "../x", "__proto__", "constructor", "a\nb", "a\tb", "🎬", "{}", "%s", "null", "-x", "--k",
       "<b>&", "a,b", "x" * 10_000, "\u202e", "0", "007", "1e5"]  # fmt: skip


@pytest.mark.filterwarnings("ignore::shortlist.errors.ShortlistWarning")
def test_odd_ids_on_the_command_line(tmp_path: Path) -> None:
    """Trained, asked and written: each odd id is itself, and the answers are those of the n-th neutral id."""

    def answers(ids: list[str], place: Path) -> list[Any]:
        place.mkdir()
        size = len(ids)
        pairs = [(u, (u * 3 + step) % size) for u in range(size) for step in range(4)]
        pl.DataFrame({"q": [ids[u] for u, _ in pairs], "c": [ids[c] for _, c in pairs]}).write_parquet(
            place / "log.parquet"
        )
        done = shortlist(
            "train", "log.parquet", "--query", "q", "--candidate", "c", "--out", "b", "--test", "0", "--index", "exact",
            "--recipe", "als", "--set", "fit.epochs=2", "--set", "model.dim=8", cwd=place,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        done = shortlist("recommend", "b", "--json", "--k", size, "--include-seen", "--", *ids, cwd=place)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert [one["query"] for one in found] == ids
        assert shortlist("recommend-all", "b", "-o", "all", "--k", "3", cwd=place).returncode == 0
        written = pl.read_parquet(place / "all" / "lists-00000.parquet")
        assert set(written["q"]) == set(ids)
        return [sorted(round(item["score"], 3) for item in one["items"]) for one in found]

    plain = [f"id{number:02}" for number in range(len(ODD))]
    order = np.argsort(np.argsort(ODD))  # rows of ids are sorted: the n-th odd id has the row of the n-th plain one
    matched = [plain[place] for place in order.tolist()]
    assert answers(ODD, tmp_path / "odd") == answers(matched, tmp_path / "plain")
