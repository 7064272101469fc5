"""``shortlist evaluate``: figures, baselines, segments, and what a split leaks."""

import json
from pathlib import Path

import polars as pl
import pytest
from tests.cli.typed import shortlist


def test_evaluate_reports_both_scorers(bundle: Path, folder: Path) -> None:
    done = shortlist("evaluate", bundle, "test.csv", "--k", "1,20", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["pairs"] == 2
    assert result["candidates"] == 20
    assert result["model"]["seen_in"]["top_20"] == 1.0
    assert result["popularity"]["seen_in"]["top_20"] == 1.0


def test_evaluate_beside_baselines_in_segments_with_intervals(bundle: Path, folder: Path) -> None:
    """Pairs are not of training: each reader's one missing book, and at a time after all of training."""
    missing = [{"reader": r, "book": f"b{10 * (r % 2) + r % 7}", "at": 1000, "shop": "ab"[r % 2]} for r in range(40)]
    pl.DataFrame(missing).write_csv(folder / "missing.csv")
    options = ("missing.csv", "--k", "1,5", "--metrics", "top,ndcg,auc", "--baselines", "popularity,recent,ease")
    timed = ("--train", "choices.csv", "--time", "at", "--segments", "shop,warm_cold")
    done = shortlist("evaluate", bundle, *options, *timed, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {"model", "popularity", "recent", "ease"} <= result.keys()
    low, high = result["intervals"]["model"]["seen_out"]["top_5"]
    assert low <= result["model"]["seen_out"]["top_5"] <= high
    assert result["model"]["seen_out"]["top_1"] == 1.0  # the one left of its camp
    assert {(one["name"], one["group"], one["pairs"]) for one in result["segments"]} == {
        ("shop", "a", 20), ("shop", "b", 20), ("warm_cold", "warm query, warm candidate", 40),
    }  # fmt: skip
    assert [one["scorer"] for one in result["comparisons"]] == ["popularity", "recent", "ease"]
    assert result["comparisons"][0]["real"]
    assert "future in training" not in done.stderr

    plain = shortlist("evaluate", bundle, *options, *timed, cwd=folder)
    assert "by shop (top-5, seen items excluded)" in plain.stdout
    assert "model is better than popularity: top-5" in plain.stdout


def test_where_most_pairs_repeat_the_verdict_is_about_seen_items_left_in(bundle: Path, folder: Path) -> None:
    """Seen items excluded nobody finds them: every difference would be 0."""
    rows = [{"reader": r, "book": f"b{10 * (r % 2) + (r % 7 + 1) % 7}"} for r in range(40)]
    pl.DataFrame(rows).write_csv(folder / "again.csv")
    done = shortlist("evaluate", bundle, "again.csv", "--k", "1,10", "--baselines", "popularity", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    (one,) = result["comparisons"]
    assert one["seen"] == "seen_in"
    model, popularity = (result[name]["seen_in"]["top_10"] for name in ("model", "popularity"))
    assert one["difference"] == pytest.approx(model - popularity)
    assert one["difference"] > 0.1
    text = shortlist("evaluate", bundle, "again.csv", "--k", "1,10", "--baselines", "popularity", cwd=folder).stdout
    assert f"model is better than popularity: top-10 {one['difference']:+.4f}" in text


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_ids_that_the_bundle_lacks_are_counted_and_no_table_is_missed(command: str, bundle: Path, folder: Path) -> None:
    """Nobody gave a table of queries or candidates; where not one id is known, they may be written in another way."""
    some = {"reader": [0, 1, 77, 78], "book": ["b0", "b11", "b2", "new"]}
    pl.DataFrame(some).write_csv(folder / "some_new.csv")
    pl.DataFrame({"reader": [77, 78], "book": ["B-0", "B-11"]}).write_csv(folder / "all_new.csv")
    found = shortlist(command, bundle, "some_new.csv", cwd=folder)
    assert found.returncode == 0, found.stderr
    assert "table lacked" not in found.stderr
    if command == "evaluate":
        assert "(2 with a query new to the model, 1 with a new candidate)" in " ".join(found.stdout.split())
    strange = shortlist(command, bundle, "all_new.csv", cwd=folder)
    assert "are they written in another way" in " ".join(strange.stderr.split())


def test_evaluate_says_what_a_split_leaks_and_refuses_what_is_no_test(bundle: Path, folder: Path) -> None:
    pl.DataFrame({"reader": [0, 1], "book": ["b0", "b11"], "at": [5, 1000]}).write_csv(folder / "early.csv")
    timed = ("--train", "choices.csv", "--time", "at", "--baselines", "none", "--json")
    done = shortlist("evaluate", bundle, "early.csv", *timed, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "future_in_training" in [one["name"] for one in json.loads(done.stdout)["findings"]]
    assert "warning: future in training" in done.stderr
    old = ("--train", "choices.csv", "--timestamp", "at", "--baselines", "none", "--json")
    as_before = shortlist("evaluate", bundle, "early.csv", *old, cwd=folder)
    assert json.loads(as_before.stdout) == json.loads(done.stdout)
    assert "--timestamp is deprecated" in as_before.stderr
    both = shortlist("evaluate", bundle, "early.csv", *timed, "--timestamp", "at", cwd=folder)
    assert (both.returncode, both.stdout) == (1, "")
    assert "--timestamp and --time were both given" in both.stderr
    refused = shortlist("evaluate", bundle, "choices.csv", *timed, cwd=folder)
    assert refused.returncode == 1
    assert "this would measure memory" in refused.stderr
    assert refused.stdout == ""
